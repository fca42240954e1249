package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/trust"
)

// auditDir reads a log from a directory: a deployment's, a server's, or any in the shape of tlog-tiles.
func auditDir(ctx context.Context, t *trust.Trust, dir string) (cfg audit.Config, done func() error, err error) {
	if _, err := os.Stat(filepath.Join(dir, serverFile)); err == nil {
		c, err := daemon.Load(filepath.Join(dir, serverFile))
		if err != nil {
			return cfg, nil, err
		}
		dir = c.Dir
	}
	tree, archive := filepath.Join(dir, "log"), filepath.Join(dir, "archive")
	server := isDir(tree) && isDir(archive)
	if !server {
		tree = dir
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return cfg, nil, fmt.Errorf("opening the log: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Close())
		}
	}()
	if !server {
		cfg, err = audit.Open(ctx, t, audit.Dir(root))
		return cfg, root.Close, err
	}
	note, err := lastPublished(ctx, archive)
	if err != nil {
		return cfg, nil, err
	}
	cfg, err = audit.Under(t, note, overtaken{audit.Dir(root)})
	if err != nil {
		return cfg, nil, fmt.Errorf("the last published checkpoint: %w", err)
	}
	return cfg, root.Close, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// lastPublished is the checkpoint to which a server's directory is audited. What was integrated later, nobody was told of.
func lastPublished(ctx context.Context, dir string) (_ []byte, err error) {
	archive, err := posix.OpenArchive(dir)
	if errors.Is(err, storage.ErrLocked) {
		return nil, hint(err, "the server runs: audit its URL, or stop it")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the archive of checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	_, note, err := archive.Latest(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the last published checkpoint: %w", err)
	}
	return note, nil
}

// overtaken reads a tree that has outgrown the checkpoint: a partial tile that is gone is the beginning of the full one.
type overtaken struct{ fetch tiles.Fetch }

func (o overtaken) Tile(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
	b, err := o.fetch(ctx, tiles.Path(level, index, width))
	if width == 0 || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	b, err = o.fetch(ctx, tiles.Path(level, index, 0))
	return b[:min(len(b), int(width)*len(tiles.Hash{}))], err
}

func (o overtaken) Bundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	b, err := o.fetch(ctx, tiles.BundlePath(index, width))
	if width == 0 || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	b, err = o.fetch(ctx, tiles.BundlePath(index, 0))
	end := 0
	for range width { // each leaf follows its length; what is cut short, the reader of the tree refuses
		if len(b)-end < 2 {
			return b, err
		}
		end += 2 + int(binary.BigEndian.Uint16(b[end:]))
	}
	return b[:min(len(b), end)], err
}
