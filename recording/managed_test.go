package recording_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
)

const openBody = `{ "agent": "bot", "privilege": "financial",
  "purpose": {"why": "month end  \u00e9", "big": 123456789012345678901234567890.5}, "on_behalf_of": "Carol" }`

func (w *world) openManaged(key string) recording.Result {
	w.t.Helper()
	res, err := w.rec.OpenManaged(context.Background(), alice, recording.Request{Key: key, Body: []byte(openBody)})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) events(session, track, key, body string) (recording.Result, error) {
	return w.rec.ManagedEvents(context.Background(), alice, session, track, recording.Request{Key: key, Body: []byte(body)})
}

// opened opens the payload in a slot of the session's event, with keys from the keyring and the vault's identity.
func (w *world) opened(e *entry.Entry, i int, slot string, p *entry.Payload) []byte {
	w.t.Helper()
	ctx := context.Background()
	keys := payload.Keys{}
	blobs := map[payload.Hash][]byte{}
	for _, b := range p.Blobs {
		class := must(payload.ParseClass(string(b.Class)))
		for _, wrap := range must(w.keyring.List(ctx, e.Session)) {
			if wrap.Class != string(b.Class) || wrap.Track != e.Track {
				continue
			}
			where := payload.WrapPlace{Origin: origin, Session: e.Session, Track: e.Track, Class: class}
			keys[class] = must(payload.Unwrap(wrap.File, where, payload.Hash(wrap.Key), w.identity))
			r, err := w.blobs.Open(ctx, storage.Ref{SHA256: storage.Hash(b.SHA256), Size: int64(b.Size)})
			if err != nil {
				w.t.Fatal(err)
			}
			var buf bytes.Buffer
			if _, err := buf.ReadFrom(r); err != nil {
				w.t.Fatal(err)
			}
			blobs[payload.Hash(b.SHA256)] = buf.Bytes()
			at := payload.Place{Origin: origin, Session: e.Session, Track: e.Track, Seq: e.Seq + uint64(i), Slot: slot}
			if o, err := payload.Open(keys, at, payload.RefOf(p), blobs); err == nil {
				return must(o.Bytes())
			}
		}
	}
	w.t.Fatalf("no key opens %s of event %d", slot, i)
	return nil
}

func TestEXACTBYTES_managedPayloadsAreTheBytesThatCame(t *testing.T) {
	w := newWorld(t)
	s := w.openManaged("").Session
	params := `{"a" : [1.50, 1e400 , -0,"\ud800\u0061"], "a":{}}`
	res, err := w.events(s, "", "", `{"event":"action.intent","action":"a-1","tool":"t","target":"Bob's account","params":`+params+`}`)
	if err != nil {
		t.Fatal(err)
	}
	e := must(entry.Parse(res.Receipts[0].Leaf))
	var v entry.ActionIntent
	if err := e.Events[0].Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Params.Blobs[0].Class != "content" || v.Target.Blobs[0].Class != "directory" || v.EventID == "" || v.MAC == nil {
		t.Fatalf("%s", e.Events[0].Raw)
	}
	if got := string(w.opened(e, 0, "params", v.Params)); got != params {
		t.Fatalf("got %s", got)
	}
	if got := string(w.opened(e, 0, "target", v.Target)); got != `"Bob's account"` {
		t.Fatalf("got %s", got)
	}
	for _, leaf := range w.leaves() {
		if bytes.Contains(leaf.Text, []byte("Bob")) || bytes.Contains(leaf.Text, []byte("Carol")) {
			t.Fatalf("SEALED: %s", leaf.Text)
		}
	}
	// Nested payloads too.
	res, err = w.events(s, "", "", `{"event":"model.request","call":"c1","model":{"id":"m","parameters":{"t":0.7}},"content":"hi"}`)
	if err != nil {
		t.Fatal(err)
	}
	e = must(entry.Parse(res.Receipts[0].Leaf))
	var m entry.ModelRequest
	if err := e.Events[0].Decode(&m); err != nil {
		t.Fatal(err)
	}
	if got := string(w.opened(e, 0, "model/parameters", m.Model.Parameters)); got != `{"t":0.7}` {
		t.Fatalf("got %s", got)
	}
}

func TestACKED_managedRetriesAreRecognisedFromTheLogAlone(t *testing.T) {
	w := newWorld(t)
	open := w.openManaged("open-1")
	s := open.Session
	body := `{"event":"action.intent","action":"a-1","tool":"t","params":{"x":1}}`
	first, err := w.events(s, "", "e-1", body)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		again, err := w.events(s, "", "e-1", body)
		if err != nil || len(again.Receipts) != 1 || !again.Receipts[0].Repeated || again.Receipts[0].Index != first.Receipts[0].Index ||
			!bytes.Equal(again.Receipts[0].Leaf, first.Receipts[0].Leaf) {
			t.Fatalf("%s: %+v, %v", when, again, err)
		}
		if _, err := w.events(s, "", "e-1", strings.Replace(body, "1}", "2}", 1)); code(err) != recording.CodeIdempotency {
			t.Fatalf("%s: %v", when, err)
		}
		if res := w.openManaged("open-1"); res.Session != s || !res.Receipts[0].Repeated || res.Receipts[0].Index != open.Receipts[0].Index {
			t.Fatalf("%s: open again: %+v", when, res)
		}
	}
	check("live")
	w.crash()
	w.restart()
	check("after a crash")
	w.stop()
	w.restart("heads", "index")
	check("rebuilt from the log")
	res, err := w.events(s, "", "", `{"event":"action.result","action":"a-1","outcome":{"transport":"ok","protocol":"ok","tool":"success"},"response":[1]}`)
	if err != nil {
		t.Fatal(err)
	}
	e := must(entry.Parse(res.Receipts[0].Leaf))
	var roll entry.SessionRoll
	if err := e.Events[0].Decode(&roll); err != nil || roll.Why != "restart" || len(roll.Keys) != 4 {
		t.Fatalf("%s", e.Text)
	}
	done, err := w.rec.CloseManaged(context.Background(), alice, s, recording.Request{Key: "c-1", Body: []byte(`{"outcome":"completed","reason":"done"}`)})
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.restart()
	check("after the close")
	again, err := w.rec.CloseManaged(context.Background(), alice, s, recording.Request{Key: "c-1", Body: []byte(`{"outcome":"completed","reason":"done"}`)})
	if err != nil || again.Receipts[0].Index != done.Receipts[0].Index {
		t.Fatalf("%+v %v", again, err)
	}
	if v := system[entry.Verdict](w, entry.TypeVerdict); len(v) != 1 || v[0].Verdict != "interrupted" || v[0].Why != "restarted" {
		t.Fatalf("%+v", v)
	}
}

func TestManagedCallsInParallelShareEntriesAndEachIsRecordedOnce(t *testing.T) {
	w := newWorld(t)
	s := w.openManaged("").Session
	if _, err := w.rec.JoinManaged(context.Background(), alice, s, recording.Request{Body: []byte(`{"track":"tools","agent":"bot"}`)}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const callers, each = 16, 12
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				track := []string{"main", "tools"}[i%2]
				// Pairs of callers send the same events.
				id := fmt.Sprintf("e-%d-%d", c/2, i)
				body := fmt.Sprintf(`{"event_id":%q,"event":"calculation","name":"n","content":%d}`, id, i)
				res, err := w.events(s, track, "", body)
				if err != nil || len(res.Receipts) != 1 {
					t.Errorf("%+v %v", res, err)
					return
				}
				if !bytes.Contains(res.Receipts[0].Leaf, []byte(`"`+id+`"`)) {
					t.Errorf("the receipt's leaf lacks %s", id)
				}
			}
		})
	}
	wg.Wait()
	seen, entries := map[entry.ID]int{}, 0
	for _, e := range w.leaves() {
		if e.Session != s {
			continue
		}
		entries++
		for _, ev := range e.Events {
			var m entry.Managed
			if err := ev.Decode(&m); err != nil {
				t.Fatal(err)
			}
			if ev.Type == entry.TypeCalculation {
				seen[m.EventID]++
			}
		}
	}
	if len(seen) != callers/2*each {
		t.Fatalf("%d events, want %d", len(seen), callers/2*each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Fatalf("%s was recorded %d times", id, n)
		}
	}
	if entries >= callers/2*each {
		t.Logf("no entry was shared: %d entries", entries)
	}
}

func TestRecordIsAWholeSessionAndCanBeSentAgain(t *testing.T) {
	w := newWorld(t)
	body := []byte(`{"session":{"agent":"bot","privilege":"high-risk","purpose":"p"},"events":[
		{"event":"input","kind":"user","content":"hello"},
		{"event":"action.intent","action":"a","tool":"t","params":null},
		{"event":"action.result","action":"a","outcome":{"transport":"ok","protocol":"ok","tool":"success"}}],
		"close":{"outcome":"completed"}}`)
	res, err := w.rec.Record(context.Background(), alice, recording.Request{Key: "k", Body: body})
	if err != nil || res.Next != 5 || res.Session == "" {
		t.Fatalf("%+v %v", res, err)
	}
	size := w.log.Size()
	again, err := w.rec.Record(context.Background(), alice, recording.Request{Key: "k", Body: body})
	if err != nil || again.Session != res.Session || len(again.Receipts) != len(res.Receipts) || w.log.Size() != size {
		t.Fatalf("%+v %v", again, err)
	}
	other := bytes.Replace(body, []byte("hello"), []byte("hallo"), 1)
	if _, err := w.rec.Record(context.Background(), alice, recording.Request{Key: "k", Body: other}); code(err) != recording.CodeIdempotency {
		t.Fatal(err)
	}
	if v := system[entry.Verdict](w, entry.TypeVerdict); len(v) != 1 || v[0].Verdict != "complete" {
		t.Fatalf("%+v", v)
	}
	// Nothing is opened for a record with a bad event.
	bad := bytes.Replace(body, []byte(`"kind":"user"`), []byte(`"kind":"usr"`), 1)
	size = w.log.Size()
	var p *recording.Problem
	if _, err := w.rec.Record(context.Background(), alice, recording.Request{Body: bad}); !errors.As(err, &p) || p.Code != entry.BadValue || p.Event != 0 || w.log.Size() != size {
		t.Fatal(err)
	}
}

// A request of several events with one Idempotency-Key is recorded once too, whether its events have ids of their own or not.
func TestEXACTLYONCE_aKeyStandsForAllEventsOfARequest(t *testing.T) {
	w := newWorld(t)
	s := w.openManaged("").Session
	body := `{"events":[{"event":"annotation","kind":"remark"},{"event":"annotation","kind":"remark","event_id":"own"},{"event":"annotation","kind":"gap"}]}`
	first, err := w.events(s, "", "batch", body)
	if err != nil || first.Next != 4 {
		t.Fatalf("%+v %v", first, err)
	}
	again, err := w.events(s, "", "batch", body)
	if err != nil || again.Next != 4 || len(again.Receipts) != len(first.Receipts) || !again.Receipts[0].Repeated {
		t.Fatalf("%+v %v", again, err)
	}
	other := strings.Replace(body, "gap", "case", 1)
	if _, err := w.events(s, "", "batch", other); code(err) != recording.CodeIdempotency {
		t.Fatal(err)
	}
}

// A failed append can take an entry and not the one before it. The server's recorder never gives that entry's numbers to
// other events, now or after a restart: that would be equivocation.
func TestONEHISTORY_nothingIsRecordedOverAnEntryWithoutItsPredecessor(t *testing.T) {
	w := newWorld(t)
	s := w.openManaged("").Session
	w.faulty.set(func(f *faulty) {
		f.take = func(leaves [][]byte) ([]log.Placed, error) {
			if len(leaves) < 2 {
				return w.log.Append(context.Background(), leaves)
			}
			placed, err := w.log.Append(context.Background(), leaves[1:])
			if err != nil {
				return nil, err
			}
			left := &log.NotAppendedError{Placed: map[int]log.Placed{}, Err: errFault}
			for i, p := range placed {
				left.Placed[i+1] = p
			}
			return nil, left
		}
	})
	many := `{"events":[{"event":"annotation","kind":"remark"}` + strings.Repeat(`,{"event":"annotation","kind":"remark"}`, 40) + `]}`
	if _, err := w.events(s, "", "", many); code(err) != recording.CodeNotDurable {
		t.Fatal(err)
	}
	w.faulty.set(func(f *faulty) { f.take = nil })
	over := func() {
		t.Helper()
		size := w.log.Size()
		if _, err := w.events(s, "", "", `{"event":"annotation","kind":"case"}`); code(err) != entry.TrackClosed || w.log.Size() != size {
			t.Fatalf("%v, size %d after %d", err, w.log.Size(), size)
		}
	}
	over()
	w.crash()
	w.restart()
	over()
	w.stop()
	w.restart()
	over()
}

// A client that hangs up does not make room for another request before its own is recorded: what waits is bounded by what
// the caller lets in at once.
func TestManagedCallReturnsWhenItIsRecorded(t *testing.T) {
	w := newWorld(t)
	s := w.openManaged("").Session
	ctx, hangUp := context.WithCancel(context.Background())
	goOn := make(chan struct{})
	w.faulty.set(func(f *faulty) {
		f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
			hangUp()
			<-goOn
			return do()
		}
	})
	answer := make(chan error, 1)
	go func() {
		_, err := w.rec.ManagedEvents(ctx, alice, s, "", recording.Request{Body: []byte(`{"event":"annotation","kind":"remark"}`)})
		answer <- err
	}()
	<-ctx.Done()
	select {
	case err := <-answer:
		close(goOn)
		t.Fatalf("returned before it is recorded: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if err := <-answer; err != nil {
		t.Error(err)
	}
}

func TestManagedTrackJoinsASignedSession(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	ctx := context.Background()
	if _, err := w.rec.JoinManaged(ctx, recording.Who{Principal: "mallory", How: "token"}, c.session, recording.Request{Body: []byte(`{"track":"r","agent":"bot"}`)}); code(err) != recording.CodeOtherPrincipal {
		t.Fatal(err)
	}
	if _, err := w.rec.JoinManaged(ctx, alice, c.session, recording.Request{Body: []byte(`{"track":"r","agent":"bot"}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.events(c.session, "r", "", `{"event":"reasoning","form":"plain","content":"so"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.events(c.session, "", "", `{"event":"reasoning","form":"absent"}`); code(err) != recording.CodeNotManaged {
		t.Fatal(err)
	}
	wrong := *main.Track
	built := must(wrong.Build(closing()))
	var p *recording.Problem
	if _, err := w.submit(c.session, recording.Submitted{Entry: built[0].Submission}); !errors.As(err, &p) || p.Code != recording.CodeHeadsDiffer || len(p.Heads) != 2 {
		t.Fatal(err)
	}
	head, err := w.rec.Head(ctx, alice, c.session)
	if err != nil || len(head.Tracks) != 2 || head.State != "open" || head.Tracks[0].Track != "main" {
		t.Fatalf("%+v %v", head, err)
	}
	end := entry.TrackEnd{Track: "r", Next: head.Tracks[1].Next, Head: head.Tracks[1].Head}
	w.ok(c.session, main.build(plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "completed", Tracks: []entry.TrackEnd{end}}))...)
	// It is no lock: what comes later is taken, and shown as late, once.
	for range 3 {
		if _, err := w.events(c.session, "r", "", `{"event":"reasoning","form":"absent"}`); err != nil {
			t.Fatal(err)
		}
	}
	v := system[entry.Verdict](w, entry.TypeVerdict)
	if len(v) != 2 || v[0].Verdict != "complete" || v[1].Verdict != "late" || v[1].Why != "after-close" {
		t.Fatalf("%+v", v)
	}
}

func TestBadManagedInputIsNamedAndNothingOfItIsStored(t *testing.T) {
	w := newWorld(t)
	s := w.openManaged("").Session
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for _, c := range []struct {
		body string
		code entry.Code
	}{
		{``, entry.Syntax},
		{`[]`, entry.WrongType},
		{`{"event":"reasoning","form":"absent"`, entry.Syntax},
		{`{"event":"reasoning","form":"absent"} x`, entry.Trailing},
		{`{"event":"reasoning","form":"absent","form":"absent"}`, entry.Duplicate},
		{`{"event":"reasoning","Form":"absent"}`, entry.CaseVariant},
		{`{"event":"reasoning","form":"absent","x":1}`, entry.UnknownMember},
		{`{"event":"reasoning","f\u006frm":"absent"}`, entry.UnknownMember},
		{`{"event":"reasoning"}`, entry.MissingMember},
		{`{"form":"absent"}`, entry.MissingMember},
		{`{"event":"reasoning","form":"odd"}`, entry.BadValue},
		{`{"event":"reasoning","form":"a\u0062sent"}`, entry.Escape},
		{`{"event":"reasoning","form":"\ud800"}`, entry.LoneSurrogate},
		{`{"event":"thought","form":"absent"}`, entry.UnknownEvent},
		{`{"event":"session.open","agent":"b"}`, entry.Misplaced},
		{`{"event":"session.close","outcome":"completed"}`, entry.Misplaced},
		{`{"event":"session.roll","why":"rekey"}`, entry.Misplaced},
		{`{"event":"verdict"}`, entry.Misplaced},
		{`{"event":"reasoning","form":"absent","mac":"x"}`, recording.CodeReservedMember},
		{`{"event":"reasoning","form":"absent","event_id":"a b"}`, recording.CodeEventID},
		{`{"event":"reasoning","form":"absent","event_id":7}`, recording.CodeEventID},
		{`{"event":"reasoning","form":"absent","time":"2026-01-01"}`, entry.BadValue},
		{`{"event":"reasoning","form":"plain","content":` + deep + `}`, recording.CodeJSONDepth},
		{`{"event":"reasoning","form":"plain","content":01}`, entry.Syntax},
		{`{"event":"reasoning","form":"plain","content":"` + "\xff" + `"}`, entry.InvalidUTF8},
		{`{"event":"reasoning","form":"plain","content":"` + "\n" + `"}`, entry.ControlCharacter},
		{`{"event":"reasoning","form":"plain","content":"\x"}`, entry.Escape},
		{`{"event":"action.output","action":"a","stream":"log","n":1.0,"content":1}`, entry.Float},
		{`{"event":"action.output","action":"a","stream":"log","n":-0,"content":1}`, entry.NegativeZero},
		{`{"event":"action.output","action":"a","stream":"log","n":9007199254740992,"content":1}`, entry.IntegerRange},
		{`{"events":[]}`, recording.CodeRequestEmpty},
		{`{"events":[` + strings.Repeat(`{},`, 256) + `{}]}`, recording.CodeTooManyEvents},
		{`{"events":[{"event":"reasoning","form":"absent"},{"event":"reasoning"}]}`, entry.MissingMember},
	} {
		size := w.log.Size()
		res, err := w.events(s, "", "", c.body)
		if code(err) != c.code || len(res.Receipts) > 0 {
			t.Errorf("%s: got %v, want %s", c.body, err, c.code)
		}
		if w.log.Size() != size {
			t.Fatalf("%s: the log grew", c.body)
		}
	}
	for body, want := range map[string]entry.Code{
		`{"agent":"bot"}`: entry.MissingMember,
		`{"agent":"bot","privilege":"financial","vantage":"observed"}`: recording.CodeReservedMember,
		`{"agent":"bot","privilege":"financial","keys":[]}`:            recording.CodeReservedMember,
		`{"agent":"bot","privilege":"financial","event_id":""}`:        recording.CodeEventID,
		`{"agent":"bot","privilege":"routine"}`:                        entry.BadValue,
		`{"agent":"bot","privilege":"financial","enrolment":"x"}`:      recording.CodeReservedMember,
	} {
		size := w.log.Size()
		if _, err := w.rec.OpenManaged(context.Background(), alice, recording.Request{Body: []byte(body)}); code(err) != want || w.log.Size() != size {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}
