package recording

import (
	"context"
	"fmt"
	"time"

	"github.com/stenolog/steno/entry"
)

const livenessPart = 64 // sessions in one liveness event

// watch looks at the clock once a second: who is silent, whose verdict is due, what to write to the views.
func (r *Recording) watch(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	w := watching{r: r, liveness: r.cfg.Now(), snapshot: r.cfg.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx)
		}
	}
}

type watching struct {
	r                  *Recording
	liveness, snapshot time.Time // last
}

func (w *watching) look(ctx context.Context) {
	now := w.r.cfg.Now()
	report := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			w.r.cfg.Logger.Warn(what, "error", err)
		}
	}
	w.r.registry.each(func(s *session) {
		report("writing a verdict", w.r.verdict(ctx, s, now))
		s.forgetKeys(now)
	})
	if now.Sub(w.liveness) >= livenessEvery {
		w.liveness = now
		report("writing liveness", w.r.writeLiveness(ctx))
	}
	if now.Sub(w.snapshot) >= snapshotEvery || w.r.registry.due() {
		w.snapshot = now
		report("writing heads", w.r.registry.snapshot(ctx))
	}
	w.r.follower.poke()
}

func (g *registry) due() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changes >= snapshotAfter
}

// verdict writes the verdict on a session that is silent, or whose verdict was lost with a process. A session on which
// anything is under way is left alone: it is not silent, and the verdict comes with the append or at the next look.
func (r *Recording) verdict(ctx context.Context, s *session, now time.Time) error {
	if s.due(now) == "" || !s.gate.TryAcquire(gateAll) {
		return nil
	}
	defer s.gate.Release(gateAll)
	why := s.due(now)
	if why == "" {
		return nil
	}
	var v *entry.Verdict
	s.view(func(f *facts) { v = f.judge(why) })
	// The gate is held until the answer is there, so that nothing is admitted as if the verdict did not exist.
	job := &systemJob{done: make(chan error, 1)}
	job.note = func(*draft) ([]noted, error) { return []noted{{entry.TypeVerdict, v}}, nil }
	r.system.jobs.add(job)
	if err := <-job.done; err != nil {
		return fmt.Errorf("session %s, %s: %w", s.id, v.Verdict, err)
	}
	r.follower.poke()
	return nil
}

// due says what a verdict is due for, if one is.
func (s *session) due(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.facts
	switch {
	case f.Pending != "":
		return f.Pending
	case s.returned && f.State == stateAbandoned:
		return "heard-again"
	case f.live() && now.Sub(s.heard) > missedBeats*f.beat():
		return "silent"
	}
	return ""
}

func (f *facts) beat() time.Duration { return time.Duration(f.HeartbeatS) * time.Second }

// writeLiveness lists the sessions that are alive, and when each was last heard.
func (r *Recording) writeLiveness(ctx context.Context) error {
	var all []entry.LiveSession
	r.registry.each(func(s *session) {
		s.view(func(f *facts) {
			if f.live() {
				all = append(all, entry.LiveSession{Session: entry.UUID(s.id), Heard: entry.TimeOf(s.heard)})
			}
		})
	})
	if len(all) == 0 {
		return nil
	}
	parts := (len(all) + livenessPart - 1) / livenessPart
	events := make([]noted, parts)
	for i := range parts {
		events[i] = noted{entry.TypeLiveness, entry.Liveness{
			Part: uint64(i), Parts: uint64(parts), Sessions: all[i*livenessPart : min(len(all), (i+1)*livenessPart)],
		}}
	}
	return r.system.write(ctx, events...)
}

// Heartbeat says that the session's recorders are alive, and renews it. It leaves no leaf, but for the verdict when the
// session had been given up.
func (r *Recording) Heartbeat(ctx context.Context, who Who, id string) (Pulse, error) {
	var p Pulse
	err := r.asOwner(ctx, who, id, func(s *session) error {
		s.view(func(f *facts) {
			s.heard = r.cfg.Now()
			p.Next = f.beat()
			s.returned = f.State == stateAbandoned && !f.Closed
		})
		if s.due(r.cfg.Now()) != "" {
			if err := r.verdict(ctx, s, r.cfg.Now()); err != nil {
				return err
			}
		}
		s.view(func(f *facts) { p.State = f.State })
		return nil
	})
	return p, err
}

// Head says where the tracks of a session stand.
func (r *Recording) Head(ctx context.Context, who Who, id string) (SessionHead, error) {
	h := SessionHead{Session: id}
	err := r.asOwner(ctx, who, id, func(s *session) error {
		s.view(func(f *facts) { h.State, h.Tracks = f.State, f.heads() })
		return nil
	})
	return h, err
}

// asOwner calls f with a session that belongs to the principal.
func (r *Recording) asOwner(ctx context.Context, who Who, id string, f func(*session) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	s, err := r.registry.acquire(ctx, id, false)
	if err != nil {
		return asProblem(err)
	}
	defer r.registry.release(s)
	owner := ""
	s.view(func(f *facts) { owner = f.Principal })
	if owner != who.Principal {
		return problem(CodeOtherPrincipal, "the session belongs to another principal")
	}
	if err := f(s); err != nil {
		return asProblem(err)
	}
	return nil
}

// Access records that somebody is about to be given content. The content may leave when it returns nil: then it is durable.
func (r *Recording) Access(ctx context.Context, v entry.Access) error {
	return r.note(ctx, entry.TypeAccess, v)
}

// Alert records that somebody should look at something. It returns when that is durable, when ctx ends, and it is written
// all the same, or when it can't be written: too many wait (CodeOverloaded), or the log has stopped. How many of a kind are
// worth a leaf the caller knows.
func (r *Recording) Alert(ctx context.Context, v entry.Alert) error {
	r.metrics.alerts.WithLabelValues(string(v.Alert)).Inc()
	select {
	case r.alerts.waiting <- struct{}{}:
	default:
		return problem(CodeOverloaded, "too many alerts wait to be written; this one was not")
	}
	if err := r.enter(); err != nil {
		<-r.alerts.waiting
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer r.leave()
		defer func() { <-r.alerts.waiting }() // not when ctx ends: what waits is what is bounded
		done <- r.entered(context.WithoutCancel(ctx), entry.TypeAlert, v)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// NoteConfig commits to the configuration that is in force.
func (r *Recording) NoteConfig(ctx context.Context, v entry.Config) error {
	return r.note(ctx, entry.TypeConfig, v)
}

func (r *Recording) note(ctx context.Context, t entry.Type, v any) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	return r.entered(ctx, t, v)
}

// entered is note within enter and leave.
func (r *Recording) entered(ctx context.Context, t entry.Type, v any) error {
	// Checked alone first, so that a value that cannot stand in the log spoils nobody else's.
	if _, err := entry.Marshal(t, r.stampTime(), v); err != nil {
		return asProblem(err)
	}
	if err := r.system.write(ctx, noted{t, v}); err != nil {
		return asProblem(err)
	}
	r.follower.poke()
	return nil
}
