package recording_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recording"
)

// A clock stands still unless it is moved.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()) }
func (c *clock) forward(d time.Duration) { c.us.Add(d.Microseconds()) }

func newClockWorld(t *testing.T) (*world, *clock) {
	c := &clock{}
	c.us.Store(time.Now().UnixMicro())
	w := newWorld(t)
	w.stop()
	w.now = c.now
	w.restart()
	return w, c
}

func (w *world) verdicts() (all []string) {
	for _, v := range system[entry.Verdict](w, entry.TypeVerdict) {
		all = append(all, string(v.Verdict+"/"+v.Why))
	}
	return all
}

func (w *world) awaitVerdicts(want ...string) {
	w.t.Helper()
	eventually(w.t, "verdicts", func() bool { return len(w.verdicts()) >= len(want) })
	got := w.verdicts()
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			w.t.Fatalf("verdicts %v, want %v", got, want)
		}
	}
}

func TestNAMEDGAPS_silenceIsAbandonedAndComingBackIsLate(t *testing.T) {
	w, clock := newClockWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	for range 4 { // heartbeats keep it alive, and leave no leaf
		clock.forward(40 * time.Second)
		size := w.log.Size()
		p, err := w.rec.Heartbeat(context.Background(), alice, c.session)
		if err != nil || p.Next != 30*time.Second || p.State != "open" {
			t.Fatalf("%+v %v", p, err)
		}
		if grown := w.leaves()[size:]; len(grown) > 1 || len(grown) == 1 && grown[0].Events[0].Type != entry.TypeLiveness {
			t.Fatal("a heartbeat left a leaf")
		}
	}
	eventually(t, "liveness", func() bool { return len(system[entry.Liveness](w, entry.TypeLiveness)) > 0 })
	if got := w.verdicts(); len(got) > 0 {
		t.Fatalf("verdicts %v", got)
	}
	clock.forward(91 * time.Second)
	w.awaitVerdicts("abandoned/silent")
	// Admitted all the same.
	w.ok(c.session, main.build(intent("a"), outcome("a"))...)
	w.awaitVerdicts("abandoned/silent", "late/heard-again")
	clock.forward(91 * time.Second)
	w.awaitVerdicts("abandoned/silent", "late/heard-again", "abandoned/silent")
	// A heartbeat is heard too.
	if p, err := w.rec.Heartbeat(context.Background(), alice, c.session); err != nil || p.State != "late" {
		t.Fatalf("%+v %v", p, err)
	}
	w.stop()
	w.restart("heads")
	w.ok(c.session, main.build(closing())...)
	w.awaitVerdicts("abandoned/silent", "late/heard-again", "abandoned/silent", "late/heard-again", "late/closed")
}

func TestNAMEDGAPS_whatIsNotWholeIsInterrupted(t *testing.T) {
	w := newWorld(t)
	for _, x := range []struct {
		want  string
		build func(main, other *track) []recording.Submitted
	}{
		{"interrupted/open-actions", func(main, other *track) []recording.Submitted { return main.build(intent("a"), closing(other)) }},
		{"interrupted/open-actions", func(main, other *track) []recording.Submitted {
			end := plain(entry.TypeActionReject, entry.ActionReject{Action: "a", By: "policy", Why: "policy"})
			return main.build(intent("a"), intent("a"), end, closing(other)) // one end of two actions
		}},
		{"interrupted/spooled", func(main, other *track) []recording.Submitted {
			return main.build(plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "failure-mode", OnFailure: "spool"}), closing(other))
		}},
		{"interrupted/restarted", func(main, other *track) []recording.Submitted {
			return main.build(plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "restart"}), closing(other))
		}},
		{"interrupted/lost-track", func(main, other *track) []recording.Submitted {
			end := entry.TrackEnd{Track: "other", Next: other.Next(), Head: other.Head(), Lost: true}
			return main.build(plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "aborted", Tracks: []entry.TrackEnd{end}}))
		}},
		{"complete/closed", func(main, other *track) []recording.Submitted {
			return main.build(intent("a"), plain(entry.TypeActionReject, entry.ActionReject{Action: "a", By: "policy", Why: "policy"}), closing(other))
		}},
	} {
		c := w.client("bot")
		main, other := c.track("main"), c.track("other")
		w.ok("", main.build(main.opening())...)
		w.ok(c.session, other.build(other.opening())...)
		before := len(w.verdicts())
		w.ok(c.session, x.build(main, other)...)
		if got := w.verdicts(); len(got) != before+1 || got[before] != x.want {
			t.Errorf("verdicts %v, want %s last", got, x.want)
		}
	}
}

// One late entry does not hide from a search what was wrong when the session was closed; also when the index is built anew.
func TestNAMEDGAPS_lateHidesNoInterruption(t *testing.T) {
	w := newWorld(t)
	want := map[string]string{}
	for name, state := range map[string]string{"bot-whole": "late", "bot-cut": "interrupted"} {
		c := w.client(name)
		main, other := c.track("main"), c.track("other")
		w.ok("", main.build(main.opening())...)
		w.ok(c.session, other.build(other.opening())...)
		if state == "interrupted" {
			w.ok(c.session, other.build(intent("a"))...)
		}
		w.ok(c.session, main.build(closing(other))...)
		w.ok(c.session, other.build(outcome("a"))...)
		want[c.session] = state
	}
	check := func() {
		t.Helper()
		w.rec.CatchUp(t.Context())
		for session, state := range want {
			if row := must(w.index.Session(t.Context(), session)); row.State != state {
				t.Errorf("found under %s, want %s", row.State, state)
			}
		}
	}
	check()
	if got := w.verdicts(); len(got) != 4 || !slices.Contains(got, "late/after-close") || !slices.Contains(got, "interrupted/open-actions") {
		t.Errorf("verdicts %v", got)
	}
	w.stop()
	w.restart("index")
	check()
}

// A verdict that was lost with the process is written by the next one.
func TestNAMEDGAPS_aVerdictThatACrashTookIsWrittenLater(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	sub := main.build(closing())[0]
	if _, err := w.log.Append(context.Background(), [][]byte{w.stampedLeaf(sub)}); err != nil {
		t.Fatal(err)
	}
	w.crash()
	w.restart()
	w.awaitVerdicts("complete/closed")
	if res := w.ok(c.session, sub); !res.Receipts[0].Repeated {
		t.Fatalf("%+v", res)
	}
}

func TestWATCHEDWATCHERS_accessIsDurableWhenItReturns(t *testing.T) {
	w := newWorld(t)
	if err := w.rec.Access(context.Background(), entry.Access{Principal: "auditor", What: "entries", From: 0, To: 9}); err != nil {
		t.Fatal(err)
	}
	if a := system[entry.Access](w, entry.TypeAccess); len(a) != 1 || a[0].Principal != "auditor" {
		t.Fatalf("%+v", a)
	}
	if err := w.rec.Access(context.Background(), entry.Access{Principal: "an auditor", What: "entries"}); code(err) != entry.BadValue {
		t.Fatal(err)
	}
	w.faulty.set(func(f *faulty) { f.cut = true })
	if err := w.rec.Access(context.Background(), entry.Access{Principal: "auditor", What: "entries"}); err == nil {
		t.Fatal("an access that could not be recorded was allowed")
	}
}

// Alerts are bounded while the log hangs, and those that were taken are written when it goes on.
func TestAlertsAreBoundedWhileTheLogHangs(t *testing.T) {
	w := newWorld(t)
	before := len(system[entry.Alert](w, entry.TypeAlert))
	hold := make(chan struct{})
	w.faulty.set(func(f *faulty) {
		f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
			<-hold
			return do()
		}
	})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	taken, refused := 0, 0
	for range 500 {
		switch err := w.rec.Alert(gone, entry.Alert{Alert: "witness-quorum-lost", Severity: "warning"}); {
		case errors.Is(err, context.Canceled):
			taken++
		case code(err) == recording.CodeOverloaded:
			refused++
		default:
			t.Fatal(err)
		}
	}
	if taken != 64 || refused != 500-64 {
		t.Fatalf("%d were taken, %d refused", taken, refused)
	}
	close(hold)
	w.stop() // it waits for what was taken
	w.restart()
	if n := len(system[entry.Alert](w, entry.TypeAlert)) - before; n != taken {
		t.Errorf("%d are in the log, %d were taken", n, taken)
	}
}

// When the log has stopped every alert returns, and says so.
func TestAlertsReturnWhenTheLogHasStopped(t *testing.T) {
	w := newWorld(t)
	w.log.Stop(errFault)
	for range 200 {
		if err := w.rec.Alert(context.Background(), entry.Alert{Alert: "witness-ahead", Severity: "critical"}); code(err) != recording.CodeStopped {
			t.Fatal(err)
		}
	}
	w.faulty.set(func(f *faulty) { f.cut = true }) // so that stopping is not held to have gone well
}
