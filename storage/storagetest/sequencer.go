package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stenolog/steno/storage"
)

// A Log is what a backend offers for a log's leaves.
type Log interface {
	storage.Sequencer
	storage.Tree
}

// TestSequencer is the suite of storage.Sequencer and storage.Tree.
func TestSequencer(t *testing.T, s Store[Log]) {
	t.Run("append", func(t *testing.T) { sequencerAppend(t, s) })
	t.Run("concurrent", func(t *testing.T) { sequencerConcurrent(t, s) })
	t.Run("limits", func(t *testing.T) { sequencerLimits(t, s) })
	t.Run("one", func(t *testing.T) { sequencerOne(t, s) })
	t.Run("cancelled", func(t *testing.T) { sequencerCancelled(t, s) })
	t.Run("closed", func(t *testing.T) { sequencerClosed(t, s) })
	t.Run("tiles", func(t *testing.T) { sequencerTiles(t, s) })
	t.Run("ACKED_kill", func(t *testing.T) { sequencerKill(t, s) })
}

func appendLeaves(t testing.TB, l Log, leaves ...[]byte) []uint64 {
	t.Helper()
	indexes, err := l.Append(t.Context(), leaves)
	if err != nil {
		t.Fatal(err)
	}
	if len(indexes) != len(leaves) {
		t.Fatalf("%d indexes for %d leaves", len(indexes), len(leaves))
	}
	return indexes
}

func sequencerAppend(t *testing.T, s Store[Log]) {
	in := s.start(t)
	size, root, err := in.v.Head(t.Context())
	if err != nil || size != 0 || root != sha256.Sum256(nil) {
		t.Fatalf("head of an empty log: %d %x, %v", size, root, err)
	}
	want := make(map[uint64][]byte)
	for _, n := range []int{1, 1, 3, 254, 300} {
		leaves := make([][]byte, n)
		for i := range leaves {
			leaves[i] = fmt.Appendf(nil, "leaf %d of %d", i, n)
		}
		for i, index := range appendLeaves(t, in.v, leaves...) {
			if want[index] != nil {
				t.Fatalf("index %d given twice", index)
			}
			want[index] = bytes.Clone(leaves[i])
			clear(leaves[i]) // the caller's again
		}
	}
	// The same bytes are another leaf.
	twice := []byte("twice")
	for _, index := range appendLeaves(t, in.v, twice, twice) {
		want[index] = twice
	}
	if _, err := in.v.Append(t.Context(), nil); err != nil {
		t.Errorf("appending nothing: %v", err)
	}
	checkLog(t, in.v, want, true)
	in.reopen(t)
	checkLog(t, in.v, want, true)
	size, err = in.v.Settle(t.Context())
	if err != nil || size != uint64(len(want)) {
		t.Errorf("settled at %d, %v; want %d", size, err, len(want))
	}
	want[appendLeaves(t, in.v, []byte("after"))[0]] = []byte("after")
	checkLog(t, in.v, want, true)
}

func sequencerConcurrent(t *testing.T, s Store[Log]) {
	in := s.start(t)
	var mu sync.Mutex
	want := make(map[uint64][]byte)
	parallel(8, func(w int) {
		for n := range 10 {
			leaves := make([][]byte, 1+(w+n)%7)
			for i := range leaves {
				leaves[i] = fmt.Appendf(nil, "%d/%d/%d", w, n, i)
			}
			indexes, err := in.v.Append(t.Context(), leaves)
			if err != nil {
				t.Error(err)
				return
			}
			size, _, err := in.v.Head(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			for i, index := range indexes {
				if index >= size {
					t.Errorf("index %d was answered before it was integrated at size %d", index, size)
				}
				if want[index] != nil {
					t.Errorf("index %d given twice", index)
				}
				want[index] = leaves[i]
			}
			mu.Unlock()
		}
	})
	checkLog(t, in.v, want, true)
}

func sequencerLimits(t *testing.T, s Store[Log]) {
	in := s.start(t)
	big := bytes.Repeat([]byte("x"), 65535)
	want := map[uint64][]byte{}
	for i, index := range appendLeaves(t, in.v, big, []byte{}) {
		want[index] = [][]byte{big, {}}[i]
	}
	if _, err := in.v.Append(t.Context(), [][]byte{[]byte("small"), append(big, 'x')}); err == nil {
		t.Error("a leaf of 65,536 bytes was taken")
	}
	checkLog(t, in.v, want, true)
}

func sequencerOne(t *testing.T, s Store[Log]) {
	in := s.start(t)
	if l, err := s.Open(t.Context(), in.dir); !errors.Is(err, storage.ErrLocked) {
		if err == nil {
			closeStore(l)
		}
		t.Errorf("a second sequencer in one process: %v, want ErrLocked", err)
	}
	appendLeaves(t, in.v, []byte("first is unharmed"))
	if s.Create != nil {
		if err := s.Create(t.Context(), in.dir); err == nil {
			t.Error("created a log over a log that is open")
		}
		if err := closeStore(in.v); err != nil {
			t.Fatal(err)
		}
		if err := s.Create(t.Context(), in.dir); !errors.Is(err, storage.ErrExists) {
			t.Errorf("creating over a log: %v, want ErrExists", err)
		}
		if l, err := s.Open(t.Context(), t.TempDir()); !errors.Is(err, storage.ErrNotFound) {
			if err == nil {
				closeStore(l)
			}
			t.Errorf("opening a log that was never created: %v, want ErrNotFound", err)
		}
	}
}

// A caller that hangs up gets its answer at once; its leaves are in the log or never will be, once Settle has returned.
func sequencerCancelled(t *testing.T, s Store[Log]) {
	in := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := in.v.Append(ctx, [][]byte{[]byte("who knows")})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	size, err := in.v.Settle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if size > 1 {
		t.Fatalf("size %d after one leaf", size)
	}
	if index := appendLeaves(t, in.v, []byte("next"))[0]; index != size {
		t.Errorf("next index is %d after settling at %d", index, size)
	}
}

func sequencerClosed(t *testing.T, s Store[Log]) {
	in := s.start(t)
	parallel(4, func(i int) {
		if i == 0 {
			if err := in.v.Close(t.Context()); err != nil {
				t.Error(err)
			}
			return
		}
		// Taken or refused, but answered.
		for range 5 {
			if _, err := in.v.Append(t.Context(), [][]byte{[]byte("x")}); err != nil {
				return
			}
		}
	})
	if _, err := in.v.Append(t.Context(), [][]byte{[]byte("x")}); err == nil {
		t.Error("a closed sequencer took a leaf")
	}
	in.open(t)
}

func sequencerTiles(t *testing.T, s Store[Log]) {
	in := s.start(t)
	leaves := make([][]byte, 260)
	for i := range leaves {
		leaves[i] = []byte(strconv.Itoa(i))
	}
	appendLeaves(t, in.v, leaves...)
	for _, tt := range []struct {
		level, index uint64
		width        uint8
	}{{0, 1, 5}, {0, 2, 0}, {1, 1, 1}, {2, 0, 0}, {40, 0, 1}, {1000, 0, 0}, {0, 1 << 62, 0}, {0, 1, 0}} {
		if b, err := in.v.Tile(t.Context(), tt.level, tt.index, tt.width); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("tile %v: %d bytes, %v; want ErrNotFound", tt, len(b), err)
		}
	}
	if _, err := in.v.Bundle(t.Context(), 7, 3); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("bundle beyond the end: %v, want ErrNotFound", err)
	}
	// Narrower than what is there: that width or nothing, never another.
	if b, err := in.v.Tile(t.Context(), 0, 0, 7); err == nil && len(b) != 7*32 || err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an overtaken tile of width 7 has %d bytes, %v", len(b), err)
	}
	if b, err := in.v.Bundle(t.Context(), 0, 7); err == nil && len(splitBundle(t, b)) != 7 || err != nil && !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an overtaken bundle of width 7: %d bytes, %v", len(b), err)
	}
}

func sequencerKill(t *testing.T, s Store[Log]) {
	write := func(l Log, round string, ack func(string)) error {
		var err error
		parallel(4, func(w int) {
			for n := 0; ; n++ {
				leaves := [][]byte{fmt.Appendf(nil, "%s-%d-%d-a", round, w, n), fmt.Appendf(nil, "%s-%d-%d-b", round, w, n)}
				var indexes []uint64
				if indexes, err = l.Append(context.Background(), leaves); err != nil {
					return
				}
				for i, index := range indexes {
					ack(fmt.Sprintf("%d %s", index, leaves[i]))
				}
			}
		})
		return err
	}
	runKill(t, s, write, func(t *testing.T, l Log, acks []string) {
		want := make(map[uint64][]byte)
		for _, line := range acks {
			index, leaf, _ := strings.Cut(line, " ")
			i, err := strconv.ParseUint(index, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if want[i] != nil {
				t.Fatalf("index %d given twice", i)
			}
			want[i] = []byte(leaf)
		}
		checkLog(t, l, want, false)
	})
}

// checkLog reads the whole log and checks that bundles, tiles and head agree, and that the leaves wanted are where they
// should be; with all set there must be no others.
func checkLog(t *testing.T, l Log, want map[uint64][]byte, all bool) {
	t.Helper()
	size, root, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all && size != uint64(len(want)) {
		t.Errorf("size is %d, want %d", size, len(want))
	}
	var hashes []storage.Hash
	for index := uint64(0); index*256 < size; index++ {
		width := min(256, size-index*256)
		bundle, err := l.Bundle(t.Context(), index, uint8(width))
		if err != nil {
			t.Fatal(err)
		}
		leaves := splitBundle(t, bundle)
		if uint64(len(leaves)) != width {
			t.Fatalf("bundle %d has %d leaves, want %d", index, len(leaves), width)
		}
		var tile []byte
		for i, leaf := range leaves {
			if w, ok := want[index*256+uint64(i)]; ok && !bytes.Equal(w, leaf) {
				t.Errorf("leaf %d is %.40q, want %.40q", index*256+uint64(i), leaf, w)
			}
			h := sha256.Sum256(append([]byte{0}, leaf...))
			tile = append(tile, h[:]...)
			hashes = append(hashes, h)
		}
		got, err := l.Tile(t.Context(), 0, index, uint8(width))
		if err != nil || !bytes.Equal(got, tile) {
			t.Errorf("tile %d is not what its leaves hash to (%v)", index, err)
		}
	}
	for index := range want {
		if index >= size {
			t.Errorf("leaf %d was acknowledged and is not below size %d", index, size)
		}
	}
	if got := treeHash(hashes); got != root {
		t.Errorf("root is %x, the leaves hash to %x", root, got)
	}
}

func splitBundle(t *testing.T, b []byte) (leaves [][]byte) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			t.Fatal("bundle ends within a leaf")
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		leaves, b = append(leaves, b[2:n]), b[n:]
	}
	return leaves
}

// treeHash is the Merkle tree hash of RFC 6962, section 2.1, as it stands there.
func treeHash(h []storage.Hash) storage.Hash {
	switch len(h) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return h[0]
	}
	k := 1
	for k*2 < len(h) {
		k *= 2
	}
	l, r := treeHash(h[:k]), treeHash(h[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}
