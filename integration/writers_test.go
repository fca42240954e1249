//go:build linux

package integration_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
)

// An acked is a receipt that a writer was given.
type acked struct {
	session, track string
	receipt        wire.Receipt
}

// A ledger is what a log's writers were told, and what they wrote.
type ledger struct {
	mu       sync.Mutex
	acked    []acked
	refused  map[string]int // answers that are no acknowledgement, by code
	sessions int            // opened and acknowledged
	events   map[string]int // managed event ids acknowledged, by session
	retryIn  int            // refusals that said when to try again
}

func newLedger() *ledger {
	return &ledger{refused: make(map[string]int), events: make(map[string]int)}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *ledger) times(code string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused[code]
}

// note takes down an answer: receipts that stand in a problem, for what was taken of a request, are receipts too.
func (l *ledger) note(session, track, code string, receipts []wire.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rc := range receipts {
		rc.Leaf, rc.Checkpoint = "", ""
		l.acked = append(l.acked, acked{session, track, rc})
	}
	if code != acknowledged {
		l.refused[code]++
	}
}

// What becomes of a request, beside the codes of problems.
const (
	acknowledged = "acknowledged"
	away         = "away" // no server took it
	cut          = "cut"  // it was sent, and no answer came: what is in the log is not known
)

// Writers write until they are told to stop, and then go on until the last thing that they sent is acknowledged.
type writers struct {
	d      *deployment
	ledger *ledger
	ctx    context.Context
	id     string
	ending atomic.Bool
	wg     sync.WaitGroup
}

// writing starts writers of both kinds.
func (d *deployment) writing(l *ledger, managed, signed int) *writers {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Minute)
	w := &writers{d: d, ledger: l, ctx: ctx, id: rand.Text()}
	for i := range managed {
		w.wg.Go(func() { w.managed(i) })
	}
	for range signed {
		w.wg.Go(w.signed)
	}
	d.t.Cleanup(func() {
		cancel()
		w.wg.Wait()
	})
	return w
}

// finish waits until everything that was sent is acknowledged.
func (w *writers) finish() {
	w.ending.Store(true)
	w.wg.Wait()
}

// send sends a request again and again, whatever becomes of the server, until it is acknowledged.
func (w *writers) send(path, contentType string, body []byte, headers ...string) (wire.Answer, bool) {
	for {
		a, err := w.d.do(w.ctx, "POST", "ingest", path, "recorder", body, append(headers, "Content-Type: "+contentType)...)
		if w.ctx.Err() != nil {
			return wire.Answer{}, false
		}
		switch {
		case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errDown):
			w.ledger.note("", "", away, nil)
		case err != nil:
			w.ledger.note("", "", cut, nil)
		case a.status < 300:
			var ok wire.Answer
			if err := json.Unmarshal(a.body, &ok); err != nil || len(ok.Receipts) == 0 {
				w.d.t.Errorf("POST %s: %d %s: %v", path, a.status, a.body, err)
				return ok, false
			}
			w.ledger.note(ok.Session, ok.Track, acknowledged, ok.Receipts)
			return ok, true
		case !w.again(path, a):
			return wire.Answer{}, false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// again tells whether a request that was refused is to be sent once more.
func (w *writers) again(path string, a answer) bool {
	var p wire.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		w.d.t.Errorf("POST %s: %d %s: %v", path, a.status, a.body, err)
		return false
	}
	w.ledger.note(p.Session, p.Track, p.Code, p.Receipts)
	if a.header.Get("Retry-After") != "" {
		w.ledger.mu.Lock()
		w.ledger.retryIn++
		w.ledger.mu.Unlock()
	}
	if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
		w.d.t.Errorf("POST %s: %d %s", path, a.status, a.body)
		return false
	}
	return true
}

const perSession = 20 // events of a managed writer's goroutine

// managed records sessions as a client without keys does, two calls at a time.
func (w *writers) managed(id int) {
	for n := 0; !w.ending.Load(); n++ {
		key := fmt.Sprintf("%s-w%d-s%d", w.id, id, n) // a key that was used before opens nothing new
		open, ok := w.send(wire.PathSessions, wire.JSONType, []byte(`{"agent":"`+agent+`","privilege":"financial","purpose":"test"}`),
			"Idempotency-Key: "+key)
		if !ok {
			return
		}
		w.opened()
		var wg sync.WaitGroup
		for c := range 2 {
			wg.Go(func() { w.managedEvents(open.Session, c) })
		}
		wg.Wait()
		if _, ok := w.send("/v1/sessions/"+open.Session+"/close", wire.JSONType, []byte(`{"outcome":"completed"}`), "Idempotency-Key: close"); !ok {
			return
		}
	}
}

func (w *writers) opened() {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	w.ledger.sessions++
}

func (w *writers) managedEvents(session string, caller int) {
	for i := 0; i < perSession && !w.ending.Load(); i++ {
		body := fmt.Appendf(nil, `{"event_id":"c%d-%d","event":"calculation","name":"n","content":{"i":%d,"of":"what was computed"}}`, caller, i, i)
		if _, ok := w.send("/v1/sessions/"+session+"/events", wire.JSONType, body); !ok {
			return
		}
		w.ledger.mu.Lock()
		w.ledger.events[session]++
		w.ledger.mu.Unlock()
	}
}

// signed records sessions with two tracks as a client with keys does, several entries in a request.
func (w *writers) signed() {
	for !w.ending.Load() {
		s := newSession(w.d)
		main, side := s.track("main"), s.track("tools")
		if !w.submit(wire.PathSessions, main.build(main.opening())) {
			return
		}
		w.opened()
		at := "/v1/sessions/" + s.id
		if !w.submit(at+"/tracks", side.build(side.opening())) {
			return
		}
		for i := 0; i < perSession && !w.ending.Load(); i++ {
			t := []*track{main, side}[i%2]
			action := fmt.Sprintf("a-%d", i)
			subs := append(t.build(intent(action)), t.build(outcome(action))...)
			if !w.submit(at+"/entries", subs) {
				return
			}
		}
		if !w.submit(at+"/entries", main.build(closing(side))) {
			return
		}
	}
}

// submit sends entries until the log has them all, and compares what is acknowledged with what was sent.
func (w *writers) submit(path string, subs []wire.Submitted) bool {
	a, ok := w.send(path, wire.SubmissionType, must(wire.Append(nil, subs...)))
	if !ok {
		return false
	}
	if len(a.Receipts) != len(subs) {
		w.d.t.Errorf("%d receipts for %d entries", len(a.Receipts), len(subs))
		return false
	}
	for i, rc := range a.Receipts {
		if e := must(entry.ParseSubmission(subs[i].Entry)); e.Hash() != rc.Hash || e.Seq != rc.Seq {
			w.d.t.Errorf("receipt %d is of %d %s, the entry is %d %s", i, rc.Seq, rc.Hash, e.Seq, e.Hash())
			return false
		}
	}
	return true
}

// during lets writers write until n more receipts are there.
func (l *ledger) during(t *testing.T, n int) {
	t.Helper()
	want := l.count() + n
	eventually(t, fmt.Sprintf("%d acknowledged", want), func() bool { return l.count() >= want })
}
