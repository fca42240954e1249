// Package recording keeps sessions: it decides what enters the log, gives receipts, and says of every session whether it is
// whole.
//
// A session is some tracks, each a chain of entries that one recorder signs (package entry). What the log itself has to say
// stands on tracks of its own: one system session for each run of this process, which names the one before it. For every
// open it writes who was admitted (admitted), once a minute which sessions are alive (liveness), and how each ended
// (verdict): complete, interrupted, abandoned or late. None of them is a lock: a recorder that comes back is admitted.
//
// The way of a submission:
//
//	read strictly → principal, chain, signature, enrolment, blobs, wraps → blobs and wraps durable → stamp → append → state → answer
//
// Nothing of what is refused is stored. What is sent again is answered with the receipt of the first time. From the moment
// that blobs are written, the client's hanging up changes nothing any more.
//
// Two views are derived from the log and can be deleted at any time. Heads is the state that admission needs; it lives in
// memory, is written now and then, and is caught up before Open returns. Index is what auditors search; it runs behind.
// State is only ever changed by folding a leaf that is in the log, live as after a restart, so that the two cannot differ.
//
// Trusted are the log beneath, the keys of Config, and the principal that the caller authenticated. See
// docs/spec/session.md.
package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"crypto/rand"

	"filippo.io/age"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/storage"
)

// Defaults of Limits, and times.
const (
	DefaultSessions    = 20_000    // sessions in memory: all that are alive
	DefaultTracks      = 33        // of a session, with main: what session.close can name
	DefaultEntries     = 256       // of a request
	DefaultEvents      = 256       // of a managed request
	DefaultBlobs       = 1024      // of a request
	DefaultBlobBytes   = 256 << 20 // of a request
	DefaultOpenActions = 256       // intents without an end that are remembered of a session
	DefaultEventIDs    = 16_384    // event ids of a managed session that are held in memory

	livenessEvery = time.Minute
	missedBeats   = 3                // heartbeats missed until a session is abandoned
	tickEvery     = time.Second      // how often the clock is looked at
	snapshotEvery = 30 * time.Second // how often heads are written
	snapshotAfter = 8192             // leaves after which they are written earlier
	managedIdle   = 15 * time.Minute // after which a managed track's keys are forgotten
	indexWait     = 5 * time.Second  // how long a repeat waits for the index
)

// An Appender is the log beneath: *log.Log.
type Appender interface {
	Append(ctx context.Context, leaves [][]byte) ([]log.Placed, error)
	Leaf(ctx context.Context, index uint64) ([]byte, error)
	Reader() (*tiles.Reader, error)
	Size() uint64
	Checkpoint() (size uint64, note []byte)
	Stop(reason error) // for good, where a store that leaves rest on is not to be trusted
}

// Windows say which keys count for a leaf, where they do not count for all. Witnessed is true: what is admitted now will be
// judged under a checkpoint that witnesses saw. *trust.Trust is one.
type Windows interface {
	AnchorsAt(index uint64, witnessed bool) entry.Anchors
	CheckRecorder(vkey string, index uint64, witnessed bool) error
}

// Config is what a recording is made of. All but Windows, Embedded, Managed, Succeeds, Now, Rand, Logger, Registerer and Limits is needed.
type Config struct {
	Origin  string
	Version string // of the software, as system.open names it

	Log     Appender
	Blobs   storage.Blobs
	Keyring storage.Keyring
	Heads   storage.Heads
	Index   storage.Index

	Anchors entry.Anchors
	Windows Windows // nil: every key of Anchors and every enrolled one counts everywhere
	// Embedded opens a checkpoint that a recorder says it saw, and returns its size. Nil takes what stands there unread.
	Embedded  func(note []byte) (size uint64, err error)
	Stamper   *entry.Stamper
	System    note.Signer // signs the system session
	SystemKey string      // its verifier key, as system.open names it

	Managed  *ManagedConfig // nil: managed recording is refused
	Epoch    uint64         // of the lease
	Succeeds []byte         // last known checkpoint of the log that this one succeeds; only for the first system session

	Now        func() time.Time
	Rand       io.Reader
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Limits     Limits
}

// ManagedConfig is what the server's own recorder needs.
type ManagedConfig struct {
	Signer    note.Signer
	Enrolment []byte // of Signer's key, held by the operator, for any agent
	// Recipients are, for every class, the vault's and the recovery recipient.
	Recipients map[payload.Class][]age.Recipient
	Secret     []byte // at least 32 bytes, from which the sessions' retry keys are derived; never changes
}

// Limits bound what one session and one request may hold. Zero stands for the default.
type Limits struct {
	Sessions, Tracks, Entries, Events, Blobs int
	BlobBytes                                int64
	OpenActions, EventIDs                    int
}

// Who is the principal that a request was authenticated as, and how: token, mtls, oidc or local.
type Who struct{ Principal, How string }

// A Submitted is one signed entry with what belongs to it.
type Submitted struct {
	Entry []byte   // text and the recorder's signature
	Blobs [][]byte // in the entry's order; those that are durable already may be left out
	Wraps []Wrap   // of every unit key that the entry commits to
}

// A Wrap is a unit key, encrypted to the recipients of its class.
type Wrap struct {
	Key  entry.Hash // commitment
	File []byte     // an age file
}

// A Receipt says where an entry is in the log, and carries the log's signature that says so.
type Receipt struct {
	Session, Track    string
	Seq, Count, Index uint64
	Hash              entry.Hash // of the entry's text
	Received          string     // the signature line with its line feed
	Leaf              []byte     // the whole leaf, for what this package recorded itself
	Repeated          bool       // it was in the log already
}

// A Result says how far a request was taken, and where its track stands.
type Result struct {
	Session, Track string
	Next           uint64
	Head           entry.Hash
	Receipts       []Receipt
}

// A Head is where a track stands.
type Head struct {
	Track  string
	Next   uint64
	Head   entry.Hash
	Closed bool
}

// A SessionHead is where a session stands, for its recorders.
type SessionHead struct {
	Session, State string
	Tracks         []Head // main first, then by name
}

// A Pulse answers a heartbeat: when the next is due, and what the session is held to be.
type Pulse struct {
	Next  time.Duration
	State string
}

// A Recording is open. All methods are safe for concurrent use.
type Recording struct {
	cfg      Config
	metrics  *metrics
	registry registry
	flight   flight
	system   *system
	follower *follower
	alerts   alertLimit
	boot     uint64 // size of the log when this process took it over

	stamps struct {
		sync.Mutex
		last entry.Time
	}

	life struct {
		sync.Mutex
		closing bool
		calls   sync.WaitGroup
	}
	stop     context.CancelFunc
	loops    sync.WaitGroup
	closeOne sync.Once
	closeErr error
}

// Open brings the views up to the log, begins a system session, and admits from then on. It takes over no store: the caller
// closes them after Close.
func Open(ctx context.Context, cfg Config) (_ *Recording, err error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("opening the recording: %w", err)
	}
	r := &Recording{cfg: cfg, boot: cfg.Log.Size()}
	r.registry.init(r)
	r.alerts.init()
	r.flight.size = cfg.Log.Size
	r.follower = newFollower(r)
	if r.metrics, err = newMetrics(cfg.Registerer, r); err != nil {
		return nil, fmt.Errorf("opening the recording: %w", err)
	}
	defer func() {
		if err != nil {
			r.metrics.unregister(cfg.Registerer)
		}
	}()
	if err := r.catchUp(ctx); err != nil {
		return nil, fmt.Errorf("catching up with the log: %w", err)
	}
	if r.system, err = r.beginSystem(ctx); err != nil {
		return nil, fmt.Errorf("beginning the system session: %w", err)
	}
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = cancel
	r.loops.Go(func() { r.follower.run(loop) })
	r.loops.Go(func() { r.watch(loop) })
	return r, nil
}

func (c *Config) complete() error {
	if c.Log == nil || c.Blobs == nil || c.Keyring == nil || c.Heads == nil || c.Index == nil {
		return errors.New("log, blobs, keyring, heads and index are needed")
	}
	if c.Stamper == nil || c.System == nil || c.Anchors.Enrollers == nil || c.Anchors.System == nil {
		return errors.New("stamper, system signer and anchors are needed")
	}
	if c.Anchors.Origin != c.Origin {
		return errors.New("the anchors are of another origin")
	}
	if _, err := c.Anchors.System.Verifier(c.System.Name(), c.System.KeyHash()); err != nil {
		return fmt.Errorf("the system key is not among the anchors: %w", err)
	}
	if c.Managed != nil {
		if err := c.Managed.check(); err != nil {
			return fmt.Errorf("managed recording: %w", err)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Limits.complete()
	return nil
}

func (l *Limits) complete() {
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&l.Sessions, DefaultSessions}, {&l.Tracks, DefaultTracks}, {&l.Entries, DefaultEntries},
		{&l.Events, DefaultEvents}, {&l.Blobs, DefaultBlobs}, {&l.OpenActions, DefaultOpenActions},
		{&l.EventIDs, DefaultEventIDs},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	l.Tracks = min(l.Tracks, DefaultTracks) // session.close cannot name more
	if l.BlobBytes <= 0 {
		l.BlobBytes = DefaultBlobBytes
	}
}

// enter begins a call, and refuses it when Close was called.
func (r *Recording) enter() error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.life.closing {
		return problem(CodeClosing, "the server is closing; nothing was taken")
	}
	r.life.calls.Add(1)
	return nil
}

func (r *Recording) leave() { r.life.calls.Done() }

// stampTime is the clock, but never behind an earlier stamp of this process.
func (r *Recording) stampTime() entry.Time {
	r.stamps.Lock()
	defer r.stamps.Unlock()
	r.stamps.last = max(r.stamps.last, entry.TimeOf(r.cfg.Now()))
	return r.stamps.last
}

// Close admits nothing more, waits for what is under way, ends the system session and writes the heads. The log must still
// be open.
func (r *Recording) Close(ctx context.Context) error {
	r.closeOne.Do(func() { r.closeErr = r.close(ctx) })
	return r.closeErr
}

func (r *Recording) close(ctx context.Context) error {
	r.life.Lock()
	r.life.closing = true
	r.life.Unlock()
	err := waitFor(ctx, &r.life.calls, "answering all calls")
	r.stop()
	err = errors.Join(err, waitFor(ctx, &r.loops, "ending the loops"))
	if err == nil {
		err = r.system.end(ctx)
	}
	// The heads reflect what is in the log and no more, whatever failed above.
	err = errors.Join(err, r.registry.snapshot(ctx))
	r.metrics.unregister(r.cfg.Registerer)
	if err != nil {
		return fmt.Errorf("closing the recording: %w", err)
	}
	return nil
}

func waitFor(ctx context.Context, wg *sync.WaitGroup, what string) error {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}
