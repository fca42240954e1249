// Package client is steno's Go client: a recorder that writes sessions to a log, and a reader that believes nothing it reads
// before it was proven.
//
// A Recorder seals, chains and signs events (package recorder) and puts the entries into its spool, fsynced, before it sends
// them: what was taken from the caller is on disk in the form in which the log will have it, sealed, and is sent again,
// byte for byte, until the log has acknowledged it; the server sees to it that it is in the log once. It is kept until it
// was proven to be there.
//
//	rec, err := client.New(client.Config{…})
//	main, err := rec.Open(ctx, client.Opening{Event: entry.SessionOpen{…}})
//	_, err = main.Record(ctx, intent)    // durable in the log when it returns: now act
//	_, err = main.Spool(result)          // fsynced here when it returns: now hand the result over
//	err = main.CloseSession(ctx, client.Closing{Outcome: "completed"})
//
// On disk there are submissions as the server gets them, which are sealed, and receipts. Unit keys are in memory alone,
// and on disk wrapped to the recipients of their classes. A recorder that is restarted can therefore send what the one
// before left, and can go on with a track (Resume), which rolls to new keys; it can't read what was recorded before.
//
// Where the trust file demands witnesses, proven means under a checkpoint that their quorum has cosigned. While they are
// away, entries are proven under one that the log alone has signed, which is kept, and held against it later.
//
// What is trusted: the keys in the trust file, and this machine. A server that shows a receipt that is not one, forgets
// what it acknowledged, or signs two histories, is caught: the evidence is kept on disk, Alarm is called, and nothing is
// sent to that log any more. What has happened (Spool) is still kept. docs/spec/spool.md specifies the directory.
package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
)

// Defaults of a Config.
const (
	DefaultMaxBytes       = 256 << 20 // bytes in the spool
	DefaultMaxAge         = time.Hour // of the oldest entry that is not acknowledged
	DefaultRequestTimeout = 30 * time.Second
	DefaultRetryMin       = 100 * time.Millisecond
	DefaultRetryMax       = 5 * time.Second
	DefaultVerifyEvery    = 2 * time.Second
	DefaultRollEvery      = 10 * time.Minute
)

// Config is what a Recorder needs. Fields after Recipients have defaults.
type Config struct {
	URL       string       // of the ingest listener
	Token     string       // bearer token; empty for none
	Trust     *trust.Trust // keys by which receipts and checkpoints are verified
	Dir       string       // the spool; one recorder at a time
	Signer    note.Signer  // the recorder's key
	Enrolment []byte       // by which an enroller binds the key to agents
	// Recipients are to whom the unit key of each class is wrapped: its vault and the recovery recipient. A class without
	// recipients cannot be recorded.
	Recipients map[payload.Class][]age.Recipient

	MaxBytes       int64         // of the spool: Record refuses above it, Spool a quarter later
	MaxAge         time.Duration // Record refuses while the oldest unacknowledged entry of its track is older
	RequestTimeout time.Duration
	RetryMin       time.Duration // first wait after a failed attempt, doubled each time
	RetryMax       time.Duration
	VerifyEvery    time.Duration // how often acknowledged entries are looked for in the tree, and what it shows compared
	RollEvery      time.Duration // how often a track records the latest checkpoint; negative for never
	Transport      http.RoundTripper
	// Alarm is told, once, what the server was caught at: *BehindError, *ReceiptError, *LeafError or *ForkError in a
	// *DistrustedError, after the evidence was kept.
	Alarm  func(error)
	Logger *slog.Logger
	Now    func() time.Time
	Rand   io.Reader
}

func (c *Config) check() error {
	if c.Trust == nil || c.Dir == "" || c.Signer == nil || len(c.Enrolment) == 0 {
		return errors.New("client: trust, spool directory, signer and enrolment are needed")
	}
	setDefault(&c.MaxBytes, DefaultMaxBytes)
	setDefault(&c.MaxAge, DefaultMaxAge)
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.RetryMin, DefaultRetryMin)
	setDefault(&c.RetryMax, DefaultRetryMax)
	setDefault(&c.VerifyEvery, DefaultVerifyEvery)
	setDefault(&c.RollEvery, DefaultRollEvery)
	if c.Alarm == nil {
		c.Alarm = func(error) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return nil
}

func setDefault[T int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// A Recorder records sessions and tracks from one spool. It is safe for concurrent use.
type Recorder struct {
	cfg    Config
	http   *caller
	dir    *spoolDir
	keeper *keeper

	ctx    context.Context // of the background work
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	tracks    map[string]*Track
	distrust  *DistrustedError
	distrusts chan struct{} // closed with distrust
	closed    bool
}

// New takes the spool, repairs what a kill left of its last write, and begins to send what is unsent. It refuses a spool
// that holds evidence against the log (*DistrustedError).
func New(cfg Config) (*Recorder, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c, err := newCaller(cfg.URL, cfg.Token, cfg.Transport, cfg.RequestTimeout, cfg.RetryMin, cfg.RetryMax)
	if err != nil {
		return nil, err
	}
	dir, err := openSpoolDir(cfg.Dir, cfg.MaxBytes, cfg.Now)
	if err != nil {
		return nil, err
	}
	r := &Recorder{cfg: cfg, http: c, dir: dir, tracks: make(map[string]*Track), distrusts: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.load(); err != nil {
		r.cancel()
		for _, t := range r.tracks {
			t.spool.close()
		}
		return nil, errors.Join(err, dir.close())
	}
	for _, t := range r.tracks {
		r.work.Go(t.send)
	}
	r.work.Go(r.verify)
	return r, nil
}

func (r *Recorder) load() error {
	err := Distrusted(r.cfg.Dir)
	if err != nil {
		return err
	}
	if r.keeper, err = openKeeper(r.cfg.Trust, r.http.tile, r.http.tile, r.cfg.Dir); err != nil {
		return err
	}
	tracks, err := scanDir(r.cfg.Dir)
	if err != nil {
		return err
	}
	for _, id := range sortedKeys(tracks) {
		sc, err := scanTrack(tracks[id])
		if err != nil {
			return err
		}
		if sc.state.Origin != r.cfg.Trust.Origin {
			return &SpoolError{tracks[id][0].path, 0, fmt.Errorf("it is for the log %q, the trust file for %q", sc.state.Origin, r.cfg.Trust.Origin)}
		}
		s, err := sc.load(r.dir)
		if err != nil {
			return err
		}
		r.tracks[id] = loadedTrack(r, sc, s)
	}
	return nil
}

// Unsent is what the spool holds: every track with the entries that were not yet proven to be in the log.
func (r *Recorder) Unsent() []SpooledTrack {
	r.mu.Lock()
	tracks := r.tracksLocked()
	r.mu.Unlock()
	out := make([]SpooledTrack, len(tracks))
	for i, t := range tracks {
		out[i] = t.shown()
	}
	return out
}

func (r *Recorder) tracksLocked() []*Track {
	out := make([]*Track, 0, len(r.tracks))
	for _, id := range sortedKeys(r.tracks) {
		out = append(out, r.tracks[id])
	}
	return out
}

// Close waits until everything is acknowledged and proven to be in the log, if only under a checkpoint that it alone has
// signed, or ctx ends, and gives the spool free. What is left the next recorder with this spool sends, or verifies; if any
// of it is not acknowledged the error is ErrPending. Sessions stay open.
func (r *Recorder) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	tracks := r.tracksLocked()
	r.mu.Unlock()
	var pending error
	for _, t := range tracks {
		if err := t.drain(ctx); err != nil {
			pending = errors.Join(pending, err)
		}
	}
	r.cancel()
	r.work.Wait()
	for _, t := range tracks {
		t.end(ErrClosed)
		t.spool.close()
	}
	return errors.Join(pending, r.dir.close())
}

// distrusted keeps the evidence, tells the alarm, and ends all recording. The first find counts; errors that prove nothing
// against the server are returned as they are.
func (r *Recorder) distrusted(err error) error {
	if kind, _ := evidence(err); kind == "" {
		return err
	}
	r.mu.Lock()
	if r.distrust != nil {
		defer r.mu.Unlock()
		return r.distrust
	}
	// The lock is held while the evidence is written, so that nobody goes on meanwhile.
	kept, keepErr := keepEvidence(r.cfg.Dir, r.cfg.Now(), err)
	d := &DistrustedError{Evidence: kept, Cause: errors.Join(err, keepErr)}
	r.distrust = d
	close(r.distrusts)
	r.mu.Unlock()
	r.cfg.Logger.Error("the log is no longer trusted", "evidence", kept, "err", d.Cause)
	r.cfg.Alarm(d)
	return d
}

// trusted is the *DistrustedError after the log was caught, or nil.
func (r *Recorder) trusted() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.distrust != nil {
		return r.distrust
	}
	return nil
}

// ok tells why nothing may be recorded, or nil.
func (r *Recorder) ok() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.distrust != nil {
		return r.distrust
	}
	if r.closed {
		return ErrClosed
	}
	return nil
}

func (r *Recorder) forget(t *Track) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tracks, t.id())
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
