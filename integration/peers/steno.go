//go:build linux

package peers

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BuildSteno builds steno-witness, which is tested beside the others.
func BuildSteno(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "steno-witness")
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/stenolog/steno/cmd/steno-witness").CombinedOutput()
	if err != nil {
		t.Fatalf("building steno-witness: %v\n%s", err, out)
	}
	return bin
}

// StartSteno runs steno-witness as people do: keys, state, logs, serve. Algorithms are those of its keys. Logs' keys with one name
// are keys of one log.
func StartSteno(t testing.TB, bin, name string, algorithms []string, logs ...string) *Witness {
	t.Helper()
	dir := t.TempDir()
	command := func(args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("steno-witness %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	w := &Witness{}
	yaml := fmt.Sprintf("name: %s\ndir: state\npublished: published\nlisten: {address: \"127.0.0.1:0\"}\nlimits: {rate: 1000000, burst: 1000000}\nkeys:\n", name)
	for _, a := range algorithms {
		file, vkey, _ := strings.Cut(strings.TrimSpace(command("key", "generate", "--name", name, "--algorithm", a)), " ")
		w.VKeys = append(w.VKeys, vkey)
		yaml += fmt.Sprintf("  %s: %s\n", strings.ReplaceAll(a, "-", "_"), file)
	}
	write(t, filepath.Join(dir, "steno-witness.yaml"), yaml)
	command("init")
	for len(logs) > 0 {
		origin, _, _ := strings.Cut(logs[0], "+")
		other := func(vkey string) bool { return !strings.HasPrefix(vkey, origin+"+") }
		command(append([]string{"log", "add"}, slices.DeleteFunc(slices.Clone(logs), other)...)...)
		logs = slices.DeleteFunc(slices.Clone(logs), func(vkey string) bool { return !other(vkey) })
	}
	cmd := exec.Command(bin, "serve")
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.process = launch(t, cmd)
	w.URL = "http://" + w.listening(bufio.NewScanner(stdout))
	return w
}

// listening waits for "ready" and returns the address before it.
func (p *process) listening(out *bufio.Scanner) (addr string) {
	p.t.Helper()
	found := make(chan string, 1)
	go func() {
		for out.Scan() {
			if a, ok := strings.CutPrefix(out.Text(), "witness "); ok {
				addr = a
			}
			if out.Text() == "ready" {
				found <- addr
			}
		}
	}()
	select {
	case addr := <-found:
		return addr
	case <-p.exited:
	case <-time.After(startTimeout):
	}
	p.t.Fatalf("%s does not start:\n%s", p.cmd.Path, p.output.String())
	return ""
}
