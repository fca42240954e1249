package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stenolog/steno/internal/need"
)

// TestDoc runs the blocks that docs/witness.md marks, in their order, in an empty folder, on ports that are free.
func TestDoc(t *testing.T) {
	need.Program(t, "curl")
	page, err := os.ReadFile("../../docs/witness.md")
	if err != nil {
		t.Fatal(err)
	}
	block := make(map[string]string)
	for _, m := range regexp.MustCompile("(?s)<!-- run: (\\w+) -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		block[m[1]] = m[2]
	}
	if len(block) != 4 || block["serve"] != "steno-witness serve\n" {
		t.Fatalf("the page marks %q", block)
	}
	dir := t.TempDir()
	out := shell(t, dir, strings.NewReplacer(":7820", ":0", ":7821", ":0").Replace(block["make"]))
	mustSay(t, out, "keys/ed25519.key witness.acme.example/w1+", "ok\n", "made the state")

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "steno-witness", "serve")
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	fit := []string{"$(pidof steno-witness)", strconv.Itoa(cmd.Process.Pid)}
	for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != "ready"; {
		if addr, ok := strings.CutPrefix(lines.Text(), "ops "); ok {
			fit = append(fit, "127.0.0.1:7821", addr)
		}
	}
	shell(t, dir, strings.NewReplacer(fit...).Replace(block["add"]))
	waitFor(t, stderr, "again")
	out = shell(t, dir, strings.NewReplacer(fit...).Replace(block["look"]))
	mustSay(t, out, "log.acme.example/prod never cosigned\n", "witness witness.acme.example/w1/ml-dsa-44 ", "group witness.acme.example/w1 any ",
		`{"status":"ok"`, "\nnoted 2")
	if _, err := os.Stat(filepath.Join(dir, "logs")); err != nil {
		t.Error(err)
	}
}

// waitFor reads a program's log up to a word, and leaves the rest to be read by nobody in particular.
func waitFor(t *testing.T, r io.Reader, word string) {
	t.Helper()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), word) {
			go io.Copy(io.Discard, r) //nolint:errcheck // until the program ends
			return
		}
	}
	t.Fatalf("the program ended before it said %q", word)
}

func shell(t *testing.T, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
