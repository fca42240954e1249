package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A Closing is what session.close says.
type Closing struct {
	Outcome entry.ID // completed, failed, aborted or unknown
	Reason  *Clear   // sealed as content
	Lost    []string // tracks whose recorder can't be heard
}

const closeAttempts = 8

// CloseSession waits until all that was recorded on track main is durable, asks the log where the other tracks stand, and
// closes the session with their heads; again if one has moved on meanwhile.
func (t *Track) CloseSession(ctx context.Context, c Closing) error {
	if t.name != entry.MainTrack {
		return fmt.Errorf("closing a session: track %s does not open it, so it can't close it", t.name)
	}
	select {
	case <-t.write: // nothing is recorded from here on
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { t.write <- struct{}{} }()
	var last error
	for n := range closeAttempts {
		if n > 0 {
			if err := sleep(ctx, t.r.http.wait(n-1, nil)); err != nil {
				return errors.Join(err, last)
			}
		}
		again, err := t.closeOnce(ctx, c)
		if !again {
			return err
		}
		last = err
	}
	return fmt.Errorf("closing a session: the other tracks moved %d times: %w", closeAttempts, last)
}

// closeOnce writes one session.close. again tells that the server refused it because of the heads it names.
func (t *Track) closeOnce(ctx context.Context, c Closing) (again bool, err error) {
	if err := t.r.ok(); err != nil {
		return false, err
	}
	t.mu.Lock()
	next, builder, failed, closing := t.state.Next, t.builder, t.failed, t.closing
	t.mu.Unlock()
	switch {
	case failed != nil:
		return false, failed
	case closing:
		return false, ErrClosed
	case builder == nil:
		return false, ErrNotResumed
	}
	if err := t.acked(ctx, Span{next, next}); err != nil {
		return false, err
	}
	ends, err := t.others(ctx, c.Lost)
	if err != nil {
		return false, fmt.Errorf("closing a session: %w", err)
	}
	t.mu.Lock()
	t.closing, t.withdrawn = true, nil
	t.mu.Unlock()
	err = t.writeEvents([]recorder.Event{{Type: entry.TypeSessionClose, Build: func(seal recorder.Seal) (any, error) {
		ev := entry.SessionClose{Outcome: c.Outcome, Tracks: ends}
		return ev, sealInto(seal, "reason", payload.Content, c.Reason, &ev.Reason)
	}}}, nil)
	if err != nil {
		t.mu.Lock()
		t.closing = false
		t.mu.Unlock()
		return false, err
	}
	return t.closed(ctx, Span{next, next + 1})
}

// closed waits for the answer to a session.close.
func (t *Track) closed(ctx context.Context, span Span) (again bool, err error) {
	for {
		t.mu.Lock()
		withdrawn, changed := t.withdrawn, t.changed
		acked, failed, lastSend := t.state.Acked, t.failed, t.lastSend
		t.mu.Unlock()
		switch {
		case acked >= span.Next:
			return false, nil
		case withdrawn != nil:
			return true, withdrawn
		case failed != nil:
			return false, failed
		}
		select {
		case <-changed:
		case <-t.r.distrusts:
			return false, t.r.trusted()
		case <-ctx.Done():
			return false, &PendingError{t.session, t.name, span.Seq, ctx.Err(), lastSend}
		}
	}
}

// others are the ends of the session's other tracks, by the server's word, compared with what this recorder knows of them.
func (t *Track) others(ctx context.Context, lost []string) ([]entry.TrackEnd, error) {
	head, raw, err := t.r.head(ctx, t.session)
	if err != nil {
		return nil, err
	}
	ends := []entry.TrackEnd{}
	for _, h := range head.Tracks {
		if err := t.r.compareHead(t.session, h, raw); err != nil {
			return nil, err
		}
		if h.Track != entry.MainTrack {
			ends = append(ends, entry.TrackEnd{Track: entry.ID(h.Track), Next: h.Next, Head: h.Head, Lost: slices.Contains(lost, h.Track)})
		}
	}
	slices.SortFunc(ends, func(a, b entry.TrackEnd) int { return strings.Compare(string(a.Track), string(b.Track)) })
	return ends, nil
}

// compareHead finds a server that is behind what it acknowledged to one of this recorder's own tracks.
func (r *Recorder) compareHead(session string, h wire.TrackHead, raw []byte) error {
	r.mu.Lock()
	t := r.tracks[session+"/"+h.Track]
	r.mu.Unlock()
	if t == nil {
		return nil
	}
	if err := t.behind(h, raw); err != nil {
		return r.distrusted(err)
	}
	return nil
}

// Leave waits until all that was recorded on the track is durable and ends the recorder's part in it. The track itself
// ends with its session.
func (t *Track) Leave(ctx context.Context) error {
	if t.name == entry.MainTrack {
		return errors.New("leaving a track: main is left by closing the session")
	}
	select {
	case <-t.write:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { t.write <- struct{}{} }()
	t.mu.Lock()
	next, failed := t.state.Next, t.failed
	t.mu.Unlock()
	if failed != nil {
		return failed
	}
	if err := t.acked(ctx, Span{next, next}); err != nil {
		return err
	}
	r := record{kindLeft, entry.TimeOf(t.r.cfg.Now()), json.RawMessage("{}")}
	if _, err := t.spool.append(0, r); err != nil {
		return err
	}
	if err := t.spool.sync(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = true
	t.wake()
	return nil
}
