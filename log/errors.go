package log

import (
	"errors"
	"fmt"

	"github.com/stenolog/steno/storage"
)

var (
	// ErrOverloaded means that the queue is full. Nothing of the call was taken; try again later.
	ErrOverloaded = errors.New("the log is overloaded")
	// ErrReadOnly means that the log takes no leaves for now, because its disk is at the floor. Nothing of the call was
	// taken.
	ErrReadOnly = errors.New("the log is read-only")
	// ErrStopped means that the log takes and signs nothing more until an operator has looked at it and started it again.
	// It is always a *StoppedError.
	ErrStopped = errors.New("the log has stopped")
	// ErrClosed means that Close was called. Unless it is an ErrStopped as well, nothing of the call was taken.
	ErrClosed = errors.New("the log is closed")
	// ErrNotAppended means that it is certain that leaves are not in the log and never will be by this call.
	ErrNotAppended = errors.New("not appended")
	// ErrTooLarge means that a leaf, or a call, is larger than the log ever takes.
	ErrTooLarge = errors.New("too large for the log")
	// ErrNotCovered means that no checkpoint covers the index yet: no published one, or no signed one, as was asked for.
	ErrNotCovered = errors.New("no checkpoint covers it yet")
)

// A NotAppendedError answers an Append of which not every leaf is in the log. It is an ErrNotAppended.
type NotAppendedError struct {
	Placed map[int]Placed // leaves of the call, by position, that are in the log all the same
	Err    error          // what went wrong
}

func (e *NotAppendedError) Error() string {
	if len(e.Placed) > 0 {
		return fmt.Sprintf("%d leaves appended, the others not: %v", len(e.Placed), e.Err)
	}
	return fmt.Sprintf("not appended: %v", e.Err)
}

// Unwrap makes it an ErrNotAppended.
func (e *NotAppendedError) Unwrap() []error { return []error{ErrNotAppended, e.Err} }

// A StoppedError says why the log has stopped for good. It is an ErrStopped.
type StoppedError struct {
	Reason error
	// Unknown is true of the leaves that were under way when the log stopped: they may be in it. All others are not, and
	// the error is an ErrNotAppended as well.
	Unknown bool
}

func (e *StoppedError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("the log has stopped, and it is not known whether the leaves are in it: %v", e.Reason)
	}
	return fmt.Sprintf("the log has stopped: %v", e.Reason)
}

// Unwrap makes it an ErrStopped, and an ErrNotAppended where that is certain.
func (e *StoppedError) Unwrap() []error {
	if e.Unknown {
		return []error{ErrStopped, e.Reason}
	}
	return []error{ErrStopped, ErrNotAppended, e.Reason}
}

// A NotCoveredError says how far checkpoints reach, those published or those signed. It is an ErrNotCovered.
type NotCoveredError struct{ Index, Size uint64 }

func (e *NotCoveredError) Error() string {
	return fmt.Sprintf("index %d is not covered: the latest checkpoint has size %d", e.Index, e.Size)
}

// Is makes it an ErrNotCovered.
func (e *NotCoveredError) Is(target error) bool { return target == ErrNotCovered }

// Reasons for which the log refuses to open or to sign. errors.Is finds them in a *RefusedError.
var (
	ErrGuardMissing  = errors.New("the guard is missing")
	ErrGuardForeign  = errors.New("the guard belongs to another log")
	ErrGuardInvalid  = errors.New("the guard's checkpoint is not what the log signed")
	ErrGuardBehind   = errors.New("a checkpoint that the log signed is newer than its guard")
	ErrGuardMoved    = errors.New("another process signs for this log")
	ErrGuardInside   = errors.New("the guard lies inside what it guards")
	ErrTreeMissing   = errors.New("the tree is missing")
	ErrTreeBehind    = errors.New("the tree is smaller than what the log signed")
	ErrRootDiffers   = errors.New("the tree has another root than what the log signed")
	ErrTreeDamaged   = errors.New("the stored tree is damaged")
	ErrTreeForeign   = errors.New("the tree holds leaves that this log did not admit")
	ErrRetired       = errors.New("the log is retired")
	ErrArchiveBroken = errors.New("the archive of checkpoints does not fit the guard")
	ErrUnknown       = errors.New("what others hold of this log does not tell what it signed")
)

// wayOut says what an operator can do about a reason.
var wayOut = map[error]string{
	ErrGuardMissing: "put the guard back, or, if it is lost, rebuild it from what witnesses have seen with " +
		"\"stenod guard rebuild --witness-quorum\", or retire the log: its successor names the last checkpoint known",
	ErrGuardForeign: "point the configuration to this log's own guard",
	ErrGuardInvalid: "put this log's own guard back, or configure the key that signed it",
	ErrGuardBehind:  "put the newest guard and tree back, or retire the log: it must not sign from an older state",
	ErrGuardMoved:   "stop the other process; only one may sign for a log; then start this one again",
	ErrGuardInside:  "move the guard to another directory, best on another disk, that is not restored together with the log",
	ErrTreeMissing:  "put the tree back, or retire the log",
	ErrTreeBehind:   "put the newest tree back (an old copy was restored, or its state file is lost), or retire the log",
	ErrRootDiffers:  "put back the tree that was signed, or retire the log: it must not sign a second history",
	ErrTreeDamaged:  "replace the damaged file from a mirror or backup (its hash tells the right one) and start again",
	ErrTreeForeign:  "find what else writes to the tree; audit the log; then start again",
	ErrRetired:      "append to its successor; the retired log can still be read and proven from",
	ErrArchiveBroken: "put the archive back: it holds every published checkpoint; it can be refilled from witnesses and " +
		"mirrors",
	ErrUnknown: "bring checkpoints of this log from witnesses or mirrors, each signed by a key of the log that is configured",
}

// A RefusedError says why the log does not open or does not sign, on what evidence, and what can be done.
type RefusedError struct {
	Reason    error // one of the list above
	Origin    string
	GuardSize uint64 // what was signed last, as far as it is known
	GuardRoot storage.Hash
	TreeSize  uint64 // what was found
	TreeRoot  storage.Hash
	Err       error // more of the cause, or nil
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Origin, e.Reason)
	if none := (storage.Hash{}); e.GuardRoot != none || e.TreeRoot != none { // else there was nothing to compare
		s += fmt.Sprintf(" (signed: size %d, root %x; found: size %d, root %x)", e.GuardSize, e.GuardRoot, e.TreeSize, e.TreeRoot)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; way out: " + e.WayOut()
}

// WayOut is what an operator can do.
func (e *RefusedError) WayOut() string { return wayOut[e.Reason] }

// Unwrap yields the reason and the cause.
func (e *RefusedError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}
