package ask_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
	"github.com/stenolog/steno/timestamp/authority"
)

var (
	now    = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	digest = sha256.Sum256([]byte("a note"))
)

func development(t *testing.T) *authority.Authority {
	t.Helper()
	m, err := authority.Make("a test", authority.ECDSA, now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	a, err := authority.New(authority.Config{Material: m, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func served(t *testing.T, h http.Handler) ask.Authority {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return ask.Authority{Name: "a test", URL: s.URL, HTTP: s.Client()}
}

func TestAsk(t *testing.T) {
	dev := development(t)
	var got http.Header
	a := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		dev.ServeHTTP(w, r)
	}))
	a.Header = http.Header{"Authorization": {"Bearer secret"}}
	a.PolicyDocument = []byte("we stamp what comes")
	a.Now = func() time.Time { return now.Add(ask.MaxClockError) }
	token, longTerm, err := a.Ask(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "Bearer secret" || got.Get("Content-Type") != "application/timestamp-query" {
		t.Errorf("asked with %v", got)
	}
	if c, err := timestamp.Peek(token); err != nil || !c.Time.Equal(now) {
		t.Errorf("the token says %v, %v", c.Time, err)
	}
	if len(longTerm) != 2 || longTerm[0].Kind != ask.KindChain || strings.Count(string(longTerm[0].Bytes), "BEGIN CERTIFICATE") != 2 ||
		longTerm[1].Kind != ask.KindPolicy {
		t.Errorf("long-term data: %q", longTerm)
	}
	a.Now = func() time.Time { return now.Add(-ask.MaxClockError - time.Second) }
	if _, _, err := a.Ask(t.Context(), digest); !errors.Is(err, ask.ErrClock) {
		t.Errorf("a token from the future: %v", err)
	}
}

func reply(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(b) //nolint:errcheck // the client may be gone
	}
}

func TestBadAuthorities(t *testing.T) {
	dev := development(t)
	other, err := timestamp.NewRequest(digest, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := dev.Respond(other.DER)
	if err != nil {
		t.Fatal(err)
	}
	another, err := timestamp.NewRequest(sha256.Sum256([]byte("another note")), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := dev.Respond(another.DER)
	if err != nil {
		t.Fatal(err)
	}
	const gigabyte = 1 << 30
	var sent int
	ended := make(chan struct{})
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
		reason  timestamp.Reason
	}{
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<h1>Welcome</h1>")) //nolint:errcheck
		}, `content of type "text/html"`, ""},
		"HTML that claims to be a reply": {reply([]byte("<h1>Welcome</h1>")), "this is no time-stamp response", timestamp.ReasonNotDER},
		"nothing":                        {reply(nil), "this is no time-stamp response", timestamp.ReasonNotDER},
		"down":                           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "503 Service Unavailable", ""},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}, "307 Temporary Redirect", ""},
		"a gigabyte": {func(w http.ResponseWriter, _ *http.Request) {
			defer close(ended)
			w.Header().Set("Content-Type", "application/timestamp-reply")
			for sent < gigabyte {
				n, err := w.Write(make([]byte, 1<<20))
				if sent += n; err != nil {
					return
				}
			}
		}, "more than 65536 bytes", ""},
		"an old token":     {reply(old), "the token answers another request", timestamp.ReasonNonce},
		"the wrong digest": {reply(wrong), "the token is over", timestamp.ReasonImprint},
	} {
		t.Run(name, func(t *testing.T) {
			token, _, err := served(t, c.handler).Ask(t.Context(), digest)
			if err == nil || token != nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "asking a test") {
				t.Fatalf("it gives %x, %v; want %q", token, err, c.want)
			}
			var refused *timestamp.Error
			if c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason) {
				t.Errorf("the reason is %v, want %s", err, c.reason)
			}
		})
	}
	if <-ended; sent >= gigabyte {
		t.Error("the gigabyte was read")
	}
}

func TestSlowAuthority(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := served(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // only then does a server see that the client has gone
		cancel()                    // the asker loses patience
		<-r.Context().Done()
	}))
	if _, _, err := a.Ask(ctx, digest); !errors.Is(err, context.Canceled) {
		t.Errorf("a slow authority: %v", err)
	}
	a.URL = "http://127.0.0.1:1"
	if _, _, err := a.Ask(t.Context(), digest); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("an authority that is away: %v", err)
	}
}

// TestSEALED_noSecretInAnAddress: addresses are logged, and stand in errors.
func TestSEALED_noSecretInAnAddress(t *testing.T) {
	a := served(t, development(t))
	good := a.URL
	for _, bad := range []string{
		good + "/?key=hunter2", good + "/?", good + "/#hunter2", good + "/#", strings.Replace(good, "://", "://hunter2@", 1), strings.Replace(good, "://", "://@", 1),
		"://hunter2", "ftp://hunter2/", "http:///hunter2", "hunter2", "",
	} {
		a.URL = bad
		if _, _, err := a.Ask(t.Context(), digest); err == nil || !strings.Contains(err.Error(), "its URL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	a.URL = good + "/tsa/v1"
	if _, _, err := a.Ask(t.Context(), digest); err != nil {
		t.Error(err)
	}
}
