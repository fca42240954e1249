package log_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

const origin = "log.example/test"

var errDisk = errors.New("input/output error")

// An effect is what a failing call does all the same.
type effect int

const (
	nothing effect = iota // the call did nothing
	all                   // it did everything, and the answer was lost
	half                  // an append took a prefix
	late                  // an append takes all leaves by the time of Settle
)

// faults makes the n-th storage call fail, and all later ones if lasting.
type faults struct {
	mu      sync.Mutex
	calls   int
	at      int
	effect  effect
	lasting bool
}

func (f *faults) hit() (effect, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return f.effect, f.at != 0 && (f.calls == f.at || f.lasting && f.calls > f.at)
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.lasting = 0, false
}

func (f *faults) failFromNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.lasting = f.calls+1, true
}

// memTree is a Sequencer and Tree in memory that stores bundles and tiles as bytes under their paths, so that tests can
// damage them. It drops partial tiles when they are overtaken by a full one.
type memTree struct {
	*faults
	mu     sync.Mutex
	files  map[string][]byte
	size   uint64
	levels [][]storage.Hash // hashes of every eighth level
	delay  [][]byte         // leaves of a failed append that come late
	gate   chan struct{}    // if set, Append waits for it
	closed bool
}

func newTree(f *faults) *memTree { return &memTree{faults: f, files: make(map[string][]byte)} }

func (t *memTree) clone(f *faults) *memTree {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &memTree{faults: f, files: maps.Clone(t.files), size: t.size}
	for _, l := range t.levels {
		c.levels = append(c.levels, slices.Clone(l))
	}
	return c
}

func (t *memTree) Append(_ context.Context, leaves [][]byte) ([]uint64, error) {
	t.mu.Lock()
	gate := t.gate
	t.mu.Unlock()
	if gate != nil {
		<-gate // it hangs, whatever becomes of ctx
	}
	e, fail := t.hit()
	t.mu.Lock()
	defer t.mu.Unlock()
	if fail {
		switch e {
		case all:
			t.add(leaves)
		case half:
			t.add(leaves[:len(leaves)/2])
		case late:
			t.delay = append(t.delay, leaves...)
		}
		return nil, errDisk
	}
	first := t.size
	t.add(leaves)
	indexes := make([]uint64, len(leaves))
	for i := range indexes {
		indexes[i] = first + uint64(i)
	}
	return indexes, nil
}

func (t *memTree) Settle(context.Context) (uint64, error) {
	_, fail := t.hit()
	t.mu.Lock()
	defer t.mu.Unlock()
	if fail {
		return 0, errDisk
	}
	t.add(t.delay)
	t.delay = nil
	return t.size, nil
}

func (t *memTree) Close(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return nil
}

func (t *memTree) Head(context.Context) (uint64, storage.Hash, error) {
	_, fail := t.hit()
	t.mu.Lock()
	defer t.mu.Unlock()
	if fail {
		return 0, storage.Hash{}, errDisk
	}
	return t.size, t.rootAt(t.size), nil
}

func (t *memTree) Tile(_ context.Context, level, index uint64, width uint8) ([]byte, error) {
	return t.read(tiles.Path(level, index, width))
}

func (t *memTree) Bundle(_ context.Context, index uint64, width uint8) ([]byte, error) {
	return t.read(tiles.BundlePath(index, width))
}

func (t *memTree) read(path string) ([]byte, error) {
	_, fail := t.hit()
	t.mu.Lock()
	defer t.mu.Unlock()
	if fail {
		return nil, errDisk
	}
	b, ok := t.files[path]
	if !ok {
		return nil, storage.ErrNotFound
	}
	return bytes.Clone(b), nil
}

// add integrates leaves: it appends to the last bundle as stored, then writes the tiles over it.
func (t *memTree) add(leaves [][]byte) {
	for len(leaves) > 0 {
		index, have := t.size/tiles.Width, t.size%tiles.Width
		n := min(len(leaves), int(tiles.Width-have))
		b := bytes.Clone(t.files[tiles.BundlePath(index, uint8(have))])
		if have == 0 {
			b = nil
		}
		for _, leaf := range leaves[:n] {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
			t.push(0, tiles.LeafHash(leaf))
		}
		t.size += uint64(n)
		leaves = leaves[n:]
		t.write(tiles.BundlePath, index, have+uint64(n), b)
	}
	for level := range t.levels {
		last := uint64(len(t.levels[level]))
		if width := last % tiles.Width; width != 0 {
			t.writeTile(uint64(level), last/tiles.Width, width)
		}
	}
}

func (t *memTree) push(level int, h storage.Hash) {
	if level == len(t.levels) {
		t.levels = append(t.levels, nil)
	}
	t.levels[level] = append(t.levels[level], h)
	if n := uint64(len(t.levels[level])); n%tiles.Width == 0 {
		t.writeTile(uint64(level), n/tiles.Width-1, tiles.Width)
		t.push(level+1, merkle(t.levels[level][n-tiles.Width:]))
	}
}

func (t *memTree) writeTile(level, index, width uint64) {
	var b []byte
	for _, h := range t.levels[level][index*tiles.Width:][:width] {
		b = append(b, h[:]...)
	}
	t.write(func(i uint64, w uint8) string { return tiles.Path(level, i, w) }, index, width, b)
}

func (t *memTree) write(path func(uint64, uint8) string, index, width uint64, b []byte) {
	t.files[path(index, uint8(width))] = b
	for w := 1; width == tiles.Width && w < tiles.Width; w++ {
		delete(t.files, path(index, uint8(w)))
	}
}

// rootAt is the RFC 6962 root of the first n leaves, from the definition and the eighth levels.
func (t *memTree) rootAt(n uint64) storage.Hash {
	if n == 0 {
		return sha256.Sum256(nil)
	}
	var root func(level int, from, to uint64) storage.Hash // of leaves in [from, to)
	root = func(level int, from, to uint64) storage.Hash {
		for l := level; l >= 0; l-- {
			if span := uint64(1) << (8 * l); from%span == 0 && to-from == span {
				return t.levels[l][from/span]
			}
		}
		k := uint64(1)
		for 2*k < to-from {
			k *= 2
		}
		return node(root(level, from, from+k), root(level, from+k, to))
	}
	return root(len(t.levels)-1, 0, n)
}

func merkle(h []storage.Hash) storage.Hash {
	if len(h) == 1 {
		return h[0]
	}
	return node(merkle(h[:len(h)/2]), merkle(h[len(h)/2:]))
}

func node(l, r storage.Hash) storage.Hash {
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

// flip flips a bit of a stored file.
func (t *memTree) flip(path string, bit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := bytes.Clone(t.files[path])
	b[bit/8] ^= 1 << (bit % 8)
	t.files[path] = b
}

func (t *memTree) leaf(index uint64) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	width := min(t.size-index/tiles.Width*tiles.Width, tiles.Width)
	leaves, err := tiles.SplitBundle(t.files[tiles.BundlePath(index/tiles.Width, uint8(width))], int(width))
	if err != nil {
		panic(err)
	}
	return leaves[index%tiles.Width]
}

type memGuard struct {
	*faults
	mu    sync.Mutex
	state *storage.GuardState
	late  *storage.GuardState
}

func (g *memGuard) Load(context.Context) (storage.GuardState, error) {
	_, fail := g.hit()
	g.mu.Lock()
	defer g.mu.Unlock()
	if fail {
		return storage.GuardState{}, errDisk
	}
	if g.state == nil {
		return storage.GuardState{}, storage.ErrNotFound
	}
	return *g.state, nil
}

func (g *memGuard) Swap(_ context.Context, from, to storage.GuardState) error {
	e, fail := g.hit()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.late != nil { // an earlier swap arrives now
		g.state, g.late = g.late, nil
	}
	if fail && e == nothing {
		return errDisk
	}
	if g.state == nil || g.state.Size != from.Size || g.state.Root != from.Root {
		return storage.ErrConflict
	}
	if fail && e == late {
		g.late = &to
		return errDisk
	}
	g.state = &to
	if fail {
		return errDisk
	}
	return nil
}

func (g *memGuard) Create(_ context.Context, first storage.GuardState) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != nil {
		return storage.ErrExists
	}
	g.state = &first
	return nil
}

func (g *memGuard) clone(f *faults) *memGuard {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := *g.state
	return &memGuard{faults: f, state: &s}
}

type memArchive struct {
	*faults
	mu    sync.Mutex
	notes map[uint64][]byte
}

func newArchive(f *faults) *memArchive { return &memArchive{faults: f, notes: make(map[uint64][]byte)} }

func (a *memArchive) Put(_ context.Context, size uint64, msg []byte) error {
	e, fail := a.hit()
	a.mu.Lock()
	defer a.mu.Unlock()
	if fail && e == nothing {
		return errDisk
	}
	text := func(n []byte) string { return string(n[:bytes.Index(n, []byte("\n\n"))]) }
	if old, ok := a.notes[size]; ok && (text(old) != text(msg) || len(msg) < len(old)) {
		return storage.ErrConflict
	}
	a.notes[size] = bytes.Clone(msg)
	if fail {
		return errDisk
	}
	return nil
}

func (a *memArchive) Latest(context.Context) (uint64, []byte, error) {
	_, fail := a.hit()
	a.mu.Lock()
	defer a.mu.Unlock()
	if fail {
		return 0, nil, errDisk
	}
	var size uint64
	for s := range a.notes {
		size = max(size, s)
	}
	if len(a.notes) == 0 {
		return 0, nil, storage.ErrNotFound
	}
	return size, a.notes[size], nil
}

func (a *memArchive) Covering(_ context.Context, index uint64) (uint64, []byte, error) {
	_, fail := a.hit()
	a.mu.Lock()
	defer a.mu.Unlock()
	if fail {
		return 0, nil, errDisk
	}
	size := ^uint64(0)
	for s := range a.notes {
		if s > index {
			size = min(size, s)
		}
	}
	if msg, ok := a.notes[size]; ok {
		return size, msg, nil
	}
	return 0, nil, storage.ErrNotFound
}

func (a *memArchive) clone(f *faults) *memArchive {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &memArchive{faults: f, notes: maps.Clone(a.notes)}
}

// A world is a log's key and disks.
type world struct {
	*faults
	signer   note.Signer
	verifier note.Verifier
	tree     *memTree
	guard    *memGuard
	archive  *memArchive
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := emptyWorld(t)
	if err := log.Create(t.Context(), w.create()); err != nil {
		t.Fatal(err)
	}
	w.faults.calls = 0
	return w
}

func emptyWorld(t testing.TB) *world {
	t.Helper()
	f := new(faults)
	w := &world{faults: f, tree: newTree(f), guard: &memGuard{faults: f}, archive: newArchive(f)}
	w.signer, w.verifier = newKey(t, origin)
	return w
}

func newKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func (w *world) create() log.CreateConfig {
	return log.CreateConfig{Origin: origin, Signers: []note.Signer{w.signer}, Verifiers: []note.Verifier{w.verifier}, Tree: w.tree, Guard: w.guard, Archive: w.archive}
}

func (w *world) config() log.Config {
	return log.Config{Origin: origin, Signers: []note.Signer{w.signer}, Verifiers: []note.Verifier{w.verifier}, Sequencer: w.tree, Tree: w.tree, Guard: w.guard, Archive: w.archive}
}

// clone copies the disks, as a backup does.
func (w *world) clone() *world {
	f := new(faults)
	return &world{f, w.signer, w.verifier, w.tree.clone(f), w.guard.clone(f), w.archive.clone(f)}
}

func (w *world) open(t testing.TB) *log.Log {
	t.Helper()
	l, err := log.Open(t.Context(), w.config())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// grow appends n leaves and closes the log, so that a checkpoint covers them.
func (w *world) grow(t testing.TB, n int) {
	t.Helper()
	l := w.open(t)
	for n > 0 {
		k := min(n, 1000)
		appendN(t, l, k)
		n -= k
	}
	shut(t, l)
}

func appendN(t testing.TB, l *log.Log, n int) {
	t.Helper()
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = fmt.Appendf(nil, "leaf %s", rand.Text())
	}
	if _, err := l.Append(context.Background(), leaves); err != nil {
		t.Fatal(err)
	}
}

func rnd() string { return rand.Text() }

func shut(t testing.TB, l *log.Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// wantOneHistory checks that every checkpoint that was ever archived, and the guard, are of the tree as it is.
func (w *world) wantOneHistory(t testing.TB) {
	t.Helper()
	w.tree.mu.Lock()
	defer w.tree.mu.Unlock()
	check := func(where string, msg []byte, size uint64) {
		n, err := note.Open(msg, note.VerifierList(w.verifier))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if size > w.tree.size {
			t.Fatalf("%s: size %d signed, the tree has %d", where, size, w.tree.size)
		}
		if want := checkpointText(size, w.tree.rootAt(size)); n.Text != want {
			t.Fatalf("%s: %q signed, the tree has %q", where, n.Text, want)
		}
	}
	for size, msg := range w.archive.notes {
		check("archive", msg, size)
	}
	check("guard", w.guard.state.Note, w.guard.state.Size)
}

func sizeOf(t testing.TB, text string) uint64 {
	t.Helper()
	size, err := strconv.ParseUint(strings.Split(text, "\n")[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func rootOf(t testing.TB, text string) []byte {
	t.Helper()
	root, err := base64.StdEncoding.DecodeString(strings.Split(text, "\n")[2])
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// rest lets fake time pass, and everything that was due in it happen.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
