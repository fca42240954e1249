package payload

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

const commitmentLabel = "steno/payload/v1\n"

// salt blinds one segment: without it nobody can test a guess of the segment's bytes against its leaf hash.
type salt [16]byte

// leafHash is injective in (class, salt, bytes): everything before the bytes has a fixed width.
func leafHash(c Class, s salt, b []byte) (h Hash) {
	// Most segments are short, and one call on a stack buffer is twice as fast as a streaming hash.
	var buf [512]byte
	buf[0], buf[1] = 0x00, byte(c)
	copy(buf[2:], s[:])
	if len(b) <= len(buf)-18 {
		copy(buf[18:], b)
		return sha256.Sum256(buf[:18+len(b)])
	}
	d := sha256.New()
	d.Write(buf[:18])
	d.Write(b)
	d.Sum(h[:0])
	return h
}

func nodeHash(l, r Hash) Hash {
	var buf [65]byte
	buf[0] = 0x01
	copy(buf[1:], l[:])
	copy(buf[33:], r[:])
	return sha256.Sum256(buf[:])
}

// split is RFC 6962's: the largest power of two below n, for n > 1.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// treeHash is the RFC 6962 root over leaves, at least one.
func treeHash(leaves []Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

// commitTo binds the number of segments beside the root. Without it the same root could be read as a tree of another
// size, and an inner node passed off as a hidden segment.
func commitTo(n int, root Hash) Hash {
	var buf [len(commitmentLabel) + 8 + 32]byte
	copy(buf[:], commitmentLabel)
	binary.BigEndian.PutUint64(buf[len(commitmentLabel):], uint64(n))
	copy(buf[len(commitmentLabel)+8:], root[:])
	return sha256.Sum256(buf[:])
}

// span is the subtree over the leaves lo..hi-1.
type span struct{ lo, hi int }

// covers lists, from left to right, the largest subtrees of a tree of n leaves that hold none of the leaves in shown
// (ascending). There are at most (n − len(shown)) of them. The set is a function of n and shown: a proof carries hashes
// only, and leaves its maker no choice of shape.
func covers(n int, shown []int) []span {
	var out []span
	var walk func(s span, shown []int)
	walk = func(s span, shown []int) {
		switch {
		case len(shown) == 0:
			out = append(out, s)
		case len(shown) == s.hi-s.lo: // all of them
		default:
			mid, i := s.lo+split(s.hi-s.lo), 0
			for i < len(shown) && shown[i] < mid {
				i++
			}
			walk(span{s.lo, mid}, shown[:i])
			walk(span{mid, s.hi}, shown[i:])
		}
	}
	walk(span{0, n}, shown)
	return out
}

// hashes knows some leaves of a tree and the hashes of some subtrees.
type hashes struct {
	leaf  map[int]Hash
	inner map[span]Hash
}

// of computes the hash of a subtree; ok is false if what is known does not suffice.
func (k hashes) of(s span) (h Hash, ok bool) {
	if h, ok = k.inner[s]; ok {
		return h, true
	}
	if s.hi-s.lo == 1 {
		h, ok = k.leaf[s.lo]
		return h, ok
	}
	mid := s.lo + split(s.hi-s.lo)
	l, ok := k.of(span{s.lo, mid})
	if !ok {
		return h, false
	}
	r, ok := k.of(span{mid, s.hi})
	if !ok {
		return h, false
	}
	return nodeHash(l, r), true
}
