//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stenolog/steno/checkpoint"
)

// TestLyingWitness has witnesses answer everything alike. The run ends, and finds that they do not do what they must.
func TestLyingWitness(t *testing.T) {
	_, vkey, err := checkpoint.GenerateKey(checkpoint.CosignatureEd25519, "liar.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"huge size": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(http.StatusConflict)
			fmt.Fprintln(w, int64(1)<<62)
		},
		"empty 200":    func(http.ResponseWriter, *http.Request) {},
		"a stranger's": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, fifteen(72)) },
		"much":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2*maxAnswer)) },
		"404":          http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			files, _ := logs(t, 1)
			p, err := newProber(s.URL, "", []string{vkey}, files)
			if err != nil {
				t.Fatal(err)
			}
			if err := report(io.Discard, p, p.run(t.Context())); !errors.Is(err, errFails) {
				t.Errorf("the verdict is %v", err)
			}
		})
	}
}
