package log

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/storage"
)

const (
	// DefaultInterval is the time between checkpoints.
	DefaultInterval = time.Second
	// DefaultQueue is how many leaves wait for their place before Append sheds.
	DefaultQueue = 4096
	// DefaultQueueBytes is how many bytes wait.
	DefaultQueueBytes = 64 << 20
	// MaxLeaf is the greatest length of a leaf.
	MaxLeaf = 1<<16 - 1

	// settleTimeout bounds how long the answer to a failed append is looked for before the log stops.
	settleTimeout = 30 * time.Second
	// cosignTimeout bounds one request to a cosigner.
	cosignTimeout = 15 * time.Second
	// stampTimeout bounds one call of a stamper.
	stampTimeout = time.Minute
	// floorEvery is how long an answer of Config.Free is good for.
	floorEvery = 250 * time.Millisecond
)

// Config is what a log is made of.
type Config struct {
	Origin   string        // first line of every checkpoint
	Signer   note.Signer   // signs checkpoints; its name is Origin
	Verifier note.Verifier // the public half of Signer

	Sequencer storage.Sequencer // opened by the caller after Check, closed by Close
	Tree      storage.Tree
	Guard     storage.Guard
	Archive   storage.Archive

	Interval   time.Duration // between checkpoints; default DefaultInterval
	Queue      int           // leaves waiting; default DefaultQueue
	QueueBytes int           // bytes waiting; default DefaultQueueBytes

	Cosigners []Cosigner
	// Quorum says whether a checkpoint note carries the cosignatures that policy demands; only then is it published. Nil
	// demands none. It judges signatures: a note that it accepts need not be one that it saw before.
	Quorum   func(note []byte) bool
	Stampers []Stamper

	// Elsewhere returns checkpoints of this log that others hold: witnesses, mirrors, an operator's own copy. Open refuses
	// if one bears this log's signature and is larger than the guard's; what is not signed by the log is logged, no more.
	Elsewhere func(ctx context.Context) [][]byte

	// Free is the disk floor: while it says no, the log takes no leaves. It heals alone. Nil never refuses.
	Free func() (ok bool, reason string)

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: none
}

// A Cosigner asks one witness for its cosignature.
type Cosigner interface {
	// Cosign returns signature lines ("— name base64\n", one or more) over the text of req.Note, which it has verified, in
	// time: ctx ends after 15 s. It is never called twice at once, and again after an error, ever less often.
	Cosign(ctx context.Context, req CosignRequest) (lines []byte, err error)
}

// A CosignRequest is a checkpoint to be cosigned.
type CosignRequest struct {
	Size uint64
	Note []byte // signed by the log, with no cosignature
	// Consistency proves that the checkpoint extends the tree of an older size, which the witness names.
	Consistency func(ctx context.Context, from uint64) ([]storage.Hash, error)
}

// A Stamper is told of published checkpoints, to have them time-stamped. When and how often it does so is its own affair.
type Stamper interface {
	// Stamp gets the exact note that was published. It is never called twice at once: notes that are published while it is
	// busy are passed over but for the last.
	Stamp(ctx context.Context, size uint64, note []byte) error
}

func (c *Config) complete() error {
	if err := checkNames(c.Origin, c.Signer, c.Verifier); err != nil {
		return err
	}
	if c.Tree == nil || c.Guard == nil || c.Archive == nil {
		return errors.New("a log needs a tree, a guard and an archive")
	}
	if c.Interval < 0 || c.Queue < 0 || c.QueueBytes < 0 {
		return errors.New("interval and queue cannot be negative")
	}
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Queue = cmp.Or(c.Queue, DefaultQueue)
	c.QueueBytes = cmp.Or(c.QueueBytes, DefaultQueueBytes)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func checkNames(origin string, signer note.Signer, verifier note.Verifier) error {
	if signer == nil || verifier == nil {
		return errors.New("a log needs a signer and its verifier")
	}
	// SPEC: tlog-checkpoint: the name of the log's key should match the origin line. We demand it.
	if signer.Name() != origin {
		return fmt.Errorf("the signer is named %q, the log %q", signer.Name(), origin)
	}
	if verifier.Name() != origin || verifier.KeyHash() != signer.KeyHash() {
		return fmt.Errorf("the verifier %s+%08x does not belong to the signer %s+%08x",
			verifier.Name(), verifier.KeyHash(), signer.Name(), signer.KeyHash())
	}
	return checkOrigin(origin)
}
