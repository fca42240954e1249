package evidence_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// largeBundle writes a bundle of at least so many events of 1 KiB, seven a leaf, in some sessions, with three cosignatures and two
// anchors, into a file.
func largeBundle(t testing.TB, events int) (*timed, string) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	w := &timed{Log: l}
	w.one, w.two = NewAuthority(t, "one.example", day("2006-01-01"), day("2010-01-01")), NewAuthority(t, "two.example", day("2006-01-01"), day("2010-01-01"))
	w.Pin(2, w.one, w.two)
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	var refs []entry.ExternalRef
	for i := range 9 {
		refs = append(refs, entry.ExternalRef{System: "ledger.acme.example", Type: "journal-entry", ID: entry.ID(fmt.Sprintf("2026-11-20/eur/000000%d", i))})
	}
	var ids []string
	for n, most := 0, max(98, events/140*14); events > 0; n++ {
		main := l.Open(SessionID(n), "bot", r)
		main.Track = Must(recorder.New(recorder.Config{Origin: origin, Session: main.ID, Track: "main", Signer: r.Signer, Keys: main.Keys, Rand: zeros{},
			Next: main.Next(), Head: main.Head(), Target: 8 << 10, Now: Noon.Time}))(t)
		ids = append(ids, main.ID)
		for done := 0; done < most && (events > 0 || done%2 > 0); {
			var some []recorder.Event
			for range 7 {
				id := entry.ID(fmt.Sprintf("a-%d", done/2))
				p := payload.Ref{Media: payload.JSON, Commitment: payload.Hash{1}, Blobs: []payload.BlobRef{{Class: payload.Content, SHA256: payload.Hash{2}, Size: 1342}}}
				binary.BigEndian.PutUint64(p.Blobs[0].SHA256[8:], uint64(events))
				if done%2 == 0 {
					some = append(some, recorder.Plain(entry.TypeActionIntent, entry.ActionIntent{Action: id, Tool: "ledger.post", Protocol: "mcp", Method: "tools/call", Params: p.Event(), Refs: refs}))
				} else {
					some = append(some, recorder.Plain(entry.TypeActionResult, entry.ActionResult{Action: id, Response: p.Event(), DurationUS: 1234,
						Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}, Refs: refs}))
				}
				done, events = done+1, events-1
			}
			main.Add(some...)
		}
		main.Close()
	}
	l.Anchor(rounds[0], w.one, w.two)
	path := filepath.Join(t.TempDir(), "evidence")
	f := Must(os.Create(path))(t)
	if err := evidence.Write(f, l.Evidence(ids...)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return w, path
}

func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkVerify verifies bundles from a file, as steno-verify does.
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, path := largeBundle(b, n)
			w.Leaves = nil
			f := Must(os.Open(path))(b)
			defer f.Close()
			size := Must(f.Stat())(b).Size()
			runtime.GC()
			b.ReportAllocs()
			events, begun := uint64(0), processorTime(b)
			for b.Loop() {
				r := Must(evidence.VerifyReader(f, size, w.Trust, evidence.Options{}))(b)
				if r.Exit != evidence.ExitVerified {
					b.Fatalf("exit %d, %d leaves", r.Exit, r.Checks[4].Passed)
				}
				for _, s := range r.Sessions {
					events += s.Events
				}
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events)/(processorTime(b)-begun).Seconds(), "events/cpu-s") // whoever else the machine works for
			b.ReportMetric(float64(size)/(1<<20), "MiB")
		})
	}
}
