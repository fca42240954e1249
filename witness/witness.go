// Package witness is both sides of https://c2sp.org/tlog-witness (2026-07): the Witness, which cosigns checkpoints of logs
// that it knows, and the Client, by which a log asks for cosignatures.
//
// A log posts its newest checkpoint, and the proof that it extends the one that the witness cosigned last:
//
//	old 20852014
//	PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//	…
//
//	example.com/behind-the-sofa
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//
// The Witness verifies the log's signature, compares with its state and replaces it in one transaction, signs, notes in a
// second file what is about to leave, and answers with signature lines. Whatever happens to it, it never cosigns two roots of
// one size, nor a checkpoint that does not extend those before: not after kill -9, a power cut or a failed fsync, not with two
// processes on its files, and not on an old copy of its state, as long as the second file is not restored with it. It keeps
// signed checkpoints that contradict each other, as evidence. docs/spec/witness.md says what it does beyond tlog-witness.
//
// It trusts its disk to keep what was synced, its keys to be its own, and its clock as far as the rules in clock.go go. Of
// the logs it trusts nothing but their keys.
package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/stenolog/steno/checkpoint"
)

const (
	// DefaultRate is how many signed requests a second are taken of one log, in the long run.
	DefaultRate = 20.0
	// DefaultBurst is how many are taken at once.
	DefaultBurst = 100
	// clockWatch is how often the clock is looked at without requests.
	clockWatch = time.Minute
)

// A Config is what a Witness needs.
type Config struct {
	Signers    []*checkpoint.Signer // one or more, of Ed25519 and ML-DSA-44 cosignatures; each signs every checkpoint
	State      *Store               // open, and closed by the caller after the Witness
	Now        func() time.Time     // nil: time.Now
	Monotonic  func() time.Duration // a clock that nobody sets, from any origin; nil: the system's
	Rate       float64              // signed requests a second for each log; 0: DefaultRate; rate.Inf: no limit
	Burst      int                  // 0: DefaultBurst
	Logger     *slog.Logger         // nil: nothing is logged
	Registerer prometheus.Registerer
}

// A Witness cosigns.
type Witness struct {
	signers []*checkpoint.Signer
	store   *Store
	clock   clock
	mono    func() time.Duration
	log     *slog.Logger
	reg     prometheus.Registerer
	metrics *metrics

	rate     rate.Limit
	burst    int
	limitMu  sync.Mutex
	limiters map[string]*rate.Limiter // by origin

	promises     *batcher[*promise]
	publications *batcher[*publication]
	clockErr     atomic.Pointer[error]
	stopOnce     sync.Once

	closeMu  sync.RWMutex
	closed   bool
	inFlight sync.WaitGroup
	quit     chan struct{}
	watching chan struct{}

	crash func(point string) // tests end the process at these points; nil otherwise
}

// New starts a witness. One whose clock can't be believed starts too: it answers monitors, and cosigns when the clock is right.
func New(ctx context.Context, cfg Config) (*Witness, error) {
	if err := cfg.check(ctx); err != nil {
		return nil, fmt.Errorf("starting a witness: %w", err)
	}
	w := &Witness{signers: cfg.Signers, store: cfg.State, mono: cfg.Monotonic, log: cfg.Logger, reg: cfg.Registerer,
		rate: rate.Limit(cfg.Rate), burst: cfg.Burst, limiters: make(map[string]*rate.Limiter),
		quit: make(chan struct{}), watching: make(chan struct{})}
	if w.rate == 0 {
		w.rate = DefaultRate
	}
	if w.burst == 0 {
		w.burst = DefaultBurst
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.mono == nil {
		w.mono = monotonic()
	}
	w.clock = clock{now: cfg.Now, mono: w.mono}
	if w.clock.now == nil {
		w.clock.now = time.Now
	}
	var err error
	if w.metrics, err = newMetrics(w.reg, w); err != nil {
		return nil, fmt.Errorf("starting a witness: %w", err)
	}
	w.promises = newBatcher(w.promise)
	w.publications = newBatcher(w.publish)
	if p := w.noteTime(); p != nil && p.code != codeClock {
		w.promises.close()
		w.publications.close()
		w.metrics.unregister(w.reg)
		return nil, fmt.Errorf("starting a witness: %w", p.err)
	}
	go w.watchClock()
	return w, nil
}

func (cfg Config) check(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case cfg.State == nil:
		return errors.New("no store")
	case len(cfg.Signers) == 0:
		return errors.New("no key to cosign with")
	case !(cfg.Rate >= 0) || cfg.Burst < 0:
		return errors.New("rate and burst must not be negative")
	}
	seen := make(map[string]bool)
	for _, s := range cfg.Signers {
		if a := s.Algorithm(); a != checkpoint.CosignatureEd25519 && a != checkpoint.CosignatureMLDSA44 {
			return fmt.Errorf("key %s is of type %s, which does not cosign", keyName(s.Verifier()), a)
		}
		// SPEC: tlog-cosignature: a cosigner operator that operates multiple Ed25519 cosigners MUST use distinct public keys.
		if public := string(s.Verifier().PublicKey()); seen[public] {
			return fmt.Errorf("key %s has the public key of another", keyName(s.Verifier()))
		} else {
			seen[public] = true
		}
	}
	return nil
}

// Close refuses what comes from now on, and returns when everything taken before is answered.
func (w *Witness) Close() error {
	w.closeMu.Lock()
	first := !w.closed
	w.closed = true
	w.closeMu.Unlock()
	if first {
		close(w.quit)
	}
	<-w.watching
	w.inFlight.Wait()
	w.promises.close()
	w.publications.close()
	if first {
		w.metrics.unregister(w.reg)
	}
	return nil
}

// enter counts a request in, unless the witness is closing.
func (w *Witness) enter() bool {
	w.closeMu.RLock()
	defer w.closeMu.RUnlock()
	if w.closed {
		return false
	}
	w.inFlight.Add(1)
	return true
}

// A Health says whether the witness cosigns.
type Health struct {
	Clock error // why the clock can't be believed
	Store error // why nothing is written any more; only a restart helps
	Logs  int
}

// Health returns what was found last. The clock is looked at with each request, and each minute.
func (w *Witness) Health() Health {
	h := Health{Store: w.store.Err(), Logs: w.store.count()}
	if err := w.clockErr.Load(); err != nil {
		h.Clock = *err
	}
	return h
}

func (w *Witness) watchClock() {
	defer close(w.watching)
	tick := time.NewTicker(clockWatch)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.noteTime() // what is wrong was logged where it was found
		case <-w.quit:
			return
		}
	}
}

// noteTime looks at the clock, and notes the time if that was not done for long.
func (w *Witness) noteTime() *problem {
	p := &promise{done: make(chan struct{})}
	w.promises.add(p)
	<-p.done
	return p.problem
}

// addCheckpoint takes a request's body and returns the signature lines.
func (w *Witness) addCheckpoint(body []byte) ([]byte, *problem) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, newProblem(codeMalformed, "%s", err)
	}
	c, p := verifyLog(r.Note, w.store.keys)
	if p != nil {
		return nil, p
	}
	if r.Old > c.Size {
		return nil, newProblem(codeOldTooLarge, "old is %d, the checkpoint's size %d", r.Old, c.Size)
	}
	signers := usable(w.signers, c.Checkpoint)
	if len(signers) == 0 {
		return nil, newProblem(codeExtensions, "an ML-DSA-44 cosignature would not cover the lines after the third")
	}
	// Only now, so that nobody but the log, or who repeats it, can spend what it has.
	if wait := w.limit(c.Origin); wait > 0 {
		return nil, &problem{code: codeRate, detail: "wait as long as Retry-After says", retry: wait}
	}
	if err := w.store.Err(); err != nil {
		return nil, unavailable(err)
	}
	pr := &promise{request: r, signed: &c, done: make(chan struct{})}
	w.promises.add(pr)
	<-pr.done
	if pr.problem != nil {
		return nil, pr.problem
	}
	w.reached("promised")
	// The promise is durable: from here on no other root of this size is ever cosigned. A process that ends here has signed
	// nothing, and the log asks again.
	lines, err := cosign(signers, c.text, pr.at)
	if err != nil {
		return nil, &problem{code: codeInternal, err: fmt.Errorf("cosigning: %w", err)}
	}
	pub := &publication{row: logRow{origin: c.Origin, size: c.Size, root: c.Root, note: append(c.note, lines...)}, done: make(chan struct{})}
	w.publications.add(pub)
	<-pub.done
	if pub.err != nil {
		return nil, unavailable(pub.err)
	}
	w.reached("published")
	return lines, nil
}

func unavailable(err error) *problem {
	return &problem{code: codeUnavailable, detail: "nothing was cosigned", retry: retryLater, err: err}
}

func (w *Witness) reached(point string) {
	if w.crash != nil {
		w.crash(point)
	}
}

// limit takes a token of a log and returns 0, or how long to wait for one. It goes by the monotonic clock.
func (w *Witness) limit(origin string) time.Duration {
	w.limitMu.Lock()
	defer w.limitMu.Unlock()
	l := w.limiters[origin] // only logs that are known get here
	if l == nil {
		l = rate.NewLimiter(w.rate, w.burst)
		w.limiters[origin] = l
	}
	now := time.Unix(0, 0).Add(w.mono())
	r := l.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait
	}
	return 0
}

// Handler serves add-checkpoint and the latest checkpoints, at the root of both prefixes.
func (w *Witness) Handler() http.Handler { return http.HandlerFunc(w.serve) }
