package daemon_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
)

// accesses reads the tree from the server's disk, as it is now, and returns the access events in it.
func (s *server) accesses() []entry.Access {
	s.t.Helper()
	var out []entry.Access
	for _, e := range s.leaves() {
		for _, ev := range e.Events {
			if ev.Type == entry.TypeAccess {
				var a entry.Access
				if err := ev.Decode(&a); err != nil {
					s.t.Fatal(err)
				}
				out = append(out, a)
			}
		}
	}
	return out
}

// leaves are in the bundle on disk: the logs of these tests are small.
func (s *server) leaves() []*entry.Entry {
	s.t.Helper()
	var best []byte
	for w := 255; w > 0 && best == nil; w-- {
		b, err := os.ReadFile(s.path("data", "log", tiles.BundlePath(0, uint8(w))))
		if err == nil {
			best = b
		}
	}
	var out []*entry.Entry
	for len(best) > 0 {
		n := int(binary.BigEndian.Uint16(best))
		out = append(out, must(entry.Parse(best[2:2+n])))
		best = best[2+n:]
	}
	return out
}

// Each read of content is in the log, on disk, when its answer has arrived: one event a request.
func TestWATCHED_WATCHERS(t *testing.T) {
	s := start(t)
	var opened wire.Answer
	s.post("/v1/records", `{"session":{"agent":"acme/bot","privilege":"financial"},"events":[{"event_id":"e-1","event":"action.intent","action":"a-1","tool":"x","params":{"n":1}}],"close":{"outcome":"completed"}}`).json(t, &opened)
	base := "/v1/sessions/" + opened.Session
	eventually(t, "the index has the session", func() bool { return s.get(s.addrs.Audit, base, "examiner").StatusCode == 200 })
	if got := s.accesses(); len(got) != 0 {
		t.Fatalf("metadata is no content: %v", got)
	}
	var leaf *entry.Entry
	var index uint64
	for _, rc := range opened.Receipts {
		if e := must(entry.Parse([]byte(rc.Leaf))); len(e.Blobs) > 0 {
			leaf, index = e, rc.Index
		}
	}
	for i, c := range []struct{ what, path string }{
		{"entries", base + "/entries"},
		{"keys", base + "/keys"},
		{"blobs", base + "/blobs"},
		{"blobs", "/v1/blobs/" + base64.RawURLEncoding.EncodeToString(leaf.Blobs[0].SHA256[:]) + "?entry=" + fmt.Sprint(index)},
	} {
		if r := s.get(s.addrs.Audit, c.path, "examiner"); r.StatusCode != 200 {
			t.Fatalf("%s: %d %s", c.path, r.StatusCode, r.body)
		}
		got := s.accesses()
		if len(got) != i+1 {
			t.Fatalf("%s: %d access events, want %d", c.path, len(got), i+1)
		}
		a := got[i]
		if a.Principal != "examiner" || string(a.What) != c.what || string(a.Session) != opened.Session {
			t.Errorf("%s: recorded as %+v", c.path, a)
		}
		if i == 3 && (a.Blob == nil || *a.Blob != leaf.Blobs[0].SHA256 || a.From != index || a.To != index+1) {
			t.Errorf("blob: recorded as %+v", a)
		}
	}
	// A crawl is one event, and does not chase its own tail.
	var wg sync.WaitGroup
	for w := 1; w <= 6; w++ {
		wg.Go(func() {
			r := s.get(s.addrs.Audit, fmt.Sprintf("/tile/entries/000.p/%d", w), "examiner")
			if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("bundle: %d, Cache-Control %q", r.StatusCode, r.Header.Get("Cache-Control"))
			}
		})
	}
	wg.Wait()
	if got := s.accesses(); len(got) != 5 || got[4].What != "bundle" || got[4].From != 0 || got[4].To != 1<<16 {
		t.Errorf("six bundles were recorded as %+v", got[4:])
	}
}

// Where a read cannot be recorded, nothing is read; what needs no record goes on.
func TestFAIL_CLOSED_readsAtTheDiskFloor(t *testing.T) {
	s := start(t)
	var opened wire.Answer
	s.post("/v1/sessions", `{"agent":"acme/bot","privilege":"financial"}`).json(t, &opened)
	eventually(t, "the index has the session", func() bool {
		return s.get(s.addrs.Audit, "/v1/sessions/"+opened.Session, "examiner").StatusCode == 200
	})
	s.full.Store(true)
	eventually(t, "the floor is seen", func() bool { return s.get(s.addrs.Ops, "/readyz", "").StatusCode == 503 })
	before := s.health()
	base := "/v1/sessions/" + opened.Session
	s.post(base+"/events", `{"event_id":"e","event":"annotation","kind":"remark"}`).is(t, "append", "read-only", 503)
	for _, path := range []string{base + "/keys", base + "/entries", base + "/blobs", "/tile/entries/000.p/1"} {
		s.get(s.addrs.Audit, path, "examiner").is(t, path, "access-unrecorded", 503)
	}
	if r := s.get(s.addrs.Public, "/checkpoint", ""); r.StatusCode != 200 {
		t.Errorf("checkpoint: %d", r.StatusCode)
	}
	if r := s.get(s.addrs.Audit, base, "examiner"); r.StatusCode != 200 {
		t.Errorf("metadata: %d %s", r.StatusCode, r.body)
	}
	var h api.Health
	r := s.get(s.addrs.Ops, "/readyz", "ops")
	r.json(t, &h)
	if r.StatusCode != 503 || !strings.Contains(string(r.body), `{"check":"disk","ok":false`) {
		t.Errorf("ready at the floor: %d %s", r.StatusCode, r.body)
	}
	if after := s.health(); after != before {
		t.Errorf("the log grew from %d to %d", before, after)
	}
	s.full.Store(false)
	eventually(t, "it heals alone", func() bool { return s.get(s.addrs.Audit, base+"/keys", "examiner").StatusCode == 200 })
}

func TestHealth_guardDeleted(t *testing.T) {
	s := start(t)
	if r := s.get(s.addrs.Ops, "/readyz", ""); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	if err := os.Rename(s.config.Guard, s.config.Guard+".gone"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server says that its guard is gone", func() bool {
		r := s.get(s.addrs.Ops, "/readyz", "ops")
		return r.StatusCode == 503 && strings.Contains(string(r.body), `{"check":"guard","ok":false`)
	})
	if err := os.Rename(s.config.Guard+".gone", s.config.Guard); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return s.get(s.addrs.Ops, "/readyz", "").StatusCode == 200 })
}

func TestTiles_headers(t *testing.T) {
	s := start(t)
	var wg sync.WaitGroup
	for range 16 { // an open is a leaf, and now and then one for those it admitted
		wg.Go(func() {
			for range 17 {
				if r := s.post("/v1/sessions", `{"agent":"acme/bot","privilege":"financial"}`, "Prefer: return=minimal"); r.StatusCode != 201 {
					t.Errorf("%d %s", r.StatusCode, r.body)
				}
			}
		})
	}
	wg.Wait()
	full := s.get(s.addrs.Public, "/tile/0/000", "")
	if full.StatusCode != 200 || len(full.body) != 8192 || !strings.Contains(full.Header.Get("Cache-Control"), "immutable") ||
		full.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("full tile: %d, %d bytes, %v", full.StatusCode, len(full.body), full.Header)
	}
	partial := s.get(s.addrs.Public, "/tile/0/000.p/7", "")
	if string(partial.body) != string(full.body[:7*32]) || strings.Contains(partial.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("overtaken partial tile: %d bytes, %v", len(partial.body), partial.Header)
	}
	cp := s.get(s.addrs.Public, "/checkpoint", "")
	if cp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || cp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("checkpoint: %v", cp.Header)
	}
	if head := s.do("HEAD", s.addrs.Public, "/tile/0/000", "", nil); head.StatusCode != 200 || head.ContentLength != 8192 {
		t.Errorf("HEAD: %d, length %d", head.StatusCode, head.ContentLength)
	}
	bundle := s.get(s.addrs.Audit, "/tile/entries/000", "examiner")
	for i := 0; len(bundle.body) > 0; i++ {
		n := int(binary.BigEndian.Uint16(bundle.body))
		if h := tiles.LeafHash(bundle.body[2 : 2+n]); string(h[:]) != string(full.body[i*32:i*32+32]) {
			t.Fatalf("leaf %d of the bundle does not hash to the tile", i)
		}
		bundle.body = bundle.body[2+n:]
	}
}
