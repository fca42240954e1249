package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

const (
	maxBackoff  = time.Minute      // between two requests to somebody who fails
	lostBackoff = 10 * time.Second // likewise, while the quorum is lost

	// A quorum is lost when a checkpoint has waited for it for the longer of the two.
	quorumPatience  = 10 * time.Second
	quorumIntervals = 10
)

// backoff is the time before the next try, doubled with each that failed.
func backoff(interval time.Duration, failures int) time.Duration {
	return interval << min(failures, 10)
}

// A publisher is one goroutine. Cosigners answer to it by a channel, so that nothing here needs a lock, and none of them
// can hold it up. Of a cosigner at most one request is under way: a slow one answers for an older checkpoint, which is
// published, if its quorum is complete by that and nothing larger was published before.
type publisher struct {
	l         *Log
	round     *round    // of the latest signed checkpoint
	target    *round    // the one that cosigners are asked for
	aimed     time.Time // when it became that
	ready     *round    // has its quorum, but could not be archived yet
	cosigners []cosignerState
	answers   chan cosigned // as many as there are cosigners
	stampers  []chan stampJob

	waiting   bool // for those elsewhere: nothing is signed
	looking   bool // they are being asked
	looks     int
	lookAt    time.Time
	sightings chan sightings // holds one

	pending time.Time // since when a signed checkpoint lacks its quorum; zero if none does
	lost    bool      // the quorum: it has lacked it for too long
}

// A round is a signed checkpoint on its way.
type round struct {
	treeHead
	signed   []byte // by the log alone
	note     []byte // with the cosignatures so far
	answered map[int]bool
	done     bool // it has its quorum, or what is published is larger
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
		waiting:   l.waiting, lookAt: time.Now().Add(l.config.Interval), sightings: make(chan sightings, 1),
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
		case s := <-p.sightings:
			p.sighted(s)
		case <-p.l.finish:
			p.step()
			return
		case <-p.l.stopCh:
			return
		}
	}
}

func (l *Log) stopReason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
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
	if p.waiting {
		p.signed(l.guarded.watch(l.run))
		p.look()
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
	p.watch()
	p.report()
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

func (p *publisher) newRound(h treeHead, msg []byte) *round {
	l := p.l
	r := &round{treeHead: h, signed: msg, note: msg, answered: make(map[int]bool)}
	l.mu.Lock()
	if l.signed.treeHead == h { // after a restart: the archived note has cosignatures already
		r.note = l.signed.note
	}
	covered := l.shownNote != nil && l.shown.Size >= h.Size
	l.mu.Unlock()
	l.announce(r)
	if p.pending.IsZero() && !covered {
		p.pending = time.Now()
	}
	return r
}

// announce makes known what the log has signed, and wakes whoever waits for that.
func (l *Log) announce(r *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	grown := r.Size > l.signed.Size
	l.signed = signedHead{r.treeHead, r.note}
	if grown {
		close(l.hasSigned)
		l.hasSigned = make(chan struct{})
	}
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
		r.done = true
		if p.ready == r {
			p.ready = nil
		}
		return
	}
	if l.config.Quorum != nil && !l.config.Quorum(r.note) {
		return
	}
	r.done = true
	if err := l.config.Archive.Put(l.run, r.Size, r.note); err != nil {
		p.ready = r
		p.archiveFailed(r, err)
		return
	}
	if p.ready != nil && p.ready.Size <= r.Size {
		p.ready = nil
	}
	l.show(r)
	if r.Size > shown.Size || known == nil { // else stragglers came for what is published
		p.published(r)
	}
	for _, jobs := range p.stampers {
		offer(jobs, stampJob{r.Size, bytes.Clone(r.note)})
	}
}

// published ends the wait for a quorum, or begins it anew for what was signed since.
func (p *publisher) published(r *round) {
	p.pending = time.Time{}
	if p.round.Size > r.Size {
		p.pending = time.Now()
	}
	if !p.lost {
		return
	}
	p.lost = false
	p.setLost(time.Time{})
	p.l.config.Logger.Info("the quorum is back", "origin", p.l.config.Origin, "size", r.Size)
	p.l.config.Alarm(Alarm{Kind: AlarmQuorumRestored, Size: r.Size})
}

// watch notices that the quorum is lost: recording goes on, and what is published stays where it is.
func (p *publisher) watch() {
	l := p.l
	if p.lost || l.config.Quorum == nil || p.pending.IsZero() ||
		time.Since(p.pending) <= max(quorumIntervals*l.config.Interval, quorumPatience) || l.config.Quorum(p.round.note) {
		return
	}
	p.lost = true
	p.setLost(p.pending)
	l.config.Logger.Error("the quorum is lost: checkpoints are signed and not published", "origin", l.config.Origin,
		"size", p.round.Size, "since", p.pending)
	l.config.Alarm(Alarm{Kind: AlarmQuorumLost, Size: p.round.Size})
}

func (p *publisher) setLost(since time.Time) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.l.lostSince = since
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
	l.shown, l.shownNote, l.shownAt = r.treeHead, r.note, time.Now()
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
func (l *Log) consistency(ctx context.Context, from uint64, c treeHead) (storage.Hash, []storage.Hash, error) {
	r, err := tiles.NewReader(l.config.Tree, c.Size, c.Root)
	if err != nil {
		return storage.Hash{}, nil, err
	}
	return r.WithLatest(l.Size).Consistency(ctx, from)
}
