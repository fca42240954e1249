// Package audit replays a whole log: every leaf up to the root that the log has signed, every entry, chain, enrolment,
// receipt and number, and what the log says of its sessions. What a bundle of evidence can't show, an audit does: that
// the log holds no second text for any sequence number and no session that was left out.
//
// It goes through the log once, in order. Leaves are read, hashed, parsed and checked for their receipts in parallel; one
// goroutine follows the chains; recorders' signatures are verified in parallel again. Most sessions are followed to
// their end on this fast path, which knows the regular course of things and nothing else. Whatever departs from it (a
// repeat, an entry out of order, one after the end, a wrong link) sends its session to a second reading of the log, in
// which evidence.Session judges it exactly: the same code that judges a bundle.
//
// Memory is that of the sessions that are open at a time, about 2 KiB a track, plus about 40 bytes for every session
// that has ended, 200 for every agent, and for every session of the second reading 100 bytes an entry.
// docs/spec/audit.md is the specification.
package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// Signatures says which signatures are verified.
type Signatures string

const (
	// AllSignatures verifies every recorder's signature and every receipt.
	AllSignatures Signatures = "all"
	// LastSignatures verifies, besides every link of every chain, the signature and the receipt of each track's first
	// and last entry. The links carry the last signature back over all of the track.
	LastSignatures Signatures = "last"
)

// Config says what is audited, and how.
type Config struct {
	Trust      *trust.Trust
	Checkpoint trust.Checkpoint // whose Note is opened with Trust
	Source     tiles.Source     // has at least the tiles and bundles of Checkpoint's tree
	Signatures Signatures       // AllSignatures if empty
	// Progress, if set, is called by one goroutine now and then with the number of leaves read, of how many: the size of
	// the log, and again as much when a second reading is needed.
	Progress func(done, of uint64)
}

// Checks of an audit beside those of package evidence.
const (
	CheckTree      evidence.CheckID = "tree"      // every leaf and every hash tile belongs to the signed root
	CheckNumbering evidence.CheckID = "numbering" // every agent's sessions are numbered from 1, each naming the one before
	CheckVerdicts  evidence.CheckID = "verdicts"  // the log calls no session better than its entries show
)

// Run audits a log. An error says that it could not be done (a tile that can't be had, a context that ended); what is
// wrong with the log is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Signatures == "" {
		cfg.Signatures = AllSignatures
	}
	a, err := newAuditor(cfg)
	if err != nil {
		return nil, err
	}
	if a.foreign {
		return a.report(), nil
	}
	r, err := tiles.NewReader(cfg.Source, a.cp.Size, a.cp.Root)
	if err == nil {
		a.reader = r
		err = a.run(ctx)
	}
	var damage *tiles.DamageError
	if errors.As(err, &damage) {
		a.find(evidence.Finding{Check: CheckTree, Outcome: evidence.Failed, Where: evidence.Where{File: damage.Place}, Detail: damage.Why})
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("auditing the log: %w", err)
	}
	return a.report(), nil
}

// An auditor is the state of one Run. Its methods run in one goroutine, unless they say otherwise.
type auditor struct {
	cfg      Config
	cp       trust.Checkpoint
	keys     evidence.Keys
	windowed bool // some key has a window: entries are judged by their places too
	foreign  bool // the checkpoint is not the log's: there is no tree to audit
	reader   *tiles.Reader
	size, of uint64
	follower *follower
	counts   Counts
	findings []evidence.Finding
	unmet    map[evidence.CheckID]int
	more     int // unmet findings that were not kept
}

func newAuditor(cfg Config) (*auditor, error) {
	cp, err := cfg.Trust.OpenCheckpoint(cfg.Checkpoint.Note)
	keys := evidence.Keys{Trust: cfg.Trust, Witnessed: cp.Witnessed}
	foreign := err != nil && keys.Outcome(err) == evidence.Failed
	if foreign && !readable(cfg.Checkpoint.Note) {
		return nil, fmt.Errorf("auditing the log: %w", err)
	}
	a := &auditor{cfg: cfg, cp: cp, keys: keys, windowed: keys.Windowed(), foreign: foreign, size: cp.Size, of: cp.Size, unmet: map[evidence.CheckID]int{}}
	a.follower = newFollower(a)
	where := evidence.Where{File: "checkpoint"}
	if foreign {
		a.find(evidence.Finding{Check: evidence.CheckCheckpoint, Outcome: evidence.Failed, Where: where, Detail: err.Error()})
		return a, nil
	}
	if err == nil {
		a.follower.passed[evidence.CheckCheckpoint] = 1
	} else {
		a.find(evidence.Finding{Check: evidence.CheckWitnesses, Outcome: evidence.Unmet, Where: where, Detail: err.Error()})
	}
	if !cp.Witnessed {
		a.find(evidence.Finding{Check: evidence.CheckWitnesses, Outcome: evidence.Unmet, Where: where, Detail: cp.Missing})
	} else {
		a.follower.passed[evidence.CheckWitnesses] = len(evidence.CheckpointInfoOf(cfg.Trust, cp).Operators())
	}
	return a, nil
}

// readable tells whether a note is of a checkpoint, whoever signed it.
func readable(note []byte) bool {
	text, _, ok := bytes.Cut(note, []byte("\n\n"))
	_, err := checkpoint.Parse(string(text) + "\n")
	return ok && err == nil && len(note) <= checkpoint.MaxNote
}

// find takes a finding. Of those that only the quorum is missing for there can be one for every leaf: the first are enough.
func (a *auditor) find(f evidence.Finding) {
	if f.Outcome == evidence.Unmet {
		if a.unmet[f.Check]++; a.unmet[f.Check] > maxFindings {
			a.more++
			return
		}
	}
	a.findings = append(a.findings, f)
}

// refused is a finding about an entry: failed, or unmet if the key of which err tells would count if only the quorum were met.
func (a *auditor) refused(check evidence.CheckID, index uint64, e *entry.Entry, err error) *evidence.Finding {
	f := failed(check, index, e, err)
	f.Outcome = a.keys.Outcome(err)
	return f
}

func (a *auditor) run(ctx context.Context) error {
	a.follower.pool = newPool(a)
	err := a.firstReading(ctx)
	if err == nil {
		a.follower.finish()
	}
	a.follower.pool.close()
	if err != nil {
		return err
	}
	if err := a.secondReading(ctx); err != nil {
		return err
	}
	return a.compareViews(ctx)
}

func (a *auditor) firstReading(ctx context.Context) error {
	parse := func(first uint64, leaves [][]byte) ([]read, error) { return a.parse(first, leaves), nil }
	err := tiles.Each(ctx, a.reader, 0, a.size, parse, func(first uint64, reads []read) error {
		for i := range reads {
			a.follower.take(&reads[i])
		}
		a.follower.pool.flush()
		a.counts.Leaves = first + uint64(len(reads))
		a.progress(a.counts.Leaves)
		return nil
	})
	return err
}

func (a *auditor) progress(done uint64) {
	if a.cfg.Progress != nil {
		a.cfg.Progress(done, a.of)
	}
}

// report puts findings in order: by place in the log, so that the first is the first.
func (a *auditor) report() *Report {
	slices.SortStableFunc(a.findings, func(x, y evidence.Finding) int {
		return cmp.Or(cmp.Compare(indexOf(x), indexOf(y)), cmp.Compare(x.Check, y.Check), cmp.Compare(x.Detail, y.Detail))
	})
	a.findings = slices.CompactFunc(a.findings, func(x, y evidence.Finding) bool {
		return x.Check == y.Check && x.Detail == y.Detail && x.Where.String() == y.Where.String()
	})
	digest := a.cfg.Trust.Digest()
	r := &Report{
		Format: reportFormat, Origin: a.cfg.Trust.Origin, TrustDigest: hex.EncodeToString(digest[:]),
		Signatures: a.cfg.Signatures, Counts: a.counts,
	}
	passed := a.follower.passed
	if a.foreign {
		passed = nil
	} else {
		info := evidence.CheckpointInfoOf(a.cfg.Trust, a.cp)
		r.Checkpoint = &info
	}
	r.conclude(passed, a.findings, a.more)
	r.notChecked(a)
	return r
}

func indexOf(f evidence.Finding) uint64 {
	if f.Where.Index == nil {
		return 1<<64 - 1
	}
	return *f.Where.Index
}
