package mcp

import (
	"context"
	"errors"
	"time"
)

// failureMode is how calls have been let through on the spool alone.
type failureMode struct {
	active bool
	since  time.Time
	bytes  int64
}

func unrecorded(because string) *refusal {
	return &refusal{why: "recording-unavailable", code: codeUnrecorded, text: "the call was not forwarded: " + because}
}

// permit records the intents of calls and decides whether the calls go through: INTENT-FIRST, FAIL-CLOSED. Kept tells
// whether the intents are on the record.
func (r *relay) permit(ctx context.Context, calls held) (kept bool, bad *refusal) {
	// What the client said before comes before on the track, too.
	if err := r.journal.flush(); err != nil {
		return false, unrecorded("it could not be recorded, and the session is stopped")
	}
	wait := r.cfg.DurableTimeout
	if r.mode.active {
		wait = min(wait, outageWait)
	}
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := r.cfg.Recorder.Record(bounded, calls.events...)
	if err == nil {
		if r.mode.active {
			r.mode = failureMode{}
			r.journal.put(0, r.failureMode(Closed))
			r.cfg.Logger.Info("log acknowledges again")
		}
		return true, nil
	}
	r.cfg.Logger.Warn("log does not acknowledge", "error", err.Error())
	switch {
	case !errors.Is(err, ErrPending):
		return false, unrecorded("it could not be recorded")
	case ctx.Err() != nil:
		return true, unrecorded("the session is ending")
	case r.cfg.OnFailure == Closed:
		return true, unrecorded("the log does not acknowledge its record")
	}
	return true, r.permitOnSpool(calls.bytes)
}

// permitOnSpool lets calls through while the log is down, within the bounds that were chosen when the session was opened.
// That it happens is on disk before the first of them goes.
func (r *relay) permitOnSpool(bytes int64) *refusal {
	now := r.cfg.Now()
	if !r.mode.active {
		if err := r.journal.put(0, r.failureMode(Spool)).wait(); err != nil {
			return unrecorded("it could not be recorded, and the session is stopped")
		}
		r.mode = failureMode{active: true, since: now}
		r.cfg.Logger.Warn("log does not acknowledge: calls go through on the spool")
	}
	if now.Sub(r.mode.since) > r.cfg.SpoolTime || r.mode.bytes+bytes > r.cfg.SpoolBytes {
		return unrecorded("the log has been away for longer than the spool may bridge")
	}
	r.mode.bytes += bytes
	return nil
}
