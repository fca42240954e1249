package storagetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stenolog/steno/storage"
)

func guardState(size uint64) storage.GuardState {
	return storage.GuardState{
		Origin: "log.example/guard", Size: size,
		Root: sha256.Sum256([]byte(strconv.FormatUint(size, 10))), Note: fmt.Appendf(nil, "note of %d\n", size),
	}
}

func sameState(a, b storage.GuardState) bool {
	return a.Origin == b.Origin && a.Size == b.Size && a.Root == b.Root && string(a.Note) == string(b.Note)
}

func checkGuard(t *testing.T, g storage.Guard, want storage.GuardState) {
	t.Helper()
	got, err := g.Load(t.Context())
	if err != nil || !sameState(got, want) {
		t.Fatalf("state is %q %d %x %q, %v; want size %d", got.Origin, got.Size, got.Root, got.Note, err, want.Size)
	}
}

// TestGuard is the suite of storage.Guard. Create of the store must not create a state.
func TestGuard(t *testing.T, s Store[storage.Guard]) {
	t.Run("swap", func(t *testing.T) { guardSwap(t, s) })
	t.Run("ONE-HISTORY", func(t *testing.T) { guardRefuses(t, s) })
	t.Run("race", func(t *testing.T) { guardRace(t, s) })
	t.Run("never_made_by_open", func(t *testing.T) { guardMissing(t, s) })
	t.Run("kill", func(t *testing.T) { guardKill(t, s) })
}

func guardSwap(t *testing.T, s Store[storage.Guard]) {
	in := s.start(t)
	if _, err := in.v.Load(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("loading what was not created: %v, want ErrNotFound", err)
	}
	if err := in.v.Swap(t.Context(), storage.GuardState{}, guardState(1)); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("swapping what was not created: %v, want ErrNotFound", err)
	}
	if err := in.v.Create(t.Context(), guardState(0)); err != nil {
		t.Fatal(err)
	}
	if err := in.v.Create(t.Context(), guardState(5)); !errors.Is(err, storage.ErrExists) {
		t.Errorf("creating again: %v, want ErrExists", err)
	}
	in.reopen(t)
	checkGuard(t, in.v, guardState(0))
	for size := uint64(0); size < 5; size++ {
		if err := in.v.Swap(t.Context(), guardState(size), guardState(size+1)); err != nil {
			t.Fatal(err)
		}
		checkGuard(t, in.v, guardState(size+1))
	}
	other := guardState(5)
	other.Note = []byte("cosigned\n")
	if err := in.v.Swap(t.Context(), guardState(5), other); err != nil {
		t.Errorf("another note for the same size and root: %v", err)
	}
	in.reopen(t)
	checkGuard(t, in.v, other)
}

func guardRefuses(t *testing.T, s Store[storage.Guard]) {
	in := s.start(t)
	if err := in.v.Create(t.Context(), guardState(7)); err != nil {
		t.Fatal(err)
	}
	fork, foreign, huge := guardState(7), guardState(8), guardState(8)
	fork.Root[0] ^= 1
	foreign.Origin = "log.example/other"
	huge.Size = 1<<64 - 1
	for name, tt := range map[string]struct{ old, new storage.GuardState }{
		"old is behind":         {guardState(6), guardState(8)},
		"old is ahead":          {guardState(8), guardState(9)},
		"old has another root":  {fork, guardState(8)},
		"new is behind":         {guardState(7), guardState(6)},
		"new forks":             {guardState(7), fork},
		"new is of another log": {guardState(7), foreign},
	} {
		if err := in.v.Swap(t.Context(), tt.old, tt.new); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	checkGuard(t, in.v, guardState(7))
	// A backend may have a limit below 2^64 but must not wrap.
	if err := in.v.Swap(t.Context(), guardState(7), huge); err != nil {
		checkGuard(t, in.v, guardState(7))
	} else {
		checkGuard(t, in.v, huge)
	}
}

// Two openings stand for two processes.
func guardRace(t *testing.T, s Store[storage.Guard]) {
	in := s.start(t)
	if err := in.v.Create(t.Context(), guardState(0)); err != nil {
		t.Fatal(err)
	}
	second, err := s.Open(t.Context(), in.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(second)
	for size := uint64(0); size < 10; size++ {
		var won atomic.Int32
		parallel(8, func(i int) {
			new := guardState(size + 1)
			new.Note = fmt.Appendf(nil, "by %d\n", i)
			switch err := []storage.Guard{in.v, second}[i%2].Swap(t.Context(), guardState(size), new); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, storage.ErrConflict):
				t.Error(err)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d of 8 swaps from size %d succeeded, want 1", won.Load(), size)
		}
	}
}

func guardMissing(t *testing.T, s Store[storage.Guard]) {
	if s.Create == nil {
		t.Skip("this backend has nothing to create")
	}
	dir := t.TempDir()
	for range 2 { // the second would find what the first made
		g, err := s.Open(t.Context(), dir)
		if err == nil {
			closeStore(g)
		}
		if !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("opening a guard that was never created: %v, want ErrNotFound", err)
		}
	}
}

func guardKill(t *testing.T, s Store[storage.Guard]) {
	write := func(g storage.Guard, _ string, ack func(string)) error {
		ctx := context.Background()
		old, err := g.Load(ctx)
		if errors.Is(err, storage.ErrNotFound) {
			old = guardState(0)
			err = g.Create(ctx, old)
		}
		for err == nil {
			new := guardState(old.Size + 1)
			if err = g.Swap(ctx, old, new); err == nil {
				ack(strconv.FormatUint(new.Size, 10))
			}
			old = new
		}
		return err
	}
	runKill(t, s, write, func(t *testing.T, g storage.Guard, acks []string) {
		last, err := strconv.ParseUint(acks[len(acks)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// One more may have been swapped without an answer.
		if got.Size != last && got.Size != last+1 || !sameState(got, guardState(got.Size)) {
			t.Fatalf("state has size %d, acknowledged was %d", got.Size, last)
		}
	})
}
