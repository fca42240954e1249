package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A recording is a running "steno record mcp" with its client's ends of the pipes.
type recording struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	err     *bufio.Scanner
	session string
}

func startRecording(t *testing.T, dir string, flags ...string) *recording {
	t.Helper()
	args := append([]string{"record", "mcp", "--dir", dir, "--agent", "acme/coder", "--privilege", "production-write", "--purpose", "x"}, flags...)
	r := &recording{cmd: exec.CommandContext(t.Context(), "steno", append(args, "--", "mcpserver")...)}
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.in, r.out, r.err = in, bufio.NewScanner(out), bufio.NewScanner(stderr)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() }) // it may have ended
	for r.session == "" {
		if !r.err.Scan() {
			t.Fatalf("nothing is recorded: %v", r.cmd.Wait())
		}
		if m := regexp.MustCompile(`recording session (\S+),`).FindStringSubmatch(r.err.Text()); m != nil {
			r.session = m[1]
		}
	}
	return r
}

func (r *recording) call(t *testing.T, tool string) string {
	t.Helper()
	if _, err := io.WriteString(r.in, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`"}}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if !r.out.Scan() {
		t.Fatal("no answer")
	}
	return r.out.Text()
}

// end closes the client's end and returns what else was said.
func (r *recording) end(t *testing.T) (said string, err error) {
	t.Helper()
	if err := r.in.Close(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for r.err.Scan() {
		b.WriteString(r.err.Text() + "\n")
	}
	return b.String(), r.cmd.Wait()
}

func TestRecord_severalAtOnce(t *testing.T) {
	up := startUp(t, filepath.Join(t.TempDir(), "d"))
	a, b := startRecording(t, up.dir), startRecording(t, up.dir)
	if a.session == b.session {
		t.Errorf("both record session %s", a.session)
	}
	for _, r := range []*recording{a, b} {
		if answer := r.call(t, "greet"); !strings.Contains(answer, "hello") {
			t.Errorf("answer %s", answer)
		}
	}
	for _, r := range []*recording{b, a} {
		if said, err := r.end(t); err != nil || !strings.Contains(said, "everything is in the log") {
			t.Errorf("ended with %v, said %s", err, said)
		}
	}
}

func TestFAILCLOSED_logGoesAwayAndComesBack(t *testing.T) {
	up := startUp(t, filepath.Join(t.TempDir(), "d"))
	r := startRecording(t, up.dir, "--call-timeout", "300ms", "--close-timeout", "300ms")
	if answer := r.call(t, "greet"); !strings.Contains(answer, "hello") {
		t.Fatalf("answer %s", answer)
	}
	up.stop()
	if answer := r.call(t, "fail"); !strings.Contains(answer, `"error"`) || strings.Contains(answer, "no such file") {
		t.Errorf("without the log the call was answered with %s", answer)
	}
	said, err := r.end(t)
	if err == nil || !strings.Contains(said, "not acknowledged") {
		t.Errorf("ended with %v, said %s", err, said)
	}

	// The next recorder with the spool sends what the first could not.
	startUp(t, up.dir)
	next := startRecording(t, up.dir)
	if said, err := next.end(t); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var told bytes.Buffer
	if code := run(t.Context(), []string{"session", "show", "--dir", up.dir, r.session}, streams{strings.NewReader(""), &told, &told}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, told.String())
	}
	mustSay(t, told.String(), "tool greet", "tool success", "action.reject")
	if strings.Contains(told.String(), "tool failure") {
		t.Errorf("the call that was refused has a result:\n%s", told.String())
	}
}

// What one recorder caught the log at stops all that record with it from this machine, until somebody moves it away.
func TestFAILCLOSED_aForkFoundByOneRecorderStopsAll(t *testing.T) {
	up := startUp(t, filepath.Join(t.TempDir(), "d"))
	c, err := readClientConfig(up.dir)
	if err != nil {
		t.Fatal(err)
	}
	found := filepath.Join(c.path(c.Recorder.Spool), "07", "fork-0badf00d.fork")
	if err := os.MkdirAll(filepath.Dir(found), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(found, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	args := []string{"record", "mcp", "--dir", up.dir, "--agent", "acme/coder", "--privilege", "production-write", "--purpose", "x", "--", "mcpserver"}
	if code := run(t.Context(), args, streams{strings.NewReader(""), &said, &said}); code != exitFailure {
		t.Fatalf("exit code %d: %s", code, said.String())
	}
	mustSay(t, said.String(), "nothing was started", found, "move it away")
	if err := os.Remove(found); err != nil {
		t.Fatal(err)
	}
	if said, err := startRecording(t, up.dir).end(t); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}
