package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/payload"
)

// A story is a session as it is told: its events over all tracks, and what the log said of them.
type story struct {
	Session evidence.SessionReport  `json:"session"`
	Proven  evidence.CheckpointInfo `json:"checkpoint"`
	Steps   []step                  `json:"steps"`
}

// A step is one event. Its time is the recorder's word, Logged the log's.
type step struct {
	Time     entry.Time      `json:"time"`
	Logged   entry.Time      `json:"logged"`
	Index    uint64          `json:"index"`
	Track    string          `json:"track"`
	Seq      uint64          `json:"seq"`
	Vantage  string          `json:"vantage"` // observed, self-reported, or log
	Type     entry.Type      `json:"type"`
	Event    json.RawMessage `json:"event"` // exact bytes, as far as JSON in JSON keeps them
	Payloads []sealedPayload `json:"payloads,omitempty"`
}

// A sealedPayload is what stands for sealed bytes, and as much of them as could be opened.
type sealedPayload struct {
	Slot       string   `json:"slot"`
	Media      string   `json:"media"`
	Commitment string   `json:"commitment,omitempty"`
	Sealed     uint64   `json:"sealed_bytes"` // of ciphertext, padded
	Classes    []string `json:"classes"`
	Segments   []shown  `json:"segments,omitempty"`
	Problem    string   `json:"problem,omitempty"` // why it was not opened

	event int
	entry *entry.Entry
}

// A shown is a run of segments that were opened, or were not.
type shown struct {
	Class string `json:"class,omitempty"`
	Text  string `json:"text,omitempty"`
	Bytes []byte `json:"bytes,omitempty"` // where it is not text
	Known bool   `json:"known"`
}

// A leaf of the log that belongs to the session or speaks of it. It has been proven.
type leaf struct {
	index   uint64
	entry   *entry.Entry
	mention bool
}

const byTheLog = "log"

// tell merges tracks by time. A track's own order is never changed by its clock.
func tell(session string, leaves []leaf) ([]step, error) {
	tracks := map[string][]step{}
	vantage := map[string]string{}
	seen := map[string]uint64{} // sequence number after the last, by track: repeats in the log are told once
	for _, l := range leaves {
		name := l.entry.Track
		if l.mention {
			name = byTheLog
		} else if l.entry.Seq < seen[name] {
			continue
		} else {
			seen[name] = l.entry.Next()
		}
		steps, err := stepsOf(session, l)
		if err != nil {
			return nil, err
		}
		if !l.mention && l.entry.Seq == 0 {
			var open entry.TrackOpen // session.open has its members too
			if err := l.entry.Events[0].Decode(&open); err != nil {
				return nil, fmt.Errorf("log index %d: %w", l.index, err)
			}
			vantage[name] = string(open.Vantage)
		}
		tracks[name] = append(tracks[name], steps...)
	}
	for name, steps := range tracks {
		for i := range steps {
			if steps[i].Vantage == "" {
				steps[i].Vantage = vantage[name]
			}
		}
	}
	return merge(tracks), nil
}

func stepsOf(session string, l leaf) ([]step, error) {
	e := l.entry
	var steps []step
	for i, ev := range e.Events {
		if l.mention && (ev.Type == entry.TypeLiveness || !bytes.Contains(ev.Raw, []byte(`"`+session+`"`))) {
			continue
		}
		s := step{Time: ev.Time, Index: l.index, Track: e.Track, Seq: e.Seq + uint64(i), Type: ev.Type, Event: json.RawMessage(ev.Raw)}
		if e.Received != nil {
			s.Logged = e.Received.Time
		}
		if l.mention {
			s.Vantage = byTheLog
		}
		var err error
		if s.Payloads, err = payloadsOf(e, i); err != nil {
			return nil, fmt.Errorf("log index %d: %w", l.index, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func merge(tracks map[string][]step) []step {
	var names []string
	total := 0
	for name, steps := range tracks {
		if len(steps) > 0 {
			names, total = append(names, name), total+len(steps)
		}
	}
	all := make([]step, 0, total)
	for len(names) > 0 {
		first := slices.MinFunc(names, func(a, b string) int {
			x, y := tracks[a][0], tracks[b][0]
			return cmp.Or(cmp.Compare(x.Time, y.Time), cmp.Compare(x.Index, y.Index), cmp.Compare(x.Seq, y.Seq))
		})
		all = append(all, tracks[first][0])
		if tracks[first] = tracks[first][1:]; len(tracks[first]) == 0 {
			names = slices.DeleteFunc(names, func(n string) bool { return n == first })
		}
	}
	return all
}

// payloadsOf lists the payloads of an event in the order of its members.
func payloadsOf(e *entry.Entry, event int) ([]sealedPayload, error) {
	var all []sealedPayload
	for _, b := range e.Blobs {
		if b.Event != event {
			continue
		}
		slot := slotOf(b)
		if len(all) == 0 || all[len(all)-1].Slot != slot {
			ref, err := refAt(e.Events[event].Raw, slot)
			if err != nil {
				return nil, err
			}
			p := sealedPayload{Slot: slot, Media: string(ref.Media), entry: e, event: event}
			if ref.Commitment != nil {
				p.Commitment = ref.Commitment.String()
			} else {
				p.Media = fmt.Sprintf("%d parts", len(ref.Parts))
			}
			all = append(all, p)
		}
		p := &all[len(all)-1]
		p.Sealed += b.Size
		if !slices.Contains(p.Classes, b.Class) {
			p.Classes = append(p.Classes, b.Class)
		}
	}
	return all, nil
}

// refAt finds what stands for a payload in an event, by the path that entry.BlobAt gives.
func refAt(event []byte, slot string) (*entry.Payload, error) {
	at := json.RawMessage(event)
	for name := range strings.SplitSeq(slot, "/") {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(at, &members); err != nil {
			return nil, fmt.Errorf("looking for payload %s: %w", slot, err)
		}
		at = members[name]
	}
	ref := &entry.Payload{}
	if err := json.Unmarshal(at, ref); err != nil {
		return nil, fmt.Errorf("reading payload %s: %w", slot, err)
	}
	return ref, nil
}

// segmentsOf joins neighbours of one class.
func segmentsOf(opened payload.Shown) []shown {
	var all []shown
	for _, s := range opened.Segments {
		class := ""
		if s.Known {
			class = s.Class.String()
		}
		if n := len(all); n > 0 && all[n-1].Known == s.Known && all[n-1].Class == class {
			all[n-1].Bytes = append(all[n-1].Bytes, s.Bytes...)
			continue
		}
		all = append(all, shown{Class: class, Known: s.Known, Bytes: slices.Clone(s.Bytes)})
	}
	for i := range all {
		if opened.Media != payload.Binary {
			all[i].Text, all[i].Bytes = string(all[i].Bytes), nil
		}
	}
	return all
}
