package witness

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Names of the two files.
const (
	stateFile     = "state.db"
	publishedFile = "published.db"
)

// ErrBehind means that state is older than what was published, or lost a log: an old copy was restored. The message says of
// which log, and what to do.
var ErrBehind = errors.New("state is behind what this witness has published")

// A Store holds what a witness has promised, in the file state, and what has left it, in the file published. The files stand
// in two directories, which should not be restored from one backup: each betrays an old copy of the other.
type Store struct {
	*Reader
	state, published *database
	locks            []*os.File
	clockResets      atomic.Uint64 // how often AcceptClock was called
	closeOnce        sync.Once

	reload sync.Mutex // held from reading the keys until they are below, so that what is older never comes last
	mu     sync.RWMutex
	logs   map[string]*logKeys // by origin
	hash   map[string]string   // origin by its hash
}

// Create makes the two files of a new witness. It refuses to touch a file that exists. Nothing else ever makes one: a file
// that is lost is an error.
func Create(dirState, dirPublished string) error {
	paths := []string{filepath.Join(dirState, stateFile), filepath.Join(dirPublished, publishedFile)}
	for _, p := range paths {
		if _, err := os.Lstat(p); err == nil {
			return fmt.Errorf("creating a witness's store: %s: %w", p, fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("creating a witness's store: %w", err)
		}
	}
	id := []byte(rand.Text())
	err := publishedSchema.createFile(paths[1], func(ctx context.Context, w *writer) error { return insertMeta(ctx, w, id) })
	if err == nil {
		err = stateSchema.createFile(paths[0], func(ctx context.Context, w *writer) error {
			_, err := w.run(ctx, "INSERT INTO meta (id, store, time) VALUES (1, ?, 0)", id)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("creating a witness's store: %w", err)
	}
	return nil
}

func insertMeta(ctx context.Context, w *writer, id []byte) error {
	_, err := w.run(ctx, "INSERT INTO meta (id, store) VALUES (1, ?)", id)
	return err
}

// OpenStore opens the files that Create made, for this process alone. It refuses a state that is behind what was published
// (ErrBehind) and files that do not belong together.
func OpenStore(dirState, dirPublished string) (*Store, error) {
	s, err := openStore(dirState, dirPublished, true)
	if err != nil {
		return nil, fmt.Errorf("opening a witness's store: %w", err)
	}
	return s, nil
}

func openStore(dirState, dirPublished string, lock bool) (_ *Store, err error) {
	s := &Store{logs: make(map[string]*logKeys), hash: make(map[string]string)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if lock {
		if err := s.lock(dirState, dirPublished); err != nil {
			return nil, err
		}
	}
	if s.state, err = stateSchema.openFile(filepath.Join(dirState, stateFile)); err != nil {
		return nil, fmt.Errorf("%w%s", err, lostHint(err))
	}
	s.Reader = &Reader{db: s.state.r}
	if s.published, err = publishedSchema.openFile(filepath.Join(dirPublished, publishedFile)); err != nil {
		return nil, fmt.Errorf("%w%s", err, lostHint(err))
	}
	ctx := context.Background()
	if err := s.compare(ctx); err != nil {
		return nil, err
	}
	if lock { // another process on the files would be in the way, and has done it
		if err := errors.Join(s.state.settle(), s.published.settle()); err != nil {
			return nil, err
		}
	}
	return s, s.loadKeys(ctx)
}

// lostHint says what to do about a missing file.
func lostHint(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "; bring it back as it was last, or else retire this witness's keys and begin a new one under other keys"
	}
	return ""
}

// lock takes both directories, which must differ.
func (s *Store) lock(dirs ...string) error {
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			return err
		}
		f, err := lockDir(dir)
		if errors.Is(err, ErrLocked) && len(s.locks) > 0 && sameDir(dirs[0], dir) {
			return fmt.Errorf("%s: state and published must be in two directories", dir)
		}
		if err != nil {
			return err
		}
		s.locks = append(s.locks, f)
	}
	return nil
}

func sameDir(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// compare holds what was promised against what has left.
func (s *Store) compare(ctx context.Context) error {
	var a, b []byte
	if err := s.state.r.QueryRowContext(ctx, "SELECT store FROM meta").Scan(&a); err != nil {
		return fmt.Errorf("%s: %w", s.state.path, classify(err))
	}
	if err := s.published.r.QueryRowContext(ctx, "SELECT store FROM meta").Scan(&b); err != nil {
		return fmt.Errorf("%s: %w", s.published.path, classify(err))
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%s and %s are of two witnesses", s.state.path, s.published.path)
	}
	// Published is read first: another process, if locks did not keep it out, moves state before it.
	published, err := s.published.loadLogs(ctx)
	if err != nil {
		return err
	}
	state, err := s.state.loadLogs(ctx)
	if err != nil {
		return err
	}
	for origin, left := range published {
		if err := checkLog(state, left); err != nil {
			return fmt.Errorf("%w: log %q: %w; an old copy of %s was restored: bring back its newest copy, and if there is none, "+
				"retire this witness's keys and begin a new one under other keys", ErrBehind, origin, err, s.state.path)
		}
	}
	for origin, promised := range state {
		if _, known := published[origin]; known {
			continue
		}
		if promised.cosigned() {
			return fmt.Errorf("log %q is missing in %s, although it was cosigned: an old copy of that file was restored; "+
				"bring back its newest copy", origin, s.published.path)
		}
		// AddLog was interrupted between the two files.
		if err := s.publishLog(ctx, origin); err != nil {
			return err
		}
	}
	return nil
}

// checkLog tells what state lacks of a log that has left.
func checkLog(state map[string]logRow, left logRow) error {
	promised, ok := state[left.origin]
	switch {
	case !ok:
		return errors.New("state does not know it")
	case left.cosigned() && !promised.cosigned():
		return fmt.Errorf("state never cosigned it, and size %d was published", left.size)
	case promised.size < left.size:
		return fmt.Errorf("state is at size %d, and size %d was published", promised.size, left.size)
	case promised.size == left.size && promised.root != left.root:
		return fmt.Errorf("at size %d state has root %x, and %x was published", left.size, promised.root, left.root)
	}
	return nil
}

// Close closes the files and gives the locks back.
func (s *Store) Close() error {
	var errs []error
	s.closeOnce.Do(func() {
		for _, d := range []*database{s.state, s.published} {
			if d != nil { // opening got that far
				errs = append(errs, d.close())
			}
		}
		for _, f := range s.locks { // after the files
			errs = append(errs, f.Close())
		}
	})
	return errors.Join(errs...)
}

// Err says why nothing is written any more, nil if it is.
func (s *Store) Err() error {
	for _, d := range []*database{s.state, s.published} {
		select {
		case <-d.w.stopped:
			return fmt.Errorf("%s: %w: %w", d.path, ErrStopped, d.w.cause)
		default:
		}
	}
	return nil
}

// AcceptClock takes an operator's word that now is the time: what was noted until now no longer speaks against the clock.
// Cosignatures may then bear earlier times than those before.
func (s *Store) AcceptClock(ctx context.Context, now time.Time) error {
	if now.Unix() <= 0 {
		return errors.New("accepting the clock: it is not after 1970")
	}
	err := s.state.w.do(ctx, func(ctx context.Context, w *writer) error { return w.noteTime(ctx, now.Unix()) })
	if err != nil {
		return fmt.Errorf("accepting the clock: %w", err)
	}
	s.clockResets.Add(1)
	return nil
}

// noted is the latest time noted, 0 if there is none.
func (w *writer) noted(ctx context.Context) (t int64, err error) {
	err = w.row(ctx, []any{&t}, "SELECT time FROM meta WHERE id = 1")
	return t, err
}

func (w *writer) noteTime(ctx context.Context, t int64) error {
	_, err := w.run(ctx, "UPDATE meta SET time = ? WHERE id = 1", t)
	return err
}
