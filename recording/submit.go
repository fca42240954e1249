package recording

import (
	"context"
	"errors"
	"slices"

	"github.com/stenolog/steno/entry"
)

// An arrival is one entry of a request.
type arrival struct {
	Submitted
	at     int // in the request
	e      *entry.Entry
	hash   entry.Hash
	keys   []entry.UnitKey     // that it commits to
	closes *entry.SessionClose // if it does
}

// Submit takes signed entries of one track. With no session given, the first of them opens one. Entries that are in the log
// already are answered with their receipts; the others are verified in order, and those before the first that is refused
// are appended. The Result says how far it came, also beside an error. Every error is a *Problem.
func (r *Recording) Submit(ctx context.Context, who Who, session string, subs []Submitted) (Result, error) {
	if err := r.enter(); err != nil {
		return Result{}, err
	}
	defer r.leave()
	res, err := r.submit(ctx, who, session, subs)
	if err != nil {
		p := asProblem(err)
		r.metrics.refused.WithLabelValues(string(p.Code)).Inc()
		if p.Code == CodeInternal || p.Code == CodeNotDurable {
			r.cfg.Logger.Error("submission failed", "session", session, "code", p.Code, "error", err)
		}
		return res, p
	}
	return res, nil
}

func (r *Recording) submit(ctx context.Context, who Who, session string, subs []Submitted) (Result, error) {
	if err := who.check(); err != nil {
		return Result{}, err
	}
	arrivals, bad, err := r.read(session, subs)
	if err != nil {
		return Result{}, err
	}
	if len(arrivals) == 0 {
		return Result{}, bad
	}
	first := arrivals[0].e
	opensSession := first.Track == entry.MainTrack && first.Seq == 0
	if session == "" && !opensSession {
		return Result{}, problem(entry.Misplaced, "a session begins with the first entry of its track main").inEntry(0)
	}
	s, err := r.registry.acquire(ctx, first.Session, opensSession)
	if err != nil {
		return Result{}, err
	}
	defer r.registry.release(s)
	a := &admission{r: r, who: who, s: s, track: first.Track}
	if err := a.enter(ctx, arrivals); err != nil {
		return Result{}, err
	}
	defer a.leave()
	if err := a.own(arrivals); err != nil {
		return Result{}, err
	}
	err = a.admit(ctx, arrivals)
	if err == nil && bad != nil {
		err = bad
	}
	return a.result(), err
}

func (w Who) check() error {
	if err := entry.CheckID(w.Principal); err != nil {
		return problem(CodePrincipal, "the principal's name cannot stand in the log: %v", err)
	}
	if !slices.Contains([]string{"token", "mtls", "oidc", "local"}, w.How) {
		return problem(CodePrincipal, "unknown way of authentication")
	}
	return nil
}

// read parses the entries strictly, up to the first that is bad, which is bad's to tell. What concerns the request as a
// whole is an error, and nothing of it is taken.
func (r *Recording) read(session string, subs []Submitted) (arrivals []arrival, bad error, err error) {
	if len(subs) == 0 {
		return nil, nil, problem(CodeRequestEmpty, "no entries")
	}
	if len(subs) > r.cfg.Limits.Entries {
		return nil, nil, problem(CodeTooManyEntries, "%d entries, at most %d", len(subs), r.cfg.Limits.Entries)
	}
	if err := r.checkVolume(subs); err != nil {
		return nil, nil, err
	}
	for i, sub := range subs {
		a, err := readArrival(i, sub)
		if err != nil {
			return arrivals, asProblem(err).inEntry(i), nil
		}
		switch {
		case a.e.Track == entry.SystemTrack:
			return nil, nil, problem(CodeReservedTrack, "track log is the log's own").inEntry(i)
		case session != "" && a.e.Session != session:
			return nil, nil, problem(entry.OtherSession, "entry of another session than the request's").inEntry(i)
		case i > 0 && (a.e.Session != arrivals[0].e.Session || a.e.Track != arrivals[0].e.Track):
			return nil, nil, problem(CodeMixedTracks, "the entries of a request are of one track").inEntry(i)
		}
		arrivals = append(arrivals, a)
	}
	return arrivals, nil, nil
}

func (r *Recording) checkVolume(subs []Submitted) error {
	n, size := 0, int64(0)
	for _, s := range subs {
		n += len(s.Blobs)
		for _, b := range s.Blobs {
			size += int64(len(b))
		}
	}
	if n > r.cfg.Limits.Blobs || size > r.cfg.Limits.BlobBytes {
		return problem(CodeTooManyBlobs, "%d blobs of %d bytes, at most %d of %d", n, size, r.cfg.Limits.Blobs, r.cfg.Limits.BlobBytes)
	}
	return nil
}

func readArrival(i int, sub Submitted) (arrival, error) {
	e, err := entry.ParseSubmission(sub.Entry)
	if err != nil {
		return arrival{}, err
	}
	a := arrival{Submitted: sub, at: i, e: e, hash: e.Hash()}
	for n, ev := range e.Events {
		var err error
		switch ev.Type {
		case entry.TypeSessionOpen, entry.TypeTrackOpen:
			var v entry.Recorder
			err = ev.Decode(&v)
			a.keys = append(a.keys, v.Keys...)
		case entry.TypeSessionRoll:
			var v entry.SessionRoll
			err = ev.Decode(&v)
			a.keys = append(a.keys, v.Keys...)
		case entry.TypeSessionClose:
			a.closes = &entry.SessionClose{}
			err = ev.Decode(a.closes)
		}
		if err != nil {
			return arrival{}, errors.Join(problem(entry.Syntax, "event %d does not decode", n), err)
		}
	}
	return a, nil
}
