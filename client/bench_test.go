package client_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// intents are 32 events, each with a payload of 1 KiB of JSON.
func intents() []recorder.Event {
	body := []byte(`{"account":"1234567890","amount":"100.00","currency":"EUR","note":"` + string(bytes.Repeat([]byte("x"), 940)) + `"}`)
	events := make([]recorder.Event, 32)
	for i := range events {
		events[i] = recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
			p, err := seal("params", payload.JSON, payload.Content, body)
			return entry.ActionIntent{Action: entry.ID(fmt.Sprint("a-", i)), Tool: "ledger.post", Params: p}, err
		}}
	}
	return events
}

// BenchmarkSpool is building, sealing, signing, spooling and fsyncing 32 events of 1 KiB, with the server away.
func BenchmarkSpool(b *testing.B) {
	w := newWorld()
	s := newServer(b, w)
	cfg := w.config(s.URL, b.TempDir())
	cfg.MaxBytes, cfg.RetryMin, cfg.RetryMax = 8<<30, 0, 0 // the defaults
	rec := newRecorder(b, cfg)
	main := open(b, rec)
	s.with(func() {
		s.before = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(503); return true }
	})
	events := intents()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := main.Spool(events...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRecord is the same, and acknowledged by a log in memory on the same machine.
func BenchmarkRecord(b *testing.B) {
	w := newWorld()
	s := newServer(b, w)
	cfg := w.config(s.URL, b.TempDir())
	cfg.MaxBytes, cfg.RetryMin, cfg.RetryMax = 8<<30, 0, 0 // the defaults
	rec := newRecorder(b, cfg)
	main := open(b, rec)
	events := intents()
	for b.Loop() {
		if _, err := main.Record(context.Background(), events...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}
