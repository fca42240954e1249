package posix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	tposix "github.com/transparency-dev/tessera/storage/posix"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// MaxLeaf is the greatest leaf: tlog-tiles prefixes each with a uint16.
const MaxLeaf = 65535

// Defaults of TreeConfig.
//
// A flush of one leaf is three small files, each written with O_SYNC, renamed, its directory synced. On 2 vCPU and ext4,
// machine quiet, leaves of 4 KiB, BatchAge 200 µs, p50/p99: one leaf 8.1/19 ms (one of 1.2 KiB, on a better day of the same
// disk, 3.0 ms), 64 leaves 13/47 ms, 256 leaves 17/43 ms. Ages of 500 µs to 2 ms differ from that by no more than runs do,
// and 4 ms adds itself to every one. An age shorter than it takes to add an Append's leaves can cut it into several flushes.
const (
	DefaultBatchSize          = 1024
	DefaultBatchAge           = 200 * time.Microsecond
	DefaultGCInterval         = 2 * time.Second
	DefaultCheckpointInterval = time.Second
)

// TreeConfig configures OpenTree. Members that are zero take their defaults.
type TreeConfig struct {
	// Dir is the tree's directory, made by CreateTree. Nothing else may be kept in it.
	Dir string
	// BatchSize leaves are flushed at once, fewer when the first has waited for BatchAge. The caller groups already, so
	// BatchAge is only there to let the leaves of one Append get into one flush.
	BatchSize uint
	BatchAge  time.Duration
	// GCInterval is the time between removals of overtaken partial tiles, 500 ms to 5 s: a run removes those of about 100
	// bundles, so 5 s keeps up with 5,200 leaves/s and 500 ms with 25,000.
	GCInterval time.Duration
	// CheckpointInterval is how often Tessera writes its internal checkpoint, at least 100 ms. Nothing reads it but
	// Tessera's own garbage collection, and Close, which waits for it.
	CheckpointInterval time.Duration
	// Logger, nil for none.
	Logger *slog.Logger
}

func (c *TreeConfig) setDefaults() error {
	if c.BatchSize == 0 {
		c.BatchSize = DefaultBatchSize
	}
	if c.BatchAge == 0 {
		c.BatchAge = DefaultBatchAge
	}
	if c.GCInterval == 0 {
		c.GCInterval = DefaultGCInterval
	}
	if c.CheckpointInterval == 0 {
		c.CheckpointInterval = DefaultCheckpointInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.GCInterval < 500*time.Millisecond || c.GCInterval > 5*time.Second {
		return fmt.Errorf("GC interval %v is not within 500ms and 5s", c.GCInterval)
	}
	if c.CheckpointInterval < 100*time.Millisecond {
		return fmt.Errorf("checkpoint interval %v is below 100ms", c.CheckpointInterval)
	}
	if c.BatchAge < 0 {
		return fmt.Errorf("batch age %v is negative", c.BatchAge)
	}
	return nil
}

// A Tree is a log's tree in a directory. It implements storage.Sequencer and storage.Tree.
type Tree struct {
	cfg  TreeConfig
	dir  string
	lock *fileLock
	add  tessera.AddFn
	stop func(context.Context) error // Tessera's Shutdown
	kill context.CancelFunc          // ends Tessera's goroutines

	// inFlight is shared by leaves that are with the driver and exclusive to Settle and Close, which therefore see every
	// future resolved.
	inFlight  inFlight
	abandoned chan struct{} // closed when Close gave up on the driver: those who wait for a future get their way out

	mu     sync.Mutex
	failed error // terminal: a driver error after which durability can't be believed
	closed bool
	swept  int
}

var (
	_ storage.Sequencer = (*Tree)(nil)
	_ storage.Tree      = (*Tree)(nil)
)

// ErrClosed means that the store was closed.
var ErrClosed = errors.New("store is closed")

// A MissingStateError means that a tree's directory lacks the file without which Tessera would take the tree for empty,
// and overwrite it.
type MissingStateError struct{ Path string }

func (e *MissingStateError) Error() string {
	return fmt.Sprintf("%s is missing: opened like this the log would start again at size 0 and overwrite its tiles; "+
		"put the file (or the whole tree directory) back from a copy that is not older than the guard, "+
		"or, if this is a new log, create it with \"stenod log init\"", e.Path)
}

// Is reports storage.ErrNotFound.
func (e *MissingStateError) Is(target error) bool { return target == storage.ErrNotFound }

// CreateTree makes an empty tree in dir, durably. It returns storage.ErrExists if dir has a tree or what is left of one; a
// CreateTree that was interrupted can be repeated.
func CreateTree(ctx context.Context, dir string) (err error) {
	if err := durable.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("creating tree: %w", err)
	}
	lock, err := lockTree(dir)
	if err != nil {
		return fmt.Errorf("creating tree: %w", err)
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	for _, name := range []string{treeStatePath, "tile", "checkpoint"} {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case err == nil:
			return fmt.Errorf("creating tree: %s: %w", filepath.Join(dir, name), storage.ErrExists)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("creating tree: %w", err)
		}
	}
	if err := createInternalKey(dir); err != nil {
		return fmt.Errorf("creating tree: %w", err)
	}
	// The state is what makes the directory a tree, hence last. Tessera adds its version file and its checkpoint when it
	// is opened.
	if err := durable.MkdirAll(filepath.Join(dir, stateDir), 0o755); err != nil {
		return fmt.Errorf("creating tree: %w", err)
	}
	return writeTreeState(dir, treeState{Size: 0, Root: emptyRoot()})
}

// OpenTree opens the tree in cfg.Dir for the one sequencer that may be live. It returns a *MissingStateError if there is
// no tree, storage.ErrLocked if it is open already, here or in another process. It removes temporary files that a killed
// process left behind (see Swept).
//
// The caller checks the guard before it calls OpenTree; ReadHead serves for that.
func OpenTree(ctx context.Context, cfg TreeConfig) (_ *Tree, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("opening tree: %w", err)
	}
	dir, err := resolve(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening tree: %w", err)
	}
	if _, err := readTreeState(dir); err != nil {
		return nil, fmt.Errorf("opening tree: %w", err)
	}
	lock, err := lockTree(dir)
	if err != nil {
		return nil, fmt.Errorf("opening tree: %w", err)
	}
	t := &Tree{cfg: cfg, dir: dir, lock: lock, abandoned: make(chan struct{})}
	if err := t.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening tree: %w", err), lock.release())
	}
	return t, nil
}

func (t *Tree) start(ctx context.Context) (err error) {
	if t.swept, err = sweepTree(t.dir); err != nil {
		return fmt.Errorf("sweeping temporary files: %w", err)
	}
	if t.swept > 0 {
		t.cfg.Logger.Info("removed temporary files of an earlier process", "count", t.swept, "dir", t.dir)
	}
	// What we read may be a state that was renamed into place but whose directory was never synced, because the process
	// died in between. Written again, it is durable before anything is built, or signed, on it.
	if err := rewriteTreeState(t.dir); err != nil {
		return err
	}
	signer, err := loadInternalSigner(t.dir)
	if err != nil {
		return err
	}
	driver, err := tposix.New(ctx, tposix.Config{Path: t.dir})
	if err != nil {
		return err
	}
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(t.cfg.BatchSize, t.cfg.BatchAge).
		WithCheckpointInterval(t.cfg.CheckpointInterval).
		WithCheckpointRepublishInterval(0).
		WithGarbageCollectionInterval(t.cfg.GCInterval)
	// The driver lives until Close, not until the end of the caller's context: cancelled earlier, its futures hang.
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	appender, stop, _, err := tessera.NewAppender(life, driver, opts)
	if err != nil {
		kill()
		return err
	}
	t.add, t.stop, t.kill = appender.Add, stop, kill
	return nil
}

// Swept is the number of temporary files that OpenTree removed.
func (t *Tree) Swept() int { return t.swept }

// Append implements storage.Sequencer. Leaves are copied, so the caller may reuse them at once. When ctx ends first, the
// leaves stay with the driver and the error says so; Settle waits for them.
func (t *Tree) Append(ctx context.Context, leaves [][]byte) ([]uint64, error) {
	if len(leaves) == 0 {
		return nil, nil
	}
	entries, err := newEntries(leaves)
	if err != nil {
		return nil, fmt.Errorf("appending: %w", err)
	}
	if err := t.inFlight.enter(ctx); err != nil {
		return nil, fmt.Errorf("appending: %w", err)
	}
	if err := t.usable(); err != nil {
		t.inFlight.leave()
		return nil, fmt.Errorf("appending: %w", err)
	}
	type answer struct {
		indexes []uint64
		err     error
	}
	answers := make(chan answer, 1)
	// Add can block on a full queue and a future can't be interrupted: both in a goroutine of their own, which ends when
	// the driver has answered for every leaf.
	go func() {
		defer t.inFlight.leave()
		indexes, err := t.addAll(entries)
		if err != nil {
			t.fail(err)
		}
		answers <- answer{indexes, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return nil, fmt.Errorf("appending: %w", a.err)
		}
		return a.indexes, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("appending: no answer yet: %w", ctx.Err())
	case <-t.abandoned:
		return nil, fmt.Errorf("appending: no answer yet: %w", ErrClosed)
	}
}

// newEntries copies leaves: the driver reads them until their future resolves, which can be after Append has returned.
func newEntries(leaves [][]byte) ([]*tessera.Entry, error) {
	total := 0
	for i, leaf := range leaves {
		if len(leaf) > MaxLeaf {
			return nil, fmt.Errorf("leaf %d of %d has %d bytes, the limit is %d", i, len(leaves), len(leaf), MaxLeaf)
		}
		total += len(leaf)
	}
	arena := make([]byte, 0, total)
	entries := make([]*tessera.Entry, len(leaves))
	for i, leaf := range leaves {
		start := len(arena)
		arena = append(arena, leaf...)
		entries[i] = tessera.NewEntry(arena[start:len(arena):len(arena)])
	}
	return entries, nil
}

// addAll hands entries to the driver and waits for every future, also after one has failed.
func (t *Tree) addAll(entries []*tessera.Entry) ([]uint64, error) {
	futures := make([]tessera.IndexFuture, len(entries))
	for i, e := range entries {
		futures[i] = t.add(context.Background(), e)
	}
	indexes := make([]uint64, len(entries))
	var firstErr error
	for i, f := range futures {
		index, err := f()
		if err != nil && firstErr == nil {
			firstErr = err
		}
		indexes[i] = index.Index
	}
	return indexes, firstErr
}

// usable returns why nothing can be appended, or nil.
func (t *Tree) usable() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	return t.failed
}

// fail records a driver error. Tessera flattens its errors into text, and from an fsync that failed there is no way back;
// so only the errors that are known to strike before anything is written are taken as passing.
func (t *Tree) fail(err error) {
	text := err.Error()
	passing := strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded") ||
		strings.Contains(text, "too many open files")
	if passing && !strings.Contains(text, "failed to sync") {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = fmt.Errorf("%w after: %w", storage.ErrReadOnly, err)
		t.cfg.Logger.Error("tree accepts nothing more", "error", err)
	}
}

// Settle implements storage.Sequencer: it waits until the driver has answered for every leaf, then makes the state that
// it left durable.
func (t *Tree) Settle(ctx context.Context) (size uint64, err error) {
	if err := t.inFlight.exclude(ctx); err != nil {
		return 0, fmt.Errorf("settling: %w", err)
	}
	defer t.inFlight.include()
	if err := t.usable(); err != nil {
		return 0, fmt.Errorf("settling: %w", err)
	}
	// A flush can fail after the new state was renamed into place. With no leaf in flight nobody else writes the file.
	if err := rewriteTreeState(t.dir); err != nil {
		t.fail(err)
		return 0, fmt.Errorf("settling: %w", err)
	}
	state, err := readTreeState(t.dir)
	if err != nil {
		return 0, fmt.Errorf("settling: %w", err)
	}
	return state.Size, nil
}

// Close implements storage.Sequencer. If ctx ends before the driver has answered, those who wait get an error, and the
// directory stays locked, because the driver may still write; Close can be called again.
func (t *Tree) Close(ctx context.Context) error {
	t.mu.Lock()
	already := t.closed && t.kill == nil
	t.closed = true
	t.mu.Unlock()
	if already {
		return nil
	}
	if err := t.inFlight.exclude(ctx); err != nil {
		t.abandon()
		return fmt.Errorf("closing tree: leaves are still with the driver: %w", err)
	}
	defer t.inFlight.include()
	t.mu.Lock()
	kill, failed := t.kill, t.failed
	t.kill = nil
	t.mu.Unlock()
	if kill == nil {
		return nil
	}
	var err error
	if failed == nil {
		// Waits until the internal checkpoint covers all, so that no write of the old driver meets the next one.
		err = t.stop(ctx)
	}
	kill()
	return errors.Join(err, t.lock.release())
}

func (t *Tree) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.abandoned:
	default:
		close(t.abandoned)
	}
}
