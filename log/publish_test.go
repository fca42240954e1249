package log_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// A witness cosigns with its own key after a while, checking consistency with what it saw last.
type witness struct {
	t        *testing.T
	signer   note.Signer
	verifier note.Verifier
	log      note.Verifier
	delay    func() time.Duration
	lax      bool // does not look at the log's signatures

	mu     sync.Mutex
	busy   bool
	calls  int
	fail   error
	size   uint64
	root   []byte
	answer func([]byte) []byte
}

func newWitness(t *testing.T, w *world, name string, delay func() time.Duration) *witness {
	wit := &witness{t: t, log: w.verifier, delay: delay}
	wit.signer, wit.verifier = newKey(t, name)
	return wit
}

func (w *witness) Name() string { return w.verifier.Name() }

func (w *witness) Cosign(ctx context.Context, req log.CosignRequest) ([]byte, error) {
	w.mu.Lock()
	if w.busy {
		w.t.Error("a cosigner was called twice at once")
	}
	w.busy = true
	w.calls++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.busy = false
		w.mu.Unlock()
	}()
	select {
	case <-time.After(w.delay()):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	fail, answer := w.fail, w.answer
	w.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	n, err := note.Open(req.Note, note.VerifierList(w.log))
	if w.lax {
		text, _, _ := bytes.Cut(req.Note, []byte("\n\n"))
		n, err = &note.Note{Text: string(text) + "\n"}, nil
	}
	if err != nil || len(n.UnverifiedSigs) > 0 {
		w.t.Errorf("asked to cosign %q: %v", req.Note, err)
		return nil, err
	}
	if err := w.extend(ctx, req, n.Text); err != nil {
		w.t.Error(err)
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: n.Text}, w.signer)
	if err != nil {
		return nil, err
	}
	lines := signed[len(n.Text)+1:]
	if answer != nil {
		lines = answer(lines)
	}
	return lines, nil
}

func (w *witness) extend(ctx context.Context, req log.CosignRequest, text string) error {
	root := rootOf(w.t, text)
	if w.size > 0 {
		hashes, err := req.Consistency(ctx, w.size)
		if err != nil {
			return err
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, w.size, req.Size, flat(hashes), w.root, root); err != nil {
			return err
		}
	}
	w.size, w.root = req.Size, root
	return nil
}

func (w *witness) cosigned(msg []byte) bool {
	n, err := note.Open(msg, note.VerifierList(w.verifier))
	return err == nil && len(n.Sigs) == 1
}

func flat(hashes []storage.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// The published size never falls, the note of a size only gains signatures, and none is shown without its quorum.
func TestONEHISTORY_publicationIsMonotonic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		random, delays := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex // over delays, which the witnesses share
		delay := func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(delays.IntN(5000)) * time.Millisecond
		}
		wits := []*witness{newWitness(t, w, "w1", delay), newWitness(t, w, "w2", delay), newWitness(t, w, "w3", delay)}
		quorum := func(msg []byte) bool {
			n := 0
			for _, wit := range wits {
				if wit.cosigned(msg) {
					n++
				}
			}
			return n >= 2
		}
		c := w.config()
		c.Quorum = quorum
		for _, wit := range wits {
			c.Cosigners = append(c.Cosigners, wit)
		}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, msg := l.Checkpoint(); msg != nil {
			t.Error("the first checkpoint was shown without its quorum")
		}
		var last uint64
		var shown []byte
		sizes := 0
		for range 600 {
			if random.IntN(3) == 0 {
				appendN(t, l, 1+random.IntN(3))
			}
			rest(100 * time.Millisecond)
			size, msg := l.Checkpoint()
			if msg == nil {
				continue
			}
			if size < last || size == last && len(msg) < len(shown) {
				t.Fatalf("published %d after %d", size, last)
			}
			if !quorum(msg) {
				t.Fatalf("published without a quorum: %s", msg)
			}
			if _, archived, _ := w.archive.Latest(t.Context()); !bytes.Equal(archived, msg) && size >= last {
				if s, _, _ := w.archive.Latest(t.Context()); s <= size {
					t.Fatal("shown and not archived")
				}
			}
			if size > last {
				sizes++
			}
			last, shown = size, msg
		}
		if sizes < 10 {
			t.Errorf("only %d sizes published in a minute", sizes)
		}
		rest(time.Minute)
		if size, msg := l.Checkpoint(); size != l.Size() || !wits[0].cosigned(msg) || !wits[1].cosigned(msg) || !wits[2].cosigned(msg) {
			t.Errorf("the stragglers were not added at size %d of %d", size, l.Size())
		}
		shut(t, l)
		w.wantOneHistory(t)

		// After a restart nothing is lost: the archived note is shown at once, with its cosignatures.
		l, err = log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if size, msg := l.Checkpoint(); size != w.tree.size || !quorum(msg) {
			t.Errorf("after a restart: size %d, %s", size, msg)
		}
		rest(time.Minute)
		if _, msg := l.Checkpoint(); bytes.Count(msg, []byte("— ")) != 4 {
			t.Errorf("cosigned again by the same keys: %s", msg)
		}
		shut(t, l)
	})
}

func TestLostQuorumNeverBlocksRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		wit := newWitness(t, w, "w1", always(0))
		wit.fail = errors.New("connection refused")
		slow := newWitness(t, w, "w2", always(time.Hour))
		c := w.config()
		c.Cosigners = []log.Cosigner{wit, slow}
		c.Quorum = wit.cosigned
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			start := time.Now()
			appendN(t, l, 10)
			if time.Since(start) > 0 {
				t.Fatal("an append waited for a cosigner")
			}
			rest(3 * time.Second)
		}
		h := l.Health()
		if h.Published != 0 || h.Unpublished < 4*time.Minute || h.OK(time.Minute) {
			t.Errorf("health hides the lost quorum: %+v", h)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.WaitCovered(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("covered without a quorum: %v", err)
		}
		if _, err := l.Proof(t.Context(), 0); !errors.Is(err, log.ErrNotCovered) {
			t.Errorf("proven without a quorum: %v", err)
		}
		wit.mu.Lock()
		wit.fail = nil
		wit.mu.Unlock()
		rest(2 * time.Minute) // it heals alone
		if h := l.Health(); h.Published != 1000 || !h.OK(time.Second) {
			t.Errorf("it did not heal: %+v", h)
		}
		shut(t, l)
	})
}

func TestDeadCosignerIsAskedEverLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		wit := newWitness(t, w, "w1", always(0))
		wit.fail = errors.New("connection refused")
		c := w.config()
		c.Cosigners = []log.Cosigner{wit}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		rest(time.Hour)
		wit.mu.Lock()
		calls := wit.calls
		wit.mu.Unlock()
		if calls < 55 || calls > 75 {
			t.Errorf("asked %d times in an hour", calls)
		}
		shut(t, l)
	})
}

// What a cosigner returns can be nothing but signature lines.
func TestCosignatureCannotChangeTheNote(t *testing.T) {
	for name, answer := range map[string]func([]byte) []byte{
		"nothing":    func([]byte) []byte { return nil },
		"no newline": func(b []byte) []byte { return b[:len(b)-1] },
		"new text":   func(b []byte) []byte { return append([]byte("\nlog.example/test\n9\nAAAA\n\n"), b...) },
		"plain line": func(b []byte) []byte { return append([]byte("hello\n"), b...) },
		"too long":   func(b []byte) []byte { return bytes.Repeat(b, 500) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				wit := newWitness(t, w, "w1", always(0))
				wit.answer = answer
				c := w.config()
				c.Cosigners = []log.Cosigner{wit}
				l, err := log.Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				appendN(t, l, 1)
				rest(3 * time.Second)
				if size, msg := l.Checkpoint(); size != 1 || bytes.Count(msg, []byte("\n")) != 5 {
					t.Errorf("published %q", msg)
				}
				shut(t, l)
			})
		})
	}
}

type stamper struct {
	mu    sync.Mutex
	busy  bool
	sizes []uint64
	notes map[uint64][]byte
	err   error
	t     *testing.T
}

func (s *stamper) Stamp(ctx context.Context, size uint64, msg []byte) error {
	s.mu.Lock()
	if s.busy {
		s.t.Error("a stamper was called twice at once")
	}
	s.busy = true
	s.sizes = append(s.sizes, size)
	s.notes[size] = msg
	err := s.err
	s.mu.Unlock()
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.busy = false
	s.mu.Unlock()
	return err
}

func TestStampersGetWhatWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		good := &stamper{t: t, notes: make(map[uint64][]byte)}
		bad := &stamper{t: t, notes: make(map[uint64][]byte), err: errors.New("no time today")}
		c := w.config()
		c.Stampers = []log.Stamper{good, bad}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			appendN(t, l, 1)
			rest(time.Second)
			if size, _ := l.Checkpoint(); size < uint64(i) {
				t.Fatalf("a stamper held up publication at %d", size)
			}
		}
		rest(time.Minute)
		shut(t, l)
		for _, s := range []*stamper{good, bad} {
			if n := len(s.sizes); n < 3 || n > 5 || s.sizes[n-1] != 30 {
				t.Errorf("stamped %v", s.sizes)
			}
			for size, msg := range s.notes {
				if !bytes.Equal(w.archive.notes[size], msg) {
					t.Errorf("size %d: stamped %q, published %q", size, msg, w.archive.notes[size])
				}
			}
		}
	})
}

func TestProofsVerifyElsewhere(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{1, 6, 250, 300, 513} { // sizes 1, 7, 257, 557, 1070
		w.grow(t, n)
	}
	l := w.open(t)
	defer shut(t, l)
	for index := range l.Size() {
		b, err := l.Proof(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		var p fproof.TLogProof
		if err := p.Unmarshal(b); err != nil || p.Index != index {
			t.Fatalf("index %d: %v in\n%s", index, err, b)
		}
		n, err := note.Open(p.Checkpoint, note.VerifierList(w.verifier))
		if err != nil {
			t.Fatal(err)
		}
		size, root := sizeOf(t, n.Text), rootOf(t, n.Text)
		err = proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, rfc6962.DefaultHasher.HashLeaf(w.tree.leaf(index)), flat(p.Hashes), root)
		if err != nil {
			t.Fatalf("index %d in size %d: %v", index, size, err)
		}
		for _, s := range []uint64{1, 7, 257, 557, 1070} {
			if s > index {
				if size != s {
					t.Errorf("index %d is proven under size %d, not the smallest, %d", index, size, s)
				}
				break
			}
		}
		leaf, err := l.Leaf(t.Context(), index)
		if err != nil || !bytes.Equal(leaf, w.tree.leaf(index)) {
			t.Fatalf("leaf %d: %v", index, err)
		}
	}
	if _, err := l.Proof(t.Context(), l.Size()); !errors.Is(err, log.ErrNotCovered) {
		t.Errorf("proof of what is not there: %v", err)
	}
	var outside *tiles.RangeError
	if _, err := l.Leaf(t.Context(), l.Size()); !errors.As(err, &outside) {
		t.Errorf("leaf that is not there: %v", err)
	}
}

func TestConsistencyVerifiesElsewhere(t *testing.T) {
	w := newWorld(t)
	w.grow(t, 600)
	l := w.open(t)
	defer shut(t, l)
	sizes := []uint64{0, 1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 599, 600}
	for _, from := range sizes {
		for _, to := range sizes {
			hashes, err := l.Consistency(t.Context(), from, to)
			if from > to {
				var outside *tiles.RangeError
				if !errors.As(err, &outside) {
					t.Errorf("%d to %d: %v", from, to, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%d to %d: %v", from, to, err)
			}
			a, b := w.tree.rootAt(from), w.tree.rootAt(to)
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, flat(hashes), a[:], b[:]); err != nil {
				t.Errorf("%d to %d: %v", from, to, err)
			}
		}
	}
}

func TestCreate(t *testing.T) {
	w := emptyWorld(t)
	refused(t, w.config(), log.ErrGuardMissing)
	if err := log.Create(t.Context(), w.create()); err != nil {
		t.Fatal(err)
	}
	w.wantOneHistory(t)
	if err := log.Create(t.Context(), w.create()); !errors.Is(err, storage.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	w.grow(t, 1)
	c := w.create()
	c.Guard = &memGuard{faults: new(faults)}
	if err := log.Create(t.Context(), c); !errors.Is(err, storage.ErrExists) {
		t.Errorf("created over an archive: %v", err)
	}
	c.Archive = newArchive(new(faults))
	if err := log.Create(t.Context(), c); !errors.Is(err, storage.ErrExists) {
		t.Errorf("created over a tree: %v", err)
	}

	w = emptyWorld(t) // interrupted before the guard was made
	c = w.create()
	c.Guard = failingGuard{w.guard}
	if err := log.Create(t.Context(), c); !errors.Is(err, errDisk) {
		t.Fatalf("got %v", err)
	}
	if err := log.Create(t.Context(), w.create()); err != nil {
		t.Errorf("again: %v", err)
	}
}

type failingGuard struct{ *memGuard }

func (failingGuard) Create(context.Context, storage.GuardState) error { return errDisk }

func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.grow(t, 5)
		l := w.open(t)
		synctest.Wait() // the first step of its publisher has seen the guard
		retire := log.RetireConfig{Origin: origin, Verifiers: []note.Verifier{w.verifier}, Guard: w.guard, Archive: w.archive, Successor: "log.example/next"}
		p, err := log.Retire(t.Context(), retire)
		if err != nil {
			t.Fatal(err)
		}
		if p.Origin != origin || p.Size != 5 || p.Root != w.tree.rootAt(5) || !bytes.Equal(p.Note, w.archive.notes[5]) {
			t.Errorf("predecessor %+v", p)
		}
		appendN(t, l, 1) // a process that still runs signs nothing more
		rest(2 * time.Second)
		if err := l.Health().Stopped; !errors.Is(err, log.ErrRetired) {
			t.Errorf("a running log went on: %v", err)
		}
		shut(t, l)
		refused(t, w.config(), log.ErrRetired)
		again, err := log.Retire(t.Context(), retire)
		if err != nil || again.Size != p.Size || !bytes.Equal(again.Note, p.Note) {
			t.Errorf("again: %+v, %v", again, err)
		}
		retire.Successor = "log.example/elsewhere"
		if _, err := log.Retire(t.Context(), retire); !errors.Is(err, log.ErrRetired) {
			t.Errorf("retired for a second successor: %v", err)
		}
	})
}

func TestRetireLostLog(t *testing.T) {
	w := newWorld(t)
	w.grow(t, 5)
	old := w.clone()
	w.grow(t, 5)
	newest := w.guard.state.Note
	// Everything is lost but an old archive and what a witness has.
	retire := log.RetireConfig{Origin: origin, Verifiers: []note.Verifier{w.verifier}, Guard: &memGuard{faults: new(faults)},
		Archive: old.archive, Known: [][]byte{newest}, Successor: "log.example/next"}
	p, err := log.Retire(t.Context(), retire)
	if err != nil || p.Size != 10 {
		t.Fatalf("%+v, %v", p, err)
	}
	c := w.config()
	c.Guard = retire.Guard
	refused(t, c, log.ErrRetired)

	other := newWorld(t)
	other.signer, other.verifier = w.signer, w.verifier // the same key on another history
	other.guard, other.archive, other.tree = &memGuard{faults: new(faults)}, newArchive(new(faults)), newTree(new(faults))
	if err := log.Create(t.Context(), other.create()); err != nil {
		t.Fatal(err)
	}
	other.grow(t, 10)
	retire.Guard = &memGuard{faults: new(faults)}
	retire.Known = [][]byte{newest, other.guard.state.Note}
	if _, err := log.Retire(t.Context(), retire); !errors.Is(err, log.ErrRootDiffers) {
		t.Errorf("two histories: %v", err)
	}
	retire.Known = [][]byte{[]byte("invented")}
	if _, err := log.Retire(t.Context(), retire); err == nil {
		t.Error("retired on an unsigned claim")
	}
	retire.Known, retire.Archive = nil, nil
	if _, err := log.Retire(t.Context(), retire); err == nil {
		t.Error("retired with nothing known")
	}
}

func TestCheckGuardPath(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(tree, "sub"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for guard, inside := range map[string]bool{
		"guard/guard.db":          false,
		"tree-guard/guard.db":     false,
		"..tree/guard.db":         false,
		"guard.db":                false,
		"tree":                    true,
		"tree/guard.db":           true,
		"tree/sub/new/guard.db":   true,
		"guard/../tree/guard.db":  true,
		"link/guard.db":           true,
		"tree/../guard/guard.db":  false,
		"tree/..hidden/guard.db":  true,
		"link/not/there/guard.db": true,
	} {
		err := log.CheckGuardPath(filepath.Join(dir, guard), filepath.Join(dir, "archive"), tree)
		if errors.Is(err, log.ErrGuardInside) != inside || (err != nil) != inside {
			t.Errorf("%s: %v", guard, err)
		}
	}
}
