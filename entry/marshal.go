package entry

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Marshal writes an event: type and time, then the members of v, which is the struct of that type (or a pointer to it). The
// result is one line without its line feed, in the form that Parse accepts, and has been checked to be so.
func Marshal(t Type, at Time, v any) ([]byte, error) {
	stamp, err := at.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("writing event %s: %w", t, err)
	}
	var buf bytes.Buffer
	fmt.Fprintf(&buf, `{"event":"%s","time":"%s"`, t, stamp)
	head := buf.Len()
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("writing event %s: %w", t, err)
	}
	line := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if len(line) == head+2 { // no members: {}
		line = line[:head]
		line = append(line, '}')
	} else {
		line[head] = ','
	}
	if _, err := ParseEvent(line); err != nil {
		return nil, fmt.Errorf("writing event %s: %w", t, err)
	}
	return line, nil
}

// ParseEvent reads one event line outside an entry.
func ParseEvent(line []byte) (Event, error) {
	if len(line) > MaxText {
		return Event{}, errorAt(Oversize, MaxText, "event of %d bytes", len(line))
	}
	if err := checkBytes(line); err != nil {
		return Event{}, err
	}
	s := scanner{b: line, entry: new(Entry)}
	return s.scanEvent()
}

// Blobs lists the blobs that an event line names, in its order.
func Blobs(line []byte) ([]BlobAt, error) {
	e := new(Entry)
	s := scanner{b: line, entry: e}
	_, err := s.scanEvent()
	return e.Blobs, err
}

// Decode fills v, a pointer to the struct of the event's type. The line was read strictly before, so that encoding/json's
// own leniency has nothing to work on.
func (ev Event) Decode(v any) error {
	if err := json.Unmarshal(ev.Raw, v); err != nil {
		return fmt.Errorf("decoding event %s: %w", ev.Type, err)
	}
	return nil
}

// Value is the event decoded into a new struct of its type.
func (ev Event) Value() (any, error) {
	v := lookup(ev.Type).sample()
	return v, ev.Decode(v)
}
