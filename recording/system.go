package recording

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recorder"
)

const systemGroup = 256 // jobs of one append

// system writes the log's own session. What has to be durable together with an event of it (an open with its admitted, a
// close with its verdict) goes through it too, in one append.
type system struct {
	r       *Recording
	session string
	track   *recorder.Track
	jobs    *combiner[*systemJob]
	// broken is set when the chain cannot go on, because a later entry of a failed append is in the log and an earlier is
	// not. To write the earlier anew would be equivocation, so nothing is written until a restart begins another session.
	broken error
}

// A systemJob is leaves of recorders, if any, and what the log says about them.
type systemJob struct {
	leaves []stamped
	note   func(d *draft) ([]noted, error) // called in the order of the log
	fold   func(i int, index uint64)       // called for each of leaves that is in the log
	done   chan error                      // buffered
	notes  int                             // events that note made
	at     []uint64                        // the leaves that they stand in, each once: known when done says nil
}

// noted is one event of the system session.
type noted struct {
	typ   entry.Type
	value any
}

// A draft is the counters of agents as they will be when the group that is being built is in the log.
type draft struct {
	ctx    context.Context
	r      *Recording
	agents map[string]agentFacts
}

// next counts a session of an agent.
func (d *draft) next(agent, session string, open entry.Hash) (number uint64, before agentFacts, err error) {
	f, ok := d.agents[agent]
	if !ok {
		if f, err = d.r.registry.agent(d.ctx, agent); err != nil {
			return 0, f, err
		}
	}
	d.agents[agent] = agentFacts{Count: f.Count + 1, Session: session, Open: open}
	return f.Count + 1, f, nil
}

// beginSystem opens the system session of this process.
func (r *Recording) beginSystem(ctx context.Context) (*system, error) {
	id, err := uuid.NewV7FromReader(r.cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("naming it: %w", err)
	}
	s := &system{r: r, session: id.String()}
	if err := s.restore(0, entry.Hash{}); err != nil {
		return nil, err
	}
	s.jobs = newCombiner(systemGroup, s.run)
	before := r.registry.system
	_, checkpoint := r.cfg.Log.Checkpoint()
	open := entry.SystemOpen{
		Version: entry.ID(r.cfg.Version), Key: entry.Text(r.cfg.SystemKey), Epoch: r.cfg.Epoch, Size: r.boot,
		Checkpoint: recorder.Embed(checkpoint),
	}
	if before.Session != "" {
		open.Predecessor, open.PredecessorHead = entry.UUID(before.Session), &before.Head
	} else {
		open.Succeeds = recorder.Embed(r.cfg.Succeeds)
	}
	return s, s.write(ctx, noted{entry.TypeSystemOpen, open})
}

// end closes the session, after everything else.
func (s *system) end(ctx context.Context) error {
	s.jobs.drain()
	return s.write(ctx, noted{entry.TypeSystemClose, entry.SystemClose{Why: "shutdown"}})
}

// restore puts the recorder where the chain in the log stands.
func (s *system) restore(next uint64, head entry.Hash) (err error) {
	s.track, err = recorder.New(recorder.Config{
		Origin: s.r.cfg.Origin, Session: s.session, Track: entry.SystemTrack, Signer: s.r.cfg.System, Rand: s.r.cfg.Rand,
		Next: next, Head: head, Now: s.r.cfg.Now,
	})
	return err
}

// write makes events durable. They were made here or checked before.
func (s *system) write(ctx context.Context, events ...noted) error {
	_, err := s.writeAt(ctx, events...)
	return err
}

// writeAt is write, and says in which leaves they are.
func (s *system) writeAt(ctx context.Context, events ...noted) ([]uint64, error) {
	job := &systemJob{note: func(*draft) ([]noted, error) { return events, nil }, done: make(chan error, 1)}
	s.jobs.add(job)
	select {
	case err := <-job.done:
		return job.at, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run appends a group.
func (s *system) run(group []*systemJob) {
	if s.broken != nil {
		answerAll(group, s.broken)
		return
	}
	ctx := context.Background()
	d := &draft{ctx: ctx, r: s.r, agents: map[string]agentFacts{}}
	var leaves [][]byte
	var events []recorder.Event
	taken := group[:0:0]
	for _, job := range group {
		// A job that cannot be written leaves no trace in the draft.
		saved := maps.Clone(d.agents)
		notes, err := job.note(d)
		if err != nil {
			d.agents = saved
			job.done <- err
			continue
		}
		job.notes = len(notes)
		for _, n := range notes {
			events = append(events, recorder.Plain(n.typ, n.value))
		}
		for _, l := range job.leaves {
			leaves = append(leaves, l.leaf)
		}
		taken = append(taken, job)
	}
	if len(taken) > 0 {
		s.append(ctx, taken, leaves, events)
	}
}

func answerAll(group []*systemJob, err error) {
	for _, job := range group {
		job.done <- err
	}
}

func (s *system) append(ctx context.Context, group []*systemJob, leaves [][]byte, events []recorder.Event) {
	next, head := s.track.Next(), s.track.Head()
	var own []*digest
	if len(events) > 0 {
		built, err := s.track.Build(events...)
		if err != nil {
			answerAll(group, fmt.Errorf("writing the system session: %w", err))
			return
		}
		for _, b := range built {
			d, leaf, err := s.r.stamp(b.Submission)
			if err != nil {
				answerAll(group, errors.Join(err, s.restore(next, head)))
				return
			}
			own, leaves = append(own, d), append(leaves, leaf)
		}
	}
	end := s.r.flight.begin()
	placed, err := s.r.cfg.Log.Append(ctx, leaves)
	at, known := places(placed, err, len(leaves))
	if !known {
		// What the log holds is known only after a restart. The flight never ends, so that no snapshot claims more than
		// was folded.
		s.broken = err
		answerAll(group, err)
		return
	}
	defer end()
	first := len(leaves) - len(own)
	s.foldAll(ctx, group, own, at, first)
	if rest := unplaced(at[first:]); rest < len(own) {
		s.rewind(at[first:], own, rest, next, head)
	}
	s.answer(group, own, at, err)
}

// foldAll takes what is in the log in, in the order of the log.
func (s *system) foldAll(ctx context.Context, group []*systemJob, own []*digest, at []*log.Placed, first int) {
	i := 0
	for _, job := range group {
		for k := range job.leaves {
			if at[i] != nil {
				job.fold(k, at[i].Index)
			}
			i++
		}
	}
	for k, d := range own {
		if at[first+k] == nil {
			break
		}
		d.index = at[first+k].Index
		for _, m := range d.system {
			if v, ok := m.value.(*entry.Verdict); ok {
				s.r.metrics.verdicts.WithLabelValues(string(v.Verdict)).Inc()
			}
		}
		if err := s.r.foldSystem(ctx, d); err != nil {
			// The event is in the log and the state in memory lacks it. Only a restart brings them together.
			s.broken = err
			s.r.cfg.Logger.Error("system session broken", "session", s.session, "error", err)
		}
	}
}

// rewind puts the recorder back to the last entry that is in the log.
func (s *system) rewind(at []*log.Placed, own []*digest, rest int, next uint64, head entry.Hash) {
	for _, p := range at[rest:] {
		if p != nil {
			s.broken = errors.New("the system session has a hole; it takes a restart to begin another")
			s.r.cfg.Logger.Error("system session broken", "session", s.session)
			return
		}
	}
	if rest > 0 {
		next, head = own[rest-1].next, own[rest-1].hash
	}
	if err := s.restore(next, head); err != nil {
		s.broken = err
	}
}

func (s *system) answer(group []*systemJob, own []*digest, at []*log.Placed, err error) {
	if unplaced(at) < len(at) {
		answerAll(group, err)
		return
	}
	var seq uint64
	if len(own) > 0 {
		seq = own[0].seq
	}
	for _, job := range group {
		for end := seq + uint64(job.notes); seq < end; seq++ {
			for own[0].next <= seq {
				own = own[1:]
			}
			if n := len(job.at); n == 0 || job.at[n-1] != own[0].index {
				job.at = append(job.at, own[0].index)
			}
		}
		job.done <- nil
	}
}

// places says where each leaf of an append is, nil for those that are not in the log. Known is false if that is not known.
func places(placed []log.Placed, err error, n int) (at []*log.Placed, known bool) {
	at = make([]*log.Placed, n)
	if err == nil {
		for i := range placed {
			at[i] = &placed[i]
		}
		return at, len(placed) == n
	}
	var partly *log.NotAppendedError
	if errors.As(err, &partly) {
		for i, p := range partly.Placed {
			at[i] = &p
		}
		return at, true
	}
	known = errors.Is(err, log.ErrNotAppended) || errors.Is(err, log.ErrOverloaded) || errors.Is(err, log.ErrReadOnly) ||
		errors.Is(err, log.ErrTooLarge) || errors.Is(err, log.ErrClosed) && !errors.Is(err, log.ErrStopped)
	return at, known
}

// unplaced is the position of the first leaf that is not in the log.
func unplaced(at []*log.Placed) int {
	for i, p := range at {
		if p == nil {
			return i
		}
	}
	return len(at)
}
