package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stenolog/steno/internal/need"
)

// shell runs lines that were given to readers, as they would, in dir.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nof\n%s", err, out, script)
	}
	return string(out)
}

func mustSay(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("nothing says %q in\n%s", w, out)
		}
	}
}

// TestREADME runs the blocks that the page marks, in their order, with the program and port that are at hand.
func TestREADME(t *testing.T) {
	need.Program(t, "curl")
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)<!-- run: (\\w+) -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	if len(blocks) != 3 || blocks[0][1] != "up" || blocks[0][2] != "go run ./cmd/steno up\n" {
		t.Fatalf("README.md marks %d blocks, the first of them %q", len(blocks), blocks)
	}
	dir := t.TempDir()
	startUp(t, filepath.Join(dir, defaultDir))
	c, err := readClientConfig(filepath.Join(dir, defaultDir))
	if err != nil {
		t.Fatal(err)
	}
	fit := strings.NewReplacer("go run ./cmd/steno", "steno", "http://127.0.0.1:7411", c.Ingest)
	var out strings.Builder
	for _, block := range blocks[1:] {
		out.WriteString(shell(t, dir, fit.Replace(block[2])))
	}
	mustSay(t, out.String(), `"receipts":[`, "acme/ledger-bot", "post the rent of November", `"amount": "1200.00"`, "tool success", "VERIFIED")
}

// TestUp_whatItSaysWorks runs what steno up prints, as it is.
func TestUp_whatItSaysWorks(t *testing.T) {
	need.Program(t, "curl")
	dir := t.TempDir()
	up := startUp(t, filepath.Join(dir, "a place"))
	_, script, ok := strings.Cut(up.said, "In another shell, in this directory:\n")
	if !ok {
		t.Fatalf("steno up said\n%s", up.said)
	}
	out := shell(t, dir, script)
	mustSay(t, out, `"receipts":[`, "post the rent of December", "tool failure", "no such account", "VERIFIED")
	if n := strings.Count(out, "acme/ledger-bot  financial  complete"); n != 2 {
		t.Errorf("two sessions were recorded, %d are listed:\n%s", n, out)
	}
}
