package client_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
)

// raw sends a request as it is, and returns status and problem code.
func raw(t *testing.T, method, url, token, media, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p wire.Problem
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return resp.StatusCode, p.Code
}

// A disclosure over HTTP: in the log, under the auditor's name, when the answer comes; refused to everybody else, refused where
// it is malformed, and refused where it cannot be recorded.
func TestWATCHED_WATCHERS_disclosuresOverHTTP(t *testing.T) {
	w := newWorld()
	d := newStenod(t, w)
	operator := must(access.NewToken(rand.Reader, access.Operator))
	digest := access.TokenDigest(operator)
	d.stop()
	d.cfg.Principals = append(d.cfg.Principals, daemon.Principal{Name: "ops", Roles: []string{"operator"}, TokenSHA256: []string{hex.EncodeToString(digest[:])}})
	var full atomic.Bool
	d.free = func(string) (bytes, inodes uint64, err error) {
		if full.Load() {
			return 0, 1 << 30, nil
		}
		return 1 << 50, 1 << 30, nil
	}
	d.start()
	cfg := w.config("http://"+d.addrs.Ingest, t.TempDir())
	cfg.Token = d.recorder
	ctx := within(t, 60*time.Second)
	main := open(t, newRecorder(t, cfg))
	r, err := client.NewReader(client.ReaderConfig{URL: "http://" + d.addrs.Audit, Token: d.auditor, Trust: w.trust()})
	if err != nil {
		t.Fatal(err)
	}
	ask := wire.Disclosure{Exhibit: "A-7", Digest: entry.HashOf([]byte("custody")), Matter: "M-1", Sessions: []string{main.Session()}, Classes: []string{"content"}}
	got, err := r.Disclose(ctx, ask)
	if err != nil || got.Principal != "auditor" || len(got.Indexes) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	rec, err := r.Read(ctx, main.Session())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, x := range rec.Mentions {
		for _, ev := range x.Entry.Events {
			if v, ok := must(ev.Value()).(*entry.Disclosure); ok && x.Index == got.Indexes[0] {
				found = v.Digest == ask.Digest && v.Principal == "auditor" && v.Exhibit == "A-7" && v.Matter == "M-1"
			}
		}
	}
	if !found {
		t.Error("the session's record does not say that it was disclosed")
	}
	url, body := "http://"+d.addrs.Audit+wire.PathDisclosures, string(must(json.Marshal(ask)))
	for name, c := range map[string]struct {
		token, media, body, query string
		status                    int
		code                      string
	}{
		"nobody":        {"", wire.JSONType, body, "", 401, "unauthenticated"},
		"recorder":      {d.recorder, wire.JSONType, body, "", 403, "forbidden"},
		"operator":      {operator, wire.JSONType, body, "", 403, "forbidden"},
		"other media":   {d.auditor, "text/plain", body, "", 415, "unsupported-media-type"},
		"parameter":     {d.auditor, wire.JSONType, body, "?wait=durable", 400, "bad-parameter"},
		"more members":  {d.auditor, wire.JSONType, strings.Replace(body, "{", `{"principal":"somebody",`, 1), "", 422, "unknown-member"},
		"no session":    {d.auditor, wire.JSONType, strings.Replace(body, main.Session(), "01a20d2b-fd9c-72a8-93eb-1318bfe8d78f", 1), "", 404, "unknown-session"},
		"a large body":  {d.auditor, wire.JSONType, body + strings.Repeat(" ", 128<<10), "", 413, "body-too-large"},
		"no JSON":       {d.auditor, wire.JSONType, "exhibit A-7", "", 422, "syntax"},
		"class of none": {d.auditor, wire.JSONType, strings.Replace(body, `"content"`, `"all"`, 1), "", 422, "bad-value"},
	} {
		if status, code := raw(t, http.MethodPost, url+c.query, c.token, c.media, c.body); status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, status, code, c.status, c.code)
		}
	}
	if status, code := raw(t, http.MethodPost, "http://"+d.addrs.Ingest+wire.PathDisclosures, d.auditor, wire.JSONType, body); status != 404 {
		t.Errorf("on the ingest listener: %d %s", status, code)
	}
	full.Store(true)
	eventually(t, "the log is read-only", func() bool {
		_, code := raw(t, http.MethodPost, url, d.auditor, wire.JSONType, body)
		return code == "read-only"
	})
	if got, err := r.Disclose(within(t, time.Second), ask); err == nil || got.Indexes != nil { // it tries again until it is too late
		t.Errorf("FAIL-CLOSED: %+v, %v", got, err)
	}
	full.Store(false)
	eventually(t, "it heals alone", func() bool {
		status, _ := raw(t, http.MethodPost, url, d.auditor, wire.JSONType, body)
		return status == 201
	})
}

// What is no answer to the question is none to hand evidence out on.
func TestFAIL_CLOSED_disclosureAnswers(t *testing.T) {
	w := newWorld()
	var said string
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(b), `"exhibit":"A-7"`) {
			t.Errorf("asked %s: %v", b, err)
		}
		rw.WriteHeader(http.StatusCreated)
		fmt.Fprint(rw, said)
	}))
	defer s.Close()
	r := newReader(t, s.URL, w)
	ask := wire.Disclosure{Exhibit: "A-7", Sessions: []string{"01a20d2b-fd9c-72a8-93eb-1318bfe8d78f", "01a20d2b-fd9c-72a8-93eb-1318bfe8d780"}}
	for answer, good := range map[string]bool{
		`{"principal":"p","indexes":[7]}`: true, `{"principal":"p","indexes":[7,9]}`: true,
		`{"principal":"p","indexes":[]}`: false, `{"principal":"","indexes":[7]}`: false, `{}`: false, ``: false, `<html>`: false,
		`{"principal":"p","indexes":[7,7]}`: false, `{"principal":"p","indexes":[9,7]}`: false, `{"principal":"p","indexes":[1,2,3]}`: false,
	} {
		said = answer
		if _, err := r.Disclose(within(t, 5*time.Second), ask); (err == nil) != good {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// Time is asked anew each time, and only of the entry that was asked about.
func TestTime(t *testing.T) {
	w := newWorld()
	index, asked := 7, 0
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path != "/v1/entries/7/time" {
			t.Errorf("asked %s", r.URL.Path)
		}
		fmt.Fprintf(rw, `{"index":%d,"level":"anchored","authorities":[{"authority":"tsa-1","counts":true,"not_before":{"time":"2026-11-23T12:00:00.000000Z","anchor_index":3}}]}`, index)
	}))
	defer s.Close()
	r := newReader(t, s.URL, w)
	for range 2 {
		got, err := r.Time(within(t, 5*time.Second), 7)
		if err != nil || got.Level != wire.Anchored || len(got.Authorities) != 1 || got.Authorities[0].NotBefore.AnchorIndex != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	index = 8
	if _, err := r.Time(within(t, 5*time.Second), 7); err == nil || asked != 3 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
