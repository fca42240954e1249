package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/storage/sqlite"
)

// Created says what Init made: the keys that verifiers pin.
type Created struct {
	Origin string
	Trust  string // the trust file's text
}

// Init creates a log: tree, archive, keyring, and last the guard, which makes it exist. It refuses one that exists
// (storage.ErrExists); when it was interrupted, it can be run again.
func Init(ctx context.Context, c Config) (_ Created, err error) {
	if err := c.Check(); err != nil {
		return Created{}, fmt.Errorf("configuration: %w", err)
	}
	k, err := loadKeys(c)
	if err != nil {
		return Created{}, err
	}
	var down closers
	defer func() { err = errors.Join(err, down.closeAll(ctx, DefaultShutdown)) }()
	if err := privateDir(c.Dir); err != nil {
		return Created{}, err
	}
	if _, err := takeLease(ctx, c.Dir, &down); err != nil {
		return Created{}, err
	}
	if err := createLog(ctx, c, k, &down); err != nil {
		return Created{}, err
	}
	return Created{c.Origin, string(k.trust.Marshal())}, nil
}

func createLog(ctx context.Context, c Config, k *keys, down *closers) error {
	// Looked at before anything is touched: a log whose guard was lost must not get an empty one.
	if err := refuseExisting(ctx, c); err != nil {
		return err
	}
	if err := posix.CreateTree(ctx, c.treeDir()); err != nil && !errors.Is(err, storage.ErrExists) {
		return err
	}
	archive, err := posix.OpenArchive(c.archiveDir())
	if err != nil {
		return err
	}
	down.addPlain("the archive", archive.Close)
	if err := privateDir(c.Dir, "keyring"); err != nil {
		return err
	}
	keyring, err := sqlite.CreateKeyring(c.keyring())
	if err != nil {
		return err
	}
	down.addPlain("the keyring", keyring.Close)
	if err := privateDir(filepath.Dir(c.Guard)); err != nil {
		return err
	}
	guard, err := sqlite.CreateGuard(c.Guard)
	if err != nil {
		return err
	}
	down.addPlain("the guard", guard.Close)
	return log.Create(ctx, log.CreateConfig{
		Origin: c.Origin, Signers: k.log, Verifiers: logVerifiers(k.trust), Tree: lookAtTree{c.treeDir()}, Guard: guard, Archive: archive,
	})
}

func refuseExisting(ctx context.Context, c Config) error {
	size, _, err := posix.ReadHead(c.treeDir())
	if err == nil && size > 0 {
		return fmt.Errorf("there is a tree of size %d in %s: %w; way out: if its guard is lost, put it back, or retire the log "+
			"with \"stenod log succeed\" and create its successor elsewhere", size, c.treeDir(), storage.ErrExists)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	guard, err := sqlite.OpenGuard(c.Guard)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	state, err := guard.Load(ctx)
	err = errors.Join(err, guard.Close())
	if errors.Is(err, storage.ErrNotFound) { // an interrupted Init left it
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is the guard of %q at size %d: %w; way out: give the new log another guard", c.Guard, state.Origin, state.Size, storage.ErrExists)
}

// InitKeyring makes an empty keyring in place of one that is lost.
func InitKeyring(ctx context.Context, c Config) (err error) {
	var down closers
	defer func() { err = errors.Join(err, down.closeAll(ctx, DefaultShutdown)) }()
	if _, err := takeLease(ctx, c.Dir, &down); err != nil {
		return err
	}
	if _, err := os.Lstat(c.keyring()); err == nil {
		return fmt.Errorf("%s: %w", c.keyring(), storage.ErrExists)
	}
	if err := privateDir(c.Dir, "keyring"); err != nil {
		return err
	}
	keyring, err := sqlite.CreateKeyring(c.keyring())
	if err != nil {
		return err
	}
	return keyring.Close()
}

// Succeed retires the log of a configuration, for good, and writes the last checkpoint known of it to a new file, which the
// successor's configuration names under "succeeds". Known are further checkpoints of the log, from witnesses or mirrors.
func Succeed(ctx context.Context, c Config, successor, out string, known [][]byte) (_ log.Predecessor, err error) {
	var none log.Predecessor
	t, err := loadTrust(c)
	if err != nil {
		return none, err
	}
	if err := log.CheckGuardPath(c.Guard, c.Dir); err != nil {
		return none, err
	}
	var down closers
	defer func() { err = errors.Join(err, down.closeAll(ctx, DefaultShutdown)) }()
	rc := log.RetireConfig{Origin: c.Origin, Verifiers: logVerifiers(t), Known: known, Successor: successor}
	if _, statErr := os.Lstat(c.Dir); statErr == nil {
		if _, err := takeLease(ctx, c.Dir, &down); err != nil {
			return none, err
		}
	}
	if _, statErr := os.Lstat(c.archiveDir()); statErr == nil {
		archive, err := posix.OpenArchive(c.archiveDir())
		if err != nil {
			return none, err
		}
		down.addPlain("the archive", archive.Close)
		rc.Archive = archive
	}
	guard, err := openOrCreateGuard(c.Guard)
	if err != nil {
		return none, err
	}
	down.addPlain("the guard", guard.Close)
	rc.Guard = guard
	p, err := log.Retire(ctx, rc)
	if err != nil {
		return none, err
	}
	if err := durable.CreateFile(out, p.Note, 0o644); err != nil {
		return none, fmt.Errorf("the log is retired, but writing its last checkpoint: %w; way out: run it again with another file", err)
	}
	return p, nil
}

// openOrCreateGuard makes the file of a guard that is lost: the mark of retirement needs a place.
func openOrCreateGuard(path string) (*sqlite.Guard, error) {
	g, err := sqlite.OpenGuard(path)
	if !errors.Is(err, storage.ErrNotFound) {
		return g, err
	}
	if err := privateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return sqlite.CreateGuard(path)
}
