package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// sealed is what is known of sealed bytes: by whom they are named, and which are here. There is a word for each blob of the file, and
// something more for those that are not as they should be.
type sealed struct {
	sizes  []uint64                   // of the file's blobs, in their order, as entries say; unnamed if none does
	absent map[entry.Hash]uint64      // sizes of those that are not here
	errs   map[int]error              // what is wrong with the file's blobs, each by itself
	count  map[string]*PayloadsReport // by session
}

const unnamed = math.MaxUint64

// loadBlobs compares the file's blobs with their names, on all cores.
func (v *verification) loadBlobs() {
	v.sealed = sealed{sizes: slices.Repeat([]uint64{unnamed}, len(v.b.Blobs)), absent: map[entry.Hash]uint64{}, errs: map[int]error{}, count: map[string]*PayloadsReport{}}
	for _, id := range v.b.Sessions {
		v.sealed.count[id] = &PayloadsReport{}
	}
	type loaded struct {
		blob int
		err  error
	}
	inOrder(len(v.b.Blobs), func(n int) loaded {
		content, err := v.b.Blobs[n].Load()
		if err == nil && sha256.Sum256(content) != v.b.Blobs[n].SHA256 {
			err = errOtherBytes
		}
		return loaded{n, err}
	}, func(l loaded) {
		if l.err != nil {
			v.sealed.errs[l.blob] = l.err
		}
	})
}

var errOtherBytes = errors.New("not the bytes that the entry names")

// named notes the sealed bytes that an entry names.
func (v *verification) named(index uint64, e *entry.Entry) {
	count := v.sealed.count[e.Session]
	for _, b := range e.Blobs {
		n, here := slices.BinarySearchFunc(v.b.Blobs, b.SHA256, func(a Blob, h entry.Hash) int { return bytes.Compare(a.SHA256[:], h[:]) })
		before, known := v.sealed.absent[b.SHA256]
		if here {
			before, v.sealed.sizes[n] = v.sealed.sizes[n], b.Size
			known = before != unnamed
		} else {
			v.sealed.absent[b.SHA256] = b.Size
		}
		if known && before != b.Size {
			v.find(CheckBlobs, Failed, placeOf(index, e), "names bytes by another size than an entry before it")
		}
		if count != nil {
			count.Blobs++
			if here && v.sealed.errs[n] == nil && uint64(v.b.Blobs[n].Size()) == b.Size {
				count.Included++
			}
		}
	}
}

// blobs checks the file's sealed bytes against what entries named.
func (v *verification) blobs(r *Report) {
	for i, b := range v.b.Blobs {
		size, err := v.sealed.sizes[i], v.sealed.errs[i]
		place := Where{File: blobName(b.SHA256)}
		switch {
		case size == unnamed:
			v.find(CheckBlobs, Failed, place, "no entry here names these bytes")
		case err != nil:
			v.unread(CheckBlobs, place, err)
		case size != uint64(b.Size()):
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
	if d.Size() >= largeDisclosure {
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
