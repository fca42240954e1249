package recording_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/recording"
)

var kilobyte = fmt.Appendf(nil, `{"account":"DE02","amount":12.5,"memo":"%01000d"}`, 0)

func bigInput() recorder.Event {
	return recorder.Event{Type: entry.TypeInput, Build: func(seal recorder.Seal) (any, error) {
		content, err := seal("content", payload.JSON, payload.Content, kilobyte)
		return entry.Input{Kind: "user", Content: content}, err
	}}
}

// BenchmarkSubmit is requests of 32 events with 1 KiB payloads in entries of 4 KiB, from 16 sessions. Building and sealing
// are the client's and not measured.
func BenchmarkSubmit(b *testing.B) {
	w := newWorldAt(b, time.Second)
	const sessions, events = 16, 32
	requests := make([][][]recording.Submitted, sessions)
	clients := make([]*client, sessions)
	for i := range requests {
		clients[i] = w.client("bot")
		main := clients[i].track("main")
		w.ok("", main.build(main.opening())...)
		for n := i; n < b.N; n += sessions {
			evs := make([]recorder.Event, events)
			for k := range evs {
				evs[k] = bigInput()
			}
			requests[i] = append(requests[i], main.build(evs...))
		}
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			for _, subs := range requests[i] {
				if _, err := w.submit(clients[i].session, subs...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkManaged is single events with small payloads from 64 callers on one track.
func BenchmarkManaged(b *testing.B) {
	w := newWorldAt(b, time.Second)
	s := w.openManaged("").Session
	body := `{"event":"action.intent","action":"a-1","tool":"ledger.post","params":{"amount":12.5,"to":"ACME"}}`
	var n, appends atomic.Int64
	w.faulty.set(func(f *faulty) {
		f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
			appends.Add(1)
			return do()
		}
	})
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n.Add(1) <= int64(b.N) {
				if _, err := w.events(s, "", "", body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N)/float64(appends.Load()), "events/append")
}

// BenchmarkRebuild is heads and index from nothing, over entries of 8 events.
func BenchmarkRebuild(b *testing.B) {
	w := newWorldAt(b, time.Second)
	const sessions, rounds, batch = 16, 40, 128
	var wg sync.WaitGroup
	for range sessions {
		wg.Go(func() {
			c := w.client("bot")
			main := c.track("main")
			w.ok("", main.build(main.opening())...)
			for range rounds {
				evs := make([]recorder.Event, batch)
				for k := range evs {
					evs[k] = intent("a")
				}
				w.ok(c.session, main.build(evs...)...)
			}
		})
	}
	wg.Wait()
	const events = sessions * rounds * batch
	var heads, index time.Duration
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		if err := w.rec.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := w.heads.Drop(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := w.index.Drop(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		begun := time.Now()
		w.start()
		heads += time.Since(begun)
		begun = time.Now()
		for w.rec.Indexed() < w.log.Size() {
			time.Sleep(time.Millisecond)
		}
		index += time.Since(begun)
	}
	b.ReportMetric(float64(events*b.N)/heads.Seconds(), "heads-events/s")
	b.ReportMetric(float64(events*b.N)/index.Seconds(), "index-events/s")
}

// BenchmarkAppend is one small system event after the other: what an append costs on this disk.
func BenchmarkAppend(b *testing.B) {
	w := newWorldAt(b, time.Second)
	for b.Loop() {
		if err := w.rec.Access(context.Background(), entry.Access{Principal: "auditor", What: "entries"}); err != nil {
			b.Fatal(err)
		}
	}
}
