package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

// steno runs the program, and returns its exit code and what it said.
func steno(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("steno", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestEvidence_pending takes a session away that no quorum has seen. It is evidence, and says what it lacks; when the
// witnesses are back, it is exported again and lacks nothing.
func TestEvidence_pending(t *testing.T) {
	up, stopped := withoutQuorum(t)
	session := recordOne(t, up.dir)
	file, pinned := filepath.Join(t.TempDir(), "unwitnessed.steno"), filepath.Join(up.dir, "trust")
	code, _, stderr := steno(t, "evidence", "--dir", up.dir, "--pending", session, "-o", file)
	if code != exitOK || !strings.Contains(stderr, "the log's word alone") || !strings.Contains(stderr, "is not met") {
		t.Fatalf("export: exit %d, %s", code, stderr)
	}
	code, stdout, stderr := steno(t, "verify", "--json", "--trust", pinned, file)
	var report evidence.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != evidence.ExitPolicy || report.Exit != code || report.Checkpoint.Witnessed ||
		report.Sessions[0].Verdict != evidence.VerdictComplete {
		t.Fatalf("verify: exit %d, %v, %s%s", code, err, stdout, stderr)
	}
	if code, stdout, _ := steno(t, "verify", "--trust", pinned, file); code != evidence.ExitPolicy || !strings.Contains(stdout, "UNMET: the quorum") {
		t.Errorf("verify: exit %d, %s", code, stdout)
	}
	verifyLeaf(t, file, pinned)
	if code, stdout, stderr := steno(t, "session", "show", "--dir", up.dir, "--pending", session); code != exitOK || !strings.Contains(stdout, "session.close") {
		t.Errorf("show: exit %d, %s%s", code, stdout, stderr)
	}
	waitingIsNoReading(t, up.dir, session)
	// What is published is witnessed, and so is what an audit judges.
	if code, stdout, stderr := steno(t, "audit", "--dir", up.dir, "--trust", pinned, auditURL(t, up.dir)); code != exitOK || !strings.Contains(stdout, "CLEAN") {
		t.Errorf("audit: exit %d, %s%s", code, stdout, stderr)
	}
	strict := demandingMore(t, pinned)
	code, stdout, stderr = steno(t, "audit", "--json", "--dir", up.dir, "--trust", strict, auditURL(t, up.dir))
	if code != evidence.ExitPolicy || !strings.Contains(stdout, `"verdict": "unmet"`) || strings.Count(stdout, "\n}\n") != 1 {
		t.Errorf("audit by a trust file that demands more: exit %d, %s%s", code, stdout, stderr)
	}
	for config, address := range stopped {
		serve(t, config, address)
	}
	file = filepath.Join(t.TempDir(), "witnessed.steno")
	if code, _, stderr := steno(t, "evidence", "--dir", up.dir, session, "-o", file); code != exitOK || stderr != "" {
		t.Fatalf("export: exit %d, %s", code, stderr)
	}
	if code, stdout, _ := steno(t, "verify", "--trust", pinned, file); code != exitOK || !strings.Contains(stdout, " of the pinned witnesses (") {
		t.Errorf("verify: exit %d, %s", code, stdout)
	}
}

// waitingIsNoReading waits for a checkpoint that does not come. Every read of content is recorded for good, so that whoever waits
// must not read.
func waitingIsNoReading(t *testing.T, dir, session string) {
	t.Helper()
	r, err := newReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := r.Signed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*proveEvery)
	defer cancel()
	if _, _, err := readSession(ctx, r, session, false); err == nil {
		t.Fatal("it is published without a quorum")
	}
	for { // until what was read is under a checkpoint
		after, err := r.Signed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.Size > before.Size {
			if grown := after.Size - before.Size; grown > 4 {
				t.Errorf("%d entries were recorded while somebody waited", grown)
			}
			return
		}
	}
}

// demandingMore is a trust file that demands, beyond another's quorum, a witness that has seen nothing.
func demandingMore(t *testing.T, path string) string {
	t.Helper()
	pinned, err := readTrust(path)
	if err != nil {
		t.Fatal(err)
	}
	_, vkey, err := checkpoint.GenerateKey(checkpoint.CosignatureEd25519, "stranger.example/w")
	if err != nil {
		t.Fatal(err)
	}
	c := pinned.Config
	policy, quorum, _ := strings.Cut(string(c.Policy), "\nquorum ")
	c.Policy = fmt.Appendf(nil, "%s\nwitness stranger %s\ngroup strict all %s stranger\nquorum strict\n", policy, vkey, strings.TrimSpace(quorum))
	c.Operators = append(slices.Clone(c.Operators), trust.Operator{Name: "stranger.example", Witnesses: []string{"stranger"}})
	strict, err := trust.Make(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "strict")
	if err := os.WriteFile(file, strict.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve runs a witness until the test ends.
func serve(t *testing.T, config, address string) {
	t.Helper()
	cmd := exec.Command("steno", "witness", "serve", "--config", config, "--address", address, "--until-eof")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("the witness at %s ended with %v", address, err)
		}
	})
}

// withoutQuorum is a deployment of which two of three witnesses were stopped: configuration and address of those.
func withoutQuorum(t *testing.T) (up instance, stopped map[string]string) {
	t.Helper()
	up = startUp(t, filepath.Join(t.TempDir(), "deployment"))
	witnesses := regexp.MustCompile(`(witness-\d), process (\d+), cosigns at http://(\S+)`).FindAllStringSubmatch(up.said, -1)
	if len(witnesses) != 3 {
		t.Fatalf("%d witnesses in\n%s", len(witnesses), up.said)
	}
	stopped = map[string]string{}
	for _, m := range witnesses[:2] {
		stopped[filepath.Join(up.dir, m[1], witnessFile)] = m[3]
		pid, err := strconv.Atoi(m[2])
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGTERM)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return up, stopped
}

// verifyLeaf has the proof of a bundle's first leaf judged as the session is.
func verifyLeaf(t *testing.T, file, pinned string) {
	t.Helper()
	b := readBundle(t, file)
	leaf, proof := filepath.Join(t.TempDir(), "leaf"), filepath.Join(t.TempDir(), "proof")
	p := evidence.Proof{Index: b.Leaves[0].Index, Hashes: b.Leaves[0].Proof, Checkpoint: b.Checkpoint}
	if err := errors.Join(os.WriteFile(leaf, b.Leaves[0].Bytes, 0o600), os.WriteFile(proof, p.Marshal(), 0o600)); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := steno(t, "proof", "--verify", proof, "--trust", pinned, leaf); code != evidence.ExitPolicy || !strings.Contains(stderr, "is not met") {
		t.Errorf("proof: exit %d, %s", code, stderr)
	}
}

func readBundle(t *testing.T, path string) *evidence.Bundle {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := evidence.Read(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func auditURL(t *testing.T, dir string) string {
	t.Helper()
	c, err := readClientConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c.Audit
}

// recordOne records a session, and returns its name.
func recordOne(t *testing.T, dir string) string {
	t.Helper()
	c, err := readClientConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.readToken(c.Recorder.Token)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, c.Ingest+"/v1/records", strings.NewReader(
		`{"session":{"agent":"acme/a","privilege":"financial","purpose":"p"},"close":{"outcome":"completed"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Session string `json:"session"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Session == "" {
		t.Fatalf("status %s, %v", resp.Status, err)
	}
	return answer.Session
}
