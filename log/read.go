package log

import (
	"context"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/proof"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// reader reads the integrated tree as it is now. Its root is the one of the admitted leaves, not what the disk says.
func (l *Log) reader() (*tiles.Reader, error) {
	l.mu.Lock()
	head := l.head
	l.mu.Unlock()
	r, err := tiles.NewReader(l.config.Tree, head.Size, head.Root)
	if err != nil {
		return nil, err
	}
	return r.WithLatest(l.Size), nil
}

// Leaf returns the bytes of an integrated leaf, checked against the tree.
func (l *Log) Leaf(ctx context.Context, index uint64) ([]byte, error) {
	r, err := l.reader()
	if err != nil {
		return nil, err
	}
	return r.Leaf(ctx, index)
}

// Leaves calls f with the integrated leaves of [from, to) in order, checked against the tree, until f returns an error,
// which it returns. What lies outside the tree is a *tiles.RangeError.
func (l *Log) Leaves(ctx context.Context, from, to uint64, f func(index uint64, leaf []byte) error) error {
	r, err := l.reader()
	if err != nil {
		return err
	}
	return r.Leaves(ctx, from, to, f)
}

// Reader returns a reader of the integrated tree as it is now, for reading it in parallel (tiles.Each).
func (l *Log) Reader() (*tiles.Reader, error) { return l.reader() }

// Consistency proves that the tree of size to extends the tree of size from. Both lie within the integrated size.
func (l *Log) Consistency(ctx context.Context, from, to uint64) ([]storage.Hash, error) {
	r, err := l.reader()
	if err != nil {
		return nil, err
	}
	if from > to || to > r.Size() {
		return nil, &tiles.RangeError{From: from, To: to, Size: r.Size()}
	}
	root, _, err := r.Consistency(ctx, to)
	if err != nil {
		return nil, err
	}
	_, hashes, err := l.consistency(ctx, from, treeHead{l.config.Origin, to, root})
	return hashes, err
}

// WaitCovered returns the smallest published checkpoint that covers index, and waits for it if there is none yet. It gives
// up with ctx, and when the log stops or closes.
func (l *Log) WaitCovered(ctx context.Context, index uint64) ([]byte, error) {
	err := l.wait(ctx, index, func() (bool, <-chan struct{}) {
		return l.shownNote != nil && l.shown.Size > index, l.published
	})
	if err != nil {
		return nil, err
	}
	_, msg, err := l.covering(ctx, index)
	return msg, err
}

// WaitSigned returns a checkpoint that covers index and that the log has signed, and waits for it if there is none yet: the
// smallest published one, or, as long as none covers index, the latest signed. It gives up as WaitCovered does.
func (l *Log) WaitSigned(ctx context.Context, index uint64) ([]byte, error) {
	err := l.wait(ctx, index, func() (bool, <-chan struct{}) { return l.signed.Size > index, l.hasSigned })
	if err != nil {
		return nil, err
	}
	h, err := l.signedOver(ctx, index)
	return h.note, err
}

// wait returns when there is what covers index, as said by covered, which is called under mu and names a channel that is
// closed when that may have changed.
func (l *Log) wait(ctx context.Context, index uint64, covered func() (bool, <-chan struct{})) error {
	for {
		l.mu.Lock()
		ok, changed := covered()
		stopped := l.stopped
		l.mu.Unlock()
		if ok {
			return nil
		}
		if stopped != nil {
			return fmt.Errorf("index %d will not be covered: %w", index, &StoppedError{Reason: stopped, Unknown: true})
		}
		select {
		case <-changed:
		case <-l.stopCh:
		case <-l.dead:
			return fmt.Errorf("index %d is not covered: %w", index, ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("waiting for a checkpoint over index %d: %w", index, ctx.Err())
		}
	}
}

// signedOver returns the checkpoint of WaitSigned, if there is one.
func (l *Log) signedOver(ctx context.Context, index uint64) (signedHead, error) {
	l.mu.Lock()
	signed, published := l.signed, l.shownNote != nil && l.shown.Size > index
	l.mu.Unlock()
	if published {
		h, msg, err := l.covering(ctx, index)
		return signedHead{h, msg}, err
	}
	if signed.Size <= index {
		return signedHead{}, &NotCoveredError{Index: index, Size: signed.Size}
	}
	return signed, nil
}

// covering returns the archived checkpoint of least size that covers index, checked.
func (l *Log) covering(ctx context.Context, index uint64) (treeHead, []byte, error) {
	size, published := l.Checkpoint()
	if index >= size || published == nil {
		return treeHead{}, nil, &NotCoveredError{Index: index, Size: size}
	}
	size, msg, err := l.config.Archive.Covering(ctx, index)
	if err != nil {
		return treeHead{}, nil, fmt.Errorf("finding the checkpoint over index %d: %w", index, err)
	}
	c, err := l.guarded.keys.open(msg)
	if err != nil {
		return treeHead{}, nil, fmt.Errorf("reading the checkpoint over index %d: %w", index, err)
	}
	if c.Size != size || c.Size <= index {
		return treeHead{}, nil, fmt.Errorf("the archive answered size %d for index %d with a note of size %d", size, index, c.Size)
	}
	return c, msg, nil
}

// Proof returns a c2sp.org/tlog-proof of a leaf under the smallest published checkpoint that covers it, or
// *NotCoveredError. It was verified against the bytes of the leaf that are stored and the checkpoint that it carries.
func (l *Log) Proof(ctx context.Context, index uint64) ([]byte, error) {
	h, msg, err := l.covering(ctx, index)
	if err != nil {
		return nil, err
	}
	return l.prove(ctx, index, signedHead{h, msg})
}

// ProofSigned is Proof under a checkpoint as WaitSigned returns it, which may lack the quorum. *NotCoveredError if the log
// has signed none that covers index.
func (l *Log) ProofSigned(ctx context.Context, index uint64) ([]byte, error) {
	h, err := l.signedOver(ctx, index)
	if err != nil {
		return nil, err
	}
	return l.prove(ctx, index, h)
}

func (l *Log) prove(ctx context.Context, index uint64, under signedHead) ([]byte, error) {
	r, err := tiles.NewReader(l.config.Tree, under.Size, under.Root)
	if err != nil {
		return nil, err
	}
	r = r.WithLatest(l.Size)
	// Inclusion checks the proof against the checkpoint's root; Leaf checks that the leaf's bytes are those proven.
	leaf, err := r.Leaf(ctx, index)
	if err != nil {
		return nil, err
	}
	h, hashes, err := r.Inclusion(ctx, index)
	if err != nil {
		return nil, err
	}
	if h != tiles.LeafHash(leaf) {
		return nil, fmt.Errorf("leaf %d changed while it was proven: %w", index, errors.Join(tiles.ErrDamaged))
	}
	return proof.TLogProof{Index: index, Hashes: hashes, Checkpoint: under.note}.Marshal(), nil
}
