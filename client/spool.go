package client

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/durable"
)

// A spoolDir is the directory of one recorder: the lock, the bytes in use, and a spool per track.
type spoolDir struct {
	path string
	lock *os.File
	max  int64        // bytes; entries may not make it larger
	used atomic.Int64 // bytes of all segments
	now  func() time.Time
}

// reserve is what Spool may use beyond the bound that Record respects: a result that was obtained must find room even
// when there is none for another intent.
func (d *spoolDir) reserve() int64 { return d.max / 4 }

// Sizes at which a new segment is begun: of any, and of one in which nothing is left to be proven. A small spool needs
// small segments, or what is proven would take the room of what is to come.
const (
	segmentBytes = 8 << 20
	compactBytes = 256 << 10
)

func (d *spoolDir) segmentBytes() int64 { return min(segmentBytes, d.max/8) }
func (d *spoolDir) compactBytes() int64 { return min(compactBytes, d.max/8) }

const lockName = "lock"

func openSpoolDir(path string, maxBytes int64, now func() time.Time) (*spoolDir, error) {
	if err := durable.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	// The lock lasts as long as the process, however it ends, and excludes a second recorder in this process too.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrSpoolLocked
		}
		return nil, fmt.Errorf("opening spool %s: %w", path, err)
	}
	if _, err := durable.Sweep(path); err != nil {
		f.Close()
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	return &spoolDir{path: path, lock: f, max: maxBytes, now: now}, nil
}

func (d *spoolDir) close() error { return d.lock.Close() }

// A segment is one file of a track.
type segment struct {
	n    int
	path string
	size int64
	end  uint64 // sequence number after its last entry
}

// A place is where a record's data lies.
type place struct {
	segment int
	offset  int64
	length  int
}

// A trackSpool is the segments of one track. Entries are appended by whoever holds the track's right to write, the other
// records by its sender and verifier.
type trackSpool struct {
	dir            *spoolDir
	session, track string

	mu     sync.Mutex
	segs   []segment // the last is the active one
	files  map[int]*os.File
	broken error
}

// createTrackSpool makes the first segment of a track.
func createTrackSpool(d *spoolDir, state trackState) (*trackSpool, error) {
	s := &trackSpool{dir: d, session: state.Session, track: state.Track, files: make(map[int]*os.File)}
	return s, s.addSegment(1, state)
}

// addSegment makes a segment with its first record, whole or not at all.
func (s *trackSpool) addSegment(n int, state trackState) error {
	r, err := jsonRecord(kindTrack, entry.TimeOf(s.dir.now()), state)
	if err != nil {
		return err
	}
	data := appendRecord([]byte(spoolMagic), r)
	path := filepath.Join(s.dir.path, segmentName(s.session, s.track, n))
	if err := durable.CreateFile(path, data, 0o600); err != nil {
		return fmt.Errorf("making a spool segment: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening a spool segment: %w", err)
	}
	s.segs = append(s.segs, segment{n: n, path: path, size: int64(len(data)), end: state.Next})
	s.files[n] = f
	s.dir.used.Add(int64(len(data)))
	return nil
}

// append writes records in one write and returns where each one's data lies. It syncs nothing. end is the sequence number
// after the last entry among them, or 0. If it fails, nothing was appended.
func (s *trackSpool) append(end uint64, records ...record) ([]place, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	if len(s.segs) == 0 {
		return nil, ErrClosed
	}
	seg := &s.segs[len(s.segs)-1]
	size := 0
	for _, r := range records {
		size += recordHead + len(r.data) + recordTail
	}
	buf := make([]byte, 0, size)
	places := make([]place, len(records))
	for i, r := range records {
		places[i] = place{seg.n, seg.size + int64(len(buf)) + recordHead, len(r.data)}
		buf = appendRecord(buf, r)
	}
	f := s.files[seg.n]
	if _, err := f.WriteAt(buf, seg.size); err != nil {
		// What was written of it would be a torn tail, and with more records behind it a hole.
		if cut := f.Truncate(seg.size); cut != nil {
			s.broken = fmt.Errorf("%w: %w", ErrSpoolBroken, cut)
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return nil, fmt.Errorf("%w: %w", ErrSpoolFull, err)
		}
		return nil, fmt.Errorf("writing to the spool: %w", err)
	}
	seg.size += int64(len(buf))
	seg.end = max(seg.end, end)
	s.dir.used.Add(int64(len(buf)))
	return places, nil
}

// sync makes durable what was appended. After it failed nothing more is written: an fsync that succeeds later would say
// nothing of the data of this one.
func (s *trackSpool) sync() error {
	s.mu.Lock()
	if s.broken != nil || len(s.segs) == 0 {
		defer s.mu.Unlock()
		return s.broken
	}
	f := s.files[s.segs[len(s.segs)-1].n]
	s.mu.Unlock()
	if err := f.Sync(); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = fmt.Errorf("%w: %w", ErrSpoolBroken, err)
		return s.broken
	}
	return nil
}

func (s *trackSpool) read(p place) ([]byte, error) {
	s.mu.Lock()
	f := s.files[p.segment]
	s.mu.Unlock()
	if f == nil {
		return nil, fmt.Errorf("reading the spool: segment %d is gone", p.segment)
	}
	b := make([]byte, p.length)
	if _, err := io.ReadFull(io.NewSectionReader(f, p.offset, int64(p.length)), b); err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	return b, nil
}

// activeSize is the size of the segment that is written to.
func (s *trackSpool) activeSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segs) == 0 {
		return 0
	}
	return s.segs[len(s.segs)-1].size
}

// rotate begins a new segment at state. The caller has the right to write, and has synced.
func (s *trackSpool) rotate(state trackState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	return s.addSegment(s.segs[len(s.segs)-1].n+1, state)
}

// drop removes the segments, oldest first, all of whose entries lie below verified. The active one stays unless all is
// true.
func (s *trackSpool) drop(verified uint64, all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.segs) > 0 && (all || len(s.segs) > 1 && s.segs[0].end <= verified) {
		seg := s.segs[0]
		if err := durable.Remove(seg.path); err != nil {
			return fmt.Errorf("removing a spool segment: %w", err)
		}
		s.files[seg.n].Close() // it was removed: nothing to lose
		delete(s.files, seg.n)
		s.segs = s.segs[1:]
		s.dir.used.Add(-seg.size)
	}
	return nil
}

func (s *trackSpool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.Close() // what matters was synced
	}
	s.files, s.segs = nil, nil
}
