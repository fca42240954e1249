package evidence

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// blobs checks sealed bytes against the entries that name them.
func (v *verification) blobs(r *Report) {
	named := map[entry.Hash]uint64{} // sizes
	where := map[entry.Hash][]string{}
	total := map[string]int{} // by session
	for _, l := range v.b.Leaves {
		e := v.entries[l.Index]
		if e == nil {
			continue
		}
		total[e.Session] += len(e.Blobs)
		for _, b := range e.Blobs {
			if size, ok := named[b.SHA256]; ok && size != b.Size {
				v.find(CheckBlobs, Failed, placeOf(l.Index, e), "names bytes by another size than an entry before it")
			}
			named[b.SHA256] = b.Size
			where[b.SHA256] = append(where[b.SHA256], e.Session)
		}
	}
	included := map[string]int{}
	for _, b := range v.b.Blobs {
		place := Where{File: blobName(b.SHA256)}
		size, ok := named[b.SHA256]
		if !ok {
			v.find(CheckBlobs, Failed, place, "no entry here names these bytes")
			continue
		}
		content, err := b.Load()
		if err != nil {
			v.find(CheckBlobs, Failed, place, err.Error())
			continue
		}
		if uint64(len(content)) != size || sha256.Sum256(content) != b.SHA256 {
			v.find(CheckBlobs, Failed, place, "not the bytes that the entry names")
			continue
		}
		v.passed[CheckBlobs]++
		for _, session := range where[b.SHA256] {
			included[session]++
		}
	}
	for i := range r.Sessions {
		id := r.Sessions[i].Session
		r.Sessions[i].Payloads = PayloadsReport{Blobs: total[id], Included: included[id]}
	}
}

func (v *verification) disclosures(r *Report) {
	for _, d := range v.b.Disclosed {
		where := Where{File: d.name(), Index: &d.Index, Event: &d.Event, Member: d.Slot}
		session, err := v.disclosure(d)
		if err != nil {
			v.find(CheckDisclosures, Failed, where, err.Error())
			continue
		}
		v.passed[CheckDisclosures]++
		for i := range r.Sessions {
			if r.Sessions[i].Session == session {
				r.Sessions[i].Payloads.Disclosed++
			}
		}
	}
}

func (v *verification) disclosure(d Disclosed) (session string, err error) {
	e := v.entries[d.Index]
	if e == nil || d.Event >= len(e.Events) {
		return "", errors.New("the event that it belongs to is not here")
	}
	p, err := payloadAt(e.Events[d.Event], d.Slot)
	if err != nil {
		return "", err
	}
	_, err = d.Open(p)
	return e.Session, err
}

// Open loads a disclosure and verifies it against the payload that stands in the event.
func (d Disclosed) Open(p *entry.Payload) (payload.Shown, error) {
	raw, err := d.Load()
	if err != nil {
		return payload.Shown{}, fmt.Errorf("loading: %w", err)
	}
	var disclosure payload.Disclosure
	// Not json.Unmarshal, which is lenient about white space around the one form.
	if err := disclosure.UnmarshalJSON(raw); err != nil {
		return payload.Shown{}, err
	}
	return payload.VerifyDisclosure(payload.RefOf(p), disclosure)
}

// payloadAt is the payload in an event under a path of members, such as "model/parameters".
func payloadAt(ev entry.Event, slot string) (*entry.Payload, error) {
	raw := json.RawMessage(ev.Raw)
	for name := range strings.SplitSeq(slot, "/") {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil || object[name] == nil {
			return nil, errors.New("the event has no such payload")
		}
		raw = object[name]
	}
	p := new(entry.Payload)
	if err := json.Unmarshal(raw, p); err != nil || p.Commitment == nil && p.Parts == nil {
		return nil, errors.New("the event has no such payload")
	}
	return p, nil
}
