package payload

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	unitKeyLabel = "steno/unit-key/v1\n"
	blobInfo     = "steno/blob/v1"
)

// A UnitKey is the unit of access and of erasure: one for each (session, track, class). Destroying it, and every wrap of
// it, makes all segments of that class on that track unreadable for ever. It does not print itself.
type UnitKey [32]byte

// NewUnitKey draws a key from rand.
func NewUnitKey(rand io.Reader) (UnitKey, error) {
	var k UnitKey
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return UnitKey{}, fmt.Errorf("drawing a unit key: %w", err)
	}
	return k, nil
}

// Commitment is what the opening event of a track says of its keys. It tells nothing of a random key.
func (k UnitKey) Commitment() Hash {
	return sha256.Sum256(append([]byte(unitKeyLabel), k[:]...))
}

// Format keeps the key out of logs and error texts, whatever the verb.
func (k UnitKey) Format(f fmt.State, _ rune) { io.WriteString(f, "payload.UnitKey") }

// MarshalText keeps the key out of encoders that would print its bytes.
func (k UnitKey) MarshalText() ([]byte, error) {
	return nil, errors.New("a unit key is not for printing: wrap it")
}

// Keys holds the unit keys of one track by class. One key must not serve two classes: to destroy it would erase both.
type Keys map[Class]UnitKey

// NewKeys draws a key for every class.
func NewKeys(rand io.Reader) (Keys, error) {
	keys := make(Keys, Directory)
	for c := Content; c <= Directory; c++ {
		k, err := NewUnitKey(rand)
		if err != nil {
			return nil, err
		}
		keys[c] = k
	}
	return keys, nil
}

// forSealing returns the key of c, and refuses one that protects nothing or that another class shares.
func (keys Keys) forSealing(c Class) (UnitKey, error) {
	k, ok := keys[c]
	if !ok {
		return k, fmt.Errorf("class %v: %w", c, ErrNoKey)
	}
	var zero UnitKey
	if subtle.ConstantTimeCompare(k[:], zero[:]) == 1 {
		return k, fmt.Errorf("the key of class %v is all zero", c)
	}
	for d, other := range keys {
		if d != c && subtle.ConstantTimeCompare(k[:], other[:]) == 1 {
			return k, fmt.Errorf("classes %v and %v share a key", c, d)
		}
	}
	return k, nil
}

// blobKey encrypts one blob once: its salt is drawn anew for each, so that the AEAD's nonce can be constant.
type blobKey struct {
	aead  cipher.AEAD
	seed  cipher.Block
	block [16]byte // scratch of salt: what goes through an interface is on the heap, once is enough
}

// deriveBlobKey derives from the unit key, the blob's own random salt and the blob's place.
func deriveBlobKey(k UnitKey, blobSalt []byte, at Place, c Class) (*blobKey, error) {
	info := make([]byte, 0, 192)
	info = append(info, blobInfo...)
	// SPEC: payload.md, Blob key: NUL cannot occur inside a field (Place.check), so the encoding is injective.
	for _, field := range [...]string{at.Origin, at.Session, at.Track} {
		info = append(append(info, 0), field...)
	}
	info = strconv.AppendUint(append(info, 0), at.Seq, 10)
	info = append(append(info, 0), at.Slot...)
	info = append(append(info, 0), c.String()...)
	okm, err := hkdf.Key(sha256.New, k[:], blobSalt, string(info), 64)
	if err != nil {
		return nil, fmt.Errorf("deriving blob key: %w", err)
	}
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		return nil, fmt.Errorf("deriving blob key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("deriving blob key: %w", err)
	}
	seed, err := aes.NewCipher(okm[32:])
	if err != nil {
		return nil, fmt.Errorf("deriving salt seed: %w", err)
	}
	return &blobKey{aead: aead, seed: seed}, nil
}

// salt is that of the payload's segment i, if it is of this blob's class.
func (k *blobKey) salt(i int) salt {
	binary.BigEndian.PutUint64(k.block[:8], 0)
	binary.BigEndian.PutUint64(k.block[8:], uint64(i))
	k.seed.Encrypt(k.block[:], k.block[:])
	return k.block
}
