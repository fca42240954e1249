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

func unrecorded(text string) *refusal {
	return &refusal{why: "recording-unavailable", code: codeUnrecorded, text: text}
}

// permit decides whether the calls up to the ticket's go through: INTENT-FIRST, FAIL-CLOSED. Bytes is the size of the calls.
func (r *relay) permit(ctx context.Context, intents *ticket, bytes int64) *refusal {
	if err := intents.wait(); err != nil {
		return unrecorded("the call was not forwarded: it could not be recorded, and the session is stopped")
	}
	wait := r.cfg.DurableTimeout
	if r.mode.active {
		wait = min(wait, outageWait)
	}
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := r.cfg.Recorder.Durable(bounded)
	if err == nil && ctx.Err() == nil {
		if r.mode.active {
			r.mode = failureMode{}
			r.journal.put(0, r.failureMode(Closed))
			r.cfg.Logger.Info("log acknowledges again")
		}
		return nil
	}
	switch {
	case ctx.Err() != nil:
		return unrecorded("the call was not forwarded: the session is ending")
	case errors.Is(err, ErrRefused):
		r.cfg.Logger.Error("log refuses the recording", "error", err.Error())
		return unrecorded("the call was not forwarded: the log refuses the recording")
	case r.cfg.OnFailure == Closed:
		r.cfg.Logger.Warn("call refused: log does not acknowledge", "error", err.Error())
		return unrecorded("the call was not forwarded: the log does not acknowledge its record")
	}
	return r.permitOnSpool(bytes)
}

// permitOnSpool lets calls through while the log is down, within the bounds that were chosen when the session was opened.
// That it happens is on disk before the first of them goes.
func (r *relay) permitOnSpool(bytes int64) *refusal {
	now := r.cfg.Now()
	if !r.mode.active {
		if err := r.journal.put(0, r.failureMode(Spool)).wait(); err != nil {
			return unrecorded("the call was not forwarded: it could not be recorded, and the session is stopped")
		}
		r.mode = failureMode{active: true, since: now}
		r.cfg.Logger.Warn("log does not acknowledge: calls go through on the spool")
	}
	if now.Sub(r.mode.since) > r.cfg.SpoolTime || r.mode.bytes+bytes > r.cfg.SpoolBytes {
		return unrecorded("the call was not forwarded: the log has been away for longer than the spool may bridge")
	}
	r.mode.bytes += bytes
	return nil
}
