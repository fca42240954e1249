package posix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Erase implements storage.Blobs. A record is marked as erased, durably, then its bytes are overwritten, then a file that
// has no live record is removed; OpenBlobs resumes what a crash interrupted. What the disk keeps below the file system
// (flash, snapshots, copies) is out of reach here: that a blob can't be read any more follows from its destroyed key.
func (b *Blobs) Erase(ctx context.Context, refs []storage.Ref) error {
	b.commit.Lock()
	defer b.commit.Unlock()
	if err := b.usable(); err != nil {
		return fmt.Errorf("erasing blobs: %w", err)
	}
	for _, group := range b.placesOf(refs) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("erasing blobs: %w", err)
		}
		if err := b.eraseFrom(group); err != nil {
			return fmt.Errorf("erasing blobs: %w", err)
		}
	}
	return nil
}

type located struct {
	sum storage.Hash
	place
}

// placesOf returns all copies of refs, grouped by segment.
func (b *Blobs) placesOf(refs []storage.Ref) [][]located {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []located
	for _, ref := range refs {
		if p, ok := b.index[ref.SHA256]; ok && int64(p.size) == ref.Size {
			all = append(all, located{ref.SHA256, p})
		}
		for _, p := range b.extra[ref.SHA256] {
			all = append(all, located{ref.SHA256, p})
		}
	}
	slices.SortFunc(all, func(a, b located) int { return cmp.Or(cmp.Compare(a.seg, b.seg), cmp.Compare(a.off, b.off)) })
	// The same ref twice is one place; places with their own file differ by name only.
	all = slices.CompactFunc(all, func(a, b located) bool { return a.place == b.place && a.sum == b.sum })
	var groups [][]located
	for i, l := range all {
		if i == 0 || all[i-1].seg != l.seg {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], l)
	}
	return groups
}

func (b *Blobs) eraseFrom(group []located) error {
	s := b.segments[group[0].seg]
	if s.own {
		return b.eraseOwn(s, group)
	}
	// The index file says that the records are live: it goes first.
	if err := durable.Remove(indexPath(s.path)); err != nil {
		return b.fail(err)
	}
	f := s.f
	if f == nil {
		var err error
		if f, err = b.cfg.openFile(s.path); err != nil {
			return err
		}
		defer f.Close()
	}
	for _, l := range group {
		if _, err := f.WriteAt([]byte{stateErased}, int64(l.off)+stateAt); err != nil {
			return b.fail(err)
		}
	}
	if err := fdatasync(f); err != nil {
		return b.fail(&durable.SyncError{Path: s.path, Err: err})
	}
	b.forget(s, group)
	for _, l := range group {
		if err := zeroBody(f, int64(l.off), int64(l.size)); err != nil {
			return b.fail(err)
		}
	}
	if err := fdatasync(f); err != nil {
		return b.fail(&durable.SyncError{Path: s.path, Err: err})
	}
	if s.live == 0 {
		return b.removeSegment(s)
	}
	return nil
}

// forget takes places out of the index; a further copy, if there is one, takes the place of the first.
func (b *Blobs) forget(s *segment, group []located) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range group {
		s.live--
		rest := slices.DeleteFunc(b.extra[l.sum], func(p place) bool { return p == l.place })
		if b.index[l.sum] == l.place {
			delete(b.index, l.sum)
			if len(rest) > 0 {
				b.index[l.sum], rest = rest[0], rest[1:]
			}
		}
		if len(rest) == 0 {
			delete(b.extra, l.sum)
		} else {
			b.extra[l.sum] = rest
		}
	}
}

func (b *Blobs) removeSegment(s *segment) error {
	b.mu.Lock()
	if b.active[s.key] == s {
		delete(b.active, s.key)
	}
	b.segments[s.id] = nil
	b.mu.Unlock()
	if s.f != nil {
		s.f.Close()
		s.f = nil
	}
	if err := durable.Remove(s.path); err != nil {
		return b.fail(err)
	}
	return nil
}

func (b *Blobs) eraseOwn(s *segment, group []located) error {
	for _, l := range group {
		path := ownPath(s.path, l.sum)
		// Renamed first: a blob that is half overwritten must not be found under its name.
		if err := os.Rename(path, path+eraseExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return b.fail(err)
		}
		if err := durable.SyncDir(s.path); err != nil {
			return b.fail(err)
		}
		b.forget(s, []located{l})
		if err := wipe(path + eraseExt); err != nil {
			return b.fail(err)
		}
	}
	return nil
}

// wipe overwrites a file with zeros and removes it.
func wipe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = zeroRange(f, 0, info.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return durable.Remove(path)
}

type writerAt interface {
	WriteAt(p []byte, off int64) (int, error)
}

// zeroBody overwrites the body of the record at off.
func zeroBody(f writerAt, off, length int64) error { return zeroRange(f, off+headerSize, length) }

func zeroRange(f writerAt, off, length int64) error {
	zeros := make([]byte, min(length, 1<<20))
	for length > 0 {
		n, err := f.WriteAt(zeros[:min(length, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off += int64(n)
		length -= int64(n)
	}
	return nil
}
