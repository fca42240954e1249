//go:build unix

package mcp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
)

// TestMain lets the test binary play servers, and a gateway that gets killed.
func TestMain(m *testing.M) {
	switch role := os.Getenv("MCP_TEST_ROLE"); role {
	case "":
		os.Exit(m.Run())
	case "gateway":
		playGateway()
	default:
		playServer(role)
	}
}

// playServer answers every line that has an id with a result, and ends as its role says.
func playServer(role string) {
	if role == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	if role == "parent" { // of a process that outlives it, with its standard output
		child := exec.Command("sleep", "1000")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stderr, child.Process.Pid)
	}
	if role == "trap" {
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, syscall.SIGHUP)
		fmt.Fprintln(os.Stderr, os.Getpid())
		<-caught
		os.Exit(7)
	}
	if role == "environment" {
		fmt.Fprint(os.Stderr, strings.Join(os.Environ(), "\n"))
		return
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if role == "crash" {
			os.Exit(3)
		}
		_, id, _ := strings.Cut(in.Text(), `"id":`)
		id, _, _ = strings.Cut(id, ",")
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`+"\n", id)
		if role == "parent" {
			os.Exit(0)
		}
	}
	if role == "stubborn" {
		time.Sleep(time.Hour)
	}
}

// playGateway runs a server and says its number, for a test that kills the gateway.
func playGateway() {
	err := mcp.Run(context.Background(), mcp.Config{
		Command: []string{os.Args[0]}, Env: []string{"MCP_TEST_ROLE=" + os.Getenv("MCP_TEST_SERVER")},
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Recorder: &fake{},
	})
	os.Exit(mcp.ExitCode(err))
}

// serve runs a role under a gateway; the client says lines and closes.
func serve(t *testing.T, role string, cfg mcp.Config, lines ...string) (*fake, string, string, error) {
	t.Helper()
	rec, stdout, stderr := &fake{}, &sink{}, &sink{}
	cfg.Command = []string{os.Args[0]}
	if cfg.Env == nil {
		cfg.Env = []string{"MCP_TEST_ROLE=" + role, "PATH=" + os.Getenv("PATH")}
	}
	if cfg.Stdin == nil {
		cfg.Stdin = strings.NewReader(strings.Join(lines, ""))
	}
	cfg.Recorder, cfg.Stdout, cfg.Stderr = rec, stdout, stderr
	err := mcp.Run(t.Context(), cfg)
	return rec, stdout.take(), stderr.take(), err
}

func TestRunRelaysAndEndsWithTheServer(t *testing.T) {
	rec, out, _, err := serve(t, "answers", mcp.Config{}, callLine, pingLine)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"jsonrpc":"2.0","id":3,"result":{"content":[]}}` + "\n" + `{"jsonrpc":"2.0","id":"p","result":{"content":[]}}` + "\n"
	if out != want {
		t.Fatalf("client got %q", out)
	}
	if res := rec.of(entry.TypeActionResult); len(res) != 1 || result(t, res[0]).Outcome.Tool != "success" {
		t.Fatalf("results %+v", res)
	}
}

func TestRunReturnsTheServersStatus(t *testing.T) {
	rec, out, _, err := serve(t, "crash", mcp.Config{}, callLine)
	if code := mcp.ExitCode(err); code != 3 {
		t.Fatalf("exit code %d (%v)", code, err)
	}
	mustContain(t, "client", out, `"id":3,"error":{"code":30502`)
	if res := rec.of(entry.TypeActionResult); len(res) != 1 || result(t, res[0]).Outcome.Transport != "unknown" {
		t.Fatalf("results %+v", res)
	}
	err = mcp.Run(t.Context(), mcp.Config{Command: []string{"/nonexistent/server"}, Stdin: strings.NewReader(""), Stdout: io.Discard, Recorder: &fake{}})
	if err == nil || !errors.Is(err, os.ErrNotExist) || mcp.ExitCode(err) != 1 {
		t.Fatalf("starting what is not there: %v", err)
	}
}

func TestRunEndsAStubbornServer(t *testing.T) {
	in, client := io.Pipe()
	stdout, first := firstLine()
	done := make(chan error, 1)
	go func() {
		done <- mcp.Run(t.Context(), mcp.Config{
			Command: []string{os.Args[0]}, Env: []string{"MCP_TEST_ROLE=stubborn"}, Grace: 100 * time.Millisecond,
			Stdin: in, Stdout: stdout, Recorder: &fake{},
		})
	}()
	if _, err := io.WriteString(client, pingLine); err != nil {
		t.Fatal(err)
	}
	<-first // by now it ignores SIGTERM
	_ = client.Close()
	if err := <-done; mcp.ExitCode(err) != 128+int(syscall.SIGKILL) {
		t.Fatalf("Run: %v", err)
	}
}

// TestRunLeavesNoOrphan has a server that starts a process with its own standard output, answers and exits.
func TestRunLeavesNoOrphan(t *testing.T) {
	rec, _, stderr, err := serve(t, "parent", mcp.Config{}, callLine)
	if err != nil {
		t.Fatal(err)
	}
	awaitGone(t, stderr)
	if res := rec.of(entry.TypeActionResult); len(res) != 1 || result(t, res[0]).Outcome.Tool != "success" {
		t.Fatalf("what the server wrote before it ended was lost: %+v", res)
	}
}

// awaitGone waits until the process whose number was written is no more, or no more than a zombie.
func awaitGone(t *testing.T, number string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// firstLine gives the first line that is written to it.
func firstLine() (io.Writer, <-chan string) {
	r, w := io.Pipe()
	first := make(chan string, 1)
	go func() {
		in := bufio.NewReader(r)
		l, _ := in.ReadString('\n')
		first <- l
		_, _ = io.Copy(io.Discard, in)
	}()
	return w, first
}

func TestRunPassesSignalsOn(t *testing.T) {
	signals := make(chan os.Signal, 1)
	stderr, first := firstLine()
	in, client := io.Pipe()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		done <- mcp.Run(t.Context(), mcp.Config{
			Command: []string{os.Args[0]}, Env: []string{"MCP_TEST_ROLE=trap"}, Signals: signals,
			Stdin: in, Stdout: io.Discard, Stderr: stderr, Recorder: &fake{},
		})
	}()
	<-first
	signals <- syscall.SIGHUP
	if err := <-done; mcp.ExitCode(err) != 7 {
		t.Fatalf("the server did not handle the signal: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stderr, first := firstLine()
	in, client := io.Pipe()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		done <- mcp.Run(ctx, mcp.Config{
			Command: []string{os.Args[0]}, Env: []string{"MCP_TEST_ROLE=trap"},
			Stdin: in, Stdout: io.Discard, Stderr: stderr, Recorder: &fake{},
		})
	}()
	<-first
	cancel()
	if err := <-done; mcp.ExitCode(err) != 128+int(syscall.SIGTERM) {
		t.Fatalf("Run: %v", err)
	}
}

func TestKilledGatewayTakesTheServerAlong(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux has a parent-death signal")
	}
	gateway := exec.Command(os.Args[0])
	gateway.Env = []string{"MCP_TEST_ROLE=gateway", "MCP_TEST_SERVER=trap"}
	stdin, err := gateway.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stderr, err := gateway.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	number, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = gateway.Wait() // says that it was killed
	awaitGone(t, number)
}

// TestClientThatWentAwayDoesNotKillTheGateway has a real standard output whose reader is gone: by default the first write
// would end the process, with results unrecorded.
func TestClientThatWentAwayDoesNotKillTheGateway(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	gateway := exec.Command(os.Args[0])
	gateway.Env = []string{"MCP_TEST_ROLE=gateway", "MCP_TEST_SERVER=answers"}
	gateway.Stdout = w
	stdin, err := gateway.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, callLine); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Wait(); err != nil { // its standard input is still open: it ends because nobody listens
		t.Fatalf("gateway: %v", err)
	}
}

func TestServerDoesNotInheritCredentials(t *testing.T) {
	t.Setenv("STENO_TOKEN", "secret")
	t.Setenv("STENO_SESSION", "0198c7d2-5f00-7abc-8def-0123456789ab")
	t.Setenv("MCP_TEST_ROLE", "environment")
	stderr := &sink{}
	err := mcp.Run(t.Context(), mcp.Config{
		Command: []string{os.Args[0]}, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: stderr, Recorder: &fake{},
	})
	if err != nil {
		t.Fatal(err)
	}
	env := stderr.take()
	if strings.Contains(env, "STENO_TOKEN") {
		t.Error("the server has our token")
	}
	mustContain(t, "environment", env, "STENO_SESSION=0198c7d2", "PATH=")
}

func TestConfigIsChecked(t *testing.T) {
	good := mcp.Config{Command: []string{"true"}, Stdin: strings.NewReader(""), Stdout: io.Discard, Recorder: &fake{}}
	for name, spoil := range map[string]func(*mcp.Config){
		"no command":  func(c *mcp.Config) { c.Command = nil },
		"no recorder": func(c *mcp.Config) { c.Recorder = nil },
		"no input":    func(c *mcp.Config) { c.Stdin = nil },
		"no output":   func(c *mcp.Config) { c.Stdout = nil },
		"on failure":  func(c *mcp.Config) { c.OnFailure = "open" },
		"short lines": func(c *mcp.Config) { c.MaxLine = 10 },
		"long lines":  func(c *mcp.Config) { c.MaxLine = 1 << 30 },
		"prefix":      func(c *mcp.Config) { c.ActionPrefix = "a b" },
		"long prefix": func(c *mcp.Config) { c.ActionPrefix = strings.Repeat("a", 120) },
		"source":      func(c *mcp.Config) { c.Source = "jane@acme.example" },
	} {
		cfg := good
		spoil(&cfg)
		if err := mcp.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := mcp.Run(t.Context(), good); err != nil {
		t.Errorf("good configuration: %v", err)
	}
}
