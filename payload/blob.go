package payload

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	blobMagic    = "steno/blob/v1\n"
	blobSaltSize = 32
	blobHeader   = len(blobMagic) + blobSaltSize
	blobOverhead = blobHeader + 16 // and the AEAD's tag
	minPlaintext = 256             // a short answer's length would be the answer
)

// plaintext is what a blob holds: the segments of one class, and the hashes of the subtrees that hold none of them, so
// that the blob alone proves its segments against the commitment.
type plaintext struct {
	n      int      // segments of the payload
	index  []int    // of the blob's own segments, ascending
	bytes  [][]byte // theirs
	hidden []Hash   // covers(n, index)
}

// padded is the Padmé length for n: it leaks O(log log n) bits and costs at most 12 %.
func padded(n int) int {
	if n <= minPlaintext {
		return minPlaintext
	}
	e := bits.Len(uint(n)) - 1
	mask := 1<<(e-bits.Len(uint(e))) - 1
	return (n + mask) &^ mask
}

// sizeBound is not less than the encoded size without padding.
func (p *plaintext) sizeBound() int {
	size := 2*binary.MaxVarintLen32 + len(p.index)*2*binary.MaxVarintLen32 + len(p.hidden)*len(Hash{})
	for _, b := range p.bytes {
		size += len(b)
	}
	return size
}

// append encodes p, padding included, to dst.
func (p *plaintext) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(dst, uint64(p.n))
	dst = binary.AppendUvarint(dst, uint64(len(p.index)))
	next := 0
	for i, index := range p.index {
		dst = binary.AppendUvarint(dst, uint64(index-next))
		dst = binary.AppendUvarint(dst, uint64(len(p.bytes[i])))
		next = index + 1
	}
	for i := range p.hidden {
		dst = append(dst, p.hidden[i][:]...)
	}
	for _, b := range p.bytes {
		dst = append(dst, b...)
	}
	return append(dst, make([]byte, padded(len(dst)-start)-(len(dst)-start))...)
}

// parsePlaintext reads exactly what append writes. The segments alias b.
func parsePlaintext(b []byte) (*plaintext, error) {
	r := reader{rest: b}
	p := &plaintext{n: r.uvarint(1, MaxSegments)}
	own := r.uvarint(1, p.n)
	if r.bad != "" {
		return nil, fmt.Errorf("%w: %s", ErrPlaintext, r.bad)
	}
	p.index, p.bytes = make([]int, own), make([][]byte, own)
	lengths, next, total := make([]int, own), 0, 0
	shortest := 1
	if p.n == 1 {
		shortest = 0 // SPEC: payload.md, Segments: only the one segment of an empty payload is empty.
	}
	for i := range p.index {
		p.index[i] = next + r.uvarint(0, p.n-1-next)
		next = p.index[i] + 1
		lengths[i] = r.uvarint(shortest, MaxPayload-total)
		total += lengths[i]
		if r.bad != "" {
			return nil, fmt.Errorf("%w: segment %d: %s", ErrPlaintext, i, r.bad)
		}
	}
	p.hidden = make([]Hash, len(covers(p.n, p.index)))
	for i := range p.hidden {
		copy(p.hidden[i][:], r.take(len(Hash{})))
	}
	for i := range p.bytes {
		p.bytes[i] = r.take(lengths[i])
	}
	if r.bad != "" {
		return nil, fmt.Errorf("%w: %s", ErrPlaintext, r.bad)
	}
	// SPEC: payload.md, Plaintext: exactly the padding that the length demands, all zero.
	if len(b) != padded(len(b)-len(r.rest)) {
		return nil, fmt.Errorf("%w: %d bytes of padding", ErrPlaintext, len(r.rest))
	}
	for _, c := range r.rest {
		if c != 0 {
			return nil, fmt.Errorf("%w: padding is not zero", ErrPlaintext)
		}
	}
	return p, nil
}

// reader takes fields from rest and remembers the first thing that was wrong.
type reader struct {
	rest []byte
	bad  string
}

// uvarint reads a minimal varint between least and most; after a fault it returns least.
func (r *reader) uvarint(least, most int) int {
	if r.bad != "" {
		return least
	}
	v, size := binary.Uvarint(r.rest)
	switch {
	case size <= 0:
		r.bad = "varint is cut short or too long"
	case size > 1 && r.rest[size-1] == 0:
		r.bad = "varint is not minimal"
	case v > uint64(max(most, 0)) || v < uint64(least) || most < least:
		r.bad = fmt.Sprintf("%d is not within %d to %d", v, least, most)
	default:
		r.rest = r.rest[size:]
		return int(v)
	}
	return least
}

func (r *reader) take(n int) []byte {
	if r.bad != "" || n > len(r.rest) {
		if r.bad == "" {
			r.bad = "cut short"
		}
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
