package payload

import (
	"crypto/sha256"
	"fmt"
	"io"
)

// nonce is constant because every blob has a key of its own.
var nonce = make([]byte, 12)

// Sealed is a payload ready for the record.
type Sealed struct {
	Ref   Ref      // goes into the event
	Blobs [][]byte // in the order in which Ref (and its parts) lists them
}

// Seal seals one payload of at most MaxPayload bytes, cut into at most MaxSegments segments. The media is the caller's
// word for all of the bytes; Split gives one that is true.
func Seal(rand io.Reader, keys Keys, at Place, media Media, segs []Segment) (Sealed, error) {
	if err := at.check(); err != nil {
		return Sealed{}, fmt.Errorf("sealing payload: %w", err)
	}
	s, err := seal(rand, keys, at, media, segs)
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing payload: %w", err)
	}
	return s, nil
}

// SealBytes cuts b by its media, all of one class, and seals it: in parts if it is larger than MaxPayload.
func SealBytes(rand io.Reader, keys Keys, at Place, media Media, class Class, b []byte) (Sealed, error) {
	all := func(int, []byte) Class { return class }
	if len(b) <= MaxPayload {
		media, segs := Split(media, b, all)
		return Seal(rand, keys, at, media, segs)
	}
	if len(b) > MaxParts*MaxPayload {
		return Sealed{}, fmt.Errorf("sealing payload: %d bytes are more than %d parts hold", len(b), MaxParts)
	}
	if err := at.check(); err != nil {
		return Sealed{}, fmt.Errorf("sealing payload: %w", err)
	}
	media = trueMedia(media, b)
	var out Sealed
	for k := 0; len(b) > 0; k++ {
		part := b[:min(len(b), MaxPayload)]
		b = b[len(part):]
		s, err := seal(rand, keys, at.part(k), media, cutEvery(part, pieceSize, all))
		if err != nil {
			return Sealed{}, fmt.Errorf("sealing part %d of payload: %w", k, err)
		}
		out.Ref.Parts = append(out.Ref.Parts, s.Ref)
		out.Blobs = append(out.Blobs, s.Blobs...)
	}
	return out, nil
}

func checkSegments(media Media, segs []Segment) error {
	if !media.valid() {
		return fmt.Errorf("unknown media %q", string(media))
	}
	if len(segs) == 0 || len(segs) > MaxSegments {
		return fmt.Errorf("%d segments, not 1 to %d", len(segs), MaxSegments)
	}
	total := 0
	for i, s := range segs {
		if !s.Class.valid() {
			return fmt.Errorf("segment %d has unknown class %d", i, s.Class)
		}
		if len(s.Bytes) == 0 && len(segs) > 1 {
			return fmt.Errorf("segment %d is empty", i)
		}
		if total += len(s.Bytes); total > MaxPayload {
			return fmt.Errorf("payload is larger than %d bytes", MaxPayload)
		}
	}
	return nil
}

// sealing is one blob on its way.
type sealing struct {
	class Class
	salt  [blobSaltSize]byte
	key   *blobKey
	plain plaintext
}

func seal(rand io.Reader, keys Keys, at Place, media Media, segs []Segment) (Sealed, error) {
	if err := checkSegments(media, segs); err != nil {
		return Sealed{}, err
	}
	var byClass [Directory + 1]*sealing
	leaves := make([]Hash, len(segs))
	count := [Directory + 1]int{}
	for _, s := range segs {
		count[s.Class]++
	}
	// In class order, so that a given stream of random bytes gives one result.
	for c := Content; c <= Directory; c++ {
		if count[c] == 0 {
			continue
		}
		b, err := newSealing(rand, keys, at, c, count[c])
		if err != nil {
			return Sealed{}, err
		}
		b.plain.n = len(segs)
		byClass[c] = b
	}
	for i, s := range segs {
		b := byClass[s.Class]
		b.plain.index = append(b.plain.index, i)
		b.plain.bytes = append(b.plain.bytes, s.Bytes)
		leaves[i] = leafHash(s.Class, b.key.salt(i), s.Bytes)
	}
	out := Sealed{Ref: Ref{Media: media, Commitment: commitTo(len(segs), treeHash(leaves))}}
	for _, b := range byClass {
		if b == nil {
			continue
		}
		for _, s := range covers(len(segs), b.plain.index) {
			b.plain.hidden = append(b.plain.hidden, treeHash(leaves[s.lo:s.hi]))
		}
		blob := b.seal()
		out.Ref.Blobs = append(out.Ref.Blobs, BlobRef{b.class, sha256.Sum256(blob), int64(len(blob))})
		out.Blobs = append(out.Blobs, blob)
	}
	return out, nil
}

func newSealing(rand io.Reader, keys Keys, at Place, c Class, count int) (*sealing, error) {
	unit, err := keys.forSealing(c)
	if err != nil {
		return nil, err
	}
	b := &sealing{class: c}
	if _, err := io.ReadFull(rand, b.salt[:]); err != nil {
		return nil, fmt.Errorf("drawing a blob salt: %w", err)
	}
	if b.key, err = deriveBlobKey(unit, b.salt[:], at, c); err != nil {
		return nil, err
	}
	b.plain.index = make([]int, 0, count)
	b.plain.bytes = make([][]byte, 0, count)
	return b, nil
}

func (b *sealing) seal() []byte {
	blob := make([]byte, 0, blobOverhead+padded(b.plain.sizeBound()))
	blob = append(blob, blobMagic...)
	blob = append(blob, b.salt[:]...)
	blob = b.plain.append(blob)
	return b.key.aead.Seal(blob[:blobHeader], nonce, blob[blobHeader:], blob[:blobHeader])
}
