package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
)

// Ref is what other recorders join the session with; for a track other than main it is the session's id alone.
func (t *Track) Ref() SessionRef {
	t.mu.Lock()
	defer t.mu.Unlock()
	ref := SessionRef{Session: t.session}
	if t.name == entry.MainTrack {
		ref.First = t.state.First
	}
	return ref
}

// A SessionHead is where a session's tracks stand, by the server's word.
type SessionHead struct {
	wire.Head
	First entry.Hash `json:"first"` // hash of the text of the session's first entry; zero if the server does not say
}

// Head asks the server where a session's tracks stand.
func (r *Recorder) Head(ctx context.Context, session string) (SessionHead, error) {
	h, _, err := r.head(ctx, session)
	return h, err
}

func (r *Recorder) head(ctx context.Context, session string) (SessionHead, []byte, error) {
	var h SessionHead
	raw, err := r.http.getJSON(ctx, pathFor(wire.PathHead, session), nil, maxAnswer, &h)
	if err != nil {
		return h, raw, err
	}
	if h.Session != session {
		return h, raw, errors.New("the server answered with the head of another session")
	}
	return h, raw, nil
}

// refresh verifies the log's present checkpoint and returns the latest verified one, which may be older if the log can't
// be asked now.
func (r *Recorder) refresh(ctx context.Context) entry.Text {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.RequestTimeout/4)
	defer cancel()
	b, err := r.http.do(ctx, request{method: http.MethodGet, path: "checkpoint", limit: checkpoint.MaxNote})
	if err == nil {
		_, err = r.keeper.see(ctx, b)
	}
	if err != nil {
		r.cfg.Logger.Warn("no newer checkpoint was verified", "err", r.distrusted(err))
	}
	return recorder.Embed(r.keeper.note())
}

// roll renews the session with heartbeats (track main) and records the latest checkpoint every now and then.
func (t *Track) roll() {
	t.mu.Lock()
	beat, rollAt := time.Duration(t.state.HeartbeatS)*time.Second/2, t.r.cfg.RollEvery // half: one may get lost
	t.mu.Unlock()
	next := func(d time.Duration) <-chan time.Time {
		if d <= 0 {
			return nil
		}
		return time.After(d)
	}
	beats, rolls := next(beat), next(rollAt)
	for {
		t.mu.Lock()
		over, changed := t.failed != nil || t.ended || t.left, t.changed
		t.mu.Unlock()
		if over {
			return
		}
		select {
		case <-t.r.ctx.Done():
			return
		case <-t.r.distrusts:
			return
		case <-changed:
		case <-beats:
			if err := t.Heartbeat(t.r.ctx); err != nil {
				t.r.cfg.Logger.Warn("heartbeat failed", "session", t.session, "err", err)
			}
			beats = next(beat)
		case <-rolls:
			t.rollCheckpoint()
			rolls = next(rollAt)
		}
	}
}

func (t *Track) rollCheckpoint() {
	c := t.r.refresh(t.r.ctx)
	if c == "" {
		return
	}
	_, err := t.Spool(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: c}))
	if err != nil && !errors.Is(err, ErrClosed) {
		t.r.cfg.Logger.Warn("the latest checkpoint was not recorded", "session", t.session, "track", t.name, "err", err)
	}
}

// Heartbeat tells the log that the session is alive. A Recorder does it by itself for the sessions that it opened.
func (t *Track) Heartbeat(ctx context.Context) error {
	_, err := t.r.http.do(ctx, request{method: http.MethodPost, path: pathFor(wire.PathHeartbeat, t.session), limit: maxAnswer})
	return err
}
