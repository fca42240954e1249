package mcp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A deployment is a steno up that a test started, and the programs beside it.
type deployment struct {
	t      *testing.T
	steno  string
	verify string
	dir    string
	stop   func()
}

// newDeployment builds the programs and runs steno up on ports that the system picks.
func newDeployment(t *testing.T) *deployment {
	t.Helper()
	bin := t.TempDir()
	d := &deployment{t: t, steno: filepath.Join(bin, "steno"), verify: filepath.Join(bin, "steno-verify"), dir: filepath.Join(t.TempDir(), "d")}
	build := exec.Command("go", "build", "-o", bin+"/", "github.com/stenolog/steno/cmd/steno", "github.com/stenolog/steno/cmd/steno-verify")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	cmd := exec.Command(d.steno, "up", "--dir", d.dir, "--port", "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	d.stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(d.stop)
	said := make(chan string)
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(all.String(), "Ctrl-C") {
			n, err := out.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				break
			}
		}
		said <- all.String()
		_, _ = io.Copy(io.Discard, out)
	}()
	select {
	case s := <-said:
		if !strings.Contains(s, "Ctrl-C") {
			t.Fatalf("steno up said only %q", s)
		}
	case <-time.After(time.Minute):
		t.Fatal("steno up is not ready after a minute")
	}
	return d
}

// run runs a command of steno and returns what it printed; its exit code must be want.
func (d *deployment) run(want int, program string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "STENO_DIR="+d.dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
		d.t.Fatalf("%s %q: %v, want exit code %d\n%s", filepath.Base(program), args, err, want, out)
	}
	return string(out)
}

// post sends JSON to the ingest listener, as curl would.
func (d *deployment) post(path, body string) (session string) {
	d.t.Helper()
	config, err := os.ReadFile(filepath.Join(d.dir, "client.yaml"))
	if err != nil {
		d.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(config), "ingest: ")
	base, _, _ := strings.Cut(rest, "\n")
	token, err := os.ReadFile(filepath.Join(d.dir, "recorder", "token"))
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		d.t.Fatalf("POST %s: status %d: %s (%v)", path, resp.StatusCode, answer, err)
	}
	var a struct{ Session string }
	if err := json.Unmarshal(answer, &a); err != nil {
		d.t.Fatal(err)
	}
	return a.Session
}

// gateway makes clients start their servers through steno record mcp.
func (d *deployment) gateway(p *peers, flags string) {
	p.gateway = filepath.Join(p.dir, "gateway.sh")
	script := fmt.Sprintf("#!/bin/sh\nSTENO_DIR=%s exec %s record mcp %s -- \"$@\"\n", d.dir, d.steno, flags)
	if err := os.WriteFile(p.gateway, []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
}

// prove takes a session away, stops the server, and verifies the file; then flips one bit in the middle of it.
func (d *deployment) prove(session string) {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "s.steno")
	d.run(0, d.steno, "evidence", session, "-o", file, "--identity", filepath.Join(d.dir, "vault", "vault.key"))
	d.stop()
	trust := filepath.Join(d.dir, "trust")
	for _, verify := range [][]string{{d.steno, "verify"}, {d.verify}} {
		wantIn(d.t, d.run(0, verify[0], append(verify[1:], "--trust", trust, file)...), "VERIFIED", "COMPLETE")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	wantIn(d.t, d.run(1, d.verify, "--trust", trust, file), "FAILED")
	wantIn(d.t, d.run(0, d.steno, "audit", d.dir, "--trust", trust), "CLEAN")
}

// TestSessionOfAFilesystemServer is the main job on real peers: an MCP client drives a real server through steno record
// mcp, another recorder tells in the same session why, and the file proves it all with the server gone.
func TestSessionOfAFilesystemServer(t *testing.T) {
	p, d := newPeers(t), newDeployment(t)
	session := d.post("/v1/sessions", `{"agent":"acme/coder","privilege":"production-write","purpose":"tidy up"}`)
	d.post("/v1/sessions/"+session+"/events", `{"event":"reasoning","form":"plain","content":"I shall write \u001b[31mnotes\u202e."}`)
	d.gateway(p, "--agent acme/coder --session "+session)
	files := t.TempDir()
	path := filepath.Join(files, "notes.txt")
	p.drive("v1", []step{
		{"do": "list"},
		{"do": "call", "name": "write_file", "arguments": step{"path": path, "content": "from the agent"}},
		{"do": "call", "name": "read_text_file", "arguments": step{"path": path}},
		{"do": "call", "name": "read_text_file", "arguments": step{"path": "/etc/passwd"}},
		{"do": "call", "name": "no_such_tool"},
	}, p.node, p.server("server-filesystem"), files)
	d.post("/v1/sessions/"+session+"/close", `{"outcome":"completed"}`)
	if b, err := os.ReadFile(path); err != nil || string(b) != "from the agent" {
		t.Fatalf("the server wrote %q (%v)", b, err)
	}
	story := d.run(0, d.steno, "session", "show", session, "--full", "--identity", filepath.Join(d.dir, "vault", "vault.key"))
	wantIn(t, story, "verdict    complete", "catalog", "tool write_file", `"content":"from the agent"`, "tool read_text_file",
		"denied", "tool no_such_tool", "tool success", "tool failure", "reasoning", "observed", "self-reported", "I shall write")
	if strings.ContainsAny(story, "\u001b\u202e") {
		t.Error("what the agent wrote reaches the terminal as it is")
	}
	d.prove(session)
}

// TestSessionOfTheInspector has another client, another server, and the session opened by the gateway itself.
func TestSessionOfTheInspector(t *testing.T) {
	p, d := newPeers(t), newDeployment(t)
	d.gateway(p, "--agent acme/inspector --privilege high-risk --purpose looking")
	launcher := filepath.Join("node_modules", "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
	out := p.run("", launcher, "--cli", p.gateway, p.node, p.server("server-everything"),
		"--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hi")
	wantIn(t, out, "Echo: hi")
	var list struct {
		Sessions []struct{ Session, State string }
	}
	if err := json.Unmarshal([]byte(d.run(0, d.steno, "session", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Sessions) == 0 || list.Sessions[0].State != "complete" {
		t.Fatalf("sessions: %+v", list.Sessions)
	}
	session := list.Sessions[0].Session
	wantIn(t, d.run(0, d.steno, "session", "show", session, "--identity", filepath.Join(d.dir, "vault", "vault.key")), "tool echo", "Echo: hi")
	d.prove(session)
}
