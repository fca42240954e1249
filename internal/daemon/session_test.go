package daemon_test

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
)

const secretWord = "xyzzy-4711"

// A whole managed session by plain HTTP: opened, recorded, closed, found, read, opened with the vault's key, and proven.
func TestManagedSession(t *testing.T) {
	s := start(t)
	var opened wire.Answer
	r := s.post("/v1/sessions", `{"agent":"acme/ledger-bot","privilege":"financial","purpose":"post `+secretWord+`"}`)
	if r.StatusCode != 201 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	r.json(t, &opened)
	if r.Header.Get("Location") != "/v1/sessions/"+opened.Session+"/head" {
		t.Errorf("Location %q", r.Header.Get("Location"))
	}
	base := "/v1/sessions/" + opened.Session
	intent := `{"event_id":"e-1","event":"action.intent","action":"a-1","tool":"ledger.post","params":{"account":"` + secretWord + `",  "n": 1e3}}`
	var answer, again wire.Answer
	if r = s.post(base+"/events?wait=integrated", intent); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	r.json(t, &answer)
	rc := answer.Receipts[0]
	if rc.Level != wire.Integrated || rc.Checkpoint == "" || rc.Leaf == "" {
		t.Errorf("receipt %+v", rc)
	}
	s.post(base+"/events", intent, "Prefer: return=minimal").json(t, &again)
	if g := again.Receipts[0]; !g.Repeated || g.Index != rc.Index || g.Received != rc.Received || g.Leaf != "" {
		t.Errorf("the same event again: %+v, first %+v", g, rc)
	}
	result := `{"event_id":"e-2","event":"action.result","action":"a-1","outcome":{"transport":"ok","protocol":"ok","tool":"success"},"response":{"id":"` + secretWord + `"}}`
	if r = s.post(base+"/events", result); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	if r = s.post(base+"/close", `{"outcome":"completed"}`); r.StatusCode != 200 {
		t.Fatalf("close: %d %s", r.StatusCode, r.body)
	}
	s.checkReceipt(rc)
	s.checkFound(opened.Session)
	s.checkOpens(opened.Session, rc.Index, `{"account":"`+secretWord+`",  "n": 1e3}`)
	s.checkProof(rc)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(s.logs.String(), secretWord) {
		t.Error("the server's log has a payload in it")
	}
	for _, tok := range s.tokens {
		if strings.Contains(s.logs.String(), tok) {
			t.Error("the server's log has a token in it")
		}
	}
}

func (s *server) trust() *trust.Trust {
	s.t.Helper()
	return must(trust.Parse([]byte(readFile(s.t, s.config.Trust))))
}

func (s *server) checkReceipt(rc wire.Receipt) {
	s.t.Helper()
	e, err := entry.Parse([]byte(rc.Leaf))
	if err != nil {
		s.t.Fatal(err)
	}
	if e.Hash() != rc.Hash || e.Seq != rc.Seq || string(e.Received.Line) != rc.Received {
		s.t.Errorf("the receipt is not of its leaf: %+v", rc)
	}
	if err := s.trust().VerifyReceived(e); err != nil {
		s.t.Error(err)
	}
}

func (s *server) checkFound(session string) {
	s.t.Helper()
	var found wire.Sessions
	eventually(s.t, "the closed session is found", func() bool {
		s.get(s.addrs.Audit, "/v1/sessions?agent=acme/ledger-bot&state=complete", "examiner").json(s.t, &found)
		return len(found.Sessions) == 1
	})
	if f := found.Sessions[0]; f.Session != session || f.Principal != "gw" || !f.Managed || f.Number != 1 || f.Closed == nil {
		s.t.Errorf("found %+v", f)
	}
	var one wire.Session
	s.get(s.addrs.Audit, "/v1/sessions/"+session, "examiner").json(s.t, &one)
	if one.Session != session {
		s.t.Errorf("got %+v", one)
	}
}

// checkOpens reads entries, keys and blobs, and opens the parameters of an intent with the vault's key.
func (s *server) checkOpens(session string, index uint64, want string) {
	s.t.Helper()
	var page wire.Entries
	s.get(s.addrs.Audit, "/v1/sessions/"+session+"/entries", "examiner").json(s.t, &page)
	mentions := 0
	for _, l := range page.Entries {
		if l.Mention {
			mentions++
		}
	}
	if mentions == 0 {
		s.t.Error("the page has no entry of the system session that admitted it")
	}
	var keys wire.Keys
	s.get(s.addrs.Audit, "/v1/sessions/"+session+"/keys", "examiner").json(s.t, &keys)
	unit := make(payload.Keys)
	for _, k := range keys.Keys {
		class := must(payload.ParseClass(k.Class))
		where := payload.WrapPlace{Origin: origin, Session: session, Track: k.Track, Class: class}
		unit[class] = must(payload.Unwrap(k.File, where, payload.Hash(k.Key), s.vault))
	}
	blobs := make(map[payload.Hash][]byte)
	e := s.leaf(page, index)
	for _, b := range e.Blobs {
		path := "/v1/blobs/" + base64.RawURLEncoding.EncodeToString(b.SHA256[:]) + "?entry=" + strconv.FormatUint(index, 10)
		blobs[payload.Hash(b.SHA256)] = s.get(s.addrs.Audit, path, "examiner").body
	}
	all := must(wire.ParseBlobs(s.get(s.addrs.Audit, "/v1/sessions/"+session+"/blobs", "examiner").body))
	if len(all) < len(blobs) {
		s.t.Errorf("the page of blobs has %d", len(all))
	}
	var intent entry.ActionIntent
	if err := e.Events[0].Decode(&intent); err != nil {
		s.t.Fatal(err)
	}
	at := payload.Place{Origin: origin, Session: session, Track: e.Track, Seq: e.Seq, Slot: "params"}
	opened, err := payload.Open(unit, at, payload.RefOf(intent.Params), blobs)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := string(must(opened.Bytes())); got != want {
		s.t.Errorf("EXACT-BYTES: got %s, want %s", got, want)
	}
}

func (s *server) leaf(page wire.Entries, index uint64) *entry.Entry {
	s.t.Helper()
	for _, l := range page.Entries {
		if l.Index == index {
			return must(entry.Parse([]byte(l.Leaf)))
		}
	}
	s.t.Fatalf("leaf %d is not on the page", index)
	return nil
}

// checkProof reads the tree as a stranger does, over the public listener, and the proof as a recorder.
func (s *server) checkProof(rc wire.Receipt) {
	s.t.Helper()
	cp, err := s.trust().OpenCheckpoint(s.get(s.addrs.Public, "/checkpoint", "").body)
	if err != nil {
		s.t.Fatal(err)
	}
	if n, err := note.Open([]byte(rc.Checkpoint), note.VerifierList(s.trust().LogVerifiers()[0])); err != nil || len(n.Sigs) != 1 {
		s.t.Errorf("the receipt's checkpoint: %v", err)
	}
	r := s.get(s.addrs.Ingest, "/v1/entries/"+strconv.FormatUint(rc.Index, 10)+"/proof", "gw")
	if r.StatusCode != 200 || !strings.HasPrefix(string(r.body), "c2sp.org/tlog-proof@v1\n") {
		s.t.Errorf("proof: %d %s", r.StatusCode, r.body)
	}
	tile := s.get(s.addrs.Public, "/"+tiles.Path(0, 0, uint8(cp.Size)), "")
	if tile.StatusCode != 200 || len(tile.body) != int(cp.Size)*32 {
		s.t.Fatalf("tile: %d, %d bytes for size %d", tile.StatusCode, len(tile.body), cp.Size)
	}
	h := tiles.LeafHash([]byte(rc.Leaf))
	if string(tile.body[rc.Index*32:rc.Index*32+32]) != string(h[:]) {
		s.t.Error("the tile's hash is not that of the leaf")
	}
}
