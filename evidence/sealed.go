package evidence

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// sealed is what is known of sealed bytes: by whom they are named, and which are here.
type sealed struct {
	table map[entry.Hash]sealedBlob
	count map[string]*PayloadsReport // by session
	errs  []error                    // what is wrong with the file's blobs, each by itself
}

type sealedBlob struct {
	size     uint64 // by the entries
	content  uint64 // bytes that are here
	included bool
	named    bool
}

// loadBlobs compares the file's blobs with their names, on all cores.
func (v *verification) loadBlobs() {
	v.sealed = sealed{table: make(map[entry.Hash]sealedBlob, len(v.b.Blobs)), count: map[string]*PayloadsReport{}, errs: make([]error, len(v.b.Blobs))}
	for _, id := range v.b.Sessions {
		v.sealed.count[id] = &PayloadsReport{}
	}
	type loaded struct {
		blob int
		size int
		err  error
	}
	inOrder(len(v.b.Blobs), func(n int) loaded {
		content, err := v.b.Blobs[n].Load()
		if err == nil && sha256.Sum256(content) != v.b.Blobs[n].SHA256 {
			err = errOtherBytes
		}
		return loaded{n, len(content), err}
	}, func(l loaded) {
		if v.sealed.errs[l.blob] = l.err; l.err == nil {
			v.sealed.table[v.b.Blobs[l.blob].SHA256] = sealedBlob{content: uint64(l.size), included: true}
		}
	})
}

var errOtherBytes = errors.New("not the bytes that the entry names")

// named notes the sealed bytes that an entry names.
func (v *verification) named(index uint64, e *entry.Entry) {
	count := v.sealed.count[e.Session]
	for _, b := range e.Blobs {
		s := v.sealed.table[b.SHA256]
		if s.named && s.size != b.Size {
			v.find(CheckBlobs, Failed, placeOf(index, e), "names bytes by another size than an entry before it")
		}
		s.named, s.size = true, b.Size
		v.sealed.table[b.SHA256] = s
		if count != nil {
			count.Blobs++
			if s.included && s.content == b.Size {
				count.Included++
			}
		}
	}
}

// blobs checks the file's sealed bytes against what entries named.
func (v *verification) blobs(r *Report) {
	for i, b := range v.b.Blobs {
		s, err := v.sealed.table[b.SHA256], v.sealed.errs[i]
		place := Where{File: blobName(b.SHA256)}
		switch {
		case !s.named:
			v.find(CheckBlobs, Failed, place, "no entry here names these bytes")
		case err != nil:
			v.unread(CheckBlobs, place, err)
		case s.size != s.content:
			v.find(CheckBlobs, Failed, place, errOtherBytes.Error())
		default:
			v.passed[CheckBlobs]++
		}
	}
	for i := range r.Sessions {
		r.Sessions[i].Payloads = *v.sealed.count[r.Sessions[i].Session]
	}
}

// A readDisclosure is a disclosure that was compared with its entry, in any goroutine.
type readDisclosure struct {
	*Disclosed
	err     error
	classes []string // that it shows something of
}

// largeDisclosure is from which size on disclosures are loaded one at a time. Reading one takes several times its size.
const largeDisclosure = 1 << 20

func (v *verification) readDisclosure(d *Disclosed, e *entry.Entry) readDisclosure {
	out := readDisclosure{Disclosed: d}
	if e == nil || d.Event >= len(e.Events) {
		out.err = errNoEvent
		return out
	}
	p, err := payloadAt(e.Events[d.Event], d.Slot)
	if err != nil {
		out.err = err
		return out
	}
	if d.size == 0 || d.size >= largeDisclosure {
		v.large.Lock()
		defer v.large.Unlock()
	}
	shown, err := d.Open(p)
	out.err = err
	for _, s := range shown.Segments {
		if class := s.Class.String(); s.Known && !slices.Contains(out.classes, class) {
			out.classes = append(out.classes, class)
		}
	}
	return out
}

var errNoEvent = errors.New("the event that it belongs to is not here")

// disclosure judges a disclosure in its turn: e is its entry, or nil if that was refused.
func (v *verification) disclosure(d readDisclosure, e *entry.Entry) {
	where := Where{File: d.name(), Index: &d.Index, Event: &d.Event, Member: d.Slot}
	if e == nil {
		d.err = errNoEvent
	}
	if d.err != nil {
		v.unread(CheckDisclosures, where, d.err)
		return
	}
	v.passed[CheckDisclosures]++
	if count := v.sealed.count[e.Session]; count != nil {
		count.Disclosed++
	}
	v.shows(where, d.classes)
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
