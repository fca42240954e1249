package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// CheckTree tells whether leaves and tree of a bundle lead to a root, and to those of all stamped checkpoints.
func CheckTree(b *Bundle, size uint64, root [sha256.Size]byte) error {
	notes := b.stampedNotes()
	w := &treeWalk{tree: b.Tree, sizes: stops(notes, b.Origin, size), roots: map[uint64][sha256.Size]byte{}}
	for _, l := range b.Leaves {
		content, err := l.Load()
		if err != nil {
			return err
		}
		w.leaf(l.Index, leafHash(content))
	}
	err := w.end(size, root)
	for _, n := range notes {
		if w.roots[n.Size] != n.Root {
			err = errors.Join(err, fmt.Errorf("another root of size %d", n.Size))
		}
	}
	return err
}
