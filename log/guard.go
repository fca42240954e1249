package log

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// A guarded signer signs a checkpoint only if the guard allows it. One goroutine uses it.
type guarded struct {
	keys
	guard  storage.Guard
	tree   storage.Tree
	latest func() uint64     // the integrated size, or nil before the log runs
	binds  func([]byte) bool // Config.Binds

	last storage.GuardState // as this process left it
	// unsettled are states whose Swap failed in a way that does not say whether it happened, or still will.
	unsettled []storage.GuardState
	guardErr  error // of the last time it was asked
}

func (g *guarded) refuse(reason error, found treeHead, err error) *RefusedError {
	return &RefusedError{
		Reason: reason, Origin: g.origin, GuardSize: g.last.Size, GuardRoot: g.last.Root,
		TreeSize: found.Size, TreeRoot: found.Root, Err: err,
	}
}

// load reads the guard and checks that it is this log's.
func (g *guarded) load(ctx context.Context) (storage.GuardState, error) {
	state, err := g.guard.Load(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return state, g.refuse(ErrGuardMissing, treeHead{}, err)
	}
	if err != nil {
		return state, fmt.Errorf("loading the guard: %w", err)
	}
	return state, g.check(state)
}

func (g *guarded) check(state storage.GuardState) error {
	found := treeHead{state.Origin, state.Size, state.Root}
	if state.Origin != g.origin {
		return g.refuse(ErrGuardForeign, found, fmt.Errorf("it is the guard of %q", state.Origin))
	}
	if r, ok := parseRetired(state.Note); ok {
		return g.refuse(ErrRetired, found, fmt.Errorf("its successor is %q", r.Successor))
	}
	c, err := g.keys.open(state.Note)
	if err != nil {
		return g.refuse(ErrGuardInvalid, found, err)
	}
	if c != found {
		return g.refuse(ErrGuardInvalid, found, fmt.Errorf("its note says size %d, root %x", c.Size, c.Root))
	}
	return nil
}

// present loads the guard and makes sure that nobody but this process has moved it.
func (g *guarded) present(ctx context.Context) (storage.GuardState, error) {
	state, err := g.load(ctx)
	if err != nil {
		return state, err
	}
	if same(state, g.last) {
		return state, nil
	}
	for _, u := range g.unsettled {
		if same(state, u) {
			g.last, g.unsettled = state, nil
			return state, nil
		}
	}
	return state, g.refuse(ErrGuardMoved, treeHead{state.Origin, state.Size, state.Root}, nil)
}

// watch looks whether the guard is there and where this process left it.
func (g *guarded) watch(ctx context.Context) error {
	_, g.guardErr = g.present(ctx)
	return g.guardErr
}

// sign returns the signed checkpoint of this size and root. Size and root are what the log admitted; everything on disk is
// checked against them. The order is: look at the guard, check the tree, sign, swap the guard, and only then return the
// signature. A crash before the swap leaves nothing signed; one after it leaves a guard that is ahead of what was
// published, and the note is in the guard.
func (g *guarded) sign(ctx context.Context, size uint64, root storage.Hash) ([]byte, error) {
	state, err := g.present(ctx)
	if g.guardErr = err; err != nil {
		return nil, err
	}
	next := treeHead{g.origin, size, root}
	switch {
	case size < state.Size:
		return nil, g.refuse(ErrTreeBehind, next, nil)
	case size == state.Size && root != state.Root:
		return nil, g.refuse(ErrRootDiffers, next, nil)
	case size == state.Size:
		return state.Note, nil
	}
	if err := g.verify(ctx, state, next); err != nil {
		return nil, err
	}
	msg, err := g.keys.sign(next)
	if err != nil {
		return nil, err
	}
	to := storage.GuardState{Origin: g.origin, Size: size, Root: root, Note: msg}
	if g.guardErr = g.swap(ctx, state, to); g.guardErr != nil {
		return nil, g.guardErr
	}
	return msg, nil
}

func (g *guarded) swap(ctx context.Context, from, to storage.GuardState) error {
	err := g.guard.Swap(ctx, from, to)
	if err == nil {
		// Earlier swaps from the same state can no longer happen.
		g.last, g.unsettled = to, nil
		return nil
	}
	if !errors.Is(err, storage.ErrConflict) {
		g.unsettled = append(g.unsettled, to)
		return fmt.Errorf("swapping the guard from size %d to %d: %w", from.Size, to.Size, err)
	}
	// An earlier swap of our own may have come through late; present finds out, and the next attempt goes on from there.
	if _, perr := g.present(ctx); perr != nil {
		return perr
	}
	return fmt.Errorf("swapping the guard from size %d to %d: %w", from.Size, to.Size, err)
}

// verify checks what is stored, from the guarded size to the next: that every new bundle hashes to its level-0 tile, that
// the tiles over them lead to the next root, and that the next tree extends the guarded one. Its cost is that of the new
// leaves and a path.
func (g *guarded) verify(ctx context.Context, state storage.GuardState, next treeHead) error {
	r, err := tiles.NewReader(g.tree, next.Size, next.Root)
	if err != nil {
		return g.damaged(next, err)
	}
	if g.latest != nil {
		r = r.WithLatest(g.latest)
	}
	old, _, err := r.Consistency(ctx, state.Size)
	if err != nil {
		return g.damaged(next, fmt.Errorf("checking consistency: %w", err))
	}
	if old != state.Root {
		return g.refuse(ErrRootDiffers, next, fmt.Errorf("its root at size %d is %x", state.Size, old))
	}
	err = r.Leaves(ctx, state.Size, next.Size, func(uint64, []byte) error { return nil })
	if err != nil {
		return g.damaged(next, fmt.Errorf("checking leaves %d to %d: %w", state.Size, next.Size-1, err))
	}
	return nil
}

// damaged tells bytes that are wrong, which is a refusal, from bytes that cannot be had right now.
func (g *guarded) damaged(found treeHead, err error) error {
	if errors.Is(err, tiles.ErrDamaged) {
		return g.refuse(ErrTreeDamaged, found, err)
	}
	return err
}

func same(a, b storage.GuardState) bool {
	return a.Origin == b.Origin && a.Size == b.Size && a.Root == b.Root && bytes.Equal(a.Note, b.Note)
}

// Check compares the tree with the guard, the archive and what is known elsewhere, and changes nothing. Call it before a
// sequencer is made: a sequencer might write to a tree that is not the one signed. Open calls it again. It uses Origin,
// Signers, Verifiers, Tree, Guard, Archive and Elsewhere of the configuration; that too few answer elsewhere is no error
// here, and what could be had is used. Refusals are *RefusedError.
func Check(ctx context.Context, config Config) error {
	_, err := check(ctx, &config)
	return err
}

// checked is a tree that fits its guard.
type checked struct {
	guarded   *guarded
	head      treeHead
	rng       *compact.Range // of head, from tiles that were verified
	published treeHead
	note      []byte // of published
	enough    bool   // of those elsewhere have answered
}

func check(ctx context.Context, c *Config) (*checked, error) {
	k, err := c.complete()
	if err != nil {
		return nil, err
	}
	g := &guarded{keys: k, guard: c.Guard, tree: c.Tree, binds: c.Binds}
	state, err := g.load(ctx)
	if err != nil {
		return nil, err
	}
	g.last = state
	published, msg, err := g.checkArchive(ctx, c.Archive)
	if err != nil {
		return nil, err
	}
	head, reader, err := g.checkTree(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.extends(ctx, reader, published); err != nil {
		return nil, err
	}
	seen := askElsewhere(ctx, c)
	if err := g.judge(ctx, reader, seen.notes, c.Logger); err != nil {
		return nil, err
	}
	rng, err := restoreRange(ctx, reader)
	if err != nil {
		return nil, g.damaged(head, err)
	}
	return &checked{g, head, rng, published, msg, seen.enough}, nil
}

func (g *guarded) checkTree(ctx context.Context) (treeHead, *tiles.Reader, error) {
	size, root, err := g.tree.Head(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return treeHead{}, nil, g.refuse(ErrTreeMissing, treeHead{}, err)
	}
	if err != nil { // empty or garbled, or the disk can't read it: in each case somebody has to put a file right
		return treeHead{}, nil, g.refuse(ErrTreeDamaged, treeHead{}, fmt.Errorf("reading the tree's head: %w", err))
	}
	head := treeHead{g.origin, size, root}
	if size < g.last.Size {
		return treeHead{}, nil, g.refuse(ErrTreeBehind, head, nil)
	}
	if size == g.last.Size && root != g.last.Root {
		return treeHead{}, nil, g.refuse(ErrRootDiffers, head, nil)
	}
	r, err := tiles.NewReader(g.tree, size, root)
	if err != nil {
		return treeHead{}, nil, g.damaged(head, err)
	}
	return head, r, g.extends(ctx, r, treeHead{g.origin, g.last.Size, g.last.Root})
}

// extends checks that the tree of r extends one that the log signed.
func (g *guarded) extends(ctx context.Context, r *tiles.Reader, signed treeHead) error {
	head := treeHead{g.origin, r.Size(), r.Root()}
	old, _, err := r.Consistency(ctx, signed.Size)
	if err != nil {
		return g.damaged(head, fmt.Errorf("checking that the tree extends size %d: %w", signed.Size, err))
	}
	if old != signed.Root {
		return g.refuse(ErrRootDiffers, head, fmt.Errorf("its root at size %d is %x, and %x was signed", signed.Size, old, signed.Root))
	}
	return nil
}

// checkArchive returns the latest archived checkpoint. One that is newer than the guard says that the guard is an old copy.
func (g *guarded) checkArchive(ctx context.Context, a storage.Archive) (treeHead, []byte, error) {
	size, msg, err := a.Latest(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return treeHead{}, nil, g.refuse(ErrArchiveBroken, treeHead{}, err)
	}
	if err != nil {
		return treeHead{}, nil, fmt.Errorf("reading the archive: %w", err)
	}
	c, err := g.keys.open(msg)
	if err != nil {
		return treeHead{}, nil, g.refuse(ErrArchiveBroken, treeHead{Size: size}, err)
	}
	if c.Size != size {
		return treeHead{}, nil, g.refuse(ErrArchiveBroken, c, fmt.Errorf("it stands there under size %d", size))
	}
	return c, msg, g.notBehind(c)
}

func (g *guarded) notBehind(c treeHead) error {
	if c.Size > g.last.Size {
		return g.refuse(ErrGuardBehind, c, nil)
	}
	if c.Size == g.last.Size && c.Root != g.last.Root {
		return g.refuse(ErrRootDiffers, c, errTwoRoots)
	}
	return nil
}

var errTwoRoots = errors.New("the log signed two roots for one size")

func emptyRoot() storage.Hash { return sha256.Sum256(nil) }
