package daemon_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage"
)

// A lost guard comes back from the witnesses, the log goes on, and not one of those who are needed can be left out.
func TestONEHISTORY_aLostGuardIsRebuiltFromAQuorum(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2)
	s := g.serveNew()
	for range 3 {
		s.record("witnessed")
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.RebuildGuard(t.Context(), g.config); !errors.Is(err, storage.ErrExists) {
		t.Errorf("beside a guard: %v", err)
	}
	if err := os.RemoveAll(g.path("guard")); err != nil {
		t.Fatal(err)
	}
	g.dogs[0].stop()
	g.dogs[1].stop()
	if r, err := daemon.RebuildGuard(t.Context(), g.config); err == nil || !strings.Contains(err.Error(), "w1-0, w2-0") || len(r.Lines) != 3 {
		t.Errorf("from one of three: %v, %q", err, r.Lines)
	}
	if _, err := os.Stat(g.config.Guard); err == nil {
		t.Error("the refusal left a guard")
	}
	g.dogs[1].start()
	g.liar(0, g.unsigned()) // says something that the log did not sign: silence
	r, err := daemon.RebuildGuard(t.Context(), g.config)
	if err != nil || r.Size == 0 {
		t.Fatalf("%v, %q", err, r.Lines)
	}
	for i, says := range []string{"w1-0: no answer: it shows a checkpoint that the log did not sign", "w2-0: size ", "w3-0: size "} {
		if !strings.HasPrefix(r.Lines[i], says) {
			t.Errorf("line %q, want %q", r.Lines[i], says)
		}
	}
	if _, err := daemon.RebuildGuard(t.Context(), g.config); !errors.Is(err, storage.ErrExists) {
		t.Errorf("again: %v", err)
	}
	s = g.serve()
	s.record("witnessed")
	if _, err := daemon.RebuildGuard(t.Context(), g.config); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("beside a server: %v", err)
	}
}

// Neither an old copy of the tree nor a log that nobody saw gets a guard.
func TestROLLBACK_noGuardForAnOldTree(t *testing.T) {
	t.Parallel()
	g := rolledBack(t)
	if err := os.RemoveAll(g.path("guard")); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.RebuildGuard(t.Context(), g.config); !errors.Is(err, log.ErrTreeBehind) {
		t.Errorf("an old tree: %v", err)
	}
	fresh := deployGuarded(t, 3, 2)
	if _, err := daemon.Init(t.Context(), fresh.config); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(fresh.path("guard")); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.RebuildGuard(t.Context(), fresh.config); !errors.Is(err, log.ErrUnknown) {
		t.Errorf("a log that no witness saw: %v", err)
	}
	alone := deploy(t)
	if _, err := daemon.RebuildGuard(t.Context(), alone.config); err == nil || !strings.Contains(err.Error(), "no quorum") {
		t.Errorf("a log without witnesses: %v", err)
	}
}

// What a witness shows without its own cosignature is not its word: somebody else can have put it there.
func TestONEHISTORY_aWitnessShowsItsOwnCosignature(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2)
	s := g.serveNew()
	s.record("witnessed")
	signed := s.get(s.addrs.Audit, "/v1/checkpoint", "examiner").body
	text, lines, _ := strings.Cut(string(signed), "\n\n")
	own := text + "\n\n" + strings.SplitAfter(lines, "\n")[0]
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(g.path("guard")); err != nil {
		t.Fatal(err)
	}
	g.dogs[2].stop()
	g.liar(0, own)
	r, err := daemon.RebuildGuard(t.Context(), g.config)
	if err == nil || !strings.Contains(strings.Join(r.Lines, "\n"), "w1-0: no answer: it shows a checkpoint without its own cosignature") {
		t.Errorf("%v, %q", err, r.Lines)
	}
}

// liar shows something in the place of a witness.
func (g *guarded) liar(i int, shows string) {
	g.t.Helper()
	g.dogs[i].stop()
	ln, err := net.Listen("tcp", g.dogs[i].address)
	if err != nil {
		g.t.Fatal(err)
	}
	srv := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, shows)
			return
		}
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintln(w, 1<<40)
	})}
	go srv.Serve(ln)                    //nolint:errcheck // ends with Close
	g.t.Cleanup(func() { srv.Close() }) //nolint:errcheck
}

// unsigned is a large checkpoint in the log's name, by a key that is not the log's.
func (g *guarded) unsigned() string {
	skey, _, err := checkpoint.GenerateKey(checkpoint.Ed25519, origin)
	if err != nil {
		g.t.Fatal(err)
	}
	key := must(checkpoint.NewSigner(skey))
	text := checkpoint.Checkpoint{Origin: origin, Size: 1 << 40}.Text()
	return text + "\n" + string(checkpoint.SignatureLine(origin, key.KeyHash(), must(key.Sign([]byte(text)))))
}
