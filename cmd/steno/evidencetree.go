package main

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

const treeBatch = 4096 // hashes that are read at a time

// treeOf reads the hashes that lead from a bundle's leaves to the root of its checkpoint, from hash tiles.
func treeOf(ctx context.Context, fetch tiles.Fetch, cp trust.Checkpoint, b *evidence.Bundle) ([][32]byte, error) {
	gaps, err := b.Gaps()
	if err != nil {
		return nil, err
	}
	// Package tlog believes no tile that does not lead to the root.
	reader := tlog.TileHashReader(tlog.Tree{N: int64(cp.Size), Hash: cp.Root}, &hashTiles{ctx: ctx, fetch: fetch})
	var tree [][32]byte
	var want []int64
	read := func() error {
		hashes, err := reader.ReadHashes(want)
		if err != nil {
			return fmt.Errorf("reading hash tiles of the tree of size %d: %w", cp.Size, err)
		}
		for _, h := range hashes {
			tree = append(tree, h)
		}
		want = want[:0]
		return nil
	}
	for level, index := range gaps {
		if want = append(want, tlog.StoredHashIndex(level, int64(index))); len(want) == treeBatch {
			if err := read(); err != nil {
				return nil, err
			}
		}
	}
	if len(want) == 0 {
		return tree, nil
	}
	err = read()
	return tree, err
}

// hashTiles gives tiles to package tlog.
type hashTiles struct {
	ctx   context.Context
	fetch tiles.Fetch
}

func (r *hashTiles) Height() int { return 8 }

func (r *hashTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *hashTiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, t := range want {
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
		out[i] = b[:min(len(b), t.W*len(tiles.Hash{}))]
	}
	return out, nil
}
