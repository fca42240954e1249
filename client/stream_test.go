package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// A writer writes a session straight into a server, without a spool.
type writer struct {
	t       testing.TB
	s       *server
	session string
	track   *recorder.Track
	keys    payload.Keys
	first   entry.Hash
}

func newWriter(t testing.TB, s *server) *writer {
	t.Helper()
	w := &writer{t: t, s: s, session: must(uuid.NewV7()).String(), keys: must(payload.NewKeys(rand.Reader))}
	w.track = must(recorder.New(recorder.Config{Origin: origin, Session: w.session, Track: "main", Signer: must(note.NewSigner(s.w.Recorder)),
		Keys: w.keys, Rand: rand.Reader, Now: time.Now}))
	cfg := s.w.config("http://unused", t.TempDir())
	open := opening().Event
	open.Enrolment = entry.Text(cfg.Enrolment)
	var wraps []wire.Wrap
	for _, c := range payload.Classes() {
		where := payload.WrapPlace{Origin: origin, Session: w.session, Track: "main", Class: c}
		k := w.keys[c]
		commitment := entry.Hash(k.Commitment())
		open.Keys = append(open.Keys, entry.UnitKey{Class: entry.ID(c.String()), Commitment: commitment})
		wraps = append(wraps, wire.Wrap{Key: commitment, File: must(payload.Wrap(k, where, cfg.Recipients[c]...))})
	}
	w.add(wraps, recorder.Plain(entry.TypeSessionOpen, open))
	w.first = w.track.Head()
	return w
}

// add admits an entry, or several, and returns the text of the last one with its signature.
func (w *writer) add(wraps []wire.Wrap, events ...recorder.Event) []byte {
	w.t.Helper()
	built := must(w.track.Build(events...))
	w.s.with(func() {
		for _, b := range built {
			if _, err := w.s.admit(wire.Submitted{Entry: b.Submission, Blobs: b.Blobs, Wraps: wraps}, &wire.Answer{}); err != nil {
				w.t.Fatal(err)
			}
			wraps = nil
		}
	})
	return built[len(built)-1].Submission
}

// wide is an event of some three kilobytes without a payload.
func wide(n int) recorder.Event {
	v := entry.Annotation{Kind: "remark"}
	for i := range 16 {
		v.Refs = append(v.Refs, entry.ExternalRef{System: "test", Type: entry.ID(strings.Repeat("t", 60)), ID: entry.ID(fmt.Sprintf("%d-%d-%s", n, i, strings.Repeat("x", 80)))})
	}
	return recorder.Plain(entry.TypeAnnotation, v)
}

// What a stream gives is what Read holds, in the order of the log, and its summary says the same.
func TestReadStream_isRead(t *testing.T) {
	s, w, session := recorded(t)
	ctx := within(t, 10*time.Second)
	r := newReader(t, s.URL, w)
	rec, err := r.Read(ctx, session)
	if err != nil {
		t.Fatal(err)
	}
	var got []client.Recorded
	sum, err := r.ReadStream(ctx, session, nil, func(x client.Recorded) error { got = append(got, x); return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := rec.Recorded()
	same := slices.EqualFunc(got, want, func(a, b client.Recorded) bool {
		return a.Index == b.Index && bytes.Equal(a.Leaf, b.Leaf) && a.Proven && b.Proven && a.Entry.Hash() == b.Entry.Hash()
	})
	if !same || len(got) < 9 {
		t.Errorf("the stream gave %d entries, the record has %d", len(got), len(want))
	}
	if len(sum.Tracks) != 2 || sum.Tracks[0].Name != "main" || sum.Tracks[0].Entries != len(rec.Tracks[0].Entries) || !sum.Tracks[0].Closed {
		t.Errorf("tracks %+v", sum.Tracks)
	}
	if first, last := sum.Bounds(); first != got[0].Index || last != got[len(got)-1].Index {
		t.Errorf("bounds %d and %d", first, last)
	}
	o, err := r.UnlockSession(ctx, sum, must(age.ParseX25519Identity(w.Vault)))
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[entry.Hash][]byte)
	if err := r.SessionBlobs(ctx, sum, func(h entry.Hash, b []byte) error { kept[h] = b; return nil }); err != nil || len(kept) != 15 {
		t.Fatalf("%d blobs: %v", len(kept), err)
	}
	hidden := 0
	i := slices.IndexFunc(got, func(x client.Recorded) bool { return x.Entry.Seq > 0 && len(x.Entry.Blobs) > 0 })
	erased := got[i].Entry.Blobs[0].SHA256
	o.Blob = func(_ context.Context, index uint64, h entry.Hash) ([]byte, error) {
		if h == erased {
			hidden++
			return nil, client.ErrErased
		}
		return kept[h], nil
	}
	for _, x := range got {
		for _, b := range x.Entry.Blobs {
			p, err := o.Open(ctx, x.Entry, b.Event, b.Slot)
			if b.SHA256 == erased {
				if !errors.Is(err, payload.ErrNoKey) {
					t.Errorf("an erased payload: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, err := p.Bytes(); err != nil || len(text) == 0 {
				t.Errorf("leaf %d: %q, %v", x.Index, text, err)
			}
		}
	}
	if hidden != 1 {
		t.Errorf("%d blobs were erased", hidden)
	}
	o.Blob = func(context.Context, uint64, entry.Hash) ([]byte, error) { return []byte("other"), nil }
	if _, err := o.Open(ctx, got[0].Entry, 0, "purpose"); err == nil {
		t.Error("other bytes were opened")
	}
	if _, err := o.Open(ctx, &entry.Entry{Header: got[0].Entry.Header, Events: got[0].Entry.Events, Text: []byte("x")}, 0, "purpose"); err == nil {
		t.Error("an entry that is not of the session was opened")
	}
}

// Memory does not grow with what is read.
func TestReadStream_memoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("writes megabytes of entries")
	}
	w := newWorld()
	s := newServer(t, w)
	s.page = 100
	x := newWriter(t, s)
	const n = 800
	for i := range n {
		x.add(nil, wide(i))
	}
	ctx := within(t, time.Minute)
	r := newReader(t, s.URL, w)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var early, late int64
	count, size := 0, 0
	sum, err := r.ReadStream(ctx, x.session, nil, func(x client.Recorded) error {
		switch count++; count {
		case n / 4:
			early = heap()
		case n:
			late = heap()
		}
		size += len(x.Leaf)
		return nil
	})
	if err != nil || count != n+1 || sum.Tracks[0].Entries != n+1 {
		t.Fatalf("%d entries: %v", count, err)
	}
	if grown := late - early; grown > 200*n+1<<20 || size < 3000*n {
		t.Errorf("reading %d bytes took %d bytes of memory", size, grown)
	}
	runtime.KeepAlive(sum)
}

func TestReadStream_callersErrorIsReturnedAsItIs(t *testing.T) {
	s, w, session := recorded(t)
	mine := errors.New("the disk is full")
	n := 0
	sum, err := newReader(t, s.URL, w).ReadStream(within(t, 5*time.Second), session, nil, func(client.Recorded) error {
		n++
		return mine
	})
	if err != mine || sum != nil || n != 1 { //nolint:errorlint // as it is
		t.Errorf("%v, %v after %d", sum, err, n)
	}
}

// What no checkpoint covers is given unproven; who waits for one gets all of it proven, under the one that came.
func TestReadStream_covering(t *testing.T) {
	s, w, session := recorded(t)
	ctx := within(t, 10*time.Second)
	s.with(func() { s.signed = 5 })
	r := newReader(t, s.URL, w)
	proven := func(covering client.Covering) (yes, no int, sum *client.SessionSummary) {
		sum, err := r.ReadStream(ctx, session, covering, func(x client.Recorded) error {
			if x.Proven {
				yes++
			} else {
				no++
			}
			if x.Proven != (x.Index < 5) && covering == nil {
				t.Errorf("leaf %d is proven: %v", x.Index, x.Proven)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return yes, no, sum
	}
	yes, no, sum := proven(nil)
	if yes == 0 || no == 0 || sum.Checkpoint.Size != 5 {
		t.Errorf("%d proven, %d not, at size %d", yes, no, sum.Checkpoint.Size)
	}
	// Of a system session that speaks of it, what is younger than the checkpoint is not waited for.
	sys := must(recorder.New(recorder.Config{Origin: origin, Session: must(uuid.NewV7()).String(), Track: entry.SystemTrack,
		Signer: must(note.NewSigner(w.System)), Rand: rand.Reader, Next: 5, Head: entry.HashOf(nil), Now: time.Now}))
	young := must(sys.Build(recorder.Plain(entry.TypeAccess, entry.Access{Principal: "auditor", What: "entries", Session: entry.UUID(session)})))[0].Submission
	s.with(func() {
		s.add(s.stamper.Stamp(young, must(entry.ParseSubmission(young)), entry.TimeOf(time.Now())))
		s.mentions = map[int]bool{len(s.leaves) - 1: true}
	})
	asked := 0
	yes, no, sum = proven(func(ctx context.Context, size uint64) (trust.Checkpoint, error) {
		asked++
		s.with(func() { s.signed = int(size) })
		return r.Signed(ctx)
	})
	if _, last := sum.Bounds(); no != 1 || sum.Mentions != 1 || sum.Checkpoint.Size != last+1 || asked == 0 {
		t.Errorf("%d proven, %d not, at size %d, asked %d times", yes, no, sum.Checkpoint.Size, asked)
	}
	mine := errors.New("it is too late")
	if _, err := r.ReadStream(ctx, session, func(context.Context, uint64) (trust.Checkpoint, error) { return trust.Checkpoint{}, mine },
		func(client.Recorded) error { return nil }); !errors.Is(err, mine) {
		t.Errorf("%v", err)
	}
}

// A text twice counts once; two texts for one place are proof against whoever signed both.
func TestReadStream_repeatsAndEquivocation(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	x := newWriter(t, s)
	ctx := within(t, 10*time.Second)
	first := x.add(nil, remark("one"))
	next, head := x.track.Next(), x.track.Head()
	stampAgain := func(sub []byte) {
		e := must(entry.ParseSubmission(sub))
		s.add(s.stamper.Stamp(sub, e, entry.TimeOf(time.Now())))
	}
	s.with(func() { stampAgain(first) })
	x.add(nil, remark("two"))
	r := newReader(t, s.URL, w)
	rec, err := r.Read(ctx, x.session)
	if err != nil || len(rec.Tracks[0].Entries) != 3 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if err := r.Blobs(ctx, rec, func(entry.Hash, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	other := must(recorder.New(recorder.Config{Origin: origin, Session: x.session, Track: "main", Signer: must(note.NewSigner(w.Recorder)),
		Keys: x.keys, Rand: rand.Reader, Next: next, Head: head, Now: time.Now}))
	s.with(func() {
		stampAgain(must(other.Build(recorder.Plain(entry.TypeAnnotation, entry.Annotation{Kind: "remark"})))[0].Submission)
	})
	var equivocation *client.EquivocationError
	if _, err := r.Read(ctx, x.session); !errors.As(err, &equivocation) {
		t.Fatal(err)
	}
	for _, side := range []client.Recorded{equivocation.A, equivocation.B} {
		if side.Entry == nil || side.Entry.Seq != next || !bytes.Contains(side.Leaf, side.Entry.Text) {
			t.Errorf("what was found is not the proof of it: leaf %d", side.Index)
		}
	}
	if equivocation.A.Entry.Hash() == equivocation.B.Entry.Hash() || !strings.Contains(equivocation.Error(), "different texts") {
		t.Error(equivocation)
	}
}

// Pages of blobs hold as many entries as their bytes allow, an answer that breaks off is asked for again, and every blob comes once.
func TestSessionBlobs(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	x := newWriter(t, s)
	big := func(n int) recorder.Event {
		return recorder.Event{Type: entry.TypeAnnotation, Build: func(seal recorder.Seal) (any, error) {
			p, err := seal("content", payload.Text, payload.Content, bytes.Repeat([]byte{byte('a' + n)}, 2<<20))
			return entry.Annotation{Kind: "remark", Content: p}, err
		}}
	}
	for i := range 12 {
		x.add(nil, big(i))
	}
	x.add(nil, remark("small"))
	var asked []string
	cut := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		s.Config.Handler.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if strings.HasSuffix(r.URL.Path, "/blobs") {
			if cut++; cut == 2 { // in the middle of the second page
				rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
				rw.Write(body[:len(body)/2])
				return
			}
			asked = append(asked, r.URL.Query().Get("limit"))
		}
		rw.WriteHeader(rec.Code)
		rw.Write(body)
	}))
	defer proxy.Close()
	ctx := within(t, 30*time.Second)
	r := newReader(t, proxy.URL, w)
	sum, err := r.ReadStream(ctx, x.session, nil, func(client.Recorded) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		seen := make(map[entry.Hash]int)
		if err := r.SessionBlobs(ctx, sum, func(h entry.Hash, b []byte) error { seen[h]++; return nil }); err != nil || len(seen) != 13 {
			t.Fatalf("%d blobs: %v", len(seen), err)
		}
		for h, n := range seen {
			if n != 1 {
				t.Errorf("blob %s came %d times", h, n)
			}
		}
	}
	if len(asked) < 4 || len(asked) > 8 {
		t.Errorf("pages of %v entries", asked)
	}
	mine := errors.New("the disk is full")
	if err := r.SessionBlobs(ctx, sum, func(entry.Hash, []byte) error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
}

// All leaves of a range come in order and proven, also those that are no entries of anybody's session.
func TestRange(t *testing.T) {
	s, w, _ := recorded(t)
	ctx := within(t, 10*time.Second)
	r := newReader(t, s.URL, w)
	cp, err := r.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, span := range [][2]uint64{{0, cp.Size}, {2, 5}, {4, 4}, {cp.Size - 1, cp.Size}} {
		at := span[0]
		if err := r.Range(ctx, cp, span[0], span[1], func(index uint64, leaf []byte) error {
			if index != at || !bytes.Equal(leaf, s.leaves[index]) {
				t.Errorf("leaf %d came at %d", index, at)
			}
			at++
			return nil
		}); err != nil || at != span[1] {
			t.Errorf("%v ended at %d: %v", span, at, err)
		}
	}
	if err := r.Range(ctx, cp, 0, cp.Size+1, func(uint64, []byte) error { return nil }); err == nil {
		t.Error("a range beyond the checkpoint was read")
	}
	s.with(func() { s.leaves[3] = bytes.Replace(s.leaves[3], []byte("remark"), []byte("Remark"), 1) })
	if err := newReader(t, s.URL, w).Range(ctx, cp, 0, cp.Size, func(uint64, []byte) error { return nil }); err == nil {
		t.Error("a leaf that was changed was believed")
	}
}
