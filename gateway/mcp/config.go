package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
)

// A Recorder writes one track. Its methods may be called from several goroutines; the events of one call follow each other
// without a gap, and those of a later call come after those of an earlier one. Both return the place of the first event.
type Recorder interface {
	// Record returns nil when the log has acknowledged the events. An error that wraps ErrPending says that they are durable
	// on local disk and will be sent, but were not acknowledged before ctx ended. With any other error they are not, and will
	// not be, recorded.
	Record(ctx context.Context, events ...recorder.Event) (first entry.Ref, err error)

	// Spool returns nil when the events are durable on local disk; they are sent in the background. It must work while the
	// log is away, and should have room left when Record has none. An error ends the session.
	Spool(events ...recorder.Event) (first entry.Ref, err error)
}

// Errors of a session.
var (
	// ErrPending is wrapped by a Recorder for events that are kept locally and not acknowledged by the log.
	ErrPending = errors.New("kept locally, not acknowledged by the log")

	// ErrStopped is wrapped by Run when events could not even be kept locally, so that the session was stopped.
	ErrStopped = errors.New("session stopped: it can no longer be recorded")
)

// OnFailure says what happens to privileged calls while the log does not acknowledge.
type OnFailure string

const (
	Closed OnFailure = "closed" // they are refused
	Spool  OnFailure = "spool"  // they go through on the strength of the local spool, bounded in time and bytes
)

// Defaults of Config.
const (
	DefaultMaxLine        = 16 << 20 // bytes
	DefaultMaxInFlight    = 1024     // requests
	DefaultQueueBytes     = 32 << 20 // bytes, for each direction and for the events that wait to be spooled
	DefaultDurableTimeout = 10 * time.Second
	DefaultGrace          = 5 * time.Second
	DefaultSpoolTime      = 15 * time.Minute
	DefaultSpoolBytes     = 64 << 20 // bytes of calls, as the client sent them
	DefaultActionPrefix   = "mcp"
	DefaultSource         = "mcp"
)

const (
	maxLineLimit = 64 << 20               // a payload that is larger would not fit its event
	outageWait   = 500 * time.Millisecond // for the log, per call, once calls are let through on the spool
)

// Config is what a gateway is made of. Zero values stand for the defaults.
type Config struct {
	Command []string // of the server: program and arguments
	Dir     string   // in which it runs; the current one if empty
	Env     []string // nil: ours, without STENO_ variables other than STENO_SESSION, since these carry credentials

	Stdin  io.Reader // of the client. A read under way when Run returns is left behind: Run does not close it
	Stdout io.Writer // to the client
	Stderr io.Writer // of the server, relayed and not recorded; nil discards it

	// Signals are passed on to the server's process group, and the server is given Grace to end. Run listens for SIGINT,
	// SIGTERM and SIGHUP itself when it is nil.
	Signals <-chan os.Signal

	Recorder     Recorder
	Privileged   []string // methods that are treated like tools/call, besides it
	ActionPrefix string   // actions are called prefix-1, prefix-2, …: give each gateway of a session its own
	Source       entry.ID // by which catalogues name the server

	OnFailure  OnFailure     // Closed
	SpoolTime  time.Duration // how long calls go through on the spool alone, from the first one
	SpoolBytes int64         // how many bytes of calls, likewise

	MaxLine        int // bytes of a line that is relayed, at most 64 MiB
	MaxInFlight    int // requests of the client that wait for an answer
	QueueBytes     int
	DurableTimeout time.Duration // how long a call waits for the log
	Grace          time.Duration // how long the server is given to end, before each harder means

	Now    func() time.Time
	Logger *slog.Logger // nil: none
}

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.ActionPrefix, DefaultActionPrefix)
	setDefault(&c.Source, DefaultSource)
	setDefault(&c.OnFailure, Closed)
	setDefault(&c.SpoolTime, DefaultSpoolTime)
	setDefault(&c.SpoolBytes, DefaultSpoolBytes)
	setDefault(&c.MaxLine, DefaultMaxLine)
	setDefault(&c.MaxInFlight, DefaultMaxInFlight)
	setDefault(&c.QueueBytes, DefaultQueueBytes)
	setDefault(&c.DurableTimeout, DefaultDurableTimeout)
	setDefault(&c.Grace, DefaultGrace)
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Recorder == nil || c.Stdin == nil || c.Stdout == nil {
		return c, errors.New("mcp gateway: recorder, standard input and standard output are needed")
	}
	if c.OnFailure != Closed && c.OnFailure != Spool {
		return c, fmt.Errorf("mcp gateway: on failure %q is neither closed nor spool", c.OnFailure)
	}
	if c.MaxLine < 1024 || c.MaxLine > maxLineLimit {
		return c, fmt.Errorf("mcp gateway: lines of %d bytes, 1 KiB to 64 MiB are possible", c.MaxLine)
	}
	// With the longest number behind it the prefix must still be an id, or no action could be recorded.
	if err := entry.CheckID(c.ActionPrefix + "-18446744073709551615"); err != nil {
		return c, fmt.Errorf("mcp gateway: action prefix: %w", err)
	}
	if err := entry.CheckID(string(c.Source)); err != nil {
		return c, fmt.Errorf("mcp gateway: source: %w", err)
	}
	return c, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
