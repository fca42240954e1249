package authority_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func made(t *testing.T, kind string) authority.Material {
	t.Helper()
	m, err := authority.Make("a test", kind, now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "authority")
	if err := m.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := m.Write(dir); err == nil {
		t.Error("files of an authority were replaced")
	}
	if m, err = authority.Load(dir); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTokensVerify(t *testing.T) {
	for _, kind := range []string{authority.ECDSA, authority.RSA} {
		t.Run(kind, func(t *testing.T) {
			m := made(t, kind)
			a, err := authority.New(authority.Config{Material: m, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			data := []byte("a note\n")
			req, err := timestamp.NewRequest(sha256.Sum256(data), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			response, err := a.Respond(req.DER)
			if err != nil {
				t.Fatal(err)
			}
			token, err := req.Token(response)
			if err != nil {
				t.Fatal(err)
			}
			got, err := timestamp.Verify(token, req.Digest, timestamp.Authority{
				Name: "a test", Anchors: [][]byte{m.Anchor().Raw}, From: now, Until: now.Add(time.Second),
				Policies: []string{authority.PolicyOID}, Accuracy: authority.Accuracy,
			})
			if err != nil {
				t.Fatal(err)
			}
			if !got.Time.Equal(now) || got.Accuracy != authority.Accuracy || len(got.Chain) != 2 {
				t.Errorf("the token says %+v", got)
			}
			opensslAccepts(t, m, data, token)
		})
	}
}

// opensslAccepts asks a stranger.
func opensslAccepts(t *testing.T, m authority.Material, data, token []byte) {
	t.Helper()
	openssl, dir := need.Program(t, "openssl"), t.TempDir()
	for name, b := range map[string][]byte{"note": data, "token": token, "ca.pem": m.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(openssl, "ts", "-verify", "-data", "note", "-in", "token", "-token_in", "-CAfile", "ca.pem", "-attime", "1795521600")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Verification: OK")) {
		t.Errorf("openssl ts -verify: %v\n%s", err, out)
	}
}

func TestRefusals(t *testing.T) {
	a, err := authority.New(authority.Config{Material: made(t, authority.ECDSA)})
	if err != nil {
		t.Fatal(err)
	}
	req, err := timestamp.NewRequest([32]byte{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sha1 := bytes.Replace(req.DER, []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}, []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 9}, 1)
	for name, query := range map[string][]byte{
		"nothing": nil, "trailing bytes": append(bytes.Clone(req.DER), 0), "a hash that is unknown": sha1, "words": []byte("hello"),
	} {
		response, err := a.Respond(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := req.Token(response); err == nil || !strings.Contains(err.Error(), "status 2") {
			t.Errorf("%s is answered with %v", name, err)
		}
	}
	for _, r := range []struct {
		method, contentType string
		status              int
	}{
		{http.MethodGet, "", http.StatusMethodNotAllowed},
		{http.MethodPost, "text/plain", http.StatusUnsupportedMediaType},
	} {
		req := httptest.NewRequest(r.method, "/", nil)
		req.Header.Set("Content-Type", r.contentType)
		w := httptest.NewRecorder()
		if a.ServeHTTP(w, req); w.Code != r.status {
			t.Errorf("%s of %q is answered with %d, want %d", r.method, r.contentType, w.Code, r.status)
		}
	}
}
