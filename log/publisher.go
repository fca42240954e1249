package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

const (
	maxCosignature = 16 << 10    // bytes of signature lines from one cosigner
	maxBackoff     = time.Minute // between two requests to a cosigner that fails
)

// A publisher is one goroutine. Cosigners answer to it by a channel, so that nothing here needs a lock, and none of them
// can hold it up. Of a cosigner at most one request is under way: a slow one answers for an older checkpoint, which is
// published, if its quorum is complete by that and nothing larger was published before.
type publisher struct {
	l         *Log
	round     *round // of the latest signed checkpoint
	ready     *round // has its quorum, but could not be archived yet
	cosigners []cosignerState
	answers   chan cosigned // as many as there are cosigners
	stampers  []chan stampJob
}

// A round is a signed checkpoint on its way.
type round struct {
	checkpoint
	signed   []byte // by the log alone
	note     []byte // with the cosignatures so far
	answered map[int]bool
}

type cosignerState struct {
	busy     bool
	failures int
	next     time.Time
}

type cosigned struct {
	cosigner int
	round    *round
	lines    []byte
	err      error
}

type stampJob struct {
	size uint64
	note []byte
}

func newPublisher(l *Log) *publisher {
	p := &publisher{
		l:         l,
		cosigners: make([]cosignerState, len(l.config.Cosigners)),
		answers:   make(chan cosigned, len(l.config.Cosigners)),
	}
	for _, s := range l.config.Stampers {
		jobs := make(chan stampJob, 1)
		p.stampers = append(p.stampers, jobs)
		l.workers.Add(1)
		go l.stamp(s, jobs)
	}
	return p
}

func (p *publisher) loop() {
	defer close(p.l.finished)
	ticker := time.NewTicker(p.l.config.Interval)
	defer ticker.Stop()
	p.step()
	for {
		select {
		case <-ticker.C:
			p.step()
		case a := <-p.answers:
			p.answer(a)
		case <-p.l.finish:
			p.step()
			return
		case <-p.l.stopCh:
			return
		}
	}
}

// step signs what has grown, asks cosigners, and publishes what is complete. It runs at every interval, also when nothing
// has grown: so a guard that is gone or was moved is noticed, and cosigners that failed are asked again.
func (p *publisher) step() {
	l := p.l
	l.mu.Lock()
	head, stopped := l.head, l.stopped
	l.mu.Unlock()
	if stopped != nil {
		return
	}
	msg, err := l.guarded.sign(l.run, head.Size, head.Root)
	p.signed(err)
	if err == nil && (p.round == nil || p.round.Size != head.Size) {
		p.round = p.newRound(head, msg)
	}
	if p.round == nil {
		return
	}
	p.ask()
	p.publish(p.round)
	if p.ready != nil {
		p.publish(p.ready)
	}
}

// signed keeps what became of an attempt to sign. A refusal is for good: it says that what is stored, or what was signed,
// is not what this process knows. So is a guard whose disk failed to sync: nothing that it says later is to be believed.
// Other errors pass.
func (p *publisher) signed(err error) {
	l := p.l
	var refused *RefusedError
	if errors.As(err, &refused) || errors.Is(err, storage.ErrReadOnly) {
		l.stop(err)
	}
	if err != nil {
		l.metrics.errors.WithLabelValues("sign").Inc()
		l.config.Logger.Error("cannot sign a checkpoint", "origin", l.config.Origin, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guardErr, l.publishErr = l.guarded.guardErr, err
}

func (p *publisher) newRound(c checkpoint, msg []byte) *round {
	r := &round{checkpoint: c, signed: msg, note: msg, answered: make(map[int]bool)}
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	if p.l.shownNote != nil && p.l.shown == c { // after a restart: the archived note has cosignatures already
		r.note = p.l.shownNote
	}
	for i := range p.cosigners {
		p.cosigners[i].next = time.Time{}
	}
	return r
}

// ask sends the present round to every cosigner that is free and has not answered it.
func (p *publisher) ask() {
	now := time.Now()
	for i, c := range p.l.config.Cosigners {
		s := &p.cosigners[i]
		if s.busy || p.round.answered[i] || now.Before(s.next) {
			continue
		}
		s.busy = true
		r := p.round
		p.l.workers.Add(1)
		go func() {
			defer p.l.workers.Done()
			lines, err := p.l.cosign(c, r)
			p.answers <- cosigned{i, r, lines, err}
		}()
	}
}

func (l *Log) cosign(c Cosigner, r *round) ([]byte, error) {
	ctx, cancel := context.WithTimeout(l.run, cosignTimeout)
	defer cancel()
	return c.Cosign(ctx, CosignRequest{
		Size: r.Size, Note: bytes.Clone(r.signed),
		Consistency: func(ctx context.Context, from uint64) ([]storage.Hash, error) {
			_, proof, err := l.consistency(ctx, from, r.checkpoint)
			return proof, err
		},
	})
}

func (p *publisher) answer(a cosigned) {
	s := &p.cosigners[a.cosigner]
	s.busy = false
	err := a.err
	if err == nil {
		var merged []byte
		if merged, err = merge(a.round.note, a.lines, p.l.config.Verifier); err == nil {
			s.failures = 0
			a.round.answered[a.cosigner] = true
			a.round.note = merged
			p.publish(a.round)
			if a.round != p.round { // it answered for an older one; let it go on with the present one
				p.ask()
			}
			return
		}
	}
	s.next = time.Now().Add(min(p.l.config.Interval<<min(s.failures, 10), maxBackoff))
	s.failures++
	p.l.metrics.errors.WithLabelValues("cosign").Inc()
	p.l.config.Logger.Warn("cosigner did not answer", "origin", p.l.config.Origin, "cosigner", a.cosigner,
		"size", a.round.Size, "failures", s.failures, "error", err)
}

// merge adds signature lines to a note, one per key. They were verified by the cosigner; here they must be signatures in
// form, so that nothing else gets into the note.
func merge(msg, lines []byte, v note.Verifier) ([]byte, error) {
	if len(lines) > maxCosignature {
		return nil, fmt.Errorf("cosignature has %d bytes, the most is %d", len(lines), maxCosignature)
	}
	if len(lines) == 0 || !bytes.HasSuffix(lines, []byte("\n")) || bytes.Contains(lines, []byte("\n\n")) {
		return nil, errors.New("cosignature has no whole line")
	}
	n, err := note.Open(append(bytes.Clone(msg), lines...), note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("adding a cosignature: %w", err)
	}
	type key struct {
		name string
		hash uint32
	}
	have := make(map[key]bool)
	kept := n.UnverifiedSigs[:0]
	for _, s := range n.UnverifiedSigs {
		if k := (key{s.Name, s.Hash}); !have[k] {
			have[k] = true
			kept = append(kept, s)
		}
	}
	n.UnverifiedSigs = kept
	merged, err := note.Sign(n)
	if err != nil {
		return nil, fmt.Errorf("adding a cosignature: %w", err)
	}
	return merged, nil
}

// publish makes a round visible if policy allows it and it is news.
//
// The order is: archive, then show. What was visible for a moment can be relied upon by somebody, and must be found again
// after a crash.
func (p *publisher) publish(r *round) {
	l := p.l
	l.mu.Lock()
	shown, known := l.shown, l.shownNote
	l.mu.Unlock()
	if r.Size < shown.Size || (r.Size == shown.Size && bytes.Equal(r.note, known)) {
		if p.ready == r {
			p.ready = nil
		}
		return
	}
	if l.config.Quorum != nil && !l.config.Quorum(r.note) {
		return
	}
	if err := l.config.Archive.Put(l.run, r.Size, r.note); err != nil {
		p.ready = r
		p.archiveFailed(r, err)
		return
	}
	if p.ready != nil && p.ready.Size <= r.Size {
		p.ready = nil
	}
	l.show(r)
	for _, jobs := range p.stampers {
		offer(jobs, stampJob{r.Size, bytes.Clone(r.note)})
	}
}

func (p *publisher) archiveFailed(r *round, err error) {
	l := p.l
	l.metrics.errors.WithLabelValues("archive").Inc()
	l.config.Logger.Error("cannot archive a checkpoint, so it is not published", "origin", l.config.Origin, "size", r.Size, "error", err)
	if errors.Is(err, storage.ErrConflict) {
		l.stop(&RefusedError{Reason: ErrArchiveBroken, Origin: l.config.Origin, GuardSize: r.Size, GuardRoot: r.Root,
			Err: fmt.Errorf("it has another checkpoint of this size: %w", err)})
	}
	if errors.Is(err, storage.ErrReadOnly) {
		l.stop(fmt.Errorf("archiving the checkpoint of size %d: %w", r.Size, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publishErr = fmt.Errorf("archiving the checkpoint of size %d: %w", r.Size, err)
}

// show makes a checkpoint visible and wakes whoever waits for it.
func (l *Log) show(r *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown, l.shownNote, l.shownAt = r.checkpoint, r.note, time.Now()
	l.behindSince = time.Time{}
	if l.head.Size > r.Size {
		l.behindSince = l.shownAt
	}
	close(l.published)
	l.published = make(chan struct{})
	l.metrics.checkpoint.Set(float64(r.Size))
	l.metrics.published.Inc()
}

// offer leaves the latest job for a stamper. Only the publisher offers, so there is room after the old one is taken out.
func offer(jobs chan stampJob, j stampJob) {
	select {
	case <-jobs:
	default:
	}
	jobs <- j
}

func (l *Log) stamp(s Stamper, jobs <-chan stampJob) {
	defer l.workers.Done()
	for {
		select {
		case <-l.run.Done():
			return
		case j := <-jobs:
			ctx, cancel := context.WithTimeout(l.run, stampTimeout)
			err := s.Stamp(ctx, j.size, j.note)
			cancel()
			if err != nil {
				l.metrics.errors.WithLabelValues("stamp").Inc()
				l.config.Logger.Warn("stamper failed", "origin", l.config.Origin, "size", j.size, "error", err)
			}
		}
	}
}

// consistency proves that the checkpoint's tree extends the one of size from.
func (l *Log) consistency(ctx context.Context, from uint64, c checkpoint) (storage.Hash, []storage.Hash, error) {
	r, err := tiles.NewReader(l.config.Tree, c.Size, c.Root)
	if err != nil {
		return storage.Hash{}, nil, err
	}
	return r.WithLatest(l.Size).Consistency(ctx, from)
}
