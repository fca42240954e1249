package recording

import (
	"bytes"
	"fmt"

	"github.com/stenolog/steno/entry"
)

// A digest is what folding needs of an entry: all of it that can be taken out in parallel, ahead of the fold. It aliases
// nothing of the leaf.
type digest struct {
	index      uint64
	session    string
	track      string
	seq, next  uint64
	prev, hash entry.Hash
	received   entry.Time
	key        string // NAME+KEYID of the recorder
	line       string // the receipt's, on the live path

	open    *opening
	rolled  bool         // session.roll with new keys
	restart bool         // session.roll that says the recorder was restarted
	spooled bool         // session.roll that says that actions went on while they could only be spooled
	close   *closing     // session.close
	raised  bool         // privilege.change to break-glass
	actions []actionMark // in order
	ids     []idMark     // of managed events
	system  []systemMark // of the log's own events
}

// opening is what a track's first event says.
type opening struct {
	agent      string
	vkey       string
	main       entry.Hash
	privilege  string
	retention  string
	heartbeatS uint64
}

// closing is what session.close says beyond that it does.
type closing struct{ lost bool }

type actionMark struct {
	action string
	begins bool
}

type idMark struct {
	id  string
	seq uint64
}

type systemMark struct {
	typ     entry.Type
	session string
	value   any
}

// digestOf takes out of an entry what folding needs. The entry was read strictly before.
func digestOf(e *entry.Entry) (*digest, error) {
	d := &digest{
		session: e.Session, track: e.Track, seq: e.Seq, next: e.Next(), prev: e.Prev, hash: e.Hash(),
		key: keyOf(e.Recorder.Name, e.Recorder.Hash),
	}
	if e.Received != nil {
		d.received = e.Received.Time
	}
	for i, ev := range e.Events {
		if err := d.event(e.Track, e.Seq+uint64(i), ev); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func keyOf(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

func (d *digest) event(track string, seq uint64, ev entry.Event) error {
	if track == entry.SystemTrack {
		v, err := ev.Value()
		if err != nil {
			return err
		}
		d.system = append(d.system, systemMark{typ: ev.Type, session: mentioned(v), value: v})
		return nil
	}
	if id := member(ev.Raw, `"event_id":"`); id != "" {
		d.ids = append(d.ids, idMark{id, seq})
	}
	switch ev.Type {
	case entry.TypeSessionOpen, entry.TypeTrackOpen:
		return d.opens(ev)
	case entry.TypeSessionRoll:
		var v entry.SessionRoll
		if err := ev.Decode(&v); err != nil {
			return err
		}
		d.rolled = d.rolled || len(v.Keys) > 0
		d.restart = d.restart || v.Why == "restart"
		d.spooled = d.spooled || v.OnFailure == "spool"
	case entry.TypeSessionClose:
		var v entry.SessionClose
		if err := ev.Decode(&v); err != nil {
			return err
		}
		d.close = &closing{}
		for _, t := range v.Tracks {
			d.close.lost = d.close.lost || t.Lost
		}
	case entry.TypePrivilegeChange:
		var v entry.PrivilegeChange
		if err := ev.Decode(&v); err != nil {
			return err
		}
		d.raised = d.raised || v.Privilege == breakGlass
	case entry.TypeActionIntent:
		d.actions = append(d.actions, actionMark{member(ev.Raw, `"action":"`), true})
	case entry.TypeActionResult, entry.TypeActionReject, entry.TypeActionSettle:
		d.actions = append(d.actions, actionMark{member(ev.Raw, `"action":"`), false})
	}
	return nil
}

func (d *digest) opens(ev entry.Event) error {
	var v entry.SessionOpen // has all members of track.open but main
	var t entry.TrackOpen
	if err := ev.Decode(&v); err != nil {
		return err
	}
	if ev.Type == entry.TypeTrackOpen {
		if err := ev.Decode(&t); err != nil {
			return err
		}
	}
	d.open = &opening{
		agent: string(v.Agent), main: t.Main, privilege: string(v.Privilege), retention: string(v.Retention.Class),
		heartbeatS: v.HeartbeatS, vkey: enrolledKey(string(v.Enrolment)),
	}
	return nil
}

// enrolledKey is the third line of an enrolment, which was verified when the track was admitted.
func enrolledKey(enrolment string) string {
	lines := bytes.SplitN([]byte(enrolment), []byte("\n"), 4)
	if len(lines) < 4 {
		return ""
	}
	return string(lines[2])
}

// member finds the value of a string member that stands on the top level of its event only. The form of events is strict:
// in strings every quote is escaped, so that the pattern, quotes included, matches nothing but the member.
func member(raw []byte, pattern string) string {
	i := bytes.Index(raw, []byte(pattern))
	if i < 0 {
		return ""
	}
	rest := raw[i+len(pattern):]
	return string(rest[:max(0, bytes.IndexByte(rest, '"'))])
}

// mentioned is the session that a system event speaks about, if it is one.
func mentioned(v any) string {
	switch v := v.(type) {
	case *entry.Admitted:
		return string(v.Session)
	case *entry.Verdict:
		return string(v.Session)
	case *entry.Alert:
		return string(v.Session)
	case *entry.Access:
		return string(v.Session)
	case *entry.Erasure:
		return string(v.Session)
	}
	return ""
}

// mentions lists every session that a system event speaks about, apart from liveness, which speaks of all every minute.
func mentions(m systemMark) []string {
	var many []entry.UUID
	switch v := m.value.(type) {
	case *entry.Disclosure:
		many = v.Sessions
	case *entry.RetentionSet:
		many = v.Sessions
	case *entry.RetentionExpired:
		many = v.Sessions
	case *entry.HoldPlace:
		many = v.Sessions
	default:
		if m.session == "" {
			return nil
		}
		return []string{m.session}
	}
	out := make([]string, len(many))
	for i, s := range many {
		out[i] = string(s)
	}
	return out
}
