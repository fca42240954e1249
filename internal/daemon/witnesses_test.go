package daemon_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/time/rate"

	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// A guarddog is a real witness in a process of its own, as far as a test goes: its files, its keys, its address. It can be
// stopped and started.
type guarddog struct {
	t       *testing.T
	name    string
	dirs    [2]string
	signers []*checkpoint.Signer
	address string
	store   *witness.Store
	witness *witness.Witness
	server  *http.Server
	tls     *tls.Config
	shown   atomic.Int64 // times that it was asked for its latest checkpoint
}

func newGuarddog(t *testing.T, name, dir string, logs []string, algorithms ...checkpoint.Algorithm) *guarddog {
	t.Helper()
	w := &guarddog{t: t, name: name, dirs: [2]string{dir + "/state", dir + "/published"}, address: "127.0.0.1:0"}
	for i, a := range algorithms {
		skey, _, err := checkpoint.GenerateKey(a, fmt.Sprintf("%s.example/%d", name, i))
		if err != nil {
			t.Fatal(err)
		}
		w.signers = append(w.signers, must(checkpoint.NewSigner(skey)))
	}
	for _, d := range append([]string{dir}, w.dirs[:]...) {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := witness.Create(w.dirs[0], w.dirs[1]); err != nil {
		t.Fatal(err)
	}
	w.start()
	if err := w.store.AddLog(context.Background(), logs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *guarddog) start() {
	w.t.Helper()
	w.store = must(witness.OpenStore(w.dirs[0], w.dirs[1]))
	w.witness = must(witness.New(context.Background(), witness.Config{Signers: w.signers, State: w.store, Rate: float64(rate.Inf)}))
	ln, err := net.Listen("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.address = ln.Addr().String()
	handler := w.witness.Handler()
	w.server = &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(rw, r)
		if r.Method == http.MethodGet {
			w.shown.Add(1)
		}
	})}
	if w.tls != nil {
		ln = tls.NewListener(ln, w.tls)
	}
	go w.server.Serve(ln) //nolint:errcheck // ends with Close
}

func (w *guarddog) stop() {
	if w.server == nil {
		return
	}
	if err := errors.Join(w.server.Close(), w.witness.Close(), w.store.Close()); err != nil {
		w.t.Error(err)
	}
	w.server = nil
}

func (w *guarddog) url() string { return "http://" + w.address }

// A guarded deployment has witnesses, one operator each, and a quorum.
type guarded struct {
	*deployment
	dogs []*guarddog
}

// deployGuarded makes a deployment with so many witnesses, of which so many must cosign.
func deployGuarded(t *testing.T, n, quorum int, algorithms ...checkpoint.Algorithm) *guarded {
	t.Helper()
	g := &guarded{deployment: deploy(t)}
	if len(algorithms) == 0 {
		algorithms = []checkpoint.Algorithm{checkpoint.CosignatureEd25519}
	}
	logs := []string{must(trust.Parse([]byte(readFile(t, g.config.Trust)))).Log}
	if len(algorithms) > 1 { // the log signs with both kinds too
		g.config.Keys.LogMLDSA = daemon.Files{g.path("log-ml-dsa.key")}
		logs = append(logs, must(checkpoint.NewSigner(readFile(t, g.path("log-ml-dsa.key")))).Verifier().String())
	}
	for i := range n {
		g.dogs = append(g.dogs, newGuarddog(t, fmt.Sprintf("w%d", i+1), g.path(fmt.Sprintf("w%d", i+1)), logs, algorithms...))
	}
	g.writeTrust(logs, quorum, func(*trust.Config) {})
	for _, w := range g.dogs {
		g.config.Witnesses = append(g.config.Witnesses, daemon.Witness{Name: w.name + ".example", URL: w.url()})
	}
	return g
}

func (g *guarded) writeTrust(logs []string, quorum int, change func(*trust.Config)) {
	g.t.Helper()
	before := must(trust.Parse([]byte(readFile(g.t, g.config.Trust))))
	c := trust.Config{Version: 1, Received: before.Received, System: before.System, Enrollers: before.Enrollers}
	var policy, groups, members strings.Builder
	for _, l := range logs {
		fmt.Fprintf(&policy, "log %s\n", l)
	}
	for _, w := range g.dogs {
		op := trust.Operator{Name: w.name + ".example"}
		for i, s := range w.signers {
			name := fmt.Sprintf("%s-%d", w.name, i)
			fmt.Fprintf(&policy, "witness %s %s\n", name, s.Verifier())
			op.Witnesses = append(op.Witnesses, name)
		}
		c.Operators = append(c.Operators, op)
		fmt.Fprintf(&groups, "group %s any %s\n", w.name, strings.Join(op.Witnesses, " "))
		members.WriteString(" " + w.name)
	}
	fmt.Fprintf(&policy, "%sgroup all %d%s\nquorum all\n", groups.String(), quorum, members.String())
	c.Policy = []byte(policy.String())
	change(&c)
	write(g.t, g.config.Trust, string(must(trust.Make(c)).Marshal()), 0o644)
}

// serveNew creates the log and serves it.
func (g *guarded) serveNew() *server {
	g.t.Helper()
	if _, err := daemon.Init(g.t.Context(), g.config); err != nil {
		g.t.Fatal(err)
	}
	return g.serve()
}

// checkpoint is the published one, which must have all that policy demands; size 0 and false if there is none.
func (s *server) checkpoint() (size uint64, ok bool) {
	s.t.Helper()
	r := s.get(s.addrs.Public, "/checkpoint", "")
	if r.StatusCode != 200 {
		return 0, false
	}
	c, err := s.trust().OpenCheckpoint(r.body)
	if err != nil || !c.Witnessed {
		s.t.Fatalf("/checkpoint lacks the quorum: %v, %s\n%s", err, c.Missing, r.body)
	}
	return c.Size, true
}

// record opens a session and returns its receipt.
func (s *server) record(wait string) wire.Receipt {
	s.t.Helper()
	var a wire.Answer
	r := s.post("/v1/sessions?wait="+wait, `{"agent":"acme/ledger-bot","privilege":"financial"}`)
	if r.StatusCode != 201 {
		s.t.Fatalf("recording: %d %s\n%s", r.StatusCode, r.body, s.logs)
	}
	r.json(s.t, &a)
	return a.Receipts[0]
}

// checks are what the server says of itself, and with which status.
func (s *server) checks(path string) (status int, all map[string]api.Check) {
	s.t.Helper()
	r := s.get(s.addrs.Ops, path, "ops")
	var h api.Health
	r.json(s.t, &h)
	all = make(map[string]api.Check)
	for _, c := range h.Checks {
		all[c.Check] = c
	}
	return r.StatusCode, all
}

func (s *server) alerts() (all []string) {
	s.t.Helper()
	for _, e := range s.leaves() {
		for _, ev := range e.Events {
			if ev.Type == entry.TypeAlert {
				var a entry.Alert
				if err := ev.Decode(&a); err != nil {
					s.t.Fatal(err)
				}
				all = append(all, string(a.Alert+"/"+a.Severity))
			}
		}
	}
	return all
}

// With two of three witnesses away the log records, publishes nothing, and says who is missing. It heals alone. Both kinds of
// keys, everywhere.
func TestWitnesses_quorumLostAndBack(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2, checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44)
	s := g.serveNew()
	if rc := s.record("witnessed"); rc.Level != wire.Witnessed || !must(s.trust().OpenCheckpoint([]byte(rc.Checkpoint))).Witnessed {
		t.Errorf("receipt %+v", rc)
	}
	if n := strings.Count(string(s.get(s.addrs.Public, "/checkpoint", "").body), "\n— "+origin+" "); n != 2 {
		t.Errorf("the log's own signatures are %d", n)
	}
	g.dogs[1].stop()
	g.dogs[2].stop()
	published, _ := s.checkpoint()
	rc := s.record("integrated")
	if rc.Level != wire.Integrated {
		t.Errorf("receipt %+v", rc)
	}
	eventually(t, "the missing are named", func() bool {
		_, checks := s.checks("/healthz")
		return strings.HasPrefix(checks["witness w2-0,w2-1"].Detail, "missing since ") && strings.HasPrefix(checks["witness w3-0,w3-1"].Detail, "missing since ")
	})
	eventually(t, "the quorum is lost", func() bool { status, checks := s.checks("/healthz"); return status == 503 && !checks["quorum"].OK })
	if status, checks := s.checks("/readyz"); status != 200 || !checks["witness w1-0,w1-1"].OK || checks["witness w2-0,w2-1"].OK || !strings.Contains(checks["quorum"].Detail, "w2-0,w2-1 w3-0,w3-1") {
		t.Errorf("%d %+v", status, checks)
	}
	_, all := s.checks("/healthz")
	for _, c := range all {
		if strings.Contains(c.Detail, "127.0.0.1") {
			t.Errorf("health shows an address: %+v", c)
		}
	}
	s.record("durable")
	if size, _ := s.checkpoint(); size != published {
		t.Errorf("published %d without a quorum, before it was lost %d", size, published)
	}
	eventually(t, "the alert", func() bool { return len(s.alerts()) == 1 })
	g.dogs[1].start()
	eventually(t, "it heals", func() bool { size, _ := s.checkpoint(); return size > rc.Index })
	eventually(t, "the other alert", func() bool { return len(s.alerts()) == 2 })
	if got := s.alerts(); got[0] != "witness-quorum-lost/warning" || got[1] != "witness-quorum-restored/info" {
		t.Errorf("alerts %v", got)
	}
	// With one of them still away, all is well.
	eventually(t, "health", func() bool {
		status, checks := s.checks("/healthz")
		return status == 200 && strings.Contains(checks["witness w3-0,w3-1"].Detail, "missing")
	})
}

// All are away at the start: the log admits, signs nothing, says that it waits, and heals alone.
func TestWitnesses_allAwayAtTheStart(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2)
	for _, w := range g.dogs {
		w.stop()
	}
	s := g.serveNew()
	rc := s.record("durable")
	if size, ok := s.checkpoint(); ok {
		t.Errorf("published size %d", size)
	}
	status, checks := s.checks("/healthz")
	if status != 503 || !strings.Contains(checks["quorum"].Detail, "waiting for witnesses") {
		t.Errorf("%d %+v", status, checks)
	}
	if status, _ := s.checks("/readyz"); status != 200 {
		t.Errorf("not ready: %d", status)
	}
	c, err := s.trust().OpenCheckpoint(s.get(s.addrs.Audit, wire.PathCheckpoint, "examiner").body)
	if err != nil || c.Size != 0 {
		t.Errorf("ONE-HISTORY: it has signed size %d, %v", c.Size, err)
	}
	g.dogs[0].start() // is not enough: the others could have seen more
	eventually(t, "it is asked twice", func() bool { return g.dogs[0].shown.Load() >= 2 })
	if _, checks := s.checks("/healthz"); !strings.Contains(checks["quorum"].Detail, "waiting for witnesses") {
		t.Errorf("one of two is enough: %+v", checks["quorum"])
	}
	g.dogs[2].start()
	eventually(t, "it heals", func() bool { size, ok := s.checkpoint(); return ok && size > rc.Index })
}

// What a witness shows that the log did not sign is no answer: a liar must not speak in the place of those who saw more.
func TestROLLBACK_rubbishIsSilence(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2)
	g.liar(0, g.unsigned())
	g.dogs[1].stop()
	s := g.serveNew()
	eventually(t, "it is asked twice", func() bool { return g.dogs[2].shown.Load() >= 4 }) // Init does not ask, a start does twice
	if _, checks := s.checks("/healthz"); !strings.Contains(checks["quorum"].Detail, "waiting for witnesses") {
		t.Errorf("a liar and one witness are enough: %+v", checks["quorum"])
	}
}

// copyOf is an old copy of the whole log machine, guard included.
func (g *guarded) copyOf() (restore func()) {
	g.t.Helper()
	backup := g.t.TempDir()
	run := func(args ...string) {
		if out, err := exec.Command("cp", args...).CombinedOutput(); err != nil {
			g.t.Fatalf("cp: %s", out)
		}
	}
	run("-a", g.config.Dir, g.path("guard"), backup)
	return func() {
		for _, d := range []string{g.config.Dir, g.path("guard")} {
			if err := os.RemoveAll(d); err != nil {
				g.t.Fatal(err)
			}
		}
		run("-a", backup+"/data", backup+"/guard", g.dir)
	}
}

// rolledBack is a log of which an old copy was put back after its witnesses had seen more.
func rolledBack(t *testing.T) *guarded {
	t.Helper()
	g := deployGuarded(t, 3, 2)
	s := g.serveNew()
	s.record("witnessed")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	restore := g.copyOf()
	s = g.serve()
	s.record("witnessed")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	restore()
	return g
}

func TestROLLBACK_anOldCopyOfTheWholeMachineIsRefused(t *testing.T) {
	t.Parallel()
	g := rolledBack(t)
	g.dogs[0].stop() // two of three are enough to know
	err := daemon.Run(t.Context(), g.config, daemon.Options{Ready: func(daemon.Addrs) { t.Error("ROLLBACK: it serves") }})
	if !errors.Is(err, log.ErrGuardBehind) {
		t.Fatalf("got %v", err)
	}
}

// The witnesses are away while the old copy starts, so that it takes entries. It signs nothing, and stops when they are back.
func TestROLLBACK_anOldCopyStopsWhenTheWitnessesAreBack(t *testing.T) {
	t.Parallel()
	g := rolledBack(t)
	for _, w := range g.dogs {
		w.stop()
	}
	s := g.serve()
	before := must(s.trust().OpenCheckpoint(s.get(s.addrs.Audit, wire.PathCheckpoint, "examiner").body))
	s.record("durable")
	for _, w := range g.dogs {
		w.start()
	}
	eventually(t, "it stops", func() bool {
		status, checks := s.checks("/readyz")
		return status == 503 && !checks["signing"].OK
	})
	after := must(s.trust().OpenCheckpoint(s.get(s.addrs.Audit, wire.PathCheckpoint, "examiner").body))
	if after.Size != before.Size || after.Root != before.Root {
		t.Errorf("ONE-HISTORY: it has signed %d after %d", after.Size, before.Size)
	}
	if r := s.post("/v1/sessions", `{"agent":"acme/bot","privilege":"financial"}`); r.StatusCode < 500 {
		t.Errorf("it takes more: %d", r.StatusCode)
	}
	s.fails = true // a log that has stopped does not close well
	_ = s.stop()
	if err := daemon.Run(t.Context(), g.config, daemon.Options{Ready: func(daemon.Addrs) { t.Error("ROLLBACK: it serves") }}); err == nil {
		t.Error("it starts again")
	}
}

// A witness that claims to have seen more, and cannot show it, raises one alert, and changes nothing.
func TestWitnesses_aLiarOnlyAlarms(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2)
	g.liar(2, g.unsigned())
	s := g.serveNew()
	for range 20 {
		s.record("witnessed")
	}
	eventually(t, "the alert", func() bool { return len(s.alerts()) > 0 })
	s.record("witnessed")
	if got := s.alerts(); len(got) != 1 || got[0] != "witness-ahead/critical" {
		t.Errorf("alerts %v", got)
	}
	if status, checks := s.checks("/healthz"); status != 200 || !strings.Contains(checks["witness w3-0"].Detail, "missing") {
		t.Errorf("%d %+v", status, checks)
	}
}

// Whoever stole a key of the log that has ended, and speaks for a witness, keeps the log from nothing.
func TestWitnesses_aThiefOnlyAlarms(t *testing.T) {
	t.Parallel()
	g := deployGuarded(t, 3, 2)
	old, file := g.logs()[0], g.config.Keys.Log[0]
	fresh := must(daemon.GenerateKey(daemon.KeyLog, origin, g.path("new.key")))
	g.config.Keys.Log = daemon.Files{g.path("new.key")}
	g.writeTrust([]string{old, fresh}, 2, func(c *trust.Config) {
		c.Windows = []trust.Window{{Role: trust.RoleLog, Key: old, Until: 5, Compromised: true}}
	})
	for _, w := range g.dogs {
		if err := w.store.AddLog(t.Context(), []string{fresh}); err != nil {
			t.Fatal(err)
		}
	}
	thief := must(checkpoint.NewSigner(readFile(t, file)))
	forged := checkpoint.Checkpoint{Origin: origin, Size: 1 << 30}.Text()
	g.liar(2, forged+"\n"+string(checkpoint.SignatureLine(origin, thief.KeyHash(), must(thief.Sign([]byte(forged))))))
	s := g.serveNew()
	for range 3 {
		s.record("witnessed")
	}
	eventually(t, "the alert", func() bool { return len(s.alerts()) > 0 })
	if _, checks := s.checks("/readyz"); !checks["signing"].OK {
		t.Errorf("%+v", checks["signing"])
	}
}
