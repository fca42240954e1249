package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stenolog/steno/witness"
)

// patience bounds everything that a test waits for.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every program under the race detector takes a second to end
	testscript.Main(m, map[string]func(){"steno-witness": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "GOCOVERDIR="+os.Getenv("GOCOVERDIR"), "GORACE="+os.Getenv("GORACE"))
			e.Values[rigKey{}] = &rig{programs: make(map[string]*program), logs: make(map[string]*treeLog)}
			return nil
		},
		// The names are none of testscript's own, which come first: its "stop" ends a script early, as passed.
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "end": end, "murder": murder, "eof": eof, "hup": hup, "await": await,
			"newlog": newLog, "submit": submit, "get": get, "certs": certs, "noted": noted, "forked": forked, "vkey": vkey,
		},
	})
}

type rigKey struct{}

// A rig is what a script has running, and the logs that it plays.
type rig struct {
	programs map[string]*program
	logs     map[string]*treeLog
}

func rigOf(ts *testscript.TestScript) *rig { return ts.Value(rigKey{}).(*rig) }

// A program is a running witness.
type program struct {
	cmd   *exec.Cmd
	stdin io.Closer
	mu    sync.Mutex
	said  []string
	more  chan struct{} // closed and replaced with each line
}

// start NAME ARGS… runs "steno-witness serve ARGS" until it says that it is ready, with the addresses in $WITNESS and $OPS.
func start(ts *testscript.TestScript, _ bool, args []string) {
	p := &program{more: make(chan struct{})}
	p.cmd = exec.Command(lookPath(ts, "steno-witness"), append([]string{"serve"}, args[1:]...)...)
	p.cmd.Dir, p.cmd.Env = ts.Getenv("WORK"), append(os.Environ(), "PATH="+ts.Getenv("PATH"))
	out, err := p.cmd.StdoutPipe()
	ts.Check(err)
	logged, err := p.cmd.StderrPipe()
	ts.Check(err)
	p.stdin, err = p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	ts.Defer(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	go p.listen(logged)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			rigOf(ts).programs[args[0]] = p
			return
		}
		name, addr, _ := strings.Cut(lines.Text(), " ")
		ts.Setenv(strings.ToUpper(name), addr)
	}
	ts.Fatalf("the witness ended before it was ready: %v\n%s", p.cmd.Wait(), strings.Join(p.said, "\n"))
}

// lookPath finds what testscript put into the script's PATH.
func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	ts.Fatalf("no %s in the script's PATH", name)
	return ""
}

func (p *program) listen(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.said = append(p.said, lines.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// await NAME REGEXP waits until a line of the program's log matches that did not before.
func await(ts *testscript.TestScript, _ bool, args []string) {
	p, re, over := rigOf(ts).programs[args[0]], regexp.MustCompile(args[1]), time.After(patience)
	for {
		p.mu.Lock()
		i, more, said := slices.IndexFunc(p.said, re.MatchString), p.more, strings.Join(p.said, "\n")
		if i >= 0 {
			p.said = p.said[i+1:]
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-more:
		case <-over:
			ts.Fatalf("nothing matches %q in\n%s", args[1], said)
		}
	}
}

// end NAME asks the program to end and demands exit 0; murder NAME does not ask.
func end(ts *testscript.TestScript, _ bool, args []string) {
	p := rigOf(ts).programs[args[0]]
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	ts.Check(p.cmd.Wait())
}

func murder(ts *testscript.TestScript, _ bool, args []string) {
	p := rigOf(ts).programs[args[0]]
	ts.Check(p.cmd.Process.Kill())
	p.cmd.Wait() //nolint:errcheck // it was killed
}

// eof NAME closes the program's standard input, and demands exit 0.
func eof(ts *testscript.TestScript, _ bool, args []string) {
	p := rigOf(ts).programs[args[0]]
	ts.Check(p.stdin.Close())
	ts.Check(p.cmd.Wait())
}

func hup(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(rigOf(ts).programs[args[0]].cmd.Process.Signal(syscall.SIGHUP))
}

// noted DURATION makes the state say that a time was noted so far from now, as a clock that was wrong has left it.
func noted(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	s, err := witness.OpenStore(ts.MkAbs("state"), ts.MkAbs("published"))
	ts.Check(err)
	ts.Check(s.AcceptClock(context.Background(), time.Now().Add(d)))
	ts.Check(s.Close())
}

// vkey NAME prints the verifier key of a log that newlog made; vkey without NAME all of them.
func vkey(ts *testscript.TestScript, _ bool, args []string) {
	logs := rigOf(ts).logs
	names := args
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(logs))
	}
	for _, n := range names {
		fmt.Fprintln(ts.Stdout(), logs[n].vkey)
	}
}
