package tiles_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/log/tiles"
)

// A site is a log laid out as tlog-tiles has it, path by path, as of one size.
type site struct {
	mu     sync.RWMutex
	files  map[string][]byte
	leaves [][]byte
	size   uint64
	root   tiles.Hash
	hashes storedHashes
	reads  atomic.Int64
}

type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = s[x]
	}
	return out, nil
}

func newSite(t testing.TB, n, leafSize int) *site {
	t.Helper()
	s := &site{files: make(map[string][]byte), size: uint64(n)}
	for i := range n {
		leaf := append(fmt.Appendf(nil, "leaf %d ", i), bytes.Repeat([]byte{byte(i)}, leafSize)...)
		s.leaves = append(s.leaves, leaf)
		h, err := tlog.StoredHashes(int64(i), leaf, s.hashes)
		if err != nil {
			t.Fatal(err)
		}
		s.hashes = append(s.hashes, h...)
	}
	root, err := tlog.TreeHash(int64(n), s.hashes)
	if err != nil {
		t.Fatal(err)
	}
	s.root = tiles.Hash(root)
	for level := 0; n>>(8*level) > 0; level++ {
		at := n >> (8 * level)
		for index := 0; index*256 < at; index++ {
			width := min(256, at-index*256)
			b, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(index), W: width}, s.hashes)
			if err != nil {
				t.Fatal(err)
			}
			s.files[tiles.Path(uint64(level), uint64(index), uint8(width))] = b
			if level == 0 {
				s.files[tiles.BundlePath(uint64(index), uint8(width))] = bundle(s.leaves[index*256 : index*256+width])
			}
		}
	}
	return s
}

func bundle(leaves [][]byte) []byte {
	var b []byte
	for _, leaf := range leaves {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
	}
	return b
}

func (s *site) fetch(_ context.Context, path string) ([]byte, error) {
	s.reads.Add(1)
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (s *site) reader(t testing.TB) *tiles.Reader {
	t.Helper()
	r, err := tiles.NewReader(tiles.FromFetch(s.fetch), s.size, s.root)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var sizes = []int{1, 2, 255, 256, 257, 512, 700, 65536, 65537, 66000}

func TestEXACTBYTES_everyLeafInOrder(t *testing.T) {
	for _, n := range sizes {
		s := newSite(t, n, 3)
		for _, span := range [][2]int{{0, n}, {0, 0}, {n, n}, {n / 2, n}, {n / 3, n/3 + n/2}, {n - 1, n}, {0, 1}} {
			next := span[0]
			err := s.reader(t).Leaves(t.Context(), uint64(span[0]), uint64(span[1]), func(i uint64, leaf []byte) error {
				if int(i) != next || !bytes.Equal(leaf, s.leaves[i]) {
					return fmt.Errorf("got leaf %d %q, want %d", i, leaf, next)
				}
				next++
				return nil
			})
			if err != nil || next != span[1] {
				t.Fatalf("size %d, %v: ended at %d: %v", n, span, next, err)
			}
		}
	}
}

func TestProofs(t *testing.T) {
	for _, n := range sizes {
		s := newSite(t, n, 3)
		r := s.reader(t)
		for _, i := range []int{0, 1, n / 2, 255, 256, n - 1} {
			if i >= n {
				continue
			}
			h, p, err := r.Inclusion(t.Context(), uint64(i))
			if err != nil || h != tiles.LeafHash(s.leaves[i]) {
				t.Fatalf("size %d index %d: %v", n, i, err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(n), h[:], flat(p), s.root[:]); err != nil {
				t.Errorf("size %d index %d: %v", n, i, err)
			}
			old, p, err := r.Consistency(t.Context(), uint64(i))
			if err != nil {
				t.Fatalf("size %d from %d: %v", n, i, err)
			}
			if want, _ := tlog.TreeHash(int64(i), s.hashes); tiles.Hash(want) != old {
				t.Errorf("size %d from %d: root %x", n, i, old)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(i), uint64(n), flat(p), old[:], s.root[:]); err != nil {
				t.Errorf("size %d from %d: %v", n, i, err)
			}
		}
		frontier, err := r.Frontier(t.Context())
		if err != nil || len(frontier) != bits.OnesCount(uint(n)) {
			t.Errorf("size %d: frontier of %d: %v", n, len(frontier), err)
		}
	}
}

func flat(hashes []tiles.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// A flip of any single bit, of any file, is found by reading all leaves, which names the file.
func TestFlippedBitIsFoundAndNamed(t *testing.T) {
	s := newSite(t, 66000, 1)
	clean := s.files
	for path, b := range clean {
		if strings.HasPrefix(path, "tile/entries/") || strings.HasPrefix(path, "tile/0/") {
			if p, err := tiles.ParsePath(path); err != nil || p.Index%37 != 0 && p.Width == 0 {
				continue
			}
		}
		for _, bit := range []int{0, 9, 4 * len(b), 8*len(b) - 1} {
			s.files = map[string][]byte{}
			for k, v := range clean {
				s.files[k] = v
			}
			bad := bytes.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			s.files[path] = bad
			err := s.reader(t).Leaves(t.Context(), 0, s.size, func(uint64, []byte) error { return nil })
			var damage *tiles.DamageError
			if !errors.As(err, &damage) || !errors.Is(err, tiles.ErrDamaged) {
				t.Fatalf("%s bit %d: %v", path, bit, err)
			}
			if p, _ := tiles.ParsePath(path); p.Bundle && damage.Place != path {
				t.Errorf("%s bit %d: found in %s", path, bit, damage.Place)
			}
		}
	}
}

func TestMissingIsNotDamaged(t *testing.T) {
	s := newSite(t, 700, 1)
	for path, b := range s.files {
		delete(s.files, path)
		err := s.reader(t).Leaves(t.Context(), 0, s.size, func(uint64, []byte) error { return nil })
		if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, tiles.ErrDamaged) {
			t.Errorf("%s missing: %v", path, err)
		}
		s.files[path] = b
	}
}

// An older tree is read from what a grown one left: full tiles and the present partial ones.
func TestOlderTreeFromPresentTiles(t *testing.T) {
	s := newSite(t, 700, 1)
	for n := 1; n <= 700; n++ {
		root, err := tlog.TreeHash(int64(n), s.hashes)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tiles.NewReader(tiles.FromFetch(s.fetch), uint64(n), tiles.Hash(root))
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithLatest(func() uint64 { return s.size })
		if _, err := r.Leaf(t.Context(), uint64(n-1)); err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		if _, _, err := r.Inclusion(t.Context(), uint64(n/2)); err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
	}
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	synctest.Test(t, eachStops) // which ends when every goroutine has ended
}

func eachStops(t *testing.T) {
	s := newSite(t, 70000, 1)
	stop := errors.New("enough")
	var last uint64
	deliver := func(first uint64, _ int) error {
		last = first
		if first >= 5*tiles.Width {
			return stop
		}
		return nil
	}
	count := func(_ uint64, leaves [][]byte) (int, error) { return len(leaves), nil }
	if err := tiles.Each(t.Context(), s.reader(t), 3, s.size, count, deliver); !errors.Is(err, stop) || last != 5*tiles.Width {
		t.Errorf("deliver: stopped at %d: %v", last, err)
	}
	parse := func(first uint64, leaves [][]byte) (int, error) {
		if first == 7*tiles.Width {
			return 0, stop
		}
		return len(leaves), nil
	}
	sum := 0
	add := func(_ uint64, n int) error { sum += n; return nil }
	if err := tiles.Each(t.Context(), s.reader(t), 3, s.size, parse, add); !errors.Is(err, stop) || sum != 7*tiles.Width-3 {
		t.Errorf("parse: %d leaves delivered: %v", sum, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := tiles.Each(ctx, s.reader(t), 0, s.size, count, func(uint64, int) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	var outside *tiles.RangeError
	if err := s.reader(t).Leaves(t.Context(), 0, s.size+1, nil); !errors.As(err, &outside) {
		t.Errorf("outside: %v", err)
	}
}

func TestNewReaderRefuses(t *testing.T) {
	if _, err := tiles.NewReader(nil, 0, tiles.Hash{}); !errors.Is(err, tiles.ErrDamaged) {
		t.Errorf("empty tree with a root: %v", err)
	}
	if _, err := tiles.NewReader(nil, tiles.MaxSize+1, tiles.Hash{}); err == nil {
		t.Error("a tree too large")
	}
}

func TestParsePath(t *testing.T) {
	for path, want := range map[string]tiles.Place{
		"tile/0/000":                  {},
		"tile/0/x001/x234/067":        {Index: 1234067},
		"tile/63/x001/x234/067.p/8":   {Level: 63, Index: 1234067, Width: 8},
		"tile/entries/x001/000.p/255": {Bundle: true, Index: 1000, Width: 255},
		"tile/entries/999":            {Bundle: true, Index: 999},
	} {
		if got, err := tiles.ParsePath(path); err != nil || got != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/64/000", "tile/00/000", "tile/-1/000", "tile/0/x000/000",
		"tile/0/x001/x067", "tile/0/001/067", "tile/0/1234", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/08", "tile/0/000.p/",
		"tile/0/000.p/8/", "/tile/0/000", "tile/0/000/", "tile/entries/../000", "tile/entries/+00", "tile/entries/000.p/8.p/8", "tile//000",
		"tile/0/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/000",
	} {
		if got, err := tiles.ParsePath(path); err == nil {
			t.Errorf("%q: %+v", path, got)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/8")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		p, err := tiles.ParsePath(path)
		if err == nil && p.String() != path {
			t.Errorf("%q was read as %q", path, p)
		}
	})
}

func FuzzPathRoundTrip(f *testing.F) {
	f.Add(uint64(3), uint64(1234067), uint8(8), true)
	f.Fuzz(func(t *testing.T, level, index uint64, width uint8, isBundle bool) {
		want := tiles.Place{Bundle: isBundle, Index: index, Width: width}
		if !isBundle {
			want.Level = level % 64
		}
		if got, err := tiles.ParsePath(want.String()); err != nil || got != want {
			t.Errorf("%q: %+v, %v", want, got, err)
		}
	})
}

func FuzzSplitBundle(f *testing.F) {
	f.Add(bundle([][]byte{[]byte("a"), {}, []byte("leaf")}), uint16(3))
	f.Add([]byte{0}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		leaves, err := tiles.SplitBundle(b, int(n))
		if err == nil && (len(leaves) != int(n) || !bytes.Equal(bundle(leaves), b)) {
			t.Errorf("%x split into %x", b, leaves)
		}
	})
}

// The speed of an audit's reading: leaves of 4 KiB from memory, hashed and checked.
func BenchmarkEach4KiB(b *testing.B) {
	s := newSite(b, 20000, 4096)
	r := s.reader(b)
	total := 0
	for b.Loop() {
		count := func(_ uint64, leaves [][]byte) (int, error) { return len(leaves), nil }
		if err := tiles.Each(b.Context(), r, 0, s.size, count, func(_ uint64, n int) error { total += n; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "leaves/s")
}
