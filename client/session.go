package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// EnvSession is the environment variable through which recorders of one session find it: it holds a SessionRef.
const EnvSession = "STENO_SESSION"

// A Clear is bytes that are to be sealed.
type Clear struct {
	Media payload.Media
	Bytes []byte
}

// An Opening is what a session is opened with. The recorder fills in the event's keys, enrolment, checkpoint and payloads.
type Opening struct {
	Event           entry.SessionOpen
	Principal       *Clear // sealed as directory, as are the next two
	OnBehalfOf      *Clear
	Purpose         *Clear
	ModelParameters *Clear // sealed as content
}

// A Joining is what a track is opened with in somebody's session. The recorder fills in keys, enrolment, checkpoint, main
// and payloads.
type Joining struct {
	Track           string
	Event           entry.TrackOpen
	ModelParameters *Clear
}

// A SessionRef names a session and the hash of the text of its first entry, which binds other tracks to it. It is written
// as the session's id, @ and the hash in base64url; without the hash the log is asked for it.
type SessionRef struct {
	Session string
	First   entry.Hash // zero if it is not known
}

func (s SessionRef) String() string {
	if s.First.IsZero() {
		return s.Session
	}
	return s.Session + "@" + base64.RawURLEncoding.EncodeToString(s.First[:])
}

// ParseSessionRef reads what String writes.
func ParseSessionRef(s string) (SessionRef, error) {
	id, hash, ok := strings.Cut(s, "@")
	ref := SessionRef{Session: id}
	if err := entry.CheckSession(id); err != nil {
		return ref, fmt.Errorf("session: %w", err)
	}
	if !ok {
		return ref, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(hash)
	if err != nil || len(b) != len(ref.First) {
		return ref, errors.New("session: what follows @ is not a hash in base64url")
	}
	ref.First = entry.Hash(b)
	return ref, nil
}

// Open opens a session: when it returns without error, session.open is durable in the log. On ErrPending the track is
// returned too, and can be used by a caller who chose to record on while the log is away.
func (r *Recorder) Open(ctx context.Context, o Opening) (*Track, error) {
	id, err := uuid.NewV7FromReader(r.cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("naming a session: %w", err)
	}
	state := trackState{Origin: r.cfg.Trust.Origin, Session: id.String(), Track: entry.MainTrack,
		Recorder: r.cfg.Signer.Name(), HeartbeatS: o.Event.HeartbeatS}
	return r.begin(ctx, state, func(head recorderPart) recorder.Event {
		return recorder.Event{Type: entry.TypeSessionOpen, Build: func(seal recorder.Seal) (any, error) {
			ev := o.Event
			if err := head.fill(&ev.Recorder, seal, o.ModelParameters); err != nil {
				return nil, err
			}
			for _, p := range []struct {
				slot string
				in   *Clear
				out  **entry.Payload
			}{{"principal", o.Principal, &ev.Principal}, {"on_behalf_of", o.OnBehalfOf, &ev.OnBehalfOf}, {"purpose", o.Purpose, &ev.Purpose}} {
				if err := sealInto(seal, p.slot, payload.Directory, p.in, p.out); err != nil {
					return nil, err
				}
			}
			return ev, nil
		}}
	})
}

// Join opens a track in a session that another recorder opened, as Open does.
func (r *Recorder) Join(ctx context.Context, ref SessionRef, j Joining) (*Track, error) {
	if err := errors.Join(entry.CheckSession(ref.Session), entry.CheckTrack(j.Track)); err != nil {
		return nil, fmt.Errorf("joining a session: %w", err)
	}
	if j.Track == entry.MainTrack || j.Track == entry.SystemTrack {
		return nil, fmt.Errorf("joining a session: track %s is not to be joined", j.Track)
	}
	if ref.First.IsZero() {
		head, _, err := r.head(ctx, ref.Session)
		if err != nil {
			return nil, fmt.Errorf("joining a session: %w", err)
		}
		if head.First.IsZero() {
			return nil, errors.New("joining a session: the server does not tell the hash of its first entry; name it as SESSION@HASH")
		}
		ref.First = head.First
	}
	state := trackState{Origin: r.cfg.Trust.Origin, Session: ref.Session, Track: j.Track, Recorder: r.cfg.Signer.Name()}
	return r.begin(ctx, state, func(head recorderPart) recorder.Event {
		return recorder.Event{Type: entry.TypeTrackOpen, Build: func(seal recorder.Seal) (any, error) {
			ev := j.Event
			ev.Main = ref.First
			return ev, head.fill(&ev.Recorder, seal, j.ModelParameters)
		}}
	})
}

// recorderPart is what a recorder says of itself when it opens a track.
type recorderPart struct {
	keys                  []entry.UnitKey
	enrolment, checkpoint entry.Text
}

func (p recorderPart) fill(r *entry.Recorder, seal recorder.Seal, parameters *Clear) error {
	r.Keys, r.Enrolment, r.Checkpoint = p.keys, p.enrolment, p.checkpoint
	if parameters == nil {
		return nil
	}
	if r.Model == nil {
		return errors.New("parameters of a model that is not named")
	}
	m := *r.Model // the caller's: an event may be built more than once
	r.Model = &m
	return sealInto(seal, "model/parameters", payload.Content, parameters, &m.Parameters)
}

func sealInto(seal recorder.Seal, slot string, class payload.Class, in *Clear, out **entry.Payload) error {
	if in == nil {
		return nil
	}
	p, err := seal(slot, in.Media, class, in.Bytes)
	*out = p
	return err
}

// begin makes a track, spools its first entry and waits until that is durable.
func (r *Recorder) begin(ctx context.Context, state trackState, open func(recorderPart) recorder.Event) (*Track, error) {
	if err := r.ok(); err != nil {
		return nil, err
	}
	keys, commitments, wraps, err := r.newKeys(state.Session, state.Track)
	if err != nil {
		return nil, err
	}
	part := recorderPart{keys: commitments, enrolment: entry.Text(r.cfg.Enrolment), checkpoint: r.refresh(ctx)}
	if err := r.ok(); err != nil { // it may have shown another history just now
		return nil, err
	}
	t, err := r.newOpenTrack(state, keys)
	if err != nil {
		return nil, err
	}
	<-t.write
	err = t.room(false)
	if err == nil {
		err = t.writeEvents([]recorder.Event{open(part)}, wraps)
	}
	t.write <- struct{}{}
	if err != nil {
		r.forget(t)
		t.end(err)
		return nil, errors.Join(err, t.spool.drop(0, true))
	}
	r.work.Go(t.send)
	r.work.Go(t.roll)
	if err = t.acked(ctx, Span{0, 1}); err != nil && !errors.Is(err, ErrPending) {
		return nil, errors.Join(err, r.abandon(t))
	}
	return t, err
}

// newOpenTrack makes the spool of a new track and takes it among the recorder's.
func (r *Recorder) newOpenTrack(state trackState, keys payload.Keys) (*Track, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.tracks[state.Session+"/"+state.Track]; ok {
		return nil, fmt.Errorf("track %s/%s is in the spool: resume it", state.Session, state.Track)
	}
	spool, err := createTrackSpool(r.dir, state)
	if err != nil {
		return nil, err
	}
	t := newTrack(r, state, spool)
	t.keys = keys
	if t.builder, err = t.newBuilder(keys); err != nil {
		return nil, errors.Join(err, spool.drop(0, true))
	}
	r.tracks[t.id()] = t
	return t, nil
}

// abandon removes the spool of a track whose opening was refused, if nothing else was recorded on it.
func (r *Recorder) abandon(t *Track) error {
	t.mu.Lock()
	var refused *RefusedError
	alone := errors.As(t.failed, &refused) && len(t.items) == 1 && t.state.Acked == 0
	t.mu.Unlock()
	if !alone {
		return nil
	}
	r.forget(t)
	return t.spool.drop(0, true)
}

// newKeys draws a unit key for every class that has recipients, and wraps it.
func (r *Recorder) newKeys(session, track string) (payload.Keys, []entry.UnitKey, []wire.Wrap, error) {
	all, err := payload.NewKeys(r.cfg.Rand)
	if err != nil {
		return nil, nil, nil, err
	}
	keys := make(payload.Keys)
	commitments := []entry.UnitKey{}
	var wraps []wire.Wrap
	for _, class := range payload.Classes() {
		to := r.cfg.Recipients[class]
		if len(to) == 0 {
			continue
		}
		key := all[class]
		where := payload.WrapPlace{Origin: r.cfg.Trust.Origin, Session: session, Track: track, Class: class}
		file, err := payload.Wrap(key, where, to...)
		if err != nil {
			return nil, nil, nil, err
		}
		c := entry.Hash(key.Commitment())
		keys[class] = key
		commitments = append(commitments, entry.UnitKey{Class: entry.ID(class.String()), Commitment: c})
		wraps = append(wraps, wire.Wrap{Key: c, File: file})
	}
	return keys, commitments, wraps, nil
}

// Resume goes on with a track that an earlier process left in the spool. Its keys are gone, so the first event is a
// session.roll that commits to new ones. It returns as Open does.
func (r *Recorder) Resume(ctx context.Context, session, track string) (*Track, error) {
	if err := r.ok(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	t := r.tracks[session+"/"+track]
	r.mu.Unlock()
	if t == nil {
		return nil, fmt.Errorf("resuming %s/%s: the spool does not have it", session, track)
	}
	keys, commitments, wraps, err := r.newKeys(session, track)
	if err != nil {
		return nil, err
	}
	roll := entry.SessionRoll{Why: "restart", Keys: commitments, Checkpoint: r.refresh(ctx)}
	if err := r.ok(); err != nil {
		return nil, err
	}
	span, err := t.resume(keys, wraps, recorder.Plain(entry.TypeSessionRoll, roll))
	if err != nil {
		return nil, fmt.Errorf("resuming %s/%s: %w", session, track, err)
	}
	r.work.Go(t.roll)
	return t, t.acked(ctx, span)
}

func (t *Track) resume(keys payload.Keys, wraps []wire.Wrap, roll recorder.Event) (Span, error) {
	<-t.write
	defer func() { t.write <- struct{}{} }()
	t.mu.Lock()
	var err error
	switch {
	case t.failed != nil:
		err = t.failed
	case t.closing || t.left:
		err = ErrClosed
	case t.builder != nil:
		err = errors.New("it is in use")
	case t.state.Next == 0:
		err = errors.New("its opening was not written")
	default:
		t.keys = keys
		t.builder, err = t.newBuilder(keys)
	}
	next := t.state.Next
	t.mu.Unlock()
	if err != nil {
		return Span{}, err
	}
	if err := t.writeEvents([]recorder.Event{roll}, wraps); err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.builder, t.keys = nil, nil
		return Span{}, err
	}
	return Span{next, next + 1}, nil
}
