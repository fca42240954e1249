package witness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A promise is a request on its way through state. One without a checkpoint only notes the time.
type promise struct {
	request Request
	signed  *signed

	// For whoever waits for done.
	at       int64 // time to cosign by
	problem  *problem
	evidence Kind
	kept     kept
	known    uint64 // size that the evidence is against
	done     chan struct{}
}

// promise judges what waits by state, in the order in which it came, in one transaction, and answers when that is durable. It
// runs in one goroutine.
func (w *Witness) promise(batch []*promise) {
	start := time.Now()
	var clockErr error
	err := w.store.state.w.do(context.Background(), func(ctx context.Context, tx *writer) error {
		noted, err := tx.noted(ctx)
		if err != nil {
			return err
		}
		var at int64
		at, clockErr = w.clock.read(noted, w.store.clockResets.Load())
		note, wrote := false, false
		for _, p := range batch {
			p.at = at
			if p.signed == nil {
				note = note || clockErr == nil && (noted == 0 || at-noted >= seconds(ClockNote))
				continue
			}
			cosigned, err := p.decide(ctx, tx, clockErr, w.clock.now)
			if err != nil {
				return err
			}
			note, wrote = note || cosigned, wrote || p.kept == keptNew
		}
		if note {
			return tx.noteTime(ctx, at)
		}
		if !wrote {
			return errNothing
		}
		return nil
	})
	w.noteClock(clockErr)
	for _, p := range batch {
		switch {
		case err != nil: // also for those that were refused: what they were judged by may have been undone
			p.problem = unavailable(err)
		case p.signed == nil && clockErr != nil:
			p.problem = clockProblem(clockErr)
		case p.evidence != "":
			w.raise(p)
		}
		close(p.done)
	}
	w.committed("state", len(batch), start, err)
}

// decide judges one request inside the transaction, and writes what follows from it.
func (p *promise) decide(ctx context.Context, tx *writer, clockErr error, now func() time.Time) (cosigned bool, err error) {
	known, err := tx.loadLog(ctx, p.signed.Origin)
	if err != nil {
		return false, err
	}
	v := judge(known, p.request.Old, p.request.Proof, *p.signed)
	p.problem, p.evidence, p.known = v.problem, v.evidence, known.size
	if v.evidence != "" {
		at := p.at
		if clockErr != nil {
			at = now().Unix() // evidence does not wait for the clock
		}
		p.kept, err = tx.keep(ctx, v.evidence, at, known, p.request, *p.signed)
		return false, err
	}
	if p.problem == nil && clockErr != nil {
		p.problem = clockProblem(clockErr)
	}
	if p.problem != nil {
		return false, nil
	}
	// SPEC: tlog-witness: if all the checks above pass, the witness MUST update its record of the latest cosigned checkpoint;
	// the witness MUST persist the new checkpoint before responding.
	return true, tx.updateLog(ctx, logRow{origin: p.signed.Origin, size: p.signed.Size, root: p.signed.Root, note: p.signed.note})
}

func clockProblem(err error) *problem {
	return &problem{code: codeClock, detail: err.Error(), retry: retryLater, err: err}
}

// raise counts evidence, and logs what is new.
func (w *Witness) raise(p *promise) {
	w.metrics.evidence.WithLabelValues(string(p.evidence), string(p.kept)).Inc()
	if p.kept != keptNew {
		return
	}
	says := "log signed a history other than the one that was cosigned: evidence is kept"
	if p.evidence == KindUnproven { // whoever has the log's checkpoint can send it with a wrong proof
		says = "somebody sent a checkpoint of a log without a proof that it extends the one that was cosigned: it is kept"
	}
	w.log.Error(says, "log", p.signed.Origin, "kind", string(p.evidence), "known_size", p.known, "size", p.signed.Size)
}

// noteClock keeps what was found of the clock, and logs when that changes.
func (w *Witness) noteClock(err error) {
	was := w.clockErr.Load() != nil
	switch {
	case err != nil && !was:
		w.log.Error("nothing is cosigned until the clock is right, or an operator accepts it", "error", err)
	case err == nil && was:
		w.log.Info("the clock is believed again")
	}
	if err == nil {
		w.clockErr.Store(nil)
		return
	}
	w.clockErr.Store(&err)
}

// A publication is a checkpoint with its cosignatures on its way out.
type publication struct {
	row  logRow
	err  error
	done chan struct{}
}

// publish notes what is about to leave, and answers when that is durable. It runs in one goroutine.
func (w *Witness) publish(batch []*publication) {
	start := time.Now()
	err := w.store.published.w.do(context.Background(), func(ctx context.Context, tx *writer) error {
		wrote := false
		for _, p := range batch {
			have, err := tx.loadLog(ctx, p.row.origin)
			switch {
			case err != nil:
				return err
			case have.size > p.row.size:
				continue // a later promise was faster; what it noted covers this one
			case have.size == p.row.size && have.root != p.row.root:
				return fmt.Errorf("%w: log %q at size %d", errTwoRoots, p.row.origin, p.row.size)
			}
			if err := tx.updateLog(ctx, p.row); err != nil {
				return err
			}
			wrote = true
		}
		if !wrote {
			return errNothing
		}
		return nil
	})
	if errors.Is(err, errTwoRoots) || errors.Is(err, errNoLog) {
		err = w.store.published.w.stop(err) // the files are not of one history
	}
	for _, p := range batch {
		p.err = err
		close(p.done)
	}
	w.committed("published", len(batch), start, err)
}

var errTwoRoots = errors.New("another root was published")

// committed counts a transaction, and logs one that failed.
func (w *Witness) committed(file string, n int, start time.Time, err error) {
	w.metrics.batch.WithLabelValues(file).Observe(float64(n))
	w.metrics.seconds.WithLabelValues(file).Observe(time.Since(start).Seconds())
	if err == nil {
		return
	}
	if errors.Is(err, ErrStopped) {
		w.stopOnce.Do(func() {
			w.log.Error("the store has stopped: nothing is cosigned until a restart", "file", file, "error", err)
		})
		return
	}
	w.log.Error("writing failed: nothing was cosigned", "file", file, "error", err)
}
