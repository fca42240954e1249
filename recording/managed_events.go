package recording

import (
	"context"
	"fmt"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// openNow records the track's first entry.
func (a *admission) openNow(ctx context.Context, p *plainEvent, keys payload.Keys, wraps []Wrap) (Result, error) {
	rec, err := a.r.recorder(a.s, a.track, keys)
	if err != nil {
		return Result{}, err
	}
	built, err := rec.Build(p.event())
	if err != nil {
		return Result{}, err
	}
	arrivals, err := arrivalsOf(built, wraps)
	if err != nil {
		return Result{}, err
	}
	if err := a.admit(ctx, arrivals); err != nil {
		return a.result(), err
	}
	m := a.r.managedTrack(a.s, a.track)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys, m.used = keys, a.r.cfg.Now()
	return a.result(), nil
}

// A managedJob is the events of one request on their way through a managed track.
type managedJob struct {
	who    Who
	events []*plainEvent
	done   chan struct{}
	result Result
	err    error
}

// ManagedEvents records events on a managed track, main if none is named. The body is one event, or {"events":[…]}. Calls
// may run in parallel; what they carry is packed into shared entries.
func (r *Recording) ManagedEvents(ctx context.Context, who Who, session, track string, req Request) (Result, error) {
	return r.managed(who, func() (Result, error) {
		if track == "" {
			track = entry.MainTrack
		}
		raws, err := r.splitEvents(req.Body)
		if err != nil {
			return Result{}, err
		}
		return r.managedEvents(ctx, who, session, track, raws, func(i int) string {
			if len(raws) == 1 || req.Key == "" {
				return req.Key
			}
			return eventKey(req.Key, raws, i)
		})
	})
}

func (r *Recording) splitEvents(body []byte) ([][]byte, error) {
	raw, err := document(body)
	if err != nil {
		return nil, err
	}
	ms, err := members(raw)
	if err != nil {
		return nil, err
	}
	if len(ms) != 1 || ms[0].name != "events" {
		return [][]byte{raw}, nil
	}
	raws, err := elements(ms[0].value, r.cfg.Limits.Events)
	if err == nil && len(raws) == 0 {
		err = problem(CodeRequestEmpty, "no events")
	}
	return raws, err
}

// managedEvents records events that are given as JSON. An event that cannot be read refuses all of the request.
func (r *Recording) managedEvents(ctx context.Context, who Who, session, track string, raws [][]byte, key func(i int) string) (Result, error) {
	job := &managedJob{who: who, done: make(chan struct{})}
	for i, raw := range raws {
		p, err := r.plain(session, track, raw, key(i))
		if err != nil {
			pr := asProblem(err)
			pr.Event = i
			return Result{}, pr
		}
		p.at = i
		job.events = append(job.events, p)
	}
	s, err := r.registry.acquire(ctx, session, false)
	if err != nil {
		return Result{}, err
	}
	if err := r.ownManaged(s, who, track); err != nil {
		r.registry.release(s)
		return Result{}, err
	}
	// From here on the job holds the session, whether its client waits or not.
	r.life.calls.Add(1)
	r.managedTrack(s, track).jobs.add(job)
	// A client that hangs up is waited for too: what the caller lets in at once bounds what waits here.
	<-job.done
	return job.result, job.err
}

// plain reads one event of a request.
func (r *Recording) plain(session, track string, raw []byte, key string) (*plainEvent, error) {
	ms, err := members(raw)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(ms, func(m jsonMember) bool { return m.name == "event" })
	if i < 0 {
		return nil, badMember("event", entry.MissingMember, "a member is missing")
	}
	name := ms[i].value
	if len(name) < 2 || name[0] != '"' {
		return nil, badMember("event", entry.WrongType, "event is a string")
	}
	typ := entry.Type(name[1 : len(name)-1])
	if !typ.Known() {
		return nil, badMember("event", entry.UnknownEvent, "unknown type of event")
	}
	if !clientEvent(typ) {
		return nil, badMember("event", entry.Misplaced, "the server writes this event itself")
	}
	p, err := translate(typ, ms, "")
	if err != nil {
		return nil, err
	}
	p.mac = r.mac(session, track, raw)
	return p, r.name(p, key)
}

// clientEvent tells whether a client of managed recording can give an event of this type: those that are marked as managed,
// but for what opens, renews and ends tracks.
func clientEvent(t entry.Type) bool {
	switch t {
	case entry.TypeSessionOpen, entry.TypeTrackOpen, entry.TypeSessionRoll, entry.TypeSessionClose:
		return false
	}
	_, ok := goType(t).FieldByName("Managed")
	return ok
}

// ownManaged says why the principal cannot record on the track.
func (r *Recording) ownManaged(s *session, who Who, track string) (err error) {
	s.view(func(f *facts) {
		t := f.Tracks[track]
		switch {
		case len(f.Tracks) == 0:
			err = problem(CodeUnknownSession, "there is no such session")
		case f.Principal != who.Principal:
			err = problem(CodeOtherPrincipal, "the session belongs to another principal")
		case t == nil || !r.managedKey(t):
			err = problem(CodeNotManaged, "the session has no track of that name that the server records")
		}
	})
	return err
}

// runManaged records a group of jobs in as few entries as they fit in.
func (r *Recording) runManaged(s *session, track string, m *managedTrack, group []*managedJob) {
	ctx := context.Background()
	g := &managedRun{r: r, s: s, m: m, a: &admission{r: r, who: group[0].who, s: s, track: track}, group: group}
	err := g.a.enterAs(ctx, false)
	if err == nil {
		err = g.run(ctx)
		g.a.leave()
	}
	for _, job := range group {
		if job.err == nil {
			job.err = err
		}
		close(job.done)
		r.registry.release(s)
		r.life.calls.Done()
	}
}

// A managedRun is one group on its way.
type managedRun struct {
	r     *Recording
	s     *session
	m     *managedTrack
	a     *admission
	group []*managedJob

	fresh []*plainEvent
	seq   map[*plainEvent]uint64
	same  map[*plainEvent]*plainEvent // a retry that came together with the first
}

func (g *managedRun) run(ctx context.Context) error {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	g.m.used = g.r.cfg.Now()
	before := g.sort(ctx)
	var err error
	if len(g.fresh) > 0 {
		err = g.record(ctx)
	}
	g.answer(before)
	return err
}

// sort finds out which events are new, and the receipts of the others.
func (g *managedRun) sort(ctx context.Context) map[*plainEvent]Receipt {
	before := map[*plainEvent]Receipt{}
	first := map[string]*plainEvent{}
	g.same = map[*plainEvent]*plainEvent{}
	for _, job := range g.group {
		for i, p := range job.events {
			if twin := first[p.id]; twin != nil {
				if twin.mac != p.mac {
					job.err = problem(CodeIdempotency, "the event id was used for another request")
					job.events = job.events[:i]
					break
				}
				g.same[p] = twin
				continue
			}
			rc, found, err := g.r.original(ctx, g.s, p)
			if err != nil {
				job.err, job.events = err, job.events[:i]
				break
			}
			if found {
				before[p] = rc
				continue
			}
			first[p.id] = p
			g.fresh = append(g.fresh, p)
		}
	}
	return before
}

// record builds entries of the new events and appends them.
func (g *managedRun) record(ctx context.Context) error {
	if err := g.a.load(); err != nil {
		return err
	}
	holed := false
	g.s.view(func(f *facts) { holed = f.Tracks[g.a.track].Holed })
	if holed {
		return problem(entry.TrackClosed, "a failed append took an entry of the track without the one before it: open another track")
	}
	if g.a.chain.Closed {
		return problem(entry.TrackClosed, "nothing follows the event that closed the track")
	}
	keys, roll, wraps, err := g.r.renewed(g.s, g.a.track, g.m)
	if err != nil {
		return err
	}
	rec, err := g.r.recorder(g.s, g.a.track, keys)
	if err != nil {
		return err
	}
	g.seq = map[*plainEvent]uint64{}
	next := rec.Next() + uint64(len(roll))
	events := roll
	for _, p := range g.fresh {
		g.seq[p] = next
		next++
		events = append(events, p.event())
	}
	built, err := rec.Build(events...)
	if err != nil {
		return fmt.Errorf("building managed entries: %w", err)
	}
	arrivals, err := arrivalsOf(built, wraps)
	if err != nil {
		return err
	}
	if err = g.a.admit(ctx, arrivals); err == nil || len(g.a.receipts) > 0 {
		g.m.keys = keys // what committed to them is in the log
	}
	return err
}

// renewed returns the track's keys. If this process does not have them, it draws new ones, and a session.roll to commit to
// them.
func (r *Recording) renewed(s *session, track string, m *managedTrack) (payload.Keys, []recorder.Event, []Wrap, error) {
	if m.keys != nil {
		return m.keys, nil, nil, nil
	}
	keys, commitments, wraps, err := r.unitKeys(s.id, track)
	if err != nil {
		return nil, nil, nil, err
	}
	roll := entry.SessionRoll{Why: "rekey", Keys: commitments}
	s.view(func(f *facts) {
		if f.Tracks[track].Keyed < r.boot {
			roll.Why = "restart"
		}
	})
	_, note := r.cfg.Log.Checkpoint()
	roll.Checkpoint = recorder.Embed(note)
	return keys, []recorder.Event{recorder.Plain(entry.TypeSessionRoll, roll)}, wraps, nil
}

// load takes the chain from the facts, for a track that exists.
func (a *admission) load() (err error) {
	a.s.view(func(f *facts) {
		t := f.Tracks[a.track]
		a.key = t.Key
		a.chain, err = t.chain(a.r.cfg.Origin, a.s.id)
	})
	return err
}

// answer gives each job the receipts of its events: one for each entry in which they are.
func (g *managedRun) answer(before map[*plainEvent]Receipt) {
	res := g.a.result()
	for _, job := range g.group {
		job.result = Result{Session: res.Session, Track: res.Track, Next: res.Next, Head: res.Head}
		for _, p := range job.events {
			rc, ok := before[p]
			if !ok {
				q, repeated := p, false
				if twin := g.same[p]; twin != nil {
					q, repeated = twin, true
				}
				seq, known := g.seq[q]
				if rc, ok = holds(g.a.receipts, seq); !ok || !known {
					break // not appended; the job gets the error
				}
				rc.Repeated = repeated
			}
			if !slices.ContainsFunc(job.result.Receipts, func(have Receipt) bool { return have.Index == rc.Index }) {
				job.result.Receipts = append(job.result.Receipts, rc)
			}
		}
	}
}

func holds(receipts []Receipt, seq uint64) (Receipt, bool) {
	for _, rc := range receipts {
		if seq >= rc.Seq && seq < rc.Seq+rc.Count {
			return rc, true
		}
	}
	return Receipt{}, false
}
