package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// recorded is a log with a session of two tracks, restarted once, and others around it.
func recorded(t *testing.T) (*server, *world, string) {
	w := newWorld()
	s, dir := newServer(t, w), t.TempDir()
	rec := newRecorder(t, w.config(s.URL, dir))
	ctx := within(t, 10*time.Second)
	open(t, rec) // another session
	main := open(t, rec)
	side, err := rec.Join(ctx, main.Ref(), joining("tools"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if _, err := main.Record(ctx, remark(fmt.Sprint("main-", i))); err != nil {
			t.Fatal(err)
		}
		if _, err := side.Record(ctx, remark(fmt.Sprint("tools-", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Close(ctx); err != nil {
		t.Fatal(err)
	}
	rec = newRecorder(t, w.config(s.URL, dir))
	if main, err = rec.Resume(ctx, main.Session(), "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := main.Record(ctx, remark("with-new-keys")); err != nil {
		t.Fatal(err)
	}
	if err := main.CloseSession(ctx, client.Closing{Outcome: "completed"}); err != nil {
		t.Fatal(err)
	}
	return s, w, main.Session()
}

func newReader(t *testing.T, s string, w *world) *client.Reader {
	t.Helper()
	r, err := client.NewReader(client.ReaderConfig{URL: s, Trust: w.trust(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAReaderReadsAndOpensASession(t *testing.T) {
	s, w, session := recorded(t)
	ctx := within(t, 10*time.Second)
	r := newReader(t, s.URL, w)
	rec, err := r.Read(ctx, session)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Tracks) != 2 || rec.Tracks[0].Name != "main" || !rec.Tracks[0].Closed || len(rec.Incomplete) != 0 {
		t.Fatalf("record: %+v", rec)
	}
	o, err := r.Unlock(ctx, rec, must(age.ParseX25519Identity(w.Recovery)))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, x := range rec.Recorded() {
		if !x.Proven {
			t.Errorf("leaf %d is not proven", x.Index)
		}
		for _, b := range x.Entry.Blobs {
			p, err := o.Open(ctx, x.Entry, b.Event, b.Slot)
			if err != nil {
				t.Fatalf("leaf %d, %s: %v", x.Index, b.Slot, err)
			}
			got, err := p.Bytes()
			if err != nil || b.Slot != "model/parameters" && !strings.HasPrefix(string(got), clear) {
				t.Fatalf("leaf %d, %s: %q, %v", x.Index, b.Slot, got, err)
			}
			opened++
		}
		p, err := r.Proof(ctx, x.Index, x.Leaf)
		if err != nil {
			t.Fatal(err)
		}
		q, err := r.Prove(ctx, p.Checkpoint, x.Index, x.Leaf)
		if err != nil || !bytes.Equal(p.Bytes, q.Bytes) {
			t.Fatalf("the proof made of tiles differs from the server's: %v", err)
		}
		if _, err := r.Proof(ctx, x.Index, append(x.Leaf, ' ')); err == nil {
			t.Fatal("a proof of another leaf was believed")
		}
	}
	if opened != 2+6+6+1 {
		t.Fatalf("%d payloads opened", opened)
	}
	blobs := 0
	err = r.Blobs(ctx, rec, func(entry.Hash, []byte) error { blobs++; return nil })
	if err != nil || blobs != opened {
		t.Fatalf("%d blobs: %v", blobs, err)
	}
	if _, err := r.Unlock(ctx, rec, must(age.GenerateX25519Identity())); !errors.Is(err, payload.ErrNoKey) {
		t.Fatalf("a stranger's identity: %v", err)
	}
}

// TestAReaderBelievesNothing puts a liar between reader and log, which changes one answer at a time.
func TestAReaderBelievesNothing(t *testing.T) {
	s, w, session := recorded(t)
	for name, lie := range map[string]struct {
		path string
		f    func(body string) string
	}{
		"entry changed":        {"/entries", func(b string) string { return strings.Replace(b, "main-3", "main-4", 1) }},
		"entry of another log": {"/entries", func(b string) string { return strings.Replace(b, origin, origin+"2", 1) }},
		"index changed":        {"/entries", func(b string) string { return strings.Replace(b, `"index":4`, `"index":5`, 1) }},
		"entry left out":       {"/entries", func(b string) string { return dropSecond(b) }},
		"checkpoint changed":   {"/checkpoint", func(b string) string { return strings.Replace(b, "\n1", "\n2", 1) }},
		"tile changed":         {"/tile/0", func(b string) string { return b[:40] + "x" + b[41:] }},
		"blob changed":         {"/blobs/", func(b string) string { return b[:100] + "x" + b[101:] }},
	} {
		t.Run(name, func(t *testing.T) {
			told := 0
			proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rec := httptest.NewRecorder()
				s.Config.Handler.ServeHTTP(rec, r)
				body := rec.Body.String()
				if strings.Contains(r.URL.Path, lie.path) {
					changed := lie.f(body)
					if changed != body {
						told++
					}
					body = changed
				}
				for k, v := range rec.Header() {
					rw.Header()[k] = v
				}
				rw.WriteHeader(rec.Code)
				rw.Write([]byte(body))
			}))
			defer proxy.Close()
			ctx := within(t, 10*time.Second)
			r := newReader(t, proxy.URL, w)
			rec, err := r.Read(ctx, session)
			if err == nil && lie.path == "/blobs/" {
				var o *client.Opener
				if o, err = r.Unlock(ctx, rec, must(age.ParseX25519Identity(w.Vault))); err == nil {
					_, err = o.Open(ctx, rec.Tracks[0].Entries[0].Entry, 0, "purpose")
				}
			}
			if told == 0 {
				t.Fatal("no lie was told")
			}
			if err == nil {
				t.Fatal("the lie was believed")
			}
		})
	}
}

// dropSecond takes the second entry out of a page.
func dropSecond(b string) string {
	parts := strings.SplitN(b, `{"index":`, 4)
	if len(parts) < 4 {
		return b
	}
	return parts[0] + `{"index":` + parts[1] + `{"index":` + parts[3]
}

func TestAReaderSeesATailThatIsCut(t *testing.T) {
	s, w, session := recorded(t)
	s.with(func() {
		last := -1
		for i, l := range s.leaves {
			if bytes.Contains(l, []byte("/tools\n")) {
				last = i
			}
		}
		s.hidden = last
	})
	rec, err := newReader(t, s.URL, w).Read(within(t, 5*time.Second), session)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Incomplete) != 1 || rec.Incomplete[0].Track != "tools" {
		t.Fatalf("incomplete: %+v", rec.Incomplete)
	}
}
