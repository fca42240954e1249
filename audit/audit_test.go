package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

const origin = "log.example/test"

func run(t testing.TB, l *Log, tr *trust.Trust, s audit.Signatures) *audit.Report {
	t.Helper()
	cp, err := tr.OpenCheckpoint(l.Checkpoint())
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Run(context.Background(), audit.Config{Trust: tr, Checkpoint: cp, Source: l, Signatures: s})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newLog(t testing.TB) (*Log, Recorder) {
	l := New(t, origin)
	return l, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot", "cat")
}

// record is a whole session on two tracks.
func record(l *Log, n int, agent string, r Recorder) *Track {
	main := l.Open(SessionID(n), agent, r)
	main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(l.Checkpoint())}))
	side := l.Join(main, "side", agent, r)
	main.Add(Intent("a-1", "t", n), Result("a-1", n))
	side.Add(Intent("b-1", "t", n), Result("b-1", n))
	main.Close(side)
	return main
}

func TestACleanLogIsClean(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot", "cat")
	for n := range 40 {
		record(l, n, []string{"bot", "cat"}[n%2], r)
	}
	l.Open(SessionID(1000), "bot", r)
	for _, s := range []audit.Signatures{audit.AllSignatures, audit.LastSignatures} {
		report := run(t, l, l.Trust, s)
		c := report.Counts
		if report.Exit != 0 || c.Sessions != 41 || c.Complete != 40 || c.Open != 1 || c.Tracks != 81 || c.Leaves != uint64(len(l.Leaves)) || c.Revisited != 0 {
			t.Fatalf("%s: %s", s, report.JSON())
		}
		for _, check := range report.Checks {
			if check.Passed == 0 {
				t.Errorf("%s: nothing passed %s", s, check.ID)
			}
		}
	}
}

// TestWhatIsWrongIsFound puts one wrong thing into a log of right ones. Both ways to audit must find it, at its place.
func TestWhatIsWrongIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		check evidence.CheckID
		words string
		do    func(t *testing.T, l *Log, r Recorder) (index uint64)
	}{
		{"no entry", evidence.CheckEntries, "", func(_ *testing.T, l *Log, _ Recorder) uint64 { return l.AppendLeaf([]byte("hello")) }},
		{"another log's", evidence.CheckEntries, "another log", func(t *testing.T, l *Log, _ Recorder) uint64 {
			return l.AppendLeaf(New(t, "other.example/x").Leaves[0])
		}},
		{"a stranger's receipt", evidence.CheckReceived, "another key", func(t *testing.T, l *Log, r Recorder) uint64 {
			other := New(t, origin)
			other.Open(SessionID(900), "bot", r)
			return l.AppendLeaf(other.Leaves[1])
		}},
		{"a stranger's enrolment", evidence.CheckEnrolment, "no known enroller", func(t *testing.T, l *Log, _ Recorder) uint64 {
			l.Open(SessionID(900), "dog", l.EnrolBy(Stranger(t, "acme/enroller"), "x", entry.HolderAgent, "dog"))
			return uint64(len(l.Leaves)) - 2
		}},
		{"a hole", evidence.CheckChain, "hole", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			main.Build(Intent("a", "t", 1))
			return main.Add(Result("a", 1))[0]
		}},
		{"a wrong link", evidence.CheckChain, "previous hash", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			main.Track = fork(t, main, r, entry.Hash{1})
			return main.Add(Intent("a", "t", 1))[0]
		}},
		{"another recorder", evidence.CheckRecorder, "another key", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			main.Track = fork(t, main, Recorder{Signer: Stranger(t, r.Signer.Name())}, main.Head())
			return main.Add(Intent("a", "t", 1))[0]
		}},
		{"equivocation", evidence.CheckChain, "equivocation", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			other := fork(t, main, r, main.Head())
			main.Add(Intent("a", "t", 1))
			main.Track = other
			return main.Add(Intent("a", "t", 2))[0]
		}},
		{"equivocation after the end", evidence.CheckChain, "equivocation", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			other := fork(t, main, r, main.Head())
			main.Close()
			main.Track = other
			return main.Add(Intent("a", "t", 2))[0]
		}},
		{"after the close", evidence.CheckChain, "closed", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := record(l, 900, "bot", r)
			return main.Add(Intent("a", "t", 1))[0]
		}},
		{"a track of another opening", evidence.CheckTracks, "begins otherwise", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			main.First = entry.Hash{1}
			l.Join(main, "side", "bot", r)
			return uint64(len(l.Leaves)) - 2
		}},
		{"a close that names another end", evidence.CheckTracks, "another end", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			side := l.Join(main, "side", "bot", r)
			end := side.End()
			end.Head = entry.Hash{1}
			main.Add(recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "completed", Tracks: []entry.TrackEnd{end}}))
			l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "complete", Why: "closed", Tracks: []entry.TrackEnd{side.End()}})
			return uint64(len(l.Leaves)) - 2
		}},
		{"a number left out", audit.CheckNumbering, "next in the list", func(_ *testing.T, l *Log, r Recorder) uint64 {
			l.Skip("bot")
			l.Open(SessionID(900), "bot", r)
			return uint64(len(l.Leaves)) - 1
		}},
		{"an answer to another opening", evidence.CheckAdmitted, "another opening", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			return l.Say(entry.TypeAdmitted, entry.Admitted{Session: entry.UUID(main.ID), Track: "main", Open: entry.Hash{1}, Principal: "x", How: "token"})
		}},
		{"an answer to nothing", evidence.CheckSystem, "does not have", func(_ *testing.T, l *Log, _ Recorder) uint64 {
			return l.Say(entry.TypeAdmitted, entry.Admitted{Session: entry.UUID(SessionID(900)), Track: "main", Open: entry.Hash{1}, Principal: "x", How: "token"})
		}},
		{"a verdict too good", audit.CheckVerdicts, "interrupted", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			main.Add(Intent("a", "t", 1))
			main.Close()
			return uint64(len(l.Leaves)) - 1
		}},
		{"a verdict too good for two actions with one end", audit.CheckVerdicts, "interrupted", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			main.Add(Intent("a", "t", 1), Intent("a", "t", 1), Result("a", 1))
			main.Close()
			return uint64(len(l.Leaves)) - 1
		}},
		{"a verdict too good in a session that is read twice", audit.CheckVerdicts, "interrupted", func(_ *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			l.AppendLeaf(l.Leaves[len(l.Leaves)-2])
			main.Add(Intent("a", "t", 1))
			main.Close()
			return uint64(len(l.Leaves)) - 1
		}},
		{"an opening that is never answered, in a session that is read twice", evidence.CheckAdmitted, "never answered", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			at := join(t, l, main, r)
			l.AppendLeaf(l.Leaves[at])
			l.Say(entry.TypeConfig, entry.Config{}) // it was there to answer
			l.Restart(2, SessionID(0xfffe), l.SystemEnd())
			return at
		}},
		{"an opening that is never answered", evidence.CheckAdmitted, "never answered", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			at := join(t, l, main, r)
			l.Say(entry.TypeConfig, entry.Config{})
			l.Restart(2, SessionID(0xfffe), l.SystemEnd())
			return at
		}},
		{"an opening without an answer, after a good end", evidence.CheckAdmitted, "never answered", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			l.Say(entry.TypeSystemClose, entry.SystemClose{Why: "shutdown"})
			at := join(t, l, main, r)
			l.Restart(2, SessionID(0xfffe), l.SystemEnd())
			return at
		}},
		{"a track that goes on without an answer", evidence.CheckAdmitted, "never answered", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			at := join(t, l, main, r)
			l.Restart(2, SessionID(0xfffe), l.SystemEnd())
			goOn(t, l, main, r)
			return at
		}},
		{"a split view", evidence.CheckEmbedded, "split view", func(t *testing.T, l *Log, r Recorder) uint64 {
			before := len(l.Leaves)
			l.AppendLeaf([]byte("another leaf"))
			cp := l.Checkpoint()
			l.Truncate(before)
			main := l.Open(SessionID(900), "bot", r)
			return main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(cp)}))[0]
		}},
		{"a split view in a session that is read twice", evidence.CheckEmbedded, "split view", func(t *testing.T, l *Log, r Recorder) uint64 {
			before := len(l.Leaves)
			l.AppendLeaf([]byte("another leaf"))
			cp := l.Checkpoint()
			l.Truncate(before)
			main := l.Open(SessionID(900), "bot", r)
			l.AppendLeaf(l.Leaves[len(l.Leaves)-2]) // the opening again: whoever splits the view can do that, too
			return main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(cp)}))[0]
		}},
		{"another log's checkpoint", evidence.CheckEmbedded, "embedded", func(t *testing.T, l *Log, r Recorder) uint64 {
			main := l.Open(SessionID(900), "bot", r)
			cp := New(t, "other.example/x").Checkpoint()
			return main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(cp)}))[0]
		}},
		{"a system session of a stranger", evidence.CheckSystem, "no known system key", func(t *testing.T, l *Log, _ Recorder) uint64 {
			tr := must(recorder.New(recorder.Config{Origin: origin, Session: SessionID(901), Track: "log", Signer: Stranger(t, origin+"/system"), Rand: rand.Reader}))
			return l.Append(must(tr.Build(recorder.Plain(entry.TypeSystemOpen, entry.SystemOpen{Version: "x", Key: "x"})))[0].Submission)
		}},
		{"a system session that names nobody", evidence.CheckSystem, "does not name the one before", func(_ *testing.T, l *Log, _ Recorder) uint64 {
			return l.Restart(2, SessionID(901), nil)
		}},
		{"an old epoch", evidence.CheckSystem, "epoch 1 after 1", func(_ *testing.T, l *Log, _ Recorder) uint64 {
			return l.Restart(1, SessionID(901), l.SystemEnd())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := newLog(t)
			for n := range 3 {
				record(l, n, "bot", r)
			}
			index := c.do(t, l, r)
			for n := range 3 {
				record(l, 10+n, "cat", r)
			}
			for _, s := range []audit.Signatures{audit.AllSignatures, audit.LastSignatures} {
				report := run(t, l, l.Trust, s)
				if report.Exit != evidence.ExitFailed || len(report.Findings) == 0 {
					t.Fatalf("%s: nothing found\n%s", s, report.JSON())
				}
				f := report.Findings[0]
				if f.Check != c.check || f.Where.Index == nil || *f.Where.Index != index || !strings.Contains(f.Detail, c.words) {
					t.Fatalf("%s: found %s: %s, want %s at %d: %s", s, f.Check, f, c.check, index, c.words)
				}
				if again := run(t, l, l.Trust, s); !bytes.Equal(again.JSON(), report.JSON()) {
					t.Fatalf("%s: another report the second time", s)
				}
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fork is a recorder that goes on from where a track stands, under any previous hash.
func fork(t testing.TB, tr *Track, r Recorder, head entry.Hash) *recorder.Track {
	t.Helper()
	return must(recorder.New(recorder.Config{Origin: origin, Session: tr.ID, Track: tr.Name, Signer: r.Signer, Keys: tr.Keys,
		Rand: rand.Reader, Next: tr.Next(), Head: head}))
}

// silent is a track to which the log says nothing, not opened yet.
func silent(t testing.TB, main *Track, r Recorder) (*recorder.Track, recorder.Event) {
	t.Helper()
	side := must(recorder.New(recorder.Config{Origin: origin, Session: main.ID, Track: "side", Signer: r.Signer, Keys: main.Keys,
		Rand: rand.Reader, Now: func() time.Time { return Noon.Time() }}))
	return side, recorder.Plain(entry.TypeTrackOpen, entry.TrackOpen{Main: main.First, Recorder: entry.Recorder{
		Agent: entry.ID(main.Agent), Vantage: "self-reported", Capture: "test", OnFailure: "closed", Enrolment: entry.Text(r.Enrolment),
		Keys: []entry.UnitKey{{Class: "content"}}}})
}

func join(t testing.TB, l *Log, main *Track, r Recorder) uint64 {
	side, open := silent(t, main, r)
	return l.Append(must(side.Build(open))[0].Submission)
}

// goOn appends the second entry of the track that join opened.
func goOn(t testing.TB, l *Log, main *Track, r Recorder) {
	side, open := silent(t, main, r)
	must(side.Build(open))
	l.Append(must(side.Build(recorder.Plain(entry.TypeReasoning, entry.Reasoning{Form: "absent"})))[0].Submission)
}

func TestWhatIsUnusualAndRightIsClean(t *testing.T) {
	l, r := newLog(t)
	// A session whose opening an append has left behind its second entry. It counts in the list of its agent's all the same.
	main := l.Open(SessionID(0), "bot", r)
	answered := slices.Clone(l.Leaves[len(l.Leaves)-2:])
	second := main.Build(Intent("a", "t", 1))
	l.Truncate(len(l.Leaves) - 2)
	l.Append(second[0].Submission)
	l.AppendLeaf(answered[0])
	l.AppendLeaf(answered[1])
	l.Append(second[0].Submission)
	main.Add(Result("a", 1))
	main.Close()
	// A repeat, while open and after the end.
	main = l.Open(SessionID(1), "bot", r)
	b := main.Build(Intent("a", "t", 1), Result("a", 1))
	l.Append(b[0].Submission)
	l.Append(b[0].Submission)
	main.Close()
	l.Append(b[0].Submission)
	// Entries out of order, after an append that failed half way.
	main = l.Open(SessionID(2), "bot", r)
	first := main.Build(Intent("a", "t", 1))
	second = main.Build(Result("a", 1))
	l.Append(second[0].Submission)
	l.Append(first[0].Submission)
	l.Append(second[0].Submission)
	main.Close()
	// A track that goes on after the close.
	main = l.Open(SessionID(3), "bot", r)
	side := l.Join(main, "side", "bot", r)
	main.Close(side)
	side.Add(Intent("a", "t", 1), Result("a", 1))
	l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "late", Why: "after-close", Tracks: []entry.TrackEnd{main.End(), side.End()}})
	// A session that was given up, and came back.
	main = l.Open(SessionID(4), "bot", r)
	l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "abandoned", Why: "silent", Tracks: []entry.TrackEnd{main.End()}})
	main.CloseOnly()
	// A track that was opened when the log ended, before it could answer.
	main = l.Open(SessionID(7), "bot", r)
	join(t, l, main, r)
	l.Restart(2, SessionID(0xfffd), l.SystemEnd())
	main.CloseOnly()
	// One that did not, and a restart of the log.
	main = l.Open(SessionID(5), "bot", r)
	l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "abandoned", Why: "silent", Tracks: []entry.TrackEnd{main.End()}})
	l.Restart(3, SessionID(0xfffe), l.SystemEnd())
	record(l, 6, "bot", r)
	for _, s := range []audit.Signatures{audit.AllSignatures, audit.LastSignatures} {
		report := run(t, l, l.Trust, s)
		c := report.Counts
		if report.Exit != 0 || c.Sessions != 8 || c.Complete != 4 || c.Late != 2 || c.Abandoned != 1 || c.Open != 1 || c.Unanswered != 1 || c.Revisited != 5 || c.Repeats != 4 ||
			c.SystemSessions != 3 {
			t.Fatalf("%s: %s", s, report.JSON())
		}
	}
}

func TestEveryDamagedTileIsFound(t *testing.T) {
	l, r := newLog(t)
	for n := range 40 {
		record(l, n, "bot", r)
	}
	cp := must(l.Trust.OpenCheckpoint(l.Checkpoint()))
	paths := map[string]bool{}
	get := func(damage string) tiles.Fetch {
		return func(ctx context.Context, path string) ([]byte, error) {
			p, err := tiles.ParsePath(path)
			if err != nil {
				return nil, err
			}
			var b []byte
			if p.Bundle {
				b, err = l.Bundle(ctx, p.Index, p.Width)
			} else {
				b, err = l.Tile(ctx, p.Level, p.Index, p.Width)
			}
			if err != nil {
				return nil, err
			}
			paths[path] = true
			if path == damage {
				b = bytes.Clone(b)
				b[len(b)/2] ^= 4
			}
			return b, nil
		}
	}
	audited := func(damage string) (*audit.Report, error) {
		return audit.Run(context.Background(), audit.Config{Trust: l.Trust, Checkpoint: cp, Source: tiles.FromFetch(serial(get(damage)))})
	}
	if report, err := audited(""); err != nil || report.Exit != 0 {
		t.Fatal(err)
	}
	for _, path := range keys(paths) {
		report, err := audited(path)
		if err != nil || report.Exit != evidence.ExitFailed || checkNamed(t, report, audit.CheckTree).Outcome != evidence.Failed {
			t.Fatalf("%s: %v", path, err)
		}
	}
	gone := errors.New("gone")
	_, err := audit.Run(context.Background(), audit.Config{Trust: l.Trust, Checkpoint: cp,
		Source: tiles.FromFetch(func(context.Context, string) ([]byte, error) { return nil, gone })})
	if !errors.Is(err, gone) {
		t.Fatalf("a tile that can't be had: %v", err)
	}
}

// serial makes calls one at a time.
func serial(f tiles.Fetch) tiles.Fetch {
	one := make(chan struct{}, 1)
	return func(ctx context.Context, path string) ([]byte, error) {
		one <- struct{}{}
		defer func() { <-one }()
		return f(ctx, path)
	}
}

func keys(m map[string]bool) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

func TestALogInADirectory(t *testing.T) {
	l, r := newLog(t)
	for n := range 5 {
		record(l, n, "bot", r)
	}
	root := must(os.OpenRoot(directory(t, l)))
	defer root.Close()
	cfg := must(audit.Open(context.Background(), l.Trust, audit.Dir(root)))
	var calls []string
	cfg.Progress = func(done, of uint64) { calls = append(calls, fmt.Sprint(done, "/", of)) }
	report := must(audit.Run(context.Background(), cfg))
	var text bytes.Buffer
	if err := report.Text(&text); err != nil || report.Exit != 0 || !strings.HasPrefix(text.String(), "CLEAN: log "+origin) {
		t.Fatalf("%v\n%s", err, text.String())
	}
	if want := fmt.Sprint(len(l.Leaves), "/", len(l.Leaves)); len(calls) != 1 || calls[0] != want {
		t.Fatalf("progress %q, want %s", calls, want)
	}
	// PINNED: of a checkpoint by another key nothing is believed, and no leaf is read.
	cfg = must(audit.Open(context.Background(), New(t, origin).Trust, audit.Dir(root)))
	cfg.Source = nil
	report = must(audit.Run(context.Background(), cfg))
	text.Reset()
	if err := report.Text(&text); err != nil || report.Exit != evidence.ExitFailed || report.Checkpoint != nil ||
		!strings.HasPrefix(text.String(), "FAILED: log "+origin+"\n  checkpoint: ") || strings.Contains(text.String(), " passed ") {
		t.Fatalf("a checkpoint by another key: %v\n%s", err, text.String())
	}
	for _, none := range []string{"", "nothing", "two\nlines\n\n— a b\n", strings.Repeat("x", 1<<17)} {
		if _, err := audit.Under(l.Trust, []byte(none), nil); err == nil {
			t.Errorf("%.20q was taken for a checkpoint", none)
		}
	}
}

// bulk is a log of sessions of 40 entries of 8 events.
func bulk(b *testing.B, entries int) *Log {
	l, r := newLog(b)
	p := payload.Ref{Media: payload.JSON, Commitment: payload.Hash{1}, Blobs: []payload.BlobRef{{Class: payload.Content, SHA256: payload.Hash{2}, Size: 1342}}}.Event()
	for n := 0; len(l.Leaves) < entries; n++ {
		main := l.Open(SessionID(n), "bot", r)
		for range 40 {
			var events []recorder.Event
			for a := range 4 {
				id := entry.ID(fmt.Sprintf("a-%d-%d", n, a))
				events = append(events,
					recorder.Plain(entry.TypeActionIntent, entry.ActionIntent{Action: id, Tool: "ledger.post", Protocol: "mcp", Method: "tools/call", Params: p}),
					recorder.Plain(entry.TypeActionResult, entry.ActionResult{Action: id, Response: p, DurationUS: 1234, Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}}))
			}
			main.Add(events...)
		}
		main.Close()
	}
	return l
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAudit reads a log from a directory, as stenod leaves it.
func BenchmarkAudit(b *testing.B) {
	l := bulk(b, 10_000)
	root, err := os.OpenRoot(directory(b, l))
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for _, s := range []audit.Signatures{audit.AllSignatures, audit.LastSignatures} {
		b.Run(string(s), func(b *testing.B) {
			b.ReportAllocs()
			events, begun := uint64(0), processorTime(b)
			for b.Loop() {
				cfg := must(audit.Open(context.Background(), l.Trust, audit.Dir(root)))
				cfg.Signatures = s
				report := must(audit.Run(context.Background(), cfg))
				if report.Exit != 0 {
					b.Fatalf("%s", report.JSON())
				}
				events += report.Counts.Events
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			// What one core does in a second, whoever else the machine works for.
			b.ReportMetric(float64(events)/(processorTime(b)-begun).Seconds(), "events/cpu-s")
		})
	}
}

// directory writes a log into a directory, in the shape of tlog-tiles.
func directory(t testing.TB, l *Log) string {
	t.Helper()
	dir := t.TempDir()
	put := func(path string, b []byte, err error) {
		path = filepath.Join(dir, path)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("checkpoint", l.Checkpoint(), nil)
	ctx := context.Background()
	for level, n := uint64(0), uint64(len(l.Leaves)); n > 0; level, n = level+1, n/256 {
		for i := uint64(0); i*256 < n; i++ {
			width := uint8(min(256, n-i*256) % 256)
			b, err := l.Tile(ctx, level, i, width)
			put(tiles.Path(level, i, width), b, err)
			if level == 0 {
				b, err := l.Bundle(ctx, i, width)
				put(tiles.BundlePath(i, width), b, err)
			}
		}
	}
	return dir
}
