package witness_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

// times are those of the cosignatures in an answer.
func times(t *testing.T, got reply) (out []time.Time) {
	t.Helper()
	for line := range strings.Lines(got.body) {
		raw, err := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, time.Unix(int64(checkpoint.Time(raw[4:])), 0))
	}
	return out
}

func TestClockThatCantBeBelieved(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name    string
		change  func(w *world)
		refused bool
	}{
		{"nothing happened", func(w *world) {}, false},
		{"a year passed, and the witness ran", func(w *world) { w.clock.pass(365 * day) }, false},
		{"back by the tolerance", func(w *world) { w.clock.set(-witness.ClockTolerance) }, false},
		{"back by more", func(w *world) { w.clock.set(-witness.ClockTolerance - time.Second) }, true},
		{"back an hour", func(w *world) { w.clock.set(-time.Hour) }, true},
		{"to 1970", func(w *world) { w.clock.set(-w.clock.now().Sub(time.Unix(0, 0))) }, true},
		{"ahead by an hour", func(w *world) { w.clock.set(witness.ClockJump) }, false},
		{"ahead by more", func(w *world) { w.clock.set(witness.ClockJump + time.Second) }, true},
		{"ahead a year", func(w *world) { w.clock.set(365 * day) }, true},
		{"ahead an hour in many steps", func(w *world) {
			for range 61 {
				w.clock.set(time.Minute)
				w.witness.NoteTime()
			}
		}, true},
		{"stopped for a week", func(w *world) { w.stop(); w.clock.pass(witness.ClockGap); w.start() }, false},
		{"stopped for longer", func(w *world) { w.stop(); w.clock.pass(witness.ClockGap + time.Second); w.start() }, true},
		{"stopped, and back", func(w *world) { w.stop(); w.clock.set(-time.Hour); w.start() }, true},
		{"stopped, and the machine booted", func(w *world) { w.stop(); w.clock.pass(time.Minute); w.clock.mono = 0; w.start() }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newTestLog(t, origin, checkpoint.Ed25519)
			w := newWorld(t, nil, l)
			tr := new(testTree).growTo(t, 5, "leaf")
			r := l.request(t, tr, 0)
			before := times(t, w.want(200, r))[0]
			r.Old = 5
			test.change(w)
			status := 200
			if test.refused {
				status = 503
			}
			got := w.want(status, r)
			if refused := w.witness.Health().Clock != nil; refused != test.refused {
				t.Errorf("health says %v", w.witness.Health().Clock)
			}
			if !test.refused {
				for _, at := range times(t, got) {
					if at.Before(before) || at.Before(w.clock.now()) {
						t.Errorf("cosigned at %s after %s, now is %s", at, before, w.clock.now())
					}
				}
				return
			}
			checkClockRefusal(t, w, l, got)
		})
	}
}

// checkClockRefusal checks that nothing was promised at size 5, and what is refused anyhow still is.
func checkClockRefusal(t *testing.T, w *world, l *testLog, got reply) {
	t.Helper()
	if got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"code":"clock"`) {
		t.Errorf("problem %s", got.body)
	}
	w.want(409, l.request(t, new(testTree).growTo(t, 7, "leaf"), 0))
	if logs, err := w.store.Logs(t.Context()); err != nil || logs[0].Size != 5 {
		t.Errorf("%+v, %v", logs, err)
	}
}

func TestClockHealsByItselfOrByWordOfAnOperator(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	reg := prometheus.NewRegistry()
	var logged bytes.Buffer
	w := newWorld(t, func(c *witness.Config) {
		c.Registerer, c.Logger = reg, slog.New(slog.NewTextHandler(&logged, nil))
	}, l)
	r := l.request(t, new(testTree).growTo(t, 5, "leaf"), 0)
	w.want(200, r)
	r.Old = 5
	for _, wrong := range []time.Duration{-time.Hour, 365 * 24 * time.Hour} {
		logged.Reset()
		w.clock.set(wrong)
		for range 3 {
			w.want(503, r)
		}
		if n := strings.Count(logged.String(), "level=ERROR"); n != 1 || counted(t, reg, "steno_witness_clock_refused") != 1 {
			t.Errorf("%s: %d alarms logged", wrong, n)
		}
		w.clock.set(-wrong)
		w.want(200, r)
		if counted(t, reg, "steno_witness_clock_refused") != 0 {
			t.Errorf("%s: still refused", wrong)
		}
		w.clock.set(wrong)
		w.want(503, r)
		if err := w.store.AcceptClock(t.Context(), w.clock.now()); err != nil {
			t.Fatal(err)
		}
		if at := times(t, w.want(200, r))[0]; !at.Equal(w.clock.now()) {
			t.Errorf("%s: cosigned at %s", wrong, at)
		}
	}
	// What was accepted holds after a restart, and what is then wrong is found.
	w.restart()
	w.want(200, r)
	w.clock.set(-time.Hour)
	w.want(503, r)
	w.stop()
	w.clock.set(30 * 24 * time.Hour)
	w.start()
	w.want(503, r)
	w.stop()
	s, err := witness.OpenStore(w.dirs[0], w.dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AcceptClock(t.Context(), w.clock.now()); err != nil {
		t.Fatal(err)
	}
	if err := s.AcceptClock(t.Context(), time.Time{}); err == nil {
		t.Error("accepted the year 1")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.want(200, r)
}

// Without requests the time is noted too, so that a witness of rare logs may stop for a week.
func TestTimeIsNotedWithoutRequests(t *testing.T) {
	w := newWorld(t, nil)
	first := w.clock.now()
	noted := func() time.Time {
		t.Helper()
		if err := w.witness.NoteTime(); err != nil {
			t.Error(err)
		}
		at, err := w.store.Noted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := noted(); !at.Equal(first) {
		t.Errorf("at the start %s is noted", at)
	}
	w.clock.pass(witness.ClockNote - time.Second)
	if at := noted(); !at.Equal(first) {
		t.Errorf("%s is noted early", at)
	}
	w.clock.pass(time.Second)
	if at := noted(); !at.Equal(w.clock.now()) {
		t.Errorf("%s is noted at %s", at, w.clock.now())
	}
	right := w.clock.now()
	w.clock.set(30 * 24 * time.Hour)
	if err := w.witness.NoteTime(); err == nil {
		t.Error("the clock is believed")
	}
	if at, err := w.store.Noted(t.Context()); err != nil || !at.Equal(right) {
		t.Errorf("%s is noted of a clock that is not believed", at)
	}
}
