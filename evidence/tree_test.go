package evidence_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

// A forest is a tree of leaves that are no entries, in x/mod's implementation, which knows nothing of ours.
type forest struct {
	hashes []tlog.Hash
	leaves [][]byte
	log    Key
}

func (f *forest) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	for _, i := range indexes {
		out = append(out, f.hashes[i])
	}
	return out, nil
}

func newForest(t testing.TB, n int) *forest {
	f := &forest{log: NewKey(t, origin)}
	for i := range n {
		leaf := fmt.Appendf(nil, "leaf %d", i)
		f.hashes = append(f.hashes, Must(tlog.StoredHashes(int64(i), leaf, f))(t)...)
		f.leaves = append(f.leaves, leaf)
	}
	return f
}

func (f *forest) checkpoint(t testing.TB, size uint64) []byte {
	text := checkpoint.Checkpoint{Origin: origin, Size: size, Root: Must(tlog.TreeHash(int64(size), f))(t)}.Text()
	return Must(note.Sign(&note.Note{Text: text}, f.log))(t)
}

// bundle has leaves of the tree of a size, and stamped checkpoints of sizes.
func (f *forest) bundle(t testing.TB, size uint64, leaves, sizes []uint64) *evidence.Bundle {
	b := &evidence.Bundle{Origin: origin, Sessions: []string{SessionID(1)}, Checkpoint: f.checkpoint(t, size)}
	for _, i := range leaves {
		b.Leaves = append(b.Leaves, evidence.LeafOf(i, f.leaves[i]))
	}
	for i, s := range sizes {
		b.Anchors = append(b.Anchors, evidence.Anchor{Index: size + uint64(i), Note: f.checkpoint(t, s)})
	}
	for level, index := range Must(b.Gaps())(t) {
		b.Tree = append(b.Tree, f.hashes[tlog.StoredHashIndex(level, int64(index))])
	}
	return b
}

// TestTreeProvesEveryLeafAndEveryStampedCheckpoint of trees of random sizes, with random leaves and stamped checkpoints: proofs
// out of it are accepted by merkle's verifier, which is neither ours nor x/mod's, and one wrong hash in it is found.
func TestTreeProvesEveryLeafAndEveryStampedCheckpoint(t *testing.T) {
	f := newForest(t, 300)
	r := rand.New(rand.NewPCG(305, 6962))
	for range 400 {
		size := r.Uint64N(uint64(len(f.leaves)) + 1)
		if r.IntN(3) == 0 {
			size = min(size, 17)
		}
		var leaves, sizes []uint64
		density := r.Float64()
		for i := range size {
			if r.Float64() < density*density {
				leaves = append(leaves, i)
			}
		}
		for range r.IntN(5) {
			sizes = append(sizes, r.Uint64N(size+1))
		}
		slices.Sort(sizes)
		b := f.bundle(t, size, leaves, slices.Compact(sizes))
		checkTree(t, f, b, size, leaves)
		if t.Failed() {
			t.Fatalf("size %d, leaves %d, stamped %d", size, leaves, sizes)
		}
	}
}

func checkTree(t *testing.T, f *forest, b *evidence.Bundle, size uint64, leaves []uint64) {
	t.Helper()
	root := Must(tlog.TreeHash(int64(size), f))(t)
	for _, i := range leaves {
		p := Must(b.Proof(i))(t)
		if want := Must(tlog.ProveRecord(int64(size), int64(i), f))(t); len(want) != len(p.Hashes) {
			t.Errorf("leaf %d: %d hashes, x/mod has %d", i, len(p.Hashes), len(want))
		}
		path := make([][]byte, len(p.Hashes))
		for i, h := range p.Hashes {
			path[i] = h[:]
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, size, rfc6962.DefaultHasher.HashLeaf(f.leaves[i]), path, root[:]); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
	if err := evidence.CheckTree(b, size, root); err != nil {
		t.Error(err)
	}
	// With no leaf at all, the roots alone tell.
	for i := range b.Tree {
		b.Tree[i][i%32] ^= 1
		if evidence.CheckTree(b, size, root) == nil {
			t.Errorf("hash %d is wrong", i)
		}
		b.Tree[i][i%32] ^= 1
	}
	for i := range b.Tree {
		whole := b.Tree
		b.Tree = slices.Delete(slices.Clone(whole), i, i+1)
		if evidence.CheckTree(b, size, root) == nil {
			t.Errorf("hash %d is missing", i)
		}
		b.Tree = whole
	}
	for i := range len(b.Tree) + 1 {
		whole := b.Tree
		b.Tree = slices.Insert(slices.Clone(whole), i, sha256.Sum256([]byte{1}))
		if evidence.CheckTree(b, size, root) == nil {
			t.Errorf("a hash more at %d", i)
		}
		b.Tree = whole
	}
	for i := range b.Anchors {
		// Stamped by somebody else's hand: another root for the size.
		ours := b.Anchors[i].Note
		c := Must(checkpoint.Parse(string(ours[:len(ours)-len(signatureLine(ours))-1])))(t)
		c.Root[5] ^= 1
		b.Anchors[i].Note = Must(note.Sign(&note.Note{Text: c.Text()}, f.log))(t)
		if evidence.CheckTree(b, size, root) == nil {
			t.Errorf("another root of size %d", c.Size)
		}
		b.Anchors[i].Note = ours
	}
}

// TestTreeExample is the one in docs/spec/evidence.md.
func TestTreeExample(t *testing.T) {
	var got []string
	for level, index := range evidence.TreeGaps(14, []uint64{5, 6, 13}, []uint64{10}) {
		first := index << level
		got = append(got, fmt.Sprintf("%d-%d", first, first+1<<level-1))
	}
	if fmt.Sprint(got) != "[0-3 4-4 7-7 8-9 10-11 12-12]" {
		t.Error(got)
	}
	for range evidence.TreeGaps(1<<62, []uint64{0, 1 << 40, 1<<62 - 1}, []uint64{0, 77}) {
		break // as large as a log can be, and left early
	}
}

func TestProofsOfWhatIsNotHere(t *testing.T) {
	f := newForest(t, 20)
	b := f.bundle(t, 20, []uint64{3, 9}, nil)
	for name, c := range map[string]func() error{
		"another leaf":  func() error { _, err := b.Proof(4); return err },
		"no checkpoint": func() error { b := *b; b.Checkpoint = nil; _, err := b.Proof(3); return err },
		"a wrong hash": func() error {
			b := *b
			b.Tree = slices.Clone(b.Tree)
			b.Tree[2][0] ^= 1
			_, err := b.Proof(3)
			return err
		},
		"leaves out of order": func() error {
			b := *b
			b.Leaves = []evidence.Leaf{b.Leaves[1], b.Leaves[0]}
			_, err := b.Proof(3)
			return err
		},
	} {
		if c() == nil {
			t.Errorf("%s: proven", name)
		}
	}
}

// TestWhatIsNotInTheTreeIsUnproven: there is no telling which leaf a wrong hash is about, so that it is about all.
func TestWhatIsNotInTheTreeIsUnproven(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	for name, spoil := range map[string]func(b *evidence.Bundle){
		"another hash": func(b *evidence.Bundle) { b.Tree[0][0] ^= 1 },
		"one less":     func(b *evidence.Bundle) { b.Tree = b.Tree[1:] },
		"one more":     func(b *evidence.Bundle) { b.Tree = append(b.Tree, b.Tree[0]) },
	} {
		b := l.Evidence(SessionID(1))
		spoil(b)
		report := verify(t, b, l.Trust)
		c := want(t, report, evidence.ExitFailed, evidence.CheckInclusion, "")
		if c.Where.File != "tree" || c.Passed != 0 || report.Sessions[0].Verdict != evidence.VerdictUnproven {
			t.Errorf("%s: %+v, the session is %s", name, c, report.Sessions[0].Verdict)
		}
	}
	beyond := l.Evidence(SessionID(1))
	beyond.Leaves = append(beyond.Leaves, evidence.LeafOf(1000, l.Leaves[0]))
	report := verify(t, beyond, l.Trust)
	c := want(t, report, evidence.ExitFailed, evidence.CheckInclusion, "not in the tree of size")
	if *c.Where.Index != 1000 || report.Sessions[0].Verdict != evidence.VerdictUnproven {
		t.Errorf("%+v, the session is %s", c, report.Sessions[0].Verdict)
	}
}
