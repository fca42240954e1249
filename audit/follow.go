package audit

import (
	"bytes"
	"errors"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A follower goes through the entries in the order of the log.
type follower struct {
	a      *auditor
	pool   *pool
	live   map[sessionID]*live
	ended  map[sessionID]verdictCode // judged and forgotten
	again  map[sessionID]struct{}    // to be judged in the second reading
	agents map[string]agent
	system system
	seen   seen
	passed map[evidence.CheckID]int
}

// A live session is one that has not ended.
type live struct {
	id      string
	agent   string
	first   entry.Hash // of track main
	tracks  []*track
	close   *entry.SessionClose
	actions map[string]struct{}
	gaps    bool // spooled, restarted, an action begun twice
	gaveUp  bool // called abandoned
}

// A track is one chain of a live session.
type track struct {
	chain    *entry.Track
	recent   [8]point // the last ends of entries
	n        int
	openAt   uint64
	lastAt   uint64
	admitted bool
	last     []byte // the last leaf, if only its signature is verified
}

type point struct {
	next uint64
	head entry.Hash
}

// An agent is the last of its sessions that was admitted.
type agent struct {
	number  uint64
	session entry.UUID
	open    entry.Hash
}

func newFollower(a *auditor) *follower {
	f := &follower{
		a: a, live: map[sessionID]*live{},
		ended: map[sessionID]verdictCode{}, again: map[sessionID]struct{}{}, agents: map[string]agent{},
		passed: map[evidence.CheckID]int{}, seen: seen{opened: map[entry.Hash]opened{}, roots: map[uint64]view{}},
	}
	for _, id := range checkOrder() {
		f.passed[id] = 0
	}
	f.system.f = f
	return f
}

func (f *follower) take(r *read) {
	f.passed[CheckTree]++
	if r.entry != nil {
		f.a.counts.Entries++
		f.a.counts.Events += uint64(len(r.entry.Events))
	}
	if r.finding != nil {
		f.a.find(*r.finding)
	}
	if r.failed() {
		return
	}
	f.passed[evidence.CheckEntries]++
	if r.finding == nil && (f.a.cfg.Signatures == AllSignatures || r.entry.Seq == 0) {
		f.passed[evidence.CheckReceived]++
	}
	if r.entry.Track == entry.SystemTrack {
		f.system.take(r)
		return
	}
	f.recorded(r)
}

// revisit leaves a session to the second reading. Its state stays, for what the log says of it.
func (f *follower) revisit(id sessionID) {
	f.again[id] = struct{}{}
	if v, ended := f.ended[id]; ended {
		f.a.counts.take(v)
		delete(f.ended, id)
	}
}

// recorded takes an entry of a recorder. Whatever is not the next entry of an open track is left to the second reading.
func (f *follower) recorded(r *read) {
	s := f.live[r.session]
	_, ended := f.ended[r.session]
	_, again := f.again[r.session]
	switch {
	case again:
		f.beginAgain(s, r)
		return
	case ended:
		f.revisit(r.session)
		return
	case s == nil && r.entry.Track != entry.MainTrack:
		f.a.counts.Sessions++
		f.live[r.session] = &live{id: r.entry.Session}
		f.revisit(r.session)
		return
	case s == nil:
		f.a.counts.Sessions++
		s = &live{id: r.entry.Session}
		f.live[r.session] = s
	}
	t := s.track(r.entry.Track)
	if t == nil {
		f.begin(s, r)
		return
	}
	if t.chain.Check(r.entry) != nil || f.a.windowed && f.a.keys.Recorder(t.chain, r.index) != nil {
		f.revisit(r.session)
		return
	}
	f.extend(s, t, r)
}

func (s *live) track(name string) *track {
	for _, t := range s.tracks {
		if t.chain.Name == name {
			return t
		}
	}
	return nil
}

func (f *follower) begin(s *live, r *read) {
	chain, err := f.a.keys.Open(r.entry, r.index)
	if err != nil || f.a.windowed && f.a.keys.Recorder(chain, r.index) != nil {
		f.revisit(r.session)
		f.beginAgain(s, r)
		return
	}
	if r.entry.Track == entry.MainTrack {
		s.agent, s.first = chain.Agent, chain.First
	} else if chain.Binds(s.first) != nil {
		f.revisit(r.session)
		return
	}
	f.passed[evidence.CheckEnrolment]++
	f.passed[evidence.CheckRecorder]++
	t := &track{chain: chain, openAt: r.index}
	s.tracks = append(s.tracks, t)
	f.a.counts.Tracks++
	f.accept(s, t, r)
}

// beginAgain notes the opening of a session that was left to the second reading before it came: its number counts in the
// list of its agent's sessions all the same.
func (f *follower) beginAgain(s *live, r *read) {
	if s == nil || r.entry.Track != entry.MainTrack || r.entry.Seq != 0 || s.track(entry.MainTrack) != nil {
		return
	}
	if chain, _ := f.a.keys.Open(r.entry, r.index); chain != nil { // also where its key does not count
		s.agent, s.first = chain.Agent, chain.First
		s.tracks = append(s.tracks, &track{chain: chain, openAt: r.index})
	}
}

func (f *follower) extend(s *live, t *track, r *read) {
	advance(t.chain, r)
	if f.a.cfg.Signatures == AllSignatures {
		f.pool.add(job{index: r.index, entry: r.entry, verifier: t.chain.Verifier})
	}
	f.accept(s, t, r)
}

// advance is entry.Track.Extend for an entry whose hash is known.
func advance(t *entry.Track, r *read) {
	t.Next, t.Head = r.entry.Next(), r.hash
	t.Closed = r.entry.Events[len(r.entry.Events)-1].Type.Ends()
}

// accept notes an entry that a chain was extended with.
func (f *follower) accept(s *live, t *track, r *read) {
	f.passed[evidence.CheckChain]++
	if f.a.cfg.Signatures != AllSignatures {
		t.last = append(t.last[:0], r.leaf...) // the leaf itself would hold on to its whole bundle
	}
	t.lastAt = r.index
	t.recent[t.n%len(t.recent)] = point{r.entry.Next(), r.hash}
	t.n++
	for i := range r.entry.Events {
		f.event(s, r, i)
	}
}

func (f *follower) event(s *live, r *read, i int) {
	switch ev := r.entry.Events[i]; ev.Type {
	case entry.TypeSessionOpen, entry.TypeTrackOpen:
		f.embedded(r, i)
	case entry.TypeActionIntent:
		if s.actions == nil {
			s.actions = map[string]struct{}{}
		}
		action := string(member(ev.Raw, `"action":"`))
		_, open := s.actions[action]
		s.gaps = s.gaps || open // one end will not tell of both
		s.actions[action] = struct{}{}
	case entry.TypeActionResult, entry.TypeActionReject, entry.TypeActionSettle:
		delete(s.actions, string(member(ev.Raw, `"action":"`)))
	case entry.TypeSessionRoll:
		f.embedded(r, i)
		var v entry.SessionRoll
		if ev.Decode(&v) == nil && (v.Why == "restart" || v.OnFailure == "spool") {
			s.gaps = true
		}
	case entry.TypeSessionClose:
		s.close = new(entry.SessionClose)
		if err := ev.Decode(s.close); err != nil {
			f.a.find(*failed(evidence.CheckEntries, r.index, r.entry, err))
		}
	}
}

// member is the value of a member that only the top level of its event has. In the one form of events every quote inside
// a string is escaped, so that the pattern matches nothing else.
func member(raw []byte, pattern string) []byte {
	_, rest, _ := bytes.Cut(raw, []byte(pattern))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return value
}

// stands tells whether the track lately ended where end says.
func (t *track) stands(end entry.TrackEnd) bool {
	for i := range min(t.n, len(t.recent)) {
		if t.recent[i] == (point{end.Next, end.Head}) {
			return true
		}
	}
	return false
}

// admitted takes the log's answer to an opening.
func (f *follower) admitted(r *read, v *entry.Admitted) {
	id := idOf(string(v.Session))
	s := f.live[id]
	if s == nil {
		f.aboutNothing(r, id)
		return
	}
	t := s.track(string(v.Track))
	if t == nil || t.chain.First != v.Open {
		f.revisit(id)
		return
	}
	if t.admitted {
		return
	}
	t.admitted = true
	f.passed[evidence.CheckAdmitted]++
	if v.Track == entry.MainTrack {
		f.number(r, s, v)
	}
}

// number checks that the session is the next in the list of its agent's.
func (f *follower) number(r *read, s *live, v *entry.Admitted) {
	before := f.agents[s.agent]
	ok := v.Number == before.number+1
	if before.number == 0 {
		ok = ok && v.Previous == nil && v.PreviousSession == ""
	} else {
		ok = ok && v.Previous != nil && *v.Previous == before.open && v.PreviousSession == before.session
	}
	f.agents[s.agent] = agent{v.Number, v.Session, v.Open}
	if !ok {
		f.a.find(*failed(CheckNumbering, r.index, r.entry,
			errors.New("the session is not admitted as the next in the list of its agent's sessions")))
		return
	}
	f.passed[CheckNumbering]++
}

// aboutNothing is for what the log says of a session that is not live: one that has ended is read again, one that was
// never there is the log's error.
func (f *follower) aboutNothing(r *read, id sessionID) {
	if _, ended := f.ended[id]; ended {
		f.revisit(id)
	} else if _, again := f.again[id]; !again {
		f.a.find(*failed(evidence.CheckSystem, r.index, r.entry, errors.New("the log speaks of a session that it does not have")))
	}
}

// verdict takes the log's verdict, and lets the session go if nothing more is due of it.
func (f *follower) verdict(r *read, v *entry.Verdict) {
	id := idOf(string(v.Session))
	s := f.live[id]
	if s == nil {
		f.aboutNothing(r, id)
		return
	}
	if _, again := f.again[id]; again {
		return
	}
	current := true
	for _, end := range v.Tracks {
		t := s.track(string(end.Track))
		if t == nil || !t.stands(end) {
			f.revisit(id)
			return
		}
		current = current && t.chain.Next == end.Next
		f.passed[evidence.CheckTracks]++
	}
	s.gaveUp = s.gaveUp || v.Verdict == evidence.VerdictAbandoned
	switch {
	case s.close == nil && v.Verdict == evidence.VerdictAbandoned:
		f.end(id, s, evidence.VerdictAbandoned)
	case s.close == nil, v.Verdict == evidence.VerdictLate && v.Why != "closed":
	default:
		f.closed(r, id, s, v, current)
	}
}

func overrated(verdict string) string {
	return "the log calls a session complete that its entries show to be " + verdict
}

// closed ends a session after its close and the log's verdict.
func (f *follower) closed(r *read, id sessionID, s *live, v *entry.Verdict, current bool) {
	lost := false
	named := 1
	for _, end := range s.close.Tracks {
		t := s.track(string(end.Track))
		lost = lost || end.Lost
		if t == nil || t.chain.Next != end.Next || t.chain.Head != end.Head {
			f.revisit(id)
			return
		}
		named++
	}
	if named != len(s.tracks) {
		f.revisit(id)
		return
	}
	verdict := evidence.VerdictComplete
	switch {
	case lost || s.gaps || len(s.actions) > 0:
		verdict = evidence.VerdictInterrupted
	case s.gaveUp:
		verdict = evidence.VerdictLate
	}
	if current && v.Verdict == evidence.VerdictComplete && verdict != evidence.VerdictComplete {
		f.a.find(*failed(CheckVerdicts, r.index, r.entry, errors.New(overrated(verdict))))
	}
	if v.Verdict == evidence.VerdictInterrupted {
		verdict = evidence.VerdictInterrupted
	}
	f.passed[CheckVerdicts]++
	f.end(id, s, verdict)
}

// end forgets a session, if every opening was answered.
func (f *follower) end(id sessionID, s *live, verdict string) {
	for _, t := range s.tracks {
		if !t.admitted {
			return
		}
	}
	for _, t := range s.tracks {
		f.lastSignature(t)
	}
	f.ended[id] = f.a.counts.add(verdict)
	delete(f.live, id)
}

// lastSignature has the signatures of a track's last entry verified, if they were not when it came.
func (f *follower) lastSignature(t *track) {
	if f.a.cfg.Signatures == AllSignatures {
		return
	}
	e, err := entry.Parse(t.last)
	if err != nil {
		f.a.find(*failed(evidence.CheckEntries, t.lastAt, nil, err))
		return
	}
	f.pool.add(job{index: t.lastAt, entry: e, verifier: t.chain.Verifier, received: true})
}

// answerWithin is how many leaves later, at the latest, the log has answered an opening. An opening nearer to the end of
// the log may be pending.
const answerWithin = 1 << 16

// unanswered is for an opening that the log has not answered, of a track whose last entry stands at last. That is its
// breach, but where it ended between the two: then nobody was told that the track is open, and nobody went on with it.
func (f *follower) unanswered(where evidence.Where, last uint64) {
	switch at := *where.Index; {
	case f.system.cut(at, last):
		f.a.counts.Unanswered++
		return
	case at+answerWithin >= f.a.size && at >= f.system.openAt:
		f.a.counts.Pending++
		return
	}
	f.a.find(evidence.Finding{Check: evidence.CheckAdmitted, Outcome: evidence.Failed, Detail: "the log has never answered this opening", Where: where})
}

// finish judges what is still open at the end of the log.
func (f *follower) finish() {
	f.system.finish()
	for id, s := range f.live {
		if _, again := f.again[id]; again {
			continue
		}
		for _, t := range s.tracks {
			f.lastSignature(t)
			if t.admitted {
				continue
			}
			f.unanswered(evidence.Where{Index: &t.openAt, Session: s.id, Track: t.chain.Name}, t.lastAt)
		}
		if s.close != nil { // the log's verdict has yet to come
			f.a.counts.Pending++
		}
		f.a.counts.add(evidence.VerdictOpen)
	}
}
