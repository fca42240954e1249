// Package anchoring has published checkpoints time-stamped, and writes the tokens into the log as anchor events.
//
// A round is one published checkpoint for which every authority is asked at the same time. One is due an hour after the last
// (Config.Every), at the end of a break-glass session, and on demand; never when only the log's own events came since. What an
// authority answers is verified against what is pinned of it before anything is recorded:
//
//	published note → SHA-256 → authority → token, verified → public blobs durable → anchor event
//
// On a log that has fallen silent, each authority is asked once more when it can say more of revocation (standing.go).
//
// An authority that fails is asked again, less and less often, also while others succeed; recording and publication never wait
// for any of this. Where a process ends between a token and its event, the token is asked for again: what there is to be stamped
// follows from the log alone. See docs/spec/anchors.md.
//
// Trusted are the log and the recording beneath. An authority is believed what its verified tokens say.
package anchoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
)

// DefaultEvery is the time between rounds.
const DefaultEvery = time.Hour

const (
	soonest    = time.Minute      // between rounds that sessions hasten: their recorders could close many
	askTimeout = time.Minute      // of one authority, for the token and what goes with it
	firstRetry = 5 * time.Second  // doubled with each failure
	maxRetry   = 10 * time.Minute // or Config.Every, if that is less
	lookEvery  = time.Second      // how often it is looked whether a round is due, also if nothing is published
	alertEvery = 10 * time.Minute // between alerts about an authority
)

// A Log is what is stamped: *log.Log.
type Log interface {
	Checkpoint() (size uint64, note []byte) // the latest published
	Leaf(ctx context.Context, index uint64) ([]byte, error)
}

// A Recording is where anchors are written: *recording.Recording.
type Recording interface {
	Anchor(ctx context.Context, v entry.Anchor) (recording.Anchored, error)
	Alert(ctx context.Context, v entry.Alert) error
	AnchorState() recording.AnchorState
	Renews(authority string, size uint64) (token entry.Hash, ok bool)
	Around(index uint64) (before, after []recording.Anchored)
}

// An Asker asks an authority for a token over a digest: ask.Authority.
type Asker interface {
	Ask(ctx context.Context, digest [32]byte) (token []byte, longTerm []ask.Blob, err error)
}

// An Authority is asked, and its tokens are held against what is pinned of it.
type Authority struct {
	Asker  Asker
	Pinned timestamp.Authority
}

// Config is what anchoring is made of. All but Cosigned, Every, Stamps, Logger and Registerer is needed.
type Config struct {
	Authorities []Authority // that are asked
	// Trusted are those that the log's trust file names, asked or not: only their tokens say when an entry was logged.
	Trusted []timestamp.Authority
	// Cosigned is before when a checkpoint had not all the cosignatures that the trust file demands, by the clocks of as many witnesses as
	// it takes (trust.QuorumSince); not ok where none are demanded. Nil: none are.
	Cosigned func(note []byte) (at time.Time, ok bool)
	Every    time.Duration // between rounds; default DefaultEvery
	Stamps   int           // how many distinct authorities a bound takes; default 1

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Anchoring is a log.Stamper. All methods are safe for concurrent use.
type Anchoring struct {
	c       Config
	metrics *metrics
	wake    chan struct{} // holds one
	tokens  tokens
	writing sync.Mutex // one anchor event at a time, so that no leaf has two
	pins    map[string]pin

	log       Log
	recording Recording
	blobs     storage.Blobs
	run       context.Context
	workers   sync.WaitGroup

	mu          sync.Mutex
	started     bool
	round       round
	target      uint64 // size that a checkpoint must have, before the round that is due can begin; 0: none is due
	demanded    bool
	recorded    uint64 // recording.AnchorState has it
	authorities []*authority
	changed     chan struct{} // closed and replaced when a round begins, or an authority has answered
	warned      time.Time     // when the last alert was raised that a renewal is due
}

// A pin is what the tokens of an authority are held against, and whether they count: the trust file names it.
type pin struct {
	timestamp.Authority
	counts bool
}

// A round is a published checkpoint that is stamped. Of round 0, the last one that is in the log, the note is nil: who owes a
// token of that is asked to stamp what is published now, which covers it.
type round struct {
	n     int
	size  uint64
	note  []byte
	begun time.Time
}

// An authority is one as it stands.
type authority struct {
	Authority
	busy     bool
	owes     bool      // a token of the round
	once     bool      // what it owes is a follow-up: over what is published when it is asked
	since    time.Time // when it came to owe
	failures int       // in a row
	next     time.Time // not to be asked before
	reason   string    // of the last failure
	tried    int       // round of the last attempt that ended
	attempts int       // that ended
	last     recording.Anchored
	stamped  time.Time // what its last token states; zero if none came in this process's time
	alerted  time.Time // when the last alert was raised

	standing standing  // of last, as soon as it is known
	reading  bool      // what last comes to is being read
	reread   time.Time // not to be read before
}

// New makes anchoring that is told of checkpoints, and does nothing until Start.
func New(c Config) (*Anchoring, error) {
	if c.Every < 0 || c.Stamps < 0 {
		return nil, errors.New("anchoring: a number is negative")
	}
	c.Every, c.Stamps = cmp.Or(c.Every, DefaultEvery), cmp.Or(c.Stamps, 1)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Anchoring{c: c, wake: make(chan struct{}, 1), changed: make(chan struct{}), pins: map[string]pin{}}
	for _, x := range c.Authorities {
		name := x.Pinned.Name
		if _, seen := a.pins[name]; entry.CheckID(name) != nil || seen {
			return nil, fmt.Errorf("anchoring: %q is no name for an authority, or that of two", name)
		}
		a.pins[name] = pin{x.Pinned, false}
		a.authorities = append(a.authorities, &authority{Authority: x})
	}
	for _, p := range c.Trusted {
		a.pins[p.Name] = pin{p, true}
	}
	var err error
	a.metrics, err = newMetrics(c.Registerer, a)
	return a, err
}

// Stamp implements log.Stamper. It does not wait for authorities.
func (a *Anchoring) Stamp(context.Context, uint64, []byte) error {
	a.poke()
	return nil
}

func (a *Anchoring) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Start goes on where the log says that it stands, until stop is called, which waits for what is being written, or for its ctx.
// It is called once. The recording must be closed after.
func (a *Anchoring) Start(l Log, r Recording, b storage.Blobs) (stop func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	a.mu.Lock()
	a.log, a.recording, a.blobs, a.run = l, r, b, ctx
	a.resume(time.Now())
	a.started = true
	a.mu.Unlock()
	a.workers.Go(a.loop)
	return func(ctx context.Context) error {
		cancel()
		a.metrics.unregister(a.c.Registerer)
		ended := make(chan struct{})
		go func() {
			a.workers.Wait()
			close(ended)
		}()
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("ending what asks time-stamp authorities: %w", ctx.Err())
		}
	}
}

// resume takes from the log when the last round was, and who did not answer in it.
func (a *Anchoring) resume(now time.Time) {
	s := a.recording.AnchorState()
	for _, x := range s.Last {
		a.round.size = max(a.round.size, x.Size)
		if at := x.Received.Time(); at.After(a.round.begun) {
			a.round.begun = at
		}
	}
	if a.round.begun.After(now) { // the clock was turned back: better a round too many
		a.round.begun = time.Time{}
	}
	for _, x := range a.authorities {
		x.last = s.Last[x.Pinned.Name]
		if x.last.Size < a.round.size && x.last.Size < s.Recorded {
			x.owes, x.since = true, now
		}
	}
}

func (a *Anchoring) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-a.run.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
		a.step(time.Now())
		timer.Reset(lookEvery)
	}
}
