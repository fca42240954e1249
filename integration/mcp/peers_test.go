// Package mcp_test holds the gateway against other people's MCP clients and servers.
package mcp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/need"
)

//go:embed package.json
var packageJSON []byte

//go:embed package-lock.json
var packageLock []byte

// modules is a directory with the packages of package-lock.json, installed once and kept in the user's cache.
var modules = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "steno-test", fmt.Sprintf("mcp-%x", sha256.Sum256(packageLock))[:20])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for name, b := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(tmp, name), b, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = tmp
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil && !os.IsExist(err) { // another test may have been faster
		return "", err
	}
	return dir, nil
})

// A peers is a directory from which scripts find the packages, and where the gateway keeps its record.
type peers struct {
	t       *testing.T
	node    string
	dir     string // client.mjs, server.mjs, node_modules
	record  string
	gateway string
}

func newPeers(t *testing.T) *peers {
	t.Helper()
	p := &peers{t: t, node: need.Program(t, "node"), dir: t.TempDir(), record: t.TempDir()}
	need.Program(t, "npm")
	from, err := modules()
	if err != nil {
		need.Missing(t, "npm packages ("+err.Error()+")")
	}
	if p.gateway, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(from, "node_modules"), filepath.Join(p.dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"client.mjs", "server.mjs"} {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *peers) run(stdin string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.node, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "MCP_GATEWAY_DIR="+p.record)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%v: %v\n%s%s", args, err, out, stderr.Bytes())
	}
	return string(out)
}

type step map[string]any

// drive has a client take steps with a server through the gateway, and returns what it printed for each.
func (p *peers) drive(era string, steps []step, server ...string) []string {
	p.t.Helper()
	b, err := json.Marshal(steps)
	if err != nil {
		p.t.Fatal(err)
	}
	out := strings.Split(strings.TrimSpace(p.run(string(b), append([]string{"client.mjs", era, p.gateway}, server...)...)), "\n")
	if len(out) != len(steps) {
		p.t.Fatalf("%d answers to %d steps: %q", len(out), len(steps), out)
	}
	return out
}

func (p *peers) server(name string) string {
	return filepath.Join("node_modules", "@modelcontextprotocol", name, "dist", "index.js")
}

// ofType are the events of one type.
func ofType[V any](all []told) (values []V, said []map[string]string) {
	for _, e := range all {
		if v, ok := e.value.(*V); ok {
			values, said = append(values, *v), append(said, e.said)
		}
	}
	return values, said
}

func wantIn(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%.300q lacks %q", got, part)
		}
	}
}

// checkPairs holds that every intent stands before its one result.
func checkPairs(t *testing.T, all []told) {
	t.Helper()
	open := map[entry.ID]bool{}
	for _, e := range all {
		switch v := e.value.(type) {
		case *entry.ActionIntent:
			open[v.Action] = true
		case *entry.ActionResult:
			if !open[v.Action] {
				t.Errorf("result of %s without its intent before it", v.Action)
			}
			delete(open, v.Action)
		}
	}
	if len(open) > 0 {
		t.Errorf("without a result: %v", open)
	}
}

func TestFilesystemServer(t *testing.T) {
	for _, era := range []string{"v1", "legacy"} {
		t.Run(era, func(t *testing.T) {
			p := newPeers(t)
			files := t.TempDir()
			path := filepath.Join(files, "a.txt")
			text := "line 1\nline 2 <&> \u2028 \U0001F600"
			out := p.drive(era, []step{
				{"do": "list"},
				{"do": "call", "name": "write_file", "arguments": step{"path": path, "content": text}},
				{"do": "call", "name": "read_text_file", "arguments": step{"path": path}},
				{"do": "call", "name": "read_text_file", "arguments": step{"path": "/etc/passwd"}},
				{"do": "call", "name": "no_such_tool"},
				{"do": "list"},
			}, p.node, p.server("server-filesystem"), files)
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Fatalf("written: %q, %v", b, err)
			}
			wantIn(t, out[2], "line 2 <&>")
			wantIn(t, out[3], "isError", "denied")
			all := readAll(t, p.record)
			checkPairs(t, all)
			intents, params := ofType[entry.ActionIntent](all)
			results, _ := ofType[entry.ActionResult](all)
			if len(intents) != 4 || len(results) != 4 {
				t.Fatalf("%d intents, %d results", len(intents), len(results))
			}
			wantIn(t, params[0]["params"], `"method":"tools/call"`, `"name":"write_file"`, `line 1\nline 2 <&> `)
			for i, want := range []entry.ID{"success", "success", "failure"} {
				if results[i].Outcome.Tool != want || results[i].DurationUS == 0 {
					t.Errorf("result %d: %+v", i, results[i])
				}
			}
			if intents[3].Tool != "no_such_tool" || results[3].Outcome.Tool == "success" {
				t.Errorf("unknown tool: %+v %+v", intents[3], results[3])
			}
			catalogs, _ := ofType[entry.Catalog](all)
			if len(catalogs) != 2 || catalogs[0].Count < 10 || catalogs[0].Content == nil || catalogs[1].SameAs == nil {
				t.Errorf("catalogues: %+v", catalogs)
			}
			if all[0].value.(*entry.Message).Method != "initialize" {
				t.Errorf("first event: %+v", all[0])
			}
		})
	}
}

func TestFAILCLOSED_realClientIsToldThatTheLogIsDown(t *testing.T) {
	p := newPeers(t)
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(p.record, "down"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := p.drive("v1", []step{
		{"do": "list"},
		{"do": "call", "name": "write_file", "arguments": step{"path": filepath.Join(files, "a"), "content": "x"}},
	}, p.node, p.server("server-filesystem"), files)
	wantIn(t, out[0], `"tools":[`)
	wantIn(t, out[1], `"thrown":`, "not forwarded", `"code":30501`)
	if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
		t.Errorf("the server acted: %v, %v", left, err)
	}
	rejects, _ := ofType[entry.ActionReject](readAll(t, p.record))
	if len(rejects) != 1 || rejects[0].Why != "recording-unavailable" {
		t.Errorf("rejects: %+v", rejects)
	}
}

func TestEverythingServer(t *testing.T) {
	p := newPeers(t)
	out := p.drive("v1", []step{
		{"do": "call", "name": "echo", "arguments": step{"message": "\u001b[31mred"}},
		{"do": "call", "name": "trigger-long-running-operation", "arguments": step{"duration": 1, "steps": 4}, "progress": true},
		{"do": "call", "name": "get-tiny-image"},
		{"do": "read", "uri": "demo://resource/static/document/features.md"},
		{"do": "parallel", "calls": []step{
			{"name": "echo", "arguments": step{"message": "1"}}, {"name": "echo", "arguments": step{"message": "2"}},
			{"name": "get-sum", "arguments": step{"a": 1, "b": 2}}, {"name": "echo", "arguments": step{"message": "3"}},
		}},
	}, p.node, p.server("server-everything"))
	wantIn(t, out[1], "completed")
	wantIn(t, out[4], "Echo: 1", "Echo: 2", "Echo: 3", "is 3")
	all := readAll(t, p.record)
	checkPairs(t, all)
	outputs, said := ofType[entry.ActionOutput](all)
	if len(outputs) < 3 || outputs[0].Stream != "progress" {
		t.Errorf("outputs: %+v", outputs)
	} else {
		wantIn(t, said[0]["content"], "notifications/progress")
	}
	results, responses := ofType[entry.ActionResult](all)
	if len(results) != 7 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		if r.Outcome.Tool != "success" {
			t.Errorf("result: %+v", r)
		}
	}
	wantIn(t, responses[2]["response"], `"type":"image"`)
	if inputs, _ := ofType[entry.Input](all); len(inputs) != 1 || inputs[0].Kind != "retrieval" {
		t.Errorf("inputs: %+v", inputs)
	}
}

// TestStatelessRevision speaks MCP 2026-07-28: no initialize, and a tool that asks back by its answer.
func TestStatelessRevision(t *testing.T) {
	p := newPeers(t)
	out := p.drive("modern", []step{
		{"do": "list"}, {"do": "call", "name": "greet"}, {"do": "call", "name": "deploy"},
	}, p.node, "server.mjs")
	wantIn(t, out[1], "hello <&>")
	wantIn(t, out[2], "deployed to staging")
	all := readAll(t, p.record)
	checkPairs(t, all)
	intents, params := ofType[entry.ActionIntent](all)
	results, responses := ofType[entry.ActionResult](all)
	if len(intents) != 3 || len(results) != 3 {
		t.Fatalf("%d intents, %d results", len(intents), len(results))
	}
	wantIn(t, params[0]["params"], "io.modelcontextprotocol/protocolVersion", "2026-07-28")
	wantIn(t, params[2]["params"], "inputResponses", "staging")
	wantIn(t, responses[1]["response"], "input_required")
	for i, want := range []entry.ID{"success", "unknown", "success"} {
		if results[i].Outcome.Tool != want {
			t.Errorf("result %d: %+v", i, results[i])
		}
	}
	for _, e := range all {
		if m, ok := e.value.(*entry.Message); ok && m.Method == "initialize" {
			t.Error("this revision has no initialize")
		}
	}
}

func TestInspector(t *testing.T) {
	p := newPeers(t)
	launcher := filepath.Join("node_modules", "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
	out := p.run("", launcher, "--cli", "-e", "MCP_GATEWAY_DIR="+p.record, p.gateway, p.node, p.server("server-everything"),
		"--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hi")
	wantIn(t, out, "Echo: hi")
	intents, _ := ofType[entry.ActionIntent](readAll(t, p.record))
	if len(intents) != 1 || intents[0].Tool != "echo" {
		t.Errorf("intents: %+v", intents)
	}
}
