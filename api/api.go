// Package api is steno over HTTP. It authenticates, authorises, bounds what it reads, calls the recording and the log, and
// turns their errors into RFC 9457 problems; it decides nothing about entries.
//
// There are four handlers, for listeners that networks can keep apart:
//
//	ingest   recorders append, and see how their own sessions stand
//	public   the checkpoint and hash tiles: what witnesses and verifiers need, no content
//	audit    auditors search and read, and say what they hand out; every read of content is recorded before the content leaves
//	ops      health and metrics; an operator has time stamps made
//
// openapi.yaml was written first and is served by each. docs/spec/errors.md lists the problems.
//
// Nothing of a request's or an answer's body is ever written to the server's log.
package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
)

// A Recording is what the handlers need of *recording.Recording.
type Recording interface {
	Submit(ctx context.Context, who recording.Who, session string, subs []recording.Submitted) (recording.Result, error)
	OpenManaged(ctx context.Context, who recording.Who, req recording.Request) (recording.Result, error)
	JoinManaged(ctx context.Context, who recording.Who, session string, req recording.Request) (recording.Result, error)
	ManagedEvents(ctx context.Context, who recording.Who, session, track string, req recording.Request) (recording.Result, error)
	CloseManaged(ctx context.Context, who recording.Who, session string, req recording.Request) (recording.Result, error)
	Record(ctx context.Context, who recording.Who, req recording.Request) (recording.Result, error)
	Heartbeat(ctx context.Context, who recording.Who, session string) (recording.Pulse, error)
	Head(ctx context.Context, who recording.Who, session string) (recording.SessionHead, error)
	Access(ctx context.Context, a entry.Access) error
	Disclose(ctx context.Context, who recording.Who, body []byte) (indexes []uint64, err error)
	CatchUp(ctx context.Context) (indexed uint64)
}

// A Log is what the handlers need of *log.Log.
type Log interface {
	// Checkpoint is the latest published, which has the quorum; Signed the latest that only the log need have signed.
	Checkpoint() (size uint64, note []byte)
	Signed() (size uint64, note []byte)
	WaitCovered(ctx context.Context, index uint64) (note []byte, err error)
	WaitSigned(ctx context.Context, index uint64) (note []byte, err error)
	Proof(ctx context.Context, index uint64) ([]byte, error)
	ProofSigned(ctx context.Context, index uint64) ([]byte, error)
	Leaf(ctx context.Context, index uint64) ([]byte, error)
	Reader() (*tiles.Reader, error)
	Size() uint64
	Health() log.Health
}

// Defaults of Limits.
const (
	DefaultMaxBody       = 64 << 20         // bytes of a request
	DefaultInFlight      = 512 << 20        // bytes of all requests at once
	DefaultConnections   = 2048             // of all listeners but ops
	DefaultRate          = 20_000           // requests a second of a principal
	DefaultBurst         = 20_000           // requests of a principal at once
	DefaultHeaderTimeout = 5 * time.Second  // until a request's header is there
	DefaultBodyTimeout   = 30 * time.Second // until its body is there
	DefaultWriteTimeout  = 2 * time.Minute  // from the header until the answer is sent
	DefaultIdleTimeout   = 2 * time.Minute  // between requests of a connection
	DefaultMaxHeader     = 16 << 10         // bytes
	DefaultMaxWait       = 10 * time.Second // that ?wait= waits for a checkpoint
)

// Limits bound what clients can make the server do. Zero stands for the default.
type Limits struct {
	MaxBody       int64
	InFlight      int64
	Connections   int
	Rate          float64
	Burst         int
	HeaderTimeout time.Duration
	BodyTimeout   time.Duration
	WriteTimeout  time.Duration
	IdleTimeout   time.Duration
	MaxHeader     int
	MaxWait       time.Duration
}

func (l *Limits) complete() error {
	l.MaxBody = cmp.Or(l.MaxBody, DefaultMaxBody)
	l.InFlight = cmp.Or(l.InFlight, DefaultInFlight)
	l.Connections = cmp.Or(l.Connections, DefaultConnections)
	l.Rate = cmp.Or(l.Rate, DefaultRate)
	l.Burst = cmp.Or(l.Burst, DefaultBurst)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, DefaultHeaderTimeout)
	l.BodyTimeout = cmp.Or(l.BodyTimeout, DefaultBodyTimeout)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, DefaultWriteTimeout)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, DefaultIdleTimeout)
	l.MaxHeader = cmp.Or(l.MaxHeader, DefaultMaxHeader)
	l.MaxWait = cmp.Or(l.MaxWait, DefaultMaxWait)
	smallest := min(l.MaxBody, l.InFlight, int64(l.Connections), int64(l.Burst), int64(l.HeaderTimeout), int64(l.BodyTimeout),
		int64(l.WriteTimeout), int64(l.IdleTimeout), int64(l.MaxHeader), int64(l.MaxWait))
	if smallest < 0 || !(l.Rate > 0) {
		return fmt.Errorf("a limit is negative")
	}
	if l.InFlight < l.MaxBody {
		return fmt.Errorf("a body may have %d bytes, all in flight %d: the largest body would never be taken", l.MaxBody, l.InFlight)
	}
	return nil
}

// Config is what the API is made of. All but Witnessed, Anchoring, Cosigned, Limits, OpsAnonymous, Logger, Registerer and Now is needed.
type Config struct {
	Recording Recording
	Log       Log
	Tree      storage.Tree
	Index     storage.Index
	Keyring   storage.Keyring
	Blobs     storage.Blobs
	Tokens    *access.Tokens

	// Witnessed says that policy demands witnesses, so that what is published has their quorum. Without it no receipt claims
	// the level witnessed.
	Witnessed bool

	Anchoring Anchoring // nil: nothing is time-stamped
	// Cosigned says which witnesses signed a checkpoint, and its size. Nil: none do.
	Cosigned func(note []byte) (size uint64, all []Cosigned)

	Health   func(ctx context.Context) Health // what the server knows of itself
	Gatherer prometheus.Gatherer              // what /metrics shows

	Limits       Limits
	OpsAnonymous bool // anyone who reaches the ops listener may see detail and metrics
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
	Now          func() time.Time
}

// An API makes handlers. It is safe for concurrent use.
type API struct {
	Config
	logger  *slog.Logger
	gate    *access.Gate
	budget  *budget
	rates   *rates
	conns   *Connections
	metrics *metrics
	ids     ids
	openapi document
}

// New makes an API.
func New(c Config) (*API, error) {
	if err := c.Limits.complete(); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &API{Config: c, logger: c.Logger, budget: &budget{max: c.Limits.InFlight}, conns: NewConnections(c.Limits.Connections)}
	a.rates = newRates(c.Limits.Rate, c.Limits.Burst, c.Now)
	a.gate = access.NewGate(watch{c.Recording}, c.Now)
	a.ids = newIDs()
	var err error
	if a.openapi, err = loadOpenAPI(); err != nil {
		return nil, err
	}
	if a.metrics, err = newMetrics(c.Registerer, a); err != nil {
		return nil, err
	}
	return a, nil
}

// Connections counts the connections of all listeners that it wraps.
func (a *API) Connections() *Connections { return a.conns }

// Server makes the server of one handler, with every limit on it that net/http has.
func (a *API) Server(h http.Handler) *http.Server {
	l := a.Limits
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: l.HeaderTimeout,
		WriteTimeout:      l.WriteTimeout,
		IdleTimeout:       l.IdleTimeout,
		MaxHeaderBytes:    l.MaxHeader,
		ConnContext:       markConnection,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug), // clients' mistakes, mostly
	}
}

// maxStreams bounds the requests of one HTTP/2 connection at a time.
const maxStreams = 64

// watch records reads as access events.
type watch struct{ recording Recording }

// Watch implements access.Watch.
func (w watch) Watch(ctx context.Context, p access.Principal, s access.Scope) error {
	ev := entry.Access{Principal: entry.ID(p.Name), What: entry.ID(s.What), Session: entry.UUID(s.Session), From: s.From, To: s.To}
	if s.Blob != [32]byte{} {
		h := entry.Hash(s.Blob)
		ev.Blob = &h
	}
	return w.recording.Access(ctx, ev)
}
