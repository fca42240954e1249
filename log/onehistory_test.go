package log_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

func checkpointText(size uint64, root storage.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
}

// refused checks that Check and Open both refuse for a reason, and that the message can be acted on.
func refused(t *testing.T, c log.Config, reason error) {
	t.Helper()
	cerr := log.Check(t.Context(), c)
	l, err := log.Open(t.Context(), c)
	if err == nil {
		shut(t, l)
	}
	for _, err := range []error{cerr, err} {
		var r *log.RefusedError
		if !errors.As(err, &r) || r.Reason != reason || !errors.Is(err, reason) {
			t.Fatalf("got %v, want a refusal: %v", err, reason)
		}
		if r.WayOut() == "" || !strings.Contains(err.Error(), r.WayOut()) {
			t.Errorf("%v names no way out", err)
		}
	}
}

func TestONEHISTORY_openRefuses(t *testing.T) {
	old := newWorld(t)
	old.grow(t, 300)
	now := old.clone()
	now.grow(t, 300)
	other := newWorld(t)
	other.grow(t, 600)
	larger := newWorld(t)
	larger.grow(t, 700)

	for name, tc := range map[string]struct {
		change func(w *world, c *log.Config)
		reason error
	}{
		"old tree, new guard": {func(w *world, c *log.Config) { c.Tree = old.tree }, log.ErrTreeBehind},
		"old tree, old guard": {func(w *world, c *log.Config) { c.Tree, c.Guard = old.tree, old.guard }, log.ErrGuardBehind},
		"new tree, old guard": {func(w *world, c *log.Config) { c.Guard = old.guard }, log.ErrGuardBehind},
		"all old, a witness ahead": {func(w *world, c *log.Config) {
			c.Tree, c.Guard, c.Archive = old.tree, old.guard, old.archive
			c.Elsewhere = func(context.Context) ([][]byte, bool) {
				return [][]byte{[]byte("junk"), now.guard.state.Note}, true
			}
		}, log.ErrGuardBehind},
		"tree state lost":         {func(w *world, c *log.Config) { c.Tree = newTree(new(faults)) }, log.ErrTreeBehind},
		"tree lost":               {func(w *world, c *log.Config) { c.Tree = lostTree{w.tree} }, log.ErrTreeMissing},
		"another tree, same size": {func(w *world, c *log.Config) { c.Tree = other.tree }, log.ErrRootDiffers},
		"another tree, larger":    {func(w *world, c *log.Config) { c.Tree = larger.tree }, log.ErrRootDiffers},
		"guard lost":              {func(w *world, c *log.Config) { c.Guard = &memGuard{faults: new(faults)} }, log.ErrGuardMissing},
		"guard of another log":    {func(w *world, c *log.Config) { w.guard.state.Origin = "log.example/other" }, log.ErrGuardForeign},
		"guard of another key":    {func(w *world, c *log.Config) { c.Guard = other.guard }, log.ErrGuardInvalid},
		"guard edited":            {func(w *world, c *log.Config) { w.guard.state.Size = 300 }, log.ErrGuardInvalid},
		"archive lost":            {func(w *world, c *log.Config) { c.Archive = newArchive(new(faults)) }, log.ErrArchiveBroken},
		"archive of another log":  {func(w *world, c *log.Config) { c.Archive = other.archive }, log.ErrArchiveBroken},
		"archive misfiled": {func(w *world, c *log.Config) {
			w.archive.notes[500] = w.archive.notes[600]
			delete(w.archive.notes, 600)
		}, log.ErrArchiveBroken},
		"top tile flipped": {func(w *world, c *log.Config) { w.tree.flip("tile/1/000.p/2", 3) }, log.ErrTreeDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			w := now.clone()
			c := w.config()
			tc.change(w, &c)
			before := w.guard.state.Note
			refused(t, c, tc.reason)
			if string(w.guard.state.Note) != string(before) {
				t.Error("the guard was changed")
			}
		})
	}
	refused(t, func() log.Config { // a guard behind, but with a copy of the tree that went on: only the archive knows
		w := now.clone()
		c := w.config()
		c.Guard = old.guard.clone(w.faults)
		return c
	}(), log.ErrGuardBehind)
	shut(t, now.open(t)) // and what was not changed opens
}

type lostTree struct{ *memTree }

func (lostTree) Head(context.Context) (uint64, storage.Hash, error) {
	return 0, storage.Hash{}, storage.ErrNotFound
}

func TestONEHISTORY_twoLogsOneGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newWorld(t)
		a.grow(t, 10)
		b := a.clone() // another copy of the tree, and the same guard
		b.guard, b.archive = a.guard, a.archive
		la, lb := a.open(t), b.open(t)
		synctest.Wait()
		appendN(t, la, 5)
		appendN(t, lb, 5)
		rest(2 * time.Second)
		sa, sb := la.Health().Stopped, lb.Health().Stopped
		if (sa == nil) == (sb == nil) {
			t.Fatalf("one of two must have stopped, got %v and %v", sa, sb)
		}
		winner, loser := a, lb
		if sb == nil {
			winner, loser = b, la
		}
		if err := errors.Join(sa, sb); !errors.Is(err, log.ErrGuardMoved) {
			t.Errorf("stopped by %v", err)
		}
		if _, err := loser.Append(t.Context(), [][]byte{{1}}); !errors.Is(err, log.ErrStopped) || !errors.Is(err, log.ErrNotAppended) {
			t.Errorf("append to a stopped log: %v", err)
		}
		if _, err := loser.WaitCovered(t.Context(), 12); !errors.Is(err, log.ErrStopped) {
			t.Errorf("waiting on a stopped log: %v", err)
		}
		if _, err := loser.Leaf(t.Context(), 3); err != nil {
			t.Errorf("reading a stopped log: %v", err)
		}
		winner.wantOneHistory(t)
		shut(t, la)
		shut(t, lb)
		winner.wantOneHistory(t)
	})
}

// Every bit that a new checkpoint stands on is found before it is signed.
func TestONEHISTORY_flippedBitBeforeSigning(t *testing.T) {
	base := newWorld(t)
	base.grow(t, 300)
	// Leaves that no checkpoint covers yet: the process died before its next interval.
	var leaves [][]byte
	for i := range 500 {
		leaves = append(leaves, fmt.Appendf(nil, "uncovered %d", i))
	}
	if _, err := base.tree.Append(t.Context(), leaves); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, path := range slices.Sorted(maps.Keys(base.tree.files)) {
		// The first bundle and its tile are covered already; the partial tiles of older sizes are never read again.
		p, err := tiles.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if p.Level == 0 && (p.Index == 0 || p.Width != 0 && p.Index != 3) {
			continue
		}
		if p.Width == 44 || p.Level == 1 && p.Width != 3 {
			continue
		}
		bits := 8 * len(base.tree.files[path])
		for _, bit := range []int{0, 7, 8, 15, bits / 3, bits / 2, bits - 8, bits - 1} {
			tried++
			w := base.clone()
			w.tree.flip(path, bit)
			before := w.guard.state.Size
			l, err := log.Open(t.Context(), w.config())
			if err == nil {
				err = l.Close(context.Background()) // signs a last checkpoint, or does not
				if err != nil {
					t.Fatal(err)
				}
				err = l.Health().Stopped
			}
			if !errors.Is(err, log.ErrTreeDamaged) {
				t.Fatalf("%s bit %d: got %v", path, bit, err)
			}
			if w.guard.state.Size != before || len(w.archive.notes) != len(base.archive.notes) {
				t.Fatalf("%s bit %d: something was signed", path, bit)
			}
		}
	}
	if tried < 8*6 {
		t.Fatalf("only %d bits flipped", tried)
	}
	base.clone().grow(t, 1) // without a flip it signs
}

func TestONEHISTORY_flippedBitBeforeServing(t *testing.T) {
	w := newWorld(t)
	w.grow(t, 600)
	w.tree.flip(tiles.BundlePath(0, 0), 8*100)
	l := w.open(t)
	defer shut(t, l)
	if _, err := l.Leaf(t.Context(), 200); !errors.Is(err, tiles.ErrDamaged) {
		t.Errorf("leaf of a damaged bundle: %v", err)
	}
	if _, err := l.Proof(t.Context(), 200); !errors.Is(err, tiles.ErrDamaged) {
		t.Errorf("proof of a leaf of a damaged bundle: %v", err)
	}
	if _, err := l.Proof(t.Context(), 300); err != nil {
		t.Errorf("proof beside the damage: %v", err)
	}
}

// A swap of the guard whose answer was lost, or that arrives after a later one was tried, is not taken for another signer.
func TestONEHISTORY_swapUnknown(t *testing.T) {
	for _, e := range []effect{nothing, all, late} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.open(t)
			synctest.Wait()
			w.guard.faults = &faults{at: 2, effect: e} // the load of the next step succeeds, its swap does not
			appendN(t, l, 3)
			rest(log.DefaultInterval)
			if h := l.Health(); h.PublishError == nil || h.OK(time.Millisecond) {
				t.Errorf("health hides a failed swap: %+v", h)
			}
			if size, _ := l.Checkpoint(); size != 0 {
				t.Errorf("a checkpoint left before its swap was certain: size %d", size)
			}
			appendN(t, l, 3)
			if _, err := l.WaitCovered(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			if h := l.Health(); !h.OK(time.Second) {
				t.Errorf("it did not heal: %+v", h)
			}
			shut(t, l)
			w.wantOneHistory(t)
		})
	}
}

// A signer whose work does not verify gets nothing out.
func TestONEHISTORY_faultySigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.config()
		c.Signers = []note.Signer{faultySigner{w.signer}}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		appendN(t, l, 1)
		rest(2 * time.Second)
		if w.guard.state.Size != 0 || l.Health().PublishError == nil {
			t.Errorf("guard at %d, health %+v", w.guard.state.Size, l.Health())
		}
		shut(t, l)
	})
}

type faultySigner struct{ note.Signer }

func (f faultySigner) Sign(msg []byte) ([]byte, error) {
	sig, err := f.Signer.Sign(msg)
	if err == nil {
		sig[10] ^= 1
	}
	return sig, err
}

// Whatever asks for a signature: the signer refuses what does not extend the last one signed.
func TestONEHISTORY_signerRefuses(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.grow(t, 300)
	other.grow(t, 400)
	for name, tc := range map[string]struct {
		size   uint64
		root   storage.Hash
		reason error
	}{
		"larger, another history":        {400, other.tree.rootAt(400), log.ErrRootDiffers},
		"same size, another root":        {300, other.tree.rootAt(300), log.ErrRootDiffers},
		"smaller":                        {200, w.tree.rootAt(200), log.ErrTreeBehind},
		"larger, a root it is not under": {400, storage.Hash{1}, log.ErrTreeDamaged},
	} {
		msg, err := log.SignOver(t.Context(), w.config(), other.tree, tc.size, tc.root)
		if !errors.Is(err, tc.reason) || msg != nil || w.guard.state.Size != 300 {
			t.Errorf("%s: %v, guard at %d", name, err, w.guard.state.Size)
		}
	}
	again, err := log.SignOver(t.Context(), w.config(), w.tree, 300, w.tree.rootAt(300))
	if err != nil || string(again) != string(w.guard.state.Note) {
		t.Errorf("the same again: %q, %v", again, err)
	}
}
