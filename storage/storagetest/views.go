package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stenolog/steno/storage"
)

// TestHeads is the suite of storage.Heads.
func TestHeads(t *testing.T, s Store[storage.Heads]) {
	t.Run("apply", func(t *testing.T) { headsApply(t, s) })
	t.Run("load", func(t *testing.T) { headsLoad(t, s) })
	t.Run("atomic", func(t *testing.T) { headsAtomic(t, s) })
	t.Run("concurrent", func(t *testing.T) { headsConcurrent(t, s) })
}

func checkSize(t *testing.T, v storage.View, want uint64) {
	t.Helper()
	if size, err := v.Size(t.Context()); err != nil || size != want {
		t.Errorf("size is %d, %v; want %d", size, err, want)
	}
}

func checkItems(t *testing.T, h storage.Heads, prefix string, want ...storage.Item) {
	t.Helper()
	var got []storage.Item
	if err := h.Load(t.Context(), prefix, func(i storage.Item) error { got = append(got, i); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("items under %q are %q, want %q", prefix, got, want)
	}
}

func headsApply(t *testing.T, s Store[storage.Heads]) {
	in := s.start(t)
	checkSize(t, in.v, 0)
	a, b := storage.Item{Key: "a", Value: []byte("1")}, storage.Item{Key: "b", Value: []byte{}}
	long := storage.Item{Key: strings.Repeat("k", 512), Value: bytes.Repeat([]byte{0xff}, 64<<10)}
	if err := in.v.Apply(t.Context(), 10, []storage.Item{a, b, long}, nil); err != nil {
		t.Fatal(err)
	}
	in.reopen(t)
	checkSize(t, in.v, 10)
	checkItems(t, in.v, "", a, b, long)
	a.Value = []byte("2")
	if err := in.v.Apply(t.Context(), 10, []storage.Item{a}, []string{"b", "never there"}); err != nil {
		t.Fatal(err)
	}
	checkItems(t, in.v, "", a, long)
	if got, err := in.v.Get(t.Context(), "a"); err != nil || string(got) != "2" {
		t.Errorf("a is %q, %v", got, err)
	}
	if _, err := in.v.Get(t.Context(), "b"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("getting what was deleted: %v, want ErrNotFound", err)
	}
	if err := in.v.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkSize(t, in.v, 0)
	checkItems(t, in.v, "")
	if err := in.v.Apply(t.Context(), 1, []storage.Item{b}, nil); err != nil {
		t.Errorf("applying after a drop: %v", err)
	}
}

func headsLoad(t *testing.T, s Store[storage.Heads]) {
	in := s.start(t)
	var all []storage.Item
	for _, key := range []string{"", "a", "a\x00", "a\xff", "a\xff\xff", "b", "b/1", "b/10", "b/2", "c", "\xff", "\xff\xff"} {
		all = append(all, storage.Item{Key: key, Value: []byte("v" + key)})
	}
	if err := in.v.Apply(t.Context(), 1, all, nil); err != nil {
		t.Fatal(err)
	}
	checkItems(t, in.v, "", all...)
	for prefix, want := range map[string][]storage.Item{
		"a": all[1:5], "a\xff": all[3:5], "b/": all[6:9], "b/1": all[6:8], "\xff": all[10:], "d": nil,
	} {
		checkItems(t, in.v, prefix, want...)
	}
	stop := errors.New("enough")
	n := 0
	if err := in.v.Load(t.Context(), "", func(storage.Item) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("load went on for %d items after an error, and returned %v", n, err)
	}
}

func headsAtomic(t *testing.T, s Store[storage.Heads]) {
	in := s.start(t)
	kept := storage.Item{Key: "kept", Value: []byte("1")}
	if err := in.v.Apply(t.Context(), 5, []storage.Item{kept}, nil); err != nil {
		t.Fatal(err)
	}
	good := storage.Item{Key: "good", Value: []byte("x")}
	if err := in.v.Apply(t.Context(), 4, []storage.Item{good}, []string{"kept"}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("applying a smaller size: %v, want ErrConflict", err)
	}
	for _, bad := range []storage.Item{{Key: strings.Repeat("k", 513)}, {Key: "v", Value: make([]byte, 64<<10+1)}} {
		if err := in.v.Apply(t.Context(), 6, []storage.Item{good, bad}, []string{"kept"}); err == nil {
			t.Error("an item beyond the limits was taken")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.v.Apply(ctx, 6, []storage.Item{good}, nil); err == nil {
		t.Error("applied under a context that was cancelled")
	}
	checkSize(t, in.v, 5)
	checkItems(t, in.v, "", kept)
}

// A reader sees the items of one size.
func headsConcurrent(t *testing.T, s Store[storage.Heads]) {
	in := s.start(t)
	const n = 50
	parallel(4, func(w int) {
		for i := range uint64(n) {
			if w == 0 {
				items := make([]storage.Item, 20)
				for j := range items {
					items[j] = storage.Item{Key: fmt.Sprint("k", j), Value: fmt.Append(nil, i)}
				}
				if err := in.v.Apply(t.Context(), i, items, nil); err != nil {
					t.Error(err)
				}
				continue
			}
			var first []byte
			err := in.v.Load(t.Context(), "k", func(item storage.Item) error {
				if first == nil {
					first = bytes.Clone(item.Value)
				}
				if !bytes.Equal(first, item.Value) {
					t.Errorf("%s and %s in one load", first, item.Value)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	checkSize(t, in.v, n-1)
}

// BenchmarkHeads measures Apply of 10,000 items of 200 bytes, which lie anywhere among 100,000 keys: what changed since the
// last snapshot.
func BenchmarkHeads(b *testing.B, s Store[storage.Heads]) {
	in := s.start(b)
	size, items := uint64(0), make([]storage.Item, 10_000)
	for b.Loop() {
		for i := range items {
			items[i] = storage.Item{Key: fmt.Sprintf("track/%06d", (size+uint64(i)*7919)%100_000), Value: make([]byte, 200)}
		}
		size += uint64(len(items))
		if err := in.v.Apply(context.Background(), size, items, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)/b.Elapsed().Seconds(), "items/s")
}
