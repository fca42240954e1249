package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A section is what stands above a table of events.
type section struct {
	ID     said
	Facts  []fact
	Tracks []track
	Gaps   []string
	Alerts []string
	Events int // how many are in the file
}

// A track is one recorder's part of a session.
type track struct {
	Name, Agent, Recorder, Enroller, Capture said
	Account                                  string // whose it is
	Opened                                   string // by whom, by the log's word
	Events                                   uint64
	Entries, Repeats                         int
	First, Last                              uint64 // log index
	From, Until                              string
}

// sessions writes all sessions, and the log's other entries, each into its share of what room is left.
func (s *sheet) sessions(c *Case, all *contents) error {
	reports := map[string]*evidence.SessionReport{}
	for i := range c.Report.Sessions {
		reports[c.Report.Sessions[i].Session] = &c.Report.Sessions[i]
	}
	room := s.left
	parts := len(c.Bundle.Sessions)
	if len(all.others.at) > 0 {
		parts++
	}
	for i, id := range c.Bundle.Sessions {
		s.left = room / (parts - i)
		room -= s.left
		list := all.sessions[id]
		if err := s.section(c, all, "session", sectionOf(id, reports[id], list), list); err != nil {
			return fmt.Errorf("session %s: %w", id, err)
		}
		room += s.left
	}
	s.left = room
	if list := &all.others; len(list.at) > 0 {
		return s.section(c, all, "others", section{Events: len(list.at) + list.more}, list)
	}
	return nil
}

// closing is room for the end of a section.
const closing = 1 << 10

// section writes what stands above the events, and as many of them as have room.
func (s *sheet) section(c *Case, all *contents, name string, head section, list *events) error {
	b, err := s.render(name, head)
	if err != nil {
		return err
	}
	written := 0
	whole := s.put(b, closing)
	for i := 0; whole && i < len(list.at); i++ {
		r, err := all.row(list.at[i], string(head.ID), c.Custody)
		if err != nil {
			return err
		}
		if b, err = s.render("row", r); err != nil {
			return err
		}
		if !s.put(b, closing) {
			break
		}
		written++
	}
	end := "end"
	if !whole {
		end = "short"
	}
	b, err = s.render(end, map[string]any{"ID": head.ID, "More": head.Events - written})
	if err != nil {
		return err
	}
	if !s.put(b, 0) {
		return fmt.Errorf("no room is left on a page of %d bytes", maxPage)
	}
	return nil
}

// row describes an event of a session.
func (all *contents) row(at place, session string, custody *evidence.Custody) (row, error) {
	e, parseErr, err := all.load(int(at.leaf))
	if err != nil {
		return row{}, err
	}
	r := row{Index: all.bundle.Leaves[at.leaf].Index}
	if parseErr != nil {
		r.Wrong = "This leaf is no entry that can be read."
		return r, nil
	}
	ev := e.Events[at.event]
	received := e.Received.Time.Time()
	r.Date, r.Clock, r.Recorder = received.Format(time.DateOnly), received.Format(clockLayout), clock(ev.Time, received)
	r.Track, r.Seq, r.Words, r.Type = said(e.Track), e.Seq+uint64(at.event), typeWords(ev.Type), said(ev.Type)
	o, err := decode(ev.Raw)
	if err != nil {
		r.Wrong = "This event can't be read."
		return r, nil
	}
	r.Members = o.describe(session)
	for _, name := range o.slots("") {
		r.Payloads = append(r.Payloads, all.shownOf(slot{r.Index, int(at.event), name}, ev, custody))
	}
	return r, nil
}

// clockLayout leaves out what stands behind the milliseconds.
const clockLayout = "15:04:05.000"

// clock is the recorder's own time, with the date where it is another than that of the receipt.
func clock(t entry.Time, received time.Time) string {
	own := t.Time()
	if own.Format(time.DateOnly) == received.Format(time.DateOnly) {
		return own.Format(clockLayout)
	}
	return own.Format(time.DateOnly + " " + clockLayout)
}

func sectionOf(id string, r *evidence.SessionReport, list *events) section {
	out := section{ID: said(id), Events: len(list.at) + list.more}
	if r == nil {
		out.Facts = []fact{{"State of the record", stateWords("")}}
		return out
	}
	out.Facts = []fact{
		{"Agent", orUnknown(r.Agent)}, {"Privilege", orUnknown(r.Privilege)}, {"Outcome, as it says", orUnknown(r.Outcome)},
		{"State of the record", stateWords(r.Verdict)},
	}
	if r.LogVerdict != "" && r.LogVerdict != r.Verdict {
		out.Facts = append(out.Facts, fact{"The log's last word", said(r.LogVerdict)})
	}
	out.Facts = append(out.Facts, timeFacts(r)...)
	out.Facts = append(out.Facts,
		fact{"Extent", count(r.Events, "event") + ", " + count(r.Actions, "action") + ", on " + count(uint64(len(r.Tracks)), "track")},
		fact{"Sealed content", fmt.Sprintf("%s named, %d in the file; %s shown in part or whole", count(uint64(r.Payloads.Blobs), "piece"), r.Payloads.Included, count(uint64(r.Payloads.Disclosed), "payload"))})
	tracks, more := first(r.Tracks, 40)
	for _, t := range tracks {
		out.Tracks = append(out.Tracks, trackOf(t))
	}
	if more > 0 {
		out.Facts = append(out.Facts, fact{"Tracks not listed here", fmt.Sprint(more)})
	}
	for _, g := range r.Gaps {
		out.Gaps = append(out.Gaps, gapWords(g))
	}
	for _, a := range r.Alerts {
		out.Alerts = append(out.Alerts, fmt.Sprintf("%s (%s), log index %d", said(a.Alert), said(a.Severity), a.Index))
	}
	out.Gaps, out.Alerts = atMost(out.Gaps), atMost(out.Alerts)
	return out
}

func trackOf(t evidence.TrackReport) track {
	out := track{
		Name: said(t.Track), Agent: said(t.Agent), Recorder: said(t.Recorder), Enroller: said(t.Enroller), Capture: said(t.Capture), Account: holderWords(t),
		Events: t.Events, Entries: t.Entries, Repeats: t.Repeats, First: t.FirstIndex, Last: t.LastIndex, From: t.From.Time().Format(time.DateTime), Until: t.Until.Time().Format(time.DateTime),
	}
	if a := t.Admitted; a != nil {
		out.Opened = fmt.Sprintf("%s (%s)", said(a.Principal), said(a.How))
	}
	return out
}

// atMost cuts a list, and says so in its last line.
func atMost(lines []string) []string {
	lines, more := first(lines, 100)
	if more > 0 {
		lines = append(lines[:len(lines):len(lines)], fmt.Sprintf("and %d more, which stand in the file", more))
	}
	return lines
}

// timeFacts says between when a session was logged, and by whose word.
func timeFacts(r *evidence.SessionReport) (facts []fact) {
	between := func(name string, from, until string) {
		switch {
		case from != "" && until != "":
			facts = append(facts, fact{name, "logged after " + from + " and before " + until})
		case until != "":
			facts = append(facts, fact{name, "logged before " + until + "; after when is not known"})
		case from != "":
			facts = append(facts, fact{name, "logged after " + from + "; before when is not known"})
		default:
			facts = append(facts, fact{name, "when it was logged, none says"})
		}
	}
	if r.From != nil && r.Until != nil {
		facts = append(facts, fact{"By the log's clock", fmt.Sprintf("logged between %s and %s", at(*r.From), at(*r.Until))})
	}
	bound := func(b *evidence.TimeBound) string {
		if b == nil {
			return ""
		}
		return fmt.Sprintf("%s (%s, at log index %d)", utc(b.Time), said(b.Authority), b.AnchorIndex)
	}
	between("By time-stamp authorities", bound(r.Time.NotBefore), bound(r.Time.NotAfter))
	if r.Time.Stamps > 1 && len(r.Time.Authorities) > 0 {
		facts = append(facts, fact{"Authorities that say so", fmt.Sprintf("%s (%d are demanded)", list(r.Time.Authorities), r.Time.Stamps)})
	}
	seen := func(b *evidence.WitnessBound) string {
		if b == nil {
			return ""
		}
		return fmt.Sprintf("%s (log of size %d)", utc(b.Time), b.Size)
	}
	if w := r.Time.Witnessed; w != nil {
		between("By a quorum of witnesses", seen(w.NotBefore), seen(w.NotAfter))
	} else {
		between("By a quorum of witnesses", "", "")
	}
	if c := r.Time.Contradiction; c != nil {
		facts = append(facts, fact{"These clocks contradict each other", said(c.String())})
	}
	return facts
}

// at writes a time of the log's clock for people.
func at(t entry.Time) string { return t.Time().Format(time.DateOnly+" "+clockLayout) + " UTC" }

// utc writes a time of RFC 3339 in UTC for people.
func utc(s string) string {
	date, clock, ok := strings.Cut(strings.TrimSuffix(s, "Z"), "T")
	if !ok || !strings.HasSuffix(s, "Z") {
		return said(s).String()
	}
	return said(date+" "+clock).String() + " UTC"
}

func orUnknown(s string) said {
	if s == "" {
		return "not known"
	}
	return said(s)
}
