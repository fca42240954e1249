package evidence

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math/bits"
	"slices"

	"github.com/stenolog/steno/checkpoint"
)

// The file tree proves all leaves of a bundle at once, and that its checkpoint extends every one that was stamped. It has the
// hashes of the largest subtrees that lie between its stops: the leaves of the bundle, the sizes of the stamped checkpoints, and
// the end. Whoever goes over leaves and subtrees from left to right, and joins two neighbours as soon as they are of one width,
// has on a stack what a tree of RFC 6962 is made of, at every stop. docs/spec/evidence.md has an example.

// maxTree is how many hashes the file tree has at most.
const maxTree = 1 << 22

// TreeGaps lists from left to right the subtrees whose hashes are in the file tree of a bundle: each is of the 1<<level leaves
// from index<<level on. Size is that of the checkpoint, leaves are the indexes of the bundle's leaves in ascending order, sizes
// those of the stamped checkpoints, in any order.
func TreeGaps(size uint64, leaves, sizes []uint64) iter.Seq2[int, uint64] {
	return func(yield func(level int, index uint64) bool) {
		stops := slices.DeleteFunc(slices.Concat(leaves, sizes), func(s uint64) bool { return s > size })
		slices.Sort(stops)
		at := uint64(0)
		for _, stop := range append(stops, size) {
			for at < stop {
				level := gap(at, stop)
				if !yield(level, at>>level) {
					return
				}
				at += 1 << level
			}
			if _, here := slices.BinarySearch(leaves, at); here && at == stop && at < size {
				at++
			}
		}
	}
}

// Gaps lists the subtrees whose hashes are to be in b.Tree, by what else is in b.
func (b *Bundle) Gaps() (iter.Seq2[int, uint64], error) {
	cp, err := openNote(b.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	leaves := make([]uint64, len(b.Leaves))
	for i, l := range b.Leaves {
		leaves[i] = l.Index
	}
	return TreeGaps(cp.Size, leaves, stops(b.stampedNotes(), b.Origin, cp.Size)), nil
}

// gap is the level of the largest subtree from at on that does not reach beyond stop.
func gap(at, stop uint64) int {
	level := bits.Len64(stop-at) - 1
	if at > 0 {
		level = min(level, bits.TrailingZeros64(at))
	}
	return level
}

// A stampedNote is what can be read of a checkpoint that was stamped, whoever signed it.
type stampedNote struct {
	index uint64 // of the anchor's leaf
	checkpoint.Checkpoint
	err error
}

func (b *Bundle) stampedNotes() []stampedNote {
	notes := make([]stampedNote, len(b.Anchors))
	for i, a := range b.Anchors {
		notes[i].index = a.Index
		notes[i].Checkpoint, notes[i].err = openNote(a.Note)
	}
	return notes
}

// stops are the sizes at which the file tree stops for stamped checkpoints, in ascending order. Which they are must follow from
// the files alone, so that whoever writes the file and whoever reads it come to the same.
func stops(notes []stampedNote, origin string, size uint64) (sizes []uint64) {
	for _, n := range notes {
		if n.err == nil && n.Origin == origin && n.Size <= min(n.index, size) {
			sizes = append(sizes, n.Size)
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// A subtree is the hash over 1<<level leaves.
type subtree struct {
	hash  [sha256.Size]byte
	from  uint64
	level int
}

func (s subtree) has(index uint64) bool { return index >= s.from && index-s.from < 1<<s.level }

// A treeWalk goes over the leaves of a bundle and its file tree.
type treeWalk struct {
	tree  [][sha256.Size]byte // what was not used yet
	sizes []uint64            // stops at stamped checkpoints that were not reached yet
	roots map[uint64][sha256.Size]byte
	at    uint64
	stack []subtree
	bad   bool // there were too few hashes, or leaves out of order

	proven *uint64 // a leaf whose path is wanted, if any
	path   [][sha256.Size]byte
}

// leaf takes the next leaf.
func (w *treeWalk) leaf(index uint64, hash [sha256.Size]byte) {
	w.to(index)
	w.push(subtree{hash: hash, from: index})
}

// to goes to a stop, and notes the roots of stamped checkpoints on the way and there.
func (w *treeWalk) to(stop uint64) {
	for len(w.sizes) > 0 && w.sizes[0] <= stop {
		size := w.sizes[0]
		w.sizes = w.sizes[1:]
		if w.fill(size); w.bad {
			return
		}
		w.roots[size] = w.root(nil)
	}
	w.fill(stop)
}

// fill takes hashes up to a stop.
func (w *treeWalk) fill(stop uint64) {
	for w.at < stop && !w.bad {
		if w.bad = len(w.tree) == 0; !w.bad {
			w.push(subtree{w.tree[0], w.at, gap(w.at, stop)})
			w.tree = w.tree[1:]
		}
	}
	w.bad = w.bad || w.at > stop
}

func (w *treeWalk) push(s subtree) {
	if w.bad {
		return
	}
	w.at = s.from + 1<<s.level
	for n := len(w.stack); n > 0 && w.stack[n-1].level == s.level; n = len(w.stack) {
		below := w.stack[n-1]
		w.stack = w.stack[:n-1]
		w.step(below, s)
		s = subtree{nodeHash(below.hash, s.hash), below.from, s.level + 1}
	}
	w.stack = append(w.stack, s)
}

// step notes what is joined to the subtree with the leaf that is to be proven.
func (w *treeWalk) step(left, right subtree) {
	switch {
	case w.proven == nil:
	case left.has(*w.proven):
		w.path = append(w.path, right.hash)
	case right.has(*w.proven):
		w.path = append(w.path, left.hash)
	}
}

// root is the root of the tree of all that was taken. Step is told what is joined for it.
func (w *treeWalk) root(step func(left, right subtree)) [sha256.Size]byte {
	if len(w.stack) == 0 {
		return checkpoint.EmptyRoot()
	}
	acc := w.stack[len(w.stack)-1]
	for _, below := range slices.Backward(w.stack[:len(w.stack)-1]) {
		if step != nil {
			step(below, acc)
		}
		acc = subtree{nodeHash(below.hash, acc.hash), below.from, below.level + 1} // as if it were full
	}
	return acc.hash
}

// end tells why leaves and hashes do not make up the tree of this size and root, or nil. Which of them is wrong there is no
// telling.
func (w *treeWalk) end(size uint64, root [sha256.Size]byte) error {
	w.to(size)
	switch {
	case w.bad:
		return fmt.Errorf("too few hashes: with the leaves they reach from the first leaf of the log to %d, not to the size of the checkpoint, %d", w.at, size)
	case len(w.tree) > 0:
		return fmt.Errorf("%d hashes too many for a tree of size %d", len(w.tree), size)
	case w.root(w.step) != root:
		return fmt.Errorf("the leaves and the hashes here do not lead to the root of the checkpoint of size %d: at least one of them is not the log's, and there is no telling which", size)
	}
	return nil
}

// leafHash and nodeHash are RFC 6962's, section 2.1.
func leafHash(leaf []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	return [sha256.Size]byte(h.Sum(nil))
}

func nodeHash(left, right [sha256.Size]byte) [sha256.Size]byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// Proof makes a proof of one leaf of the bundle, which any reader of tlog-proof can verify. It verifies no signature.
func (b *Bundle) Proof(index uint64) (Proof, error) {
	cp, err := openNote(b.Checkpoint)
	if err != nil {
		return Proof{}, fmt.Errorf("checkpoint: %w", err)
	}
	w := &treeWalk{tree: b.Tree, sizes: stops(b.stampedNotes(), b.Origin, cp.Size), roots: map[uint64][sha256.Size]byte{}, proven: &index}
	here := false
	for _, l := range b.Leaves {
		content, err := l.Load()
		if err != nil {
			return Proof{}, fmt.Errorf("loading leaf %d: %w", l.Index, err)
		}
		w.leaf(l.Index, leafHash(content))
		here = here || l.Index == index
	}
	if !here {
		return Proof{}, fmt.Errorf("leaf %d is not here", index)
	}
	if err := w.end(cp.Size, cp.Root); err != nil {
		return Proof{}, err
	}
	return Proof{Index: index, Hashes: w.path, Checkpoint: b.Checkpoint}, nil
}
