package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/stenolog/steno/timestamp"
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

// A ClockToken is a token that counts, and a ClockQuorum a checkpoint that has the quorum, whose anchor stands at a leaf or at none.
type (
	ClockToken struct {
		Index      uint64    `json:"index"`
		Size       uint64    `json:"size"`
		Authority  string    `json:"authority"`
		Time       time.Time `json:"time"`
		AccuracyNS int64     `json:"accuracy_ns"`
	}
	ClockQuorum struct {
		Index *uint64 `json:"index"`
		Size  uint64  `json:"size"`
		Since uint64  `json:"since"` // of a quorum: seconds since 1970, at most time
		Time  uint64  `json:"time"`
	}
)

// ContradictionOf is what speaks against one of the clocks that bound a session.
func ContradictionOf(tokens []ClockToken, quorums []ClockQuorum, first, last uint64) *Contradiction {
	v := &verification{}
	for _, t := range tokens {
		v.stamped = append(v.stamped, &stamped{AnchorReport: AnchorReport{Index: t.Index, Size: t.Size, Authority: t.Authority, Counts: true},
			token: timestamp.Token{Time: t.Time, Accuracy: time.Duration(t.AccuracyNS)}})
	}
	for _, q := range quorums {
		h := head{size: q.Size, index: noLeaf, since: q.Since, quorum: q.Time, witnessed: true}
		if q.Index != nil {
			h.index = *q.Index
		}
		v.heads = append(v.heads, h)
	}
	v.hear()
	return v.contradiction(v.bounds(first, last))
}
