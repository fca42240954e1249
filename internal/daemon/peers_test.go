package daemon_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/trust"
)

// What can't work is refused when the files are read, and by name.
func TestWitnesses_refusedAtLoad(t *testing.T) {
	g := deployGuarded(t, 3, 2)
	for name, x := range map[string]struct {
		change func(g *guarded)
		says   string // "" if it is taken
	}{
		"two of three have a URL":     {func(g *guarded) { g.config.Witnesses = g.config.Witnesses[:2] }, ""},
		"one of three has a URL":      {func(g *guarded) { g.config.Witnesses = g.config.Witnesses[:1] }, "w2-0, w3-0 of the trust file's policy has no url"},
		"none has":                    {func(g *guarded) { g.config.Witnesses = nil }, "w1-0, w2-0, w3-0"},
		"any of three, one without":   {func(g *guarded) { g.quorum(1); g.config.Witnesses = g.config.Witnesses[:2] }, "w3-0 of the trust file's policy has no url"},
		"any of three":                {func(g *guarded) { g.quorum(1) }, ""},
		"three of three, one without": {func(g *guarded) { g.quorum(3); g.config.Witnesses = g.config.Witnesses[:2] }, "w3-0"},
		"by their own names":          {func(g *guarded) { g.config.Witnesses[0].Name = "w1-0" }, ""},
		"a stranger":                  {func(g *guarded) { g.config.Witnesses[0].Name = "w9" }, `"w9" is neither a witness`},
		"operator and all its keys": {func(g *guarded) {
			g.config.Witnesses = append(g.config.Witnesses, daemon.Witness{Name: "w1-0", URL: "https://w1.example"})
		}, `"w1.example" is neither`},
		"no URL that is one":       {func(g *guarded) { g.config.Witnesses[0].URL = "w1.example" }, "http(s)://"},
		"no such authorities":      {func(g *guarded) { g.config.Witnesses[0].CA = g.path("none.pem") }, "ca: "},
		"authorities of something": {func(g *guarded) { g.config.Witnesses[0].CA = g.config.Trust }, "has no certificate"},
		"no such certificate":      {func(g *guarded) { g.config.Witnesses[0].TLS = daemon.TLS{Certificate: "x", Key: "y"} }, "tls: "},
		"authorities, and no TLS":  {func(g *guarded) { g.certificate(); g.config.Witnesses[0].CA = g.path("tls.pem") }, "is in clear"},
		"another log's key": {func(g *guarded) {
			must(daemon.GenerateKey(daemon.KeyLog, origin, g.path("other.key")))
			g.config.Keys.Log = append(g.config.Keys.Log, g.path("other.key"))
		}, "is no log key of the trust file"},
		"a key of another kind":          {func(g *guarded) { g.config.Keys.LogMLDSA = g.config.Keys.Log }, "cosignature-ml-dsa-44 is needed"},
		"a post-quantum key in keys.log": {func(g *guarded) { g.config.Keys.Log = daemon.Files{g.path("log-ml-dsa.key")} }, "ed25519 is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := *g
			g.deployment = &deployment{t: t, dir: g.dir, config: g.config}
			g.config.Dir, g.config.Guard = t.TempDir(), t.TempDir()+"/guard.db"
			g.config.Witnesses, g.config.Keys.Log = slices.Clone(g.config.Witnesses), slices.Clone(g.config.Keys.Log)
			g.quorum(2)
			x.change(&g)
			err := daemon.CheckFiles(g.config)
			if x.says == "" && err != nil || x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)) {
				t.Errorf("got %v, want %q", err, x.says)
			}
			if _, ierr := daemon.Init(t.Context(), g.config); (ierr == nil) != (err == nil) {
				t.Errorf("the check says %v, and Init %v", err, ierr)
			}
		})
	}
}

func (g *guarded) logs() []string {
	return []string{must(trust.Parse([]byte(readFile(g.t, g.config.Trust)))).Log}
}

func (g *guarded) quorum(n int) { g.writeTrust(g.logs(), n, func(*trust.Config) {}) }

// A requirement of the trust file is seen at the start, not on its day.
func TestWitnesses_requiredKeyIsMissing(t *testing.T) {
	g := deployGuarded(t, 1, 1, checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44)
	logs := append(g.logs(), must(checkpoint.NewSigner(readFile(t, g.path("log-ml-dsa.key")))).Verifier().String())
	g.writeTrust(logs, 1, func(c *trust.Config) {
		c.Require = []trust.Requirement{{Algorithm: "ml-dsa-44", From: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)}}
	})
	if err := daemon.CheckFiles(g.config); err != nil {
		t.Fatal(err)
	}
	g.config.Keys.LogMLDSA = nil
	if err := daemon.CheckFiles(g.config); err == nil || !strings.Contains(err.Error(), "keys.log_ml_dsa is missing") {
		t.Errorf("got %v", err)
	}
}

// Witnesses over TLS, with authorities of one's own, one of which wants to know who asks. A witness that another authority
// vouches for is not asked.
func TestWitnesses_overTLS(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 2, 1)
	pool := g.certificate()
	cert := must(tls.LoadX509KeyPair(g.path("tls.pem"), g.path("tls.key")))
	for i, w := range g.dogs {
		w.stop()
		w.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
		g.config.Witnesses[i].URL, g.config.Witnesses[i].CA = "https://"+w.address, g.path("tls.pem")
		w.start()
	}
	g.dogs[0].tls.ClientAuth, g.dogs[0].tls.ClientCAs = tls.RequireAndVerifyClientCert, pool
	g.config.Witnesses[0].TLS = daemon.TLS{Certificate: g.path("tls.pem"), Key: g.path("tls.key")}
	s := g.serveNew()
	s.record("witnessed")
	eventually(t, "both cosign", func() bool {
		return len(must(s.trust().OpenCheckpoint(s.get(s.addrs.Public, "/checkpoint", "").body)).Cosigned) == 2
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	g.config.Witnesses[1].CA = "" // the system's authorities know nothing of it
	s = g.serve()
	eventually(t, "it is not asked", func() bool {
		_, checks := s.checks("/healthz")
		return strings.Contains(checks["witness w2-0"].Detail, "missing") || strings.Contains(checks["quorum"].Detail, "waiting")
	})
	if !strings.Contains(s.logs.String(), "unknown authority") {
		t.Error("the server's log does not say why")
	}
}

// A proxy that the environment names sees nothing.
func TestWitnesses_noProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	g := deployGuarded(t, 1, 1)
	g.serveNew().record("witnessed")
}

// The log notes the trust file and what it says of keys, once, and what has changed of it.
func TestKeysAreNoted(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 2, 1)
	s := g.serveNew()
	tr := s.trust()
	want := []string{"add log " + tr.Log + " 0", "add witness " + g.dogs[0].signers[0].Verifier().String() + " 0", "add witness " + g.dogs[1].signers[0].Verifier().String() + " 0",
		"add received " + tr.Received[0] + " 0", "add system " + tr.System[0] + " 0", "add enroller " + tr.Enrollers[0] + " 0"}
	if got := s.noted(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if c := s.configs(); len(c) != 1 || c[0].Trust == nil || *c[0].Trust != entry.Hash(tr.Digest()) {
		t.Errorf("config %+v", c)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = g.serve()
	if got := s.noted(); !slices.Equal(got, want) {
		t.Errorf("noted again: %q", got[len(want):])
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	_, vkey, err := checkpoint.GenerateKey(checkpoint.Ed25519, "acme/agents/bot")
	if err != nil {
		t.Fatal(err)
	}
	g.writeTrust(g.logs(), 1, func(c *trust.Config) {
		c.Windows = []trust.Window{
			{Role: trust.RoleWitness, Key: g.dogs[0].signers[0].Verifier().String(), From: 0, Until: 5, Compromised: true},
			{Role: trust.RoleEnroller, Key: tr.Enrollers[0], From: 0, Until: 100},
			{Role: trust.RoleRecorder, Key: vkey, From: 0, Until: 7, Compromised: true},
		}
	})
	s = g.serve()
	added := []string{"compromised witness " + g.dogs[0].signers[0].Verifier().String() + " 5", "retire enroller " + tr.Enrollers[0] + " 100", "compromised recorder " + vkey + " 7"}
	if got := s.noted()[len(want):]; !slices.Equal(got, added) {
		t.Errorf("got %q, want %q", got, added)
	}
	if c := s.configs(); len(c) != 3 || *c[1].Trust != *c[0].Trust || *c[2].Trust == *c[1].Trust {
		t.Errorf("config %+v", c)
	}
}

func (s *server) noted() (all []string) {
	s.each(func(v any) {
		switch v := v.(type) {
		case *entry.KeyAdd:
			all = append(all, fmt.Sprintf("add %s %s %d", v.Role, v.Key, v.Size))
		case *entry.KeyRetire:
			all = append(all, fmt.Sprintf("retire %s %s %d", v.Role, v.Key, v.Size))
		case *entry.KeyCompromised:
			all = append(all, fmt.Sprintf("compromised %s %s %d", v.Role, v.Key, v.Size))
		}
	})
	return all
}

func (s *server) configs() (all []*entry.Config) {
	s.each(func(v any) {
		if c, ok := v.(*entry.Config); ok {
			all = append(all, c)
		}
	})
	return all
}

// each calls f with the value of every event of the log itself.
func (s *server) each(f func(v any)) {
	s.t.Helper()
	for _, e := range s.leaves() {
		for _, ev := range e.Events {
			if e.Track == entry.SystemTrack {
				f(must(ev.Value()))
			}
		}
	}
}

// A log key rotates: both sign, then the new one alone. What the old one signed stays good.
func TestLogKeyRotates(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 2, 2)
	s := g.serveNew()
	old := g.logs()[0]
	rc := s.record("witnessed")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	fresh := must(daemon.GenerateKey(daemon.KeyLog, origin, g.path("new.key")))
	g.config.Keys.Log = append(g.config.Keys.Log, g.path("new.key"))
	g.writeTrust([]string{old, fresh}, 2, func(*trust.Config) {})
	for _, w := range g.dogs { // witnesses learn of it
		if err := w.store.AddLog(t.Context(), []string{fresh}); err != nil {
			t.Fatal(err)
		}
	}
	s = g.serve()
	both := s.record("witnessed")
	if n := strings.Count(both.Checkpoint, "\n— "+origin+" "); n != 2 {
		t.Errorf("%d signatures of the log in\n%s", n, both.Checkpoint)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	g.config.Keys.Log = g.config.Keys.Log[1:]
	s = g.serve()
	last := s.record("witnessed")
	if n := strings.Count(last.Checkpoint, "\n— "+origin+" "); n != 1 || last.Level != wire.Witnessed {
		t.Errorf("%d signatures of the log in\n%s", n, last.Checkpoint)
	}
	for _, c := range []string{rc.Checkpoint, both.Checkpoint, last.Checkpoint} {
		if got, err := s.trust().OpenCheckpoint([]byte(c)); err != nil || !got.Witnessed {
			t.Errorf("%v, %s", err, got.Missing)
		}
	}
}
