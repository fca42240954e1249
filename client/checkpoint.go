package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// A keeper follows the log's checkpoints: it keeps the largest that has all that the trust file demands, and those beyond it
// that only the log has signed, and finds out of each new one whether it is of the same history. It is what makes every
// client a detector of split views.
//
// Of several checkpoints of which each was proven to extend the one before, keeping the largest keeps them all to their
// word. One that was not compared yet is kept until it was: otherwise a log could have the one that convicts it pushed out.
type keeper struct {
	trust *trust.Trust
	fetch tiles.Fetch
	fresh tiles.Fetch   // as fetch, without a cache: what lies at a path does change where there are two histories
	dir   string        // where they are kept; empty for nowhere
	turn  chan struct{} // holds one token: the right to compare, which takes the network

	mu     sync.Mutex
	latest *trust.Checkpoint
	signed []signed
}

// signed is a checkpoint that the log alone need have signed, and that latest was not proven to extend.
type signed struct {
	trust.Checkpoint
	compared bool // with all others that were known
	ended    bool // by a key of the log that counts there no more: held against others, and not passed on
}

const (
	latestName = "checkpoint"
	// maxSigned bounds those that were given and could not be compared. A log beyond it is taken at its word no more.
	maxSigned = 64
)

// openKeeper reads what an earlier process kept.
func openKeeper(t *trust.Trust, fetch, fresh tiles.Fetch, dir string) (*keeper, error) {
	k := &keeper{trust: t, fetch: fetch, fresh: fresh, dir: dir, turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	if dir == "" {
		return k, nil
	}
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the latest checkpoint: %w", err)
	}
	for _, f := range files {
		name := f.Name()
		if name != latestName && !strings.HasPrefix(name, latestName+".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("reading the latest checkpoint: %w", err)
		}
		if err := k.load(name, b); err != nil {
			return nil, fmt.Errorf("reading the latest checkpoint from %s: %w", filepath.Join(dir, name), err)
		}
	}
	return k, nil
}

// load takes a checkpoint that was kept. The trust file may be another than it was then: one whose key was stolen since holds
// nobody to anything, and to stop for it would let the thief stop us; one whose key was ended is still the log's word.
func (k *keeper) load(name string, b []byte) error {
	c, err := k.trust.OpenCheckpoint(b)
	var window *trust.WindowError
	switch {
	case errors.Is(err, trust.ErrNotSigned), errors.As(err, &window) && window.Window.Compromised:
		return nil
	case window != nil:
		c.Witnessed = false
		k.signed = append(k.signed, signed{c, false, true})
	case err != nil:
		return err
	case name != latestName:
		k.signed = append(k.signed, signed{c, false, false})
	case c.Witnessed:
		k.latest = &c
	default: // the trust file demands more than it did
		return k.add(signed{c, false, false})
	}
	return nil
}

// note is the largest checkpoint that was verified, with the quorum or without, or nil.
func (k *keeper) note() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	best := k.latest
	for i, s := range k.signed {
		if s.compared && !s.ended && (best == nil || s.Size > best.Size) {
			best = &k.signed[i].Checkpoint
		}
	}
	if best == nil {
		return nil
	}
	return best.Verified() // what an earlier process kept may have lines of keys that are pinned no more
}

// see verifies a published checkpoint: the log's signatures, that it is of one history with every other that is kept, and
// all that the trust file demands. *ForkError is proof that it is not of one history, *QuorumError says what is missing.
func (k *keeper) see(ctx context.Context, note []byte) (trust.Checkpoint, error) {
	c, err := k.seeSigned(ctx, note)
	if err == nil && !c.Witnessed {
		err = &QuorumError{c}
	}
	return c, err
}

// seeSigned is see for a checkpoint that only the log need have signed.
func (k *keeper) seeSigned(ctx context.Context, note []byte) (trust.Checkpoint, error) {
	c, err := k.open(note)
	if err != nil {
		return c, err
	}
	return c, k.take(ctx, c)
}

// open opens a checkpoint, and leaves out the lines of keys that are not pinned: somebody on the way could have added a bad one
// under the name of a witness that others have pinned, or that will be, and what is kept is passed on, into leaves and proofs.
func (k *keeper) open(note []byte) (trust.Checkpoint, error) {
	c, err := k.trust.OpenCheckpoint(note)
	if err == nil {
		c.Note = c.Verified()
	}
	return c, err
}

// give keeps a checkpoint that came with something else, without the network: compareGiven looks at it.
func (k *keeper) give(note []byte) error {
	c, err := k.open(note)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range k.knownLocked() {
		if o.Size == c.Size && o.Root != c.Root {
			return &ForkError{Ours: o, Theirs: c, OldSize: c.Size, OldRoot: c.Root}
		}
		if o.Size == c.Size {
			return nil
		}
	}
	if len(k.signed) >= maxSigned {
		return fmt.Errorf("%d checkpoints of the log could not be compared with each other, no more are taken", maxSigned)
	}
	return k.add(signed{c, false, false})
}

// compareGiven verifies what was given and not yet compared.
func (k *keeper) compareGiven(ctx context.Context) error {
	k.mu.Lock()
	given := slices.DeleteFunc(slices.Clone(k.signed), func(s signed) bool { return s.compared })
	k.mu.Unlock()
	for _, s := range given {
		if err := k.take(ctx, s.Checkpoint); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) knownLocked() []trust.Checkpoint {
	var all []trust.Checkpoint
	if k.latest != nil {
		all = append(all, *k.latest)
	}
	for _, s := range k.signed {
		all = append(all, s.Checkpoint)
	}
	return all
}

// take compares a checkpoint with every other that is kept, and keeps it if it says more than they do.
func (k *keeper) take(ctx context.Context, c trust.Checkpoint) error {
	select {
	case <-k.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { k.turn <- struct{}{} }()
	k.mu.Lock()
	others := k.knownLocked()
	k.mu.Unlock()
	for _, o := range others {
		if err := k.compare(ctx, o, c); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.keep(c, others); err != nil {
		return err
	}
	// Those that c was proven to extend: one that was given meanwhile is not among them.
	return k.drop(func(s trust.Checkpoint) bool {
		return (s.Size < c.Size || s.Size == c.Size && c.Witnessed) && slices.ContainsFunc(others, func(o trust.Checkpoint) bool { return o.Size == s.Size })
	})
}

// keep keeps c, which is of one history with others, unless one of them covers it. It needs k.mu.
func (k *keeper) keep(c trust.Checkpoint, others []trust.Checkpoint) error {
	if c.Witnessed {
		if k.latest != nil && c.Size <= k.latest.Size {
			return nil
		}
		if k.dir != "" {
			if err := durable.WriteFile(filepath.Join(k.dir, latestName), c.Note, 0o600); err != nil {
				return fmt.Errorf("keeping the latest checkpoint: %w", err)
			}
		}
		k.latest = &c
		return nil
	}
	for i := range k.signed {
		if k.signed[i].Size == c.Size {
			k.signed[i].compared = true
			return nil
		}
	}
	if slices.ContainsFunc(others, func(o trust.Checkpoint) bool { return o.Size >= c.Size }) {
		return nil
	}
	return k.add(signed{c, true, false})
}

// add keeps a signed checkpoint. It needs k.mu.
func (k *keeper) add(s signed) error {
	if k.dir != "" {
		if err := durable.WriteFile(k.signedPath(s.Checkpoint), s.Note, 0o600); err != nil {
			return fmt.Errorf("keeping a signed checkpoint: %w", err)
		}
	}
	k.signed = append(k.signed, s)
	return nil
}

// drop forgets signed checkpoints, after what stands for them was kept. It needs k.mu.
func (k *keeper) drop(done func(trust.Checkpoint) bool) (err error) {
	k.signed = slices.DeleteFunc(k.signed, func(s signed) bool {
		if !done(s.Checkpoint) {
			return false
		}
		if k.dir != "" {
			err = errors.Join(err, durable.Remove(k.signedPath(s.Checkpoint)))
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("removing a signed checkpoint: %w", err)
	}
	return nil
}

func (k *keeper) signedPath(c trust.Checkpoint) string {
	sum := sha256.Sum256(c.Note)
	return filepath.Join(k.dir, fmt.Sprintf("%s.%d.%x", latestName, c.Size, sum[:4]))
}

func (k *keeper) compare(ctx context.Context, ours, theirs trust.Checkpoint) error {
	small, large := ours, theirs
	if small.Size > large.Size {
		small, large = large, small
	}
	root, proof := large.Root, []tiles.Hash(nil)
	if small.Size != large.Size {
		r, err := tiles.NewReader(tiles.FromFetch(k.fresh), large.Size, large.Root)
		if err != nil {
			return err
		}
		// The root at the smaller size is computed from tiles that are proven to be those of the larger tree.
		if root, proof, err = r.Consistency(ctx, small.Size); err != nil {
			return fmt.Errorf("proving that the tree of size %d extends that of size %d: %w", large.Size, small.Size, err)
		}
	}
	if root != small.Root {
		return &ForkError{Ours: ours, Theirs: theirs, OldSize: small.Size, OldRoot: root, Proof: proof}
	}
	return nil
}
