package log_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage"
)

func newCheckpointKey(t testing.TB, a checkpoint.Algorithm, name string) *checkpoint.Signer {
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

// A log goes from an Ed25519 key to that and an ML-DSA-44 one, to two of each while they rotate, to the new ones alone: every
// checkpoint carries one signature of each signer, guard and archive open at every step, and it is one history.
func TestONEHISTORY_rotation(t *testing.T) {
	w := emptyWorld(t)
	old, newer := newCheckpointKey(t, checkpoint.Ed25519, origin), newCheckpointKey(t, checkpoint.Ed25519, origin)
	oldPQ, newPQ := newCheckpointKey(t, checkpoint.CosignatureMLDSA44, origin), newCheckpointKey(t, checkpoint.CosignatureMLDSA44, origin)
	verifiers := []note.Verifier{old.Verifier()}
	create := w.create()
	create.Signers, create.Verifiers = []note.Signer{old}, verifiers
	if err := log.Create(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	for step, signers := range [][]note.Signer{{old}, {old, oldPQ}, {old, oldPQ, newer, newPQ}, {newer, newPQ}, {newPQ, newer}} {
		verifiers = []note.Verifier{old.Verifier(), oldPQ.Verifier(), newer.Verifier(), newPQ.Verifier()}[:max(1, min(4, 2*step))]
		c := w.config()
		c.Signers, c.Verifiers = signers, verifiers
		wit := newWitness(t, w, "w1", always(0))
		c.Cosigners, c.Quorum = []log.Cosigner{wit}, wit.cosigned
		synctest.Test(t, func(t *testing.T) {
			wit.lax = true // it may be asked with the checkpoint of before, and with signatures of keys that it does not know
			l := must(t)(log.Open(t.Context(), c))
			if size, msg := l.Signed(); size != uint64(step) || !bytes.HasPrefix(msg, w.guard.state.Note) {
				t.Errorf("step %d: signed before: %d %s", step, size, msg)
			}
			appendN(t, l, 1)
			if _, err := l.WaitCovered(t.Context(), uint64(step)); err != nil {
				t.Fatal(err)
			}
			size, msg := l.Checkpoint()
			shut(t, l)
			var of []note.Verifier
			for _, s := range signers {
				of = append(of, s.(*checkpoint.Signer).Verifier())
			}
			n, err := note.Open(msg, note.VerifierList(of...))
			if err != nil || len(n.Sigs) != len(signers) || len(n.UnverifiedSigs) != 1 || size != uint64(step)+1 {
				t.Fatalf("step %d: size %d, %d signatures: %v", step, size, len(n.Sigs), err)
			}
			if want := checkpointText(size, w.tree.rootAt(size)); n.Text != want {
				t.Errorf("step %d: signed %q", step, n.Text)
			}
		})
	}
	c := w.config() // without the key that signed what is in the guard
	c.Signers, c.Verifiers = []note.Signer{old}, []note.Verifier{old.Verifier()}
	refused(t, c, log.ErrGuardInvalid)
	retire := log.RetireConfig{Origin: origin, Verifiers: verifiers, Guard: w.guard, Archive: w.archive, Successor: "log.example/next"}
	if p, err := log.Retire(t.Context(), retire); err != nil || p.Size != 5 {
		t.Errorf("retired at %d: %v", p.Size, err)
	}
}

// Cosigners see the signatures of all of the log's keys, and no other, also after a restart.
func TestCosignersGetOwnSignaturesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pq := newCheckpointKey(t, checkpoint.CosignatureMLDSA44, origin)
		wit, p := newWitness(t, w, "w1", always(0)), newPuppet(t, "w2")
		c := w.config()
		c.Signers, c.Verifiers = append(c.Signers, pq), append(c.Verifiers, pq.Verifier())
		c.Cosigners = []log.Cosigner{wit, p}
		wit.lax = true
		for range 2 {
			l := must(t)(log.Open(t.Context(), c))
			synctest.Wait() // the first step is done
			appendN(t, l, 1)
			rest(log.DefaultInterval)
			p.answers <- puppetAnswer{lines: line("w2", 1, 64)}
			rest(log.DefaultInterval)
			p.answers <- puppetAnswer{lines: line("w2", 1, 64)}
			rest(log.DefaultInterval)
			_, msg := l.Checkpoint()
			if n := bytes.Count(msg, []byte("— ")); n != 4 {
				t.Errorf("published with %d signatures", n)
			}
			shut(t, l)
		}
		for len(p.asked) > 0 {
			req := <-p.asked
			n, err := note.Open(req.Note, note.VerifierList(w.verifier, pq.Verifier()))
			if err != nil || len(n.UnverifiedSigs) > 0 || req.Size > 0 && len(n.Sigs) != 2 {
				t.Errorf("asked over %s: %v", req.Note, err)
			}
		}
	})
}

// lying says that it is another kind of key than it is.
type lying struct {
	*checkpoint.Verifier
}

func (lying) Algorithm() checkpoint.Algorithm { return checkpoint.Ed25519 }

func TestKeysThatNoLogHas(t *testing.T) {
	w := emptyWorld(t)
	other, otherV := newKey(t, "log.example/other")
	second, secondV := newKey(t, origin)
	pq, cosign := newCheckpointKey(t, checkpoint.CosignatureMLDSA44, origin), newCheckpointKey(t, checkpoint.CosignatureEd25519, origin)
	type signers = []note.Signer
	type verifiers = []note.Verifier
	for name, k := range map[string]struct {
		signers   signers
		verifiers verifiers
	}{
		"none":                         {nil, verifiers{w.verifier}},
		"no verifier":                  {signers{w.signer}, nil},
		"the verifier of another":      {signers{w.signer}, verifiers{secondV}},
		"one without its verifier":     {signers{w.signer, second}, verifiers{w.verifier}},
		"one twice":                    {signers{w.signer, w.signer}, verifiers{w.verifier}},
		"a verifier twice":             {signers{w.signer}, verifiers{w.verifier, w.verifier}},
		"a signer of another name":     {signers{w.signer, other}, verifiers{w.verifier, otherV}},
		"a verifier of another name":   {signers{w.signer}, verifiers{w.verifier, otherV}},
		"ML-DSA-44 alone":              {signers{pq}, verifiers{pq.Verifier(), w.verifier}},
		"Ed25519 with a time":          {signers{cosign}, verifiers{cosign.Verifier()}},
		"five":                         {signers{w.signer, second, pq, cosign, newCheckpointKey(t, checkpoint.Ed25519, origin)}, verifiers{w.verifier}},
		"ML-DSA-44 that calls it less": {signers{pq}, verifiers{lying{pq.Verifier()}}},
	} {
		create := w.create()
		create.Signers, create.Verifiers = k.signers, k.verifiers
		if err := log.Create(t.Context(), create); err == nil || errors.Is(err, storage.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
		c := w.config() // known before anything is signed, unless a key lies
		c.Signers, c.Verifiers = k.signers, k.verifiers
		if err := log.Check(t.Context(), c); err == nil || errors.Is(err, log.ErrGuardMissing) != strings.Contains(name, "calls it less") {
			t.Errorf("%s: check: %v", name, err)
		}
	}
	if w.guard.state != nil {
		t.Error("a guard was made")
	}
	c := w.config()
	for _, names := range [][]string{{""}, {"a", "a"}, {"a\xff"}} {
		c.Cosigners = nil
		for _, name := range names {
			c.Cosigners = append(c.Cosigners, newPuppet(t, name))
		}
		if err := log.Check(t.Context(), c); err == nil || errors.Is(err, log.ErrGuardMissing) {
			t.Errorf("cosigners %q: %v", names, err)
		}
	}
}

// known is what a witness gives: the log's checkpoint with its own signature on top.
func known(t *testing.T, msg []byte) []byte {
	t.Helper()
	s, _ := newKey(t, "w1")
	return append(bytes.Clone(msg), linesOf(t, string(msg[:bytes.Index(msg, []byte("\n\n"))+1]), s)...)
}

func TestONEHISTORY_rebuildGuard(t *testing.T) {
	base := newWorld(t)
	base.grow(t, 300)
	before := base.clone()
	base.grow(t, 300)
	ahead := base.clone()
	ahead.grow(t, 5)
	fork := before.clone()
	fork.grow(t, 300)
	older := before.clone()
	older.grow(t, 7)
	_, stranger := newKey(t, origin)
	note600, note300 := known(t, base.guard.state.Note), known(t, before.guard.state.Note)
	for name, tc := range map[string]struct {
		change func(w *world, c *log.RebuildConfig)
		size   uint64
		reason error
	}{
		"all agree":                  {func(*world, *log.RebuildConfig) {}, 600, nil},
		"witnesses are behind":       {func(_ *world, c *log.RebuildConfig) { c.Known = c.Known[1:] }, 600, nil},
		"archive is behind":          {func(_ *world, c *log.RebuildConfig) { c.Archive = before.archive }, 600, nil},
		"archive lost":               {func(_ *world, c *log.RebuildConfig) { c.Archive = nil }, 600, nil},
		"both behind the tree":       {func(_ *world, c *log.RebuildConfig) { c.Known, c.Archive = c.Known[1:], before.archive }, 300, nil},
		"nobody elsewhere":           {func(_ *world, c *log.RebuildConfig) { c.Known = nil }, 0, log.ErrUnknown},
		"not signed by the log":      {func(_ *world, c *log.RebuildConfig) { c.Known[1] = []byte("junk") }, 0, log.ErrUnknown},
		"a key that is not given":    {func(_ *world, c *log.RebuildConfig) { c.Verifiers = []note.Verifier{stranger} }, 0, log.ErrUnknown},
		"the tree is an old copy":    {func(_ *world, c *log.RebuildConfig) { c.Tree = before.tree }, 0, log.ErrTreeBehind},
		"a witness saw more":         {func(_ *world, c *log.RebuildConfig) { c.Known[0] = ahead.guard.state.Note }, 0, log.ErrTreeBehind},
		"two roots of one size":      {func(_ *world, c *log.RebuildConfig) { c.Known[1] = fork.guard.state.Note }, 0, log.ErrRootDiffers},
		"a smaller one is a fork":    {func(_ *world, c *log.RebuildConfig) { c.Known[1] = older.guard.state.Note }, 0, log.ErrRootDiffers},
		"the tree is another":        {func(_ *world, c *log.RebuildConfig) { c.Tree = fork.tree }, 0, log.ErrRootDiffers},
		"the archive is of the fork": {func(_ *world, c *log.RebuildConfig) { c.Archive = fork.archive }, 0, log.ErrRootDiffers},
		"the tree is lost":           {func(w *world, c *log.RebuildConfig) { c.Tree = lostTree{w.tree} }, 0, log.ErrTreeMissing},
		"the tree is damaged":        {func(w *world, c *log.RebuildConfig) { w.tree.flip("tile/1/000.p/2", 3) }, 0, log.ErrTreeDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			w := base.clone()
			w.guard = &memGuard{faults: w.faults}
			c := log.RebuildConfig{Origin: origin, Verifiers: []note.Verifier{w.verifier}, Tree: w.tree, Guard: w.guard, Archive: w.archive,
				Known: [][]byte{note600, note300}}
			tc.change(w, &c)
			size, err := log.RebuildGuard(t.Context(), c)
			if tc.reason != nil {
				var r *log.RefusedError
				if !errors.As(err, &r) || r.Reason != tc.reason || r.WayOut() == "" || w.guard.state != nil {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || size != tc.size {
				t.Fatalf("size %d: %v", size, err)
			}
			want := base.guard.state.Note
			if size == 300 {
				want = before.guard.state.Note
			}
			if !bytes.Equal(w.guard.state.Note, want) {
				t.Errorf("the guard has %s", w.guard.state.Note)
			}
			if _, err := log.RebuildGuard(t.Context(), c); !errors.Is(err, storage.ErrExists) {
				t.Errorf("rebuilt over a guard: %v", err)
			}
			if c.Archive == w.archive && size == 600 {
				w.grow(t, 3)
				w.wantOneHistory(t)
			}
		})
	}
	w := base.clone() // the mark of a retired log is a guard too
	retire := log.RetireConfig{Origin: origin, Verifiers: []note.Verifier{w.verifier}, Guard: w.guard, Archive: w.archive, Successor: "log.example/next"}
	if _, err := log.Retire(t.Context(), retire); err != nil {
		t.Fatal(err)
	}
	c := log.RebuildConfig{Origin: origin, Verifiers: retire.Verifiers, Tree: w.tree, Guard: w.guard, Archive: w.archive, Known: [][]byte{note600}}
	if _, err := log.RebuildGuard(t.Context(), c); !errors.Is(err, storage.ErrExists) {
		t.Errorf("rebuilt over a retired log: %v", err)
	}
}

func TestWayOutOfALostGuard(t *testing.T) {
	err := &log.RefusedError{Reason: log.ErrGuardMissing}
	if !strings.Contains(err.Error(), "stenod guard rebuild --witness-quorum") {
		t.Error(err)
	}
}
