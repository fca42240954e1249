package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// Options are what a caller demands beyond soundness.
type Options struct {
	// SignedBy lists the holders of recorders' keys that are good enough for every track; empty accepts all. Leaving
	// operator out demands that no track rests on the word of whoever runs the log.
	SignedBy []entry.Holder
}

// VerifyReader reads a bundle and verifies it. The error is a *ReadError: r could not be read, or has changed, and there is
// nothing to judge. What is no bundle, or a damaged one, is a report of exit 1.
func VerifyReader(r io.ReaderAt, size int64, t *trust.Trust, opts Options) (Report, error) {
	// SPEC: evidence.md: What it judges MUST be the bytes whose SHA-256 it tells.
	if size <= MaxBundle { // what is larger is not looked into
		r = newSteady(r, size)
	}
	digest, hashed := sha256.New(), make(chan error, 1)
	go func() { // beside reading, which waits for checksums
		_, err := io.Copy(digest, io.NewSectionReader(r, 0, size))
		hashed <- err
	}()
	report, err := verifyReader(r, size, t, opts)
	if unread := <-hashed; unread != nil && err == nil {
		err = &ReadError{unread}
	}
	if err != nil {
		return Report{}, err
	}
	report.Bundle = hex.EncodeToString(digest.Sum(nil))
	return report, nil
}

func verifyReader(r io.ReaderAt, size int64, t *trust.Trust, opts Options) (Report, error) {
	b, err := Read(r, size)
	var read *ReadError
	switch {
	case errors.As(err, &read):
		return Report{}, read
	case err != nil:
		return damaged(err, t), nil
	}
	return judge(b, t, opts)
}

// damaged is the report on a file that is no intact bundle.
func damaged(err error, t *trust.Trust) Report {
	r := newReport()
	digest := t.Digest()
	r.Origin, r.TrustDigest = t.Origin, hex.EncodeToString(digest[:])
	f := Finding{Check: CheckBundle, Outcome: Failed, Detail: err.Error()}
	var format *FormatError
	if errors.As(err, &format) {
		f.Where, f.Detail = Where{File: format.File, Offset: &format.Offset}, format.Why
	}
	r.conclude(nil, findings{first: []Finding{f}, n: 1})
	r.NotChecked = append(r.NotChecked, NotChecked{"everything-else", "the file is not an intact bundle, so nothing in it was judged"})
	return r
}

// A verification is the state of one Verify.
type verification struct {
	b        *Bundle
	t        *trust.Trust
	cp       trust.Checkpoint
	keys     Keys
	sessions map[string]*Session
	system   map[string]*systemTrack
	roots    map[uint64]entry.Hash // that the log had, at the sizes that were stamped, and that recorders were shown, by size
	seen     seen
	passed   map[CheckID]int
	findings findings
	readErr  error // the file could not be read after all
	shaken   bool  // something failed, or rests on a compromised key, that all sessions rest on or that can't be told to one

	walk      *treeWalk
	leaves    int // that were taken into the tree
	recorders recorders
	sealed    sealed
	large     sync.Mutex // held while a large disclosure is in memory

	notes        []stampedNote
	stamped      []*stamped
	tokensHere   int // of them, with the checkpoint in the file
	unlisted     int // anchor events that are not among them
	heads        []head
	heard        hearing
	public       map[entry.Hash]*Blob // that are as they are named
	absentPublic int                  // public blobs that anchors name

	handOver
}

// A systemTrack is what is here of a system session: some of its entries, by sequence number.
type systemTrack []systemPoint

type systemPoint struct {
	seq, next  uint64
	hash, prev entry.Hash
}

// add puts an entry into its place. It tells whether it was there already, and what is wrong with it.
func (s *systemTrack) add(e *entry.Entry) (again bool, wrong string) {
	p := systemPoint{e.Seq, e.Next(), e.Hash(), e.Prev}
	i, taken := slices.BinarySearchFunc(*s, p.seq, func(q systemPoint, seq uint64) int { return cmp.Compare(q.seq, seq) })
	before, after := systemPoint{}, systemPoint{seq: math.MaxUint64}
	if i > 0 {
		before = (*s)[i-1]
	}
	if i < len(*s) {
		after = (*s)[i]
	}
	switch {
	case taken && after.hash == p.hash:
		return true, ""
	case taken || before.next > p.seq || p.next > after.seq:
		return false, "equivocation: the log has signed two texts for one sequence number of its own"
	case before.next == p.seq && before.hash != p.prev || p.next == after.seq && p.hash != after.prev:
		return false, "previous hash is not that of the entry before in the log's own session"
	}
	*s = slices.Insert(*s, i, p)
	return false, ""
}

// Verify judges a bundle by the keys in t alone.
func Verify(b *Bundle, t *trust.Trust, opts Options) Report {
	if err := b.check(); err != nil {
		return damaged(err, t)
	}
	r, err := judge(b, t, opts)
	if err != nil {
		return damaged(err, t)
	}
	return r
}

// judge judges a bundle in which nothing is out of its order. The error is a *ReadError.
func judge(b *Bundle, t *trust.Trust, opts Options) (Report, error) {
	v := &verification{
		b: b, t: t, sessions: map[string]*Session{}, system: map[string]*systemTrack{},
		roots: map[uint64]entry.Hash{0: checkpoint.EmptyRoot()}, seen: seen{},
		passed: map[CheckID]int{CheckBundle: 1},
	}
	r := newReport()
	digest := t.Digest()
	r.Origin, r.TrustDigest = t.Origin, hex.EncodeToString(digest[:])
	r.Pending = append(r.Pending, b.Pending...)
	v.openCustody(&r)
	if v.checkpoint() {
		info := CheckpointInfoOf(t, v.cp)
		r.Checkpoint = &info
		for _, id := range b.Sessions {
			v.sessions[id] = v.keys.Session(id)
			v.sessions[id].open = func(note []byte) seenCheckpoint { return v.seen.open(t, note) }
		}
		v.loadBlobs()
		v.goOverLeaves()
		v.span()
		v.anchors(&r)
		v.judge(&r)
		v.times(&r)
		v.blobs(&r)
		v.custody(&r)
		v.policy(&r, opts)
	}
	r.conclude(v.passed, v.findings)
	r.NotChecked = v.notChecked(&r)
	return r, v.readErr
}

// unread notes that something could not be loaded: either the file can't be read, and there is no verdict, or it is not what it
// was when its checksums were compared.
func (v *verification) unread(check CheckID, where Where, err error) {
	v.noteUnread(err)
	v.find(check, Failed, where, err.Error())
}

func (v *verification) noteUnread(err error) {
	var read *ReadError
	if errors.As(err, &read) && v.readErr == nil {
		v.readErr = read
	}
}

func (v *verification) find(check CheckID, outcome Outcome, where Where, detail string) {
	v.findings.add(Finding{Check: check, Outcome: outcome, Where: where, Detail: detail})
}

func (v *verification) checkpoint() bool {
	where := Where{File: fileCheckpoint}
	cp, err := v.t.OpenCheckpoint(v.b.Checkpoint)
	v.cp, v.keys = cp, Keys{v.t, cp.Witnessed}
	if v.b.Origin != v.t.Origin && (err == nil || v.keys.Outcome(err) == Unmet) {
		err = errors.New("the bundle is of another log than the one that is pinned")
	}
	v.shaken = err != nil
	if err == nil {
		v.passed[CheckCheckpoint]++
	} else if v.refused(CheckCheckpoint, where, err) {
		return false
	}
	// From here on every check runs, on however many things there are.
	for _, id := range checkOrder()[2:] {
		v.passed[id] += 0
	}
	if cp.Witnessed {
		v.passed[CheckWitnesses] += len(CheckpointInfoOf(v.t, cp).Operators())
	} else {
		v.unmet(CheckWitnesses, where, cp.Missing, cp.Early)
	}
	return true
}

// unmet notes that a demand is not met. A file that says that it was made too early for that can be followed by a better one: what
// it says is no more than a reason to ask, and meets nothing. It is not heard where it is not early: where all is here that was
// asked for, and does not count.
func (v *verification) unmet(check CheckID, where Where, why string, early bool) {
	if !early || !v.b.isPending(check) {
		v.find(check, Unmet, where, why)
		return
	}
	before := map[CheckID]string{CheckWitnesses: "the witnesses had seen what it holds", CheckTime: "the time stamps were there"}[check]
	v.find(check, Incomplete, where, why+"; the file says that it was made before "+before+": ask for a later one")
}

// refused notes what is wrong with an entry, and tells whether that ends its part in the verification.
func (v *verification) refused(check CheckID, where Where, err error) bool {
	outcome := v.keys.Outcome(err)
	v.find(check, outcome, where.at(err), detail(err))
	return outcome == Failed
}

// systemEntry judges an entry of the log's own. Only some of a system session are in a bundle, so that its chain is
// followed where two of them stand next to each other; an audit follows it all.
func (v *verification) systemEntry(l *readLeaf) {
	index, e := l.index, l.entry
	where := placeOf(index, e)
	if l.key == nil {
		v.find(CheckSystem, Failed, where, "an entry of the log's own that is signed by no pinned system key")
		return
	}
	if l.wrong != nil {
		v.find(CheckSystem, Failed, where.at(l.wrong), detail(l.wrong))
		return
	}
	if l.system != nil && v.refused(CheckSystem, where, l.system) {
		return
	}
	s := v.system[e.Session]
	if s == nil {
		s = &systemTrack{}
		v.system[e.Session] = s
	}
	switch again, wrong := s.add(e); {
	case again:
		return
	case wrong != "":
		v.find(CheckSystem, Failed, where, wrong)
		return
	}
	if l.system == nil {
		v.passed[CheckSystem]++
	}
	for i, ev := range e.Events {
		switch ev.Type {
		case entry.TypeAnchor:
			if err := v.anchorEvent(where, index, e, i); err != nil {
				v.find(CheckAnchors, Failed, where, err.Error())
			}
		case entry.TypeDisclosure:
			if err := v.disclosureEvent(index, ev); err != nil {
				v.find(CheckSystem, Failed, where, err.Error())
			}
		}
		if s := v.sessions[Mentions(ev)]; s != nil {
			if err := s.Say(index, e, i); err != nil {
				v.find(CheckSystem, Failed, where, err.Error())
			}
		}
	}
}

func (v *verification) judge(r *Report) {
	for _, id := range v.b.Sessions {
		s := v.sessions[id]
		report, found := s.Judge()
		if v.shaken {
			report.Verdict = VerdictUnproven
		}
		r.Sessions = append(r.Sessions, report)
		v.findings.add(found...)
		for id, n := range s.passed {
			v.passed[id] += n
		}
		v.views(s)
	}
}

// views compares what recorders were shown: of one size there is one root, the tree's where that is known. That those of other sizes
// belong to the bundle's tree, which is larger than any of them, takes an audit.
func (v *verification) views(s *Session) {
	for _, m := range s.embedded {
		if m.err != nil {
			continue // Judge has told
		}
		if root, known := v.roots[m.size]; known && root != m.root {
			v.find(CheckEmbedded, Failed, m.where, fmt.Sprintf("split view: the recorder was shown another root for size %d than was shown before, or was stamped", m.size))
			continue
		}
		v.roots[m.size] = m.root
	}
}

func (v *verification) policy(r *Report, opts Options) {
	for _, s := range r.Sessions {
		for _, t := range s.Tracks {
			if len(opts.SignedBy) > 0 && !slices.Contains(opts.SignedBy, t.SignedBy) {
				v.find(CheckPolicy, Unmet, Where{Session: s.Session, Track: t.Track, Index: &t.FirstIndex},
					fmt.Sprintf("the track is signed by a key that the %s holds, which was not accepted", t.SignedBy))
				continue
			}
			v.passed[CheckPolicy]++
		}
	}
}
