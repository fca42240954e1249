package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
	"github.com/stenolog/steno/trust"
)

// A devTSA is a development authority that fails after POST /fail, until POST /heal. Its root is in a file.
func devTSA(t *testing.T, name, root string) (url string, pinned timestamp.Authority) {
	t.Helper()
	day := time.Now().UTC().Truncate(24 * time.Hour)
	m, err := authority.Make(name, authority.ECDSA, day.AddDate(0, 0, -1), day.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	a, err := authority.New(authority.Config{Material: m})
	if err != nil {
		t.Fatal(err)
	}
	pem := string(m.PEM())
	if err := os.WriteFile(root, []byte(pem[strings.LastIndex(pem, "-----BEGIN"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	var fails atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/fail" || r.URL.Path == "/heal":
			fails.Store(r.URL.Path == "/fail")
		case fails.Load():
			http.Error(w, "away", http.StatusServiceUnavailable)
		default:
			a.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, pinnedAuthority(name, m)
}

// setAuthorities gives a server these authorities and no others.
func setAuthorities(t *testing.T, file string, authorities []map[string]string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	c["authorities"] = authorities
	if b, err = yaml.Marshal(c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pin has a deployment's trust file name these authorities and no others, and demand so many of them.
func pin(t *testing.T, dir string, stamps int, authorities ...timestamp.Authority) {
	t.Helper()
	old, err := readTrust(filepath.Join(dir, trustFile))
	if err != nil {
		t.Fatal(err)
	}
	c := old.Config
	c.Authorities, c.Stamps = authorities, stamps
	pinned, err := trust.Make(c)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, trustFile), pinned.Marshal(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnchorScript drives steno anchor against a deployment whose server has two authorities.
func TestAnchorScript(t *testing.T) {
	curl := need.Program(t, "curl")
	dir := filepath.Join(t.TempDir(), "deployment")
	startUp(t, dir).stop()
	var authorities []map[string]string
	var pinned []timestamp.Authority
	urls := map[string]string{}
	for _, name := range []string{"dev-a", "dev-b"} {
		url, a := devTSA(t, name, filepath.Join(dir, name+".pem"))
		urls[name], pinned = url, append(pinned, a)
		authorities = append(authorities, map[string]string{"name": name, "url": urls[name], "certificates": name + ".pem"})
	}
	setAuthorities(t, filepath.Join(dir, serverFile), authorities)
	pin(t, dir, 2, pinned...)
	startUp(t, dir)
	c, err := readClientConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := c.readToken(c.Recorder.Token)
	if err != nil {
		t.Fatal(err)
	}
	auditor, err := c.readToken(c.Auditor.Token)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("all", func(t *testing.T) { // the deployment outlives it
		testscript.Run(t, testscript.Params{
			Dir: "testdata/anchor", RequireExplicitExec: true, RequireUniqueNames: true,
			Setup: func(e *testscript.Env) error {
				for k, v := range map[string]string{
					envDir: dir, "CURL": curl, "INGEST": c.Ingest, "AUDIT": c.Audit, "OPS": c.Ops, "DEV_B": urls["dev-b"],
					"AUTH": "Authorization: Bearer " + recorder, "AUDITOR": "Authorization: Bearer " + auditor,
				} {
					e.Setenv(k, v)
				}
				return nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "capture": capture},
		})
	})
}
