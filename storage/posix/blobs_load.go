package posix

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Names of files in a class/day directory.
const (
	segmentExt = ".seg"   // 000000.seg: records
	indexExt   = ".idx"   // 000000.idx: what the segment held when it was closed; derived
	ownExt     = ".blob"  // <hex SHA-256>.blob: one blob, bare
	eraseExt   = ".erase" // a .blob that is being erased
)

// load builds the index from the files.
func (b *Blobs) load() error {
	classes, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, class := range classes {
		if !class.IsDir() || !validClass(class.Name()) {
			continue
		}
		days, err := os.ReadDir(filepath.Join(b.dir, class.Name()))
		if err != nil {
			return err
		}
		for _, day := range days {
			if _, err := time.Parse(time.DateOnly, day.Name()); err != nil || !day.IsDir() {
				continue
			}
			if err := b.loadDay(segmentKey{class.Name(), day.Name()}); err != nil {
				return fmt.Errorf("%s/%s: %w", class.Name(), day.Name(), err)
			}
		}
	}
	if b.damaged > 0 {
		b.cfg.Logger.Error("segments have damaged records", "bytes", b.damaged)
	}
	return nil
}

func (b *Blobs) loadDay(key segmentKey) error {
	dir := key.dir(b.dir)
	if _, err := durable.Sweep(dir); err != nil {
		return err
	}
	// A directory entry that can be read may not be durable yet: the process that made it may have died in between.
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		switch filepath.Ext(file.Name()) {
		case segmentExt:
			err = b.loadSegment(key, path)
		case ownExt:
			err = b.loadOwn(key, file)
		case eraseExt:
			err = wipe(path)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
	}
	return nil
}

func (b *Blobs) loadOwn(key segmentKey, file fs.DirEntry) error {
	raw, err := hex.DecodeString(strings.TrimSuffix(file.Name(), ownExt))
	if err != nil || len(raw) != sha256.Size {
		return errors.New("not the name of a blob")
	}
	info, err := file.Info()
	if err != nil {
		return err
	}
	if info.Size() > MaxBlob {
		return fmt.Errorf("%d bytes, the limit is %d", info.Size(), MaxBlob)
	}
	b.addOwn(key, storage.Hash(raw), info.Size())
	return nil
}

// loadSegment reads a segment: the part that its index file tells of is believed (blobs are checked when they are read),
// the rest is scanned. What was not acknowledged is cut off.
func (b *Blobs) loadSegment(key segmentKey, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s := b.newSegment(key, path)
	known, from := readIndexFile(indexPath(path), info.Size())
	for sum, p := range known {
		p.seg = s.id
		b.add(s, sum, p)
	}
	found, err := scanFile(f, from, info.Size())
	if err != nil {
		return err
	}
	b.damaged += found.damaged
	if found.end < info.Size() {
		b.cfg.Logger.Info("cutting off a torn tail", "path", path, "bytes", info.Size()-found.end)
		if err := f.Truncate(found.end); err != nil {
			return err
		}
	}
	for _, rec := range found.records {
		if !rec.erased {
			b.add(s, rec.sum, place{seg: s.id, off: uint32(rec.off), size: uint32(rec.length)})
			continue
		}
		if !rec.zeroed {
			if err := zeroBody(f, rec.off, rec.length); err != nil {
				return err
			}
		}
	}
	// Records that were scanned can be in the page cache only; from now on they are taken for durable.
	if err := f.Sync(); err != nil {
		return &durable.SyncError{Path: path, Err: err}
	}
	s.size = found.end
	if s.live == 0 && s.size > 0 && found.damaged == 0 {
		b.segments[s.id] = nil
		return errors.Join(durable.Remove(indexPath(path)), durable.Remove(path)) // an erasure that was interrupted
	}
	if s.size < b.cfg.SegmentSize {
		b.active[key] = s
	}
	return nil
}

func indexPath(segment string) string { return strings.TrimSuffix(segment, segmentExt) + indexExt }

// indexMagic begins an index file. Then: size of the segment that it tells of, big endian (8); per live blob its SHA-256
// (32), offset (4), size (4); SHA-256 of all that (32).
const (
	indexMagic = "steno/segment-index/v1\n"
	indexEntry = sha256.Size + 8
)

// seal writes the index file of a segment and closes it. b.commit is held, or the caller is the committer.
func (b *Blobs) seal(s *segment) error {
	b.mu.Lock()
	if b.active[s.key] == s && s.size >= b.cfg.SegmentSize {
		delete(b.active, s.key)
	}
	f := s.f
	s.f = nil
	b.mu.Unlock()
	if f == nil {
		return nil // nothing was written since it was opened
	}
	// From the headers in the file, not from b.index, which would have to be walked whole.
	// Without an index file the segment is scanned at the next start: so it is where records are damaged, and where an
	// erasure may have stopped half way.
	var err error
	if b.failure() == nil {
		var content []byte
		if content, err = indexContent(f, s.size); err == nil {
			err = durable.WriteFile(indexPath(s.path), content, 0o600)
		}
	}
	if errors.Is(err, errNoRecord) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

func indexContent(f segmentFile, size int64) ([]byte, error) {
	out := binary.BigEndian.AppendUint64([]byte(indexMagic), uint64(size))
	var buf [headerSize]byte
	for off := int64(0); off < size; {
		if _, err := f.ReadAt(buf[:], off); err != nil {
			return nil, err
		}
		h, err := parseHeader(buf[:])
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", off, err) // damaged: no index file, to be scanned
		}
		if !h.erased {
			out = append(out, h.sum[:]...)
			out = binary.BigEndian.AppendUint32(out, uint32(off))
			out = binary.BigEndian.AppendUint32(out, uint32(h.length))
		}
		off = h.end(off)
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// readIndexFile returns what an index file says and the size up to which it does; nothing if it is not sound.
func readIndexFile(path string, segmentSize int64) (map[storage.Hash]place, int64) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, 0
	}
	return parseIndex(b, segmentSize)
}

func parseIndex(b []byte, segmentSize int64) (map[storage.Hash]place, int64) {
	const fixed = len(indexMagic) + 8
	if len(b) < fixed+sha256.Size || string(b[:len(indexMagic)]) != indexMagic {
		return nil, 0
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sha256.Sum256(body) != storage.Hash(sum) || (len(body)-fixed)%indexEntry != 0 {
		return nil, 0
	}
	size := binary.BigEndian.Uint64(body[len(indexMagic):])
	if size > uint64(segmentSize) {
		return nil, 0
	}
	known := make(map[storage.Hash]place, (len(body)-fixed)/indexEntry)
	for e := body[fixed:]; len(e) > 0; e = e[indexEntry:] {
		known[storage.Hash(e[:sha256.Size])] = place{
			off:  binary.BigEndian.Uint32(e[sha256.Size:]),
			size: binary.BigEndian.Uint32(e[sha256.Size+4:]),
		}
	}
	return known, int64(size)
}
