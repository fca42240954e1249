package tiles

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

// A Reader reads one tree: a source as of a size and a root. It is safe for concurrent use if its Source is.
type Reader struct {
	source Source
	size   uint64
	root   Hash
	latest func() uint64
}

// NewReader returns a reader of the tree of this size and root. The caller vouches for the two.
func NewReader(source Source, size uint64, root Hash) (*Reader, error) {
	if size > MaxSize {
		return nil, fmt.Errorf("a tree of size %d is larger than can be", size)
	}
	if empty := sha256.Sum256(nil); size == 0 && root != empty {
		return nil, &DamageError{Size: 0, Root: root, Place: "the root", Why: fmt.Sprintf("an empty tree has root %x", empty)}
	}
	return &Reader{source: source, size: size, root: root, latest: func() uint64 { return size }}, nil
}

// WithLatest tells the reader the present size of a tree that has grown since. A source may have given up the partial tiles
// of an older size; then the wider ones of the present size serve, cut.
func (r *Reader) WithLatest(size func() uint64) *Reader {
	c := *r
	c.latest = size
	return &c
}

// Size is the size of the tree.
func (r *Reader) Size() uint64 { return r.size }

// Root is the root of the tree.
func (r *Reader) Root() Hash { return r.root }

// Inclusion returns the hash of the leaf at index, and its inclusion proof.
func (r *Reader) Inclusion(ctx context.Context, index uint64) (leaf Hash, proof []Hash, err error) {
	if index >= r.size {
		return Hash{}, nil, &RangeError{From: index, To: index + 1, Size: r.size}
	}
	hr := &hashReader{ctx: ctx, r: r}
	p, err := tlog.ProveRecord(int64(r.size), int64(index), hr)
	if err != nil {
		return Hash{}, nil, fmt.Errorf("proving leaf %d: %w", index, err)
	}
	h, err := hr.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index))})
	if err != nil {
		return Hash{}, nil, fmt.Errorf("proving leaf %d: %w", index, err)
	}
	if err := tlog.CheckRecord(p, int64(r.size), tlog.Hash(r.root), int64(index), h[0]); err != nil {
		return Hash{}, nil, r.damage(fmt.Sprintf("the proof of leaf %d", index), err)
	}
	return Hash(h[0]), plain(p), nil
}

// Consistency returns the root at an older size of this tree, and the proof that this tree extends it. The proof is empty
// for size 0 and for the size of the tree itself.
func (r *Reader) Consistency(ctx context.Context, from uint64) (old Hash, proof []Hash, err error) {
	switch {
	case from > r.size:
		return Hash{}, nil, &RangeError{From: from, To: from, Size: r.size}
	case from == r.size:
		return r.root, nil, nil
	case from == 0:
		return sha256.Sum256(nil), nil, nil
	}
	hr := &hashReader{ctx: ctx, r: r}
	h, err := tlog.TreeHash(int64(from), hr)
	if err != nil {
		return Hash{}, nil, fmt.Errorf("computing the root at size %d: %w", from, err)
	}
	p, err := tlog.ProveTree(int64(r.size), int64(from), hr)
	if err != nil {
		return Hash{}, nil, fmt.Errorf("proving consistency from size %d to %d: %w", from, r.size, err)
	}
	if err := tlog.CheckTree(p, int64(r.size), tlog.Hash(r.root), int64(from), h); err != nil {
		return Hash{}, nil, r.damage(fmt.Sprintf("the consistency proof from size %d", from), err)
	}
	return Hash(h), plain(p), nil
}

// Frontier returns the hashes of the perfect subtrees that make up the tree, largest first: what a compact range needs to
// go on from here.
func (r *Reader) Frontier(ctx context.Context) ([][]byte, error) {
	if r.size == 0 {
		return nil, nil
	}
	nodes := compact.RangeNodes(0, r.size, nil)
	indexes := make([]int64, len(nodes))
	for i, n := range nodes {
		indexes[i] = tlog.StoredHashIndex(int(n.Level), int64(n.Index))
	}
	hashes, err := (&hashReader{ctx: ctx, r: r}).ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("reading the frontier at size %d: %w", r.size, err)
	}
	out := make([][]byte, len(hashes))
	for i, h := range hashes {
		out[i] = h[:]
	}
	return out, nil
}

// Leaf returns the bytes of a leaf, which hash to what the tree has at index.
func (r *Reader) Leaf(ctx context.Context, index uint64) ([]byte, error) {
	var leaf []byte
	err := r.Leaves(ctx, index, index+1, func(_ uint64, l []byte) error {
		leaf = l
		return nil
	})
	return leaf, err
}

func (r *Reader) damage(place string, why error) error {
	return &DamageError{Size: r.size, Root: r.root, Place: place, Why: why.Error()}
}

// hashReader reads hashes authenticated against the root. It is tlog's TileHashReader, told apart between bytes that are
// wrong and bytes that could not be had.
type hashReader struct {
	ctx context.Context
	r   *Reader
	// verified, if set, is given the tiles that were authenticated.
	verified func(level, index uint64, data []byte)
	readErr  error
}

func (h *hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	h.readErr = nil
	tree := tlog.Tree{N: int64(h.r.size), Hash: tlog.Hash(h.r.root)}
	out, err := tlog.TileHashReader(tree, h).ReadHashes(indexes)
	if err == nil {
		return out, nil
	}
	if h.readErr != nil {
		return nil, h.readErr
	}
	return nil, h.r.damage("a hash tile", err)
}

// Height, ReadTiles and SaveTiles make it a tlog.TileReader.
func (h *hashReader) Height() int { return height }

func (h *hashReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		out[i], h.readErr = h.r.tile(h.ctx, uint64(t.L), uint64(t.N), t.W)
		if h.readErr != nil {
			return nil, h.readErr
		}
	}
	return out, nil
}

func (h *hashReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		if h.verified != nil {
			h.verified(uint64(t.L), uint64(t.N), data[i])
		}
	}
}

// tile reads width hashes of a tile.
func (r *Reader) tile(ctx context.Context, level, index uint64, width int) ([]byte, error) {
	read := func(w uint8) ([]byte, error) { return r.source.Tile(ctx, level, index, w) }
	b, err := r.widest(read, level, index, width)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", Path(level, index, uint8(width)), err)
	}
	if want := width * sha256.Size; len(b) > want {
		b = b[:want]
	}
	return b, nil
}

// bundle reads width leaves of a bundle.
func (r *Reader) bundle(ctx context.Context, index uint64, width int) ([][]byte, error) {
	read := func(w uint8) ([]byte, error) { return r.source.Bundle(ctx, index, w) }
	b, err := r.widest(read, 0, index, width)
	path := BundlePath(index, uint8(width))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	leaves, err := SplitBundle(cutBundle(b, width), width)
	if err != nil {
		return nil, r.damage(path, err)
	}
	return leaves, nil
}

// widest reads a tile or bundle of a width, or else a wider one in which it is the beginning: the full one, or the partial
// one of the present size. What is read is checked against hashes, so it does not matter why the first was not to be had.
func (r *Reader) widest(read func(uint8) ([]byte, error), level, index uint64, width int) ([]byte, error) {
	b, err := read(uint8(width))
	if err == nil || width == Width {
		return b, err
	}
	if b, fullErr := read(0); fullErr == nil {
		return b, nil
	}
	if now := widthAt(r.latest(), level, index); now > width && now < Width {
		b, nowErr := read(uint8(now))
		if nowErr == nil {
			return b, nil
		}
		return nil, errors.Join(err, nowErr)
	}
	return nil, err
}

// widthAt is the width of a tile in a tree of this size, 0 if it is not there.
func widthAt(size, level, index uint64) int {
	if level > 6 {
		return 0
	}
	n, first := size>>(height*level), index*Width
	if n <= first {
		return 0
	}
	return int(min(n-first, Width))
}

func plain[H ~[sha256.Size]byte](hashes []H) []Hash {
	out := make([]Hash, len(hashes))
	for i, h := range hashes {
		out[i] = Hash(h)
	}
	return out
}
