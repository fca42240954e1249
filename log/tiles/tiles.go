// Package tiles reads a log in the shape of c2sp.org/tlog-tiles and believes none of it: every hash and every leaf that
// comes out was proven to stand in the tree of the size and root that the caller brought, which he took from a checkpoint
// whose signatures he checked.
//
// It knows no network and no disk. A Source is where tiles come from: a storage.Tree is one, and FromFetch makes one of
// anything that maps a path to bytes, such as a directory or an HTTP server. The hash tree itself is
// golang.org/x/mod/sumdb/tlog; this package adds the paths, the entry bundles, and reading at the speed of hashing.
package tiles

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// Width is the number of hashes of a full tile, and of leaves of a full bundle.
	Width = 256
	// MaxLeaf is the greatest length of a leaf: a bundle prefixes it with 16 bits.
	MaxLeaf = 1<<16 - 1
	// MaxBundle is the greatest length of an entry bundle.
	MaxBundle = Width * (2 + MaxLeaf)
	// MaxSize is the greatest size of a tree that this package reads. No log gets there in this universe, and below it
	// no arithmetic on node indexes overflows.
	MaxSize = 1 << 48

	height = 8 // log2 Width
)

// Hash is a SHA-256 digest.
type Hash = [sha256.Size]byte

// ErrDamaged means that bytes were read and are not those of the tree. Errors of reading itself never match it.
var ErrDamaged = errors.New("stored bytes do not belong to this tree")

// A DamageError names the first place that is not as the tree says.
type DamageError struct {
	Size  uint64 // of the tree
	Root  Hash
	Place string // path of the tile or bundle, or what is known of the place
	Why   string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s does not belong to the tree of size %d with root %x: %s", e.Place, e.Size, e.Root, e.Why)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// A RangeError says that something outside the tree was asked for.
type RangeError struct {
	From, To, Size uint64
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("[%d, %d) is not within the tree of size %d", e.From, e.To, e.Size)
}

// A Source has tiles and bundles. A width of 0 means a full one. Nothing it returns is believed.
type Source interface {
	Tile(ctx context.Context, level, index uint64, width uint8) ([]byte, error)
	Bundle(ctx context.Context, index uint64, width uint8) ([]byte, error)
}

// SplitBundle cuts a bundle into exactly n leaves, which alias b.
func SplitBundle(b []byte, n int) ([][]byte, error) {
	leaves := make([][]byte, 0, n)
	for len(leaves) < n {
		if len(b) < 2 {
			return nil, fmt.Errorf("bundle ends in leaf %d of %d", len(leaves), n)
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < size {
			return nil, fmt.Errorf("bundle ends in leaf %d of %d", len(leaves), n)
		}
		leaves, b = append(leaves, b[:size:size]), b[size:]
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%d bytes after leaf %d of the bundle", len(b), n)
	}
	return leaves, nil
}

// cutBundle drops what follows the first n leaves of a bundle that was read wider than asked for.
func cutBundle(b []byte, n int) []byte {
	end := 0
	for range n {
		if len(b)-end < 2 {
			return b
		}
		if end += 2 + int(binary.BigEndian.Uint16(b[end:])); end > len(b) {
			return b
		}
	}
	return b[:end]
}

// LeafHash is SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) Hash {
	buf := make([]byte, 0, 8192)
	return sha256.Sum256(append(append(buf, 0), leaf...))
}

// nodeHash is SHA-256(0x01 ‖ left ‖ right).
func nodeHash(left, right Hash) Hash {
	var buf [1 + 2*sha256.Size]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[1+sha256.Size:], right[:])
	return sha256.Sum256(buf[:])
}

// subtree is the root over a power of two of hashes, which it overwrites.
func subtree(h []Hash) Hash {
	for n := len(h); n > 1; n /= 2 {
		for i := 0; i < n/2; i++ {
			h[i] = nodeHash(h[2*i], h[2*i+1])
		}
	}
	return h[0]
}
