package log

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/storage"
)

// RebuildConfig is what a lost guard is rebuilt of.
type RebuildConfig struct {
	Origin    string
	Verifiers []note.Verifier // all keys that the log ever signed with
	Tree      storage.Tree
	Guard     storage.Guard   // the empty one in the place of that which is lost
	Archive   storage.Archive // nil if it is lost
	// Known are checkpoints that others hold, at least one; each must be signed by the log. The caller answers for that they
	// are enough: that those who were not asked could not have made a quorum with a larger one.
	Known [][]byte
}

// RebuildGuard creates the guard of a log that lost it, with the greatest checkpoint among Known and the archive. Every one
// of them must be of the history that the tree has, and the tree as large at least. A guard that is there is refused
// (storage.ErrExists): it is what knows best. Other refusals are *RefusedError.
//
// What the log signed and nobody among Known has seen is forgotten with the guard: so much depends on whom the caller asked.
func RebuildGuard(ctx context.Context, c RebuildConfig) (size uint64, err error) {
	k, err := newVerifiers(c.Origin, c.Verifiers)
	if err != nil {
		return 0, err
	}
	g := &guarded{keys: k, guard: c.Guard, tree: c.Tree}
	state, err := c.Guard.Load(ctx)
	if err == nil {
		return 0, fmt.Errorf("there is a guard of %q with size %d: %w", state.Origin, state.Size, storage.ErrExists)
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return 0, fmt.Errorf("looking for a guard: %w", err)
	}
	// A tree and an archive from one backup agree with each other; only somebody else knows that there was more.
	if len(c.Known) == 0 {
		return 0, g.refuse(ErrUnknown, treeHead{}, errors.New("no checkpoint from elsewhere was brought"))
	}
	known, err := g.known(ctx, c)
	if err != nil {
		return 0, err
	}
	first := known[0]
	own, err := k.own(first.note)
	if err != nil {
		return 0, err
	}
	err = c.Guard.Create(ctx, storage.GuardState{Origin: c.Origin, Size: first.Size, Root: first.Root, Note: own})
	if err != nil {
		return 0, fmt.Errorf("creating the guard: %w", err)
	}
	return first.Size, nil
}

// known returns what is known of the log, the greatest first, all of it of the tree's history.
func (g *guarded) known(ctx context.Context, c RebuildConfig) ([]signedHead, error) {
	known, err := gather(ctx, g.keys, c.Archive, c.Known)
	if err != nil {
		return nil, err
	}
	g.last = storage.GuardState{Size: known[0].Size, Root: known[0].Root} // as the tree is judged by
	_, r, err := g.checkTree(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range known {
		if err := g.extends(ctx, r, h.treeHead); err != nil {
			return nil, err
		}
	}
	return known, nil
}
