package evidence

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// A Session judges the entries of one session, wherever they were read: in a bundle or in a whole log. It is given them
// in any order (the log's is the cheapest), then what the log itself said of the session, and then judges.
//
// What it holds grows with the number of the session's entries, by about 100 bytes each.
type Session struct {
	ID       string
	keys     Keys
	tracks   map[string]*track
	admitted []said[entry.Admitted]
	verdicts []said[entry.Verdict]
	alerts   []AlertReport
	passed   map[CheckID]int
	findings []Finding
	opened   *entry.SessionOpen
	closed   *entry.SessionClose
	closedAt uint64 // log index
	arrivals int    // of entries ahead of their predecessors
	actions  map[string]openAction
	intents  uint64
	marks    []Gap // that events themselves tell of
	embedded []embedded
	open     func(note []byte) seenCheckpoint
}

// A said is something that the log said, and where.
type said[T any] struct {
	where Where
	index uint64
	value T
}

type openAction struct {
	track string
	seq   uint64
}

// A track is the chain of one recorder, as far as it could be followed.
type track struct {
	chain  *entry.Track // nil before the opening entry
	open   entry.Recorder
	points []point // accepted entries, by sequence number
	early  waiting
	broken bool // something was found; what follows would only echo it
	from   entry.Time
	until  entry.Time
	first  uint64
	last   uint64
	again  int // repeats
}

type point struct {
	seq, next, index uint64
	hash             entry.Hash
}

// NewSession begins to judge a session whose entries are proven under no checkpoint that has the quorum.
func NewSession(t *trust.Trust, id string) *Session { return Keys{Trust: t}.Session(id) }

func (s *Session) find(check CheckID, outcome Outcome, where Where, detail string) {
	s.findings = append(s.findings, Finding{Check: check, Outcome: outcome, Where: where, Detail: detail})
}

// refused notes what is wrong with an entry, and tells whether that ends its track. A key that would count if only the quorum
// were met does not: the rest is judged as if it did.
func (s *Session) refused(a arrived, what string, err error) bool {
	outcome := s.keys.Outcome(err)
	s.find(checkOf(err), outcome, placeOf(a.index, a.entry).at(err), what+detail(err))
	return outcome == Failed
}

// Add takes an entry of the session. Its receipt has been verified.
func (s *Session) Add(index uint64, e *entry.Entry) {
	s.add(arrived{index: index, entry: e, again: func() (*entry.Entry, error) { return e, nil }})
}

func (s *Session) add(a arrived) {
	t := s.tracks[a.entry.Track]
	if t == nil {
		t = &track{}
		s.tracks[strings.Clone(a.entry.Track)] = t
	}
	if s.take(t, a) {
		s.drain(t)
	}
}

// take puts an entry into its place on the chain, and tells whether the chain has grown.
func (s *Session) take(t *track, a arrived) (grown bool) {
	e := a.entry
	switch {
	case t.broken:
	case t.chain == nil && e.Seq > 0, t.chain != nil && e.Seq > t.chain.Next:
		// A failed append can leave entries in the log whose predecessors follow later. Judge tells what never came.
		s.arrivals++
		heap.Push(&t.early, early{e.Seq, a.index, s.arrivals, a.signed, a.again})
	case t.chain == nil:
		return s.begin(t, a)
	case e.Seq < t.chain.Next:
		s.again(t, a)
	default:
		return s.extend(t, a)
	}
	return false
}

func (s *Session) begin(t *track, a arrived) bool {
	chain, err := s.keys.Open(a.entry, a.index)
	if err != nil {
		if t.broken = s.refused(a, "opening of the track: ", err); t.broken {
			return false
		}
	} else {
		s.passed[CheckEnrolment]++
	}
	if t.broken = !s.counts(chain, a); t.broken {
		return false
	}
	t.chain = chain
	var open entry.SessionOpen // has all members of track.open but main
	if err := a.entry.Events[0].Decode(&open); err != nil {
		t.broken = true
		s.find(CheckEntries, Failed, placeOf(a.index, a.entry), err.Error())
		return false
	}
	t.open = open.Recorder
	if a.entry.Track == entry.MainTrack {
		s.opened = &open
	}
	s.accept(t, a)
	return true
}

func (s *Session) extend(t *track, a arrived) bool {
	err := t.chain.Check(a.entry)
	if err == nil {
		err = a.verify(t.chain)
	}
	if err != nil {
		t.broken = s.refused(a, "", err)
		return false
	}
	if t.broken = !s.counts(t.chain, a); t.broken {
		return false
	}
	t.chain.Extend(a.entry)
	s.accept(t, a)
	return true
}

// counts judges whether the track's key counts for an entry that it has signed.
func (s *Session) counts(chain *entry.Track, a arrived) bool {
	if err := s.keys.Recorder(chain, a.index); err != nil {
		return !s.refused(a, "", err)
	}
	s.passed[CheckRecorder]++
	return true
}

// again judges an entry whose sequence number is taken.
func (s *Session) again(t *track, a arrived) {
	where := placeOf(a.index, a.entry)
	if err := a.verify(t.chain); err != nil {
		s.find(checkOf(err), Failed, where.at(err), detail(err))
		return
	}
	i, known := slices.BinarySearchFunc(t.points, a.entry.Seq, func(p point, seq uint64) int { return cmp.Compare(p.seq, seq) })
	if !known || t.points[i].hash != a.entry.Hash() {
		// A key that does not count here has not made its recorder say two things: whoever has it has.
		if !s.counts(t.chain, a) {
			return
		}
		// SPEC: entry.md: two different texts for one sequence number are equivocation, for every verifier.
		s.find(CheckChain, Failed, where, "equivocation: the recorder has signed two texts for one sequence number")
		return
	}
	// SPEC: entry.md: repeats of the identical text are benign, and the lowest index counts. By it the key is judged: anybody
	// can repeat what was signed while it counted.
	s.passed[CheckRecorder]++
	t.again++
	if p := &t.points[i]; a.index < p.index {
		p.index = a.index
	}
}

// accept notes an entry that the chain was extended with.
func (s *Session) accept(t *track, a arrived) {
	e := a.entry
	s.passed[CheckChain]++
	t.points = append(t.points, point{e.Seq, e.Next(), a.index, t.chain.Head})
	if received := e.Received.Time; len(t.points) == 1 {
		t.from, t.until, t.first, t.last = received, received, a.index, a.index
	} else {
		t.from, t.until = min(t.from, received), max(t.until, received)
		t.first, t.last = min(t.first, a.index), max(t.last, a.index)
	}
	for i, ev := range e.Events {
		where := placeOf(a.index, e)
		where.Seq, where.Event = ptr(e.Seq+uint64(i)), &i
		if err := s.event(where, a.index, ev); err != nil {
			s.find(CheckEntries, Failed, where, err.Error())
		}
	}
}

// event notes what the verdict needs of an event.
func (s *Session) event(where Where, index uint64, ev entry.Event) error {
	switch ev.Type {
	case entry.TypeSessionOpen, entry.TypeTrackOpen:
		var v entry.SessionOpen
		if err := ev.Decode(&v); err != nil {
			return err
		}
		s.embed(where, index, v.Checkpoint)
	case entry.TypeSessionRoll:
		var v entry.SessionRoll
		if err := ev.Decode(&v); err != nil {
			return err
		}
		s.embed(where, index, v.Checkpoint)
		if v.OnFailure == "spool" {
			s.marks = append(s.marks, Gap{Kind: "spooled", Track: where.Track, Seq: where.Seq})
		}
		if v.Why == "restart" {
			s.marks = append(s.marks, Gap{Kind: "restarted", Track: where.Track, Seq: where.Seq})
		}
	case entry.TypeSessionClose:
		s.closed, s.closedAt = new(entry.SessionClose), index
		return ev.Decode(s.closed)
	case entry.TypeActionIntent:
		s.intents++
		id := actionOf(ev)
		if a, open := s.actions[id]; open { // one end will not tell of both
			s.marks = append(s.marks, Gap{Kind: "open-action", Track: a.track, Seq: &a.seq, Action: id})
		}
		s.actions[id] = openAction{where.Track, *where.Seq}
	case entry.TypeActionResult, entry.TypeActionReject, entry.TypeActionSettle:
		delete(s.actions, actionOf(ev))
	}
	return nil
}

// actionOf is the member action of an event about one. In the one form of events every quote inside a string is escaped,
// and no object in these events has a member of that name, so that the pattern finds nothing but the member.
func actionOf(ev entry.Event) string {
	_, rest, _ := bytes.Cut(ev.Raw, []byte(`"action":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}

// Say takes the events of an entry of a system session that speak of this one. Its signature has been verified.
func (s *Session) Say(index uint64, e *entry.Entry, event int) error {
	where := placeOf(index, e)
	where.Seq, where.Event = ptr(e.Seq+uint64(event)), &event
	v, err := e.Events[event].Value()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *entry.Admitted:
		s.admitted = append(s.admitted, said[entry.Admitted]{where, index, *v})
	case *entry.Verdict:
		s.verdicts = append(s.verdicts, said[entry.Verdict]{where, index, *v})
	case *entry.Alert:
		s.alerts = append(s.alerts, AlertReport{index, string(v.Alert), string(v.Severity)})
	}
	return nil
}

// Mentions is the session that a system event says something of to Session.Say, or "".
func Mentions(ev entry.Event) string {
	switch ev.Type {
	case entry.TypeAdmitted, entry.TypeVerdict, entry.TypeAlert:
		// One top-level member of that name, found as in actionOf.
		_, rest, _ := bytes.Cut(ev.Raw, []byte(`"session":"`))
		id, _, _ := bytes.Cut(rest, []byte(`"`))
		return string(id)
	}
	return ""
}

// checkOf is the check that an error of package entry belongs to.
func checkOf(err error) CheckID {
	var w *trust.WindowError
	if errors.As(err, &w) {
		return map[trust.Role]CheckID{
			trust.RoleLog: CheckCheckpoint, trust.RoleReceived: CheckReceived, trust.RoleSystem: CheckSystem,
			trust.RoleEnroller: CheckEnrolment, trust.RoleRecorder: CheckRecorder,
		}[w.Window.Role]
	}
	var e *entry.Error
	if !errors.As(err, &e) {
		return CheckEntries
	}
	switch e.Code {
	case entry.BadEnrolment, entry.StrangeEnroller, entry.EnrolmentExpired, entry.EnrolmentMismatch:
		return CheckEnrolment
	case entry.BadSignature, entry.OtherRecorder:
		return CheckRecorder
	case entry.WrongPrev, entry.Hole, entry.SeqBehind, entry.TrackClosed:
		return CheckChain
	case entry.OtherSession:
		return CheckTracks
	}
	return CheckEntries
}

// detail is an error's explanation with its code.
func detail(err error) string {
	var e *entry.Error
	if errors.As(err, &e) {
		return e.Detail() + " (" + string(e.Code) + ")"
	}
	return err.Error()
}
