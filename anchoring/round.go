package anchoring

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
	"github.com/stenolog/steno/trust"
)

const (
	maxInline   = 4096 // characters of a token in its event; a longer one is a public blob
	maxLongTerm = 16   // public blobs of an event
	segment     = "anchors"

	kindCheckpoint = "checkpoint"
	kindToken      = "rfc3161-token"
)

// alertLate is raised about an authority that has owed a token for longer than a period.
const alertLate = "authority-late"

// step begins the round that is due, asks who owes a token, and complains of who has owed one for too long, and of what ends soon.
func (a *Anchoring) step(now time.Time) {
	s := a.recording.AnchorState()
	size, note := a.log.Checkpoint()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recorded = s.Recorded
	if a.target == 0 && a.roundDue(s, now) {
		a.target = s.Recorded
	}
	// What came last is stamped too: the round waits until a checkpoint that covers it is published.
	if a.target > 0 && size >= a.target {
		a.begin(round{a.round.n + 1, size, note, now})
	}
	for _, x := range a.authorities {
		a.look(x, size, now)
		if x.owes && !x.busy && !now.Before(x.next) && note != nil {
			r := a.round
			if r.note == nil || x.once {
				r.size, r.note = size, note
			}
			x.busy = true
			a.workers.Go(func() { a.ask(x, r) })
		}
		if a.late(x, now) && (x.alerted.IsZero() || now.Sub(x.alerted) >= max(alertEvery, a.c.Every) && x.alerted.Before(x.since)) {
			x.alerted = now
			a.workers.Go(func() {
				a.alert(alertLate, "warning", "a time-stamp authority is late", "authority", x.Pinned.Name)
			})
		}
	}
	a.warn(now)
}

// roundDue tells whether there is something to be stamped, and now is the time. Never is a checkpoint stamped because of the log's
// own events: each anchor is one, and would be the reason of the next.
func (a *Anchoring) roundDue(s recording.AnchorState, now time.Time) bool {
	if s.Recorded <= a.round.size || len(a.authorities) == 0 {
		return false
	}
	since := now.Sub(a.round.begun)
	return a.demanded || since >= a.c.Every || s.Urgent > a.round.size && since >= min(soonest, a.c.Every)
}

// begin is called under mu.
func (a *Anchoring) begin(r round) {
	a.round, a.target, a.demanded = r, 0, false
	for _, x := range a.authorities {
		if !x.owes {
			x.owes, x.since = true, r.begun
		}
		x.once = false
	}
	a.metrics.rounds.Inc()
	a.tell()
}

// tell wakes who waits. It is called under mu.
func (a *Anchoring) tell() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// late tells whether an authority has missed its round by a period. It is called under mu.
func (a *Anchoring) late(x *authority, now time.Time) bool {
	return x.owes && now.Sub(x.since) > a.c.Every
}

// alert says something in the server's log, and writes an alert into the log.
func (a *Anchoring) alert(kind, severity entry.ID, says, key string, value any) {
	a.c.Logger.Error(says, key, value)
	ctx, cancel := context.WithTimeout(a.run, askTimeout)
	defer cancel()
	if err := a.recording.Alert(ctx, entry.Alert{Alert: kind, Severity: severity}); err != nil && a.run.Err() == nil {
		a.c.Logger.Warn("an alert is not recorded", "alert", kind, key, value, "error", err)
	}
}

// ask has a round's checkpoint stamped by one authority, and takes in what came of it.
func (a *Anchoring) ask(x *authority, r round) {
	ctx, cancel := context.WithTimeout(a.run, askTimeout)
	defer cancel()
	token, at, err := a.anchor(ctx, x, r)
	if a.run.Err() != nil && err != nil {
		return // it is asked again after the restart
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.poke()
	defer a.tell()
	x.busy, x.tried = false, r.n
	x.attempts++
	name := x.Pinned.Name
	if err != nil {
		x.failures, x.reason = x.failures+1, reasonOf(err)
		x.next = time.Now().Add(a.backoff(x.failures))
		a.metrics.failures.WithLabelValues(name).Inc()
		a.c.Logger.Warn("a time-stamp authority did not anchor a checkpoint", "authority", name, "size", r.size, "reason", x.reason, "again", x.next, "error", err)
		return
	}
	x.failures, x.reason, x.next = 0, "", time.Time{}
	x.last, x.stamped, x.once = at, token.Time, false
	if x.owes = r.n < a.round.n; x.owes { // another round began meanwhile
		x.since = a.round.begun
	}
	a.metrics.tokens.WithLabelValues(name).Inc()
	a.metrics.offset.WithLabelValues(name).Set(token.Time.Sub(at.Received.Time()).Seconds())
	a.c.Logger.Info("checkpoint anchored", "authority", name, "size", r.size, "time", token.Time, "index", at.Index)
}

func (a *Anchoring) backoff(failures int) time.Duration {
	return min(firstRetry<<min(failures-1, 10), maxRetry, a.c.Every)
}

// A failure is a step that failed, by the word under which it is shown.
type failure struct {
	reason string
	err    error
}

func (f *failure) Error() string { return f.reason + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// anchor asks, verifies, stores and records, in this order.
func (a *Anchoring) anchor(ctx context.Context, x *authority, r round) (t timestamp.Token, at recording.Anchored, err error) {
	digest := sha256.Sum256(r.note)
	der, longTerm, err := x.Asker.Ask(ctx, digest)
	if err != nil {
		return t, at, fmt.Errorf("asking: %w", err)
	}
	// Nothing that a verifier would refuse gets into the log.
	if t, err = timestamp.Verify(der, digest, x.Pinned); err != nil {
		return t, at, err
	}
	if err := a.inOrder(ctx, t, r); err != nil {
		return t, at, err
	}
	if len(longTerm) > maxLongTerm-1 {
		a.c.Logger.Warn("an authority has more long-term data than an anchor event names", "authority", x.Pinned.Name, "blobs", len(longTerm))
		longTerm = longTerm[:maxLongTerm-1]
	}
	v := entry.Anchor{Authority: entry.ID(x.Pinned.Name), Size: r.size, Checkpoint: digest}
	blobs := []storage.Blob{public(&v.LongTerm, ask.Blob{Kind: kindCheckpoint, Bytes: r.note})}
	for _, b := range longTerm {
		blobs = append(blobs, public(&v.LongTerm, b))
	}
	if text := base64.StdEncoding.EncodeToString(der); len(text) <= maxInline {
		v.Token = entry.Text(text)
	} else {
		var named []entry.PublicBlob
		blobs = append(blobs, public(&named, ask.Blob{Kind: kindToken, Bytes: der}))
		v.TokenBlob = &named[0]
	}
	// Blobs first: an event never names what a crash could have lost.
	ctx = context.WithoutCancel(ctx)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	if err := a.blobs.Put(ctx, storage.Segment{Class: segment, Day: day}, blobs); err != nil {
		return t, at, &failure{"not-stored", err}
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	if covers, ok := a.recording.Renews(x.Pinned.Name, r.size); ok {
		v.Covers = &covers
	}
	if at, err = a.recording.Anchor(ctx, v); err != nil {
		return t, at, &failure{"not-recorded", err}
	}
	a.tokens.put(t.SHA256, t)
	return t, at, nil
}

// inOrder refuses a token that is earlier than one which its checkpoint covers, or than the cosignatures in the checkpoint. One of the
// clocks is wrong, and both words in one log would spoil whatever holds them, for good. The earlier one is there already; the token comes to
// fit as time passes.
func (a *Anchoring) inOrder(ctx context.Context, t timestamp.Token, r round) error {
	if a.c.Cosigned != nil {
		if at, ok := a.c.Cosigned(r.note); ok && at.After(t.NotAfter().Add(trust.ClockTolerance)) {
			return &failure{"order", fmt.Errorf("it says %s, and the witnesses had cosigned the checkpoint by %s", t.Time.Format(time.RFC3339), at.UTC().Format(time.RFC3339))}
		}
	}
	before, _ := a.recording.Around(r.size)
	for _, x := range before {
		earlier, err := a.token(ctx, x)
		if err != nil { // of an authority that is pinned no more, say; what was lost must not end all time stamps
			a.c.Logger.Warn("an anchor is not held against a new token", "authority", x.Authority, "index", x.Index, "error", err)
			continue
		}
		if earlier.NotBefore().After(t.NotAfter()) {
			return &failure{"order", fmt.Errorf("it says %s, and the anchor at %d, which it covers, %s by %s", t.Time.Format(time.RFC3339),
				x.Index, earlier.Time.Format(time.RFC3339), x.Authority)}
		}
	}
	return nil
}

// public makes a public blob, and adds how an event names it.
func public(names *[]entry.PublicBlob, b ask.Blob) storage.Blob {
	ref := storage.Ref{SHA256: sha256.Sum256(b.Bytes), Size: int64(len(b.Bytes))}
	*names = append(*names, entry.PublicBlob{Kind: entry.ID(b.Kind), SHA256: ref.SHA256, Size: uint64(ref.Size)})
	return storage.Blob{Ref: ref, Bytes: b.Bytes}
}

// reasonOf is the word for an error: of a token's refusal its reason, which timestamp.md has, else one of anchors.md.
func reasonOf(err error) string {
	var own *failure
	var refused *timestamp.Error
	var sent *url.Error
	switch {
	case errors.As(err, &own):
		return own.reason
	case errors.As(err, &refused):
		return string(refused.Reason)
	case errors.Is(err, ask.ErrClock):
		return "clock"
	case errors.As(err, &sent) && sent.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &sent):
		return "unreachable"
	}
	return "bad-answer"
}
