package client_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// caught runs a recorder against a server that lies, and checks what must follow: one alarm, the evidence on disk, nothing
// recorded any more, also not after a restart.
func caught[E error](t *testing.T, files []string, lie func(*server, *client.Recorder, *client.Track)) {
	w := newWorld()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	var alarms atomic.Int64
	var alarm atomic.Value
	cfg.Alarm = func(err error) { alarms.Add(1); alarm.Store(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	for range 3 {
		if _, err := main.Record(within(t, 5*time.Second), remark("honest")); err != nil {
			t.Fatal(err)
		}
	}
	lie(s, rec, main)
	eventually(t, "the alarm", func() bool {
		main.Record(within(t, 100*time.Millisecond), remark("more")) // any error: what counts is the alarm
		return alarms.Load() > 0
	})
	err := alarm.Load().(error)
	var want E
	var distrust *client.DistrustedError
	if !errors.As(err, &want) || !errors.As(err, &distrust) || !errors.Is(err, client.ErrDistrusted) {
		t.Fatalf("alarm: %v", err)
	}
	if fork := new(client.ForkError); errors.As(err, &fork) {
		proves(t, w, distrust.Evidence, cfg.Dir)
	} else {
		for _, f := range append(files, "claim.json") {
			if b, err := os.ReadFile(filepath.Join(distrust.Evidence, f)); err != nil || len(b) == 0 {
				t.Errorf("evidence %s: %d bytes, %v", f, len(b), err)
			}
		}
	}
	if _, err := main.Record(within(t, time.Second), remark("intent")); !errors.Is(err, client.ErrDistrusted) {
		t.Errorf("recording afterwards: %v", err)
	}
	if _, err := main.Spool(remark("result")); err != nil {
		t.Errorf("FAIL-CLOSED: what has happened was not kept: %v", err)
	}
	if _, err := rec.Open(within(t, time.Second), opening()); !errors.Is(err, client.ErrDistrusted) {
		t.Errorf("opening afterwards: %v", err)
	}
	if err := rec.Close(within(t, time.Second)); err != nil && !errors.Is(err, client.ErrDistrusted) {
		t.Errorf("closing: %v", err)
	}
	if alarms.Load() != 1 {
		t.Errorf("%d alarms", alarms.Load())
	}
	if _, err := client.New(cfg); !errors.Is(err, client.ErrDistrusted) {
		t.Errorf("a new recorder on the evidence: %v", err)
	}
}

// proves checks a fork file with the log's public key alone.
func proves(t *testing.T, w *world, path, spool string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if name := filepath.Base(path); filepath.Dir(path) != spool || !regexp.MustCompile(`^fork-[0-9a-f]{8}\.fork$`).MatchString(name) {
		t.Errorf("the proof is kept as %s", path)
	}
	f, err := trust.ParseFork(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(must(note.NewVerifier(w.trust().Log))); err != nil {
		t.Errorf("the proof of a fork: %v", err)
	}
	if err := f.Verify(must(note.NewVerifier(newWorld().trust().Log))); err == nil {
		t.Error("it convicts another log as well")
	}
}

func TestLiar_receiptThatDoesNotVerify(t *testing.T) {
	caught[*client.ReceiptError](t, []string{"submission", "answer"}, func(s *server, _ *client.Recorder, _ *client.Track) {
		other := newWorld()
		s.with(func() { s.stamper = must(entry.NewStamper(other.Received)) })
	})
}

func TestLiar_receiptOfAnotherEntry(t *testing.T) {
	caught[*client.ReceiptError](t, []string{"submission", "answer"}, func(s *server, _ *client.Recorder, _ *client.Track) {
		s.with(func() {
			s.after = func(_ http.ResponseWriter, a *wire.Answer) bool { a.Receipts[0].Hash[3]++; return false }
		})
	})
}

func TestLiar_headBehind(t *testing.T) {
	caught[*client.BehindError](t, []string{"answer", "leaf"}, func(s *server, _ *client.Recorder, main *client.Track) {
		s.with(func() {
			s.signed = 0 // what was acknowledged is still in the spool, with its receipt
			s.after = func(_ http.ResponseWriter, a *wire.Answer) bool {
				track := s.tracks[main.Session()+"/main"]
				track.Next, track.Head = track.Next-a.Receipts[0].Count, entry.Hash{7} // as a restored old copy would stand
				s.after = nil
				return false
			}
		})
	})
}

func TestLiar_forgottenSession(t *testing.T) {
	caught[*client.BehindError](t, []string{"answer"}, func(s *server, _ *client.Recorder, main *client.Track) {
		s.with(func() {
			delete(s.tracks, main.Session()+"/main")
			s.before = func(w http.ResponseWriter, _ *http.Request) bool {
				answer(w, 404, wire.ProblemType, wire.Problem{Code: "unknown-session"})
				return true
			}
		})
	})
}

func TestLiar_leafThatIsNotThere(t *testing.T) {
	caught[*client.LeafError](t, []string{"leaf", "checkpoint"}, func(s *server, _ *client.Recorder, _ *client.Track) {
		s.with(func() {
			s.after = func(_ http.ResponseWriter, a *wire.Answer) bool { a.Receipts[0].Index = 0; return false }
		})
	})
}

// rewrite gives the log another history with the same number of leaves, rewriteFirst one that differs from the first on.
func rewrite(s *server)      { rewriteAt(s, 1) }
func rewriteFirst(s *server) { rewriteAt(s, 0) }

func rewriteAt(s *server, at int) {
	leaves := s.leaves
	s.leaves, s.hashes = nil, nil
	for i, l := range leaves {
		if i == at {
			l = []byte(strings.Replace(string(l), "\"time\"", "\"tame\"", 1))
		}
		s.add(l)
	}
}

func TestONEHISTORY_aForkOfTheSameSizeIsCaught(t *testing.T) {
	caught[*client.ForkError](t, nil, func(s *server, rec *client.Recorder, _ *client.Track) {
		eventually(t, "a checkpoint is verified", func() bool { return len(rec.Unsent()[0].Entries) == 0 })
		s.with(func() {
			rewrite(s)
			s.signed = len(s.leaves)
		})
	})
}

func TestONEHISTORY_aForkOfAnotherSizeIsCaught(t *testing.T) {
	caught[*client.ForkError](t, nil, func(s *server, rec *client.Recorder, _ *client.Track) {
		eventually(t, "a checkpoint is verified", func() bool { return len(rec.Unsent()[0].Entries) == 0 })
		s.with(func() {
			rewrite(s)
			s.add([]byte("one more"))
		})
	})
}

func TestAHistoryThatGrowsIsNoFork(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	cfg.VerifyEvery = time.Millisecond
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	for i := range 300 { // over the width of a tile
		if i%50 == 0 {
			if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s.with(func() { s.add([]byte{byte(i)}) })
	}
	eventually(t, "everything proven", func() bool { return len(rec.Unsent()[0].Entries) == 0 })
}

// An answer that acknowledges an intent and shows another history lets nothing through: the log is distrusted first.
func TestFAILCLOSED_aReceiptThatShowsAForkAcknowledgesNothing(t *testing.T) {
	for range 20 { // whoever waits must not win a race
		w := newWitnessed()
		s := newServer(t, w)
		rec := newRecorder(t, w.config(s.URL, t.TempDir()))
		main := open(t, rec)
		eventually(t, "a checkpoint is verified", func() bool { return len(states(rec)) == 0 })
		s.with(func() {
			other := newServer(t, w)
			other.add([]byte("another history"))
			s.after = func(_ http.ResponseWriter, a *wire.Answer) bool {
				a.Receipts[0].Level, a.Receipts[0].Checkpoint = wire.Integrated, string(other.checkpointLocked())
				return false
			}
		})
		if _, err := main.Record(within(t, 5*time.Second), remark("intent")); !errors.Is(err, client.ErrDistrusted) {
			t.Fatalf("recorded: %v", err)
		}
	}
}
