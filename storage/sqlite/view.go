package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/stenolog/steno/storage"
)

// Views have synchronous=NORMAL: a commit is written to the write-ahead log and not synced, so that a power cut can take
// the last commits away but leaves a sound file. That is enough: a view's size goes back with its rows, and the caller
// applies the lost ones again. OFF would save the sync at checkpoints too, but a power cut could then damage the file
// in ways that SQLite does not notice.
const viewSync = "NORMAL"

// viewTuning: 64 MiB of pages in memory, and a checkpoint after 64 MiB of log instead of 4, because a batch touches pages
// all over the file. What SQLite would put into temporary files stays in memory.
const viewTuning = "&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(16384)&_pragma=temp_store(MEMORY)"

// viewMeta is in every view.
const viewMeta = `
	CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL CHECK (size >= 0)) STRICT;
	INSERT INTO meta (id, size) VALUES (1, 0);`

// RemoveView removes the file of a view that was closed or could not be opened, so that it is built again.
func RemoveView(path string) error {
	var errs []error
	for _, suffix := range []string{"-shm", "-wal", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// view is what the views have in common.
type view struct {
	d      *db
	tables []string // what Drop drops
	create string
}

// Size implements storage.View.
func (v *view) Size(ctx context.Context) (uint64, error) {
	size, err := viewSize(ctx, v.d.r)
	if err != nil {
		return 0, fmt.Errorf("size of view: %w", classify(err))
	}
	return size, nil
}

func viewSize(ctx context.Context, q querier) (uint64, error) {
	var size int64
	if err := q.QueryRowContext(ctx, "SELECT size FROM meta").Scan(&size); err != nil {
		return 0, err
	}
	return uint64(size), nil
}

// Drop implements storage.View.
func (v *view) Drop(ctx context.Context) error {
	err := v.d.write(ctx, func(tx *sql.Tx) error {
		for _, table := range v.tables {
			if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+table); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, v.create)
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping view: %w", classify(err))
	}
	return nil
}

// setSize moves the view to size, which must not be smaller than it is.
func setSize(ctx context.Context, tx *sql.Tx, size uint64) error {
	n, err := toInt64(size, "size")
	if err != nil {
		return err
	}
	have, err := viewSize(ctx, tx)
	if err != nil {
		return err
	}
	if size < have {
		return fmt.Errorf("%w: view is at %d, after %d", storage.ErrConflict, have, size)
	}
	_, err = tx.ExecContext(ctx, "UPDATE meta SET size = ?", n)
	return err
}

// Close closes the file.
func (v *view) Close() error { return v.d.close() }
