// Package log is a transparency log of opaque leaves, for evidence: what it acknowledged stays in it, and for one size it
// signs one root at most.
//
// It stands on storage that it does not believe. Three parts share the work, each with one goroutine or none:
//
//   - The committer takes everything that waits, hands it to the sequencer in one Append, and answers when it is durable
//     and integrated. It extends a compact Merkle range from the bytes it admitted: so the log knows the root that the
//     tree must have, and does not ask the disk for it. When an Append fails, whose effect is then unknown, it finds out
//     what the log holds before it goes on. If it cannot, the log stops for good.
//   - The guarded signer signs that root and no other. Before it does, it reads the new leaves and tiles back from disk
//     and checks that they lead to it, checks that the new tree extends the last one signed, and moves the guard by
//     compare-and-swap. The guard is a small store outside of what it guards, so that a restored copy of the tree cannot
//     take the memory of what was signed with it. Only then does the signature leave.
//   - The publisher makes a checkpoint every second that saw new leaves, asks the cosigners, archives the note and shows
//     it: once the quorum is there, and never one that is smaller than what it showed before.
//
// A checkpoint is a c2sp.org/tlog-checkpoint with three lines of text and no extensions:
//
//	log.acme.example/prod
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— log.acme.example/prod Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//
// Trusted are the signing key, the guard's compare-and-swap, and this process's memory. See docs/spec/log.md.
package log

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// A Log is an open log. All methods are safe for concurrent use.
type Log struct {
	config  Config
	metrics *metrics
	floor   floor
	guarded *guarded

	// committer
	rng     *compact.Range // of the admitted leaves; only the committer touches it
	wake    chan struct{}
	drained chan struct{} // closed when the committer has ended

	// publisher
	finish    chan struct{} // closed when the committer has ended and the last checkpoint is due
	finished  chan struct{}
	published chan struct{} // closed and replaced, under mu, when a checkpoint becomes visible
	hasSigned chan struct{} // likewise, when the log has signed a larger one

	run     context.Context // ends the helpers of the publisher, and every call of a store on an aborted Close
	cancel  context.CancelFunc
	workers sync.WaitGroup // cosigners and stampers
	stopCh  chan struct{}  // closed when stopped is set
	dead    chan struct{}  // closed when Close gives up: nobody will answer any more

	closeOnce sync.Once
	closeErr  error

	mu          sync.Mutex
	queue       []*request
	queueLeaves int
	queueBytes  int
	closing     bool
	stopped     error
	head        treeHead // integrated
	shown       treeHead // published
	shownNote   []byte   // nil until a checkpoint with a quorum is known
	shownAt     time.Time
	signed      signedHead // the latest that the log signed, with the cosignatures so far
	waiting     bool       // for those elsewhere
	cosigners   []CosignerHealth
	lostSince   time.Time // the quorum; zero if it is not lost
	behindSince time.Time // when the oldest leaf that no published checkpoint covers was integrated
	publishErr  error     // of the last attempt
	guardErr    error
}

// Open opens a log that Create made, after checking it as Check does. Its refusals are *RefusedError. It takes over
// config.Sequencer only if it returns no error.
func Open(ctx context.Context, config Config) (*Log, error) {
	if config.Sequencer == nil {
		return nil, errors.New("a log needs a sequencer")
	}
	c, err := check(ctx, &config)
	if err != nil {
		return nil, err
	}
	l := newLog(config, c)
	if l.metrics, err = newMetrics(config.Registerer, l); err != nil {
		return nil, err
	}
	config.Logger.Info("log opened", "origin", config.Origin, "size", c.head.Size, "signed_size", c.guarded.last.Size,
		"published_size", c.published.Size, "waiting_for_witnesses", !c.enough)
	l.start() // from here on the guarded signer is the publisher's alone
	return l, nil
}

func newLog(config Config, c *checked) *Log {
	l := &Log{
		config: config, guarded: c.guarded, rng: c.rng, floor: floor{free: config.Free},
		wake: make(chan struct{}, 1), drained: make(chan struct{}),
		finish: make(chan struct{}), finished: make(chan struct{}), published: make(chan struct{}),
		hasSigned: make(chan struct{}),
		stopCh:    make(chan struct{}), dead: make(chan struct{}),
		head: c.head, shown: c.published, waiting: !c.enough,
	}
	last := c.guarded.last
	l.signed = signedHead{treeHead{last.Origin, last.Size, last.Root}, last.Note}
	if l.signed.treeHead == c.published {
		l.signed.note = c.note // which has cosignatures
	}
	for _, c := range config.Cosigners {
		l.cosigners = append(l.cosigners, CosignerHealth{Name: c.Name(), Answered: true}) // it was not asked yet
	}
	l.guarded.latest = l.Size
	l.run, l.cancel = context.WithCancel(context.Background())
	if config.Quorum == nil || config.Quorum(c.note) {
		l.shownNote, l.shownAt = c.note, time.Now()
	}
	if c.head.Size > c.published.Size {
		l.behindSince = time.Now()
	}
	return l
}

func (l *Log) start() {
	p := newPublisher(l)
	go l.commitAll()
	go p.loop()
}

// restoreRange makes the compact range of a tree from its verified tiles.
func restoreRange(ctx context.Context, r *tiles.Reader) (*compact.Range, error) {
	frontier, err := r.Frontier(ctx)
	if err != nil {
		return nil, err
	}
	rng, err := ranges.NewRange(0, r.Size(), frontier)
	if err != nil {
		return nil, fmt.Errorf("restoring the compact range: %w", err)
	}
	if root, err := rangeRoot(rng); err != nil || root != r.Root() {
		return nil, fmt.Errorf("restoring the compact range: root is %x, want %x: %w", root, r.Root(), errors.Join(err, tiles.ErrDamaged))
	}
	return rng, nil
}

// Stop ends admission and signing for good, as an fsync of the log's own that failed does: for whoever keeps beside the log
// what its leaves rest on, and learns that its disk is not to be trusted.
func (l *Log) Stop(reason error) { l.stop(reason) }

// stop ends admission and signing for good. The first reason stands.
func (l *Log) stop(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped != nil {
		return
	}
	l.stopped = reason
	close(l.stopCh)
	l.metrics.stopped.Set(1)
	l.config.Logger.Error("log stopped for good: it takes and signs nothing more until it is started again",
		"origin", l.config.Origin, "reason", reason)
}

// Size is the integrated, durable size of the log.
func (l *Log) Size() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head.Size
}

// Checkpoint returns the latest published checkpoint. The note is nil as long as none has the quorum.
func (l *Log) Checkpoint() (size uint64, note []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shownNote == nil {
		return 0, nil
	}
	return l.shown.Size, l.shownNote
}

// Signed returns the latest checkpoint that the log has signed, with the cosignatures that it has so far: not less than the
// published one.
func (l *Log) Signed() (size uint64, note []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signed.Size, l.signed.note
}

// Health says how the log is. All of it is as of now, except for GuardError and PublishError, which are of the last
// attempt, at most an interval ago.
type Health struct {
	Size           uint64        // integrated
	Published      uint64        // size of the latest published checkpoint
	PublishedSince time.Time     // when this process began to show it; zero if there is none with a quorum
	Unpublished    time.Duration // how long the oldest integrated leaf has waited for a published checkpoint
	Queue          int           // leaves waiting
	Stopped        error         // not nil: stopped for good
	ReadOnly       string        // not empty: the disk is at its floor, and this is why
	GuardError     error         // not nil: the guard could not be read or moved
	PublishError   error         // not nil: the last attempt to sign or publish failed
	Closing        bool

	Cosigners       []CosignerHealth // in the order of Config
	QuorumLostSince time.Time        // not zero: a signed checkpoint has waited for its quorum since then
	Waiting         bool             // nothing is signed before enough of those elsewhere have answered
}

// CosignerHealth says how a cosigner answers.
type CosignerHealth struct {
	Name     string
	Answered bool      // for the latest signed checkpoint, or there is none that it was asked for
	Size     uint64    // of the latest checkpoint that it cosigned for this process
	Since    time.Time // since when it fails, without a success; zero if it does not
	Error    string    // of the last failure
}

// OK reports whether the log takes leaves and covers them within limit.
func (h Health) OK(limit time.Duration) bool {
	return h.Stopped == nil && h.ReadOnly == "" && h.GuardError == nil && h.Unpublished <= limit && !h.Closing
}

// Health says how the log is.
func (l *Log) Health() Health {
	_, readOnly := l.floor.refuses()
	l.mu.Lock()
	defer l.mu.Unlock()
	h := Health{
		Size: l.head.Size, PublishedSince: l.shownAt, Queue: l.queueLeaves, Stopped: l.stopped, ReadOnly: readOnly,
		GuardError: l.guardErr, PublishError: l.publishErr, Closing: l.closing,
		Cosigners: slices.Clone(l.cosigners), QuorumLostSince: l.lostSince, Waiting: l.waiting,
	}
	if l.shownNote != nil {
		h.Published = l.shown.Size
	}
	if !l.behindSince.IsZero() {
		h.Unpublished = time.Since(l.behindSince)
	}
	return h
}

// Close takes no more leaves, answers all that wait, publishes a last checkpoint and closes the sequencer. When ctx ends
// first, whoever still waits is answered at once, with a *StoppedError, and Close returns an error.
func (l *Log) Close(ctx context.Context) error {
	l.closeOnce.Do(func() { l.closeErr = l.close(ctx) })
	return l.closeErr
}

func (l *Log) close(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.poke()
	err := within(ctx, l.drained, "answering all appends")
	close(l.finish)
	if err == nil {
		err = within(ctx, l.finished, "publishing the last checkpoint")
	}
	// Order: nobody waits for an answer any more, or the answer is given here. Only then may the stores be cut off.
	close(l.dead)
	l.cancel()
	if err == nil { // else the publisher may still start some
		err = l.await(ctx)
	}
	if cerr := l.config.Sequencer.Close(ctx); cerr != nil {
		err = errors.Join(err, fmt.Errorf("closing the sequencer: %w", cerr))
	}
	l.metrics.unregister(l.config.Registerer)
	l.config.Logger.Info("log closed", "origin", l.config.Origin, "size", l.Size(), "error", err)
	return err
}

// await waits for cosigners and stampers, whose context has ended.
func (l *Log) await(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		l.workers.Wait()
		close(ended)
	}()
	return within(ctx, ended, "ending cosigners and stampers")
}

func within(ctx context.Context, done <-chan struct{}, what string) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	default:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// A floor asks Config.Free, not more often than its answer can change.
type floor struct {
	free func() (bool, string)

	mu     sync.Mutex
	asked  time.Time
	ok     bool
	reason string
}

func (f *floor) refuses() (bool, string) {
	if f.free == nil {
		return false, ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked.IsZero() || time.Since(f.asked) >= floorEvery {
		f.ok, f.reason = f.free()
		f.asked = time.Now()
	}
	if f.ok {
		return false, ""
	}
	if f.reason == "" {
		return true, "the disk is at its floor"
	}
	return true, f.reason
}

// compile-time: a tree is a source of tiles.
var _ tiles.Source = storage.Tree(nil)
