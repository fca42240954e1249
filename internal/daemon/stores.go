package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/storage/sqlite"
	"github.com/stenolog/steno/trust"
)

func (c *Config) treeDir() string    { return filepath.Join(c.Dir, "log") }
func (c *Config) archiveDir() string { return filepath.Join(c.Dir, "archive") }
func (c *Config) blobsDir() string   { return filepath.Join(c.Dir, "blobs") }
func (c *Config) keyring() string    { return filepath.Join(c.Dir, "keyring", "keyring.db") }
func (c *Config) heads() string      { return filepath.Join(c.Dir, "state", "heads.db") }
func (c *Config) index() string      { return filepath.Join(c.Dir, "state", "index.db") }

// A NoLogError means that there is nothing where the log should be.
type NoLogError struct{ Dir string }

func (e *NoLogError) Error() string {
	return fmt.Sprintf("there is no log in %s; way out: create it with \"stenod log init\", or correct dir and guard", e.Dir)
}

// Is reports storage.ErrNotFound.
func (e *NoLogError) Is(target error) bool { return target == storage.ErrNotFound }

// A closer takes something down. They run in reverse.
type closer struct {
	what  string
	close func(ctx context.Context) error
}

type closers []closer

func (c *closers) add(what string, f func(ctx context.Context) error) {
	*c = append(*c, closer{what, f})
}

func (c *closers) addPlain(what string, f func() error) {
	c.add(what, func(context.Context) error { return f() })
}

// closeAll closes in reverse order, all of them whatever fails. Each gets its own time, so that a client that does not let go
// of its connection cannot cost the log its last checkpoint.
func (c *closers) closeAll(ctx context.Context, each time.Duration) error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), each)
		if err := (*c)[i].close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", (*c)[i].what, err))
		}
		cancel()
	}
	*c = nil
	return errors.Join(errs...)
}

// takeLease makes sure that this process is the only one on the log.
func takeLease(ctx context.Context, dir string, down *closers) (epoch uint64, err error) {
	lease := posix.NewLease(dir)
	epoch, err = lease.Acquire(ctx)
	if errors.Is(err, storage.ErrLocked) {
		return 0, fmt.Errorf("another process has the log in %s: %w; way out: end that process first, two would write two histories", dir, err)
	}
	if err != nil {
		return 0, err
	}
	down.add("the lease", lease.Release)
	return epoch, sweep(dir)
}

// sweep removes what a killed process left half-made beside the stores, which sweep their own directories. Who holds the
// lease is the only one to write there.
func sweep(dir string) error {
	for _, d := range []string{dir, filepath.Join(dir, "state"), filepath.Join(dir, "keyring")} {
		if _, err := durable.Sweep(d); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("sweeping %s: %w", d, err)
		}
	}
	return nil
}

// lookAtTree reads a tree that no sequencer has opened: the guard is checked before the driver is constructed.
type lookAtTree struct{ dir string }

var _ storage.Tree = lookAtTree{}

func (t lookAtTree) Head(context.Context) (uint64, storage.Hash, error) { return posix.ReadHead(t.dir) }

func (t lookAtTree) Tile(_ context.Context, level, index uint64, width uint8) ([]byte, error) {
	return t.read(tiles.Path(level, index, width))
}

func (t lookAtTree) Bundle(_ context.Context, index uint64, width uint8) ([]byte, error) {
	return t.read(tiles.BundlePath(index, width))
}

func (t lookAtTree) read(path string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(t.dir, filepath.FromSlash(path)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, storage.ErrNotFound)
	}
	return b, err
}

// exists tells whether there is anything of a log, so that one that was never created is not called lost.
func (c *Config) exists() bool {
	for _, path := range []string{c.treeDir(), c.archiveDir(), c.Guard} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// logVerifiers are the keys that the log signs with, or ever did.
func logVerifiers(t *trust.Trust) (all []note.Verifier) {
	for _, v := range t.LogVerifiers() {
		all = append(all, v)
	}
	return all
}

// openLog opens guard, archive and tree, checks the one against the others before a sequencer exists, and opens the log.
func openLog(ctx context.Context, c Config, k *keys, o observers, stampers []log.Stamper, down *closers) (*log.Log, *posix.Tree, error) {
	if !c.exists() {
		return nil, nil, &NoLogError{c.Dir}
	}
	guard, err := sqlite.OpenGuard(c.Guard)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil, &log.RefusedError{Reason: log.ErrGuardMissing, Origin: c.Origin, Err: err}
	}
	if err != nil {
		return nil, nil, err
	}
	down.addPlain("the guard", guard.Close)
	archive, err := posix.OpenArchive(c.archiveDir())
	if err != nil {
		return nil, nil, err
	}
	down.addPlain("the archive", archive.Close)
	lc := log.Config{
		Origin: c.Origin, Signers: k.log, Verifiers: logVerifiers(k.trust),
		Cosigners: k.peers.cosigners(), Stampers: stampers, Quorum: k.trust.Quorum, Binds: k.trust.Binds, Alarm: o.alarm,
		Elsewhere: func(ctx context.Context) ([][]byte, bool) { return k.peers.elsewhere(ctx, o.logger) },
		Tree:      lookAtTree{c.treeDir()}, Guard: guard, Archive: archive,
		Interval: time.Duration(c.Log.CheckpointInterval), Queue: c.Log.Queue, QueueBytes: int(c.Log.QueueBytes),
		Free: floor{c, o.free}.check, Logger: o.logger, Registerer: o.registerer,
	}
	if err := log.Check(ctx, lc); err != nil {
		return nil, nil, err
	}
	tree, err := posix.OpenTree(ctx, posix.TreeConfig{Dir: c.treeDir(), Logger: o.logger})
	if err != nil {
		return nil, nil, err
	}
	lc.Tree, lc.Sequencer = tree, tree
	l, err := log.Open(ctx, lc)
	if err != nil {
		return nil, nil, errors.Join(err, tree.Close(ctx))
	}
	down.add("the log", l.Close)
	return l, tree, nil
}

type observers struct {
	logger     *slog.Logger
	registerer prometheus.Registerer
	free       func(dir string) (bytes, inodes uint64, err error)
	alarm      func(log.Alarm)
}

// A floor looks at the disks of the log and of its guard.
type floor struct {
	c    Config
	free func(dir string) (bytes, inodes uint64, err error)
}

func (f floor) check() (ok bool, reason string) {
	for _, dir := range []string{f.c.Dir, filepath.Dir(f.c.Guard)} {
		bytes, inodes, err := f.free(dir)
		switch {
		case err != nil:
			return false, "the free space of the disk of " + dir + " is not known"
		case bytes < uint64(f.c.Disk.FloorBytes):
			return false, fmt.Sprintf("%s free on the disk of %s, the floor is %s", Bytes(bytes&^(1<<20-1)), dir, f.c.Disk.FloorBytes)
		case inodes < f.c.Disk.FloorInodes:
			return false, fmt.Sprintf("%d inodes free on the disk of %s, the floor is %d", inodes, dir, f.c.Disk.FloorInodes)
		}
	}
	return true, ""
}

// views are what is kept beside the log.
type views struct {
	blobs   *posix.Blobs
	keyring *sqlite.Keyring
	heads   *sqlite.Heads
	index   *sqlite.Index
}

func openViews(c Config, o observers, down *closers) (v views, err error) {
	if v.blobs, err = posix.OpenBlobs(posix.BlobsConfig{Dir: c.blobsDir(), Logger: o.logger}); err != nil {
		return v, err
	}
	down.addPlain("the blobs", v.blobs.Close)
	v.keyring, err = sqlite.OpenKeyring(c.keyring())
	if errors.Is(err, storage.ErrNotFound) {
		return v, fmt.Errorf("%w; without it nothing that was recorded can be opened; way out: put it back, or, if it is lost and that "+
			"is accepted, create an empty one with \"stenod log init --keyring-only\"", err)
	}
	if err != nil {
		return v, err
	}
	down.addPlain("the keyring", v.keyring.Close)
	if err := privateDir(c.Dir, "state"); err != nil {
		return v, err
	}
	if v.heads, err = sqlite.OpenHeads(c.heads()); err != nil {
		return v, err
	}
	down.addPlain("the heads", v.heads.Close)
	if v.index, err = sqlite.OpenIndex(c.index()); err != nil {
		return v, err
	}
	down.addPlain("the index", v.index.Close)
	return v, nil
}
