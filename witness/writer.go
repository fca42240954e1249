package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"
)

// A writer is the one connection of this process that writes to a file.
type writer struct {
	db *sql.DB

	mu    sync.Mutex
	conn  *sql.Conn
	stmts map[string]*sql.Stmt

	stopOnce sync.Once
	stopped  chan struct{} // closed when nothing may be written any more
	cause    error         // set before stopped is closed

	commit func() error // instead of COMMIT, in tests
}

// errNothing ends a transaction that has nothing to keep, without an error.
var errNothing = errors.New("nothing to commit")

// do runs f in a transaction that holds SQLite's lock for writing from before f reads anything. When it returns nil, what f
// wrote is durable. When it returns an error, nothing that depends on it may leave: after ErrStopped it is not known what the
// disk holds; after any other error nothing was written.
func (w *writer) do(ctx context.Context, f func(context.Context, *writer) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.stopped:
		return fmt.Errorf("%w: %w", ErrStopped, w.cause)
	default:
	}
	// A caller that hangs up must not interrupt a commit: whether it happened would be open.
	ctx = context.WithoutCancel(ctx)
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return w.failed(err)
	}
	if err := f(ctx, w); err != nil {
		if rollback := w.exec(ctx, "ROLLBACK"); rollback != nil {
			return w.stop(errors.Join(err, rollback))
		}
		if errors.Is(err, errNothing) {
			return nil
		}
		return w.failed(err)
	}
	if err := w.commitNow(ctx); err != nil {
		if c := code(err); c == sqlite3.SQLITE_FULL || c == sqlite3.SQLITE_BUSY {
			if w.exec(ctx, "ROLLBACK") == nil {
				return err
			}
		}
		return w.stop(err)
	}
	return nil
}

func (w *writer) commitNow(ctx context.Context) error {
	if w.commit != nil {
		return w.commit()
	}
	return w.exec(ctx, "COMMIT")
}

// failed tells errors after which the file can be trusted from those after which it can't.
func (w *writer) failed(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return w.stop(err)
	}
	if errors.Is(err, ErrCorrupt) {
		return w.stop(err)
	}
	return err
}

func (w *writer) stop(err error) error {
	w.stopOnce.Do(func() {
		w.cause = err
		close(w.stopped)
	})
	return fmt.Errorf("%w: %w", ErrStopped, err)
}

// close closes the statements too: with one open SQLite would not tidy up the file.
func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// exec runs statements without arguments.
func (w *writer) exec(ctx context.Context, query string) error {
	_, err := w.conn.ExecContext(ctx, query)
	return err
}

// prepared returns the statement, which is prepared once.
func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if w.stmts == nil {
		w.stmts = make(map[string]*sql.Stmt)
	}
	w.stmts[query] = s
	return s, nil
}

// run runs one statement and returns the number of rows that it changed.
func (w *writer) run(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row runs one query for a row.
func (w *writer) row(ctx context.Context, dest []any, query string, args ...any) error {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(dest...)
}
