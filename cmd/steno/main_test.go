package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stenolog/steno/internal/need"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"steno": main, "mcpserver": mcpServer})
}

const patience = 30 * time.Second

// An instance is a running "steno up".
type instance struct {
	dir  string
	said string // on standard output, until it was ready
	stop func() // and see that it ends in order
}

// startUp runs the real program until it is stopped, or the test ends.
func startUp(t *testing.T, dir string) instance {
	t.Helper()
	cmd := exec.Command("steno", "up", "--dir", dir, "--port", "0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // it never got ready
	in := bufio.NewScanner(stdout)
	var said strings.Builder
	for in.Scan() && in.Text() != "Stop with Ctrl-C." {
		fmt.Fprintln(&said, in.Text())
	}
	if !guard.Stop() || in.Text() != "Stop with Ctrl-C." {
		_ = cmd.Wait()
		t.Fatalf("steno up did not get ready:\n%s%s", said.String(), stderr.String())
	}
	stop := sync.OnceFunc(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		var rest strings.Builder
		for in.Scan() {
			rest.WriteString(in.Text())
		}
		if err := cmd.Wait(); err != nil || !strings.Contains(rest.String(), "Stopped.") {
			t.Errorf("steno up ended with %v, said %q\n%s", err, rest.String(), stderr.String())
		}
	})
	t.Cleanup(stop)
	return instance{dir, said.String(), stop}
}

// TestScripts drives the program against one running deployment, and in up.txtar against others.
func TestScripts(t *testing.T) {
	curl := need.Program(t, "curl")
	shared := startUp(t, filepath.Join(t.TempDir(), "deployment"))
	c, err := readClientConfig(shared.dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.readToken(c.Recorder.Token)
	if err != nil {
		t.Fatal(err)
	}
	// Subtests of testscript run in parallel, and the deployment must outlive them.
	t.Run("all", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
			Setup: func(e *testscript.Env) error {
				e.Setenv(envDir, shared.dir)
				e.Setenv("CURL", curl)
				e.Setenv("INGEST", c.Ingest)
				e.Setenv("AUDIT", c.Audit)
				e.Setenv("AUTH", "Authorization: Bearer "+token)
				e.Setenv("ESC", "\x1b")
				e.Setenv("RLO", "\u202e")
				e.Setenv("NL", "\n")
				return nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"exits": exits, "capture": capture, "ready": ready, "flip": flip, "mode": mode,
			},
		})
	})
}

// exits CODE PROGRAM ARG… demands an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want || neg {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// capture NAME PATTERN FILE sets a variable to what the pattern's group matched.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile(args[2]))
	if m == nil {
		ts.Fatalf("%s has no %s", args[2], args[1])
	}
	ts.Setenv(args[0], m[1])
}

// ready DIR waits until a deployment that runs in the background has said where it is.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(filepath.Join(args[0], clientFile)))
		if err == nil && bytes.Contains(b, []byte("ingest: http")) {
			return
		}
	}
	ts.Fatalf("no deployment got ready in %s", args[0])
}

// flip FILE OFFSET flips a bit.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// mode DIR demands that everything in a directory is for its owner alone.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			ts.Fatalf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

// mcpServer is a small MCP server: tools greet (whose answer has characters that would deceive a terminal), fail, and crash,
// which ends the process.
func mcpServer() {
	if len(os.Args) > 1 { // proof that it was started
		if err := os.WriteFile(os.Args[1], []byte(os.Getenv("STENO_SESSION")+"\n"), 0o600); err != nil {
			panic(err)
		}
	}
	id := regexp.MustCompile(`"id":(\d+)`)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		m := id.FindStringSubmatch(in.Text())
		switch {
		case m == nil:
			continue
		case strings.Contains(in.Text(), `"tools/list"`):
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"greet","inputSchema":{"type":"object"}}]}}`+"\n", m[1])
		case strings.Contains(in.Text(), `"crash"`):
			os.Exit(3)
		case strings.Contains(in.Text(), `"fail"`):
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"no such file"}],"isError":true}}`+"\n", m[1])
		default:
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"hello `+"\u202e"+`olleh"}]}}`+"\n", m[1])
		}
	}
}
