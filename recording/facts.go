package recording

import (
	"cmp"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

// States of a session: open, or its last verdict.
const (
	stateOpen        = "open"
	stateComplete    = "complete"
	stateInterrupted = "interrupted"
	stateAbandoned   = "abandoned"
	stateLate        = "late"
)

// facts are what the log says of a session. They are changed by fold and fold alone, and stored in Heads as JSON.
type facts struct {
	Session    string                 `json:"session"`
	Agent      string                 `json:"agent,omitempty"`
	Privilege  string                 `json:"privilege,omitempty"`
	Retention  string                 `json:"retention,omitempty"`
	HeartbeatS uint64                 `json:"heartbeat_s,omitempty"`
	Principal  string                 `json:"principal,omitempty"` // as admitted; empty until that is in the log
	How        string                 `json:"how,omitempty"`
	Number     uint64                 `json:"number,omitempty"`
	State      string                 `json:"state"`
	Pending    string                 `json:"pending,omitempty"`     // what a verdict is due for: closed, heard-again, after-close
	GivenUp    bool                   `json:"given_up,omitempty"`    // it was abandoned once
	Closed     bool                   `json:"closed,omitempty"`      // session.close is in the log
	Lost       bool                   `json:"lost,omitempty"`        // and names a lost track
	Spooled    bool                   `json:"spooled,omitempty"`     // a recorder spools when recording fails
	Restarted  bool                   `json:"restarted,omitempty"`   // a recorder was restarted
	BreakGlass bool                   `json:"break_glass,omitempty"` // its privilege is, or was, break-glass
	Overflow   bool                   `json:"overflow,omitempty"`    // more actions were open at once than are remembered, or one began again
	Open       []string               `json:"open,omitempty"`        // actions without an end, in order of intent
	Tracks     map[string]*trackFacts `json:"tracks"`
}

// trackFacts are what the log says of a track.
type trackFacts struct {
	Name     string     `json:"name"`
	Next     uint64     `json:"next"`
	Head     entry.Hash `json:"head"`
	First    entry.Hash `json:"first"`
	Agent    string     `json:"agent"`
	Key      string     `json:"key"` // verifier key
	Opened   uint64     `json:"opened"`
	Keyed    uint64     `json:"keyed"` // index of the last entry that committed to unit keys
	Last     uint64     `json:"last"`  // index of the last entry
	LastSeq  uint64     `json:"last_seq"`
	Closed   bool       `json:"closed,omitempty"`
	Admitted bool       `json:"admitted,omitempty"`
	Holed    bool       `json:"holed,omitempty"` // a later entry is in the log without the one before it
}

func newFacts(session string) facts {
	return facts{Session: session, State: stateOpen, Tracks: map[string]*trackFacts{}}
}

// A folded says what folding an entry did.
type folded int

const (
	foldedNew      folded = iota // the track was extended
	foldedRepeat                 // the text may be one that is in the log already: it changes nothing
	foldedMisplace               // it does not fit: an entry that lost its place in a failed append, and changes nothing
	foldedHole                   // likewise, and the place that it would have is remembered not to be free
)

// fold takes an entry of a recorder into the facts.
func (f *facts) fold(d *digest, openActions int) folded {
	t := f.Tracks[d.track]
	switch {
	case t == nil && d.open == nil:
		return foldedMisplace
	case t == nil && d.track != entry.MainTrack && (f.Tracks[entry.MainTrack] == nil || d.open.main != f.Tracks[entry.MainTrack].First):
		return foldedMisplace
	case t == nil:
		t = &trackFacts{Name: d.track, First: d.hash, Agent: d.open.agent, Key: d.open.vkey, Opened: d.index, Keyed: d.index}
		f.Tracks[d.track] = t
		if d.track == entry.MainTrack {
			f.Agent, f.Privilege, f.Retention, f.HeartbeatS = d.open.agent, d.open.privilege, d.open.retention, d.open.heartbeatS
		}
	case d.seq < t.Next:
		return foldedRepeat
	case d.seq > t.Next && !t.Closed:
		t.Holed = true
		return foldedHole
	case d.seq > t.Next || d.prev != t.Head || t.Closed:
		return foldedMisplace
	}
	t.Next, t.Head, t.Last, t.LastSeq = d.next, d.hash, d.index, d.seq
	if d.rolled {
		t.Keyed = d.index
	}
	f.BreakGlass = f.BreakGlass || d.raised || f.Privilege == breakGlass
	f.Spooled, f.Restarted = f.Spooled || d.spooled, f.Restarted || d.restart
	for _, a := range d.actions {
		f.act(a, openActions)
	}
	f.mark(d, t)
	return foldedNew
}

func (f *facts) act(a actionMark, limit int) {
	i := slices.Index(f.Open, a.action)
	switch {
	case a.begins && i < 0 && len(f.Open) == limit:
		f.Overflow = true
	case a.begins && i < 0:
		f.Open = append(f.Open, a.action)
	case a.begins:
		f.Overflow = true // one end will not tell of both
	case !a.begins && i >= 0:
		f.Open = slices.Delete(f.Open, i, i+1)
		if len(f.Open) == 0 {
			f.Open = nil
		}
	}
}

// mark says which verdict is due after the entry.
func (f *facts) mark(d *digest, t *trackFacts) {
	switch {
	case d.close != nil:
		t.Closed, f.Closed, f.Lost, f.Pending = true, true, d.close.lost, "closed"
	case f.State == stateAbandoned && !f.Closed:
		f.Pending = "heard-again"
	case f.Closed && f.State != stateLate && f.Pending == "":
		f.Pending = "after-close"
	}
}

// admit takes an admitted event in. It tells whether it counts the session of an agent.
func (f *facts) admit(a *entry.Admitted) bool {
	t := f.Tracks[string(a.Track)]
	if t == nil || t.First != a.Open || t.Admitted {
		return false
	}
	t.Admitted = true
	if t.Name != entry.MainTrack {
		return false
	}
	f.Principal, f.How, f.Number = string(a.Principal), string(a.How), a.Number
	return true
}

// judged takes a verdict in.
func (f *facts) judged(v *entry.Verdict) {
	f.State, f.Pending = string(v.Verdict), ""
	f.GivenUp = f.GivenUp || v.Verdict == stateAbandoned
}

// judge is the verdict that is due for a reason.
func (f *facts) judge(why string) *entry.Verdict {
	v := &entry.Verdict{Session: entry.UUID(f.Session), Why: entry.ID(why), Tracks: f.ends()}
	switch why {
	case "silent":
		v.Verdict = stateAbandoned
	case "heard-again", "after-close":
		v.Verdict = stateLate
	default:
		v.Verdict, v.Why = f.judgeClosed()
	}
	return v
}

// judgeClosed looks for what is wrong with a session that was closed, the gravest first.
func (f *facts) judgeClosed() (verdict, why entry.ID) {
	switch {
	case len(f.Open) > 0 || f.Overflow:
		return stateInterrupted, "open-actions"
	case f.Lost:
		return stateInterrupted, "lost-track"
	case f.Spooled:
		return stateInterrupted, "spooled"
	case f.Restarted:
		return stateInterrupted, "restarted"
	case f.GivenUp:
		return stateLate, "closed"
	}
	return stateComplete, "closed"
}

// names lists the tracks, main first, then by name.
func (f *facts) names() []string {
	names := make([]string, 0, len(f.Tracks))
	for name := range f.Tracks {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == entry.MainTrack) != (b == entry.MainTrack) {
			if a == entry.MainTrack {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return names
}

func (f *facts) ends() []entry.TrackEnd {
	ends := make([]entry.TrackEnd, 0, len(f.Tracks))
	for _, name := range f.names() {
		t := f.Tracks[name]
		ends = append(ends, entry.TrackEnd{Track: entry.ID(name), Next: t.Next, Head: t.Head})
	}
	return ends
}

func (f *facts) heads() []Head {
	heads := make([]Head, 0, len(f.Tracks))
	for _, name := range f.names() {
		heads = append(heads, f.Tracks[name].head())
	}
	return heads
}

func (t *trackFacts) head() Head {
	return Head{Track: t.Name, Next: t.Next, Head: t.Head, Closed: t.Closed}
}

// chain is the track as package entry checks it.
func (t *trackFacts) chain(origin, session string) (*entry.Track, error) {
	v, err := note.NewVerifier(t.Key)
	if err != nil {
		return nil, err
	}
	return &entry.Track{
		Origin: origin, Session: session, Name: t.Name, Next: t.Next, Head: t.Head, First: t.First, Agent: t.Agent,
		Closed: t.Closed, Verifier: v,
	}, nil
}

// live tells whether heartbeats are due from the session.
func (f *facts) live() bool { return len(f.Tracks) > 0 && !f.Closed && f.State != stateAbandoned }

// end is the size of the log up to its last entry.
func (f *facts) end() (size uint64) {
	for _, t := range f.Tracks {
		size = max(size, t.Last+1)
	}
	return size
}

// settled tells whether nothing is due about the session: it can leave memory.
func (f *facts) settled() bool { return !f.live() && f.Pending == "" }

// agentFacts are the list of an agent's sessions, as far as the next one needs it.
type agentFacts struct {
	Count   uint64     `json:"count"`
	Session string     `json:"session"`
	Open    entry.Hash `json:"open"`
}

// systemFacts are the last system session in the log.
type systemFacts struct {
	Session string     `json:"session"`
	Next    uint64     `json:"next"`
	Head    entry.Hash `json:"head"`
	Closed  bool       `json:"closed,omitempty"`
}
