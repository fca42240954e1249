package log

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/storage"
)

// CreateConfig is what a log is created of.
type CreateConfig struct {
	Origin    string
	Signers   []note.Signer   // as in Config
	Verifiers []note.Verifier // as in Config
	Tree      storage.Tree    // exists, and is empty
	Guard     storage.Guard
	Archive   storage.Archive
}

// Create makes a new log over an empty tree: it signs the checkpoint of size 0, archives it, and creates the guard. It
// refuses what exists (storage.ErrExists). The guard comes last and makes the log exist, so that an interrupted Create can
// be run again.
func Create(ctx context.Context, c CreateConfig) error {
	k, err := newKeys(c.Origin, c.Signers, c.Verifiers)
	if err != nil {
		return err
	}
	if err := vacant(ctx, c); err != nil {
		return err
	}
	first := treeHead{c.Origin, 0, emptyRoot()}
	msg, err := k.sign(first)
	if err != nil {
		return err
	}
	if err := c.Archive.Put(ctx, 0, msg); err != nil {
		return fmt.Errorf("archiving the first checkpoint: %w", err)
	}
	err = c.Guard.Create(ctx, storage.GuardState{Origin: c.Origin, Root: first.Root, Note: msg})
	if err != nil {
		return fmt.Errorf("creating the guard: %w", err)
	}
	return nil
}

func vacant(ctx context.Context, c CreateConfig) error {
	state, err := c.Guard.Load(ctx)
	if err == nil {
		return fmt.Errorf("there is a guard of %q with size %d: %w", state.Origin, state.Size, storage.ErrExists)
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("looking for a guard: %w", err)
	}
	size, _, err := c.Archive.Latest(ctx)
	if err == nil && size > 0 {
		return fmt.Errorf("there is an archived checkpoint of size %d: %w", size, storage.ErrExists)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("looking for archived checkpoints: %w", err)
	}
	size, _, err = c.Tree.Head(ctx)
	if err != nil {
		return fmt.Errorf("reading the tree's head: %w", err)
	}
	if size > 0 {
		return fmt.Errorf("there is a tree of size %d: %w", size, storage.ErrExists)
	}
	return nil
}

// RetireConfig names a log that is to sign nothing more.
type RetireConfig struct {
	Origin    string
	Verifiers []note.Verifier // all keys that the log ever signed with
	Guard     storage.Guard   // of the log, or an empty one in its place if it is lost
	Archive   storage.Archive // nil if it is lost
	Known     [][]byte        // checkpoints held elsewhere; each must be signed by the log
	Successor string          // origin of the log that goes on
}

// A Predecessor is what a successor log says of the log before it: the last checkpoint known of it.
type Predecessor struct {
	Origin string
	Size   uint64
	Root   storage.Hash
	Note   []byte
}

// Retire marks the log retired, durably, so that Open and every signer that is still running refuse it, and returns what
// its successor has to say of it: the greatest checkpoint that guard, archive and Known have. Two roots for one size among
// them are an error. Retiring again for the same successor returns the same; for another it is refused.
//
// The mark stands in the guard, because that is what allows signatures: whoever has the guard cannot miss it, and whoever
// has an older view of it fails in its compare-and-swap.
func Retire(ctx context.Context, c RetireConfig) (Predecessor, error) {
	if err := checkOrigin(c.Successor); err != nil {
		return Predecessor{}, err
	}
	if c.Successor == c.Origin {
		return Predecessor{}, fmt.Errorf("%q cannot be its own successor", c.Origin)
	}
	k, err := newVerifiers(c.Origin, c.Verifiers)
	if err != nil {
		return Predecessor{}, err
	}
	state, err := c.Guard.Load(ctx)
	missing := errors.Is(err, storage.ErrNotFound)
	if err != nil && !missing {
		return Predecessor{}, fmt.Errorf("loading the guard: %w", err)
	}
	if !missing && state.Origin != c.Origin {
		return Predecessor{}, &RefusedError{Reason: ErrGuardForeign, Origin: c.Origin, GuardSize: state.Size,
			Err: fmt.Errorf("it is the guard of %q", state.Origin)}
	}
	if r, ok := parseRetired(state.Note); ok {
		return retiredAlready(c, k, r)
	}
	last, err := lastKnown(ctx, c, k, state.Note)
	if err != nil {
		return Predecessor{}, err
	}
	mark := retired{c.Successor, last.Note}.state(c.Origin, last.Size+1) // a guard takes no other root at its size
	if missing {
		err = c.Guard.Create(ctx, mark)
	} else {
		err = c.Guard.Swap(ctx, state, mark)
	}
	if err != nil {
		return Predecessor{}, fmt.Errorf("marking the guard: %w", err)
	}
	return last, nil
}

func retiredAlready(c RetireConfig, k keys, r retired) (Predecessor, error) {
	last, err := k.open(r.Note)
	if err != nil {
		return Predecessor{}, fmt.Errorf("reading the mark of a retired log: %w", err)
	}
	if r.Successor != c.Successor {
		return Predecessor{}, &RefusedError{Reason: ErrRetired, Origin: c.Origin, GuardSize: last.Size, GuardRoot: last.Root,
			Err: fmt.Errorf("its successor is %q", r.Successor)}
	}
	return Predecessor{last.Origin, last.Size, last.Root, r.Note}, nil
}

func lastKnown(ctx context.Context, c RetireConfig, k keys, guard []byte) (Predecessor, error) {
	notes := slices.Clone(c.Known)
	if guard != nil {
		notes = append(notes, guard)
	}
	known, err := gather(ctx, k, c.Archive, notes)
	if err != nil {
		return Predecessor{}, err
	}
	if len(known) == 0 {
		return Predecessor{}, fmt.Errorf("no checkpoint of %q is known", c.Origin)
	}
	last := known[0]
	return Predecessor{last.Origin, last.Size, last.Root, last.note}, nil
}

// signedHead is a checkpoint with the note that it stands in.
type signedHead struct {
	treeHead
	note []byte
}

// gather opens notes and the latest of the archive, if there is one, and returns them with the greatest first. Each must be
// signed by the log, and for one size they must have one root.
func gather(ctx context.Context, k keys, archive storage.Archive, notes [][]byte) ([]signedHead, error) {
	if archive != nil {
		_, msg, err := archive.Latest(ctx)
		if err == nil {
			notes = append(slices.Clone(notes), msg)
		} else if !errors.Is(err, storage.ErrNotFound) {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
	}
	var known []signedHead
	roots := make(map[uint64]storage.Hash)
	for _, msg := range notes {
		h, err := k.open(msg)
		if err != nil { // passed over, it could be the one that says most, under a key that is not configured
			return nil, &RefusedError{Reason: ErrUnknown, Origin: k.origin, Err: err}
		}
		if root, ok := roots[h.Size]; ok && root != h.Root {
			return nil, &RefusedError{Reason: ErrRootDiffers, Origin: k.origin, GuardSize: h.Size,
				GuardRoot: root, TreeSize: h.Size, TreeRoot: h.Root, Err: errTwoRoots}
		}
		roots[h.Size] = h.Root
		known = append(known, signedHead{h, msg})
	}
	slices.SortStableFunc(known, func(a, b signedHead) int { return cmp.Compare(b.Size, a.Size) })
	return known, nil
}

const retiredMagic = "steno/retired/v1\n"

// retired is the mark in a guard: "steno/retired/v1\n<successor>\n\n<last checkpoint note>".
type retired struct {
	Successor string
	Note      []byte
}

// state puts the mark into a guard. The root is the hash of the mark, which no tree has, so that a compare-and-swap by
// somebody who saw the guard before finds another state.
func (r retired) state(origin string, size uint64) storage.GuardState {
	mark := append([]byte(retiredMagic+r.Successor+"\n\n"), r.Note...)
	return storage.GuardState{Origin: origin, Size: size, Root: sha256.Sum256(mark), Note: mark}
}

func parseRetired(mark []byte) (retired, bool) {
	rest, ok := strings.CutPrefix(string(mark), retiredMagic)
	if !ok {
		return retired{}, false
	}
	successor, msg, ok := strings.Cut(rest, "\n\n")
	return retired{successor, []byte(msg)}, ok && checkOrigin(successor) == nil
}
