// Package storage is what steno asks of the disks under it: seven small contracts, each stating per method what is durable
// when it returns. Backends live in packages of their own (posix, sqlite); storagetest holds the suite that each must pass
// as it is. This package imports nothing else of steno, and knows nothing of entries, sessions or keys: a leaf is bytes.
//
// Two kinds of data are kept apart. Primary data (leaves, blobs, keyring, guard, checkpoint archive) is fully synchronous:
// "durable" below means that it survives kill -9 and power loss from the moment the method returns. Derived data (views)
// can be deleted at any time and is rebuilt from the leaves.
//
// Any method may return an error at any time; unless its comment says otherwise, an error means that the effect is
// unknown, and the caller must find out before it goes on. All methods are safe for concurrent use.
package storage

import (
	"context"
	"errors"
	"io"
	"time"
)

// Hash is a SHA-256 digest.
type Hash = [32]byte

var (
	// ErrNotFound means that what was asked for is not there, and that the store was able to look.
	ErrNotFound = errors.New("not found")
	// ErrExists means that a create found something in its place.
	ErrExists = errors.New("exists already")
	// ErrConflict means that a compare-and-swap found another state than the caller expected.
	ErrConflict = errors.New("state is not the expected one")
	// ErrLocked means that another process, or another part of this one, holds what may be held only once.
	ErrLocked = errors.New("held by another process")
	// ErrReadOnly means that the store accepts nothing more: its disk is at the floor, or an earlier write failed in a
	// way (a failed fsync) after which nothing it says about durability could be believed.
	ErrReadOnly = errors.New("store is read-only")
	// ErrDestroyed means that a key existed and was destroyed on purpose.
	ErrDestroyed = errors.New("destroyed")
)

// A Sequencer gives leaves their places in the log. At most one is live for a log.
type Sequencer interface {
	// Append adds leaves (at most 65,535 bytes each) and returns the index of each, in the order given. When it returns
	// without error all of them are durable and integrated: Tree's Head covers them. Indexes of one call need not be
	// consecutive. An error means unknown: any of the leaves may or may not have an index, now or later, until Settle. Leaves
	// are the caller's again as soon as Append returns, whatever it returns; it returns when ctx ends.
	Append(ctx context.Context, leaves [][]byte) (indexes []uint64, err error)
	// Settle returns once every earlier Append that failed either lies below size or never will be in the log. What lies
	// below size is durable and integrated. After an error that wraps ErrReadOnly there is nothing left to try.
	Settle(ctx context.Context) (size uint64, err error)
	// Close waits until every Append has its answer, then releases the log for another sequencer. If ctx ends first, the
	// log stays held and Close can be called again; Appends that still wait return an error.
	Close(ctx context.Context) error
}

// A Tree reads the integrated Merkle tree (RFC 6962 hashes) in the shape of c2sp.org/tlog-tiles. What it returns is not
// believed: callers check hashes.
type Tree interface {
	// Head is the integrated size and the root that the backend believes to have at that size.
	Head(ctx context.Context) (size uint64, root Hash, err error)
	// Tile returns the hashes of a tile, width 1 to 255 for a partial one, 0 for a full one (256). ErrNotFound if it is
	// not there; a partial tile that was overtaken may be answered by ErrNotFound while the full one exists.
	Tile(ctx context.Context, level, index uint64, width uint8) ([]byte, error)
	// Bundle returns an entry bundle (uint16-length-prefixed leaves), with widths and errors as in Tile.
	Bundle(ctx context.Context, index uint64, width uint8) ([]byte, error)
}

// A Ref names a blob: the SHA-256 of its bytes and their number.
type Ref struct {
	SHA256 Hash
	Size   int64
}

// Blobs keeps opaque byte strings (sealed payloads) by hash. A Segment groups what will expire together.
type Blobs interface {
	// Put stores blobs into the segment and returns when all are durable. It is idempotent: bytes that are there already
	// are stored once. It checks that each blob hashes to its Ref, and stores none if one does not.
	Put(ctx context.Context, segment Segment, blobs []Blob) error
	// Open returns the blob's bytes, checked against Ref's hash as they are read: if they are not the bytes that were
	// stored, the last of them are withheld and Read returns an error instead. ErrNotFound if it is not there.
	Open(ctx context.Context, ref Ref) (io.ReadCloser, error)
	// Has reports which of refs are durable.
	Has(ctx context.Context, refs []Ref) ([]bool, error)
	// Erase removes blobs. It is resumable: what is gone already is no error.
	Erase(ctx context.Context, refs []Ref) error
}

// A Blob is bytes under their name.
type Blob struct {
	Ref
	Bytes []byte
}

// A Segment is a retention class and a UTC day (truncated to midnight). Class is at most 64 of [a-z0-9-].
type Segment struct {
	Class string
	Day   time.Time
}

// GuardState is the last checkpoint that the log signed.
type GuardState struct {
	Origin string
	Size   uint64
	Root   Hash
	// Note is the signed checkpoint itself, so that the guard can show what it guards.
	Note []byte
}

// A Guard remembers the last signed checkpoint in a place that is never inside what it guards.
type Guard interface {
	// Load returns the state. A guard that was never created is ErrNotFound: a caller must not take that for size 0.
	Load(ctx context.Context) (GuardState, error)
	// Swap replaces old by new, durably and linearizably: of several callers with the same old exactly one succeeds, the
	// others get ErrConflict. Size and root decide whether old is the present state. ErrConflict too if new has another
	// origin, a smaller size, or another root at the same size (the same size and root are fine: another Note).
	Swap(ctx context.Context, old, new GuardState) error
	// Create makes the guard durable with its first state; ErrExists if there is one. Only the command that creates a
	// log calls it.
	Create(ctx context.Context, first GuardState) error
}

// An Archive keeps every published checkpoint: a log's tree directory has only the latest.
type Archive interface {
	// Put stores the note of a checkpoint (at most 64 KiB) under its size, durably. The same bytes again are no error. A
	// note of the same size with another text is ErrConflict; one with the same text and more signatures replaces the
	// older. One that lacks a signature of the older is no error, and the older stays.
	Put(ctx context.Context, size uint64, note []byte) error
	// Latest returns the note with the greatest size; ErrNotFound if there is none.
	Latest(ctx context.Context) (size uint64, note []byte, err error)
	// Covering returns the note with the least size greater than index; ErrNotFound if none covers it.
	Covering(ctx context.Context, index uint64) (size uint64, note []byte, err error)
}

// A Keyring holds wrapped unit keys: the files that the vault can open. It is never part of a backup that outlives them.
type Keyring interface {
	// Put stores a wrap durably. The same bytes again are no error; other bytes under a taken name (session and key) are
	// ErrExists.
	Put(ctx context.Context, w Wrap) error
	// List returns the wraps of a session, ordered by track and key commitment, without those destroyed.
	List(ctx context.Context, session string) ([]Wrap, error)
	// Destroy overwrites and removes the wrap of a key, durably, and leaves a tombstone, so that List no longer has it
	// and Put refuses it with ErrDestroyed. What was destroyed already, or never put, is no error.
	Destroy(ctx context.Context, session string, key Hash) error
}

// A Wrap is one unit key, encrypted to the recipients of its class (an age file, c2sp.org/age).
type Wrap struct {
	Session string
	Track   string
	Class   string
	Key     Hash // commitment to the unit key, as the track's open or roll states it
	File    []byte
}

// A Lease makes sure that one process at a time writes to a log.
type Lease interface {
	// Acquire takes the lease for the life of the process, or until Release, without waiting: ErrLocked names the holder
	// as far as it is known. The epoch is greater than that of every earlier lease.
	Acquire(ctx context.Context) (epoch uint64, err error)
	Release(ctx context.Context) error
}

// A View is derived data over the log's leaves, stored together with the tree size that it reflects.
type View interface {
	// Size is the number of leaves applied.
	Size(ctx context.Context) (uint64, error)
	// Drop deletes everything, so that Size is 0.
	Drop(ctx context.Context) error
}
