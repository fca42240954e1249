package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// A keeper follows the log's checkpoints: the largest that was verified, and of each other whether it is of the same
// history. It is what makes every client a detector of split views.
type keeper struct {
	trust *trust.Trust
	fetch tiles.Fetch
	path  string // of the file that keeps the latest; empty for none

	mu     sync.Mutex
	latest *trust.Checkpoint
}

// openKeeper reads the latest checkpoint that an earlier process verified.
func openKeeper(t *trust.Trust, fetch tiles.Fetch, path string) (*keeper, error) {
	k := &keeper{trust: t, fetch: fetch, path: path}
	if path == "" {
		return k, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the latest checkpoint: %w", err)
	}
	c, err := t.OpenCheckpoint(b)
	if err != nil {
		return nil, fmt.Errorf("reading the latest checkpoint from %s: %w", path, err)
	}
	k.latest = &c
	return k, nil
}

// note is the latest verified checkpoint, or nil.
func (k *keeper) note() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.latest == nil {
		return nil
	}
	return k.latest.Note
}

// see verifies a checkpoint: the log's signature, and that it is of one history with the latest one that was verified,
// which it replaces if it is larger. *ForkError is proof that it is not.
func (k *keeper) see(ctx context.Context, note []byte) (trust.Checkpoint, error) {
	c, err := k.trust.OpenCheckpoint(note)
	if err != nil {
		return c, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.latest != nil {
		if err := k.compare(ctx, *k.latest, c); err != nil {
			return c, err
		}
		if c.Size <= k.latest.Size {
			return c, nil
		}
	}
	if k.path != "" {
		if err := durable.WriteFile(k.path, c.Note, 0o600); err != nil {
			return c, fmt.Errorf("keeping the latest checkpoint: %w", err)
		}
	}
	k.latest = &c
	return c, nil
}

func (k *keeper) compare(ctx context.Context, ours, theirs trust.Checkpoint) error {
	small, large := ours, theirs
	if small.Size > large.Size {
		small, large = large, small
	}
	root, proof := large.Root, []tiles.Hash(nil)
	if small.Size != large.Size {
		r, err := tiles.NewReader(tiles.FromFetch(k.fetch), large.Size, large.Root)
		if err != nil {
			return err
		}
		// The root at the smaller size is computed from tiles that are proven to be those of the larger tree.
		if root, proof, err = r.Consistency(ctx, small.Size); err != nil {
			return fmt.Errorf("proving that the tree of size %d extends that of size %d: %w", large.Size, small.Size, err)
		}
	}
	if root != small.Root {
		return &ForkError{Ours: ours, Theirs: theirs, OldSize: small.Size, OldRoot: root, Proof: proof}
	}
	return nil
}

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
