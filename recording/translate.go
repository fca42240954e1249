package recording

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A plainEvent is what a client of managed recording wrote: the event with payloads in clear, translated so far that
// package entry has checked all but those.
type plainEvent struct {
	typ      entry.Type
	time     entry.Time // zero: the server's
	id       string     // event id, given or minted
	given    bool
	mac      entry.Hash
	line     []byte // in entry's form, with a dummy in the place of each payload
	payloads []plainPayload
	at       int // in the request
}

type plainPayload struct {
	path  []string // of members
	bytes []byte   // exactly as they came
}

// directorySlots are the payloads that say who, why and on what. All others are content.
var directorySlots = map[string]bool{
	"principal": true, "on_behalf_of": true, "purpose": true, "target": true, "approver": true, "reason": true,
}

// dummy stands for a payload until it is sealed. It is as long as a real one can be, so that what fits with it fits.
const dummy = `{"media":"binary","commitment":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","blobs":[{"class":"directory",` +
	`"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","size":99999999}]}`

// headerRoom is the most that an entry's header takes beside one event.
const headerRoom = 300

// reserved are members that the server writes.
var reserved = map[entry.Type][]string{
	entry.TypeSessionOpen:  {"vantage", "capture", "on_failure", "keys", "enrolment", "checkpoint"},
	entry.TypeTrackOpen:    {"vantage", "capture", "on_failure", "keys", "enrolment", "checkpoint", "main"},
	entry.TypeSessionClose: {"tracks"},
}

// translate makes an event of type typ of its members. Extra are members that the server writes, as JSON.
func translate(typ entry.Type, ms []jsonMember, extra string) (*plainEvent, error) {
	p := &plainEvent{typ: typ}
	var b bytes.Buffer
	stamp := dummyTime
	for _, m := range ms {
		switch m.name {
		case "event":
			continue
		case "time":
			if err := p.time.UnmarshalText(bytes.Trim(m.value, `"`)); err != nil || m.value[0] != '"' {
				return nil, badMember("time", entry.BadValue, "time is not RFC 3339 in UTC with six decimals and Z")
			}
			continue
		case "event_id":
			id := string(bytes.Trim(m.value, `"`))
			if m.value[0] != '"' || entry.CheckID(id) != nil {
				return nil, badMember("event_id", CodeEventID, "an event id is a string of 1 to 128 of letters, digits and . _ : / + -")
			}
			p.id, p.given = id, true
			continue
		case "mac":
			return nil, badMember(m.name, CodeReservedMember, "the server writes this member")
		}
		for _, name := range reserved[typ] {
			if m.name == name {
				return nil, badMember(name, CodeReservedMember, "the server writes this member")
			}
		}
		fmt.Fprintf(&b, `,"%s":`, m.name)
		if err := p.copy(&b, memberType(goType(typ), m.name), m.value, []string{m.name}); err != nil {
			return nil, err
		}
	}
	p.line = fmt.Appendf(nil, `{"event":"%s","time":"%s"%s%s}`, typ, stamp, b.Bytes(), extra)
	p.order()
	return p, p.check()
}

// order brings the payloads into the order of the event's struct: it is written so, and blobs follow the event.
func (p *plainEvent) order() {
	var paths []string
	var walk func(rt reflect.Type, prefix string)
	walk = func(rt reflect.Type, prefix string) {
		for i := range rt.NumField() {
			f := rt.Field(i)
			t := f.Type
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous:
				walk(t, prefix)
			case t == reflect.TypeFor[entry.Payload]():
				paths = append(paths, prefix+name)
			case t.Kind() == reflect.Struct:
				walk(t, prefix+name+"/")
			}
		}
	}
	walk(goType(p.typ), "")
	slices.SortStableFunc(p.payloads, func(a, b plainPayload) int {
		return slices.Index(paths, strings.Join(a.path, "/")) - slices.Index(paths, strings.Join(b.path, "/"))
	})
}

const dummyTime = "2026-01-01T00:00:00.000000Z"

// check lets package entry judge the event, with the longest that the server will add.
func (p *plainEvent) check() error {
	line := fmt.Appendf(bytes.Clone(p.line[:len(p.line)-1]), `,"event_id":"%s","mac":"%s"}`, strings.Repeat("x", 36), entry.Hash{})
	if p.given {
		line = fmt.Appendf(bytes.Clone(p.line[:len(p.line)-1]), `,"event_id":"%s","mac":"%s"}`, p.id, entry.Hash{})
	}
	if _, err := entry.ParseEvent(line); err != nil {
		pr := asProblem(err)
		pr.Offset = -1 // it counts in the translated line, which the client does not have
		return pr
	}
	if len(line)+headerRoom > entry.MaxText {
		return problem(entry.Oversize, "the event without its payloads is larger than an entry")
	}
	return nil
}

func badMember(name string, code entry.Code, detail string) *Problem {
	p := problem(code, "%s", detail)
	p.Member = name
	return p
}

// copy writes a value without white space, and takes payloads out of it.
func (p *plainEvent) copy(b *bytes.Buffer, rt reflect.Type, value []byte, path []string) error {
	switch {
	case rt == reflect.TypeFor[entry.Payload]():
		if len(value) > payload.MaxPayload {
			return badMember(strings.Join(path, "."), entry.Oversize, "payload of more than 16 MiB")
		}
		p.payloads = append(p.payloads, plainPayload{path, value})
		b.WriteString(dummy)
	case value[0] == '{':
		ms, err := members(value)
		if err != nil {
			return err
		}
		b.WriteByte('{')
		for i, m := range ms {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, `"%s":`, m.name)
			if err := p.copy(b, memberType(rt, m.name), m.value, append(path[:len(path):len(path)], m.name)); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case value[0] == '[':
		all, err := elements(value, maxMembers)
		if err != nil {
			return err
		}
		b.WriteByte('[')
		for i, e := range all {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := p.copy(b, nil, e, path); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		b.Write(value)
	}
	return nil
}

// goType is the struct of an event's type, nil if there is none.
func goType(t entry.Type) reflect.Type {
	v, err := (entry.Event{Type: t, Raw: []byte("{}")}).Value()
	if err != nil {
		return nil
	}
	return reflect.TypeOf(v).Elem()
}

// memberType is the struct type of an object's member that is an object, nil for all others: package entry judges those.
func memberType(rt reflect.Type, name string) reflect.Type {
	if rt == nil || rt.Kind() != reflect.Struct {
		return nil
	}
	for i := range rt.NumField() {
		f := rt.Field(i)
		if f.Anonymous {
			if t := memberType(f.Type, name); t != nil {
				return t
			}
			continue
		}
		if n, _, _ := strings.Cut(f.Tag.Get("json"), ","); n == name {
			if f.Type.Kind() == reflect.Pointer {
				return f.Type.Elem()
			}
			return f.Type
		}
	}
	return nil
}

// event is what the recorder builds of it.
func (p *plainEvent) event() recorder.Event {
	return recorder.Event{Type: p.typ, Time: p.time, Build: p.build}
}

func (p *plainEvent) build(seal recorder.Seal) (any, error) {
	ev := entry.Event{Type: p.typ, Raw: p.line}
	v, err := ev.Value()
	if err != nil {
		return nil, err
	}
	rv := reflect.ValueOf(v).Elem()
	for _, x := range p.payloads {
		class := payload.Content
		if directorySlots[x.path[len(x.path)-1]] {
			class = payload.Directory
		}
		sealed, err := seal(strings.Join(x.path, "/"), payload.JSON, class, x.bytes)
		if err != nil {
			return nil, err
		}
		at := rv
		for _, name := range x.path {
			at = field(at, name)
		}
		at.Set(reflect.ValueOf(sealed))
	}
	rv.FieldByName("Managed").Set(reflect.ValueOf(entry.Managed{EventID: entry.ID(p.id), MAC: &p.mac}))
	return v, nil
}

// field finds the field of a member, which exists: the line was decoded into it.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if found := field(v.Field(i), name); found.IsValid() {
				return found
			}
			continue
		}
		if n, _, _ := strings.Cut(f.Tag.Get("json"), ","); n == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}
