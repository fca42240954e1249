package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
)

const disclosureFormat = "steno/disclosure/v1"

// A Disclosure shows some segments of a payload to somebody without keys. Its JSON has one form: these members, in this
// order, no white space, base64 for bytes.
type Disclosure struct {
	Format string          `json:"format"` // "steno/disclosure/v1"
	Parts  []DisclosedPart `json:"parts"`  // one for a payload without parts
}

// A DisclosedPart shows some segments of one part.
type DisclosedPart struct {
	Segments int                `json:"segments"` // how many the part has
	Shown    []DisclosedSegment `json:"shown"`    // by ascending index
	Hidden   [][]byte           `json:"hidden"`   // hashes of the largest subtrees without a shown segment, left to right
}

// A DisclosedSegment is one shown segment, and what its leaf hash is made of.
type DisclosedSegment struct {
	Index int    `json:"index"`
	Class string `json:"class"`
	Salt  []byte `json:"salt"`
	Bytes []byte `json:"bytes"`
}

// Disclose makes a disclosure of the known segments for which show, given their index in o.Segments, is true. A nil show
// discloses all that is known.
func (o *Opened) Disclose(show func(i int) bool) Disclosure {
	d := Disclosure{Format: disclosureFormat, Parts: make([]DisclosedPart, len(o.parts))}
	for k, p := range o.parts {
		part := DisclosedPart{Segments: p.n, Shown: []DisclosedSegment{}, Hidden: [][]byte{}}
		var index []int
		for i, seg := range o.Segments[p.first : p.first+p.n] {
			if !seg.Known || show != nil && !show(p.first+i) {
				continue
			}
			s := p.salts[i]
			b := append([]byte{}, seg.Bytes...)
			part.Shown = append(part.Shown, DisclosedSegment{i, seg.Class.String(), s[:], b})
			index = append(index, i)
		}
		for _, s := range covers(p.n, index) {
			h, ok := p.known.of(s)
			if !ok {
				// Each opened blob brought the covers of its own segments, and those of a subset are made of them.
				panic("payload: a proven tree lacks a hash")
			}
			part.Hidden = append(part.Hidden, h[:])
		}
		d.Parts[k] = part
	}
	return d
}

// VerifyDisclosure checks d, with no key, against the reference that stands in the event, and returns what it shows.
// The caller must show hidden segments as such: what stands beside one may be a fragment.
func VerifyDisclosure(ref Ref, d Disclosure) (Shown, error) {
	if err := ref.Check(); err != nil {
		return Shown{}, fmt.Errorf("verifying disclosure: %w", err)
	}
	list := ref.list()
	if d.Format != disclosureFormat || len(d.Parts) != len(list) {
		return Shown{}, fmt.Errorf("verifying disclosure: %w: unknown format or another number of parts", ErrDisclosure)
	}
	out := Shown{Media: list[0].Media}
	for k, p := range d.Parts {
		segs, err := p.verify(list[k])
		if err != nil {
			return Shown{}, fmt.Errorf("verifying part %d of disclosure: %w", k, err)
		}
		for i := range segs {
			segs[i].Part = k
		}
		out.Segments = append(out.Segments, segs...)
	}
	return out, nil
}

func (p DisclosedPart) verify(ref Ref) ([]ShownSegment, error) {
	if p.Segments < 1 || p.Segments > MaxSegments || len(p.Shown) > p.Segments {
		return nil, fmt.Errorf("%w: number of segments", ErrDisclosure)
	}
	segs := make([]ShownSegment, p.Segments)
	for i := range segs {
		segs[i].Index = i
	}
	known := hashes{leaf: make(map[int]Hash), inner: make(map[span]Hash)}
	index := make([]int, 0, len(p.Shown))
	total := 0
	for _, s := range p.Shown {
		seg, h, err := s.check(ref, p.Segments)
		if err != nil {
			return nil, err
		}
		if len(index) > 0 && s.Index <= index[len(index)-1] {
			return nil, fmt.Errorf("%w: segments are not in ascending order", ErrDisclosure)
		}
		if total += len(s.Bytes); total > MaxPayload {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrDisclosure, MaxPayload)
		}
		index = append(index, s.Index)
		segs[s.Index], known.leaf[s.Index] = seg, h
	}
	spans := covers(p.Segments, index)
	if len(spans) != len(p.Hidden) {
		return nil, fmt.Errorf("%w: %d hashes of hidden segments, not %d", ErrDisclosure, len(p.Hidden), len(spans))
	}
	for i, s := range spans {
		if len(p.Hidden[i]) != len(Hash{}) {
			return nil, fmt.Errorf("%w: hash of %d bytes", ErrDisclosure, len(p.Hidden[i]))
		}
		known.inner[s] = Hash(p.Hidden[i])
	}
	root, ok := known.of(span{0, p.Segments})
	if !ok || commitTo(p.Segments, root) != ref.Commitment {
		return nil, ErrCommitment
	}
	return segs, nil
}

func (s DisclosedSegment) check(ref Ref, n int) (ShownSegment, Hash, error) {
	c, err := ParseClass(s.Class)
	if err != nil {
		return ShownSegment{}, Hash{}, fmt.Errorf("%w: %w", ErrDisclosure, err)
	}
	at := sort.Search(len(ref.Blobs), func(i int) bool { return ref.Blobs[i].Class >= c })
	switch {
	case at == len(ref.Blobs) || ref.Blobs[at].Class != c:
		err = fmt.Errorf("%w: the event has no blob of class %v", ErrDisclosure, c)
	case s.Index < 0 || s.Index >= n:
		err = fmt.Errorf("%w: segment %d of %d", ErrDisclosure, s.Index, n)
	case len(s.Salt) != len(salt{}):
		err = fmt.Errorf("%w: salt of %d bytes", ErrDisclosure, len(s.Salt))
	case len(s.Bytes) == 0 && n > 1:
		err = fmt.Errorf("%w: segment %d is empty", ErrDisclosure, s.Index)
	}
	if err != nil {
		return ShownSegment{}, Hash{}, err
	}
	seg := ShownSegment{Index: s.Index, Known: true, Class: c, Bytes: s.Bytes}
	return seg, leafHash(c, salt(s.Salt), s.Bytes), nil
}

// UnmarshalJSON accepts exactly the one form that encoding/json gives for what Disclose returns. It takes memory in
// proportion to b, which the caller bounds; VerifyDisclosure holds the limits of the format.
func (d *Disclosure) UnmarshalJSON(b []byte) error {
	type plain Disclosure // without this method
	var got Disclosure
	if err := json.Unmarshal(b, (*plain)(&got)); err != nil {
		return fmt.Errorf("%w: %w", ErrDisclosure, err)
	}
	got.noNulls()
	again, err := json.Marshal(got)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDisclosure, err)
	}
	// SPEC: payload.md, Disclosure: one form, so that nothing unread can hide in one.
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not in its one form", ErrDisclosure)
	}
	*d = got
	return nil
}

// noNulls makes empty what is nil, so that null is never the form of anything.
func (d *Disclosure) noNulls() {
	if d.Parts == nil {
		d.Parts = []DisclosedPart{}
	}
	for k := range d.Parts {
		p := &d.Parts[k]
		if p.Shown == nil {
			p.Shown = []DisclosedSegment{}
		}
		if p.Hidden == nil {
			p.Hidden = [][]byte{}
		}
		for i := range p.Shown {
			if p.Shown[i].Salt == nil {
				p.Shown[i].Salt = []byte{}
			}
			if p.Shown[i].Bytes == nil {
				p.Shown[i].Bytes = []byte{}
			}
		}
		for i := range p.Hidden {
			if p.Hidden[i] == nil {
				p.Hidden[i] = []byte{}
			}
		}
	}
}
