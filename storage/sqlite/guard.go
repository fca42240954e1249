package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stenolog/steno/storage"
)

var guardSchema = schema{
	app: 0x73746e47, ver: 1, sync: "FULL",
	create: `CREATE TABLE guard (
		id     INTEGER PRIMARY KEY CHECK (id = 1),
		origin TEXT NOT NULL,
		size   INTEGER NOT NULL CHECK (size >= 0),
		root   BLOB NOT NULL CHECK (length(root) = 32),
		note   BLOB NOT NULL,
		sum    BLOB NOT NULL -- SHA-256 of all the others, see guardSum
	) STRICT`,
}

// A Guard is a file of its own with one row. It implements storage.Guard.
type Guard struct{ d *db }

var _ storage.Guard = (*Guard)(nil)

// OpenGuard opens a guard. It never makes a file: a guard that is missing is storage.ErrNotFound.
func OpenGuard(path string) (*Guard, error) {
	d, err := guardSchema.open(path, false)
	if err != nil {
		return nil, fmt.Errorf("opening guard: %w", err)
	}
	return &Guard{d}, nil
}

// CreateGuard makes the file of a guard and opens it. A file that is there is opened as it is (an interrupted creation is
// resumed so); that no state is overwritten is Create's affair.
func CreateGuard(path string) (*Guard, error) {
	d, err := guardSchema.open(path, true)
	if err != nil {
		return nil, fmt.Errorf("creating guard: %w", err)
	}
	return &Guard{d}, nil
}

// Close closes the file.
func (g *Guard) Close() error { return g.d.close() }

// Load implements storage.Guard.
func (g *Guard) Load(ctx context.Context) (storage.GuardState, error) {
	s, err := loadGuard(ctx, g.d.r)
	if err != nil {
		return s, fmt.Errorf("loading guard: %w", classify(err))
	}
	return s, nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func loadGuard(ctx context.Context, q querier) (storage.GuardState, error) {
	var s storage.GuardState
	var size int64
	var root, sum []byte
	err := q.QueryRowContext(ctx, "SELECT origin, size, root, note, sum FROM guard").Scan(&s.Origin, &size, &root, &s.Note, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return s, storage.ErrNotFound
	}
	if err != nil {
		return s, err
	}
	if len(root) != len(s.Root) || size < 0 {
		return storage.GuardState{}, fmt.Errorf("%w: root of %d bytes at size %d", ErrCorrupt, len(root), size)
	}
	s.Size, s.Root = uint64(size), storage.Hash(root)
	if want := guardSum(s); string(sum) != string(want) {
		return storage.GuardState{}, fmt.Errorf("%w: the guard's row has sum %x, its content %x", ErrCorrupt, sum, want)
	}
	return s, nil
}

// guardSum is what SQLite does not have: a checksum, so that a flipped bit is an error and not another state.
func guardSum(s storage.GuardState) []byte {
	h := sha256.New()
	field := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	h.Write([]byte("steno/guard-row/v1\n"))
	field([]byte(s.Origin))
	h.Write(binary.BigEndian.AppendUint64(nil, s.Size))
	h.Write(s.Root[:])
	field(s.Note)
	return h.Sum(nil)
}

// Create implements storage.Guard.
func (g *Guard) Create(ctx context.Context, first storage.GuardState) error {
	err := g.d.write(ctx, func(tx *sql.Tx) error {
		switch _, err := loadGuard(ctx, tx); {
		case err == nil:
			return storage.ErrExists
		case !errors.Is(err, storage.ErrNotFound):
			return err
		}
		return storeGuard(ctx, tx, first)
	})
	if err != nil {
		return fmt.Errorf("creating guard: %w", classify(err))
	}
	return nil
}

// Swap implements storage.Guard. The transaction holds SQLite's lock for writing from before it reads, so comparing and
// setting are one step for other processes too.
func (g *Guard) Swap(ctx context.Context, old, new storage.GuardState) error {
	err := g.d.write(ctx, func(tx *sql.Tx) error {
		have, err := loadGuard(ctx, tx)
		if err != nil {
			return err
		}
		if have.Size != old.Size || have.Root != old.Root {
			return fmt.Errorf("%w: guard has size %d root %x, not size %d root %x",
				storage.ErrConflict, have.Size, have.Root, old.Size, old.Root)
		}
		if new.Origin != have.Origin || new.Size < have.Size || new.Size == have.Size && new.Root != have.Root {
			return fmt.Errorf("%w: guard has %q size %d root %x, which %q size %d root %x does not extend",
				storage.ErrConflict, have.Origin, have.Size, have.Root, new.Origin, new.Size, new.Root)
		}
		return storeGuard(ctx, tx, new)
	})
	if err != nil {
		return fmt.Errorf("swapping guard: %w", classify(err))
	}
	return nil
}

func storeGuard(ctx context.Context, tx *sql.Tx, s storage.GuardState) error {
	size, err := toInt64(s.Size, "size")
	if err != nil {
		return err
	}
	if s.Note == nil {
		s.Note = []byte{}
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO guard (id, origin, size, root, note, sum) VALUES (1, ?, ?, ?, ?, ?)",
		s.Origin, size, s.Root[:], s.Note, guardSum(s))
	return err
}
