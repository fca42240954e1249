package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// clear is what no file of a spool may contain.
const clear = "the cleartext that nobody may find"

func opening() client.Opening {
	return client.Opening{
		Event: entry.SessionOpen{Recorder: entry.Recorder{Agent: "bot", Vantage: "self-reported", Capture: "test", OnFailure: "closed",
			Model: &entry.Model{ID: "m"}},
			Privilege: "high-risk", Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}, HeartbeatS: 30},
		Purpose:         &client.Clear{Media: payload.Text, Bytes: []byte(clear)},
		ModelParameters: &client.Clear{Media: payload.JSON, Bytes: []byte(`{"temperature":0}`)},
	}
}

func joining(track string) client.Joining {
	return client.Joining{Track: track, Event: entry.TrackOpen{Recorder: entry.Recorder{Agent: "bot", Vantage: "self-reported",
		Capture: "test", OnFailure: "closed"}}}
}

// remark is an event that can be told from others by its id.
func remark(id string) recorder.Event {
	return recorder.Event{Type: entry.TypeAnnotation, Build: func(seal recorder.Seal) (any, error) {
		p, err := seal("content", payload.Text, payload.Content, []byte(clear+" "+id))
		return entry.Annotation{Kind: "remark", Content: p, Refs: []entry.ExternalRef{{System: "test", Type: "remark", ID: entry.ID(id)}}}, err
	}}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func newRecorder(t testing.TB, cfg client.Config) *client.Recorder {
	t.Helper()
	r, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		r.Close(ctx) // tests that mind what it says call it themselves
	})
	return r
}

func open(t testing.TB, r *client.Recorder) *client.Track {
	t.Helper()
	track, err := r.Open(within(t, 10*time.Second), opening())
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	soon(t, 10*time.Second, what, f)
}

func soon(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func TestASessionFromOpenToClose(t *testing.T) {
	w := newWorld()
	s, dir := newServer(t, w), t.TempDir()
	rec := newRecorder(t, w.config(s.URL, dir))
	ctx := within(t, 10*time.Second)
	main := open(t, rec)
	ref, err := client.ParseSessionRef(main.Ref().String())
	if err != nil || ref != main.Ref() || ref.First.IsZero() {
		t.Fatalf("reference %v read as %v: %v", main.Ref(), ref, err)
	}
	side, err := rec.Join(ctx, client.SessionRef{Session: ref.Session}, joining("reasoning"))
	if err != nil {
		t.Fatal(err)
	}
	span, err := main.Record(ctx, remark("a"), remark("b"))
	if err != nil || span != (client.Span{Seq: 1, Next: 3}) {
		t.Fatalf("span %v: %v", span, err)
	}
	if _, err := side.Spool(remark("x")); err != nil {
		t.Fatal(err)
	}
	if err := side.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if err := main.CloseSession(ctx, client.Closing{Outcome: "completed", Reason: &client.Clear{Media: payload.Text, Bytes: []byte(clear)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := main.Record(ctx, remark("late")); !errors.Is(err, client.ErrClosed) {
		t.Fatalf("recording after close: %v", err)
	}
	if err := rec.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got := s.remarks(t, "main"); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("main has %v", got)
	}
	if got := s.remarks(t, "reasoning"); !slices.Equal(got, []string{"x"}) {
		t.Fatalf("reasoning has %v", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(left) != 0 {
		t.Fatalf("the spool keeps %v of a session that is closed and proven: %v", left, err)
	}
}

func TestSEALED_theSpoolHoldsNoCleartext(t *testing.T) {
	w := newWorld()
	s, dir := newServer(t, w), t.TempDir()
	rec := newRecorder(t, w.config(s.URL, dir))
	main := open(t, rec)
	s.with(func() { s.signed = 0 }) // nothing is proven, so everything is kept
	if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found += len(b)
		for _, word := range strings.Fields(clear) {
			if len(word) > 4 && strings.Contains(string(b), word) {
				t.Errorf("%s contains %q", path, word)
			}
		}
		return err
	})
	if err != nil || found < 2000 {
		t.Fatalf("%d bytes in the spool: %v", found, err)
	}
}

func TestACKED_concurrentCallersShareEntriesAndNoneIsLost(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	main := open(t, rec)
	ctx := within(t, 20*time.Second)
	const callers, each = 16, 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	seqs := make(map[uint64]string)
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", c, i)
				var span client.Span
				var err error
				if i%2 == 0 {
					span, err = main.Record(ctx, remark(id))
				} else {
					span, err = main.Spool(remark(id))
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seqs[span.Seq] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := main.CloseSession(ctx, client.Closing{Outcome: "completed"}); err != nil {
		t.Fatal(err)
	}
	got := s.remarks(t, "main")
	if len(got) != callers*each || len(seqs) != callers*each {
		t.Fatalf("%d events in the log, %d numbers given, %d recorded", len(got), len(seqs), callers*each)
	}
	for i, id := range got {
		if seqs[uint64(i)+1] != id {
			t.Fatalf("event %d is %s, the caller was told %s", i+1, id, seqs[uint64(i)+1])
		}
	}
	if n := len(s.entriesOf(t, "main")); n >= callers*each {
		t.Fatalf("%d entries for %d events: nothing was packed together", n, callers*each)
	}
}

func TestABadEventFailsItsCallerAlone(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	main := open(t, rec)
	bad := recorder.Plain(entry.TypeAnnotation, entry.Annotation{Kind: "no such kind"})
	ctx := within(t, 10*time.Second)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if i%2 == 0 {
				if _, err := main.Record(ctx, remark(fmt.Sprint("good-", i))); err != nil {
					t.Error(err)
				}
			} else if _, err := main.Record(ctx, remark("bad"), bad); err == nil {
				t.Error("a malformed event was recorded")
			}
		})
	}
	wg.Wait()
	if got := s.remarks(t, "main"); len(got) != 10 || slices.Contains(got, "bad") {
		t.Fatalf("the log has %v", got)
	}
}

func TestExactlyOnceWhenAnswersAreLost(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	n := 0
	s.with(func() {
		s.after = func(rw http.ResponseWriter, _ *wire.Answer) bool {
			if n++; n%3 == 0 {
				return false
			}
			panic(http.ErrAbortHandler) // the entries are in the log, the answer never arrives
		}
	})
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	main := open(t, rec)
	for i := range 5 {
		if _, err := main.Record(within(t, 10*time.Second), remark(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.remarks(t, "main"); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Fatalf("the log has %v", got)
	}
}

func TestAServerThatIsAway(t *testing.T) {
	w := newWorld()
	s, dir := newServer(t, w), t.TempDir()
	rec := newRecorder(t, w.config(s.URL, dir))
	main := open(t, rec)
	away := true
	s.with(func() {
		s.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			if away {
				rw.Header().Set("Retry-After", "0")
				rw.WriteHeader(503)
			}
			return away
		}
	})
	_, err := main.Record(within(t, 50*time.Millisecond), remark("intent"))
	var pending *client.PendingError
	if !errors.Is(err, client.ErrPending) || !errors.As(err, &pending) || pending.LastSend == nil {
		t.Fatalf("FAIL-CLOSED: recording without a server: %v", err)
	}
	if _, err := main.Spool(remark("result")); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]client.SpooledTrack{"recorder": rec.Unsent(), "directory": must(client.ReadSpool(dir))} {
		n := 0
		for _, e := range list[0].Entries {
			if e.State == client.Spooled {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%s shows %d unsent entries of 2: %+v", name, n, list)
		}
	}
	s.with(func() { away = false })
	if _, err := main.Record(within(t, 10*time.Second), remark("next")); err != nil {
		t.Fatal(err)
	}
	if got := s.remarks(t, "main"); !slices.Equal(got, []string{"intent", "result", "next"}) {
		t.Fatalf("the log has %v", got)
	}
	eventually(t, "everything proven", func() bool { return len(rec.Unsent()[0].Entries) == 0 })
}

func TestARestartedRecorderSendsWhatIsLeftAndGoesOnWithNewKeys(t *testing.T) {
	w := newWorld()
	s, dir := newServer(t, w), t.TempDir()
	rec := newRecorder(t, w.config(s.URL, dir))
	main := open(t, rec)
	down := true
	s.with(func() {
		s.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			if down {
				rw.WriteHeader(502)
			}
			return down
		}
	})
	if _, err := main.Spool(remark("before")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(w.config(s.URL, dir)); !errors.Is(err, client.ErrSpoolLocked) {
		t.Fatalf("a second recorder on the spool: %v", err)
	}
	if err := rec.Close(within(t, 20*time.Millisecond)); !errors.Is(err, client.ErrPending) {
		t.Fatalf("closing with something unsent: %v", err)
	}
	s.with(func() { down = false })
	rec = newRecorder(t, w.config(s.URL, dir))
	eventually(t, "the rest is sent without being asked for", func() bool { return len(s.remarks(t, "main")) == 1 })
	ctx := within(t, 10*time.Second)
	again, err := rec.Resume(ctx, main.Session(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Record(ctx, remark("after")); err != nil {
		t.Fatal(err)
	}
	if err := again.CloseSession(ctx, client.Closing{Outcome: "completed"}); err != nil {
		t.Fatal(err)
	}
	if got := s.remarks(t, "main"); !slices.Equal(got, []string{"before", "after"}) {
		t.Fatalf("the log has %v", got)
	}
	keys := make(map[entry.Hash]bool)
	for _, k := range s.wraps[main.Session()] {
		keys[k.Key] = true
	}
	if len(keys) != 2*len(payload.Classes()) {
		t.Fatalf("%d unit keys after a restart", len(keys))
	}
}

func TestCloseNamesTheHeadsOfTracksThatMove(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	ctx := within(t, 10*time.Second)
	main := open(t, rec)
	other := w.config(s.URL, t.TempDir())
	side, err := newRecorder(t, other).Join(ctx, main.Ref(), joining("tools"))
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	s.with(func() {
		s.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/entries") {
				moved++
				s.mu.Unlock() // the other track's request takes it
				defer s.mu.Lock()
				s.before = nil
				if _, err := side.Record(ctx, remark(fmt.Sprint("moved-", moved))); err != nil {
					t.Error(err)
				}
			}
			return false
		}
	})
	if err := main.CloseSession(ctx, client.Closing{Outcome: "completed"}); err != nil {
		t.Fatal(err)
	}
	if moved == 0 {
		t.Fatal("no track moved between head and close")
	}
	es := s.entriesOf(t, "main")
	if last := es[len(es)-1]; last.Events[0].Type != entry.TypeSessionClose {
		t.Fatalf("the last entry is %s", last.Text)
	}
}

func TestFullSpool(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	cfg.MaxBytes = 40 << 10
	now := time.Now()
	var mu sync.Mutex
	cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	down := true
	s.with(func() {
		s.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			if down {
				rw.WriteHeader(502)
			}
			return down
		}
	})
	if _, err := main.Spool(remark("old")); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = now.Add(2 * time.Hour)
	mu.Unlock()
	if _, err := main.Record(within(t, time.Second), remark("too-late")); !errors.Is(err, client.ErrSpoolFull) {
		t.Fatalf("recording beyond the age bound: %v", err)
	}
	mu.Lock()
	now = now.Add(-2 * time.Hour)
	mu.Unlock()
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = main.Record(within(t, time.Millisecond), remark(fmt.Sprint("r", n)))
		if errors.Is(err, context.DeadlineExceeded) { // pending, or the disk was busy
			err = nil
		}
	}
	if !errors.Is(err, client.ErrSpoolFull) {
		t.Fatal(err)
	}
	if _, err := main.Spool(remark("result")); err != nil {
		t.Fatalf("FAIL-CLOSED: a result finds no room: %v", err)
	}
	s.with(func() { down = false })
	eventually(t, "the spool drains", func() bool { return slices.Contains(s.remarks(t, "main"), "result") })
	eventually(t, "and records again", func() bool {
		_, err := main.Record(within(t, time.Second), remark("again"))
		return err == nil
	})
}

func TestARefusedEntryEndsItsTrackAndIsKept(t *testing.T) {
	w := newWorld()
	s, dir := newServer(t, w), t.TempDir()
	rec := newRecorder(t, w.config(s.URL, dir))
	main := open(t, rec)
	s.with(func() {
		s.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			answer(rw, 422, wire.ProblemType, wire.Problem{Code: "no-such-retention", Detail: "text of\x1b[31m theirs"})
			return true
		}
	})
	_, err := main.Record(within(t, 5*time.Second), remark("a"))
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Problem.Code != "no-such-retention" || strings.Contains(err.Error(), "\x1b") {
		t.Fatalf("refusal: %v", err)
	}
	if _, err := main.Spool(remark("b")); !errors.As(err, &refused) {
		t.Fatalf("after a refusal: %v", err)
	}
	u := rec.Unsent()[0]
	if e := u.Entries[len(u.Entries)-1]; e.State != client.Refused || u.Err == nil {
		t.Fatalf("unsent: %+v", u)
	}
}
