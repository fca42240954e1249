package client_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// Somebody on the way adds a bad line under the name of a witness that is pinned later. It gets into no leaf, no proof and
// nothing that is kept, so that nothing of it fails under the trust file of then.
func TestLinesThatAreNotVerifiedAreNotPassedOn(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	skey, vkey := must2(checkpoint.GenerateKey(checkpoint.CosignatureEd25519, "w4.example/witness"))
	bad := checkpoint.SignatureLine("w4.example/witness", must(checkpoint.NewSigner(skey)).KeyHash(), make([]byte, 72))
	c := w.trust().Config
	c.Policy = append([]byte(fmt.Sprintf("witness w4 %s\n", vkey)), c.Policy...)
	c.Operators = append(c.Operators, trust.Operator{Name: "w4.example", Witnesses: []string{"w4"}})
	later := must(trust.Make(c))
	open(t, newRecorder(t, w.config(s.URL, t.TempDir())))
	s.with(func() {
		s.shown = append(s.checkpointLocked(), bad...)
		if _, err := later.OpenCheckpoint(s.shown); err == nil {
			t.Fatal("the line is not bad")
		}
	})
	whole := func(what string, b []byte) {
		t.Helper()
		if cp, err := later.OpenCheckpoint(b); err != nil || !cp.Witnessed || bytes.Contains(b, []byte("w4.example")) {
			t.Errorf("%s: %v\n%s", what, err, b)
		}
	}
	cfg := w.config(s.URL, t.TempDir())
	rec := newRecorder(t, cfg)
	open(t, rec)
	embedded := must(s.entriesOf(t, entry.MainTrack)[1].Events[0].Value()).(*entry.SessionOpen).Checkpoint
	whole("what is embedded", []byte(embedded))
	whole("what is kept", must(os.ReadFile(filepath.Join(cfg.Dir, "checkpoint"))))
	r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust()})
	if err != nil {
		t.Fatal(err)
	}
	cp, err := r.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole("what is read", cp.Note)
	if err := rec.Close(within(t, time.Second)); err != nil {
		t.Log(err) // the checkpoint that is shown does not cover the session
	}
	cfg.Trust = later
	s.with(func() { s.shown = nil })
	open(t, newRecorder(t, cfg))
}

// A note with post-quantum signatures is longer than a tile, and unlike one it is not the same the next time.
func TestFetchingTheCheckpoint(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust()})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 12} { // lines
		s.with(func() {
			s.shown = append(s.checkpointLocked(), bytes.Repeat(checkpoint.SignatureLine("stranger.example", 7, make([]byte, 2428)), n)...)
		})
		if b, err := r.Fetch(t.Context(), "checkpoint"); err != nil || !bytes.Equal(b, s.shown) {
			t.Fatalf("%d lines: %d bytes of %d, %v", n, len(b), len(s.shown), err)
		}
	}
}
