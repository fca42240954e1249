package recording_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
)

// A kept is what snapshots have written so far.
type kept struct {
	heads  map[string]storedHeads
	ids    map[string]uint64
	agents map[string]uint64
}

type storedHeads struct {
	Agent  string `json:"agent"`
	Number uint64 `json:"number"`
	Tracks map[string]struct {
		Next uint64 `json:"next"`
	} `json:"tracks"`
}

func (k *kept) take(puts []storage.Item) error {
	for _, item := range puts {
		kind, name, _ := strings.Cut(item.Key, "/")
		switch kind {
		case "l", "c":
			var h storedHeads
			if err := json.Unmarshal(item.Value, &h); err != nil {
				return err
			}
			k.heads[name] = h
		case "e":
			session, _, _ := strings.Cut(name, "/")
			k.ids[session]++
		case "a":
			var a struct{ Count uint64 }
			if err := json.Unmarshal(item.Value, &a); err != nil {
				return err
			}
			k.agents[name] = a.Count
		}
	}
	return nil
}

// whole tells where a part of the snapshot has a leaf that another part does not have. A restart from it would take that leaf
// for known, and never make up for what is missing.
func (k *kept) whole() error {
	last := map[string]uint64{}
	for session, h := range k.heads {
		if next := h.Tracks["main"].Next; k.ids[session] != next {
			return fmt.Errorf("session %s: %d events, %d event ids", session, next, k.ids[session])
		}
		last[h.Agent] = max(last[h.Agent], h.Number)
	}
	for agent, n := range last {
		if k.agents[agent] != n {
			return fmt.Errorf("agent %s: last session %d, counter %d", agent, n, k.agents[agent])
		}
	}
	return nil
}

// Snapshots are taken while sessions are opened and events recorded, and any of them may be the last before a crash.
func TestEXACTLYONCE_aSnapshotHasAllOrNothingOfALeaf(t *testing.T) {
	w := newWorld(t)
	k := kept{map[string]storedHeads{}, map[string]uint64{}, map[string]uint64{}}
	var broken error
	w.faulty.set(func(f *faulty) {
		f.apply = func(puts []storage.Item) {
			if broken == nil {
				if broken = k.take(puts); broken == nil {
					broken = k.whole()
				}
			}
		}
	})
	var done atomic.Bool
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for n := 0; !done.Load(); n++ {
				s := w.openManaged(fmt.Sprintf("open-%d-%d", i, n)).Session
				for e := range 8 {
					body := fmt.Sprintf(`{"event":"annotation","kind":"remark","event_id":"e-%d"}`, e)
					if _, err := w.events(s, "", "", body); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if err := w.rec.Snapshot(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	writers.Wait()
	w.faulty.set(func(f *faulty) { f.apply = nil })
	if broken != nil {
		t.Fatal(broken)
	}
}

// A session leaves memory, changed, while somebody still holds what he read of it before: what he read is not used.
func TestONEHISTORY_aSessionIsNotTakenFromHeadsThatAreOld(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	other := c.track("other")
	w.ok(c.session, other.build(other.opening())...)
	w.ok(c.session, main.build(closing(other))...)
	if err := w.rec.Snapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	fork := *other.Track
	late := other.build(intent("late"))
	once := false
	w.faulty.set(func(f *faulty) {
		f.get = func(key string) {
			if key != "c/"+c.session || once {
				return
			}
			once = true
			// Between the reading of the heads and their use the session is extended, written and forgotten.
			w.ok(c.session, late...)
			if err := w.rec.Snapshot(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	other.Track = &fork
	if _, err := w.submit(c.session, other.build(intent("another"))...); code(err) != recording.CodeEquivocation {
		t.Fatalf("another text for a seq that is taken: %v", err)
	}
	if !once {
		t.Fatal("the heads were not read")
	}
	seen := map[uint64]bool{}
	for _, e := range w.leaves() {
		if e.Session == c.session && e.Track == "other" {
			if seen[e.Seq] {
				t.Fatalf("two leaves have seq %d", e.Seq)
			}
			seen[e.Seq] = true
		}
	}
}

// The limit is for who comes, not for what was admitted: a log with more sessions than fit at once can be caught up with.
func TestACKED_theLimitOfSessionsStopsNoRestart(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		main := w.client("bot").track("main")
		w.ok("", main.build(main.opening(), closing())...)
	}
	w.stop()
	w.limits = recording.Limits{Sessions: 2}
	w.restart("heads")
	main := w.client("bot").track("main")
	w.ok("", main.build(main.opening())...)
}

// A session that is given up, heard, and given up again stays given up until it is heard again.
func TestNAMEDGAPS_aSecondSilenceIsNotTakenForAReturn(t *testing.T) {
	w, clock := newClockWorld(t)
	c := w.client("bot")
	c.beat = 2 // all is over before the next snapshot, with which the session would leave memory
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	clock.forward(7 * time.Second)
	w.awaitVerdicts("abandoned/silent")
	if _, err := w.rec.Heartbeat(context.Background(), alice, c.session); err != nil {
		t.Fatal(err)
	}
	w.awaitVerdicts("abandoned/silent", "late/heard-again")
	clock.forward(7 * time.Second)
	w.awaitVerdicts("abandoned/silent", "late/heard-again", "abandoned/silent")
	for range 3 {
		w.rec.Look(context.Background())
	}
	w.awaitVerdicts("abandoned/silent", "late/heard-again", "abandoned/silent")
}
