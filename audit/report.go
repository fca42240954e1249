package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

const (
	reportFormat = "steno/audit/v1"
	maxFindings  = 1000 // of a report
)

// A Report is what an audit found. It has no time in it: the same log gives the same report.
type Report struct {
	Format      string                   `json:"format"`  // steno/audit/v1
	Exit        int                      `json:"exit"`    // 0, 1 or 3, as of package evidence
	Verdict     string                   `json:"verdict"` // clean, failed or unmet
	Origin      string                   `json:"origin"`
	TrustDigest string                   `json:"trust_sha256"`
	Checkpoint  *evidence.CheckpointInfo `json:"checkpoint,omitempty"` // nil if it is not the log's
	Signatures  Signatures               `json:"signatures"`
	Counts      Counts                   `json:"counts"`
	Checks      []evidence.Check         `json:"checks"`
	Findings    []evidence.Finding       `json:"findings"`       // by place, the first 1,000
	More        int                      `json:"more,omitempty"` // findings
	NotChecked  []evidence.NotChecked    `json:"not_checked"`
}

// Counts are how much of everything there is.
type Counts struct {
	Leaves         uint64 `json:"leaves"`
	Entries        uint64 `json:"entries"`
	Events         uint64 `json:"events"`
	Sessions       uint64 `json:"sessions"`
	Tracks         uint64 `json:"tracks"`
	SystemSessions uint64 `json:"system_sessions"`
	Complete       uint64 `json:"complete"`
	Late           uint64 `json:"late"`
	Interrupted    uint64 `json:"interrupted"`
	Abandoned      uint64 `json:"abandoned"`
	Open           uint64 `json:"open"`
	Unproven       uint64 `json:"unproven"`
	Repeats        uint64 `json:"repeats"`    // leaves that repeat an entry word for word
	Pending        uint64 `json:"pending"`    // answers of the log that are due, near its end
	Unanswered     uint64 `json:"unanswered"` // openings after which the log was ended before it could answer
	Revisited      uint64 `json:"revisited"`  // sessions that took a second reading
}

// A verdictCode is a verdict in one byte.
type verdictCode uint8

func (c *Counts) byVerdict() []*uint64 {
	return []*uint64{&c.Complete, &c.Late, &c.Interrupted, &c.Abandoned, &c.Open, &c.Unproven}
}

// add counts a session under its verdict.
func (c *Counts) add(verdict string) verdictCode {
	i := slices.Index([]string{evidence.VerdictComplete, evidence.VerdictLate, evidence.VerdictInterrupted, evidence.VerdictAbandoned,
		evidence.VerdictOpen, evidence.VerdictUnproven}, verdict)
	*c.byVerdict()[i]++
	return verdictCode(i)
}

// take counts it no more.
func (c *Counts) take(v verdictCode) { *c.byVerdict()[v]-- }

func checkOrder() []evidence.CheckID {
	return []evidence.CheckID{evidence.CheckCheckpoint, CheckTree, evidence.CheckWitnesses, evidence.CheckEntries, evidence.CheckReceived, evidence.CheckEnrolment, evidence.CheckRecorder,
		evidence.CheckChain, evidence.CheckTracks, evidence.CheckSystem, evidence.CheckAdmitted, evidence.CheckEmbedded, CheckNumbering,
		CheckVerdicts}
}

func (r *Report) conclude(passed map[evidence.CheckID]int, findings []evidence.Finding, more int) {
	worst := map[evidence.Outcome]bool{}
	for _, id := range checkOrder() {
		n, ran := passed[id]
		c := evidence.Check{ID: id, Outcome: evidence.Passed, Passed: n}
		if !ran {
			c.Outcome = evidence.NotRun
		}
		for i := range findings {
			f := &findings[i]
			if f.Check != id {
				continue
			}
			worst[f.Outcome] = true
			if c.Where != nil {
				c.Others++
			}
			if c.Where == nil || f.Outcome == evidence.Failed && c.Outcome != evidence.Failed {
				c.Outcome, c.Where, c.Detail = f.Outcome, &f.Where, f.Detail
			}
		}
		r.Checks = append(r.Checks, c)
	}
	switch {
	case worst[evidence.Failed]:
		r.Exit, r.Verdict = evidence.ExitFailed, "failed"
	case worst[evidence.Unmet]:
		r.Exit, r.Verdict = evidence.ExitPolicy, "unmet"
	default:
		r.Exit, r.Verdict = evidence.ExitVerified, "clean"
	}
	r.Findings = append([]evidence.Finding{}, findings[:min(len(findings), maxFindings)]...)
	r.More = len(findings) - len(r.Findings) + more
}

// notChecked says what a reader may take for granted and must not.
func (r *Report) notChecked(a *auditor) {
	add := func(id, format string, args ...any) {
		r.NotChecked = append(r.NotChecked, evidence.NotChecked{ID: id, Why: fmt.Sprintf(format, args...)})
	}
	if a.foreign {
		add("everything-else", "the checkpoint is not the log's, so nothing under it was read")
		return
	}
	add("outside", "whether anything was done outside this log: no log can know")
	if !a.cfg.Trust.NeedsWitnesses() {
		add("witnesses", evidence.UnwitnessedText)
	}
	add("external-time", "external time: every time here is the word of the log, of a recorder or of a witness. Time-stamp tokens that stand in "+
		"the log are those of the authorities they name, where the trust file pins them; what they stamped is judged in evidence")
	add("sealed-content", "sealed content: it is committed to, and was not looked for in the store of blobs")
	if r.Signatures == LastSignatures {
		add("signatures", "signatures between the first and the last entry of a track, over which the chain of hashes carries the last one; "+
			"and receipts there")
	}
	if views := a.follower.seen.more; views > 0 {
		add("embedded-roots", "whether %d of the checkpoints that recorders have seen are of this very tree: their signatures alone were checked", views)
	}
	for _, why := range a.follower.system.keys.newer(a.cfg.Trust) {
		add("trust-file", "%s", why)
	}
	if unread := a.size - a.counts.Leaves; unread > 0 {
		add("unread", "%d leaves from the damaged place on, and what the log never answered", unread)
	}
}

// JSON writes the report as one JSON object, in printable ASCII.
func (r *Report) JSON() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("audit: a report that can't be written: " + err.Error()) // strings, integers and hashes alone
	}
	return append(safe.JSON(b), '\n')
}

// Text writes the report for people, with whatever others wrote escaped.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if r.Checkpoint == nil {
		line("%s: log %s", strings.ToUpper(r.Verdict), safe.Text(r.Origin))
	} else {
		line("%s: log %s, size %d, root %s", strings.ToUpper(r.Verdict), safe.Text(r.Origin), r.Checkpoint.Size, r.Checkpoint.Root)
		line("%s", safe.Text(cmp.Or(r.Checkpoint.Seen(), evidence.UnseenText)))
	}
	for _, f := range r.Findings {
		line("  %s: %s", f.Check, safe.Text(f.String()))
	}
	if r.More > 0 {
		line("  and %d more", r.More)
	}
	c := r.Counts
	line("%d leaves, %d events; %d sessions: %d complete, %d late, %d interrupted, %d abandoned, %d open, %d unproven", c.Leaves, c.Events, c.Sessions,
		c.Complete, c.Late, c.Interrupted, c.Abandoned, c.Open, c.Unproven)
	line("%d repeats, %d answers of the log pending, %d openings cut off by its end, %d of its own sessions", c.Repeats, c.Pending, c.Unanswered,
		c.SystemSessions)
	for _, check := range r.Checks {
		line("  %-10s %-10s %d", check.ID, check.Outcome, check.Passed)
	}
	line("Signatures verified: %s. Not checked:", r.Signatures)
	for _, n := range r.NotChecked {
		line("  %s", safe.Text(n.Why))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// Open gets the checkpoint that a log publishes, and makes the Config of an audit under it.
func Open(ctx context.Context, t *trust.Trust, fetch tiles.Fetch) (Config, error) {
	note, err := fetch(ctx, "checkpoint")
	if err != nil {
		return Config{}, fmt.Errorf("getting the checkpoint: %w", err)
	}
	return Under(t, note, tiles.FromFetch(fetch))
}

// Under makes the Config of an audit of the tree that a checkpoint is of. An error says that it is no checkpoint; whether it is
// the log's, and has the quorum, the report says.
func Under(t *trust.Trust, note []byte, source tiles.Source) (Config, error) {
	cp, err := t.OpenCheckpoint(note)
	if err != nil && !readable(note) {
		return Config{}, err
	}
	cp.Note = note
	return Config{Trust: t, Checkpoint: cp, Source: source}, nil
}

// Dir fetches from a directory in the shape of tlog-tiles. The caller closes root when the audit is done.
func Dir(root *os.Root) tiles.Fetch {
	return func(_ context.Context, path string) ([]byte, error) {
		f, err := root.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if info.Size() > tiles.MaxBundle {
			return nil, fmt.Errorf("%s: file of %d bytes, at most %d", path, info.Size(), tiles.MaxBundle)
		}
		b := make([]byte, info.Size())
		if _, err := io.ReadFull(f, b); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		return b, nil
	}
}
