package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/stenolog/steno/storage"
)

// snapshot writes what changed to Heads, and lets go of sessions about which nothing is due.
//
// Order: the size is taken first. What is folded between that and the writing is in the snapshot too, and is folded again
// after a restart, which changes nothing. Were the size taken last, a leaf could be missed.
func (g *registry) snapshot(ctx context.Context) error {
	return g.snapshotAt(ctx, g.r.flight.safe())
}

func (g *registry) snapshotAt(ctx context.Context, size uint64) error {
	g.snapshots.Lock()
	defer g.snapshots.Unlock()
	w := g.collect()
	err := w.encode()
	if err == nil {
		err = g.r.cfg.Heads.Apply(ctx, size, w.puts, w.deletes)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.restore(w)
		return fmt.Errorf("writing heads: %w", err)
	}
	g.forget(w)
	g.r.metrics.snapshots.Inc()
	return nil
}

// A writing is one snapshot on its way.
type writing struct {
	sessions []*session
	facts    []facts // of each of them, as they were together with all below
	agents   map[string]agentFacts
	system   systemFacts
	keys     map[string]keyFacts
	anchors  anchorMarks
	anchored []storage.Item
	sysDirty bool
	ids      []storage.Item
	puts     []storage.Item
	deletes  []string
}

func (g *registry) collect() *writing {
	g.folding.Lock()
	defer g.folding.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &writing{agents: map[string]agentFacts{}, system: g.system, keys: maps.Clone(g.keys), sysDirty: g.sysDirty, ids: g.ids}
	w.anchors, w.anchored = g.anchors.marks(), g.anchors.take()
	for _, s := range g.sessions {
		if s.dirty {
			s.dirty = false
			s.users++
			w.sessions = append(w.sessions, s)
			s.mu.Lock()
			w.facts = append(w.facts, s.facts.clone())
			s.mu.Unlock()
		}
	}
	for name, a := range g.agents {
		if a.dirty {
			a.dirty = false
			w.agents[name] = a.facts
		}
	}
	g.sysDirty, g.ids, g.changes = false, nil, 0
	return w
}

func (w *writing) encode() error {
	put := func(key string, v any) error {
		b, err := json.Marshal(v)
		w.puts = append(w.puts, storage.Item{Key: key, Value: b})
		return err
	}
	for i := range w.facts {
		f := &w.facts[i]
		here, other := keyClosed, keyLive
		if !f.settled() {
			here, other = other, here
		}
		w.deletes = append(w.deletes, other+f.Session)
		if err := put(here+f.Session, f); err != nil {
			return fmt.Errorf("encoding session %s: %w", f.Session, err)
		}
	}
	for name, a := range w.agents {
		if err := put(keyAgent+name, a); err != nil {
			return err
		}
	}
	w.puts = append(append(w.puts, w.ids...), w.anchored...)
	if err := put(keyAnchors, w.anchors); err != nil {
		return err
	}
	if w.sysDirty {
		return errors.Join(put(keySystem, w.system), put(keyKeys, w.keys))
	}
	return nil
}

// restore marks what a failed snapshot did not write. The registry is locked.
func (g *registry) restore(w *writing) {
	for _, s := range w.sessions {
		s.dirty = true
		s.users--
	}
	for name := range w.agents {
		g.agents[name].dirty = true
	}
	g.sysDirty = g.sysDirty || w.sysDirty
	g.ids = append(w.ids, g.ids...)
	g.anchors.untake(w.anchored)
	g.changes++
}

// forget drops from memory what is written and settled. The registry is locked.
func (g *registry) forget(w *writing) {
	for _, s := range w.sessions {
		s.users--
	}
	for id, s := range g.sessions {
		if s.users > 0 || s.dirty {
			continue
		}
		s.mu.Lock()
		settled := s.facts.settled()
		s.mu.Unlock()
		if settled {
			delete(g.sessions, id)
			g.forgotten++
		}
	}
	for _, item := range w.ids {
		id, event, _ := strings.Cut(item.Key[len(keyEventID):], "/")
		if s := g.sessions[id]; s != nil {
			s.mu.Lock()
			s.ids.written(event, g.r.cfg.Limits.EventIDs)
			s.mu.Unlock()
		}
	}
	for name, a := range g.agents {
		if !a.dirty {
			delete(g.agents, name)
		}
	}
}

// flight knows which appends are under way, and so up to which size everything in the log has been folded.
type flight struct {
	mu   sync.Mutex
	size func() uint64
	from map[*int]uint64
}

// begin is called before an append. The leaves get indexes from the present size on.
func (f *flight) begin() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil {
		f.from = map[*int]uint64{}
	}
	key := new(int)
	f.from[key] = f.size()
	return func() { // called when the leaves are folded, or known not to be in the log
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.from, key)
	}
}

// safe is a size below which every leaf has been folded.
func (f *flight) safe() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := f.size()
	for _, from := range f.from {
		size = min(size, from)
	}
	return size
}
