package witness

import (
	"context"
	"errors"
)

// OpenUnlocked opens a store as where locks don't work.
func OpenUnlocked(dirState, dirPublished string) (*Store, error) {
	return openStore(dirState, dirPublished, false)
}

// SetCrash has f called at the points at which a process may end.
func (w *Witness) SetCrash(f func(point string)) { w.crash = f }

// NoteTime does what happens each minute.
func (w *Witness) NoteTime() error {
	if p := w.noteTime(); p != nil {
		return p
	}
	return nil
}

var errDisk = errors.New("disk I/O error")

// FailCommit makes the next commits of a file fail, after they were made or instead.
func (s *Store) FailCommit(state, made bool) {
	w := s.published.w
	if state {
		w = s.state.w
	}
	w.commit = func() error {
		if made {
			return errors.Join(errDisk, w.exec(context.Background(), "COMMIT"))
		}
		return errors.Join(errDisk, w.exec(context.Background(), "ROLLBACK"))
	}
}

// ForgetLogs removes what state knows of logs, as an old copy under a running process would.
func (s *Store) ForgetLogs(ctx context.Context) error {
	err := s.state.w.do(ctx, func(ctx context.Context, w *writer) error {
		for _, q := range []string{"DROP TRIGGER log_stays", "DELETE FROM key", "DELETE FROM log"} {
			if err := w.exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, s.loadKeys(ctx))
}
