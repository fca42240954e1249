package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
)

// A row is an event as the page describes it.
type row struct {
	Date, Clock string // of the receipt, in UTC
	Recorder    string // the recorder's own time
	Track       said
	Seq, Index  uint64
	Words       string // what kind of event it is
	Type        said
	Members     []member
	Payloads    []shown
	Wrong       string // why there is nothing to describe
}

// A member is one of an event's, in words.
type member struct {
	Name  said
	Value said
}

// An object is a JSON object in the order in which it was written.
type object []struct {
	name  string
	value any // string, json.Number, bool, []any or object
}

// decode reads an event. The entry was read strictly, so that it is one object of bounded depth.
func decode(raw []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := value(d)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, errors.New("an event that is no object")
	}
	return o, nil
}

func value(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		return members(d)
	}
	return t, nil
}

func members(d *json.Decoder) (any, error) {
	o := object{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := value(d)
		if err != nil {
			return nil, err
		}
		o = append(o, struct {
			name  string
			value any
		}{fmt.Sprint(name), v})
	}
	_, err := d.Token()
	return o, err
}

func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// isPayload tells whether an object refers to sealed bytes.
func isPayload(v any) bool {
	o, ok := v.(object)
	return ok && (o.get("parts") != nil || o.get("commitment") != nil && o.get("blobs") != nil)
}

// slots lists the paths of an event's payloads.
func (o object) slots(path string) (all []string) {
	for _, m := range o {
		if isPayload(m.value) {
			all = append(all, path+m.name)
		} else if inner, ok := m.value.(object); ok {
			all = append(all, inner.slots(path+m.name+"/")...)
		}
	}
	return all
}

// payloadAt is the payload in an event under a path of members.
func payloadAt(ev entry.Event, path string) (*entry.Payload, error) {
	raw := json.RawMessage(ev.Raw)
	for name := range strings.SplitSeq(path, "/") {
		var o map[string]json.RawMessage
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, err
		}
		raw = o[name]
	}
	p := new(entry.Payload)
	return p, json.Unmarshal(raw, p)
}

// apart are members that say nothing to people, or what the page says elsewhere: keys, notes, hashes that link entries.
func apart(name string) bool {
	return slices.Contains([]string{"event", "time", "enrolment", "checkpoint", "keys", "mac", "event_id", "token", "open", "main", "head", "previous", "commitment"}, name)
}

// describe says what stands in an event of a session, apart from its payloads: what says something by itself.
func (o object) describe(session string) (all []member) {
	for _, m := range o {
		if apart(m.name) || isPayload(m.value) || m.name == "session" && m.value == session {
			continue
		}
		if text := flat(m.name, m.value); text != "" {
			all = append(all, member{said(memberWords(m.name)), said(text)})
		}
	}
	return all
}

// flat writes a value in one line.
func flat(name string, v any) string {
	switch v := v.(type) {
	case []any:
		var parts []string
		for _, x := range v {
			if s := flat(name, x); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, "; ")
	case object:
		return flatObject(v)
	case json.Number:
		if n, err := v.Int64(); err == nil && name == "duration_us" {
			return fmt.Sprintf("%d.%06d s", n/1e6, n%1e6)
		}
	}
	return fmt.Sprint(v)
}

func flatObject(o object) string {
	track, seq := o.get("track"), o.get("seq")
	if track != nil && seq != nil && len(o) == 2 {
		return fmt.Sprintf("%v / %v", track, seq)
	}
	var parts []string
	for _, m := range o {
		if apart(m.name) || isPayload(m.value) {
			continue
		}
		if s := flat(m.name, m.value); s != "" {
			parts = append(parts, memberWords(m.name)+" "+s)
		}
	}
	return strings.Join(parts, ", ")
}
