package log

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/storage"
)

const (
	maxAnswer     = 16 << 10 // bytes of signature lines from one cosigner
	maxLines      = 8        // likewise, lines: an operator's keys of two kinds, old and new, and as many again
	minShare      = 4 << 10  // bytes of a note that a cosigner can have in any case: an ML-DSA-44 line and an Ed25519 line
	minShareLines = 2        // likewise
	maxSignatures = 100      // under a note, beyond which golang.org/x/mod does not read it
	maxErrorText  = 256      // bytes of a cosigner's error that health shows

	claimEvery = 10 * time.Minute // between two alarms over claims of one cosigner
)

type cosignerState struct {
	busy     bool
	asked    time.Time // when the request that is under way, or was last, began
	failures int
	failed   time.Time // the last time
	since    time.Time // the first time without a success since
	err      string
	size     uint64    // cosigned
	alarmed  time.Time // over a claim
}

type cosigned struct {
	cosigner int
	round    *round
	lines    []byte
	err      error
}

// aim chooses the round that cosigners are asked for: the latest, unless one of them is under way while another waits for its
// quorum. If each, whenever it is free, went on to the latest, those that are slower than the interval could answer for ever,
// and never two of them for the same.
func (p *publisher) aim() {
	now := time.Now()
	busy := slices.ContainsFunc(p.cosigners, func(s cosignerState) bool { return s.busy })
	if p.target == nil || p.target.done || !busy || now.Sub(p.aimed) >= 2*cosignTimeout {
		p.target, p.aimed = p.round, now
	}
}

// ask sends the round to every cosigner that is free and has not answered it.
func (p *publisher) ask() {
	p.aim()
	now := time.Now()
	for i, c := range p.l.config.Cosigners {
		s := &p.cosigners[i]
		if s.busy || p.target.answered[i] || now.Before(s.failed.Add(p.pause(s))) {
			continue
		}
		s.busy, s.asked = true, now
		r := p.target
		p.l.workers.Add(1)
		go func() {
			defer p.l.workers.Done()
			lines, err := p.l.cosign(c, r)
			p.answers <- cosigned{i, r, lines, err}
		}()
	}
}

// pause is how long a cosigner is left alone after it failed: not so long while it could be the one that is missing.
func (p *publisher) pause(s *cosignerState) time.Duration {
	switch {
	case s.failures == 0:
		return 0
	case p.lost:
		return min(backoff(p.l.config.Interval, s.failures-1), lostBackoff)
	}
	return min(backoff(p.l.config.Interval, s.failures-1), maxBackoff)
}

func (l *Log) cosign(c Cosigner, r *round) ([]byte, error) {
	ctx, cancel := context.WithTimeout(l.run, cosignTimeout)
	defer cancel()
	return c.Cosign(ctx, CosignRequest{
		Size: r.Size, Note: bytes.Clone(r.signed),
		Consistency: func(ctx context.Context, from uint64) ([]storage.Hash, error) {
			_, proof, err := l.consistency(ctx, from, r.treeHead)
			return proof, err
		},
	})
}

func (p *publisher) answer(a cosigned) {
	if p.l.stopReason() != nil { // it may have come together with the reason to stop
		return
	}
	s := &p.cosigners[a.cosigner]
	s.busy = false
	err := a.err
	if err == nil {
		err = p.add(a)
	}
	if err != nil {
		p.failed(a, err)
	} else {
		s.failures, s.failed, s.since, s.err = 0, time.Time{}, time.Time{}, ""
		s.size = max(s.size, a.round.Size)
		a.round.answered[a.cosigner] = true
		if a.round == p.round {
			p.l.announce(a.round)
		}
		p.publish(a.round)
		if a.round != p.round { // it answered for an older one; let it go on with the present one
			p.ask()
		}
	}
	p.report()
}

// add puts a cosigner's lines under the note of their round.
func (p *publisher) add(a cosigned) error {
	c := &p.l.config
	n := len(c.Cosigners)
	share := room{
		bytes: min(checkpoint.MaxNote-len(a.round.note), max((checkpoint.MaxNote-len(a.round.signed))/n, minShare)),
		lines: max((maxSignatures-maxSigners)/n, minShareLines),
	}
	merged, err := merge(a.round.note, a.lines, c.Origin, share)
	if err != nil {
		return err
	}
	// A line can spoil a note for readers who reject all of it for one signature that does not verify.
	if c.Quorum != nil && c.Quorum(a.round.note) && !c.Quorum(merged) {
		return errors.New("with its cosignature the note lacks the quorum that it has without")
	}
	a.round.note = merged
	return nil
}

// failed keeps that a cosigner did not answer, or not with what can be used.
func (p *publisher) failed(a cosigned, err error) {
	s, name := &p.cosigners[a.cosigner], p.l.config.Cosigners[a.cosigner].Name()
	s.failed = time.Now()
	s.failures++
	if s.since.IsZero() {
		s.since = s.asked
	}
	s.err = err.Error()
	p.l.metrics.errors.WithLabelValues("cosign").Inc()
	p.l.config.Logger.Warn("cosigner did not answer", "origin", p.l.config.Origin, "cosigner", name,
		"size", a.round.Size, "failures", s.failures, "error", err)
	var ahead *AheadError
	if errors.As(err, &ahead) {
		p.ahead(s, name, ahead)
	}
}

// ahead looks at more of this log than it asked to be cosigned. What bears its signature and is not known to it says that
// the log was rolled back, or that somebody else signs for it. What does not is somebody's word.
func (p *publisher) ahead(s *cosignerState, name string, a *AheadError) {
	l := p.l
	if _, err := l.guarded.keys.open(a.Note); err == nil && l.guarded.binds(a.Note) {
		err := l.guarded.confront(l.run, [][]byte{a.Note}, l.config.Logger)
		if contradicted(err) {
			l.stop(err)
		} else if err != nil {
			l.config.Logger.Error("cannot compare a checkpoint that a cosigner shows", "origin", l.config.Origin, "cosigner", name, "error", err)
		}
		return
	}
	if a.Size <= l.guarded.last.Size { // it can have heard of what was signed since it was asked
		return
	}
	l.metrics.claims.WithLabelValues(name).Inc()
	if !s.alarmed.IsZero() && time.Since(s.alarmed) < claimEvery {
		return
	}
	s.alarmed = time.Now()
	l.config.Logger.Error("a cosigner claims to have seen more of this log than it signed, and does not show it", "origin", l.config.Origin,
		"cosigner", name, "claimed", a.Size, "signed", l.guarded.last.Size)
	l.config.Alarm(Alarm{Kind: AlarmCosignerAhead, Cosigner: name, Size: a.Size})
}

// report tells health and metrics how cosigners answer. One that does not even return when its time is over fails too.
func (p *publisher) report() {
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range p.cosigners {
		s, h := &p.cosigners[i], &l.cosigners[i]
		if s.busy && s.since.IsZero() && time.Since(s.asked) > cosignTimeout {
			s.since, s.err = s.asked, "no answer in "+cosignTimeout.String()
		}
		h.Answered = p.round == nil || p.round.answered[i]
		h.Size, h.Since, h.Error = s.size, s.since, s.err
		if len(h.Error) > maxErrorText {
			h.Error = strings.ToValidUTF8(h.Error[:maxErrorText], "")
		}
		up := 0.0
		if s.since.IsZero() {
			up = 1
		}
		l.metrics.up.WithLabelValues(h.Name).Set(up)
	}
}

// room is what a cosigner may add to a note, so that none can take the place of the others.
type room struct{ bytes, lines int }

// merge adds signature lines to a note, one per key, as long as there is room. They were verified by the cosigner; here they
// must be signatures in form, so that nothing else gets into the note, and no signature in the log's own name.
func merge(msg, lines []byte, origin string, share room) ([]byte, error) {
	if len(lines) > maxAnswer {
		return nil, fmt.Errorf("cosignature has %d bytes, the most is %d", len(lines), maxAnswer)
	}
	if len(lines) == 0 || !bytes.HasSuffix(lines, []byte("\n")) {
		return nil, errors.New("cosignature has no whole line")
	}
	if n := bytes.Count(lines, []byte("\n")); n > maxLines {
		return nil, fmt.Errorf("cosignature has %d lines, the most is %d", n, maxLines)
	}
	_, sigs, ok := bytes.Cut(msg, []byte("\n\n"))
	if !ok {
		return nil, errors.New("the log's own note has no signature")
	}
	have := make(map[sigKey]bool)
	for line := range bytes.Lines(sigs) {
		key, err := signatureKey(line)
		if err != nil {
			return nil, fmt.Errorf("the log's own note: %w", err)
		}
		have[key] = true
	}
	merged := bytes.Clone(msg)
	fresh, added := 0, 0
	for line := range bytes.Lines(lines) {
		key, err := signatureKey(line)
		if err != nil {
			return nil, fmt.Errorf("adding a cosignature: %w", err)
		}
		if key.name == origin {
			return nil, fmt.Errorf("a cosignature bears the log's own name, %q", origin)
		}
		if have[key] {
			continue
		}
		fresh++
		if len(line) > share.bytes || added == share.lines || len(have) == maxSignatures {
			continue
		}
		have[key] = true
		share.bytes -= len(line)
		added++
		merged = append(merged, line...)
	}
	if fresh > 0 && added == 0 {
		return nil, fmt.Errorf("there is no room for its %d signatures under the note", fresh)
	}
	return merged, nil
}

// sigKey names the key of a signature line.
type sigKey struct {
	name string
	id   [4]byte
}

// signatureKey reads a line "— name base64\n" in its one spelling: readers that are stricter than others must not refuse a
// published note for one line of it.
func signatureKey(line []byte) (sigKey, error) {
	rest, prefixed := strings.CutPrefix(string(line), "— ")
	rest, whole := strings.CutSuffix(rest, "\n")
	name, b64, two := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.DecodeString(b64)
	// SPEC: signed-note: em dash, space, key name, space, base64-encoded signature, newline; 4+n bytes.
	if !prefixed || !whole || !two || err != nil || len(raw) <= 4 || base64.StdEncoding.EncodeToString(raw) != b64 {
		return sigKey{}, errors.New("a line is not a signature")
	}
	// SPEC: signed-note: key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus characters; notes MUST be
	// valid UTF-8 and MUST NOT contain any ASCII control characters other than newline.
	if err := checkpoint.CheckName(name); err != nil {
		return sigKey{}, fmt.Errorf("a signature line: %w", err)
	}
	return sigKey{name, [4]byte(raw)}, nil
}
