package daemon_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
	"github.com/stenolog/steno/trust"
)

// A tsa is the development authority, behind a real listener, that can be made to fail.
type tsa struct {
	name   string
	server *httptest.Server
	pinned timestamp.Authority
	pem    string
	asked  atomic.Int64
	mu     sync.Mutex
	fault  http.HandlerFunc
	header string // that it saw last
	ahead  time.Duration
}

func newTSA(t *testing.T, name, kind string) *tsa {
	t.Helper()
	day := time.Now().UTC().Truncate(24 * time.Hour)
	subject := name
	if kind == authority.RSA { // its tokens are too long for an event
		subject += strings.Repeat(" and so on", 40)
	}
	m := must(authority.Make(subject, kind, day.AddDate(0, 0, -1), day.AddDate(1, 0, 0)))
	x := &tsa{name: name, pem: string(m.PEM()), pinned: timestamp.Authority{Name: name, Anchors: [][]byte{m.Anchor().Raw},
		From: day.AddDate(0, 0, -1), Until: day.AddDate(1, 0, 0), Accuracy: time.Second}}
	a := must(authority.New(authority.Config{Material: m, Now: func() time.Time {
		x.mu.Lock()
		defer x.mu.Unlock()
		return time.Now().Add(x.ahead)
	}}))
	x.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.asked.Add(1)
		x.mu.Lock()
		fault := x.fault
		x.header = r.Header.Get("Authorization")
		x.mu.Unlock()
		if fault != nil {
			fault(w, r)
			return
		}
		a.ServeHTTP(w, r)
	}))
	t.Cleanup(x.server.Close)
	return x
}

func (x *tsa) set(fault http.HandlerFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault = fault
}

// turn sets its clock.
func (x *tsa) turn(ahead time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ahead = ahead
}

// A stamped deployment has a witness, and authorities that its trust file pins, of which so many must bound a time.
type stamped struct {
	*guarded
	tsas []*tsa
}

func deployStamped(t *testing.T, stamps int, tsas ...*tsa) *stamped {
	t.Helper()
	s := &stamped{deployGuarded(t, 1, 1), tsas}
	s.writeTrust(s.logs(), 1, func(c *trust.Config) {
		for _, x := range tsas {
			c.Authorities = append(c.Authorities, x.pinned)
		}
		c.Stamps = stamps
	})
	for _, x := range tsas {
		s.config.Authorities = append(s.config.Authorities, daemon.Authority{Name: x.name, URL: x.server.URL})
	}
	return s
}

// An anchorAt is an anchor event, and the index of its leaf.
type anchorAt struct {
	entry.Anchor
	index uint64
}

func (s *server) anchors() (all []anchorAt) {
	s.t.Helper()
	for i, e := range s.leaves() {
		for _, ev := range e.Events {
			if ev.Type == entry.TypeAnchor {
				x := anchorAt{index: uint64(i)}
				if err := ev.Decode(&x.Anchor); err != nil {
					s.t.Fatal(err)
				}
				all = append(all, x)
			}
		}
	}
	return all
}

// await waits until the log has so many anchors, and serves them: the disk is a moment ahead of that.
func (s *server) await(n int) []anchorAt {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d anchors", n), func() bool {
		all := s.anchors()
		return len(all) >= n && s.get(s.addrs.Audit, fmt.Sprintf("/v1/entries/%d/time", all[len(all)-1].index), "examiner").StatusCode == 200
	})
	return s.anchors()
}

func (s *server) time(index uint64) (x wire.Time) {
	s.t.Helper()
	r := s.get(s.addrs.Audit, fmt.Sprintf("/v1/entries/%d/time", index), "examiner")
	if r.StatusCode != 200 {
		s.t.Fatalf("time of %d: %d %s\n%s", index, r.StatusCode, r.body, s.logs)
	}
	r.json(s.t, &x)
	return x
}

func (s *server) blob(h entry.Hash, index uint64, as string) *response {
	return s.get(s.addrs.Audit, fmt.Sprintf("/v1/blobs/%s?entry=%d", base64.RawURLEncoding.EncodeToString(h[:]), index), as)
}

// Both authorities stamp what is published; the log answers with the bracket, hands out what a judge needs, and goes on
// after a restart.
func TestAnchors(t *testing.T) {
	t.Parallel()
	a, b := newTSA(t, "a.example", authority.ECDSA), newTSA(t, "b.example", authority.RSA)
	d := deployStamped(t, 2, a, b)
	s := d.serveNew()
	begun := time.Now().Add(-2 * time.Second)
	first := s.record("witnessed")
	events := s.await(2)
	if slices.ContainsFunc(events, func(x anchorAt) bool { return x.Checkpoint != events[0].Checkpoint || x.Size != events[0].Size }) {
		t.Errorf("not the same checkpoint: %+v", events)
	}
	accesses := len(s.accesses())
	for _, x := range events {
		s.checkAnchor(d, x)
	}
	if n := len(s.accesses()); n != accesses {
		t.Errorf("reading public blobs left %d access events", n-accesses)
	}
	got := s.time(first.Index)
	if got.Level != wire.Anchored || got.NotBefore != nil || got.NotAfter == nil || got.NotAfter.Size != events[0].Size || got.Witnessed == nil ||
		got.NotAfter.Time.Time().Before(begun) || got.NotAfter.Time.Time().After(time.Now().Add(2*time.Second)) {
		t.Errorf("time of the first entry: %+v", got)
	}
	s.checkAuthorities(got, func(x wire.AuthorityTime, i int) bool {
		return x.Counts && x.NotBefore == nil && x.NotAfter != nil && x.NotAfter.AnchorIndex == events[i].index && x.NotAfter.Size == events[i].Size &&
			!x.NotAfter.Time.Time().Before(begun)
	}, string(events[0].Authority), string(events[1].Authority))
	for _, h := range []string{s.addrs.Ingest, s.addrs.Audit} {
		if r := s.get(h, "/v1/entries/99999/time", map[string]string{s.addrs.Ingest: "gw", s.addrs.Audit: "examiner"}[h]); r.StatusCode != 404 {
			t.Errorf("an entry that is not there: %d %s", r.StatusCode, r.body)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	again := d.serve()
	second := again.record("witnessed")
	got = again.time(second.Index)
	if got.Level != wire.Witnessed || got.NotAfter != nil || got.NotBefore == nil || got.NotBefore.AnchorIndex >= second.Index ||
		got.Witnessed == nil || !slices.Equal(got.Witnessed.Witnesses, []string{"w1-0"}) || got.Witnessed.Size <= second.Index {
		t.Errorf("time of the second entry: %+v", got)
	}
	again.checkAuthorities(got, func(x wire.AuthorityTime, i int) bool {
		return x.Counts && x.NotAfter == nil && x.NotBefore != nil && x.NotBefore.AnchorIndex == events[i].index && x.NotBefore.Size == 0
	}, string(events[0].Authority), string(events[1].Authority))
	if n := len(again.anchors()); n != 2 {
		t.Errorf("%d anchors, and the hour is not over", n)
	}
	again.onDemand(second.Index)
}

// checkAuthorities looks at what each authority says, which are listed by name; ok is told the place in names.
func (s *server) checkAuthorities(got wire.Time, ok func(x wire.AuthorityTime, i int) bool, names ...string) {
	s.t.Helper()
	if len(got.Authorities) != len(names) || !slices.IsSortedFunc(got.Authorities, func(x, y wire.AuthorityTime) int { return strings.Compare(x.Authority, y.Authority) }) {
		s.t.Fatalf("authorities: %+v", got.Authorities)
	}
	for _, x := range got.Authorities {
		if i := slices.Index(names, x.Authority); i < 0 || !ok(x, i) {
			s.t.Errorf("authority %+v, before %+v, after %+v", x, x.NotBefore, x.NotAfter)
		}
	}
}

// onDemand has a round made; then there is nothing to be made.
func (s *server) onDemand(index uint64) {
	s.t.Helper()
	for _, as := range []string{"", "gw", "examiner"} {
		if r := s.do("POST", s.addrs.Ops, "/v1/anchors", as, nil); r.StatusCode != 401 && r.StatusCode != 403 {
			s.t.Errorf("%q makes a round: %d", as, r.StatusCode)
		}
	}
	for i, fresh := range []bool{true, false} {
		var o wire.Anchors
		s.do("POST", s.addrs.Ops, "/v1/anchors", "ops", nil).json(s.t, &o)
		if o.New != fresh || o.Size <= index || len(o.Authorities) != 2 {
			s.t.Fatalf("round %d: %+v\n%s", i, o, s.logs)
		}
		for _, x := range o.Authorities {
			if !x.Anchored || x.AnchorIndex == nil || *x.AnchorIndex < o.Size || x.Time == nil || x.Reason != "" {
				s.t.Errorf("round %d: %+v", i, x)
			}
		}
	}
	if got := s.time(index); got.Level != wire.Anchored || got.NotAfter.AnchorIndex <= index || got.NotBefore.Time.Time().After(got.NotAfter.Time.Time()) {
		s.t.Errorf("afterwards: %+v", got)
	}
	events := s.anchors()
	if len(events) != 4 || events[2].Covers == nil || events[3].Covers == nil {
		s.t.Errorf("renewal: %+v", events)
	}
}

// checkAnchor judges an event with what the log hands out, and nothing else.
func (s *server) checkAnchor(d *stamped, x anchorAt) {
	s.t.Helper()
	for _, p := range x.LongTerm {
		r := s.blob(p.SHA256, x.index, "examiner")
		if r.StatusCode != 200 || sha256.Sum256(r.body) != p.SHA256 || uint64(len(r.body)) != p.Size {
			s.t.Fatalf("%s: %d", p.Kind, r.StatusCode)
		}
		if p.Kind == "checkpoint" {
			if c, err := s.trust().OpenCheckpoint(r.body); err != nil || !c.Witnessed || c.Size != x.Size || p.SHA256 != x.Checkpoint {
				s.t.Errorf("the stamped note: %+v %v", c, err)
			}
		}
		if r := s.blob(p.SHA256, x.index-1, "examiner"); p.Kind != "checkpoint" && r.StatusCode != 404 {
			s.t.Errorf("by another entry: %d", r.StatusCode)
		}
		for as, want := range map[string]int{"": 401, "gw": 403, "ops": 403} {
			if r := s.blob(p.SHA256, x.index, as); r.StatusCode != want {
				s.t.Errorf("read by %q: %d", as, r.StatusCode)
			}
		}
	}
	if x.LongTerm[0].Kind != "checkpoint" || len(x.LongTerm) < 2 || x.LongTerm[1].Kind != "certificate-chain" {
		s.t.Errorf("public blobs: %+v", x.LongTerm)
	}
	der, err := base64.StdEncoding.DecodeString(string(x.Token))
	if x.TokenBlob != nil {
		der = s.blob(x.TokenBlob.SHA256, x.index, "examiner").body
	}
	if err != nil || (x.TokenBlob != nil) != (x.Authority == "b.example") {
		s.t.Fatalf("%v, token %q", err, x.Token)
	}
	i := slices.IndexFunc(d.tsas, func(p *tsa) bool { return p.name == string(x.Authority) })
	if _, err := timestamp.Verify(der, x.Checkpoint, d.tsas[i].pinned); err != nil {
		s.t.Error(err)
	}
}

// An authority that fails, in whatever way, delays nobody. Health says so, an alert too, and it heals alone.
func TestAnchors_authorityAway(t *testing.T) {
	t.Parallel()
	a, b := newTSA(t, "a.example", authority.ECDSA), newTSA(t, "b.example", authority.ECDSA)
	d := deployStamped(t, 1, a, b)
	d.config.Anchors.Every = daemon.Duration(2 * time.Second)
	b.set(func(w http.ResponseWriter, r *http.Request) { // it hangs until the client has gone, which is seen once the body is read
		io.Copy(io.Discard, r.Body) //nolint:errcheck
		<-r.Context().Done()
	})
	s := d.serveNew()
	start := time.Now()
	s.record("witnessed")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("recording took %s", took)
	}
	s.await(1)
	eventually(t, "an alert", func() bool { return slices.Contains(s.alerts(), "authority-late/warning") })
	status, checks := s.checks("/healthz")
	if c := checks["authority b.example"]; status != 503 || c.OK || !strings.HasPrefix(c.Detail, "late since ") || c.Ready {
		t.Errorf("%d %+v", status, c)
	}
	if c := checks["authority a.example"]; !c.OK || !strings.Contains(c.Detail, "the latest that it anchored has size") {
		t.Errorf("%+v", c)
	}
	if status, _ := s.checks("/readyz"); status != 200 {
		t.Errorf("not ready: %d", status)
	}
	if m := string(s.get(s.addrs.Ops, "/metrics", "ops").body); !strings.Contains(m, "steno_anchoring_authorities_late 1\n") ||
		!strings.Contains(m, `steno_anchoring_tokens_total{authority="a.example"} `) {
		t.Error("metrics do not tell")
	}
	b.set(nil)
	b.server.CloseClientConnections() // what hangs
	eventually(t, "it heals", func() bool {
		status, _ := s.checks("/healthz")
		return status == 200 && slices.ContainsFunc(s.anchors(), func(x anchorAt) bool { return x.Authority == "b.example" })
	})
}

// A killed process leaves no token behind that nobody asks for again, and none twice.
func TestAnchors_restartWhileOneIsAway(t *testing.T) {
	t.Parallel()
	a, b := newTSA(t, "a.example", authority.ECDSA), newTSA(t, "b.example", authority.ECDSA)
	d := deployStamped(t, 1, a, b)
	b.set(http.NotFound)
	s := d.serveNew()
	s.record("witnessed")
	s.await(1)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.path("data", "state")); err != nil { // what is derived is rebuilt
		t.Fatal(err)
	}
	b.set(nil)
	asked := a.asked.Load()
	s = d.serve()
	events := s.await(2)
	if events[1].Authority != "b.example" || a.asked.Load() != asked {
		t.Errorf("%+v, and the first was asked %d times more", events, a.asked.Load()-asked)
	}
}

// An authority that is asked, and that the trust file does not name, bounds nothing, and the server says so. One that the trust
// file names does, also when it is asked no more.
func TestAnchors_theTrustFileDecides(t *testing.T) {
	t.Parallel()
	a, stranger := newTSA(t, "a.example", authority.ECDSA), newTSA(t, "stranger.example", authority.ECDSA)
	d := deployStamped(t, 1, a)
	write(t, d.path("root.pem"), stranger.pem[strings.LastIndex(stranger.pem, "-----BEGIN"):], 0o644)
	both := append(slices.Clone(d.config.Authorities), daemon.Authority{Name: stranger.name, URL: stranger.server.URL, Certificates: daemon.Files{d.path("root.pem")}})
	d.config.Authorities = both
	a.set(http.NotFound)
	s := d.serveNew()
	if warned := s.logs.String(); !strings.Contains(warned, "is not in the trust file") || !strings.Contains(warned, "stranger.example") {
		t.Errorf("no warning:\n%s", warned)
	}
	first := s.record("witnessed")
	x := s.await(1)[0]
	got := s.time(first.Index)
	if got.Level != wire.Witnessed || got.NotAfter != nil {
		t.Errorf("a stranger bounds: %+v", got)
	}
	s.checkAuthorities(got, func(y wire.AuthorityTime, i int) bool {
		return i == 0 && y.Counts && y.NotAfter == nil || i == 1 && !y.Counts && y.NotAfter != nil && y.NotAfter.AnchorIndex == x.index
	}, "a.example", "stranger.example")
	if _, checks := s.checks("/healthz"); !strings.Contains(checks["authority stranger.example"].Detail, "not in the trust file") {
		t.Errorf("%+v", checks["authority stranger.example"])
	}
	a.set(nil)
	s.do("POST", s.addrs.Ops, "/v1/anchors", "ops", nil)
	s.await(2)
	eventually(t, "renew_by", func() bool {
		_, checks := s.checks("/healthz")
		by := "renew_by " + a.pinned.Until.UTC().Format(time.RFC3339)
		metric := fmt.Sprintf("steno_anchoring_renew_by_timestamp_seconds %g\n", float64(a.pinned.Until.Unix()))
		return strings.Contains(string(s.get(s.addrs.Ops, "/metrics", "ops").body), metric) && checks["renewal"].OK && checks["renewal"].Detail == by && strings.Contains(checks["authority a.example"].Detail, by)
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	d.config.Authorities = nil
	s = d.serve()
	got = s.time(first.Index)
	if got.Level != wire.Anchored || got.NotAfter == nil || got.NotAfter.Authority != "a.example" || len(got.Authorities) != 1 {
		t.Errorf("nobody is asked any more: %+v", got)
	}
	if p := s.do("POST", s.addrs.Ops, "/v1/anchors", "ops", nil).problem(t); p.Code != "anchoring-off" {
		t.Errorf("%+v", p)
	}
}

// A log without authorities says what it knows.
func TestAnchors_none(t *testing.T) {
	t.Parallel()
	s := start(t)
	rc := s.record("integrated")
	if got := s.time(rc.Index); got.Level != wire.Integrated || got.NotBefore != nil || got.NotAfter != nil || got.Witnessed != nil || got.Authorities == nil || len(got.Authorities) > 0 {
		t.Errorf("%+v", got)
	}
	if p := s.do("POST", s.addrs.Ops, "/v1/anchors", "ops", nil).problem(t); p.Code != "anchoring-off" {
		t.Errorf("%+v", p)
	}
}

func TestAnchors_refusedAtLoad(t *testing.T) {
	a := newTSA(t, "a.example", authority.ECDSA)
	d := deployStamped(t, 1, a)
	other := newTSA(t, "a.example", authority.ECDSA)
	write(t, d.path("root.pem"), a.pem[strings.LastIndex(a.pem, "-----BEGIN"):], 0o644)
	write(t, d.path("other.pem"), other.pem[strings.LastIndex(other.pem, "-----BEGIN"):], 0o644)
	write(t, d.path("open.authorization"), "Bearer x\n", 0o644)
	write(t, d.path("two.authorization"), "Bearer x\nX: y\n", 0o600)
	write(t, d.path("good.authorization"), "Bearer x\n", 0o600)
	for name, x := range map[string]struct {
		change func(a *daemon.Authority)
		says   string
	}{
		"as it is":              {func(*daemon.Authority) {}, ""},
		"with its certificate":  {func(a *daemon.Authority) { a.Certificates = daemon.Files{d.path("root.pem")} }, ""},
		"with another's":        {func(a *daemon.Authority) { a.Certificates = daemon.Files{d.path("other.pem")} }, "not those of the trust file"},
		"a second opinion":      {func(a *daemon.Authority) { a.Policies = []string{"1.2.3"} }, "trust file's to say"},
		"a stranger":            {func(a *daemon.Authority) { a.Name = "x" }, "certificates are missing"},
		"a stranger, pinned":    {func(a *daemon.Authority) { a.Name, a.Certificates = "x", daemon.Files{d.path("other.pem")} }, ""},
		"no certificate":        {func(a *daemon.Authority) { a.Certificates = daemon.Files{d.config.Trust} }, "no certificate in PEM"},
		"no name":               {func(a *daemon.Authority) { a.Name = "" }, "no name"},
		"no URL":                {func(a *daemon.Authority) { a.URL = "tsa.example" }, "http(s)://"},
		"a URL with a password": {func(a *daemon.Authority) { a.URL = "https://u:hidden@tsa.example/" }, "\"a.example\": url has user info"},
		"a URL with a query":    {func(a *daemon.Authority) { a.URL = "https://tsa.example/?key=hidden" }, "\"a.example\": url has user info, a query"},
		"an empty query":        {func(a *daemon.Authority) { a.URL = "https://tsa.example/?" }, "url has user info, a query"},
		"a URL with a fragment": {func(a *daemon.Authority) { a.URL = "https://tsa.example/#hidden" }, "\"a.example\": url has user info, a query or a fragment"},
		"credentials in clear": {func(a *daemon.Authority) {
			a.URL, a.Authorization = "http://tsa.example/", d.path("good.authorization")
		}, "in clear"},
		"credentials":                  {func(a *daemon.Authority) { a.Authorization = d.path("good.authorization") }, ""},
		"credentials of two lines":     {func(a *daemon.Authority) { a.Authorization = d.path("two.authorization") }, "not one line"},
		"credentials for all to read":  {func(a *daemon.Authority) { a.Authorization = d.path("open.authorization") }, "authorization: "},
		"half a certificate":           {func(a *daemon.Authority) { a.TLS.Key = "x" }, "needs both"},
		"TLS where there is none":      {func(a *daemon.Authority) { a.CA = d.path("root.pem") }, "in clear"},
		"a host that is none":          {func(a *daemon.Authority) { a.RevocationHosts = []string{"http://x"} }, "revocation_hosts"},
		"a policy that is not there":   {func(a *daemon.Authority) { a.PolicyDocument = d.path("none") }, "policy_document"},
		"a negative accuracy":          {func(a *daemon.Authority) { a.Accuracy = -1 }, "negative"},
		"a chain that is not there":    {func(a *daemon.Authority) { a.Chain = daemon.Files{d.path("none")} }, "chain"},
		"certificates not to be found": {func(a *daemon.Authority) { a.Certificates = daemon.Files{d.path("none")} }, "certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			c := d.config
			c.Authorities = slices.Clone(c.Authorities)
			x.change(&c.Authorities[0])
			err := c.Check()
			if err == nil {
				err = daemon.CheckFiles(c)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error tells what must not be logged: %v", err)
			}
			if x.says == "" && err != nil || x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)) {
				t.Errorf("got %v, want %q", err, x.says)
			}
		})
	}
	twice := d.config
	twice.Authorities = append(slices.Clone(twice.Authorities), twice.Authorities[0])
	if err := twice.Check(); err == nil {
		t.Error("one authority twice: its word would be asked for twice")
	}
}

// Credentials go to the authority, and a token that verifiers would refuse does not get into the log.
func TestAnchors_nothingUnverified(t *testing.T) {
	t.Parallel()
	a, other := newTSA(t, "a.example", authority.ECDSA), newTSA(t, "a.example", authority.ECDSA)
	d := deployStamped(t, 1, a)
	write(t, d.path("authorization"), "Basic eHl6\n", 0o600)
	d.config.Authorities[0].Authorization = d.path("authorization")
	d.config.Authorities[0].URL = other.server.URL
	s := d.serveNew()
	s.record("witnessed")
	var o wire.Anchors
	s.do("POST", s.addrs.Ops, "/v1/anchors", "ops", nil).json(t, &o)
	if len(o.Authorities) != 1 || o.Authorities[0].Anchored || o.Authorities[0].Reason != string(timestamp.ReasonChain) {
		t.Errorf("%+v", o)
	}
	if n := len(s.anchors()); n != 0 {
		t.Errorf("%d anchors", n)
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	if other.header != "Basic eHl6" {
		t.Errorf("credentials: %q", other.header)
	}
}

// An authority whose clock is behind those of the witnesses, more than the tolerance, does not date what they have cosigned.
func TestAnchors_clocksOfWitnesses(t *testing.T) {
	t.Parallel()
	a, b := newTSA(t, "a.example", authority.ECDSA), newTSA(t, "b.example", authority.ECDSA)
	a.turn(-3 * trust.ClockTolerance)
	b.turn(-trust.ClockTolerance / 2)
	s := deployStamped(t, 1, a, b).serveNew()
	s.record("witnessed")
	round := func() (o wire.Anchors) {
		s.do("POST", s.addrs.Ops, "/v1/anchors", "ops", nil).json(t, &o)
		return o
	}
	if o := round(); o.Authorities[0].Anchored || o.Authorities[0].Reason != "order" || !o.Authorities[1].Anchored {
		t.Errorf("a round: %+v", o)
	}
	a.turn(0)
	if o := round(); !o.Authorities[0].Anchored || len(s.await(2)) != 2 {
		t.Errorf("a round by the right clocks: %+v", o)
	}
}
