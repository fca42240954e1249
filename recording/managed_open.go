package recording

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/stenolog/steno/entry"
)

// A Request is what a client of managed recording sent: JSON, as it came, and the Idempotency-Key, if there was one, which
// stands for the event_id of a request that is one event.
type Request struct {
	Key  string
	Body []byte
}

// managed is the frame of every managed call.
func (r *Recording) managed(who Who, f func() (Result, error)) (Result, error) {
	if err := r.enter(); err != nil {
		return Result{}, err
	}
	defer r.leave()
	res, err := Result{}, who.check()
	switch {
	case err != nil:
	case r.cfg.Managed == nil:
		err = problem(CodeManagedOff, "this server does not record for others")
	default:
		res, err = f()
	}
	if err != nil {
		p := asProblem(err)
		r.metrics.refused.WithLabelValues(string(p.Code)).Inc()
		if p.Code == CodeInternal || p.Code == CodeNotDurable {
			r.cfg.Logger.Error("managed recording failed", "session", res.Session, "code", p.Code, "error", err)
		}
		return res, p
	}
	return res, nil
}

// single reads a request that is one event, and its event id: given in the body or as the key, or minted.
func (r *Recording) single(req Request) ([]jsonMember, []byte, error) {
	raw, err := document(req.Body)
	if err != nil {
		return nil, nil, err
	}
	ms, err := members(raw)
	if err != nil {
		return nil, nil, err
	}
	return ms, raw, nil
}

// name gives the event its id.
func (r *Recording) name(p *plainEvent, key string) error {
	switch {
	case key != "" && entry.CheckID(key) != nil:
		return problem(CodeEventID, "an Idempotency-Key is 1 to 128 of letters, digits and . _ : / + -")
	case key != "" && p.given && p.id != key:
		return problem(CodeEventID, "event_id and Idempotency-Key differ")
	case key != "":
		p.id, p.given = key, true
	case !p.given:
		id, err := uuid.NewV7FromReader(r.cfg.Rand)
		if err != nil {
			return err
		}
		p.id = id.String()
	}
	return p.check()
}

// An opening request, read.
type managedOpen struct {
	ms  []jsonMember
	raw []byte // what the MAC is over
	key string
}

// OpenManaged opens a session whose track main the server records. The body has the members of session.open; payloads are
// plain JSON.
func (r *Recording) OpenManaged(ctx context.Context, who Who, req Request) (Result, error) {
	return r.managed(who, func() (Result, error) {
		ms, raw, err := r.single(req)
		if err != nil {
			return Result{}, err
		}
		return r.openManaged(ctx, who, managedOpen{ms, raw, req.Key})
	})
}

func (r *Recording) openManaged(ctx context.Context, who Who, o managedOpen) (Result, error) {
	o.ms = withDefault(o.ms, "retention", defaultRetention)
	o.ms = withDefault(o.ms, "heartbeat_s", defaultHeartbeatS)
	s, err := r.sessionOf(ctx, who, o)
	if err != nil {
		return Result{}, err
	}
	defer r.registry.release(s)
	return r.openTrack(ctx, who, s, entry.MainTrack, entry.TypeSessionOpen, o)
}

func withDefault(ms []jsonMember, name, value string) []jsonMember {
	for _, m := range ms {
		if m.name == name {
			return ms
		}
	}
	return append(ms[:len(ms):len(ms)], jsonMember{name, []byte(value)})
}

// sessionOf finds the session that the request opened before, or names a new one.
func (r *Recording) sessionOf(ctx context.Context, who Who, o managedOpen) (*session, error) {
	p, err := translate(entry.TypeAnnotation, idOnly(o.ms), `,"kind":"remark"`)
	if err != nil {
		return nil, err
	}
	if err := r.name(p, o.key); err != nil {
		return nil, err
	}
	if !p.given {
		return r.registry.acquire(ctx, p.id, true) // the minted id is a UUID of version 7 of its own
	}
	today := r.cfg.Now()
	s, err := r.registry.acquire(ctx, r.sessionFor(who, p.id, today.AddDate(0, 0, -1)), false)
	var pr *Problem
	if errors.As(err, &pr) && pr.Code == CodeUnknownSession {
		return r.registry.acquire(ctx, r.sessionFor(who, p.id, today), true)
	}
	return s, err
}

// idOnly keeps the member that names the event.
func idOnly(ms []jsonMember) []jsonMember {
	for _, m := range ms {
		if m.name == "event_id" {
			return []jsonMember{m}
		}
	}
	return nil
}

// JoinManaged opens another track, which the server records, in a session of the same principal; its main track may be
// signed. The body has the members of track.open, and "track".
func (r *Recording) JoinManaged(ctx context.Context, who Who, session string, req Request) (Result, error) {
	return r.managed(who, func() (Result, error) {
		ms, raw, err := r.single(req)
		if err != nil {
			return Result{}, err
		}
		track, rest, err := takeTrack(ms)
		if err != nil {
			return Result{}, err
		}
		s, err := r.registry.acquire(ctx, session, false)
		if err != nil {
			return Result{}, err
		}
		defer r.registry.release(s)
		return r.openTrack(ctx, who, s, track, entry.TypeTrackOpen, managedOpen{rest, raw, req.Key})
	})
}

func takeTrack(ms []jsonMember) (track string, rest []jsonMember, err error) {
	for _, m := range ms {
		if m.name != "track" {
			rest = append(rest, m)
			continue
		}
		if len(m.value) < 2 || m.value[0] != '"' {
			return "", nil, badMember("track", entry.WrongType, "track is a string")
		}
		track = string(m.value[1 : len(m.value)-1])
	}
	switch {
	case track == "":
		return "", nil, badMember("track", entry.MissingMember, "a member is missing")
	case entry.CheckTrack(track) != nil:
		return "", nil, badMember("track", entry.BadValue, "a track is 1 to 32 of a-z 0-9 and -, not first a hyphen")
	case track == entry.MainTrack:
		return "", nil, badMember("track", CodeTrackExists, "track main opens with the session")
	case track == entry.SystemTrack:
		return "", nil, badMember("track", CodeReservedTrack, "track log is the log's own")
	}
	return track, rest, nil
}

// openTrack opens a managed track, or answers that it was opened by the same request before.
func (r *Recording) openTrack(ctx context.Context, who Who, s *session, track string, typ entry.Type, o managedOpen) (Result, error) {
	a := &admission{r: r, who: who, s: s, track: track}
	if err := a.enterAs(ctx, true); err != nil {
		return Result{}, err
	}
	defer a.leave()
	var main *trackFacts
	exists, owner := false, ""
	s.view(func(f *facts) {
		main, owner = f.Tracks[entry.MainTrack], f.Principal
		exists = f.Tracks[track] != nil
	})
	switch {
	case main == nil && typ == entry.TypeTrackOpen:
		return Result{}, problem(CodeUnknownSession, "there is no such session")
	case main != nil && owner != who.Principal && (owner != "" || typ == entry.TypeTrackOpen):
		return Result{}, problem(CodeOtherPrincipal, "the session belongs to another principal")
	}
	keys, commitments, wraps, err := r.unitKeys(s.id, track)
	if err != nil {
		return Result{}, err
	}
	var first *entry.Hash
	if typ == entry.TypeTrackOpen {
		first = &main.First
	}
	extra, err := r.openMembers(commitments, first)
	if err != nil {
		return Result{}, err
	}
	p, err := translate(typ, o.ms, extra)
	if err != nil {
		return Result{}, err
	}
	if err := r.name(p, o.key); err != nil {
		return Result{}, err
	}
	p.mac = r.mac(s.id, track, o.raw)
	if exists {
		return a.openedBefore(ctx, p, main)
	}
	return a.openNow(ctx, p, keys, wraps)
}

// openedBefore answers a request for a track that exists.
func (a *admission) openedBefore(ctx context.Context, p *plainEvent, main *trackFacts) (Result, error) {
	rc, found, err := a.r.original(ctx, a.s, p)
	if err != nil {
		return Result{}, err
	}
	if !found || rc.Seq != 0 || rc.Track != a.track {
		return Result{}, problem(CodeTrackExists, "the track is open already, by another request")
	}
	a.receipts = append(a.receipts, rc)
	admitted := false
	a.s.view(func(f *facts) { admitted = f.Tracks[a.track].Admitted })
	if a.again = !admitted; a.again {
		if err := a.append(context.WithoutCancel(ctx)); err != nil {
			return Result{}, err
		}
	}
	return a.result(), nil
}
