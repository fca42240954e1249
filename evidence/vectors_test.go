package evidence_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

var update = flag.Bool("update", false, "write the vectors anew")

const specDir = "../docs/spec/"

// vectors reads a file of vectors into v, or writes v.
func vectors[T any](t *testing.T, name string, v T) T {
	t.Helper()
	if *update {
		b := Must(json.MarshalIndent(v, "", "  "))(t)
		if err := os.WriteFile(specDir+"vectors/"+name, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out T
	dec := json.NewDecoder(bytes.NewReader(Must(os.ReadFile(specDir + "vectors/" + name))(t)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A treeVector is one of docs/spec/vectors/evidence-tree.json.
type treeVector struct {
	Size    uint64       `json:"size"`
	Leaves  []uint64     `json:"leaves"`
	Stamped []treeRoot   `json:"stamped"`
	Tree    []entry.Hash `json:"tree"`
	Root    entry.Hash   `json:"root"`
}

type treeRoot struct {
	Size uint64     `json:"size"`
	Root entry.Hash `json:"root"`
}

type treeVectors struct {
	Format  string       `json:"format"`
	About   string       `json:"about"`
	Vectors []treeVector `json:"vectors"`
}

const treeAbout = "The file tree of evidence bundles, steno/evidence/v3. The log has size leaves, of which leaf i is the decimal number i in ASCII. " +
	"The bundle has leaves, and checkpoints that were stamped; tree are its hashes, in base64, which lead to the roots."

// numbers is a forest whose leaves are their indexes.
func numbers(t testing.TB, n int) *forest {
	f := &forest{log: NewKey(t, origin)}
	for i := range n {
		leaf := fmt.Append(nil, i)
		f.hashes = append(f.hashes, Must(tlog.StoredHashes(int64(i), leaf, f))(t)...)
		f.leaves = append(f.leaves, leaf)
	}
	return f
}

func TestTreeVectors(t *testing.T) {
	f := numbers(t, 1000)
	made := treeVectors{Format: "steno/vectors/evidence-tree/v1", About: treeAbout}
	if *update {
		add := func(size uint64, leaves, stamped []uint64) {
			b := f.bundle(t, size, leaves, stamped)
			v := treeVector{Size: size, Leaves: append([]uint64{}, leaves...), Stamped: []treeRoot{}, Tree: []entry.Hash{}, Root: entry.Hash(Must(tlog.TreeHash(int64(size), f))(t))}
			for _, s := range stamped {
				v.Stamped = append(v.Stamped, treeRoot{s, entry.Hash(Must(tlog.TreeHash(int64(s), f))(t))})
			}
			for _, h := range b.Tree {
				v.Tree = append(v.Tree, h)
			}
			made.Vectors = append(made.Vectors, v)
		}
		add(14, []uint64{5, 6, 13}, []uint64{10})
		add(0, nil, []uint64{0})
		add(1, []uint64{0}, nil)
		add(1, nil, []uint64{0, 1})
		add(8, nil, nil)
		add(8, []uint64{0, 1, 2, 3, 4, 5, 6, 7}, []uint64{3, 8})
		add(1000, []uint64{999}, []uint64{512})
		r := rand.New(rand.NewPCG(3, 5))
		for range 20 {
			size := 1 + r.Uint64N(1000)
			var leaves, stamped []uint64
			for range r.IntN(12) {
				leaves = append(leaves, r.Uint64N(size))
			}
			for range r.IntN(4) {
				stamped = append(stamped, r.Uint64N(size+1))
			}
			slices.Sort(leaves)
			slices.Sort(stamped)
			add(size, slices.Compact(leaves), slices.Compact(stamped))
		}
	}
	for i, v := range vectors(t, "evidence-tree.json", made).Vectors {
		b := &evidence.Bundle{Origin: origin, Checkpoint: f.checkpoint(t, v.Size)}
		for _, at := range v.Leaves {
			b.Leaves = append(b.Leaves, evidence.LeafOf(at, f.leaves[at]))
		}
		for n, s := range v.Stamped {
			if s.Root != entry.Hash(Must(tlog.TreeHash(int64(s.Size), f))(t)) {
				t.Errorf("vector %d: root of size %d", i, s.Size)
			}
			b.Anchors = append(b.Anchors, evidence.Anchor{Index: v.Size + uint64(n), Note: f.checkpoint(t, s.Size)})
		}
		for _, h := range v.Tree {
			b.Tree = append(b.Tree, h)
		}
		if err := evidence.CheckTree(b, v.Size, v.Root); err != nil || v.Root != entry.Hash(Must(tlog.TreeHash(int64(v.Size), f))(t)) {
			t.Errorf("vector %d: %v", i, err)
		}
		if i == 0 {
			// The example in the specification.
			spec := string(Must(os.ReadFile(specDir + "evidence.md"))(t))
			for _, h := range append(v.Tree, v.Root, v.Stamped[0].Root) {
				if !strings.Contains(spec, "`"+h.String()+"`") {
					t.Errorf("the specification lacks %s", h)
				}
			}
		}
	}
}

// A custodyVector is one of docs/spec/vectors/evidence-custody.json.
type custodyVector struct {
	Name   string `json:"name"`
	Record []byte `json:"record"`
	Valid  bool   `json:"valid"`
}

type custodyVectors struct {
	Format  string          `json:"format"`
	About   string          `json:"about"`
	Vectors []custodyVector `json:"vectors"`
}

const custodyAbout = "Custody records of evidence bundles, steno/custody/v1: each in base64, and whether it is one."

func TestCustodyVectors(t *testing.T) {
	made := custodyVectors{Format: "steno/vectors/evidence-custody/v1", About: custodyAbout}
	if *update {
		c := Custody()
		c.Entries, c.EntriesHash = 37, [32]byte{0xab}
		whole := string(c.Marshal())
		made.Vectors = append(made.Vectors, custodyVector{"whole", []byte(whole), true})
		least := evidence.Custody{Exhibit: "A", Made: c.Made, Exporter: "x"}
		made.Vectors = append(made.Vectors, custodyVector{"least", least.Marshal(), true})
		for _, x := range badCustody() {
			bad := []byte(strings.Replace(whole, x[0], x[1], 1))
			made.Vectors = append(made.Vectors, custodyVector{fmt.Sprintf("%q for %q", x[1], x[0]), bad, x[2] != ""})
		}
	}
	for _, v := range vectors(t, "evidence-custody.json", made).Vectors {
		if _, err := evidence.ParseCustody(v.Record); (err == nil) != v.Valid {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	spec := string(Must(os.ReadFile(specDir + "evidence.md"))(t))
	_, example, _ := strings.Cut(spec, "```\nsteno/custody/v1\n")
	example, _, _ = strings.Cut(example, "```")
	if _, err := evidence.ParseCustody([]byte("steno/custody/v1\n" + example)); err != nil {
		t.Errorf("the specification's example: %v", err)
	}
}
