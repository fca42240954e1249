package evidence

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/stenolog/steno/entry"
)

// Verdicts of a session, the best first.
const (
	VerdictComplete    = "complete"    // closed, every track whole
	VerdictLate        = "late"        // closed, and a recorder came back after it was given up or after the close
	VerdictInterrupted = "interrupted" // closed, with gaps that are named
	VerdictAbandoned   = "abandoned"   // never closed, and the log gave it up
	VerdictOpen        = "open"        // not closed
	VerdictUnproven    = "unproven"    // something of it failed to verify
)

// verdicts is their order.
func verdicts() []string {
	return []string{VerdictComplete, VerdictLate, VerdictInterrupted, VerdictAbandoned, VerdictOpen, VerdictUnproven}
}

// Judge says what was proven of the session, and what is not as it should be.
func (s *Session) Judge() (SessionReport, []Finding) {
	r := SessionReport{Session: s.ID, Tracks: []TrackReport{}, Gaps: s.marks, Alerts: s.alerts}
	main := s.tracks[entry.MainTrack]
	if main == nil {
		s.find(CheckComplete, Incomplete, Where{Session: s.ID, Track: entry.MainTrack}, "the session's main track is not here")
	}
	for _, name := range s.names() {
		s.judgeTrack(name, main)
	}
	late := s.judgeClose(&r)
	s.judgeAdmitted()
	s.judgeVerdicts(&r)
	s.judgeEmbedded()
	s.judgeActions(&r)
	s.fill(&r)
	s.conclude(&r, late)
	return r, s.findings
}

// names lists the tracks, main first.
func (s *Session) names() []string {
	names := slices.Sorted(maps.Keys(s.tracks))
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(boolInt(a != entry.MainTrack), boolInt(b != entry.MainTrack))
	})
	return names
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Session) judgeTrack(name string, main *track) {
	t := s.tracks[name]
	if t.broken {
		return
	}
	if len(t.early) > 0 {
		a := t.early[0]
		next := uint64(0)
		if t.chain != nil {
			next = t.chain.Next
		}
		t.broken = true
		s.find(CheckChain, Failed, Where{Index: &a.index, Session: s.ID, Track: name, Seq: &a.seq},
			fmt.Sprintf("hole: sequence numbers %d to %d are not here, and this entry follows them", next, a.seq-1))
		return
	}
	if main == nil || main.chain == nil {
		return
	}
	if err := t.chain.Binds(main.chain.First); err != nil {
		t.broken = true
		s.find(CheckTracks, Failed, Where{Index: &t.first, Session: s.ID, Track: name, Seq: ptr(uint64(0))}, detail(err))
		return
	}
	s.passed[CheckTracks]++
}

// end compares a track with where somebody says that it ended, and tells whether the track is missing altogether.
func (s *Session) end(where Where, who string, end entry.TrackEnd) (missing bool) {
	t := s.tracks[string(end.Track)]
	switch {
	case t == nil:
		return true
	case t.broken || t.chain == nil: // told already
		return false
	}
	if end.Next > t.chain.Next {
		s.find(CheckTracks, Failed, where, fmt.Sprintf("tail cut: %s says that track %s has %d events, here are %d", who, end.Track, end.Next, t.chain.Next))
		return false
	}
	i, ok := slices.BinarySearchFunc(t.points, end.Next, func(p point, next uint64) int { return cmp.Compare(p.next, next) })
	if !ok || t.points[i].hash != end.Head {
		s.find(CheckTracks, Failed, where, fmt.Sprintf("%s names another end of track %s after %d events than its entries have", who, end.Track, end.Next))
		return false
	}
	s.passed[CheckTracks]++
	return false
}

// judgeClose compares session.close with the tracks, and tells whether anything came after it.
func (s *Session) judgeClose(r *SessionReport) (late bool) {
	if s.closed == nil {
		return false
	}
	where := Where{Index: &s.closedAt, Session: s.ID, Track: entry.MainTrack}
	named := map[string]bool{entry.MainTrack: true}
	for _, end := range s.closed.Tracks {
		name := string(end.Track)
		named[name] = true
		if s.end(where, "session.close", end) && (!end.Lost || end.Next > 0) {
			r.Gaps = append(r.Gaps, Gap{Kind: "missing-track", Track: name})
			s.find(CheckComplete, Incomplete, where, fmt.Sprintf("track %s, which session.close names, is not here", name))
		}
		if end.Lost {
			r.Gaps = append(r.Gaps, Gap{Kind: "lost-track", Track: name, Seq: ptr(end.Next)})
		}
		if t := s.tracks[name]; t != nil && t.chain != nil && t.chain.Next > end.Next {
			late = true
		}
	}
	for _, name := range s.names() {
		t := s.tracks[name]
		if named[name] || t.chain == nil {
			continue
		}
		if t.first > s.closedAt {
			late = true
			continue
		}
		r.Gaps = append(r.Gaps, Gap{Kind: "unnamed-track", Track: name})
	}
	return late
}

func (s *Session) judgeAdmitted() {
	answered := map[string]bool{}
	for _, a := range s.admitted {
		name := string(a.value.Track)
		t := s.tracks[name]
		switch {
		case t == nil:
			s.find(CheckComplete, Incomplete, a.where, fmt.Sprintf("track %s, which the log has admitted, is not here", name))
		case t.chain == nil: // told already
		case t.chain.First != a.value.Open:
			s.find(CheckAdmitted, Failed, a.where, fmt.Sprintf("the log has admitted another opening of track %s than the one here", name))
		default:
			answered[name] = true
			s.passed[CheckAdmitted]++
		}
	}
	for _, name := range s.names() {
		if t := s.tracks[name]; t.chain != nil && !answered[name] {
			s.find(CheckComplete, Incomplete, Where{Index: &t.first, Session: s.ID, Track: name}, "the log's answer to the opening of the track (admitted) is not here")
		}
	}
}

func (s *Session) judgeVerdicts(r *SessionReport) {
	last := uint64(0)
	for _, v := range s.verdicts {
		for _, end := range v.value.Tracks {
			if s.end(v.where, "the log's verdict", end) {
				s.find(CheckComplete, Incomplete, v.where, fmt.Sprintf("track %s, which the log's verdict names, is not here", end.Track))
			}
		}
		if v.index >= last {
			last, r.LogVerdict = v.index, string(v.value.Verdict)
		}
	}
}

// Overrated tells whether the log's last word calls a session complete that was interrupted when it said so. R is what
// Judge said of it. A bundle's verdict is the worse one in any case; to an audit it is the log's error.
func (s *Session) Overrated(r SessionReport) (Where, bool) {
	if r.Verdict != VerdictInterrupted || r.LogVerdict != VerdictComplete {
		return Where{}, false
	}
	last := s.verdicts[0]
	for _, v := range s.verdicts {
		if v.index >= last.index {
			last = v
		}
	}
	for name, t := range s.tracks {
		stood := func(end entry.TrackEnd) bool { return string(end.Track) == name && end.Next == t.chain.Next }
		if t.chain != nil && !slices.ContainsFunc(last.value.Tracks, stood) {
			return Where{}, false // more came after it
		}
	}
	return last.where, true
}

// judgeEmbedded checks the checkpoints that recorders say to have seen. They date an entry from below: it was made after.
func (s *Session) judgeEmbedded() {
	for _, m := range s.embedded {
		if m.err != nil {
			s.find(CheckEmbedded, s.keys.Outcome(m.err), m.where, m.err.Error())
			continue
		}
		s.passed[CheckEmbedded]++
	}
}

func (s *Session) judgeActions(r *SessionReport) {
	open := slices.SortedFunc(maps.Keys(s.actions), func(a, b string) int {
		x, y := s.actions[a], s.actions[b]
		return cmp.Or(cmp.Compare(x.track, y.track), cmp.Compare(x.seq, y.seq))
	})
	for _, id := range open {
		a := s.actions[id]
		r.Gaps = append(r.Gaps, Gap{Kind: "open-action", Track: a.track, Seq: &a.seq, Action: id})
	}
}

func (s *Session) fill(r *SessionReport) {
	if r.Gaps == nil {
		r.Gaps = []Gap{}
	}
	if r.Alerts == nil {
		r.Alerts = []AlertReport{}
	}
	r.Actions = s.intents
	if s.opened != nil {
		r.Agent, r.Privilege = string(s.opened.Agent), string(s.opened.Privilege)
	}
	if s.closed != nil {
		r.Outcome = string(s.closed.Outcome)
	}
	admissions := s.admissions()
	for _, name := range s.names() {
		t := s.tracks[name]
		if t.chain == nil {
			continue
		}
		r.Events += t.chain.Next
		if r.From == nil || t.from < *r.From {
			r.From = ptr(t.from)
		}
		if r.Until == nil || t.until > *r.Until {
			r.Until = ptr(t.until)
		}
		tr := trackReport(name, t)
		tr.Admitted = admissions[name]
		r.Tracks = append(r.Tracks, tr)
	}
}

// admissions is the first that the log said of each track's opening, by track.
func (s *Session) admissions() map[string]*Admission {
	first := map[string]*Admission{}
	for _, a := range s.admitted {
		name := string(a.value.Track)
		t := s.tracks[name]
		if t != nil && t.chain != nil && a.value.Open == t.chain.First && (first[name] == nil || a.index < first[name].Index) {
			first[name] = &Admission{a.index, string(a.value.Principal), string(a.value.How), a.value.Number}
		}
	}
	return first
}

func trackReport(name string, t *track) TrackReport {
	return TrackReport{
		Track: name, Agent: t.chain.Agent, SignedBy: t.chain.Enrolment.Holder, Recorder: t.chain.Verifier.Name(),
		Enroller: t.chain.Enrolment.Enroller, Vantage: string(t.open.Vantage), Capture: string(t.open.Capture),
		Entries: len(t.points), Repeats: t.again, Events: t.chain.Next, FirstIndex: t.first, LastIndex: t.last,
		From: t.from, Until: t.until, Head: t.chain.Head,
	}
}

// conclude draws the verdict. The log's word can only worsen it: it may know of what is not here.
func (s *Session) conclude(r *SessionReport, late bool) {
	gaveUp := slices.ContainsFunc(s.verdicts, func(v said[entry.Verdict]) bool { return v.value.Verdict == VerdictAbandoned })
	switch {
	case slices.ContainsFunc(s.findings, func(f Finding) bool { return f.Outcome == Failed || f.Outcome == Unmet }):
		r.Verdict = VerdictUnproven
		return
	case s.closed == nil && r.LogVerdict == VerdictAbandoned:
		r.Verdict = VerdictAbandoned
	case s.closed == nil:
		r.Verdict = VerdictOpen
	case len(r.Gaps) > 0:
		r.Verdict = VerdictInterrupted
	case late || gaveUp:
		r.Verdict = VerdictLate
	default:
		r.Verdict = VerdictComplete
	}
	if order := verdicts(); s.closed != nil && r.LogVerdict != VerdictAbandoned && slices.Index(order, r.LogVerdict) > slices.Index(order, r.Verdict) {
		r.Verdict = r.LogVerdict
	}
	where := Where{Session: s.ID}
	switch r.Verdict {
	case VerdictComplete, VerdictLate:
		s.passed[CheckComplete]++
	case VerdictInterrupted:
		s.find(CheckComplete, Incomplete, where, fmt.Sprintf("the session was interrupted: %d gaps are named", len(r.Gaps)))
	case VerdictAbandoned:
		s.find(CheckComplete, Incomplete, where, "the session was never closed, and the log gave it up")
	default:
		s.find(CheckComplete, Incomplete, where, "the session is not closed")
	}
}
