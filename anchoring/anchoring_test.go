package anchoring_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// Every authority stamps the exact published note; what a judge needs is durable before the event; each round's token covers
// the last one of the other authority that its checkpoint covers.
func TestRound(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		w.want("a", 1)
		w.want("b", 1)
		w.publish() // the anchors themselves
		w.sleep(2 * time.Hour)
		w.record(false)
		w.want("a", 1, 4)
		w.want("b", 1, 4)
		for i, v := range w.events {
			note := noteOf(v.Size)
			if v.Checkpoint != sha256.Sum256(note) || v.LongTerm[0].Kind != "checkpoint" || !bytes.Equal(w.blobs[v.LongTerm[0].SHA256], note) {
				t.Errorf("event %d does not stamp the note: %+v", i, v)
			}
			p := w.peers[0]
			if string(v.Authority) != p.name {
				p = w.peers[1]
			}
			if _, err := timestamp.Verify(token(v), v.Checkpoint, p.pinned); err != nil {
				t.Error(err)
			}
			switch {
			case i < 2:
				if v.Covers != nil {
					t.Errorf("the first round covers a token: %+v", v)
				}
			case v.Covers == nil || *v.Covers != w.at[other(w, v.Authority == "a")].Token:
				t.Errorf("event %d covers not the other's: %+v", i, v.Covers)
			}
		}
	})
}

// other is the first round's event of b, or of a.
func other(w *world, b bool) int {
	if (w.events[0].Authority == "b") == b {
		return 0
	}
	return 1
}

// Anchors, alerts and whatever else the log writes of itself are never a reason to stamp.
func TestNeverForTheLogsOwnEvents(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		for range anchoring.DefaultPeriod/time.Hour - 1 {
			w.do(func() { w.size++ })
			w.publish()
			w.sleep(time.Hour)
		}
		if o, err := w.a.Anchor(t.Context()); err != nil || o.New || o.Size != 1 {
			t.Errorf("on demand: %+v, %v", o, err)
		}
		w.want("a", 1)
		w.want("b", 1)
	})
}

func TestHourly(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		for range 4 * 60 {
			w.record(false)
			w.sleep(59 * time.Second)
		}
		for _, p := range w.peers {
			asked := p.times()
			if len(asked) != 4 {
				t.Fatalf("%s was asked %d times in 4 hours", p.name, len(asked))
			}
			for i := range asked[1:] {
				if d := asked[i+1].Sub(asked[i]); d < time.Hour || d > time.Hour+2*time.Minute {
					t.Errorf("rounds are %s apart", d)
				}
			}
		}
	})
}

// A break-glass session that ends does not wait for the hour, and many of them do not make many rounds.
func TestBreakGlass(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		w.sleep(10 * time.Minute)
		w.record(false)
		w.want("a", 1)
		w.record(true)
		if got := w.anchored("a"); len(got) != 2 || got[1] != w.published {
			t.Fatalf("anchored %v, the session ended below %d", got, w.published)
		}
		for range 100 {
			w.record(true)
		}
		if n := len(w.peers[0].times()); n > 2+2 {
			t.Errorf("asked %d times", n)
		}
		w.sleep(2 * time.Minute)
		if got := w.anchored("b"); got[len(got)-1] < w.recorded {
			t.Errorf("the last of them is not anchored: %v of %d", got, w.recorded)
		}
	})
}

// What is recorded is stamped also where its checkpoint is published before the recording knows that it is there.
func TestPublishedBeforeItIsKnown(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.do(func() { w.size++ })
		w.publish()
		w.do(func() { w.recorded = w.size })
		w.sleep(10 * time.Second)
		w.want("a", 1)
	})
}

// A failing authority holds up nobody. Health says since when and why, one alert says that it is late, and it heals alone.
func TestAuthorityFails(t *testing.T) {
	for name, c := range failures() {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.peers[1].set(c.fault(w))
				begun := time.Now()
				w.record(false)
				w.want("a", 1)
				w.sleep(30 * time.Minute)
				h := w.health("b")
				if h.Reason != c.reason || h.Late || h.Since.Sub(begun) > 2*time.Second || h.Since.IsZero() {
					t.Errorf("health: %+v, want the reason %s", h, c.reason)
				}
				if len(w.raised()) > 0 {
					t.Errorf("alerts: %+v", w.raised())
				}
				w.sleep(31 * time.Minute)
				w.record(false) // others go on
				if got := w.anchored("a"); len(got) != 2 {
					t.Errorf("a anchored %v", got)
				}
				w.sleep(3 * time.Hour)
				if h := w.health("b"); !h.Late {
					t.Errorf("health: %+v", h)
				}
				if !slices.Equal(w.raised(), []entry.ID{"authority-late"}) {
					t.Errorf("alerts: %+v", w.raised())
				}
				if n := len(w.peers[1].times()); n < 10 || n > 40 {
					t.Errorf("it was asked %d times in 4 hours", n)
				}
				w.want("b")
				w.peers[1].set(nil)
				w.sleep(11 * time.Minute)
				w.want("b", w.anchored("a")[1])
				if h := w.health("b"); h.Late || !h.Since.IsZero() || h.Reason != "" {
					t.Errorf("health afterwards: %+v", h)
				}
			})
		})
	}
}

// A failing is a way to fail, and what health calls it.
type failing struct {
	fault  func(w *world) http.HandlerFunc
	reason string
}

func failures() map[string]failing {
	return map[string]failing{
		"slow": {func(*world) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, "timeout"},
		"down": {func(*world) http.HandlerFunc { return http.NotFound }, "bad-answer"},
		"html": {func(*world) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }
		}, "bad-answer"},
		"endless": {func(*world) http.HandlerFunc { return endless }, "bad-answer"},
		"an old token": {func(w *world) http.HandlerFunc {
			var kept *httptest.ResponseRecorder
			return func(rw http.ResponseWriter, r *http.Request) {
				if kept == nil {
					kept = httptest.NewRecorder()
					body, _ := io.ReadAll(r.Body)
					again := r.Clone(r.Context())
					again.Body = io.NopCloser(bytes.NewReader(body))
					w.peers[1].real.ServeHTTP(kept, again)
					http.Error(rw, "not yet", http.StatusServiceUnavailable)
					return
				}
				rw.Header().Set("Content-Type", "application/timestamp-reply")
				rw.Write(kept.Body.Bytes())
			}
		}, "nonce"},
		"another authority": {func(w *world) http.HandlerFunc { return w.peers[0].real.ServeHTTP }, "chain"},
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/timestamp-reply")
	io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("0", 1<<20)), 1<<20))
}

// A token whose event was not written is asked for again, by the next process too; who answered already is not asked.
func TestACKED_restartBetweenTokenAndEvent(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.peers[1].set(http.NotFound)
		w.record(false)
		w.want("a", 1)
		w.peers[1].set(nil)
		w.do(func() { w.refuse = errors.New("the log takes nothing") })
		w.sleep(10 * time.Minute)
		if h := w.health("b"); h.Reason != "not-recorded" || h.Since.IsZero() {
			t.Errorf("health: %+v", h)
		}
		w.halt()
		w.do(func() { w.refuse = nil })
		before := len(w.peers[0].times())
		w.start()
		w.sleep(10 * time.Second)
		w.want("b", 1)
		if len(w.peers[0].times()) != before {
			t.Error("who answered was asked again")
		}
		w.halt()
		w.start() // and now nobody owes anything
		w.sleep(3 * time.Hour)
		w.want("a", 1)
		w.want("b", 1)
	})
}

// A process that ends before anybody has answered leaves the round to the next, at once if it is due.
func TestACKED_restartBeforeAnyEvent(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		for _, p := range w.peers {
			p.set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}
		w.record(false)
		w.halt() // it does not wait for them
		for _, p := range w.peers {
			p.set(nil)
		}
		w.start()
		w.sleep(10 * time.Second)
		w.want("a", 1)
		w.want("b", 1)
		w.record(false)
		w.halt()
		w.start() // the hour goes on from what is in the log
		w.sleep(50 * time.Minute)
		w.want("a", 1)
		w.sleep(11 * time.Minute)
		w.want("a", 1, w.published)
	})
}

func TestOnDemand(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		o, err := w.a.Anchor(t.Context())
		if err != nil || o.New || len(o.Answers) != 2 || o.Answers[0].Reason != "nothing-recorded" {
			t.Fatalf("nothing is recorded: %+v %v", o, err)
		}
		w.record(false)
		w.peers[1].set(http.NotFound)
		w.do(func() { w.size++; w.recorded = w.size })
		done := make(chan anchoring.Outcome)
		go func() {
			o, err := w.a.Anchor(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- o
		}()
		synctest.Wait()
		w.publish() // what came last is in the round
		o = <-done
		if !o.New || o.Size != w.recorded || o.Answers[0].Reason != "" || o.Answers[0].Index != w.at[len(w.at)-1].Index || o.Answers[0].Time.IsZero() ||
			o.Answers[1].Reason != "bad-answer" {
			t.Fatalf("%+v", o)
		}
		w.peers[1].set(nil)
		before := len(w.peers[0].times())
		o, err = w.a.Anchor(t.Context())
		if err != nil || o.New || o.Answers[1].Reason != "" || len(w.peers[0].times()) != before {
			t.Fatalf("who owes a token is asked at once, and nobody else: %+v %v", o, err)
		}
		w.do(func() { w.size++; w.recorded = w.size })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.a.Anchor(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a checkpoint: %v", err)
		}
		w.publish() // it is made all the same
		if got := w.anchored("b"); got[len(got)-1] != w.recorded {
			t.Errorf("b anchored %v", got)
		}
	})
}

// A token that is earlier than the cosignatures it is over would leave the time of every session open that it bounds: it waits until it
// is not.
func TestNoTokenContradictsTheWitnesses(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		near, far := trust.ClockTolerance, 2*trust.ClockTolerance
		w.do(func() { w.ahead = &near })
		w.record(false)
		w.want("a", 1)
		w.do(func() { w.ahead = &far })
		w.publish()
		w.sleep(time.Hour)
		w.record(false)
		if h := w.health("a"); h.Reason != "order" || len(w.anchored("a")) != 1 {
			t.Errorf("health: %+v, anchored %v", h, w.anchored("a"))
		}
		w.sleep(10 * time.Minute)
		w.want("a", 1, w.published)
		w.want("b", 1, w.published)
	})
}

// A token that is earlier than one it covers would spoil every bundle with both: it waits until it is not. One of another day is
// not recorded at all.
func TestNoTokenContradictsAnother(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.peers[0].fast = 5 * time.Minute
		w.record(false)
		w.want("a", 1)
		w.want("b", 1)
		w.publish()
		w.sleep(2 * time.Minute)
		w.record(true)
		w.want("a", 1, w.published)
		w.want("b", 1)
		if h := w.health("b"); h.Reason != "order" {
			t.Errorf("health: %+v", h)
		}
		w.sleep(10 * time.Minute)
		w.want("b", 1, w.published)
		w.peers[0].mu.Lock()
		w.peers[0].fast = -24 * time.Hour
		w.peers[0].mu.Unlock()
		w.sleep(time.Hour)
		w.record(false)
		if h := w.health("a"); h.Reason != "clock" || len(w.anchored("a")) != 2 {
			t.Errorf("health: %+v, anchored %v", h, w.anchored("a"))
		}
	})
}

// An authority that answers for a round when the next has begun is asked for that one too.
func TestSlowAuthorityCatchesUp(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.peers[1].set(func(rw http.ResponseWriter, r *http.Request) {
			<-release
			w.peers[1].real.ServeHTTP(rw, r)
		})
		w.record(false)
		w.want("a", 1)
		w.record(false)
		done := make(chan anchoring.Outcome)
		go func() {
			o, err := w.a.Anchor(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- o
		}()
		synctest.Wait()
		w.want("a", 1, 3)
		w.want("b")
		close(release)
		if o := <-done; o.Size != 3 || o.Answers[1].Reason != "" || o.Answers[1].Index != w.at[len(w.at)-1].Index {
			t.Errorf("%+v", o)
		}
		w.want("b", 1, 3)
	})
}

// An anchor that can't be read any more is nothing to be held against new tokens, and no end of them.
func TestGoesOnWhereAnAnchorIsLost(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		w.publish()
		w.halt()
		w.do(func() { w.lost = true })
		w.start()
		if o, err := w.a.Anchor(t.Context()); err != nil || o.New || o.Answers[0].Reason != "not-read" {
			t.Errorf("%+v %v", o, err)
		}
		w.sleep(2 * time.Hour)
		w.record(false)
		w.want("a", 1, w.published)
		w.want("b", 1, w.published)
	})
}

// What is recorded when somebody asks for a round is covered by it, also if another was due and waits to be published.
func TestOnDemandCoversWhatIsThere(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.do(func() { w.size, w.recorded = 1, 1 })
		w.sleep(2 * time.Second) // a round is due, over the first entry
		w.do(func() { w.size, w.recorded = 2, 2 })
		answer := make(chan anchoring.Outcome, 1)
		go func() {
			o, err := w.a.Anchor(t.Context())
			if err != nil {
				t.Error(err)
			}
			answer <- o
		}()
		synctest.Wait()
		for size := range uint64(2) {
			w.do(func() { w.published = size + 1 })
			w.sleep(2 * time.Second)
		}
		if o := <-answer; !o.New || o.Size != 2 {
			t.Errorf("of 2 entries, %d are covered", o.Size)
		}
	})
}

// Of an authority that is marked as compromised, a token counts only if another proves that it is older.
func TestBracketOfACompromisedAuthority(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.record(false)
		w.publish()
		w.peers[1].set(http.NotFound)
		w.sleep(2 * time.Hour)
		w.record(false) // at 3, anchored by a alone
		w.publish()
		last := w.size - 2
		since := time.Now().Add(time.Minute)
		w.halt()
		w.peers[0].pinned.Compromised = since
		w.start()
		if b, err := w.a.Bracket(t.Context(), last); err != nil || b.NotAfter != nil || b.NotBefore == nil || b.NotBefore.Authority != "b" {
			t.Errorf("nothing proves that the token is older: %+v, %v", b, err)
		}
		w.peers[1].set(nil)
		w.sleep(30 * time.Second) // and now it is asked, before the key was lost
		if b, err := w.a.Bracket(t.Context(), last); err != nil || b.NotAfter == nil || b.NotAfter.Authority != "a" {
			t.Errorf("b has proven it: %+v, %v", b, err)
		}
	})
}

// Authorities that sign by one key are one, by whatever names.
func TestBracketOfOneKey(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.halt()
		a, b := w.peers[0], w.peers[1]
		b.real, b.pinned.Anchors, w.demand = a.real, a.pinned.Anchors, 2
		w.start()
		w.record(false)
		w.want("a", 1)
		w.want("b", 1)
		if b, err := w.a.Bracket(t.Context(), 0); err != nil || b.NotAfter != nil {
			t.Errorf("one key is two authorities: %+v, %v", b, err)
		}
	})
}
