package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/stenolog/steno/storage"
)

// Limits of an Item.
const (
	MaxKey   = 512
	MaxValue = 64 << 10
)

const headsCreate = viewMeta + `CREATE TABLE heads (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;`

// Heads is a file of its own. It implements storage.Heads.
type Heads struct{ view }

var _ storage.Heads = (*Heads)(nil)

// OpenHeads opens the file, or makes it. Of an error that is ErrCorrupt the way out is RemoveView.
func OpenHeads(path string) (*Heads, error) {
	s := schema{app: 0x73746e48, ver: 1, sync: viewSync, create: headsCreate, extra: viewTuning}
	d, err := s.open(path, true)
	if err != nil {
		return nil, fmt.Errorf("opening heads: %w", err)
	}
	return &Heads{view{d: d, tables: []string{"heads", "meta"}, create: headsCreate}}, nil
}

// Apply implements storage.Heads.
func (h *Heads) Apply(ctx context.Context, size uint64, puts []storage.Item, deletes []string) error {
	for _, item := range puts {
		if len(item.Key) > MaxKey || len(item.Value) > MaxValue {
			return fmt.Errorf("applying heads: item with key of %d bytes and value of %d, the limits are %d and %d",
				len(item.Key), len(item.Value), MaxKey, MaxValue)
		}
	}
	err := h.d.write(ctx, func(tx *sql.Tx) error {
		if err := setSize(ctx, tx, size); err != nil {
			return err
		}
		const insert = "INSERT INTO heads (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
		err := insertEach(ctx, tx, insert, len(puts), func(i int) []any {
			return []any{[]byte(puts[i].Key), nonNil(puts[i].Value)}
		})
		if err != nil {
			return err
		}
		return deleteKeys(ctx, tx, deletes)
	})
	if err != nil {
		return fmt.Errorf("applying heads: %w", classify(err))
	}
	return nil
}

func deleteKeys(ctx context.Context, tx *sql.Tx, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, "DELETE FROM heads WHERE key = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, key := range keys {
		if _, err := stmt.ExecContext(ctx, []byte(key)); err != nil {
			return err
		}
	}
	return nil
}

// Get implements storage.Heads.
func (h *Heads) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := h.d.r.QueryRowContext(ctx, "SELECT value FROM heads WHERE key = ?", []byte(key)).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("getting head %q: %w", key, classify(err))
	}
	return nonNil(value), nil
}

// Load implements storage.Heads. It reads one state of the view, whatever Apply does meanwhile.
func (h *Heads) Load(ctx context.Context, prefix string, f func(storage.Item) error) error {
	query, args := "SELECT key, value FROM heads WHERE key >= ?", []any{[]byte(prefix)}
	if end, ok := prefixEnd(prefix); ok {
		query, args = query+" AND key < ?", append(args, []byte(end))
	}
	rows, err := h.d.r.QueryContext(ctx, query+" ORDER BY key", args...)
	if err != nil {
		return fmt.Errorf("loading heads: %w", classify(err))
	}
	defer rows.Close()
	for rows.Next() {
		var key, value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return fmt.Errorf("loading heads: %w", classify(err))
		}
		if err := f(storage.Item{Key: string(key), Value: nonNil(value)}); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("loading heads: %w", classify(err))
	}
	return nil
}

// prefixEnd returns the least string greater than all that start with prefix; false if there is none.
func prefixEnd(prefix string) (string, bool) {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return "", false
	}
	b[len(b)-1]++
	return string(b), true
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// insertEach inserts n rows one by one; row returns the i-th row's values. Several rows in one INSERT would save calls into
// SQLite and be half as fast: a statement of many rows has to be undone alone if it fails, so SQLite journals every page
// that it touches once more.
func insertEach(ctx context.Context, tx *sql.Tx, query string, n int, row func(i int) []any) error {
	if n == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range n {
		if _, err := stmt.ExecContext(ctx, row(i)...); err != nil {
			return err
		}
	}
	return nil
}
