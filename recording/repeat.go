package recording

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/storage"
)

// repeat answers an entry whose sequence number is taken: with the receipt of the first time if it is the same text, and as
// equivocation if it is another.
func (a *admission) repeat(ctx context.Context, x arrival) error {
	for _, y := range a.fresh { // taken by this very request
		if y.hash == x.hash {
			return problem(entry.SeqBehind, "the request has the entry twice")
		}
	}
	rc, err := a.r.receipt(ctx, a.s, a.track, x.e.Seq)
	if err != nil {
		return err
	}
	if rc.Hash == x.hash {
		rc.Repeated = true
		a.receipts = append(a.receipts, rc)
		a.r.metrics.repeats.Inc()
		return nil
	}
	// Only the recorder itself can equivocate. Anybody else is told of the signature, and raises no alert.
	if err := x.e.VerifyRecorder(a.chain.Verifier); err != nil {
		return err
	}
	a.r.alert(a.s.id, entry.Alert{
		Alert: "equivocation", Severity: "critical", Session: entry.UUID(a.s.id), Track: entry.ID(a.track), Seq: x.e.Seq,
		Text: &x.hash, Principal: entry.ID(a.who.Principal),
	})
	return a.withHeads(problem(CodeEquivocation, "sequence number %d of the track is taken by another text", x.e.Seq))
}

// receipt finds the receipt of the entry that has seq, which is in the log: in memory, or through the index.
func (r *Recording) receipt(ctx context.Context, s *session, track string, seq uint64) (Receipt, error) {
	last := uint64(0)
	var rc *Receipt
	s.view(func(f *facts) {
		last = f.Tracks[track].Last
		for i := range s.recent[track] {
			if c := s.recent[track][i]; seq >= c.Seq && seq < c.Seq+c.Count {
				rc = &c
			}
		}
		if t := f.Tracks[track]; rc == nil && seq >= t.LastSeq { // the last entry needs no index
			rc = &Receipt{Index: t.Last}
		}
	})
	if rc != nil && rc.Received != "" {
		return *rc, nil
	}
	if rc != nil {
		return r.receiptAt(ctx, rc.Index)
	}
	if err := r.follower.wait(ctx, last); err != nil {
		return Receipt{}, err
	}
	row, err := r.cfg.Index.EntryAt(ctx, s.id, track, seq)
	if errors.Is(err, storage.ErrNotFound) {
		return Receipt{}, problem(CodeIndexBehind, "the index does not know the entry; it may be rebuilding: try again later")
	}
	if err != nil {
		return Receipt{}, r.notDurable("finding the entry", err)
	}
	return r.receiptAt(ctx, row.Index)
}

// receiptAt reads the receipt from the leaf.
func (r *Recording) receiptAt(ctx context.Context, index uint64) (Receipt, error) {
	leaf, err := r.cfg.Log.Leaf(ctx, index)
	if err != nil {
		return Receipt{}, r.notDurable("reading the leaf", err)
	}
	e, err := entry.Parse(leaf)
	if err != nil {
		return Receipt{}, fmt.Errorf("reading leaf %d: %w", index, err)
	}
	rc := Receipt{
		Session: e.Session, Track: e.Track, Seq: e.Seq, Count: uint64(len(e.Events)), Index: index, Hash: e.Hash(),
		Received: string(e.Received.Line),
	}
	if m := r.cfg.Managed; m != nil && e.Recorder.Name == m.Signer.Name() && e.Recorder.Hash == m.Signer.KeyHash() {
		rc.Leaf = leaf
	}
	return rc, nil
}

const (
	alertEvery   = 10 * time.Second // on average, over all sessions
	alertBurst   = 20
	alertSession = time.Minute // between two of one session
	alertKept    = 4096        // sessions of which the last alert is remembered
	alertWaiting = 64          // that are not about a request and wait to be written
)

// alertLimit keeps a hostile client from filling the log with alerts about itself.
type alertLimit struct {
	mu    sync.Mutex
	all   *rate.Limiter
	since map[string]time.Time

	waiting chan struct{} // holds one for each that waits
}

func (l *alertLimit) init() {
	l.all, l.since = rate.NewLimiter(rate.Every(alertEvery), alertBurst), map[string]time.Time{}
	l.waiting = make(chan struct{}, alertWaiting)
}

func (l *alertLimit) allow(session string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.since[session]; ok && now.Sub(last) < alertSession {
		return false
	}
	if !l.all.AllowN(now, 1) {
		return false
	}
	if len(l.since) >= alertKept {
		clear(l.since)
	}
	l.since[session] = now
	return true
}

// alert writes an alert about a request, unless there were too many lately. It does not wait: the request is refused
// whatever becomes of it.
func (r *Recording) alert(session string, v entry.Alert) {
	r.metrics.alerts.WithLabelValues(string(v.Alert)).Inc()
	if !r.alerts.allow(session, r.cfg.Now()) {
		return
	}
	job := &systemJob{done: make(chan error, 1)}
	job.note = func(*draft) ([]noted, error) { return []noted{{entry.TypeAlert, v}}, nil }
	r.system.jobs.add(job)
}
