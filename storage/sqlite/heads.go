package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

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
	s := schema{app: 0x73746e48, ver: 1, sync: viewSync, create: headsCreate}
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
		const insert = "INSERT INTO heads (key, value) VALUES "
		const update = " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
		err := bulk(ctx, tx, insert, 2, update, len(puts), func(args []any, i int) []any {
			return append(args, []byte(puts[i].Key), nonNil(puts[i].Value))
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
	p := strings.TrimRight(prefix, "\xff")
	if p == "" {
		return "", false
	}
	b := []byte(p)
	b[len(b)-1]++
	return string(b), true
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// bulkRows is the number of rows in one INSERT: the calls into SQLite cost more than the rows.
const bulkRows = 64

// bulk inserts n rows of width columns; row appends the i-th row's values to args.
func bulk(ctx context.Context, tx *sql.Tx, insert string, width int, suffix string, n int, row func(args []any, i int) []any) error {
	one := "(?" + strings.Repeat(",?", width-1) + ")"
	args := make([]any, 0, bulkRows*width)
	for step, start := bulkRows, 0; start < n; {
		if n-start < step {
			step = 1
		}
		stmt, err := tx.PrepareContext(ctx, insert+one+strings.Repeat(","+one, step-1)+suffix)
		if err != nil {
			return err
		}
		for ; n-start >= step; start += step {
			args = args[:0]
			for i := range step {
				args = row(args, start+i)
			}
			if _, err := stmt.ExecContext(ctx, args...); err != nil {
				return errors.Join(err, stmt.Close())
			}
		}
		if err := stmt.Close(); err != nil {
			return err
		}
	}
	return nil
}
