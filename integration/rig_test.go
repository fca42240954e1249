//go:build linux

package integration_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/trust"
)

const (
	origin = "log.test.example/prod"
	agent  = "bot"
)

// stenod is the server's program, built once.
var stenod string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "steno-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	stenod = filepath.Join(dir, "stenod")
	out, err := exec.Command("go", "build", "-o", stenod, "github.com/stenolog/steno/cmd/stenod").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building stenod: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// rounds is how often a test repeats what comes down to chance: n times, or STENO_ROUNDS.
func rounds(t *testing.T, n int) int {
	if s := os.Getenv("STENO_ROUNDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("STENO_ROUNDS=%q", s)
		}
	}
	return n
}

// A deployment is a log's keys, trust file and configuration, with what belongs to others: an enroller, and whoever can open
// what is sealed.
type deployment struct {
	t          *testing.T
	dir        string
	config     daemon.Config
	trust      *trust.Trust
	enroller   note.Signer
	recipients []age.Recipient
	tokens     map[string]string // by role
	running    atomic.Pointer[process]
}

// deploy creates a log. Change has the last word on its configuration.
func deploy(t *testing.T, change func(*daemon.Config)) *deployment {
	t.Helper()
	d := &deployment{t: t, dir: t.TempDir(), tokens: make(map[string]string)}
	vkeys := make(map[string]string)
	for _, kind := range daemon.KeyKinds() {
		vkeys[kind] = must(daemon.GenerateKey(kind, origin, d.path(kind+".key")))
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, "test.example/enroller")
	if err != nil {
		t.Fatal(err)
	}
	d.enroller = must(note.NewSigner(skey))
	d.trust = must(trust.New(vkeys["log"], []string{vkeys["received"]}, []string{vkeys["system"]}, []string{vkey}))
	d.write("trust", d.trust.Marshal())
	d.write("managed.enrolment", d.enrol(vkeys["managed"], entry.HolderOperator, "*"))
	d.config = d.configuration()
	if change != nil {
		change(&d.config)
	}
	d.writeConfig()
	if out, err := d.command("log", "init"); err != nil {
		t.Fatalf("stenod log init: %v\n%s", err, out)
	}
	return d
}

func (d *deployment) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

func (d *deployment) write(name string, b []byte) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), b, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) writeConfig() {
	d.t.Helper()
	d.write("stenod.yaml", must(yaml.Marshal(d.config)))
}

func (d *deployment) enrol(vkey string, holder entry.Holder, agents ...string) []byte {
	return must(entry.SignEnrolment(entry.Enrolment{Origin: origin, RecorderKey: vkey, Holder: holder, Agents: agents,
		From: entry.TimeOf(time.Now().Add(-time.Hour)), Until: entry.TimeOf(time.Now().Add(24 * time.Hour))}, d.enroller))
}

func (d *deployment) configuration() daemon.Config {
	c := daemon.Default()
	c.Origin, c.Dir, c.Guard, c.Trust = origin, d.path("data"), d.path("guard", "guard.db"), d.path("trust")
	c.Keys = daemon.Keys{Log: daemon.Files{d.path("log.key")}, Received: d.path("received.key"), System: d.path("system.key")}
	vault, recovery := must(age.GenerateX25519Identity()).Recipient(), must(age.GenerateX25519Identity()).Recipient()
	d.recipients = []age.Recipient{vault, recovery}
	c.Managed = &daemon.Managed{Key: d.path("managed.key"), Enrolment: d.path("managed.enrolment"), Secret: d.path("managed.key.secret"),
		Recipients: map[string][]string{"default": {vault.String(), recovery.String()}}}
	for _, role := range []access.Role{access.Recorder, access.Auditor, access.Operator} {
		token := must(access.NewToken(rand.Reader, role))
		d.tokens[string(role)] = token
		c.Principals = append(c.Principals, daemon.Principal{Name: "test/" + string(role), Roles: []string{string(role)},
			TokenSHA256: []string{fmt.Sprintf("%x", access.TokenDigest(token))}})
	}
	for _, l := range []*daemon.Listener{&c.Listen.Ingest, &c.Listen.Public, &c.Listen.Audit, &c.Listen.Ops.Listener} {
		l.Address = "127.0.0.1:0"
	}
	c.Log.CheckpointInterval = daemon.Duration(50 * time.Millisecond)
	c.Disk.FloorBytes, c.Disk.FloorInodes = 1<<20, 16
	return c
}

// command runs a subcommand of stenod on the deployment's configuration to its end.
func (d *deployment) command(args ...string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, stenod, append(args, "--config", d.path("stenod.yaml"))...).CombinedOutput()
}

// An answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

var errDown = errors.New("no server was started yet")

const requestTimeout = 30 * time.Second

// do sends a request to a listener of the server that runs now, as a role.
func (d *deployment) do(ctx context.Context, method, listener, path, role string, body []byte, headers ...string) (answer, error) {
	p := d.running.Load()
	if p == nil {
		return answer{}, errDown
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.addrs[listener]+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+d.tokens[role])
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// get is do for what must be answered.
func (d *deployment) get(listener, path, role string) answer {
	d.t.Helper()
	a, err := d.do(d.t.Context(), "GET", listener, path, role, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

// fetch reads a path of tlog-tiles, entry bundles too, with the auditor's token.
func (d *deployment) fetch(ctx context.Context, path string) ([]byte, error) {
	a, err := d.do(ctx, "GET", "audit", "/"+path, "auditor", nil)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("getting %s: %d %s", path, a.status, a.body)
	}
	return a.body, err
}

// patience is for a machine that compiles other people's programs beside the test.
const patience = 90 * time.Second

// eventually polls a condition, for what happens behind answers.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
