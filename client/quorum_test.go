package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/witness"
)

// newWitnesses starts the real witnesses of a world. While away says n, the last n of them do not answer.
func newWitnesses(t *testing.T, w *world, away *atomic.Int64) (all []daemon.Witness) {
	t.Helper()
	for i, skey := range w.Witnesses {
		state, published := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "published")
		for _, d := range []string{state, published} {
			if err := durable.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := witness.Create(state, published); err != nil {
			t.Fatal(err)
		}
		store := must(witness.OpenStore(state, published))
		if err := store.AddLog(t.Context(), []string{w.trust().Log}); err != nil {
			t.Fatal(err)
		}
		wit := must(witness.New(t.Context(), witness.Config{Signers: []*checkpoint.Signer{must(checkpoint.NewSigner(skey))}, State: store, Rate: float64(rate.Inf)}))
		handler := wit.Handler()
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if int64(len(w.Witnesses)-i) <= away.Load() {
				panic(http.ErrAbortHandler)
			}
			handler.ServeHTTP(rw, r)
		}))
		t.Cleanup(func() {
			server.Close()
			if err := wit.Close(); err != nil {
				t.Error(err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, daemon.Witness{Name: fmt.Sprintf("w%d", i+1), URL: server.URL})
	}
	return all
}

// The real server, with two of three real witnesses away: recording goes on, entries are integrated, and become witnessed
// when the two are back, with nobody's help.
func TestNAMEDGAPS_theRealServerLosesItsQuorum(t *testing.T) {
	w := newWitnessed()
	var away atomic.Int64
	d := newStenod(t, w, newWitnesses(t, w, &away)...)
	cfg := w.config("http://"+d.addrs.Ingest, t.TempDir())
	cfg.Token = d.recorder
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	soon(t, time.Minute, "the session is witnessed", func() bool { return len(states(rec)) == 0 })
	away.Store(2)
	for i := range 10 {
		if _, err := main.Record(within(t, 10*time.Second), remark(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	soon(t, time.Minute, "what came since is integrated", func() bool { s := states(rec); return s[client.Integrated] > 0 && s[client.Durable] == 0 })
	r, err := client.NewReader(client.ReaderConfig{URL: "http://" + d.addrs.Audit, Token: d.auditor, Trust: w.trust(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	published, err := r.Checkpoint(t.Context())
	if err != nil || !published.Witnessed {
		t.Fatalf("what is published: %+v, %v", published, err)
	}
	signed, err := r.Signed(t.Context())
	if err != nil || signed.Witnessed || signed.Size <= published.Size {
		t.Fatalf("what is signed: %+v, %v", signed, err)
	}
	away.Store(0)
	soon(t, time.Minute, "all is witnessed", func() bool { return len(states(rec)) == 0 })
	if c, err := r.Checkpoint(t.Context()); err != nil || c.Size < signed.Size {
		t.Errorf("what is published now: %+v, %v", c, err)
	}
	if err := main.CloseSession(within(t, 20*time.Second), client.Closing{Outcome: "completed"}); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
}
