package client

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// leaves returns the hashes of the leaves at indexes of the tree that c describes, proven by hash tiles.
func (k *keeper) leaves(ctx context.Context, c trust.Checkpoint, indexes []uint64) ([]tiles.Hash, error) {
	at := make([]int64, len(indexes))
	for i, x := range indexes {
		if x >= c.Size || c.Size > tiles.MaxSize {
			return nil, &tiles.RangeError{From: x, To: x + 1, Size: c.Size}
		}
		at[i] = tlog.StoredHashIndex(0, int64(x))
	}
	tr := &tileReader{ctx: ctx, fetch: k.fetch}
	hashes, err := tlog.TileHashReader(tlog.Tree{N: int64(c.Size), Hash: c.Root}, tr).ReadHashes(at)
	if err != nil {
		return nil, fmt.Errorf("reading hash tiles of the tree of size %d: %w", c.Size, err)
	}
	out := make([]tiles.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = tiles.Hash(h)
	}
	return out, nil
}

// tileReader gives tiles to package tlog, which believes none of them.
type tileReader struct {
	ctx   context.Context
	fetch tiles.Fetch
}

func (r *tileReader) Height() int { return 8 }

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *tileReader) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, t := range want {
		n := t.W * len(tiles.Hash{})
		width := uint8(t.W) // 256 becomes 0, which means full
		b, err := r.fetch(r.ctx, tiles.Path(uint64(t.L), uint64(t.N), width))
		if err != nil && width != 0 {
			// A partial tile is given up once the full one is there.
			if full, fullErr := r.fetch(r.ctx, tiles.Path(uint64(t.L), uint64(t.N), 0)); fullErr == nil {
				b, err = full, nil
			}
		}
		if err != nil {
			return nil, err
		}
		if len(b) > n {
			b = b[:n]
		}
		out[i] = b
	}
	return out, nil
}
