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

// A StenoWitness is ours. It can be stopped and started again where it was.
type StenoWitness struct {
	Witness
	Dir string // of its files
	bin string
}

// StartSteno runs steno-witness as people do: keys, state, logs, serve. Algorithms are those of its keys. Logs' keys with one name
// are keys of one log.
func StartSteno(t testing.TB, bin, name string, algorithms []string, logs ...string) *StenoWitness {
	t.Helper()
	w := &StenoWitness{Dir: t.TempDir(), bin: bin}
	yaml := fmt.Sprintf("name: %s\ndir: state\npublished: published\nlisten: {address: \"127.0.0.1:0\"}\nlimits: {rate: 1000000, burst: 1000000}\nkeys:\n", name)
	for _, a := range algorithms {
		file, vkey, _ := strings.Cut(strings.TrimSpace(w.Command(t, "key", "generate", "--name", name, "--algorithm", a)), " ")
		w.VKeys = append(w.VKeys, vkey)
		yaml += fmt.Sprintf("  %s: %s\n", strings.ReplaceAll(a, "-", "_"), file)
	}
	write(t, filepath.Join(w.Dir, "steno-witness.yaml"), yaml)
	w.Command(t, "init")
	for len(logs) > 0 {
		origin, _, _ := strings.Cut(logs[0], "+")
		other := func(vkey string) bool { return !strings.HasPrefix(vkey, origin+"+") }
		w.Command(t, append([]string{"log", "add"}, slices.DeleteFunc(slices.Clone(logs), other)...)...)
		logs = slices.DeleteFunc(slices.Clone(logs), func(vkey string) bool { return !other(vkey) })
	}
	w.Start(t)
	return w
}

// Start serves, at the address that it had before, if it was served before.
func (w *StenoWitness) Start(t testing.TB) {
	t.Helper()
	cmd := exec.Command(w.bin, "serve")
	if w.URL != "" {
		cmd.Args = append(cmd.Args, "--address", strings.TrimPrefix(w.URL, "http://"))
	}
	cmd.Dir = w.Dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.process = launch(t, cmd)
	w.URL = "http://" + w.listening(bufio.NewScanner(stdout))
}

// Command runs a subcommand to its end and returns what it said.
func (w *StenoWitness) Command(t testing.TB, args ...string) string {
	t.Helper()
	out, err := w.Try(t, args...)
	if err != nil {
		t.Fatalf("steno-witness %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Command for what may fail.
func (w *StenoWitness) Try(t testing.TB, args ...string) (said string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bin, args...)
	cmd.Dir = w.Dir
	out, err := cmd.CombinedOutput()
	return string(out), err
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
