package daemon_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/internal/daemon"
)

// startWith serves with other settings.
func startWith(t *testing.T, change func(*daemon.Config)) *server {
	t.Helper()
	d := deploy(t)
	change(&d.config)
	if _, err := daemon.Init(t.Context(), d.config); err != nil {
		t.Fatal(err)
	}
	return d.serve()
}

// raw writes bytes to a listener as they are, then half-closes if told to, and reads the answer.
func (s *server) raw(addr, text string, halfClose bool) *response {
	s.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	if halfClose {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			s.t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &response{resp, b}
}

// head is the beginning of a POST of JSON as gw, with further header lines.
func (s *server) head(path string, lines ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: steno\r\nAuthorization: Bearer " + s.tokens["gw"] +
		"\r\nContent-Type: application/json\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func (r *response) is(t *testing.T, name, code string, status int) {
	t.Helper()
	if p := r.problem(t); p.Code != code || p.Status != status {
		t.Errorf("%s: got %d %s, want %d %s", name, p.Status, p.Code, status, code)
	}
	if (status == 429 || status == 503) && r.Header.Get("Retry-After") == "" {
		t.Errorf("%s: no Retry-After", name)
	}
}

func TestBadInput_bodies(t *testing.T) {
	s := startWith(t, func(c *daemon.Config) {
		c.Limits.MaxBody, c.Limits.InFlight = 1<<20, 3<<20
	})
	before := s.size()
	open := `{"agent":"acme/bot","privilege":"financial"}`
	in := s.addrs.Ingest
	s.raw(in, s.head("/v1/sessions", "Content-Length: 100")+open, true).is(t, "truncated", "truncated-body", 400)
	s.raw(in, s.head("/v1/sessions", "Transfer-Encoding: chunked")+"10\r\n{", true).is(t, "truncated chunk", "truncated-body", 400)
	s.raw(in, s.head("/v1/sessions", "Transfer-Encoding: chunked")+"zz\r\n{", false).is(t, "bad chunk", "truncated-body", 400)
	s.raw(in, s.head("/v1/sessions", fmt.Sprintf("Content-Length: %d", 2<<20)), false).is(t, "announced too large", "body-too-large", 413)
	large := strings.NewReader(strings.Repeat("x", 1<<20+1))
	s.do("POST", in, "/v1/sessions", "gw", struct{ io.Reader }{large}, "Content-Type: application/json").is(t, "chunked too large", "body-too-large", 413)
	for ct, code := range map[string]string{"": "unsupported-media-type", "text/plain": "unsupported-media-type", "application/json; charset=utf-16": "unsupported-media-type",
		"application/json, text/plain": "unsupported-media-type", "application/jsonx": "unsupported-media-type"} {
		var h []string
		if ct != "" {
			h = append(h, "Content-Type: "+ct)
		}
		r := s.do("POST", in, "/v1/sessions", "gw", strings.NewReader(open), h...)
		r.is(t, ct, code, 415)
		if r.Header.Get("Accept-Post") != wire.SubmissionType+", "+wire.JSONType {
			t.Errorf("Accept-Post %q", r.Header.Get("Accept-Post"))
		}
	}
	s.do("POST", in, "/v1/sessions", "gw", strings.NewReader(open), "Content-Type: application/json", "Content-Encoding: gzip").is(t, "gzip", "unsupported-encoding", 415)
	s.post("/v1/sessions/01a20d2b-fd9c-72a8-93eb-1318bfe8d78f/entries", open).is(t, "JSON as entries", "unsupported-media-type", 415)
	for body, code := range map[string]string{"": "submission-version", "steno/submission/v1\n": "submission-framing",
		"steno/submission/v1\nE\x00\x00\x00\x09abc": "submission-truncated", "steno/submission/v1\nE\xff\xff\xff\xff": "submission-frame-size",
		"steno/submission/v2\nE\x00\x00\x00\x01a": "submission-version"} {
		s.do("POST", in, "/v1/sessions", "gw", strings.NewReader(body), "Content-Type: "+wire.SubmissionType).is(t, body, code, 422)
	}
	for _, body := range []string{"", "{", "[]", open + "x", `{"agent":"acme/bot","agent":"b","privilege":"financial"}`, `{"agent":"acme/bot","Privilege":"financial"}`, "\xff"} {
		r := s.post("/v1/sessions", body)
		if p := r.problem(t); p.Status != 422 {
			t.Errorf("managed open %q: %s", body, r.body)
		}
	}
	if after := s.size(); after != before {
		t.Errorf("the log grew from %d to %d", before, after)
	}
	if r := s.post("/v1/sessions", open); r.StatusCode != 201 {
		t.Errorf("a good request afterwards: %d %s", r.StatusCode, r.body)
	}
}

// A body that stops coming is answered when its time is over, and nothing of it is stored.
func TestBadInput_slowBody(t *testing.T) {
	s := startWith(t, func(c *daemon.Config) { c.Limits.BodyTimeout = daemon.Duration(300 * time.Millisecond) })
	before := s.size()
	open := `{"agent":"acme/bot","privilege":"financial"}`
	r := s.raw(s.addrs.Ingest, s.head("/v1/sessions", "Content-Length: 100")+open, false)
	r.is(t, "slow", "slow-body", 408)
	if !r.Close {
		t.Error("the connection goes on, with the rest of the body still to come")
	}
	s.raw(s.addrs.Ingest, s.head("/v1/sessions", "Transfer-Encoding: chunked")+"5\r\n{", false).is(t, "slow chunk", "slow-body", 408)
	if after := s.size(); after != before {
		t.Errorf("the log grew from %d to %d", before, after)
	}
}

// A body that nobody wants is not waited for either: whoever has no token could hold every connection with it.
func TestBadInput_bodyThatIsNotRead(t *testing.T) {
	s := startWith(t, func(c *daemon.Config) { c.Limits.BodyTimeout = daemon.Duration(300 * time.Millisecond) })
	for name, request := range map[string]struct{ addr, text string }{
		"GET":          {s.addrs.Public, "GET /checkpoint HTTP/1.1\r\nHost: steno\r\nContent-Length: 1000\r\n\r\n"},
		"no token":     {s.addrs.Ingest, "POST /v1/sessions HTTP/1.1\r\nHost: steno\r\nContent-Length: 1000\r\n\r\n"},
		"chunked":      {s.addrs.Ingest, "POST /v1/sessions HTTP/1.1\r\nHost: steno\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"},
		"unknown path": {s.addrs.Ops, "POST /nowhere HTTP/1.1\r\nHost: steno\r\nContent-Length: 1000\r\n\r\n"},
	} {
		c, err := net.Dial("tcp", request.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, request.text); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the connection is still open", name)
		}
	}
}

func TestBadInput_requests(t *testing.T) {
	s := start(t)
	in, au := s.addrs.Ingest, s.addrs.Audit
	open := `{"agent":"acme/bot","privilege":"financial"}`
	session := "01a20d2b-fd9c-72a8-93eb-1318bfe8d78f"
	s.get(in, "/nowhere", "gw").is(t, "path", "not-found", 404)
	r := s.do("DELETE", in, "/v1/sessions", "gw", nil)
	r.is(t, "DELETE", "method-not-allowed", 405)
	if r.Header.Get("Allow") != "POST" {
		t.Errorf("Allow %q", r.Header.Get("Allow"))
	}
	s.do("PUT", au, "/v1/sessions/"+session+"/entries", "examiner", nil).is(t, "APPEND-ONLY", "method-not-allowed", 405)
	s.post("/v1/sessions", open, "Accept: text/html").is(t, "Accept", "not-acceptable", 406)
	s.post("/v1/sessions?colour=red", open).is(t, "parameter", "bad-parameter", 400)
	s.post("/v1/sessions?wait=durable&wait=integrated", open).is(t, "parameter twice", "bad-parameter", 400)
	s.post("/v1/sessions?wait=forever", open).is(t, "wait", "bad-parameter", 400)
	s.post("/v1/sessions?a=%zz", open).is(t, "escape", "bad-parameter", 400)
	s.post("/v1/sessions", open, "Idempotency-Key: jo@acme.example").is(t, "key", "bad-parameter", 400)
	s.post("/v1/sessions", open, "Idempotency-Key: a", "Idempotency-Key: b").is(t, "two keys", "bad-parameter", 400)
	s.post("/v1/sessions/x/events", open).is(t, "no session's name", "unknown-session", 404)
	s.post("/v1/sessions/"+session+"/events", `{"event":"annotation","kind":"remark","event_id":"e"}`).is(t, "unknown session", "unknown-session", 404)
	s.post("/v1/sessions/"+session+"/heartbeat", "{}").is(t, "heartbeat with a body", "bad-parameter", 400)
	for _, q := range []string{"limit=0", "limit=501", "limit=1e2", "limit=-1", "limit=01", "from=yesterday", "state=happy", "ref=nocolon", "agent=a%20b", "limit=1&limit=2"} {
		s.get(au, "/v1/sessions?"+q, "examiner").is(t, q, "bad-parameter", 400)
	}
	s.get(au, "/v1/sessions/"+session, "examiner").is(t, "session", "unknown-session", 404)
	s.get(au, "/v1/sessions/"+session+"/keys", "examiner").is(t, "keys", "unknown-session", 404)
	s.get(au, "/v1/entries/999999/proof", "examiner").is(t, "proof beyond the log", "not-covered", 404)
	s.get(au, "/v1/entries/01/proof", "examiner").is(t, "proof of no index", "not-found", 404)
	s.get(au, "/v1/blobs/AAAA?entry=0", "examiner").is(t, "blob's name", "not-found", 404)
	s.get(au, "/v1/blobs/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "examiner").is(t, "no entry", "bad-parameter", 400)
	s.get(au, "/v1/blobs/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?entry=0", "examiner").is(t, "stranger's blob", "not-found", 404)
	for _, path := range []string{"/tile/0/0", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/00/000", "/tile/0/999", "/tile/64/000", "/tile/0/000?x=1", "/tile/0/%30%30%30",
		"/tile/entries/000", "/tile/entries/000.p/1", "/tile/../checkpoint2"} {
		s.get(s.addrs.Public, path, "").is(t, path, "not-found", 404)
	}
	if r := s.raw(in, s.head("/v1/sessions", "X: "+strings.Repeat("x", 64<<10)), false); r.StatusCode != 431 {
		t.Errorf("header of 64 KiB: %d", r.StatusCode)
	}
}

// Each role on each listener: what is not its own is refused, and what is nobody's as well.
func TestRoles(t *testing.T) {
	s := start(t)
	session := "/v1/sessions/01a20d2b-fd9c-72a8-93eb-1318bfe8d78f"
	for _, c := range []struct{ method, addr, path, role string }{
		{"POST", s.addrs.Ingest, "/v1/sessions", "gw"},
		{"POST", s.addrs.Ingest, "/v1/records", "gw"},
		{"POST", s.addrs.Ingest, session + "/entries", "gw"},
		{"POST", s.addrs.Ingest, session + "/heartbeat", "gw"},
		{"GET", s.addrs.Ingest, session + "/head", "gw"},
		{"GET", s.addrs.Audit, "/v1/sessions", "examiner"},
		{"GET", s.addrs.Audit, session, "examiner"},
		{"GET", s.addrs.Audit, session + "/entries", "examiner"},
		{"GET", s.addrs.Audit, session + "/keys", "examiner"},
		{"GET", s.addrs.Audit, session + "/blobs", "examiner"},
		{"GET", s.addrs.Audit, "/v1/blobs/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?entry=0", "examiner"},
		{"GET", s.addrs.Audit, "/tile/entries/000.p/1", "examiner"},
		{"GET", s.addrs.Ops, "/metrics", "ops"},
	} {
		for _, who := range []string{"gw", "examiner", "ops", "", "nobody"} {
			r := s.do(c.method, c.addr, c.path, who, nil)
			want := http.StatusForbidden
			if s.tokens[who] == "" {
				want = http.StatusUnauthorized
			}
			if allowed := r.StatusCode != 401 && r.StatusCode != 403; allowed != (who == c.role) || !allowed && r.StatusCode != want {
				t.Errorf("%s %s as %q: %d %s", c.method, c.path, who, r.StatusCode, r.body)
			}
			if r.StatusCode == 401 && r.Header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
		}
	}
	r := s.get(s.addrs.Audit, "/v1/sessions", "examiner", "Authorization: Bearer "+s.tokens["examiner"])
	r.is(t, "two Authorization headers", "unauthenticated", 401)
	var bare, full api.Health
	s.get(s.addrs.Ops, "/readyz", "").json(t, &bare)
	s.get(s.addrs.Ops, "/readyz", "ops").json(t, &full)
	if bare.Status != "ok" || len(bare.Checks) != 0 || len(full.Checks) < 6 {
		t.Errorf("health for anyone %+v, for the operator %+v", bare, full)
	}
}

func TestOverload_rate(t *testing.T) {
	s := startWith(t, func(c *daemon.Config) { c.Limits.Rate, c.Limits.Burst = 0.001, 3 })
	for range 3 {
		if r := s.get(s.addrs.Audit, "/v1/sessions", "examiner"); r.StatusCode != 200 {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
	}
	s.get(s.addrs.Audit, "/v1/sessions", "examiner").is(t, "fourth", "rate-limited", 429)
	s.get(s.addrs.Ingest, "/v1/entries/0/proof", "gw") // another principal has its own
	if r := s.get(s.addrs.Ops, "/metrics", "ops"); !bytes.Contains(r.body, []byte(`steno_http_problems_total{code="rate-limited"} 1`)) {
		t.Error("the metrics do not count it")
	}
}

func TestOverload_connections(t *testing.T) {
	s := startWith(t, func(c *daemon.Config) { c.Limits.Connections = 2 })
	hold := func() net.Conn {
		c, err := net.Dial("tcp", s.addrs.Public)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, "GET /checkpoint HTTP/1.1\r\nHost: s\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := hold()
	hold()
	s.raw(s.addrs.Ingest, s.head("/v1/sessions", "Content-Length: 10"), false).is(t, "third connection", "too-many-connections", 429)
	if r := s.get(s.addrs.Ops, "/readyz", ""); r.StatusCode != 200 {
		t.Errorf("the ops listener does not answer: %d", r.StatusCode)
	}
	first.Close()
	eventually(t, "a connection is free again", func() bool {
		c, err := net.Dial("tcp", s.addrs.Public)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /checkpoint HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && r.StatusCode == 200
	})
}

func TestOverload_bytesInFlight(t *testing.T) {
	s := startWith(t, func(c *daemon.Config) { c.Limits.MaxBody, c.Limits.InFlight = 1<<20, 1<<20 })
	c, err := net.Dial("tcp", s.addrs.Ingest)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Nearly all of the budget is held by a request whose last byte does not come.
	fmt.Fprint(c, s.head("/v1/sessions", fmt.Sprintf("Content-Length: %d", 1<<20)))
	if _, err := c.Write(make([]byte, 1<<20-1)); err != nil {
		t.Fatal(err)
	}
	open, _ := json.Marshal(map[string]string{"agent": "acme/bot", "privilege": "financial", "purpose": strings.Repeat("x", 1000)})
	eventually(t, "the first body holds the budget", func() bool {
		return bytes.Contains(s.get(s.addrs.Ops, "/metrics", "ops").body, []byte("steno_http_in_flight_bytes 1.048576e+06"))
	})
	s.post("/v1/sessions", string(open)).is(t, "second body", "too-much-in-flight", 429)
	c.Close()
	eventually(t, "the budget is free again", func() bool { return s.post("/v1/sessions", string(open)).StatusCode == 201 })
}
