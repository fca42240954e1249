package posix

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Limits of Blobs.
const (
	// MaxSegment is the size beyond which a segment file gets no more records.
	MaxSegment = 256 << 20
	// MaxInSegment is the greatest blob that is kept in a segment file; greater ones have a file of their own.
	MaxInSegment = maxBody
	// MaxBlob is the greatest blob. Payloads are at most 16 MiB, larger ones come in parts.
	MaxBlob = 1 << 30
)

// BlobsConfig configures OpenBlobs.
type BlobsConfig struct {
	// Dir is made if it is missing. It must not be shared.
	Dir string
	// SegmentSize, at most and by default MaxSegment: tests make it small.
	SegmentSize int64
	// Logger, nil for none.
	Logger *slog.Logger

	openFile func(path string) (segmentFile, error) // tests let it fail
}

// Blobs keeps blobs in segment files by retention class and UTC day. It implements storage.Blobs.
//
// The index of what is where is held in memory, about 60 bytes a blob (estimated), and built from the files when they are opened.
type Blobs struct {
	cfg  BlobsConfig
	dir  string
	lock *fileLock

	queue chan *putRequest
	done  chan struct{} // closed when the committer has ended
	quit  chan struct{}

	// commit is held by whoever writes to segment files: the committer, and Erase.
	commit sync.Mutex

	mu       sync.RWMutex // guards what follows
	index    map[storage.Hash]place
	extra    map[storage.Hash][]place // further copies, which a crash can leave: Erase must get them too
	segments []*segment               // place.seg points in here; nil once removed
	active   map[segmentKey]*segment  // those that get records
	ownDirs  map[segmentKey]*segment  // those that stand for a directory of blobs with their own files
	failed   error
	closed   bool
	damaged  int64
}

var _ storage.Blobs = (*Blobs)(nil)

type segmentKey struct{ class, day string }

func (k segmentKey) dir(root string) string { return filepath.Join(root, k.class, k.day) }

// place is where a blob is. It has no pointers, so that the collector need not walk the index.
type place struct {
	seg  uint32 // index in segments
	off  uint32 // of the header; of a blob with its own file: ownFile
	size uint32
}

const ownFile = 1<<32 - 1

// ErrCorrupt means that bytes read are not those that were stored.
var ErrCorrupt = errors.New("stored bytes have changed")

// OpenBlobs opens the store in cfg.Dir, which it makes if it is missing. It truncates what a killed process left half
// written, finishes erasures, and returns storage.ErrLocked if the store is open already.
func OpenBlobs(cfg BlobsConfig) (*Blobs, error) {
	if cfg.SegmentSize <= 0 || cfg.SegmentSize > MaxSegment {
		cfg.SegmentSize = MaxSegment
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.openFile == nil {
		cfg.openFile = func(path string) (segmentFile, error) { return os.OpenFile(path, os.O_RDWR, 0) }
	}
	if err := durable.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening blobs: %w", err)
	}
	lock, err := lockFile(filepath.Join(cfg.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("opening blobs: %w", err)
	}
	b := &Blobs{
		cfg: cfg, dir: cfg.Dir, lock: lock,
		queue: make(chan *putRequest, 256), done: make(chan struct{}), quit: make(chan struct{}),
		index: make(map[storage.Hash]place), extra: make(map[storage.Hash][]place),
		active: make(map[segmentKey]*segment), ownDirs: make(map[segmentKey]*segment),
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening blobs: %w", err), lock.release())
	}
	go b.runCommitter()
	return b, nil
}

// Damaged is the number of bytes in segment files, found when opening, that were records once and are no longer.
func (b *Blobs) Damaged() int64 { return b.damaged }

// Put implements storage.Blobs. Concurrent Puts share one fdatasync. When ctx ends first, the blobs may be stored or not.
func (b *Blobs) Put(ctx context.Context, seg storage.Segment, blobs []storage.Blob) error {
	key, err := keyOf(seg)
	if err != nil {
		return fmt.Errorf("putting blobs: %w", err)
	}
	for i, blob := range blobs {
		if err := checkBlob(blob); err != nil {
			return fmt.Errorf("putting blob %d of %d: %w", i, len(blobs), err)
		}
	}
	req := &putRequest{key: key, answer: make(chan error, 1)}
	for _, blob := range b.missing(blobs) {
		if blob.Size > MaxInSegment {
			if err := b.putOwn(key, blob); err != nil {
				return fmt.Errorf("putting blob %x: %w", blob.SHA256, err)
			}
			continue
		}
		// Framed here, in parallel: the committer then has no part in the caller's memory.
		h := header{length: blob.Size, sum: blob.SHA256}
		rec := h.append(make([]byte, 0, headerSize+len(blob.Bytes)))
		req.records = append(req.records, framed{blob.SHA256, append(rec, blob.Bytes...)})
	}
	if err := b.usable(); err != nil {
		return fmt.Errorf("putting blobs: %w", err)
	}
	if len(req.records) == 0 {
		return nil
	}
	if err := b.submit(ctx, req); err != nil {
		return fmt.Errorf("putting blobs: %w", err)
	}
	return nil
}

func (b *Blobs) submit(ctx context.Context, req *putRequest) error {
	select {
	case b.queue <- req:
	case <-b.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-req.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.done:
		// The committer answers all it has taken before it ends.
		select {
		case err := <-req.answer:
			return err
		default:
			return ErrClosed
		}
	}
}

func checkBlob(blob storage.Blob) error {
	if int64(len(blob.Bytes)) != blob.Size {
		return fmt.Errorf("%d bytes under a name that says %d", len(blob.Bytes), blob.Size)
	}
	if blob.Size > MaxBlob {
		return fmt.Errorf("%d bytes, the limit is %d", blob.Size, MaxBlob)
	}
	if sum := sha256.Sum256(blob.Bytes); sum != blob.SHA256 {
		return fmt.Errorf("hash is %x, the name says %x", sum, blob.SHA256)
	}
	return nil
}

func keyOf(seg storage.Segment) (segmentKey, error) {
	if !validClass(seg.Class) {
		return segmentKey{}, fmt.Errorf("class %q is not 1 to 64 of [a-z0-9-]", seg.Class)
	}
	day := seg.Day.UTC()
	if y := day.Year(); y < 1 || y > 9999 {
		return segmentKey{}, fmt.Errorf("year %d", y)
	}
	return segmentKey{seg.Class, day.Format(time.DateOnly)}, nil
}

func validClass(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// missing returns the blobs that are not stored yet, each once.
func (b *Blobs) missing(blobs []storage.Blob) []storage.Blob {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []storage.Blob
	for _, blob := range blobs {
		same := func(o storage.Blob) bool { return o.SHA256 == blob.SHA256 }
		if _, ok := b.index[blob.SHA256]; !ok && !slices.ContainsFunc(out, same) {
			out = append(out, blob)
		}
	}
	return out
}

// Has implements storage.Blobs.
func (b *Blobs) Has(_ context.Context, refs []storage.Ref) ([]bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, ErrClosed
	}
	out := make([]bool, len(refs))
	for i, ref := range refs {
		p, ok := b.index[ref.SHA256]
		out[i] = ok && int64(p.size) == ref.Size
	}
	return out, nil
}

func (b *Blobs) usable() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	return b.failed
}

// fail makes the store read-only for good, and returns the error that says so.
func (b *Blobs) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil {
		b.failed = fmt.Errorf("%w after: %w", storage.ErrReadOnly, err)
		b.cfg.Logger.Error("blobs accept nothing more", "error", err)
	}
	return b.failed
}

// Close waits for Puts under way and releases the directory.
func (b *Blobs) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	close(b.quit)
	<-b.done
	b.commit.Lock()
	defer b.commit.Unlock()
	var errs []error
	for _, s := range b.active {
		errs = append(errs, b.seal(s))
	}
	return errors.Join(append(errs, b.lock.release())...)
}
