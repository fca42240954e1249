package daemon_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/trust"
)

const origin = "log.test.example/prod"

// A deployment is a log's keys, trust file and configuration in a directory, with what belongs to others: an enroller, and
// whoever can open what is sealed.
type deployment struct {
	t          *testing.T
	dir        string
	config     daemon.Config
	enroller   note.Signer
	enrollerVK string
	vault      *age.X25519Identity
	recovery   *age.X25519Identity
	tokens     map[string]string // by principal
	full       atomic.Bool       // the disk is
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func write(t *testing.T, path, text string, perm os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
}

// deploy makes everything but the log itself.
func deploy(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, dir: t.TempDir(), tokens: make(map[string]string)}
	vkeys := make(map[string]string)
	for _, kind := range daemon.KeyKinds() {
		vkeys[kind] = must(daemon.GenerateKey(kind, origin, d.path(kind+".key")))
	}
	skey, vk, err := note.GenerateKey(rand.Reader, "test.example/enroller")
	if err != nil {
		t.Fatal(err)
	}
	d.enroller, d.enrollerVK = must(note.NewSigner(skey)), vk
	tr := must(trust.New(vkeys["log"], []string{vkeys["received"]}, []string{vkeys["system"]}, []string{vk}))
	write(t, d.path("trust"), string(tr.Marshal()), 0o644)
	enrolment := must(entry.SignEnrolment(entry.Enrolment{Origin: origin, RecorderKey: vkeys["managed"], Holder: entry.HolderOperator,
		From: entry.TimeOf(time.Now().Add(-time.Hour)), Until: entry.TimeOf(time.Now().Add(time.Hour)), Agents: []string{"*"}}, d.enroller))
	write(t, d.path("managed.enrolment"), string(enrolment), 0o644)
	d.vault, d.recovery = must(age.GenerateX25519Identity()), must(age.GenerateX25519Identity())
	d.config = d.configure()
	return d
}

func (d *deployment) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

func (d *deployment) configure() daemon.Config {
	c := daemon.Default()
	c.Origin, c.Dir, c.Guard, c.Trust = origin, d.path("data"), d.path("guard", "guard.db"), d.path("trust")
	c.Keys = daemon.Keys{Log: daemon.Files{d.path("log.key")}, Received: d.path("received.key"), System: d.path("system.key")}
	c.Managed = &daemon.Managed{Key: d.path("managed.key"), Enrolment: d.path("managed.enrolment"), Secret: d.path("managed.key.secret"),
		Recipients: map[string][]string{"default": {d.vault.Recipient().String(), d.recovery.Recipient().String()}}}
	for name, role := range map[string]access.Role{"gw": access.Recorder, "other": access.Recorder, "examiner": access.Auditor, "ops": access.Operator} {
		d.tokens[name] = must(access.NewToken(rand.Reader, role))
		c.Principals = append(c.Principals, daemon.Principal{Name: name, Roles: []string{string(role)},
			TokenSHA256: []string{fmt.Sprintf("%x", access.TokenDigest(d.tokens[name]))}})
	}
	c.Listen.Ingest.Address, c.Listen.Public.Address = "127.0.0.1:0", "127.0.0.1:0"
	c.Listen.Audit.Address, c.Listen.Ops.Address = "127.0.0.1:0", "[::1]:0"
	c.Listen.Ops.Address = "127.0.0.1:0"
	c.Log.CheckpointInterval = daemon.Duration(50 * time.Millisecond)
	c.Disk.FloorBytes = 1 << 20
	return c
}

// A server is a running one.
type server struct {
	*deployment
	addrs daemon.Addrs
	logs  *buffer
	stop  func() error
	fails bool // it is expected to end with an error
}

// A buffer is what a server logs.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve runs the configuration as it is now until the test ends or stop is called.
func (d *deployment) serve() *server {
	d.t.Helper()
	s := &server{deployment: d, logs: new(buffer)}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan daemon.Addrs, 1), make(chan error, 1)
	go func() {
		ended <- daemon.Run(ctx, d.config, daemon.Options{
			Logger: slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Ready:  func(a daemon.Addrs) { ready <- a },
			Free: func(string) (uint64, uint64, error) {
				if d.full.Load() {
					return 1000, 1 << 40, nil
				}
				return 1 << 40, 1 << 40, nil
			},
		})
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	select {
	case s.addrs = <-ready:
	case err := <-ended:
		cancel()
		d.t.Fatalf("server did not start: %v", err)
	}
	d.t.Cleanup(func() {
		if err := s.stop(); err != nil && !s.fails {
			d.t.Errorf("server ended with: %v", err)
		}
	})
	return s
}

// start creates the log and serves it.
func start(t *testing.T) *server {
	t.Helper()
	d := deploy(t)
	if _, err := daemon.Init(t.Context(), d.config); err != nil {
		t.Fatal(err)
	}
	return d.serve()
}

// A response is read whole.
type response struct {
	*http.Response
	body []byte
}

func (r *response) json(t *testing.T, v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%d %s: %v", r.StatusCode, r.body, err)
	}
}

func (r *response) problem(t *testing.T) wire.Problem {
	t.Helper()
	var p wire.Problem
	if ct := r.Header.Get("Content-Type"); ct != wire.ProblemType {
		t.Fatalf("%d of type %q: %s", r.StatusCode, ct, r.body)
	}
	r.json(t, &p)
	if p.Status != r.StatusCode || p.Type != wire.ProblemPrefix+p.Code || p.Title == "" {
		t.Errorf("problem %+v with status %d", p, r.StatusCode)
	}
	return p
}

// do sends a request with plain net/http. Headers are "Name: value".
func (s *server) do(method, addr, path, principal string, body io.Reader, headers ...string) *response {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+addr+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if principal != "" {
		req.Header.Set("Authorization", "Bearer "+s.tokens[principal])
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Add(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &response{resp, b}
}

func (s *server) get(addr, path, principal string, headers ...string) *response {
	s.t.Helper()
	return s.do("GET", addr, path, principal, nil, headers...)
}

// post sends JSON as the principal gw.
func (s *server) post(path, body string, headers ...string) *response {
	s.t.Helper()
	return s.do("POST", s.addrs.Ingest, path, "gw", strings.NewReader(body), append(headers, "Content-Type: application/json")...)
}

// eventually polls a condition, for what the server does behind its answers.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}
