package client_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// windowed is the trust of a world with one window.
func windowed(w *world, role trust.Role, key string, until uint64) *trust.Trust {
	c := w.trust().Config
	c.Windows = []trust.Window{{Role: role, Key: key, Until: until}}
	return must(trust.Make(c))
}

// A receipt by a key whose window has ended is none, and proves nothing against the log: the trust file may be the older.
func TestAReceiptOutsideItsKeysWindowDoesNotCount(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	cfg.Trust = windowed(w, trust.RoleReceived, w.trust().Received[0], 2)
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	if _, err := main.Record(within(t, 5*time.Second), remark("last")); err != nil {
		t.Fatal(err)
	}
	_, err := main.Record(within(t, 300*time.Millisecond), remark("over"))
	var pending *client.PendingError
	var window *trust.WindowError
	if !errors.As(err, &pending) || !errors.As(pending.LastSend, &window) {
		t.Fatalf("recorded behind the end: %v", err)
	}
}

// Entries by keys that do not count where they stand are no record.
func TestReadingHoldsKeysToTheirWindows(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	main := open(t, rec)
	for range 3 {
		if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
			t.Fatal(err)
		}
	}
	tr := w.trust()
	for role, key := range map[trust.Role]string{trust.RoleReceived: tr.Received[0], trust.RoleEnroller: tr.Enrollers[0], trust.RoleRecorder: w.RecorderV} {
		for until, good := range map[uint64]bool{0: false, 3: role == trust.RoleEnroller, 4: true} {
			r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: windowed(w, role, key, until)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Read(t.Context(), main.Session()); (err == nil) != good {
				t.Errorf("%s key that counts below %d: %v", role, until, err)
			}
		}
	}
}

// A trust file that ends a log key, marks it as stolen or has it no more does not stop a recorder that kept a checkpoint by it.
// One by a key that is not stolen is held against the log all the same, and neither is embedded.
func TestAKeptCheckpointByAKeyThatCountsNoMore(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*trust.Config, string)
		caught bool
	}{
		"ended": {func(c *trust.Config, old string) {
			c.Windows = []trust.Window{{Role: trust.RoleLog, Key: old, Until: 1}}
		}, true},
		"stolen": {func(c *trust.Config, old string) {
			c.Windows = []trust.Window{{Role: trust.RoleLog, Key: old, Until: 1, Compromised: true}}
		}, false},
		"dropped": {func(c *trust.Config, old string) {
			c.Policy = bytes.Replace(c.Policy, []byte("log "+old+"\n"), nil, 1)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWitnessed()
			s := newServer(t, w)
			cfg := w.config(s.URL, t.TempDir())
			rec := newRecorder(t, cfg)
			main := open(t, rec)
			for range 3 {
				if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "all is witnessed", func() bool { return len(states(rec)) == 0 })
			if err := rec.Close(within(t, 5*time.Second)); err != nil {
				t.Fatal(err)
			}
			skey, vkey := must2(note.GenerateKey(rand.Reader, origin))
			later := w.trust().Config
			later.Policy = append([]byte("log "+vkey+"\n"), later.Policy...)
			c.change(&later, w.trust().Log)
			cfg.Trust = must(trust.Make(later))
			var alarm atomic.Value
			cfg.Alarm = func(err error) { alarm.Store(err) }
			before := must(os.ReadFile(filepath.Join(cfg.Dir, "checkpoint")))
			s.with(func() {
				s.w.Log = skey
				rewrite(s)
			})
			again, err := client.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close(within(t, time.Millisecond))
			_, err = again.Open(within(t, 5*time.Second), opening())
			if !c.caught {
				if err != nil || alarm.Load() != nil {
					t.Fatalf("%v, alarm %v", err, alarm.Load())
				}
				s.mu.Lock()
				opened := must(entry.Parse(s.leaves[len(s.leaves)-1]))
				s.mu.Unlock()
				last := must(opened.Events[0].Value()).(*entry.SessionOpen).Checkpoint
				if kept := must(os.ReadFile(filepath.Join(cfg.Dir, "checkpoint"))); bytes.Equal(kept, before) || !cfg.Trust.Quorum([]byte(last)) {
					t.Errorf("kept\n%s\nembedded\n%s", kept, last)
				}
				return
			}
			fork, distrust := new(client.ForkError), new(client.DistrustedError)
			if !errors.As(err, &fork) || !errors.As(err, &distrust) {
				t.Fatalf("another history: %v", err)
			}
			f := must(trust.ParseFork(must(os.ReadFile(distrust.Evidence))))
			if err := cfg.Trust.VerifyFork(f); err != nil {
				t.Errorf("what was kept proves nothing: %v", err)
			}
		})
	}
}
