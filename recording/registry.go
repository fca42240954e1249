package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/storage"
)

// Keys in the heads view. Sessions that are alive are read at start, the others when somebody asks for them.
const (
	keyLive    = "l/" // + session: facts
	keyClosed  = "c/" // + session: facts
	keyAgent   = "a/" // + agent: agentFacts
	keyEventID = "e/" // + session + "/" + event id: index and seq
	keySystem  = "system"
	keyKeys    = "keys" // what the log noted of keys
	keyAnchor  = "t/"   // + index in 20 digits + "/" + authority: anchorItem
	keyAnchors = "anchors"
)

// gateAll is every place at a session's gate.
const gateAll = 1 << 20

// A session is one session in memory: facts, and what lives only as long as the process.
type session struct {
	id string
	// gate lets appends to tracks through side by side, and stops them all while the session is opened or closed: an
	// append takes one place, an open or close all of them.
	gate *semaphore.Weighted

	mu    sync.Mutex // guards what follows
	facts facts
	heard time.Time // last heartbeat or entry, or the start of this process
	// returned is set by a heartbeat after the session was given up, until the log has said so.
	returned bool
	locks    map[string]*semaphore.Weighted
	// recent holds the receipts of each track's last entries, so that a repeat need not be looked up.
	recent  map[string][]Receipt
	ids     idSet
	managed map[string]*managedTrack

	// of the registry, under its mutex
	users int
	dirty bool
}

const recentEntries = 16

// lock is the lock of a track: one append is in flight on it.
func (s *session) lock(track string) *semaphore.Weighted {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locks[track]
	if l == nil {
		l = semaphore.NewWeighted(1)
		s.locks[track] = l
	}
	return l
}

// view calls f with the facts as they are, which f must not keep.
func (s *session) view(f func(*facts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.facts)
}

// registry holds the sessions in memory, the agents' counters and the last system session, and writes them to Heads.
type registry struct {
	r *Recording

	mu       sync.Mutex
	sessions map[string]*session
	agents   map[string]*agentEntry
	system   systemFacts
	keys     map[string]keyFacts
	anchors  anchorFacts
	sysDirty bool           // system or keys
	ids      []storage.Item // event ids that are not in Heads yet
	changes  int            // leaves folded since the last snapshot

	forgotten uint64     // times that sessions left memory
	limit     int        // of sessions, 0 until the log was caught up with: what is in it was admitted
	snapshots sync.Mutex // one at a time
	// folding is held shared by whatever folds a leaf and alone by a snapshot, so that of each leaf a snapshot has all that
	// it changes (heads, event ids, counters of agents, the system session) or nothing. Folded again after a restart, a leaf
	// that one part knows changes none of the others.
	folding sync.RWMutex
}

type agentEntry struct {
	facts agentFacts
	dirty bool
}

func (g *registry) init(r *Recording) {
	g.r, g.sessions, g.agents, g.keys = r, map[string]*session{}, map[string]*agentEntry{}, map[string]keyFacts{}
	g.anchors.by = map[string][]Anchored{}
}

func (g *registry) newSession(f facts) *session {
	return &session{
		id: f.Session, gate: semaphore.NewWeighted(gateAll), facts: f, heard: g.r.cfg.Now(),
		locks: map[string]*semaphore.Weighted{}, recent: map[string][]Receipt{}, managed: map[string]*managedTrack{},
	}
}

// acquire returns a session for use until release, from memory or Heads. With create, one that nobody knows comes back
// empty; otherwise it is a Problem.
func (g *registry) acquire(ctx context.Context, id string, create bool) (*session, error) {
	for {
		s, forgotten := g.use(id)
		if s != nil {
			return s, nil
		}
		f, err := g.stored(ctx, id)
		known := err == nil
		if !known && !errors.Is(err, storage.ErrNotFound) {
			return nil, fmt.Errorf("reading session %s: %w", id, err)
		}
		if s, err := g.insert(id, f, known, create, forgotten); s != nil || err != nil {
			return s, err
		}
	}
}

// use returns the session if it is in memory, and how often sessions have left it.
func (g *registry) use(id string) (s *session, forgotten uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s = g.sessions[id]; s != nil {
		s.users++
	}
	return s, g.forgotten
}

// insert takes what was read of a session into memory. If sessions have left memory meanwhile, this one may have been among
// them, changed since it was read: then it is nil, and to be read again.
func (g *registry) insert(id string, f facts, known, create bool, forgotten uint64) (*session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.sessions[id]; s != nil { // somebody was faster
		s.users++
		return s, nil
	}
	switch {
	case g.forgotten != forgotten:
		return nil, nil
	case !known && !create:
		return nil, problem(CodeUnknownSession, "there is no such session")
	case !known && g.limit > 0 && len(g.sessions) >= g.limit:
		return nil, problem(CodeTooManySessions, "%d sessions are alive, no more are taken for now", len(g.sessions))
	case !known:
		f = newFacts(id)
	}
	s := g.newSession(f)
	s.ids.complete = !known
	s.users = 1
	g.sessions[id] = s
	return s, nil
}

// stored reads a session from Heads.
func (g *registry) stored(ctx context.Context, id string) (facts, error) {
	for _, prefix := range []string{keyLive, keyClosed} {
		b, err := g.r.cfg.Heads.Get(ctx, prefix+id)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return facts{}, g.r.notDurable("reading the state of the session", err)
		}
		f := newFacts(id)
		if err := json.Unmarshal(b, &f); err != nil {
			return facts{}, fmt.Errorf("decoding the heads of %s: %w", id, err)
		}
		return f, nil
	}
	return facts{}, storage.ErrNotFound
}

// release ends a use. A session that never got a first entry is forgotten.
func (g *registry) release(s *session) {
	s.mu.Lock()
	empty := len(s.facts.Tracks) == 0
	s.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.users--; s.users == 0 && empty {
		delete(g.sessions, s.id)
	}
}

// changed notes that a fold changed the session, and the event ids that it brought. Both in one step, so that a session
// without changes has no ids that are not in Heads.
func (g *registry) changed(s *session, ids []storage.Item) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.dirty = true
	g.ids = append(g.ids, ids...)
	g.changes++
}

// each calls f with every session in memory, holding none of the registry's locks.
func (g *registry) each(f func(*session)) {
	g.mu.Lock()
	all := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		s.users++
		all = append(all, s)
	}
	g.mu.Unlock()
	for _, s := range all {
		f(s)
		g.release(s)
	}
}

// agent returns the counters of an agent.
func (g *registry) agent(ctx context.Context, agent string) (agentFacts, error) {
	g.mu.Lock()
	a := g.agents[agent]
	g.mu.Unlock()
	if a != nil {
		return a.facts, nil
	}
	b, err := g.r.cfg.Heads.Get(ctx, keyAgent+agent)
	if errors.Is(err, storage.ErrNotFound) {
		return agentFacts{}, nil
	}
	if err != nil {
		return agentFacts{}, g.r.notDurable("reading the counters of the agent", err)
	}
	var f agentFacts
	if err := json.Unmarshal(b, &f); err != nil {
		return agentFacts{}, fmt.Errorf("decoding the counters of an agent: %w", err)
	}
	return f, nil
}

// counted takes an admitted session of an agent in.
func (g *registry) counted(agent string, f agentFacts) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.agents[agent]; a != nil && a.facts.Count >= f.Count {
		return
	}
	g.agents[agent] = &agentEntry{facts: f, dirty: true}
}

// foldSystem takes an entry of a system session in. It tells whether it was new.
func (g *registry) foldSystem(d *digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &g.system
	switch {
	case d.session != s.Session && d.seq == 0:
		*s = systemFacts{Session: d.session}
	case d.session != s.Session || d.seq != s.Next || d.prev != s.Head || s.Closed:
		return false
	}
	s.Next, s.Head = d.next, d.hash
	for _, m := range d.system {
		s.Closed = s.Closed || m.typ == entry.TypeSystemClose
		g.foldKey(m.value)
		if v, ok := m.value.(*entry.Anchor); ok {
			g.anchors.fold(d, v)
		}
	}
	g.sysDirty = true
	g.changes++
	return true
}
