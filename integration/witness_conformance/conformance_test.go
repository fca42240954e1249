//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/integration/peers"
)

var update = flag.Bool("update", false, "write the table of others' answers into docs/witness-conformance.md")

const runTimeout = 2 * time.Minute

// logs makes the signer keys of four logs, the first with so many keys.
func logs(t *testing.T, keys int) (files, vkeys []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range 4 {
		file := filepath.Join(dir, fmt.Sprint(i))
		for range keys {
			var out strings.Builder
			if err := keygen(fmt.Sprintf("log%d.example.com/conformance", i), file, &out); err != nil {
				t.Fatal(err)
			}
			vkeys = append(vkeys, strings.TrimSpace(out.String()))
		}
		files, keys = append(files, file), 1
	}
	return files, vkeys
}

func rowsOf(t *testing.T, url string, vkeys, files []string) []row {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	p, err := newProber(url, "", vkeys, files)
	if err != nil {
		t.Fatal(err)
	}
	rows := p.run(ctx)
	var out strings.Builder
	_ = report(&out, p, rows) // what fails is what the caller judges
	_, table, _ := strings.Cut(out.String(), "\n\n")
	t.Log(table)
	return rows
}

// TestSteno holds our witness to every row, with one key or the other or both.
func TestSteno(t *testing.T) {
	bin := peers.BuildSteno(t)
	for _, c := range []struct {
		name       string
		algorithms []string
		deviates   string // a case in which it may
	}{
		{"both", []string{"ed25519", "ml-dsa-44"}, ""},
		{"ed25519", []string{"ed25519"}, "ml-dsa"},
		{"ml-dsa-44", []string{"ml-dsa-44"}, "extension"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files, vkeys := logs(t, 2)
			w := peers.StartSteno(t, bin, "steno.example.com", c.algorithms, vkeys...)
			for _, r := range rowsOf(t, w.URL, w.VKeys, files) {
				if r.verdict != passes && !(r.verdict == deviates && r.id == c.deviates) {
					t.Errorf("%s: wanted %s, got %s: %s %s", r.id, r.wanted(), orNothing(r.got), r.verdict, r.why)
				}
			}
			if t.Failed() {
				t.Logf("%s", w.Output())
			}
		})
	}
}

// TestOthers has other people's witnesses answer the table, and holds docs/witness-conformance.md to what they say.
func TestOthers(t *testing.T) {
	one, oneKeys := logs(t, 1)
	two, twoKeys := logs(t, 2)
	lite := peers.StartLitewitness(t, "litewitness.example.com", twoKeys...)
	omni := peers.StartOmniwitness(t, "omniwitness.example.com", oneKeys...)
	table := byWitness(rowsOf(t, lite.URL, lite.VKeys, two), rowsOf(t, omni.URL, omni.VKeys, one))
	const doc, begin, end = "../../docs/witness-conformance.md", "<!-- table -->\n", "<!-- end of table -->\n"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	documented, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table", doc)
	}
	if *update {
		if err := os.WriteFile(doc, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if documented != table {
		t.Errorf("%s says otherwise (run with -update):\n%s", doc, table)
	}
}

// byWitness is the table of the documentation.
func byWitness(lite, omni []row) string {
	var b strings.Builder
	b.WriteString("| id | wanted | litewitness | omniwitness |\n|---|---|---|---|\n")
	for i, r := range lite {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.id, r.wanted(), mark(r.result), mark(omni[i].result))
	}
	return b.String()
}

func mark(r result) string {
	switch r.verdict {
	case passes:
		return "✓"
	case fails:
		return "**" + orNothing(r.got) + "**"
	case deviates:
		return orNothing(r.got)
	}
	return "–"
}

// TestIDs keeps the cases apart: an id is how documentation and people name one.
func TestIDs(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range checks() {
		if seen[c.id] || c.id == "" || c.says == "" || c.wanted() == "" || c.probe == nil && c.ask == nil {
			t.Errorf("case %q is not whole, or not the only one", c.id)
		}
		seen[c.id] = true
	}
}

// TestHistory holds made-up trees to our own check of consistency: a table of good requests that aren't would prove nothing.
func TestHistory(t *testing.T) {
	h := newHistory("x")
	for from := int64(1); from < 40; from++ {
		for to := from; to < 40; to++ {
			if err := consistent(h, h, from, to); err != nil {
				t.Fatalf("%d to %d: %v", from, to, err)
			}
			if f := h.fork(from - 1); consistent(h, f, from, to) == nil {
				t.Fatalf("%d to %d of a fork: consistent", from, to)
			}
			if f := h.fork(from); consistent(h, f, from, to) != nil {
				t.Fatalf("%d to %d of a later fork: inconsistent", from, to)
			}
		}
	}
}

func consistent(from, to *history, small, large int64) error {
	var proof [][32]byte
	for _, line := range to.proof(small, large) {
		proof = append(proof, must(tlog.ParseHash(line)))
	}
	return checkpoint.VerifyConsistency(uint64(small), uint64(large), proof, from.root(small), to.root(large))
}
