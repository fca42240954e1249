package posix

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stenolog/steno/storage"
)

// maxLevel is the greatest tile level of tlog-tiles.
const maxLevel = 63

// Tile implements storage.Tree. A partial tile that was overtaken is cut from the full one.
func (t *Tree) Tile(_ context.Context, level, index uint64, width uint8) ([]byte, error) {
	if level > maxLevel {
		return nil, fmt.Errorf("tile level %d: %w", level, storage.ErrNotFound)
	}
	b, err := t.readTile(layout.TilePath(level, index, width))
	if width != 0 && errors.Is(err, storage.ErrNotFound) {
		if full, fullErr := t.readTile(layout.TilePath(level, index, 0)); fullErr == nil {
			return cutTile(full, int(width))
		}
	}
	return b, err
}

// Bundle implements storage.Tree. A partial bundle that was overtaken is cut from the full one.
func (t *Tree) Bundle(_ context.Context, index uint64, width uint8) ([]byte, error) {
	b, err := t.readTile(layout.EntriesPath(index, width))
	if width != 0 && errors.Is(err, storage.ErrNotFound) {
		if full, fullErr := t.readTile(layout.EntriesPath(index, 0)); fullErr == nil {
			return cutBundle(full, int(width))
		}
	}
	return b, err
}

func (t *Tree) readTile(path string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(t.dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, storage.ErrNotFound)
	}
	return b, err
}

func cutTile(full []byte, width int) ([]byte, error) {
	if len(full) < width*len(storage.Hash{}) {
		return nil, fmt.Errorf("full tile has %d bytes only", len(full))
	}
	return full[:width*len(storage.Hash{})], nil
}

func cutBundle(full []byte, width int) ([]byte, error) {
	end := 0
	for range width {
		if len(full)-end < 2 {
			return nil, fmt.Errorf("full bundle ends after %d bytes", len(full))
		}
		end += 2 + int(binary.BigEndian.Uint16(full[end:]))
		if end > len(full) {
			return nil, fmt.Errorf("full bundle ends after %d bytes", len(full))
		}
	}
	return full[:end], nil
}
