package posix

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Limits of an Archive.
const (
	// MaxNote is the greatest checkpoint: three ML-DSA cosignatures take 10 KiB.
	MaxNote = 64 << 10
	// archiveSegment is the size beyond which a greater tree size begins a new file. It bounds what a look-up in a file
	// that is not at hand has to read. A year of a checkpoint a second is some thousands of files (estimated, at 500 bytes a note).
	archiveSegment = 4 << 20
	// archiveCached is the number of files whose directory of sizes is kept in memory, about 24 bytes a note.
	archiveCached = 16
)

const notesExt = ".notes"

// An Archive keeps notes in files of records, each named by the least tree size that may be in it, in 20 digits: a note of
// size s is in the file with the greatest name ≤ s. Files are only appended to. Of several records of one size the last
// counts: it has the more signatures. It implements storage.Archive.
type Archive struct {
	dir  string
	lock *fileLock
	open func(path string) (segmentFile, error)
	max  int64

	mu     sync.Mutex
	bases  []uint64 // of all files, ascending
	cache  []*notes // most recently used last
	failed error
	closed bool
}

var _ storage.Archive = (*Archive)(nil)

// notes is what is in one file.
type notes struct {
	base uint64
	path string
	end  int64
	at   []noteAt // ascending by size, one per size
}

type noteAt struct {
	size, off uint64
	length    uint32
}

// A DamageError is a record of the archive that is not what was stored though records follow it.
type DamageError struct {
	Path  string
	Bytes int64
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s has %d bytes that are no record; way out: restore the file from a backup", e.Path, e.Bytes)
}

// Is reports ErrCorrupt.
func (e *DamageError) Is(target error) bool { return target == ErrCorrupt }

// OpenArchive opens the archive in dir, which it makes if it is missing; storage.ErrLocked if it is open already.
func OpenArchive(dir string) (*Archive, error) {
	return openArchive(dir, archiveSegment, func(path string) (segmentFile, error) { return os.OpenFile(path, os.O_RDWR, 0) })
}

func openArchive(dir string, max int64, open func(string) (segmentFile, error)) (_ *Archive, err error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening archive: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("opening archive: %w", err)
	}
	a := &Archive{dir: dir, lock: lock, open: open, max: max}
	if err := a.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening archive: %w", err), lock.release())
	}
	return a, nil
}

func (a *Archive) load() error {
	if _, err := durable.Sweep(a.dir); err != nil {
		return err
	}
	if err := durable.SyncDir(a.dir); err != nil {
		return err
	}
	files, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		digits, ok := strings.CutSuffix(file.Name(), notesExt)
		if !ok {
			continue
		}
		base, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || a.path(base) != filepath.Join(a.dir, file.Name()) {
			return fmt.Errorf("%s is not the name of a file of notes", file.Name())
		}
		a.bases = append(a.bases, base)
	}
	slices.Sort(a.bases)
	if len(a.bases) > 0 {
		_, err = a.notes(len(a.bases) - 1) // its damage, if any, should be known before the log goes on
	}
	return err
}

func (a *Archive) path(base uint64) string {
	return filepath.Join(a.dir, fmt.Sprintf("%020d%s", base, notesExt))
}

// fileFor returns the index in bases of the file that size belongs to; -1 if there is none yet. a.mu is held.
func (a *Archive) fileFor(size uint64) int {
	i, found := slices.BinarySearch(a.bases, size)
	if found {
		return i
	}
	return i - 1
}

// notes returns what is in file i, reading it if it is not at hand. a.mu is held.
func (a *Archive) notes(i int) (*notes, error) {
	base := a.bases[i]
	if j := slices.IndexFunc(a.cache, func(n *notes) bool { return n.base == base }); j >= 0 {
		n := a.cache[j]
		a.cache = append(slices.Delete(a.cache, j, j+1), n)
		return n, nil
	}
	n, err := a.read(base)
	if err != nil {
		return nil, err
	}
	if len(a.cache) == archiveCached {
		a.cache = slices.Delete(a.cache, 0, 1)
	}
	a.cache = append(a.cache, n)
	return n, nil
}

// read scans a file and cuts off what was never acknowledged. Appends to it go after what was read only.
func (a *Archive) read(base uint64) (*notes, error) {
	n := &notes{base: base, path: a.path(base)}
	f, err := os.OpenFile(n.path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	found, err := scanFile(f, 0, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.path, err)
	}
	if found.damaged > 0 {
		return nil, &DamageError{Path: n.path, Bytes: found.damaged}
	}
	if found.end < info.Size() {
		if err := f.Truncate(found.end); err != nil {
			return nil, err
		}
	}
	// The last record can be in the page cache only, if the process that wrote it died before its fsync.
	if err := f.Sync(); err != nil {
		return nil, a.fail(&durable.SyncError{Path: n.path, Err: err})
	}
	n.end = found.end
	for _, rec := range found.records {
		n.add(noteAt{size: rec.tag, off: uint64(rec.off), length: uint32(rec.length)})
	}
	return n, nil
}

func bySize(n noteAt, size uint64) int { return cmp.Compare(n.size, size) }

// add puts a record into the directory, in the place of an earlier one of its size.
func (n *notes) add(at noteAt) {
	i, found := slices.BinarySearchFunc(n.at, at.size, bySize)
	if found {
		n.at[i] = at
	} else {
		n.at = slices.Insert(n.at, i, at)
	}
}

// Put implements storage.Archive.
func (a *Archive) Put(_ context.Context, size uint64, note []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.put(size, note); err != nil {
		return fmt.Errorf("archiving checkpoint of size %d: %w", size, err)
	}
	return nil
}

func (a *Archive) put(size uint64, note []byte) error {
	if len(note) > MaxNote {
		return fmt.Errorf("note of %d bytes, the limit is %d", len(note), MaxNote)
	}
	if _, _, ok := cutNote(note); !ok {
		return errors.New("not a signed note")
	}
	if err := a.usable(); err != nil {
		return err
	}
	n, err := a.noteFile(size)
	if err != nil {
		return err
	}
	if i, found := slices.BinarySearchFunc(n.at, size, bySize); found {
		old, err := n.read(n.at[i])
		if err != nil {
			return err
		}
		switch replace, err := replaces(old, note); {
		case err != nil:
			return err
		case !replace:
			return nil
		}
	}
	return a.append(n, size, note)
}

// noteFile returns the file that a note of size goes to, made if need be.
func (a *Archive) noteFile(size uint64) (*notes, error) {
	i := a.fileFor(size)
	base := uint64(0)
	if len(a.bases) > 0 && i < 0 {
		return nil, fmt.Errorf("%s is missing", a.path(0))
	}
	if i >= 0 {
		n, err := a.notes(i)
		if err != nil {
			return nil, err
		}
		last := i == len(a.bases)-1
		if !last || n.end < a.max || len(n.at) > 0 && size <= n.at[len(n.at)-1].size {
			return n, nil
		}
		base = size
	}
	if err := durable.CreateFile(a.path(base), nil, 0o600); err != nil {
		var syncErr *durable.SyncError
		if errors.As(err, &syncErr) {
			return nil, a.fail(err)
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	a.bases = append(a.bases, base)
	return a.notes(len(a.bases) - 1)
}

func (a *Archive) append(n *notes, size uint64, note []byte) error {
	f, err := a.open(n.path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := header{tag: size, length: int64(len(note)), sum: sha256.Sum256(note)}
	rec := append(h.append(make([]byte, 0, headerSize+len(note))), note...)
	if _, err := f.WriteAt(rec, n.end); err != nil {
		if truncErr := f.Truncate(n.end); truncErr != nil {
			return a.fail(errors.Join(err, truncErr))
		}
		return err
	}
	if err := fdatasync(f); err != nil {
		return a.fail(&durable.SyncError{Path: n.path, Err: err})
	}
	n.add(noteAt{size: size, off: uint64(n.end), length: uint32(len(note))})
	n.end += int64(len(rec))
	return nil
}

// replaces reports whether new is to take the place of old: the same text, and every signature of old and more.
func replaces(old, new []byte) (bool, error) {
	oldText, oldSigs, _ := cutNote(old)
	newText, newSigs, _ := cutNote(new)
	if !bytes.Equal(oldText, newText) {
		return false, fmt.Errorf("another checkpoint has this size: %w", storage.ErrConflict)
	}
	have := make(map[string]bool)
	for line := range bytes.Lines(newSigs) {
		have[string(line)] = true
	}
	before := 0
	for line := range bytes.Lines(oldSigs) {
		before++
		if !have[string(line)] {
			// The archive never loses a signature; the new note may still be what the caller wants to publish.
			return false, nil
		}
	}
	return len(have) > before, nil
}

// cutNote splits a signed note into its text and its signature lines. What the lines say is not looked at.
func cutNote(note []byte) (text, sigs []byte, ok bool) {
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 || note[len(note)-1] != '\n' || i+2 == len(note) {
		return nil, nil, false
	}
	return note[:i+1], note[i+2:], true
}

// Latest implements storage.Archive.
func (a *Archive) Latest(context.Context) (uint64, []byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.bases) - 1; i >= 0; i-- {
		n, err := a.notes(i)
		if err != nil {
			return 0, nil, fmt.Errorf("latest checkpoint: %w", err)
		}
		if len(n.at) > 0 { // else a file whose first record was not acknowledged
			return n.result(n.at[len(n.at)-1])
		}
	}
	return 0, nil, fmt.Errorf("latest checkpoint: %w", storage.ErrNotFound)
}

// Covering implements storage.Archive.
func (a *Archive) Covering(_ context.Context, index uint64) (uint64, []byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if index < 1<<64-1 {
		for i := max(0, a.fileFor(index+1)); i < len(a.bases); i++ {
			n, err := a.notes(i)
			if err != nil {
				return 0, nil, fmt.Errorf("checkpoint covering %d: %w", index, err)
			}
			if j, _ := slices.BinarySearchFunc(n.at, index+1, bySize); j < len(n.at) {
				return n.result(n.at[j])
			}
		}
	}
	return 0, nil, fmt.Errorf("checkpoint covering %d: %w", index, storage.ErrNotFound)
}

func (n *notes) result(at noteAt) (uint64, []byte, error) {
	note, err := n.read(at)
	return at.size, note, err
}

// read returns a note, checked.
func (n *notes) read(at noteAt) ([]byte, error) {
	f, err := os.Open(n.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, headerSize+int(at.length))
	if _, err := f.ReadAt(buf, int64(at.off)); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", n.path, err)
	}
	h, err := parseHeader(buf[:headerSize])
	if err != nil || h.tag != at.size || sha256.Sum256(buf[headerSize:]) != h.sum {
		return nil, fmt.Errorf("%s: record at %d: %w", n.path, at.off, ErrCorrupt)
	}
	return buf[headerSize:], nil
}

func (a *Archive) usable() error {
	if a.closed {
		return ErrClosed
	}
	return a.failed
}

func (a *Archive) fail(err error) error {
	if a.failed == nil {
		a.failed = fmt.Errorf("%w after: %w", storage.ErrReadOnly, err)
	}
	return a.failed
}

// Close releases the directory.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	return a.lock.release()
}
