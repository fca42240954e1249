package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// states are how far the entries in a recorder's spool got.
func states(rec *client.Recorder) map[client.State]int {
	n := make(map[client.State]int)
	for _, t := range rec.Unsent() {
		for _, e := range t.Entries {
			n[e.State]++
		}
	}
	return n
}

// spoolOf is what a spool holds, as text.
func spoolOf(t *testing.T, dir string) string {
	t.Helper()
	tracks, err := client.ReadSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, tr := range tracks {
		for _, e := range tr.Entries {
			fmt.Fprintln(&b, tr.Session, tr.Track, e.Seq, e.Count, e.Hash)
		}
	}
	return b.String()
}

func signedFiles(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "checkpoint.*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Without a quorum recording goes on, entries are integrated and stay in the spool, also through a restart, and become
// witnessed by themselves.
func TestNAMEDGAPS_theQuorumIsLostAndComesBack(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	s.away = 2
	cfg := w.config(s.URL, t.TempDir())
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	for range 5 {
		if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all entries are integrated", func() bool { return states(rec)[client.Integrated] == 6 })
	if err := rec.Close(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(spoolOf(t, cfg.Dir), "\n"); n != 6 || len(signedFiles(t, cfg.Dir)) != 1 {
		t.Fatalf("the spool keeps %d entries of 6, and %v", n, signedFiles(t, cfg.Dir))
	}
	again := newRecorder(t, cfg)
	eventually(t, "they are integrated after a restart", func() bool { return states(again)[client.Integrated] == 6 })
	s.with(func() { s.away = 1 })
	eventually(t, "they are witnessed", func() bool { return len(states(again)) == 0 && len(signedFiles(t, cfg.Dir)) == 0 })
	kept, err := os.ReadFile(filepath.Join(cfg.Dir, "checkpoint"))
	if err != nil || !w.trust().Quorum(kept) {
		t.Errorf("the checkpoint that is kept: %v\n%s", err, kept)
	}
}

// While witnesses answer, nobody asks for more than what is published.
func TestTheSignedCheckpointIsAskedForOnlyWhileTheQuorumIsLost(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	main := open(t, rec)
	for range 20 {
		if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are witnessed", func() bool { return len(states(rec)) == 0 })
	s.with(func() {
		if s.asked > 0 {
			t.Errorf("asked for the signed checkpoint %d times", s.asked)
		}
	})
}

// forked is a recorder that kept a checkpoint that only the log has signed, and is shown a witnessed one of another history
// after a restart.
func forked(t *testing.T, withheld bool, keep func(*server, *client.Recorder, *client.Track), between func(dir string)) {
	t.Helper()
	w := newWitnessed()
	s := newServer(t, w)
	s.away, s.withheld = 2, withheld
	cfg := w.config(s.URL, t.TempDir())
	var alarm atomic.Value
	cfg.Alarm = func(err error) { alarm.Store(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	for range 3 {
		if _, err := main.Record(within(t, 5*time.Second), remark("honest")); err != nil {
			t.Fatal(err)
		}
	}
	keep(s, rec, main)
	rec.Close(within(t, time.Second))
	before := spoolOf(t, cfg.Dir)
	between(cfg.Dir)
	s.with(func() {
		rewrite(s)
		s.add([]byte("one more"))
		s.away = 0
	})
	again, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm", func() bool { return alarm.Load() != nil })
	var fork *client.ForkError
	var distrust *client.DistrustedError
	if err := alarm.Load().(error); !errors.As(err, &fork) || !errors.As(err, &distrust) {
		t.Fatalf("alarm: %v", err)
	}
	proves(t, w, distrust.Evidence, cfg.Dir)
	if _, err := again.Open(within(t, time.Second), opening()); !errors.Is(err, client.ErrDistrusted) {
		t.Errorf("FAIL-CLOSED: opening afterwards: %v", err)
	}
	if err := again.Close(within(t, time.Second)); err != nil && !errors.Is(err, client.ErrDistrusted) {
		t.Error(err)
	}
	if _, err := client.New(cfg); !errors.Is(err, client.ErrDistrusted) || !strings.Contains(err.Error(), distrust.Evidence) {
		t.Errorf("a new recorder on the proof: %v", err)
	}
	if after := spoolOf(t, cfg.Dir); after != before || after == "" {
		t.Errorf("the spool held\n%sand holds\n%s", before, after)
	}
	// The way out, as the error says.
	if err := os.Rename(distrust.Evidence, filepath.Join(t.TempDir(), "examined.fork")); err != nil {
		t.Fatal(err)
	}
	if r, err := client.New(cfg); err != nil {
		t.Error(err)
	} else {
		r.Close(within(t, time.Millisecond))
	}
}

func TestONEHISTORY_aSignedCheckpointIsHeldAgainstAWitnessedOne(t *testing.T) {
	forked(t, false, func(_ *server, rec *client.Recorder, _ *client.Track) {
		eventually(t, "entries are integrated", func() bool { return states(rec)[client.Integrated] == 4 })
	}, func(string) {})
}

func TestONEHISTORY_aReceiptsCheckpointIsHeldAgainstAWitnessedOne(t *testing.T) {
	forked(t, true, func(s *server, _ *client.Recorder, main *client.Track) {
		s.with(func() {
			s.after = func(_ http.ResponseWriter, a *wire.Answer) bool {
				for i := range a.Receipts {
					a.Receipts[i].Level, a.Receipts[i].Checkpoint = wire.Integrated, string(s.checkpointLocked())
				}
				return false
			}
		})
		if _, err := main.Record(within(t, 5*time.Second), remark("integrated")); err != nil {
			t.Fatal(err)
		}
	}, func(dir string) {
		if len(signedFiles(t, dir)) == 0 {
			t.Error("a receipt's checkpoint was not kept")
		}
	})
}

// A checkpoint without the quorum is refused, and is no fork.
func TestAPublishedCheckpointWithoutTheQuorumIsRefused(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	s.bare = true
	cfg := w.config(s.URL, t.TempDir())
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	open(t, rec)
	r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Checkpoint(t.Context())
	var lacks *client.QuorumError
	if !errors.As(err, &lacks) || !strings.Contains(err.Error(), `the quorum "two" is not met`) {
		t.Fatalf("a reader was given it: %v", err)
	}
	if c, err := r.Signed(t.Context()); err != nil || c.Witnessed || c.Size != 1 {
		t.Fatalf("as one that is signed: %+v, %v", c, err)
	}
	eventually(t, "the entry is integrated", func() bool { return states(rec)[client.Integrated] == 1 })
	s.with(func() { s.bare = false })
	eventually(t, "the entry is witnessed", func() bool { return len(states(rec)) == 0 })
	if c, err := r.Checkpoint(t.Context()); err != nil || !c.Witnessed || len(c.Cosigned) != 3 {
		t.Fatalf("with the quorum: %+v, %v", c, err)
	}
}

// Witnesses that are away for longer than the spool has room do not stop the recording, and what they see later is still
// compared.
func TestALostQuorumDoesNotFillTheSpool(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	s.away = 2
	cfg := w.config(s.URL, t.TempDir())
	cfg.MaxBytes, cfg.VerifyEvery = 64<<10, time.Millisecond
	var alarm atomic.Value
	cfg.Alarm = func(err error) { alarm.Store(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	for i := range 200 { // of more than 2 KiB each, with their receipts
		eventually(t, "there is room for another", func() bool {
			_, err := main.Record(within(t, 5*time.Second), remark(fmt.Sprint(i)))
			if err != nil && !errors.Is(err, client.ErrSpoolFull) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	if alarm.Load() != nil {
		t.Fatal(alarm.Load())
	}
	s.with(func() {
		rewrite(s)
		s.away = 0
	})
	main.Spool(remark("more")) // whether there is room for it or not
	eventually(t, "the fork is found", func() bool {
		err, _ := alarm.Load().(error)
		fork := new(client.ForkError)
		return errors.As(err, &fork)
	})
}

// grow gives the log n leaves, of which one may be different.
func grow(s *server, n, different int) {
	s.leaves, s.hashes = nil, nil
	for i := range n {
		leaf := fmt.Sprint("leaf ", i)
		if i == different {
			leaf += " of another history"
		}
		s.add([]byte(leaf))
	}
}

// Of whatever two sizes, also powers of two, whose roots no proof holds, and whichever was seen first, the proof of a fork
// verifies.
func TestONEHISTORY_aForkIsProvenAtEverySize(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	for small := 1; small <= 9; small++ {
		for large := small; large <= 17; large += 1 + large/small {
			for _, smallFirst := range []bool{true, false} {
				dir := t.TempDir()
				r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust(), Dir: dir})
				if err != nil {
					t.Fatal(err)
				}
				var first, second []byte
				s.with(func() {
					grow(s, small, small-1)
					first = s.checkpointLocked()
					grow(s, large, -1) // whose tiles are served
					second = s.checkpointLocked()
				})
				if !smallFirst {
					first, second = second, first
				}
				s.with(func() { s.shown = first })
				if _, err := r.Checkpoint(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.with(func() { s.shown = second })
				_, err = r.Checkpoint(t.Context())
				var distrust *client.DistrustedError
				if !errors.As(err, &distrust) {
					t.Fatalf("sizes %d and %d: %v", small, large, err)
				}
				proves(t, w, distrust.Evidence, dir)
			}
		}
	}
}

// A cache of tiles, which are of one history, does not hide the other.
func TestONEHISTORY_aForkIsFoundBehindACache(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.with(func() { grow(s, 300, -1) })
	c, err := r.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prove(t.Context(), c, 7, []byte("leaf 7")); err != nil {
		t.Fatal(err)
	}
	s.with(func() { grow(s, 301, 3) })
	_, err = r.Checkpoint(t.Context())
	if fork := new(client.ForkError); !errors.As(err, &fork) {
		t.Fatalf("another history: %v", err)
	}
}

// Fork files are written once each, over no other, and not without end.
func TestForkFilesAreBounded(t *testing.T) {
	w := newWorld()
	s := newServer(t, w)
	dir := t.TempDir()
	r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust(), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.with(func() { grow(s, 40, -1) })
	if _, err := r.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := func() []string { return must(filepath.Glob(filepath.Join(dir, "fork-*.fork"))) }
	var first os.FileInfo
	for i := range 40 {
		s.with(func() { grow(s, 40, i) })
		for range 2 {
			_, err := r.Checkpoint(t.Context())
			var distrust *client.DistrustedError
			if !errors.As(err, &distrust) {
				t.Fatalf("fork %d: %v", i, err)
			}
			if i == 0 && first == nil {
				first = must(os.Stat(distrust.Evidence))
			}
		}
	}
	if n := len(files()); n != 16 {
		t.Errorf("%d fork files", n)
	}
	if again := must(os.Stat(filepath.Join(dir, first.Name()))); !again.ModTime().Equal(first.ModTime()) {
		t.Error("a fork file was written over")
	}
	if err := client.Distrusted(dir); !errors.Is(err, client.ErrDistrusted) {
		t.Errorf("the directory: %v", err)
	}
}

// A checkpoint that was enough for an older trust file is kept, and held against what witnesses see.
func TestONEHISTORY_aTrustFileWithNewWitnessesForgetsNothing(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	old := must(trust.New(w.trust().Log, w.trust().Received, w.trust().System, w.trust().Enrollers))
	dir := t.TempDir()
	s.with(func() { grow(s, 5, -1) })
	before, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: old, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.away = 3
	s.bare = true
	if _, err := before.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.with(func() { grow(s, 9, 2); s.away, s.bare = 0, false })
	after, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: w.trust(), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = after.Checkpoint(t.Context())
	if fork := new(client.ForkError); !errors.As(err, &fork) {
		t.Fatalf("another history than the one that was kept: %v", err)
	}
}

// Every track records, again and again, the latest checkpoint that the recorder verified, also one that only the log signed.
func TestONEHISTORY_tracksRecordTheLatestCheckpoint(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	cfg.RollEvery = 5 * time.Millisecond
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	if _, err := rec.Join(within(t, 5*time.Second), main.Ref(), joining("tools")); err != nil {
		t.Fatal(err)
	}
	rolled := func(track string) (latest trust.Checkpoint) {
		for _, e := range s.entriesOf(t, track) {
			for _, ev := range e.Events {
				if roll, ok := must(ev.Value()).(*entry.SessionRoll); ok && roll.Why == "checkpoint" {
					latest = must(w.trust().OpenCheckpoint([]byte(roll.Checkpoint)))
				}
			}
		}
		return latest
	}
	for _, track := range []string{"main", "tools"} {
		eventually(t, track+" rolls", func() bool { c := rolled(track); return c.Size > 3 && c.Witnessed })
	}
	s.with(func() { s.away = 3 })
	eventually(t, "a checkpoint without the quorum", func() bool { return !rolled("main").Witnessed })
	c := rolled("main")
	s.with(func() {
		root := must(tlog.TreeHash(int64(c.Size), tlog.HashReaderFunc(s.read)))
		if [32]byte(root) != c.Root {
			t.Error("it is of another tree")
		}
	})
}
