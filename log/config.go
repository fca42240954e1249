package log

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

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
	Origin string // first line of every checkpoint
	// Signers each put a signature under every checkpoint. At least one is a plain Ed25519 key; all are named Origin. While a
	// key rotates, the old and the new one sign.
	Signers []note.Signer
	// Verifiers are the public halves of Signers, and of every key that the log signed with before: what guard and archive
	// hold, and what others show, opens with any of them. One that is left out makes a stranger of its signatures, also where
	// they prove that the log went further than it knows.
	Verifiers []note.Verifier

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

	// Elsewhere returns checkpoints of this log that others hold: witnesses, mirrors, an operator's own copy. It is asked by
	// Check and by Open, and ctx ends after 5 s. Open refuses if one bears this log's signature and is not of the history that
	// guard and tree have, in particular if it is larger than the guard's; what is not signed by the log is logged, no more.
	//
	// Enough says that those who did not answer could not have made a quorum by themselves. As long as it is false, the log
	// is open and takes leaves, but signs nothing; it asks again, less and less often, and goes on alone.
	Elsewhere func(ctx context.Context) (notes [][]byte, enough bool)

	// Binds tells whether a checkpoint that others show, and that bears a signature by one of Verifiers, can be held against the
	// log. One that cannot, because the key was stolen, say, is somebody's word. Nil: every one can.
	Binds func(note []byte) bool

	// Alarm is told what somebody should look at. It is called from the publisher and must not block. Nil tells nobody.
	Alarm func(Alarm)

	// Free is the disk floor: while it says no, the log takes no leaves. It heals alone. Nil never refuses.
	Free func() (ok bool, reason string)

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: none
}

// A Cosigner asks one witness for its cosignature.
type Cosigner interface {
	// Name tells it from the other cosigners. It is a label of metrics.
	Name() string
	// Cosign returns signature lines ("— name base64\n", one or more) over the text of req.Note, which it has verified, in
	// time: ctx ends after 15 s. It is never called twice at once, and again after an error, ever less often. If the witness
	// has seen more of this log than req, the error is an *AheadError.
	Cosign(ctx context.Context, req CosignRequest) (lines []byte, err error)
}

// A CosignRequest is a checkpoint to be cosigned.
type CosignRequest struct {
	Size uint64
	Note []byte // signed by the log, with no cosignature
	// Consistency proves that the checkpoint extends the tree of an older size, which the witness names.
	Consistency func(ctx context.Context, from uint64) ([]storage.Hash, error)
}

// An AheadError is a cosigner's answer that its witness has seen more of this log than it was asked to cosign.
//
// If it shows that, by a checkpoint that bears this log's signature and that the log does not know, the log was rolled back:
// it stops. What is only claimed raises an alarm, so that one liar cannot halt the log.
type AheadError struct {
	Size uint64 // as the witness says
	Note []byte // the checkpoint itself, or nil if the witness could not show it
}

func (e *AheadError) Error() string {
	if e.Note == nil {
		return fmt.Sprintf("it claims to have seen this log at size %d", e.Size)
	}
	return fmt.Sprintf("it shows a checkpoint of this log of size %d", e.Size)
}

// Kinds of alarms.
const (
	AlarmQuorumLost     = "quorum-lost"     // a signed checkpoint has waited for its quorum for too long
	AlarmQuorumRestored = "quorum-restored" // a checkpoint was published again
	AlarmCosignerAhead  = "cosigner-ahead"  // a cosigner claims, and does not show, a larger checkpoint than was signed
)

// An Alarm is something that somebody should look at.
type Alarm struct {
	Kind     string
	Cosigner string // its name, or ""
	Size     uint64 // of the checkpoint that waits, was published, or is claimed
}

// A Stamper is told of published checkpoints, to have them time-stamped. When and how often it does so is its own affair.
type Stamper interface {
	// Stamp gets the exact note that was published. It is never called twice at once: notes that are published while it is
	// busy are passed over but for the last.
	Stamp(ctx context.Context, size uint64, note []byte) error
}

// complete checks the configuration and sets its defaults.
func (c *Config) complete() (keys, error) {
	k, err := newKeys(c.Origin, c.Signers, c.Verifiers)
	if err != nil {
		return k, err
	}
	if c.Tree == nil || c.Guard == nil || c.Archive == nil {
		return k, errors.New("a log needs a tree, a guard and an archive")
	}
	if c.Interval < 0 || c.Queue < 0 || c.QueueBytes < 0 {
		return k, errors.New("interval and queue cannot be negative")
	}
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Queue = cmp.Or(c.Queue, DefaultQueue)
	c.QueueBytes = cmp.Or(c.QueueBytes, DefaultQueueBytes)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Alarm == nil {
		c.Alarm = func(Alarm) {}
	}
	if c.Binds == nil {
		c.Binds = func([]byte) bool { return true }
	}
	return k, checkCosigners(c.Cosigners)
}

func checkCosigners(cosigners []Cosigner) error {
	seen := make(map[string]bool)
	for _, c := range cosigners {
		name := c.Name()
		if name == "" || !utf8.ValidString(name) || seen[name] {
			return fmt.Errorf("%q is no name for a cosigner, or that of two", name)
		}
		seen[name] = true
	}
	return nil
}
