//go:build linux

package integration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/tspclient-go"

	"github.com/stenolog/steno/integration/peers"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
)

const stampedNote = "log.example/test\n7\nSuGRk59UjZk0dAuI3qLFy4m7iHD8RQXNed7Gu/qu6cs=\n\n— log.example/test o8laY2dFkxM=\n"

// TestOtherPeoplesAuthorities asks real authorities, judges what they say, and has openssl and notaryproject's verifier judge the same.
func TestOtherPeoplesAuthorities(t *testing.T) {
	for name, start := range map[string]func(testing.TB) peers.TimeAuthority{
		"sigstore":                 peers.StartSigstoreAuthority,
		"openssl":                  peers.StartOpenSSLAuthority,
		"openssl with ESSCertID 1": peers.StartOldOpenSSLAuthority,
	} {
		t.Run(name, func(t *testing.T) {
			running := start(t)
			pinned := timestamp.Authority{
				Name: name, Anchors: running.DER(), From: time.Now().AddDate(-1, 0, 0), Until: time.Now().AddDate(1, 0, 0),
				Policies: []string{running.Policy}, Accuracy: 2 * time.Second,
			}
			digest := sha256.Sum256([]byte(stampedNote))
			before := time.Now().Truncate(time.Second)
			token, longTerm, err := (ask.Authority{Name: name, URL: running.URL, Now: time.Now}).Ask(t.Context(), digest)
			if err != nil {
				t.Fatal(err)
			}
			got, err := timestamp.Verify(token, digest, pinned)
			if err != nil {
				t.Fatal(err)
			}
			if got.Time.Before(before) || got.Time.After(time.Now()) || got.Policy != running.Policy {
				t.Errorf("the token says %+v", got)
			}
			if len(longTerm) != 1 || longTerm[0].Kind != ask.KindChain || !bytes.HasSuffix(longTerm[0].Bytes, running.PEM()) {
				t.Errorf("long-term data: %q", longTerm)
			}
			opensslAccepts(t, running, token, got.Time)
			if name != "openssl with ESSCertID 1" { // tspclient knows only version 2
				tspclientAccepts(t, running, token, got.Time)
			}
			refusesFlips(t, token, digest, pinned)
		})
	}
}

// opensslAccepts has openssl judge a token over the exact bytes that were stamped.
func opensslAccepts(t *testing.T, a peers.TimeAuthority, token []byte, at time.Time) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"note": []byte(stampedNote), "token.tst": token, "anchor.pem": a.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(data string) ([]byte, error) {
		cmd := exec.Command(need.Program(t, "openssl"), "ts", "-verify", "-data", data, "-in", "token.tst", "-token_in", "-CAfile", "anchor.pem",
			"-attime", fmt.Sprint(at.Unix()))
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if out, err := verify("note"); err != nil || !strings.Contains(string(out), "Verification: OK") {
		t.Errorf("openssl ts -verify: %v\n%s", err, out)
	}
	if out, err := verify("anchor.pem"); err == nil {
		t.Errorf("openssl ts -verify of other bytes: %s", out)
	}
}

func tspclientAccepts(t *testing.T, a peers.TimeAuthority, token []byte, at time.Time) {
	t.Helper()
	signed, err := tspclient.ParseSignedToken(token)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, c := range a.Anchors {
		roots.AddCert(c)
	}
	if _, err := signed.Verify(context.Background(), x509.VerifyOptions{Roots: roots, CurrentTime: at}); err != nil {
		t.Errorf("tspclient refuses the token: %v", err)
	}
}

func refusesFlips(t *testing.T, token []byte, digest [sha256.Size]byte, a timestamp.Authority) {
	t.Helper()
	for i := range 8 * len(token) {
		flipped := bytes.Clone(token)
		flipped[i/8] ^= 1 << (i % 8)
		_, err := timestamp.Verify(flipped, digest, a)
		var refused *timestamp.Error
		if !errors.As(err, &refused) {
			t.Errorf("bit %d of byte %d may be flipped: %v", i%8, i/8, err)
		}
	}
}
