package posix

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// segmentFile is what is asked of an open segment.
type segmentFile interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Fd() uintptr
	Close() error
}

// A segment is one file of records. Its members are guarded by Blobs.commit.
type segment struct {
	id   uint32 // index in Blobs.segments
	key  segmentKey
	path string
	size int64
	live int         // records in the index
	f    segmentFile // open for appending, or nil
	own  bool        // not a segment file at all, but the directory for blobs with their own files
}

type framed struct {
	sum storage.Hash
	rec []byte
}

type putRequest struct {
	key     segmentKey
	records []framed
	answer  chan error
}

// maxCommit bounds what one commit takes from the queue.
const maxCommit = 8 << 20

// runCommitter writes what is queued, one fdatasync per segment for all who wait. It is the only one that appends.
func (b *Blobs) runCommitter() {
	defer close(b.done)
	for {
		select {
		case req := <-b.queue:
			b.commitAll(b.gather(req))
		case <-b.quit:
			for {
				select {
				case req := <-b.queue:
					b.commitAll(b.gather(req))
				default:
					return
				}
			}
		}
	}
}

func (b *Blobs) gather(req *putRequest) []*putRequest {
	reqs := []*putRequest{req}
	size := req.bytes()
	for size < maxCommit {
		select {
		case req := <-b.queue:
			reqs = append(reqs, req)
			size += req.bytes()
		default:
			return reqs
		}
	}
	return reqs
}

func (r *putRequest) bytes() (n int) {
	for _, rec := range r.records {
		n += len(rec.rec)
	}
	return n
}

func (b *Blobs) commitAll(reqs []*putRequest) {
	b.commit.Lock()
	defer b.commit.Unlock()
	bySegment := make(map[segmentKey][]int)
	for i, req := range reqs {
		bySegment[req.key] = append(bySegment[req.key], i)
	}
	// A blob goes to one segment only, even if two requests have it for two: each has to be erased once.
	claimed := make(map[storage.Hash]bool)
	errs := make([]error, len(reqs))
	var wg sync.WaitGroup
	for key, members := range bySegment {
		var records []framed
		for _, i := range members {
			for _, rec := range reqs[i].records {
				if !claimed[rec.sum] && !b.has(rec.sum) {
					claimed[rec.sum] = true
					records = append(records, rec)
				}
			}
		}
		if len(records) == 0 {
			continue
		}
		wg.Go(func() {
			err := b.appendRecords(key, records)
			for _, i := range members {
				errs[i] = err // each i is a member of one segment only
			}
		})
	}
	wg.Wait()
	for i, req := range reqs {
		req.answer <- b.verdict(req, errors.Join(errs...), errs[i])
	}
}

// verdict is nil if all that was asked for is durable, whoever wrote it.
func (b *Blobs) verdict(req *putRequest, all, own error) error {
	for _, rec := range req.records {
		if !b.has(rec.sum) {
			if own != nil {
				return own
			}
			return fmt.Errorf("another writer of the same blob: %w", all)
		}
	}
	return nil
}

// appendRecords writes records to the key's segment and returns once they are durable and in the index.
func (b *Blobs) appendRecords(key segmentKey, records []framed) error {
	if err := b.failure(); err != nil {
		return err
	}
	s, err := b.appendable(key)
	if err != nil {
		return err
	}
	var buf []byte
	for _, rec := range records {
		buf = append(buf, rec.rec...)
	}
	if _, err := s.f.WriteAt(buf, s.size); err != nil {
		// A full disk, most likely. What was written in part must not stand where the next record is to begin.
		if truncErr := s.f.Truncate(s.size); truncErr != nil {
			return b.fail(errors.Join(err, truncErr))
		}
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	if err := fdatasync(s.f); err != nil {
		return b.fail(&durable.SyncError{Path: s.path, Err: err})
	}
	b.mu.Lock()
	off := s.size
	for _, rec := range records {
		size := len(rec.rec) - headerSize
		b.add(s, rec.sum, place{seg: s.id, off: uint32(off), size: uint32(size)})
		off += int64(len(rec.rec))
	}
	s.size = off
	b.mu.Unlock()
	if s.size >= b.cfg.SegmentSize {
		// The records are durable; that the index file could not be written costs a scan at the next start.
		if err := b.seal(s); err != nil {
			b.cfg.Logger.Warn("sealing segment", "path", s.path, "error", err)
		}
	}
	return nil
}

// add puts a place into the index. b.mu is held.
func (b *Blobs) add(s *segment, sum storage.Hash, p place) {
	s.live++
	if _, ok := b.index[sum]; ok {
		b.extra[sum] = append(b.extra[sum], p)
		return
	}
	b.index[sum] = p
}

func fdatasync(f segmentFile) error {
	if s, ok := f.(interface{ Datasync() error }); ok { // tests
		return s.Datasync()
	}
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// appendable returns the segment that key's records go to, made if need be. Its directory is durable.
func (b *Blobs) appendable(key segmentKey) (*segment, error) {
	b.mu.RLock()
	s := b.active[key]
	b.mu.RUnlock()
	if s == nil {
		return b.createSegment(key)
	}
	if s.f != nil {
		return s, nil
	}
	f, err := b.cfg.openFile(s.path)
	if err != nil {
		return nil, err
	}
	s.f = f
	return s, nil
}

func (b *Blobs) createSegment(key segmentKey) (*segment, error) {
	dir := key.dir(b.dir)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, b.failIfSync(err)
	}
	for n := b.firstFree(key); ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%06d%s", n, segmentExt))
		err := durable.CreateFile(path, nil, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, b.failIfSync(err)
		}
		f, err := b.cfg.openFile(path)
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		s := b.newSegment(key, path)
		s.f = f
		b.active[key] = s
		return s, nil
	}
}

// firstFree returns a number above which segment files of key may be made.
func (b *Blobs) firstFree(key segmentKey) int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := 0
	for _, s := range b.segments {
		if s != nil && !s.own && s.key == key {
			n++
		}
	}
	return n
}

// newSegment adds a segment. b.mu is held.
func (b *Blobs) newSegment(key segmentKey, path string) *segment {
	s := &segment{id: uint32(len(b.segments)), key: key, path: path}
	b.segments = append(b.segments, s)
	return s
}

// failIfSync makes the store read-only if the error is an fsync that failed.
func (b *Blobs) failIfSync(err error) error {
	var syncErr *durable.SyncError
	if errors.As(err, &syncErr) {
		return b.fail(err)
	}
	return err
}

// failure returns why nothing can be written, or nil. Unlike usable it lets a store that is closing write what it took.
func (b *Blobs) failure() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.failed
}

func (b *Blobs) has(sum storage.Hash) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	_, ok := b.index[sum]
	return ok
}
