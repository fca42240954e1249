package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
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

// TestEvidence_pending takes a session away that no quorum has seen and no authority has stamped. It is evidence, and says what it
// waits for; when witnesses and authority are back, another file of the same session lacks nothing.
func TestEvidence_pending(t *testing.T) {
	d := newAwayDeployment(t)
	session := recordOne(t, d.dir)
	file, pinned := filepath.Join(t.TempDir(), "early.steno"), filepath.Join(d.dir, "trust")
	code, stdout, stderr := steno(t, "evidence", "--dir", d.dir, "--pending", session, "-o", file)
	if code != exitOK {
		t.Fatalf("evidence: exit %d, %s", code, stderr)
	}
	mustSay(t, stdout, "sound, and incomplete (exit code 4)")
	mustSay(t, stderr, "is not met", "witnesses: ", "time: ", "make another file", "steno anchor")
	code, stdout, stderr = steno(t, "verify", "--json", "--trust", pinned, file)
	var report evidence.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != evidence.ExitIncomplete || report.Exit != code || report.Checkpoint.Witnessed ||
		report.Sessions[0].Verdict != evidence.VerdictComplete || !slices.Equal(report.Pending, []evidence.CheckID{evidence.CheckTime, evidence.CheckWitnesses}) {
		t.Fatalf("verify: exit %d, %v, %s%s", code, err, stdout, stderr)
	}
	verifyLeaf(t, file, pinned)
	if code, stdout, stderr := steno(t, "session", "show", "--dir", d.dir, "--pending", session); code != exitOK || !strings.Contains(stdout, "session.close") {
		t.Errorf("show: exit %d, %s%s", code, stdout, stderr)
	}
	waitingIsNoReading(t, d.dir, session)
	// What is published is witnessed, and so is what an audit judges.
	if code, stdout, stderr := steno(t, "audit", "--dir", d.dir, "--trust", pinned, auditURL(t, d.dir)); code != exitOK || !strings.Contains(stdout, "CLEAN") {
		t.Errorf("audit: exit %d, %s%s", code, stdout, stderr)
	}
	strict := demandingMore(t, pinned)
	code, stdout, stderr = steno(t, "audit", "--json", "--dir", d.dir, "--trust", strict, auditURL(t, d.dir))
	if code != evidence.ExitPolicy || !strings.Contains(stdout, `"verdict": "unmet"`) || strings.Count(stdout, "\n}\n") != 1 {
		t.Errorf("audit by a trust file that demands more: exit %d, %s%s", code, stdout, stderr)
	}
	d.allAreBack(t)
	late := filepath.Join(t.TempDir(), "late.steno")
	if code, stdout, stderr := steno(t, "evidence", "--dir", d.dir, session, "-o", late); code != exitOK || stderr != "" || !strings.Contains(stdout, "(exit code 0)") {
		t.Fatalf("evidence: exit %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := steno(t, "verify", "--trust", pinned, late); code != exitOK || !strings.Contains(stdout, " of the pinned witnesses (") {
		t.Errorf("verify: exit %d, %s", code, stdout)
	}
	// Time goes on; the early file stays what it was.
	if code, _, _ := steno(t, "verify", "--trust", pinned, file); code != evidence.ExitIncomplete {
		t.Errorf("verify: exit %d", code)
	}
}

// TestEvidence_pendingIsAskedFor: who does not say --pending gets no file that lacks the quorum.
func TestEvidence_pendingIsAskedFor(t *testing.T) {
	d := newAwayDeployment(t)
	session := recordOne(t, d.dir)
	d.allAreBack(t)
	// By a trust file that demands a witness more, the published checkpoint lacks the quorum, and always will.
	c, err := readClientConfig(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Trust = demandingMore(t, filepath.Join(d.dir, "trust"))
	if err := c.write(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "unmet.steno")
	code, _, stderr := steno(t, "evidence", "--dir", d.dir, session, "-o", file)
	if code != exitFailure || !strings.Contains(stderr, "--pending") {
		t.Errorf("evidence: exit %d, %s", code, stderr)
	}
	noFile(t, file)
}

// noFile demands that neither a file nor what was to become one is left.
func noFile(t *testing.T, file string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v is left", err, left)
	}
}

// TestEvidence_offline: the file and the trust file suffice, with the log gone and the network cut.
func TestEvidence_offline(t *testing.T) {
	unshare := need.Program(t, "unshare")
	if err := exec.Command(unshare, "-rn", "true").Run(); err != nil {
		need.Missing(t, "a network namespace of its own")
	}
	empty := t.TempDir()
	verifier := filepath.Join(empty, "steno-verify")
	build := exec.Command("go", "build", "-trimpath", "-o", verifier, "../steno-verify")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	up := startUp(t, filepath.Join(t.TempDir(), "deployment"))
	session := recordOne(t, up.dir)
	made := filepath.Join(t.TempDir(), "session.steno")
	if code, _, stderr := steno(t, "evidence", "--dir", up.dir, session, "-o", made, "--identity", filepath.Join(up.dir, vaultKey)); code != exitOK || stderr != "" {
		t.Fatalf("evidence: exit %d, %s", code, stderr)
	}
	for from, to := range map[string]string{made: "session.steno", filepath.Join(up.dir, trustFile): "trust"} {
		if err := os.Rename(from, filepath.Join(empty, to)); err != nil {
			t.Fatal(err)
		}
	}
	up.stop()
	cmd := exec.Command(unshare, "-rn", verifier, "--trust", "trust", "session.steno")
	cmd.Dir, cmd.Env = empty, []string{}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mustSay(t, string(out), "VERIFIED", "COMPLETE", "1 custody records", "by a time-stamp authority")
}

// TestFAILCLOSED_noFileWithoutTheLogsAnswer: a hand-over that the log has not recorded is none.
func TestFAILCLOSED_noFileWithoutTheLogsAnswer(t *testing.T) {
	up := startUp(t, filepath.Join(t.TempDir(), "deployment"))
	session := recordOne(t, up.dir)
	c, err := readClientConfig(up.dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(c.Audit)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.ProblemType)
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"title":"no","code":"forbidden"}`)
		},
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"another":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"principal":"p","indexes":[]}`) },
		// It says that it has recorded it, and has not: another entry stands there.
		"a lie": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"principal":"local/auditor","indexes":[0]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			pass := httputil.NewSingleHostReverseProxy(server)
			between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == wire.PathDisclosures {
					answer(w, r)
					return
				}
				pass.ServeHTTP(w, r)
			}))
			defer between.Close()
			dir := filepath.Join(t.TempDir(), "reader")
			reader := &clientConfig{dir: dir, Ingest: c.Ingest, Audit: between.URL, Trust: filepath.Join(up.dir, trustFile), Recorder: c.Recorder,
				Auditor: auditorConfig{Token: filepath.Join(up.dir, auditorToken)}}
			if err := errors.Join(os.Mkdir(dir, 0o700), reader.write()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "none.steno")
			if code, stdout, stderr := steno(t, "evidence", "--dir", dir, session, "-o", file); code != exitFailure || stdout != "" || stderr == "" {
				t.Errorf("exit %d, %s%s", code, stdout, stderr)
			}
			noFile(t, file)
		})
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
	if _, err := readSession(ctx, r, session, false); err == nil {
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

// An awayDeployment is one of which two of three witnesses were stopped, and whose one time-stamp authority fails.
type awayDeployment struct {
	instance
	stopped map[string]string // configuration and address of the witnesses
	tsa     string            // its URL
}

func newAwayDeployment(t *testing.T) *awayDeployment {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deployment")
	startUp(t, dir).stop()
	const name = "dev-a"
	d := &awayDeployment{stopped: map[string]string{}}
	var pinned timestamp.Authority
	d.tsa, pinned = devTSA(t, name, filepath.Join(dir, name+".pem"))
	d.authority(t, "fail")
	setAuthorities(t, filepath.Join(dir, serverFile), []map[string]string{{"name": name, "url": d.tsa, "certificates": name + ".pem"}})
	pin(t, dir, 1, pinned)
	d.instance = startUp(t, dir)
	d.stopQuorum(t)
	return d
}

// authority tells the time-stamp authority to fail, or to heal.
func (d *awayDeployment) authority(t *testing.T, what string) {
	t.Helper()
	resp, err := http.Post(d.tsa+"/"+what, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func (d *awayDeployment) stopQuorum(t *testing.T) {
	t.Helper()
	witnesses := regexp.MustCompile(`(witness-\d), process (\d+), cosigns at http://(\S+)`).FindAllStringSubmatch(d.said, -1)
	if len(witnesses) != 3 {
		t.Fatalf("%d witnesses in\n%s", len(witnesses), d.said)
	}
	for _, m := range witnesses[:2] {
		d.stopped[filepath.Join(d.dir, m[1], witnessFile)] = m[3]
		pid, err := strconv.Atoi(m[2])
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGTERM)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// allAreBack has witnesses cosign and the authority stamp what was recorded.
func (d *awayDeployment) allAreBack(t *testing.T) {
	t.Helper()
	for config, address := range d.stopped {
		serve(t, config, address)
	}
	d.authority(t, "heal")
	if code, stdout, stderr := steno(t, "anchor", "--dir", d.dir); code != exitOK {
		t.Fatalf("anchor: exit %d, %s%s", code, stdout, stderr)
	}
}

// verifyLeaf has the proof of a bundle's first leaf judged as the session is.
func verifyLeaf(t *testing.T, file, pinned string) {
	t.Helper()
	b := readBundle(t, file)
	leaf, proof := filepath.Join(t.TempDir(), "leaf"), filepath.Join(t.TempDir(), "proof")
	content, err := b.Leaves[0].Load()
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := steno(t, "proof", "--bundle", file, strconv.FormatUint(b.Leaves[0].Index, 10))
	if code != exitOK {
		t.Fatalf("proof: exit %d, %s", code, stderr)
	}
	if err := errors.Join(os.WriteFile(leaf, content, 0o600), os.WriteFile(proof, []byte(stdout), 0o600)); err != nil {
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
