package client_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
)

const origin = "log.example/test"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A world is the keys of a log, an enroller, a recorder and a vault. It travels to child processes as JSON.
type world struct {
	Log, Received, System, Enroller, Recorder string // secret keys
	RecorderV                                 string
	Trust                                     []byte
	Vault, Recovery                           string // age identities
	Witnesses                                 []string
}

func newWorld() *world {
	w := &world{}
	var logV, recvV, enrollerV, systemV string
	w.Log, logV, _ = note.GenerateKey(rand.Reader, origin)
	w.Enroller, enrollerV, _ = note.GenerateKey(rand.Reader, "acme/enroller")
	w.Recorder, w.RecorderV, _ = note.GenerateKey(rand.Reader, "acme/bot")
	w.System, systemV, _ = note.GenerateKey(rand.Reader, origin+"/system")
	w.Received, recvV = must2(entry.GenerateReceivedKey(rand.Reader, origin))
	w.Trust = must(trust.New(logV, []string{recvV}, []string{systemV}, []string{enrollerV})).Marshal()
	w.Vault, w.Recovery = must(age.GenerateX25519Identity()).String(), must(age.GenerateX25519Identity()).String()
	return w
}

// newWitnessed is a world whose trust file demands two of three witnesses.
func newWitnessed() *world {
	w := newWorld()
	t := w.trust()
	policy := "log " + t.Log + "\n"
	var operators []trust.Operator
	for i := range 3 {
		skey, vkey := must2(checkpoint.GenerateKey(checkpoint.CosignatureEd25519, fmt.Sprintf("w%d.example/witness", i+1)))
		w.Witnesses = append(w.Witnesses, skey)
		policy += fmt.Sprintf("witness w%d %s\n", i+1, vkey)
		operators = append(operators, trust.Operator{Name: fmt.Sprintf("w%d.example", i+1), Witnesses: []string{fmt.Sprintf("w%d", i+1)}})
	}
	policy += "group two 2 w1 w2 w3\nquorum two\n"
	w.Trust = must(trust.Make(trust.Config{Version: 1, Received: t.Received, System: t.System, Enrollers: t.Enrollers,
		Operators: operators, Policy: []byte(policy)})).Marshal()
	return w
}

func must2(a, b string, err error) (string, string) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func (w *world) trust() *trust.Trust { return must(trust.Parse(w.Trust)) }

func (w *world) config(url, dir string) client.Config {
	now := time.Now()
	enrolment := must(entry.SignEnrolment(entry.Enrolment{Origin: origin, RecorderKey: w.RecorderV, Holder: entry.HolderAgent,
		From: entry.TimeOf(now.Add(-time.Hour)), Until: entry.TimeOf(now.Add(1000 * time.Hour)), Agents: []string{"bot"}},
		must(note.NewSigner(w.Enroller))))
	to := []age.Recipient{must(age.ParseX25519Identity(w.Vault)).Recipient(), must(age.ParseX25519Identity(w.Recovery)).Recipient()}
	recipients := make(map[payload.Class][]age.Recipient)
	for _, c := range payload.Classes() {
		recipients[c] = to
	}
	return client.Config{URL: url, Token: "t", Trust: w.trust(), Dir: dir, Signer: must(note.NewSigner(w.Recorder)),
		Enrolment: enrolment, Recipients: recipients, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
		VerifyEvery: 10 * time.Millisecond, RollEvery: -1}
}

// A server is a log in memory that admits entries by the real rules, and can be made to fail and to lie.
type server struct {
	*httptest.Server
	w       *world
	stamper *entry.Stamper
	anchors entry.Anchors

	mu       sync.Mutex
	leaves   [][]byte
	hashes   []tlog.Hash
	tracks   map[string]*entry.Track
	receipts map[string]wire.Receipt // by session/track/seq/hash
	blobs    map[entry.Hash][]byte
	wraps    map[string][]wire.Key
	signed   int // size of the checkpoint; -1 follows the tree
	requests int
	hidden   int          // index of a leaf that entries leaves out, if not 0
	mentions map[int]bool // leaves that speak of every session
	page     int          // entries of a page: few, so that there are several

	away      int    // witnesses that do not answer
	bare      bool   // what is published has no cosignature
	published []byte // the last that had the quorum
	shown     []byte // if set, what is published
	withheld  bool   // the signed checkpoint is
	asked     int    // times that the signed checkpoint was read

	// fault, if set, sees each POST of entries and may take over: before is called before it is handled, and after when
	// the answer is about to be written.
	before func(w http.ResponseWriter, r *http.Request) (handled bool)
	after  func(w http.ResponseWriter, a *wire.Answer) (handled bool)
}

func newServer(t testing.TB, w *world) *server {
	s := &server{w: w, stamper: must(entry.NewStamper(w.Received)), anchors: w.trust().Anchors(), tracks: make(map[string]*entry.Track),
		receipts: make(map[string]wire.Receipt), blobs: make(map[entry.Hash][]byte), wraps: make(map[string][]wire.Key), signed: -1, page: 3}
	mux := http.NewServeMux()
	for _, p := range []string{wire.PathSessions, wire.PathTracks, wire.PathEntries} {
		mux.HandleFunc("POST "+p, s.submit)
	}
	mux.HandleFunc("POST "+wire.PathHeartbeat, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET "+wire.PathHead, s.head)
	mux.HandleFunc("GET /checkpoint", s.publishedCheckpoint)
	mux.HandleFunc("GET "+wire.PathCheckpoint, func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if s.withheld {
			answer(w, 404, wire.ProblemType, wire.Problem{Code: "not-covered"})
			return
		}
		w.Write(s.checkpointLocked())
	})
	mux.HandleFunc("GET /tile/", s.tile)
	mux.HandleFunc("GET "+wire.PathSession+"/entries", s.entries)
	mux.HandleFunc("GET "+wire.PathKeys, s.keys)
	mux.HandleFunc("GET "+wire.PathBlob, s.blob)
	mux.HandleFunc("GET "+wire.PathBlobs, s.blobsPage)
	mux.HandleFunc("GET "+wire.PathProof, s.proof)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func answer(w http.ResponseWriter, status int, media string, v any) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (s *server) submit(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.before != nil && s.before(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	subs, err := wire.Parse(body)
	if err != nil {
		answer(w, 400, wire.ProblemType, wire.Problem{Code: "framing", Detail: err.Error()})
		return
	}
	var a wire.Answer
	for _, sub := range subs {
		rc, err := s.admit(sub, &a)
		if err != nil {
			p := wire.Problem{Code: "refused", Detail: err.Error(), Receipts: a.Receipts}
			var e *entry.Error
			if errors.As(err, &e) {
				p.Code = string(e.Code)
			}
			if t := s.tracks[a.Session+"/"+a.Track]; t != nil {
				p.Next, p.Head, p.Track = &t.Next, &t.Head, a.Track
			}
			answer(w, 409, wire.ProblemType, p)
			return
		}
		a.Receipts = append(a.Receipts, rc)
	}
	t := s.tracks[a.Session+"/"+a.Track]
	a.Next, a.Head = t.Next, t.Head
	if s.after != nil && s.after(w, &a) {
		return
	}
	answer(w, 200, wire.JSONType, a)
}

func (s *server) admit(sub wire.Submitted, a *wire.Answer) (wire.Receipt, error) {
	e, err := entry.ParseSubmission(sub.Entry)
	if err != nil {
		return wire.Receipt{}, err
	}
	a.Session, a.Track = e.Session, e.Track
	id := fmt.Sprintf("%s/%s", e.Session, e.Track)
	key := fmt.Sprintf("%s/%d/%s", id, e.Seq, e.Hash())
	if rc, ok := s.receipts[key]; ok {
		rc.Repeated = true
		return rc, nil
	}
	now := entry.TimeOf(time.Now())
	t := s.tracks[id]
	if t == nil {
		if t, err = s.anchors.Open(e, now); err != nil {
			return wire.Receipt{}, err
		}
	} else if err := errors.Join(t.Check(e), e.VerifyRecorder(t.Verifier)); err != nil {
		return wire.Receipt{}, err
	}
	if err := s.belongings(e, sub); err != nil {
		return wire.Receipt{}, err
	}
	if err := s.checkClose(e); err != nil {
		return wire.Receipt{}, err
	}
	if s.tracks[id] != nil {
		t.Extend(e)
	}
	s.tracks[id] = t
	leaf := s.stamper.Stamp(sub.Entry, e, now)
	s.add(leaf)
	rc := wire.Receipt{Seq: e.Seq, Count: uint64(len(e.Events)), Index: uint64(len(s.leaves) - 1), Hash: e.Hash(),
		Received: string(leaf[len(sub.Entry):]), Level: wire.Durable}
	s.receipts[key] = rc
	return rc, nil
}

func (s *server) belongings(e *entry.Entry, sub wire.Submitted) error {
	if len(e.Blobs) != len(sub.Blobs) {
		return fmt.Errorf("%d blobs for %d named", len(sub.Blobs), len(e.Blobs))
	}
	for i, b := range e.Blobs {
		if sha256.Sum256(sub.Blobs[i]) != b.SHA256 || uint64(len(sub.Blobs[i])) != b.Size {
			return errors.New("blob does not match")
		}
		s.blobs[b.SHA256] = sub.Blobs[i]
	}
	var keys []entry.UnitKey
	for _, ev := range e.Events {
		switch v := must(ev.Value()).(type) {
		case *entry.SessionOpen:
			keys = append(keys, v.Keys...)
		case *entry.TrackOpen:
			keys = append(keys, v.Keys...)
		case *entry.SessionRoll:
			keys = append(keys, v.Keys...)
		}
	}
	if len(keys) != len(sub.Wraps) {
		return fmt.Errorf("%d wraps for %d keys", len(sub.Wraps), len(keys))
	}
	for i, k := range keys {
		if sub.Wraps[i].Key != k.Commitment {
			return errors.New("wrap does not match")
		}
		s.wraps[e.Session] = append(s.wraps[e.Session], wire.Key{Track: e.Track, Class: string(k.Class), Key: k.Commitment, File: sub.Wraps[i].File})
	}
	return nil
}

func (s *server) checkClose(e *entry.Entry) error {
	v, ok := must(e.Events[len(e.Events)-1].Value()).(*entry.SessionClose)
	if !ok {
		return nil
	}
	named := 0
	for _, t := range s.tracks {
		if t.Session != e.Session || t.Name == entry.MainTrack {
			continue
		}
		named++
		if !slices.Contains(v.Tracks, t.End()) {
			return errors.New("close names another head of a track")
		}
	}
	if named != len(v.Tracks) {
		return errors.New("close names other tracks")
	}
	return nil
}

func (s *server) add(leaf []byte) {
	hashes := must(tlog.StoredHashes(int64(len(s.leaves)), leaf, tlog.HashReaderFunc(s.read)))
	s.hashes = append(s.hashes, hashes...)
	s.leaves = append(s.leaves, leaf)
}

func (s *server) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = s.hashes[x]
	}
	return out, nil
}

// publishedCheckpoint is the present one if witnesses answer, else the last that they cosigned.
func (s *server) publishedCheckpoint(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.w.Witnesses) == 0 || s.away < 2 || s.bare {
		s.published = s.checkpointLocked()
	}
	if s.shown != nil {
		s.published = s.shown
	}
	if s.published == nil {
		answer(w, 404, wire.ProblemType, wire.Problem{Code: "not-covered"})
		return
	}
	w.Write(s.published)
}

func (s *server) checkpointLocked() []byte {
	n := len(s.leaves)
	if s.signed >= 0 {
		n = s.signed
	}
	root := must(tlog.TreeHash(int64(n), tlog.HashReaderFunc(s.read)))
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, n, base64.StdEncoding.EncodeToString(root[:]))
	signers := []note.Signer{must(note.NewSigner(s.w.Log))}
	if !s.bare && len(s.w.Witnesses) > 0 {
		for _, skey := range s.w.Witnesses[s.away:] {
			signers = append(signers, must(checkpoint.NewSigner(skey)))
		}
	}
	return must(note.Sign(&note.Note{Text: text}, signers...))
}

func (s *server) tile(w http.ResponseWriter, r *http.Request) {
	p, err := tiles.ParsePath(r.URL.Path[1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	width := int(p.Width)
	if width == 0 {
		width = 256
	}
	if (p.Index*256+uint64(width))<<(8*p.Level) > uint64(len(s.leaves)) {
		http.NotFound(w, r)
		return
	}
	if p.Bundle {
		var b []byte
		for _, leaf := range s.leaves[p.Index*256:][:width] {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
		}
		w.Write(b)
		return
	}
	b, err := tlog.ReadTileData(tlog.Tile{H: 8, L: int(p.Level), N: int64(p.Index), W: width}, tlog.HashReaderFunc(s.read))
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	w.Write(b)
}

func (s *server) head(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var h client.SessionHead
	h.Session, h.State = r.PathValue("id"), "open"
	for _, t := range s.tracks {
		if t.Session == h.Session {
			h.Tracks = append(h.Tracks, wire.TrackHead{Track: t.Name, Next: t.Next, Head: t.Head, Closed: t.Closed})
			if t.Name == entry.MainTrack {
				h.First = t.First
			}
		}
	}
	if h.Tracks == nil {
		answer(w, 404, wire.ProblemType, wire.Problem{Code: "unknown-session"})
		return
	}
	answer(w, 200, wire.JSONType, h)
}

func (s *server) entries(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, _ := strconv.Atoi(r.URL.Query().Get("from"))
	var page wire.Entries
	for i := from; i < len(s.leaves); i++ {
		if i == s.hidden && i > 0 || !bytes.Contains(s.leaves[i], []byte("\n"+r.PathValue("id")+"/")) && !s.mentions[i] {
			continue
		}
		if len(page.Entries) == s.page {
			next := uint64(i)
			page.Next = &next
			break
		}
		page.Entries = append(page.Entries, wire.Leaf{Index: uint64(i), Leaf: string(s.leaves[i])})
	}
	answer(w, 200, wire.JSONType, page)
}

func (s *server) blobsPage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, _ := strconv.Atoi(r.URL.Query().Get("from"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	out := []byte(wire.BlobsMagic)
	for i := from; i < len(s.leaves) && limit > 0; i++ {
		if !bytes.Contains(s.leaves[i], []byte("\n"+r.PathValue("id")+"/")) {
			continue
		}
		limit--
		for _, b := range must(entry.Parse(s.leaves[i])).Blobs {
			if blob := s.blobs[b.SHA256]; blob != nil {
				out = wire.AppendBlob(out, blob)
			}
		}
	}
	w.Write(out)
}

func (s *server) keys(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, 200, wire.JSONType, wire.Keys{Session: r.PathValue("id"), Keys: s.wraps[r.PathValue("id")]})
}

func (s *server) blob(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := base64.RawURLEncoding.DecodeString(r.PathValue("hash"))
	if len(b) != 32 || s.blobs[entry.Hash(b)] == nil {
		answer(w, 404, wire.ProblemType, wire.Problem{Code: "unknown-blob"})
		return
	}
	w.Write(s.blobs[entry.Hash(b)])
}

func (s *server) proof(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := strconv.Atoi(r.PathValue("index"))
	if err != nil || i >= len(s.leaves) {
		http.NotFound(w, r)
		return
	}
	var hashes [][32]byte
	for _, h := range must(tlog.ProveRecord(int64(len(s.leaves)), int64(i), tlog.HashReaderFunc(s.read))) {
		hashes = append(hashes, h)
	}
	w.Write(proof.TLogProof{Index: uint64(i), Hashes: hashes, Checkpoint: s.checkpointLocked()}.Marshal())
}

// entriesOf are the parsed leaves of a track, in the order of the log.
func (s *server) entriesOf(t testing.TB, track string) []*entry.Entry {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*entry.Entry
	for _, l := range s.leaves {
		e, err := entry.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		if e.Track == track {
			out = append(out, e)
		}
	}
	return out
}

// remarks are the annotation ids (refs) of a track's events, in order, each entry checked to follow the one before.
func (s *server) remarks(t testing.TB, track string) []string {
	t.Helper()
	var out []string
	next, prev := uint64(0), entry.Hash{}
	for _, e := range s.entriesOf(t, track) {
		if e.Seq != next || e.Prev != prev {
			t.Fatalf("entry from %d after %d: not once, or not in order", e.Seq, next)
		}
		next, prev = e.Next(), e.Hash()
		for _, ev := range e.Events {
			if a, ok := must(ev.Value()).(*entry.Annotation); ok {
				out = append(out, string(a.Refs[0].ID))
			}
		}
	}
	return out
}

func (s *server) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
