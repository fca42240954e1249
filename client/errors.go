package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

var (
	// ErrPending means that events are in the spool, fsynced, and will be sent, but that the log has not acknowledged them.
	ErrPending = errors.New("spooled, not acknowledged by the log")
	// ErrSpoolFull means that the spool has reached its bound of bytes or of age: nothing was recorded.
	ErrSpoolFull = errors.New("spool is full")
	// ErrSpoolBroken means that an earlier write to the spool failed in a way after which it cannot be believed.
	ErrSpoolBroken = errors.New("spool is broken")
	// ErrSpoolLocked means that another process records from this directory.
	ErrSpoolLocked = errors.New("spool is in use by another process")
	// ErrDistrusted means that the server was caught contradicting what it signed or acknowledged. Nothing is sent to it any
	// more, also after a restart, until somebody has looked at the evidence and moved it away.
	ErrDistrusted = errors.New("the log is no longer trusted")
	// ErrClosed means that the track, its session or the recorder was closed.
	ErrClosed = errors.New("closed")
	// ErrNotResumed means that the track was found in the spool of an earlier process and has no keys: see Resume.
	ErrNotResumed = errors.New("track was not resumed")
)

// A Problem is a refusal by the server, as it said it (RFC 9457). Its texts are the server's.
type Problem struct {
	wire.Problem
	RetryAfter time.Duration // 0 if the server did not say
}

func (p *Problem) Error() string {
	return fmt.Sprintf("the server answered %d %s: %q", p.Status, p.Code, p.Detail)
}

// A PendingError says how far events got: they are in the spool and no farther, as far as is known.
type PendingError struct {
	Session, Track string
	Seq            uint64 // of the first of them
	Cause          error  // why the wait ended
	LastSend       error  // what happened when it was last tried, or nil
}

func (e *PendingError) Error() string {
	s := fmt.Sprintf("%s/%s from %d: %v: %v", e.Session, e.Track, e.Seq, ErrPending, e.Cause)
	if e.LastSend != nil {
		s += fmt.Sprintf(" (last attempt: %v)", e.LastSend)
	}
	return s
}

// Unwrap makes errors.Is true for ErrPending and for what ended the wait.
func (e *PendingError) Unwrap() []error { return []error{ErrPending, e.Cause} }

// A RefusedError says that the server refused an entry for good: sending it again would not help. It stays in the spool,
// and nothing follows it on its track.
type RefusedError struct {
	Session, Track string
	Seq            uint64
	Problem        *Problem
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("entry %s/%s from %d was refused: %v", e.Session, e.Track, e.Seq, e.Problem)
}

func (e *RefusedError) Unwrap() error { return e.Problem }

// A ConflictError says that the log holds, or says that it holds, other entries on the track than this recorder made: two
// recorders with one key, or a spool that was restored or copied.
type ConflictError struct {
	Session, Track string
	Next           uint64 // where this recorder believes the track to stand
	Head           entry.Hash
	TheirNext      uint64 // where the server says that it stands
	TheirHead      entry.Hash
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("track %s/%s stands at %d (%s) for the server, at %d (%s) here: somebody else extended it, or this spool is old",
		e.Session, e.Track, e.TheirNext, e.TheirHead, e.Next, e.Head)
}

// A BehindError is proof that the server forgot what it had acknowledged, or at least says so: its head of a track is
// behind entries for which this recorder holds verified receipts.
type BehindError struct {
	Session, Track string
	Next           uint64 // after the last acknowledged event
	Head           entry.Hash
	TheirNext      uint64
	TheirHead      entry.Hash
	Leaf           []byte // the last acknowledged entry with the log's receipt, if the spool still has it
	Answer         []byte // what the server said now
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("track %s/%s: the server acknowledged events below %d with head %s and now stands at %d with head %s",
		e.Session, e.Track, e.Next, e.Head, e.TheirNext, e.TheirHead)
}

// A ReceiptError says that the server answered an entry with a receipt that is not one.
type ReceiptError struct {
	Session, Track string
	Seq            uint64
	Submission     []byte
	Answer         []byte // the receipt, as JSON
	Err            error
}

func (e *ReceiptError) Error() string {
	return fmt.Sprintf("receipt for %s/%s from %d: %v", e.Session, e.Track, e.Seq, e.Err)
}

func (e *ReceiptError) Unwrap() error { return e.Err }

// A LeafError says that a leaf is not where the server said that it is: a receipt without its leaf.
type LeafError struct {
	Session, Track string
	Seq            uint64
	Index          uint64
	Leaf           []byte   // with the log's receipt
	Found          [32]byte // hash of the leaf that stands there
	Checkpoint     trust.Checkpoint
}

func (e *LeafError) Error() string {
	return fmt.Sprintf("entry %s/%s from %d is not at index %d of the tree of size %d, where another leaf stands",
		e.Session, e.Track, e.Seq, e.Index, e.Checkpoint.Size)
}

// A QuorumError says that the log published a checkpoint that lacks what the trust file demands. It proves nothing: the log
// may hold to another trust file, or somebody be on the way to it.
type QuorumError struct {
	Checkpoint trust.Checkpoint
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("the checkpoint of size %d that the log published lacks what the trust file demands: %s", e.Checkpoint.Size, e.Checkpoint.Missing)
}

// A ForkError is proof that the log signed two histories.
type ForkError struct {
	Ours, Theirs trust.Checkpoint
	OldSize      uint64   // the smaller of the two sizes
	OldRoot      [32]byte // the root at that size in the tree of the larger one
	Proof        [][32]byte
}

// Fork is the proof, for whoever has the log's key and nothing else.
func (e *ForkError) Fork() trust.Fork {
	if e.Ours.Size == e.Theirs.Size {
		return trust.Fork{Small: e.Ours.Note, Large: e.Theirs.Note}
	}
	f := trust.Fork{Small: e.Ours.Note, Large: e.Theirs.Note, Prefix: &e.OldRoot, Proof: e.Proof}
	if e.Ours.Size > e.Theirs.Size {
		f.Small, f.Large = f.Large, f.Small
	}
	return f
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log signed two histories: size %d with root %x, and size %d with root %x, in which the root at size %d is %x",
		e.Ours.Size, e.Ours.Root, e.Theirs.Size, e.Theirs.Root, e.OldSize, e.OldRoot)
}

// A DistrustedError is what every call but Spool returns after the server was caught.
type DistrustedError struct {
	Evidence string // a fork file (trust.Fork), or a directory
	Cause    error  // nil if it was an earlier process that found it
}

func (e *DistrustedError) Error() string {
	s := fmt.Sprintf("%v: evidence is in %s; to record with this log again, have it examined and move it away", ErrDistrusted, e.Evidence)
	if strings.HasSuffix(e.Evidence, forkSuffix) {
		s += " (steno trust fork judges it)"
	}
	if e.Cause != nil {
		s += fmt.Sprintf(": %v", e.Cause)
	}
	return s
}

// Unwrap makes errors.Is true for ErrDistrusted, and errors.As for the cause.
func (e *DistrustedError) Unwrap() []error { return []error{ErrDistrusted, e.Cause} }

// A SpoolError says what in the spool cannot be read.
type SpoolError struct {
	Path   string
	Offset int64
	Err    error
}

func (e *SpoolError) Error() string {
	return fmt.Sprintf("spool %s, byte %d: %v", e.Path, e.Offset, e.Err)
}

func (e *SpoolError) Unwrap() error { return e.Err }
