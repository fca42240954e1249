// Package sqlite keeps the small and the derived stores of a log in SQLite files, one per store: guard and keyring, which
// are primary (WAL, synchronous=FULL), heads and index, which are derived (WAL, synchronous=NORMAL). README.md says what
// is durable when, and what to back up.
//
// SQLite has no checksums over its pages, so the guard's row carries its own. Files are opened strictly: nothing but a
// Create function, or the opening of a view, ever makes one, and a file of an unknown schema is refused.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// busyTimeout bounds the wait for another process's transaction on the same file.
const busyTimeout = 5 * time.Second

// ErrCorrupt means that a file is not what this package wrote. Of a view: remove it (RemoveView) and rebuild it. Of
// guard or keyring: stop, and restore.
var ErrCorrupt = errors.New("database is corrupt")

// A schema is what one kind of file holds.
type schema struct {
	app    int32 // PRAGMA application_id: which kind of store
	ver    int   // PRAGMA user_version
	create string
	sync   string // PRAGMA synchronous
	extra  string // further DSN pragmas
}

// open opens an existing file, or makes it if create is set. The connections it returns are for writing (one) and for
// reading (several).
func (s schema) open(path string, create bool) (_ *db, err error) {
	if create {
		if err := makeFile(path); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, storage.ErrNotFound)
	} else if err != nil {
		return nil, err
	}
	d := &db{path: path}
	if d.w, err = sql.Open("sqlite", s.dsn(path)+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	d.w.SetMaxOpenConns(1)
	if d.r, err = sql.Open("sqlite", s.dsn(path)+"&_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, d.w.Close())
	}
	d.r.SetMaxOpenConns(4)
	if err := s.check(d); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, classify(err)), d.close())
	}
	return d, nil
}

// makeFile makes an empty file, which SQLite takes for an empty database, so that its directory entry is durable before
// anything is in it.
func makeFile(path string) error {
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := durable.CreateFile(path, nil, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (s schema) dsn(path string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	return u.String() + fmt.Sprintf("?mode=rw&_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(%s)%s",
		busyTimeout.Milliseconds(), s.sync, s.extra)
}

// check makes the schema in an empty file, and makes sure that the file is of this schema otherwise.
func (s schema) check(d *db) error {
	return d.write(context.Background(), func(tx *sql.Tx) error {
		var app int32
		var ver, tables int
		var mode string
		if err := tx.QueryRow("PRAGMA application_id").Scan(&app); err != nil {
			return err
		}
		if err := tx.QueryRow("PRAGMA user_version").Scan(&ver); err != nil {
			return err
		}
		if err := tx.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return err
		}
		if err := tx.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil {
			return err
		}
		if mode != "wal" {
			return fmt.Errorf("journal mode is %q: the file system does not let SQLite have WAL", mode)
		}
		if app == 0 && ver == 0 && tables == 0 {
			_, err := tx.Exec(fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d; %s", s.app, s.ver, s.create))
			return err
		}
		if app != s.app || ver != s.ver {
			return fmt.Errorf("%w: kind %#x version %d, want %#x version %d", ErrCorrupt, app, ver, s.app, s.ver)
		}
		return nil
	})
}

// db is an open file.
type db struct {
	path string
	w, r *sql.DB
}

func (d *db) close() error { return errors.Join(d.r.Close(), d.w.Close()) }

// write runs f in an IMMEDIATE transaction: the lock for writing is taken before f reads anything.
func (d *db) write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.w.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// classify wraps what SQLite says of a damaged file as ErrCorrupt, and of a disk that failed as storage.ErrReadOnly.
func classify(err error) error {
	var e *sqlite.Error
	if err == nil || errors.Is(err, ErrCorrupt) || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w: %w", storage.ErrReadOnly, err)
	}
	return err
}

// toInt64 refuses what SQLite's integers can't hold.
func toInt64(n uint64, what string) (int64, error) {
	if n > 1<<63-1 {
		return 0, fmt.Errorf("%s %d is out of range", what, n)
	}
	return int64(n), nil
}
