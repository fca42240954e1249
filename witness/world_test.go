package witness_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/time/rate"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

// testTree is a Merkle tree in memory.
type testTree struct {
	hashes []tlog.Hash
	size   int64
}

func (tr *testTree) ReadHashes(at []int64) (out []tlog.Hash, err error) {
	for _, i := range at {
		out = append(out, tr.hashes[i])
	}
	return out, nil
}

func (tr *testTree) grow(t testing.TB, leaves ...string) *testTree {
	t.Helper()
	for _, l := range leaves {
		h, err := tlog.StoredHashes(tr.size, []byte(l), tr)
		if err != nil {
			t.Fatal(err)
		}
		tr.hashes = append(tr.hashes, h...)
		tr.size++
	}
	return tr
}

// growTo adds leaves that begin with prefix.
func (tr *testTree) growTo(t testing.TB, size int64, prefix string) *testTree {
	t.Helper()
	for tr.size < size {
		tr.grow(t, fmt.Sprintf("%s%d", prefix, tr.size))
	}
	return tr
}

func (tr *testTree) fork() *testTree {
	return &testTree{hashes: append([]tlog.Hash(nil), tr.hashes...), size: tr.size}
}

func (tr *testTree) root(t testing.TB, size int64) [sha256.Size]byte {
	t.Helper()
	if size == 0 {
		return checkpoint.EmptyRoot()
	}
	h, err := tlog.TreeHash(size, tr)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (tr *testTree) proof(t testing.TB, from, to int64) (out [][32]byte) {
	t.Helper()
	if from == 0 || from == to {
		return nil
	}
	p, err := tlog.ProveTree(to, from, tr)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range p {
		out = append(out, h)
	}
	return out
}

// testLog has the keys of a log.
type testLog struct {
	origin  string
	signers []note.Signer
	vkeys   []string
}

func newTestLog(t testing.TB, origin string, algorithms ...checkpoint.Algorithm) *testLog {
	t.Helper()
	l := &testLog{origin: origin}
	for _, a := range algorithms {
		s := newSigner(t, a, origin)
		l.signers, l.vkeys = append(l.signers, s), append(l.vkeys, s.Verifier().String())
	}
	return l
}

func newSigner(t testing.TB, a checkpoint.Algorithm, name string) *checkpoint.Signer {
	t.Helper()
	skey, _, err := checkpoint.GenerateKey(a, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (l *testLog) sign(t testing.TB, c checkpoint.Checkpoint) []byte {
	t.Helper()
	c.Origin = l.origin
	b, err := note.Sign(&note.Note{Text: c.Text()}, l.signers...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request asks for a cosignature of tr at its size.
func (l *testLog) request(t testing.TB, tr *testTree, old int64) witness.Request {
	t.Helper()
	r := witness.Request{Old: uint64(old), Note: l.sign(t, checkpoint.Checkpoint{Size: uint64(tr.size), Root: tr.root(t, tr.size)})}
	if old <= tr.size {
		r.Proof = tr.proof(t, old, tr.size)
	}
	return r
}

func (l *testLog) verifiers(t testing.TB) (out []note.Verifier) {
	t.Helper()
	for _, k := range l.vkeys {
		v, err := checkpoint.NewVerifier(k)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// testClock is a wall clock and a monotonic clock that a test holds.
type testClock struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *testClock) monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono
}

// pass lets time pass; set sets the wall clock alone.
func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(d), c.mono+d
}

func (c *testClock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// world is a witness that runs behind HTTP.
type world struct {
	t         testing.TB
	dirs      [2]string
	store     *witness.Store
	signers   []*checkpoint.Signer
	clock     *testClock
	witness   *witness.Witness
	server    *httptest.Server
	configure func(*witness.Config)
}

func newDirs(t testing.TB) [2]string {
	t.Helper()
	dir := t.TempDir()
	dirs := [2]string{filepath.Join(dir, "state"), filepath.Join(dir, "published")}
	if err := witness.Create(dirs[0], dirs[1]); err != nil {
		t.Fatal(err)
	}
	return dirs
}

// newWorld runs a witness with both keys, for the logs given. configure may be nil.
func newWorld(t testing.TB, configure func(*witness.Config), logs ...*testLog) *world {
	t.Helper()
	w := &world{t: t, dirs: newDirs(t), configure: configure, clock: &testClock{wall: time.Unix(1_800_000_000, 0), mono: time.Hour}}
	for _, a := range []checkpoint.Algorithm{checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44} {
		w.signers = append(w.signers, newSigner(t, a, "witness.example/w1"))
	}
	w.start()
	for _, l := range logs {
		if err := w.store.AddLog(t.Context(), l.vkeys); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.store, err = witness.OpenStore(w.dirs[0], w.dirs[1]); err != nil {
		w.t.Fatal(err)
	}
	w.run()
}

// run serves the store that is open.
func (w *world) run() {
	w.t.Helper()
	cfg := witness.Config{Signers: w.signers, State: w.store, Now: w.clock.now, Monotonic: w.clock.monotonic, Rate: float64(rate.Inf)}
	if w.configure != nil {
		w.configure(&cfg)
	}
	var err error
	if w.witness, err = witness.New(context.Background(), cfg); err != nil {
		w.t.Fatal(err)
	}
	w.server = httptest.NewServer(w.witness.Handler())
}

func (w *world) stop() {
	if w.server == nil {
		return
	}
	w.server.Close()
	if err := w.witness.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
	w.server = nil
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// reply is an HTTP answer.
type reply struct {
	status int
	header http.Header
	body   string
}

func send(method, url string, body []byte) (reply, error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b)}, err
}

func (w *world) do(method, path string, body []byte) reply {
	w.t.Helper()
	r, err := send(method, w.server.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) add(r witness.Request) reply {
	w.t.Helper()
	return w.do("POST", witness.PathAddCheckpoint, r.Marshal())
}

// want adds a checkpoint and checks the status.
func (w *world) want(status int, r witness.Request) reply {
	w.t.Helper()
	got := w.add(r)
	if got.status != status {
		w.t.Fatalf("status %d, want %d: %s", got.status, status, got.body)
	}
	return got
}

func (w *world) latest(origin string) reply {
	w.t.Helper()
	return w.do("GET", "/"+checkpoint.OriginHash(origin)+"/checkpoint", nil)
}

// cosigned checks the answer to r with others' verifiers, and returns the number of cosignatures.
func (w *world) cosigned(r witness.Request, got reply) int {
	w.t.Helper()
	text, _, _ := strings.Cut(string(r.Note), "\n\n")
	n, err := note.Open([]byte(text+"\n\n"+got.body), note.VerifierList(w.verifiers()...))
	if err != nil {
		w.t.Fatalf("%v: %q", err, got.body)
	}
	if len(n.UnverifiedSigs) > 0 {
		w.t.Errorf("signatures of unknown keys in %q", got.body)
	}
	return len(n.Sigs)
}

func (w *world) verifiers() (out []note.Verifier) {
	w.t.Helper()
	for _, s := range w.signers {
		v, err := fnote.NewVerifierForCosignatureV1(s.Verifier().String())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func (w *world) evidence() (out []witness.Evidence) {
	w.t.Helper()
	for e, err := range w.store.Evidence(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// addLog adds a log to a store that is not open.
func addLog(t *testing.T, dirs [2]string, l *testLog) {
	t.Helper()
	s, err := witness.OpenStore(dirs[0], dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddLog(t.Context(), l.vkeys); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
