package log_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage/posix"
)

// disk is a world whose tree is a directory.
type disk struct {
	*world
	dir string
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	d := &disk{emptyWorld(t), filepath.Join(t.TempDir(), "tree")}
	if err := posix.CreateTree(t.Context(), d.dir); err != nil {
		t.Fatal(err)
	}
	tree := d.openTree(t)
	c := d.create()
	c.Tree = tree
	if err := log.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *disk) openTree(t testing.TB) *posix.Tree {
	t.Helper()
	tree, err := posix.OpenTree(t.Context(), posix.TreeConfig{Dir: d.dir})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func (d *disk) open(t testing.TB) *log.Log {
	t.Helper()
	return d.openEvery(t, 100*time.Millisecond)
}

func (d *disk) openEvery(t testing.TB, interval time.Duration) *log.Log {
	t.Helper()
	tree := d.openTree(t)
	c := d.config()
	c.Sequencer, c.Tree, c.Interval = tree, tree, interval
	l, err := log.Open(t.Context(), c)
	if err != nil {
		t.Fatal(errors.Join(err, tree.Close(context.Background())))
	}
	return l
}

func TestACKED_onPosix(t *testing.T) {
	d, b := newDisk(t), newBook()
	for range 3 {
		l := d.open(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 40 {
					leaves := make([][]byte, 1+i%5)
					for j := range leaves {
						leaves[j] = []byte(rnd())
					}
					placed, err := l.Append(context.Background(), leaves)
					b.enter(t, leaves, placed, err)
				}
			})
		}
		wg.Wait()
		size := l.Size()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := l.WaitCovered(ctx, size-1); err != nil {
			t.Fatal(err)
		}
		for _, index := range []uint64{0, size / 2, size - 1} {
			if _, err := l.Proof(ctx, index); err != nil {
				t.Errorf("proof of %d in %d: %v", index, size, err)
			}
		}
		next := uint64(0)
		err := l.Leaves(ctx, 0, size, func(index uint64, leaf []byte) error {
			if index != next || b.acked[index] != string(leaf) {
				return fmt.Errorf("index %d is not what was acknowledged", index)
			}
			next++
			return nil
		})
		if err != nil || next != size || size != uint64(len(b.acked)) {
			t.Fatalf("read %d of %d, acknowledged %d: %v", next, size, len(b.acked), err)
		}
		cancel()
		shut(t, l)
	}
}

// A copy of the directory that is put back is refused, as it is when the guard stays.
func TestONEHISTORY_restoredDirectory(t *testing.T) {
	d := newDisk(t)
	l := d.open(t)
	appendN(t, l, 10)
	shut(t, l)
	backup := t.TempDir()
	if err := os.CopyFS(filepath.Join(backup, "tree"), os.DirFS(d.dir)); err != nil {
		t.Fatal(err)
	}
	l = d.open(t)
	appendN(t, l, 10)
	shut(t, l)
	d.dir = filepath.Join(backup, "tree")
	tree := d.openTree(t)
	defer func() {
		if err := tree.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	c := d.config()
	c.Sequencer, c.Tree = tree, tree
	refusedOpen(t, c)
}

func refusedOpen(t *testing.T, c log.Config) {
	t.Helper()
	var r *log.RefusedError
	if _, err := log.Open(t.Context(), c); !errors.As(err, &r) || r.Reason != log.ErrTreeBehind || r.TreeSize != 10 || r.GuardSize != 20 {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkAppendPosix(b *testing.B) {
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			d := newDisk(b)
			l := d.openEvery(b, log.DefaultInterval)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					leaf := make([]byte, 4096)
					for left.Add(-1) >= 0 {
						copy(leaf, rnd())
						if _, err := l.Append(context.Background(), [][]byte{leaf}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
			b.StopTimer()
			shut(b, l)
		})
	}
}

// The cost of covering 1,000 new leaves does not follow the size of the tree.
func BenchmarkCheckpoint(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			w := newWorld(b)
			c := w.config()
			c.Interval = time.Hour // only Close signs
			l, err := log.Open(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			for range size / 1000 {
				appendN(b, l, 1000)
			}
			shut(b, l)
			for b.Loop() {
				b.StopTimer()
				l, err := log.Open(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				appendN(b, l, 1000)
				b.StartTimer()
				shut(b, l)
			}
		})
	}
}
