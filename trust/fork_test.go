package trust_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

// A tree is one of leaves that a string names, a byte each.
type tree struct{ hashes []tlog.Hash }

func newTree(leaves string) *tree {
	t := &tree{}
	for i := range len(leaves) {
		t.hashes = append(t.hashes, must(tlog.StoredHashes(int64(i), []byte{leaves[i]}, t.reader()))...)
	}
	return t
}

func (t *tree) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, t.hashes[i])
		}
		return out, nil
	})
}

func (t *tree) root(size int) [32]byte {
	if size == 0 {
		return checkpoint.EmptyRoot()
	}
	return must(tlog.TreeHash(int64(size), t.reader()))
}

func (t *tree) prove(from, to int) (p [][32]byte) {
	if from == 0 || from == to {
		return nil
	}
	for _, h := range must(tlog.ProveTree(int64(to), int64(from), t.reader())) {
		p = append(p, h)
	}
	return p
}

// shown is a checkpoint of the tree at a size.
func (t *tree) shown(size int, signers ...note.Signer) []byte {
	c := checkpoint.Checkpoint{Origin: origin, Size: uint64(size), Root: t.root(size)}
	return must(note.Sign(&note.Note{Text: c.Text()}, signers...))
}

// fork makes the proof that a log has shown one tree at size a, and another at size b.
func fork(one *tree, a int, other *tree, b int, signers ...note.Signer) trust.Fork {
	f := trust.Fork{Small: one.shown(a, signers...), Large: other.shown(b, signers...)}
	if a < b {
		prefix := other.root(a)
		f.Prefix, f.Proof = &prefix, other.prove(a, b)
	}
	return f
}

// A forkVector is one of docs/spec/vectors/trust-fork.json.
type forkVector struct {
	Name   string `json:"name"`
	Log    string `json:"log"`
	Fork   string `json:"fork"`
	Parses bool   `json:"parses"`
	Proves bool   `json:"proves"`
	Reason string `json:"reason,omitempty"`

	errorHas string
}

const forkAbout = "Fork files, steno/fork/v1: parses says whether fork is one; proves, whether it convicts the log whose key is given."

func forkVectors(w *world) []forkVector {
	one, other := newTree("abcdefghij"), newTree("abcdeFghij")
	stranger := fixed(ed, origin, "stranger")
	var v []forkVector
	add := func(name, reason, errorHas string, f []byte) {
		_, err := trust.ParseFork(f)
		v = append(v, forkVector{name, w.log.Verifier().String(), string(f), err == nil, errorHas == "", reason, errorHas})
	}
	ok := func(name string, f trust.Fork) { add(name, "", "", f.Marshal()) }
	bad := func(name, reason, errorHas string, f trust.Fork) { add(name, reason, errorHas, f.Marshal()) }
	changed := func(f trust.Fork, change func(*trust.Fork)) trust.Fork { change(&f); return f }
	ok("two roots of one size", fork(one, 7, other, 7, w.log))
	ok("7 and 10", fork(one, 7, other, 10, w.log))
	ok("8 and 9: a power of two", fork(one, 8, other, 9, w.log))
	ok("6 and 8: to a power of two", fork(one, 6, other, 8, w.log))
	ok("the first with a cosignature", trust.Fork{Small: one.shown(7, w.log, cosigner{w.w["w1"], noon}), Large: other.shown(7, w.log)})
	empty := changed(fork(one, 0, other, 7, w.log), func(f *trust.Fork) {
		c := checkpoint.Checkpoint{Origin: origin, Root: [32]byte{1}}
		f.Small = must(note.Sign(&note.Note{Text: c.Text()}, w.log))
	})
	ok("an empty tree with the root of none", empty)
	bad("the same twice", "", "say the same", fork(one, 7, one, 7, w.log))
	bad("an extension", "", "extends", fork(one, 7, one, 10, w.log))
	bad("an extension, up to the fork", "", "extends", fork(one, 5, other, 10, w.log))
	bad("from the empty tree", "", "extends", fork(one, 0, other, 10, w.log))
	bad("the larger first", "", "larger than the second", trust.Fork{Small: one.shown(9, w.log), Large: other.shown(7, w.log)})
	bad("a stranger's second", "", "second checkpoint", trust.Fork{Small: one.shown(7, w.log), Large: other.shown(7, stranger)})
	bad("a stranger's first", "", "first checkpoint", trust.Fork{Small: one.shown(7, stranger), Large: other.shown(7, w.log)})
	bad("witnesses without the log", "", "first checkpoint", fork(one, 7, other, 7, cosigner{w.w["w1"], noon}))
	bad("no prefix", "", "missing", changed(fork(one, 7, other, 10, w.log), func(f *trust.Fork) { f.Prefix = nil }))
	bad("another prefix", "", "does not lead", changed(fork(one, 7, other, 10, w.log), func(f *trust.Fork) { f.Prefix = &[32]byte{1} }))
	bad("another prefix, at a power of two", "", "does not lead", changed(fork(one, 8, one, 9, w.log), func(f *trust.Fork) { f.Prefix = &[32]byte{1} }))
	bad("another hash", "", "does not lead", changed(fork(one, 7, other, 10, w.log), func(f *trust.Fork) { f.Proof[1][0] ^= 1 }))
	bad("a hash too few", "", "does not lead", changed(fork(one, 7, other, 10, w.log), func(f *trust.Fork) { f.Proof = f.Proof[1:] }))
	bad("a hash too many", "", "does not lead", changed(fork(one, 7, other, 10, w.log), func(f *trust.Fork) { f.Proof = append(f.Proof, [32]byte{}) }))
	bad("a prefix between equal sizes", "", "between equal sizes", changed(fork(one, 7, other, 7, w.log), func(f *trust.Fork) { f.Prefix = &[32]byte{1} }))
	bad("a proof between equal sizes", "", "between equal sizes", changed(fork(one, 7, other, 7, w.log), func(f *trust.Fork) { f.Proof = [][32]byte{{1}} }))
	bad("a signature that does not verify", "", "first checkpoint", changed(fork(one, 7, other, 7, w.log), func(f *trust.Fork) { f.Small = spoil(f.Small, w.log) }))
	elsewhere := checkpoint.Checkpoint{Origin: "other.example", Size: 7, Root: one.root(7)}
	bad("signed by the log for another origin", "", "another origin", trust.Fork{Small: must(note.Sign(&note.Note{Text: elsewhere.Text()}, w.log)), Large: other.shown(7, w.log)})
	bad("no checkpoints", "", "first checkpoint", trust.Fork{})
	return append(v, malformedForks(w, string(fork(one, 7, other, 10, w.log).Marshal()))...)
}

func malformedForks(w *world, good string) (v []forkVector) {
	bad := func(name, from, to string) {
		changed := strings.Replace(good, from, to, 1)
		if changed == good {
			panic(name + ": nothing was changed")
		}
		v = append(v, forkVector{Name: name, Log: w.log.Verifier().String(), Fork: changed, errorHas: "fork file", Reason: "it has one spelling"})
	}
	small := line(good, "small")
	bad("another format", "fork/v1", "fork/v2")
	bad("a leading zero", "small ", "small 0")
	bad("a plus", "small ", "small +")
	bad("a size too large", small, "small 99999\n")
	bad("a size too small", small, "small 1\n")
	bad("a size negative", small, "small -1\n")
	bad("sizes beyond 2^63", line(good, "large"), "large 9223372036854775807\n")
	bad("no sizes", small, "")
	bad("sizes in the other order", small+line(good, "large"), line(good, "large")+small)
	bad("prefix after the proof", line(good, "prefix")+line(good, "proof"), line(good, "proof")+line(good, "prefix"))
	bad("two prefixes", line(good, "prefix"), line(good, "prefix")+line(good, "prefix"))
	bad("a hash without its word", "proof ", "")
	bad("a hash that is not canonical", "=\n\nlog", "\n\nlog")
	bad("64 hashes", line(good, "proof"), strings.Repeat(line(good, "proof"), 64))
	bad("no empty line", "\n\n", "\n")
	bad("two empty lines", "\n\n", "\n\n\n")
	bad("carriage returns", "\n", "\r\n")
	v = append(v, forkVector{Name: "a byte more", Log: w.log.Verifier().String(), Fork: good + "\n", errorHas: "fork file", Reason: "the notes fill the file"})
	v = append(v, forkVector{Name: "empty", Log: w.log.Verifier().String(), errorHas: "fork file"})
	return v
}

func TestForkVectors(t *testing.T) {
	made := forkVectors(newWorld())
	plain := make([]forkVector, len(made))
	for i, v := range made {
		v.errorHas = ""
		plain[i] = v
	}
	for i, v := range vectors(t, "trust-fork.json", "steno/vectors/trust-fork/v1", forkAbout, plain, true) {
		f, err := trust.ParseFork([]byte(v.Fork))
		if (err == nil) != v.Parses {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if err == nil {
			err = f.Verify(must(checkpoint.NewVerifier(v.Log)))
		}
		if (err == nil) != v.Proves || err != nil && !strings.Contains(err.Error(), made[i].errorHas) {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

// TestForkConvictsNobodyElse: of one history no fork can be made; of two that part, every pair of sizes past it makes one.
func TestForkConvictsNobodyElse(t *testing.T) {
	log := newWorld().log
	const leaves = "abcdefghijklmnopqrst"
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(leaves)-1).Draw(t, "parts at")
		one, other := newTree(leaves), newTree(leaves[:at]+"!"+leaves[at+1:])
		a := rapid.IntRange(0, len(leaves)).Draw(t, "small")
		b := rapid.IntRange(a, len(leaves)).Draw(t, "large")
		f := must(trust.ParseFork(fork(one, a, other, b, log).Marshal()))
		if err := f.Verify(log.Verifier()); (err == nil) != (a > at) {
			t.Fatalf("parted at %d, shown at %d and %d: %v", at, a, b, err)
		}
	})
}

func TestStolenKeyMakesNoFork(t *testing.T) {
	w := newWorld()
	one, other := newTree("abcdefghij"), newTree("abcdeFghij")
	w1, w2 := cosigner{w.w["w1"], noon}, cosigner{w.w["w2"], noon}
	both := func(c *trust.Config) { c.Policy = append([]byte("log "+w.log2.Verifier().String()+"\n"), c.Policy...) }
	stolen := w.make(func(c *trust.Config) {
		both(c)
		c.Windows = []trust.Window{{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 8, Compromised: true}}
	})
	ended := w.make(func(c *trust.Config) {
		both(c)
		c.Windows = []trust.Window{{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 5}}
	})
	for name, c := range map[string]struct {
		tr   *trust.Trust
		f    trust.Fork
		want string
	}{
		"by a good key":                          {w.make(nil), fork(one, 7, other, 10, w.log), ""},
		"by a key past its window":               {ended, fork(one, 7, other, 10, w.log), ""},
		"by the stolen key":                      {stolen, fork(one, 7, other, 7, w.log), "first checkpoint: signed by a key alone that is marked compromised"},
		"one by the stolen key":                  {stolen, trust.Fork{Small: one.shown(7, w.log2), Large: other.shown(7, w.log)}, "second checkpoint: signed by a key alone"},
		"by the stolen key and a good one":       {stolen, fork(one, 7, other, 10, w.log, w.log2), ""},
		"by the stolen key, and witnessed":       {stolen, fork(one, 7, other, 7, w.log, w1, w2), ""},
		"by the stolen key, witnessed and later": {stolen, fork(one, 9, other, 9, w.log, w1, w2), "marked compromised"},
		"by strangers":                           {w.make(nil), fork(one, 7, other, 10, w.log2), "no verifiable"},
		"of one history":                         {stolen, fork(one, 7, one, 10, w.log2), "extends"},
	} {
		err := c.tr.VerifyFork(c.f)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBinds(t *testing.T) {
	w := newWorld()
	w1, w2 := cosigner{w.w["w1"], noon}, cosigner{w.w["w2"], noon}
	stolen := w.make(func(c *trust.Config) {
		c.Policy = append([]byte("log "+w.log2.Verifier().String()+"\n"), c.Policy...)
		c.Windows = []trust.Window{
			{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 5, Compromised: true},
			{Role: trust.RoleWitness, Key: w.w["w2"].Verifier().String(), Until: 5, Compromised: true},
		}
	})
	tree := newTree("abcdefghij")
	for name, c := range map[string]struct {
		tr   *trust.Trust
		note []byte
		want bool
	}{
		"signed":                                     {w.make(nil), tree.shown(7, w.log), true},
		"by a stranger":                              {w.make(nil), tree.shown(7, w.log2), false},
		"by a stranger, cosigned":                    {w.make(nil), tree.shown(7, w.log2, w1), false},
		"by a good key, among others":                {stolen, tree.shown(7, w.log, w.log2), true},
		"by the stolen key":                          {stolen, tree.shown(3, w.log), false},
		"by the stolen key, cosigned":                {stolen, tree.shown(3, w.log, w1), true},
		"by the stolen key, cosigned past its end":   {stolen, tree.shown(7, w.log, w1), true},
		"by the stolen key, cosigned by another one": {stolen, tree.shown(3, w.log, w2), false},
		"cosigned only":                              {stolen, tree.shown(3, w1), false},
		"nothing":                                    {stolen, nil, false},
	} {
		if got := c.tr.Binds(c.note); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestForkOfAnotherLogIsNone(t *testing.T) {
	w := newWorld()
	other := fixed(ed, "other.example", "log 2")
	c := checkpoint.Checkpoint{Origin: "other.example", Size: 7, Root: sha256.Sum256([]byte("x"))}
	f := trust.Fork{Small: newTree("abcdefg").shown(7, w.log), Large: must(note.Sign(&note.Note{Text: c.Text()}, other))}
	if err := f.Verify(w.log.Verifier(), other.Verifier()); err == nil || !strings.Contains(err.Error(), "two logs") {
		t.Error(err)
	}
	// Signed by both, in whatever order: the name of one of them must be the origin.
	f = trust.Fork{Small: newTree("abcdefg").shown(7, other, w.log), Large: newTree("abcdefG").shown(7, w.log, other)}
	if err := f.Verify(w.log.Verifier(), other.Verifier()); err != nil {
		t.Error(err)
	}
}

func FuzzParseFork(f *testing.F) {
	w := newWorld()
	for _, v := range forkVectors(w) {
		f.Add([]byte(v.Fork))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fork, err := trust.ParseFork(b)
		if err != nil {
			return
		}
		if !bytes.Equal(fork.Marshal(), b) {
			t.Fatal("accepted what it would not write")
		}
		_ = fork.Verify(w.log.Verifier())
	})
}

func TestForkSpecShowsAFork(t *testing.T) {
	f := fork(newTree("abcdefghij"), 7, newTree("abcdeFghij"), 10, newWorld().log)
	inSpec(t, "fork.md", string(f.Marshal()))
}
