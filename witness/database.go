package witness

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
)

// busyTimeout bounds the wait for another process's transaction on the same file.
const busyTimeout = 5 * time.Second

// readers is how many connections read beside the one that writes.
const readers = 4

var (
	// ErrCorrupt means that a file is not what this package wrote.
	ErrCorrupt = errors.New("database is corrupt")
	// ErrStopped means that a write failed in a way that leaves open what the disk holds. Only a restart finds out.
	ErrStopped = errors.New("the store has stopped after a failed write")
)

// A schema is what one kind of file holds.
type schema struct {
	app    int32 // PRAGMA application_id
	create string
}

const schemaVersion = 1

// The triggers say once more what the code holds to: a size never shrinks, and has one root.
const logTable = `
	CREATE TABLE log (
		origin TEXT PRIMARY KEY,
		size   INTEGER NOT NULL CHECK (size >= 0),
		root   BLOB NOT NULL CHECK (length(root) = 32),
		note   BLOB NOT NULL, -- empty: never cosigned
		sum    BLOB NOT NULL  -- SHA-256 of all the others, see logRow.sum
	) STRICT;
	CREATE TRIGGER log_grows BEFORE UPDATE ON log
		WHEN NEW.origin <> OLD.origin OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
		BEGIN SELECT RAISE(ABORT, 'a log only grows'); END;
	CREATE TRIGGER log_stays BEFORE DELETE ON log
		BEGIN SELECT RAISE(ABORT, 'a log is never forgotten'); END;`

var stateSchema = schema{app: 0x73746e57, create: `
	CREATE TABLE meta (
		id    INTEGER PRIMARY KEY CHECK (id = 1),
		store BLOB NOT NULL,   -- random, the same in both files
		time  INTEGER NOT NULL -- latest that was noted, seconds since 1970; 0: none
	) STRICT;` + logTable + `
	CREATE TABLE key (
		vkey    TEXT NOT NULL,
		origin  TEXT NOT NULL REFERENCES log (origin),
		retired INTEGER NOT NULL CHECK (retired IN (0, 1)),
		PRIMARY KEY (vkey)
	) STRICT;
	CREATE TABLE evidence (
		id      INTEGER PRIMARY KEY AUTOINCREMENT,
		origin  TEXT NOT NULL,
		kind    TEXT NOT NULL,
		digest  BLOB NOT NULL UNIQUE,
		time    INTEGER NOT NULL,
		bytes   INTEGER NOT NULL,
		known   BLOB NOT NULL,
		request BLOB NOT NULL
	) STRICT;
	CREATE INDEX evidence_bound ON evidence (origin, kind, bytes);`}

var publishedSchema = schema{app: 0x73746e50, create: `
	CREATE TABLE meta (
		id    INTEGER PRIMARY KEY CHECK (id = 1),
		store BLOB NOT NULL
	) STRICT;` + logTable}

// createFile makes a file that is whole when it appears under its name: fill writes what it begins with.
func (s schema) createFile(path string, fill func(ctx context.Context, w *writer) error) (err error) {
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".creating-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	made := filepath.Join(tmp, filepath.Base(path))
	if err := os.WriteFile(made, nil, 0o600); err != nil {
		return err
	}
	d, err := s.connect(made)
	if err != nil {
		return err
	}
	ctx := context.Background()
	err = d.w.do(ctx, func(ctx context.Context, w *writer) error {
		if err := w.exec(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d; %s", s.app, schemaVersion, s.create)); err != nil {
			return err
		}
		return fill(ctx, w)
	})
	if err == nil {
		err = d.settle()
	}
	if err := errors.Join(err, d.close()); err != nil {
		return err
	}
	if err := os.Link(made, path); err != nil { // never over a file that is there
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// openFile opens a file that exists and is of this schema.
func (s schema) openFile(path string) (_ *database, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: %w", path, fs.ErrNotExist)
	} else if err != nil {
		return nil, err
	}
	d, err := s.connect(path)
	if err != nil {
		return nil, err
	}
	var app, ver int32
	if err = d.r.QueryRow("SELECT application_id, user_version FROM pragma_application_id, pragma_user_version").Scan(&app, &ver); err == nil &&
		(app != s.app || ver != schemaVersion) {
		err = fmt.Errorf("%w: kind %#x version %d, want %#x version %d", ErrCorrupt, app, ver, s.app, schemaVersion)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, classify(err)), d.close())
	}
	return d, nil
}

// connect opens the connections. The journal is a write-ahead log: a commit is one append and one fsync, where a rollback
// journal needs three or four. What a write-ahead log can lose (its tail, or all of it when a file is copied without it) makes
// an older state, and that the other file shows.
func (s schema) connect(path string) (*database, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	dsn := u.String() + fmt.Sprintf("?mode=rw&_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)",
		busyTimeout.Milliseconds())
	d := &database{path: path, w: &writer{stopped: make(chan struct{})}}
	var err error
	if d.r, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	d.r.SetMaxOpenConns(readers)
	if d.w.db, err = sql.Open("sqlite", dsn); err != nil {
		return nil, errors.Join(err, d.r.Close())
	}
	d.w.db.SetMaxOpenConns(1)
	var mode string
	d.w.conn, err = d.w.db.Conn(context.Background())
	if err == nil {
		err = d.w.conn.QueryRowContext(context.Background(), "PRAGMA journal_mode").Scan(&mode)
	}
	if err == nil && mode != "wal" {
		err = fmt.Errorf("journal mode is %q: the file system does not let SQLite have a write-ahead log", mode)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, classify(err)), d.close())
	}
	return d, nil
}

// database is an open file.
type database struct {
	path string
	w    *writer
	r    *sql.DB
}

func (d *database) close() error {
	err := d.r.Close() // first, so that the writer's is the last connection
	return errors.Join(err, d.w.close())
}

// settle moves the write-ahead log into the file. After a crash that followed a failed fsync, the log may read whole from the
// kernel's cache and not be on the disk; the file that is written and synced here does not depend on that.
func (d *database) settle() error {
	var busy, pages, moved int
	err := d.w.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	if err == nil && busy != 0 {
		err = errors.New("the write-ahead log is in use")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, classify(err))
	}
	return nil
}

// classify wraps what SQLite says of a damaged file as ErrCorrupt.
func classify(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// code is SQLite's primary result code of an error, 0 if it has none.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}
