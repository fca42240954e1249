package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

const (
	proveTimeout = time.Minute
	proveEvery   = 500 * time.Millisecond
)

// readSession reads a session, all of it proven: see waiting.
func readSession(ctx context.Context, r *reader, id string, pending bool) (*client.SessionRecord, error) {
	rec := &client.SessionRecord{Session: id}
	tracks := map[string][]client.Recorded{}
	var err error
	rec.Summary, err = r.ReadStream(ctx, id, r.waiting(pending), func(x client.Recorded) error {
		if x.Entry.Track == entry.SystemTrack {
			rec.Mentions = append(rec.Mentions, x)
		} else {
			tracks[x.Entry.Track] = append(tracks[x.Entry.Track], x)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading session %s: %w", id, err)
	}
	rec.Checkpoint, rec.Incomplete = rec.Summary.Checkpoint, rec.Summary.Incomplete
	for _, t := range rec.Summary.Tracks {
		rec.Tracks = append(rec.Tracks, client.TrackRecord{Track: t.Track, Entries: tracks[t.Name]})
	}
	return rec, nil
}

// waiting waits for the checkpoint that covers what is read, which takes a moment after the last entry: the published one, which has
// the quorum, or one that only the log has signed, where that is enough. Every read of entries stands in the log for good, so that it
// waits by looking at checkpoints alone.
func (r *reader) waiting(pending bool) client.Covering {
	return func(ctx context.Context, size uint64) (trust.Checkpoint, error) {
		wait, cancel := context.WithTimeout(ctx, proveTimeout)
		defer cancel()
		if pending {
			cp, err := covering(wait, r.Signed, size)
			if err != nil {
				err = fmt.Errorf("the log has signed no checkpoint over all of it: %w", err)
			}
			return cp, err
		}
		cp, err := covering(wait, r.Checkpoint, size)
		if err != nil {
			err = hint(fmt.Errorf("the log has published no checkpoint over all of it: %w", err),
				"the quorum of witnesses may be missing: --pending takes the checkpoint that only the log has signed")
		}
		return cp, err
	}
}

// covering waits for a checkpoint of a size.
func covering(ctx context.Context, next func(context.Context) (trust.Checkpoint, error), size uint64) (trust.Checkpoint, error) {
	for {
		cp, err := next(ctx)
		var p *client.Problem
		if err == nil && cp.Size >= size || err != nil && !(errors.As(err, &p) && p.Code == "not-covered") {
			return cp, err
		}
		select {
		case <-ctx.Done():
			return cp, errors.New("it is too late")
		case <-time.After(proveEvery):
		}
	}
}
