package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/trust"
)

const (
	proveTimeout = time.Minute
	proveEvery   = 500 * time.Millisecond
)

// readSession reads a session and the checkpoint that covers all of its entries, which takes a moment after the last: the
// published one or, where that is enough, one that only the log has signed. Every read of entries stands in the log for
// good, so that it waits by looking at checkpoints alone.
func readSession(ctx context.Context, r *reader, id string, pending bool) (*client.SessionRecord, trust.Checkpoint, error) {
	wait, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	for {
		rec, err := r.Read(ctx, id)
		if err != nil {
			return nil, trust.Checkpoint{}, fmt.Errorf("reading session %s: %w", id, err)
		}
		size := coveredFrom(rec)
		if rec.Checkpoint.Size >= size {
			return rec, rec.Checkpoint, nil
		}
		if pending {
			cp, err := covering(wait, r.Signed, size)
			if err != nil {
				return nil, cp, fmt.Errorf("reading session %s: the log has not signed a checkpoint over all of it: %w", id, err)
			}
			return rec, cp, nil
		}
		// The record is checked under the checkpoint that comes, by reading it once more.
		if cp, err := covering(wait, r.Checkpoint, size); err != nil {
			err = fmt.Errorf("reading session %s: the log has published no checkpoint over all of it: %w", id, err)
			return nil, cp, hint(err, "the quorum of witnesses may be missing: --pending takes the checkpoint that only the log has signed")
		}
	}
}

// coveredFrom is the size of the smallest tree that has all of a session's entries.
func coveredFrom(rec *client.SessionRecord) (size uint64) {
	for _, t := range rec.Tracks {
		size = max(size, t.Entries[len(t.Entries)-1].Index+1)
	}
	return size
}

// covering waits for a checkpoint of a size.
func covering(ctx context.Context, next func(context.Context) (trust.Checkpoint, error), size uint64) (trust.Checkpoint, error) {
	for {
		cp, err := next(ctx)
		if err != nil || cp.Size >= size {
			return cp, err
		}
		select {
		case <-ctx.Done():
			return cp, errors.New("it is too late")
		case <-time.After(proveEvery):
		}
	}
}
