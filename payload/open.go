package payload

import "fmt"

// Shown is a payload as far as it is known.
type Shown struct {
	Media    Media
	Segments []ShownSegment // all of the payload's, in order, the hidden ones too
}

// A ShownSegment is one segment, proven to stand at its place, or the statement that one stands there.
type ShownSegment struct {
	Part  int   // part of the payload, 0 if it has none
	Index int   // within the part
	Known bool  // otherwise Class and Bytes are empty
	Class Class // as the recorder classed it
	Bytes []byte
}

// Bytes is the payload. If any segment is hidden it returns ErrPartial.
func (s Shown) Bytes() ([]byte, error) {
	total := 0
	for _, seg := range s.Segments {
		if !seg.Known {
			return nil, fmt.Errorf("segment %d of part %d is hidden: %w", seg.Index, seg.Part, ErrPartial)
		}
		total += len(seg.Bytes)
	}
	b := make([]byte, 0, total)
	for _, seg := range s.Segments {
		b = append(b, seg.Bytes...)
	}
	return b, nil
}

// Opened is a payload opened with the keys of some or all of its classes, and checked against its commitment.
type Opened struct {
	Shown
	parts []openedPart
}

type openedPart struct {
	n     int
	salts map[int]salt
	known hashes
	first int // of its segments in Shown
}

// Open opens every blob of ref whose class has a key, and checks it against the hash and the commitment in ref. A class
// without a key stays hidden; if no class has one it returns ErrNoKey. Nothing is returned that was not proven. To leave
// a class alone, give no key for it: a key without its blob is ErrBlobMissing.
func Open(keys Keys, at Place, ref Ref, blobs map[Hash][]byte) (*Opened, error) {
	if err := at.check(); err != nil {
		return nil, fmt.Errorf("opening payload: %w: %w", ErrRef, err)
	}
	if err := ref.Check(); err != nil {
		return nil, fmt.Errorf("opening payload: %w", err)
	}
	o := &Opened{}
	for k, part := range ref.list() {
		p := openedPart{salts: make(map[int]salt), first: len(o.Segments)}
		segs, err := p.open(keys, ref.placeOf(at, k), part, blobs)
		if err != nil {
			return nil, fmt.Errorf("opening part %d of payload: %w", k, err)
		}
		for i := range segs {
			segs[i].Part = k
		}
		o.Media = part.Media
		o.Segments = append(o.Segments, segs...)
		o.parts = append(o.parts, p)
	}
	return o, nil
}

func (p *openedPart) open(keys Keys, at Place, ref Ref, blobs map[Hash][]byte) ([]ShownSegment, error) {
	p.known = hashes{leaf: make(map[int]Hash), inner: make(map[span]Hash)}
	var segs []ShownSegment
	total, opened := 0, 0
	for _, b := range ref.Blobs {
		unit, ok := keys[b.Class]
		if !ok {
			continue
		}
		key, plain, err := openBlob(unit, at, b, blobs)
		if err != nil {
			return nil, fmt.Errorf("class %v: %w", b.Class, err)
		}
		opened++
		if segs == nil {
			p.n, segs = plain.n, make([]ShownSegment, plain.n)
			for i := range segs {
				segs[i].Index = i
			}
		}
		if err := p.add(ref.Commitment, b.Class, key, plain); err != nil {
			return nil, fmt.Errorf("class %v: %w", b.Class, err)
		}
		for j, i := range plain.index {
			segs[i] = ShownSegment{Index: i, Known: true, Class: b.Class, Bytes: plain.bytes[j]}
			total += len(plain.bytes[j])
		}
	}
	if opened == 0 {
		return nil, ErrNoKey
	}
	if total > MaxPayload {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPlaintext, MaxPayload)
	}
	// SPEC: payload.md, Opening: with every class open no segment may be missing.
	if opened == len(ref.Blobs) && len(p.salts) != p.n {
		return nil, fmt.Errorf("%w: %d of %d segments are in no blob", ErrPlaintext, p.n-len(p.salts), p.n)
	}
	return segs, nil
}

// openBlob decrypts and parses; what it returns is not proven yet.
func openBlob(unit UnitKey, at Place, ref BlobRef, blobs map[Hash][]byte) (*blobKey, *plaintext, error) {
	blob, ok := blobs[ref.SHA256]
	if !ok {
		return nil, nil, ErrBlobMissing
	}
	if err := ref.Check(blob); err != nil {
		return nil, nil, err
	}
	key, err := deriveBlobKey(unit, blob[len(blobMagic):blobHeader], at, ref.Class)
	if err != nil {
		return nil, nil, err
	}
	b, err := key.aead.Open(nil, nonce, blob[blobHeader:], blob[:blobHeader])
	if err != nil {
		return nil, nil, ErrDecrypt
	}
	plain, err := parsePlaintext(b)
	return key, plain, err
}

// add proves the segments of one blob against the commitment, on their own, and remembers what they taught.
func (p *openedPart) add(commitment Hash, c Class, key *blobKey, plain *plaintext) error {
	own := hashes{leaf: make(map[int]Hash, len(plain.index)), inner: make(map[span]Hash, len(plain.hidden))}
	for j, s := range covers(plain.n, plain.index) {
		own.inner[s] = plain.hidden[j]
	}
	for j, i := range plain.index {
		own.leaf[i] = leafHash(c, key.salt(i), plain.bytes[j])
	}
	root, ok := own.of(span{0, plain.n})
	if !ok || commitTo(plain.n, root) != commitment || plain.n != p.n {
		return ErrCommitment
	}
	for i, h := range own.leaf {
		if _, twice := p.salts[i]; twice {
			return fmt.Errorf("%w: segment %d is in two blobs", ErrCommitment, i)
		}
		p.salts[i], p.known.leaf[i] = key.salt(i), h
	}
	for s, h := range own.inner {
		p.known.inner[s] = h
	}
	return nil
}
