package evidence

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/safe"
)

// JSON writes the report as one JSON object, in printable ASCII.
func (r Report) JSON() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		// Strings, integers and hashes alone; a time of a receipt was parsed within the years that can be written.
		panic("evidence: a report that can't be written: " + err.Error())
	}
	return append(safe.JSON(b), '\n')
}

// Text writes the report for people. Whatever agents, exporters or forgers wrote is escaped.
func (r Report) Text(w io.Writer) error {
	p := &printer{}
	p.line("%s", headline(r))
	if r.Error != "" {
		p.line("  %s", r.Error)
	}
	for _, c := range r.Checks {
		if c.Outcome == Passed || c.Outcome == NotRun {
			continue
		}
		p.line("")
		p.line("%s: %s", strings.ToUpper(string(c.Outcome)), c.Detail)
		if place := c.Where.String(); place != "" {
			p.line("  at %s", place)
		}
		if c.Others > 0 {
			p.line("  and %d more of the same check", c.Others)
		}
	}
	if r.Exit != ExitUnusable {
		p.basis(r)
		for _, s := range r.Sessions {
			p.session(s)
		}
		p.anchors(r.Anchors)
		p.custody(r.Custody)
		p.checks(r)
	}
	_, err := io.WriteString(w, p.b.String())
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func headline(r Report) string {
	switch r.Exit {
	case ExitVerified:
		return "VERIFIED. The record is authentic, whole, and was not changed since it was logged."
	case ExitPolicy:
		return "NOT WHAT WAS DEMANDED. No signature and no proof is wrong; see below what is not met."
	case ExitIncomplete:
		return "SOUND AS FAR AS IT GOES, AND INCOMPLETE. Nothing was changed; see below what is missing."
	case ExitUnusable:
		return "NOT JUDGED. There was nothing to verify, or nothing to verify it with."
	}
	return "FAILED. This is not evidence of what it claims. Do not rely on it."
}

// A printer collects lines. Every string that is put into one is made safe.
type printer struct{ b strings.Builder }

func (p *printer) line(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case int, int64, uint64:
		default:
			args[i] = safe.Text(fmt.Sprint(a))
		}
	}
	fmt.Fprintf(&p.b, format+"\n", args...)
}

func (p *printer) basis(r Report) {
	p.line("")
	p.line("By which keys")
	p.line("  log          %s", r.Origin)
	p.line("  trust file   sha256 %s (compare it with what you were given)", r.TrustDigest)
	p.line("  this file    sha256 %s", r.Bundle)
	if r.Checkpoint != nil {
		p.line("  proven under the log's checkpoint of size %d, root %s", r.Checkpoint.Size, r.Checkpoint.Root)
		p.line("  %s", cmp.Or(r.Checkpoint.Seen(), UnseenText))
	}
}

func (p *printer) session(s SessionReport) {
	p.line("")
	p.line("Session %s: %s", s.Session, strings.ToUpper(s.Verdict))
	p.line("  %s", meaning(s))
	p.line("  agent %s, privilege %s, outcome %s", orUnknown(s.Agent), orUnknown(s.Privilege), orUnknown(s.Outcome))
	if s.From != nil && s.Until != nil {
		p.line("  logged between %s and %s, by the log's word", *s.From, *s.Until)
	}
	p.time(s.Time)
	p.line("  %d events, %d actions", s.Events, s.Actions)
	for _, t := range s.Tracks {
		p.line("  track %s: %d events in %d entries, log index %d to %d", t.Track, t.Events, t.Entries, t.FirstIndex, t.LastIndex)
		p.line("    signed by the %s, key %s, enrolled by %s", t.SignedBy, t.Recorder, t.Enroller)
		p.line("    %s", worth(t))
		if a := t.Admitted; a != nil {
			p.line("    opened by %s (%s), by the log's word", a.Principal, a.How)
		}
		if t.Repeats > 0 {
			p.line("    %d leaves repeat an entry word for word, which changes nothing", t.Repeats)
		}
	}
	for _, g := range s.Gaps {
		p.line("  gap: %s", gapText(g))
	}
	for _, a := range s.Alerts {
		p.line("  alert of the log: %s (%s), log index %d", a.Alert, a.Severity, a.Index)
	}
	p.line("  sealed content: %d pieces named, %d in this file, %d payloads disclosed in part or whole", s.Payloads.Blobs, s.Payloads.Included, s.Payloads.Disclosed)
}

// time says what others than the log say of when a session was logged.
func (p *printer) time(t SessionTime) {
	bound := func(b *TimeBound) string {
		return fmt.Sprintf("%s (%s, log index %d)", b.Time, b.Authority, b.AnchorIndex)
	}
	switch {
	case t.NotBefore != nil && t.NotAfter != nil:
		p.line("  logged after %s and before %s, by time-stamp authorities", bound(t.NotBefore), bound(t.NotAfter))
	case t.NotAfter != nil:
		p.line("  logged before %s, by a time-stamp authority; after when, none says", bound(t.NotAfter))
	case t.NotBefore != nil:
		p.line("  logged after %s, by a time-stamp authority; before when, not enough of them say", bound(t.NotBefore))
	default:
		p.line("  no time-stamp authority says when it was logged")
	}
	if t.NotAfter != nil && t.Stamps > 1 {
		p.line("    by then it was stamped by %d authorities, as is demanded; all that did: %s", t.Stamps, strings.Join(t.Authorities, ", "))
	}
	w := t.Witnessed
	switch {
	case w == nil:
	case w.NotBefore != nil && w.NotAfter != nil:
		p.line("  logged after %s and before %s, by the clocks of a quorum of pinned witnesses", w.NotBefore.Time, w.NotAfter.Time)
	case w.NotAfter != nil:
		p.line("  logged before %s, by the clocks of a quorum of pinned witnesses", w.NotAfter.Time)
	default:
		p.line("  logged after %s, by the clocks of a quorum of pinned witnesses", w.NotBefore.Time)
	}
	if t.Contradiction != nil {
		p.line("  THESE CLOCKS CONTRADICT EACH OTHER: %s", t.Contradiction)
	}
}

// anchors lists time-stamp tokens.
func (p *printer) anchors(anchors []AnchorReport) {
	if len(anchors) == 0 {
		return
	}
	p.line("")
	p.line("Time-stamp tokens (RFC 3161)")
	for _, a := range anchors {
		if a.Counts {
			p.line("  log index %d: %s says %s, exact to %d ms, of the first %d entries", a.Index, a.Authority, a.Time, a.AccuracyMS, a.Size)
			continue
		}
		p.line("  log index %d: of %s, DOES NOT COUNT (%s): %s", a.Index, a.Authority, a.Reason, a.Detail)
	}
}

// custody says who handed the file over. What of it was checked is said of the check.
func (p *printer) custody(c *CustodyReport) {
	if c == nil {
		return
	}
	p.line("")
	p.line("Exhibit %s, by the word of whoever made this file", c.Exhibit)
	for _, x := range []struct{ what, who string }{
		{"matter", c.Matter}, {"made", c.Made}, {"exporter", c.Exporter}, {"approved by", c.Approver}, {"for", c.Recipient}, {"legal basis", c.Basis},
		{"shown in clear", strings.Join(c.Disclosed, ", ")},
	} {
		if x.who != "" {
			p.line("  %s: %s", x.what, x.who)
		}
	}
	for _, w := range c.Withheld {
		p.line("  withheld: %s%s", w.Class, reason(w))
	}
	p.line("  custody record sha256 %s, of %d entries of these sessions", c.SHA256, c.Entries)
	if c.Index == nil {
		p.line("  that the log recorded the hand-over is not shown")
		return
	}
	p.line("  recorded by the log at leaf %d, handed over by whom it authenticated as %s", *c.Index, c.Principal)
}

func reason(w Withheld) string {
	if w.Reason == "" {
		return ""
	}
	return " (" + w.Reason + ")"
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func meaning(s SessionReport) string {
	switch s.Verdict {
	case VerdictComplete:
		return "closed by its recorder; every track it names is here, from the first event to the last"
	case VerdictLate:
		return "closed; part of it was recorded after the session had been given up or closed"
	case VerdictInterrupted:
		return "closed, with gaps that are named below"
	case VerdictAbandoned:
		return "never closed: the log stopped hearing from its recorder"
	case VerdictOpen:
		return "not closed in this file: what came after is not known"
	}
	return "something of it failed to verify, or rests on a compromised key alone: nothing said of it below is proven"
}

// worth says what a signature by the holder of the key is worth.
func worth(t TrackReport) string {
	switch t.SignedBy {
	case entry.HolderAgent:
		return "this is the agent's own account of itself"
	case entry.HolderGateway:
		return fmt.Sprintf("this is what a gateway in front of the agent recorded (%s)", t.Vantage)
	}
	return "this is the word of whoever operates the log, who could have written anything here at the time"
}

func gapText(g Gap) string {
	text := map[string]string{
		"open-action":   "an action was begun, and how it ended was not recorded",
		"lost-track":    "a recorder could not be heard at the end",
		"missing-track": "a track that the session names is not in this file",
		"unnamed-track": "a track that the session's close does not name, so that nothing says where it ended",
		"spooled":       "actions went on while the log could not be reached",
		"restarted":     "a recorder was restarted",
	}[g.Kind]
	if text == "" {
		text = g.Kind
	}
	if g.Track != "" {
		text += ": track " + g.Track
	}
	if g.Seq != nil {
		text += fmt.Sprintf(", event %d", *g.Seq)
	}
	if g.Action != "" {
		text += ", action " + g.Action
	}
	return text
}

func (p *printer) checks(r Report) {
	p.line("")
	p.line("What was checked")
	for _, c := range r.Checks {
		p.line("  "+fmt.Sprintf("%-11s %-10s", c.ID, c.Outcome)+" %d %s", c.Passed, checkText(c.ID))
	}
	p.line("")
	p.line("What was NOT checked")
	for _, n := range r.NotChecked {
		p.line("  %s", n.Why)
	}
}

func checkText(id CheckID) string {
	return map[CheckID]string{
		CheckBundle:      "file intact in every byte",
		CheckCheckpoint:  "checkpoint signed by a pinned key of the log",
		CheckWitnesses:   "operators of pinned witnesses that saw it, as the trust file demands",
		CheckRange:       "leaves of the range that the file names, none of which is missing",
		CheckInclusion:   "leaves proven to stand in the log",
		CheckEntries:     "entries well formed and made for this log",
		CheckReceived:    "receipts signed by a pinned key of the log",
		CheckEnrolment:   "recorders' keys enrolled by a pinned enroller, for the agent and time",
		CheckRecorder:    "entries signed by the enrolled key",
		CheckChain:       "links of chains, without hole or second text",
		CheckTracks:      "ends and bindings of tracks that agree",
		CheckSystem:      "entries of the log's own, signed by a pinned key",
		CheckAdmitted:    "openings that the log has answered",
		CheckEmbedded:    "checkpoints that recorders saw",
		CheckAnchors:     "time-stamp tokens that count, by pinned authorities",
		CheckTime:        "sessions whose end as many authorities bound as is demanded, at least one, and of whose clocks none is proven wrong",
		CheckBlobs:       "pieces of sealed content that are those the entries name",
		CheckDisclosures: "disclosures that match their commitments",
		CheckCustody:     "custody records that are right about the file, and that the log has recorded",
		CheckComplete:    "sessions that are whole",
		CheckPolicy:      "tracks that are signed as was demanded",
	}[id]
}
