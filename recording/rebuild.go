package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

const catchUpSnapshot = 1 << 16 // leaves between two snapshots while catching up: they bound its memory

// catchUp makes the state in memory that of the log: from the last snapshot, then leaf by leaf. A view that claims more
// than the log holds is of another log, or of another copy of it, and is built anew.
func (r *Recording) catchUp(ctx context.Context) error {
	from, err := r.cfg.Heads.Size(ctx)
	if err != nil {
		return fmt.Errorf("reading the heads' size: %w", err)
	}
	if from > r.boot {
		r.cfg.Logger.Warn("heads reflect more than the log holds; building them anew", "heads", from, "log", r.boot)
		if err := r.cfg.Heads.Drop(ctx); err != nil {
			return fmt.Errorf("dropping heads: %w", err)
		}
		from = 0
	}
	if err := r.registry.load(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if err := r.replay(ctx, from); err != nil {
		return err
	}
	r.registry.limit = r.cfg.Limits.Sessions
	r.cfg.Logger.Info("heads caught up", "from", from, "to", r.boot, "sessions", r.registry.count(), "took", time.Since(begun))
	return r.registry.snapshotAt(ctx, r.boot)
}

func (r *Recording) replay(ctx context.Context, from uint64) error {
	if from == r.boot {
		return nil
	}
	reader, err := r.cfg.Log.Reader()
	if err != nil {
		return err
	}
	next := from + catchUpSnapshot
	return tiles.Each(ctx, reader, from, r.boot, digests, func(first uint64, ds []*digest) error {
		for _, d := range ds {
			if err := r.replayOne(ctx, d); err != nil {
				return err
			}
		}
		if at := first + uint64(len(ds)); at >= next {
			next = at + catchUpSnapshot
			return r.registry.snapshotAt(ctx, at)
		}
		return nil
	})
}

// digests parses leaves. They were verified when they were admitted, and their hashes when they were read.
func digests(first uint64, leaves [][]byte) ([]*digest, error) {
	ds := make([]*digest, len(leaves))
	for i, leaf := range leaves {
		e, err := entry.Parse(leaf)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", first+uint64(i), err)
		}
		d, err := digestOf(e)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", first+uint64(i), err)
		}
		d.index = first + uint64(i)
		ds[i] = d
	}
	return ds, nil
}

func (r *Recording) replayOne(ctx context.Context, d *digest) error {
	r.stamps.last = max(r.stamps.last, d.received) // no receipt is older than one that was given
	if d.track == entry.SystemTrack {
		return r.foldSystem(ctx, d)
	}
	s, err := r.registry.acquire(ctx, d.session, d.open != nil && d.track == entry.MainTrack)
	var p *Problem
	if errors.As(err, &p) && p.Code == CodeUnknownSession {
		r.cfg.Logger.Warn("leaf of a session that was never opened", "index", d.index)
		return nil
	}
	if err != nil {
		return fmt.Errorf("leaf %d: %w", d.index, err)
	}
	defer r.registry.release(s)
	if what := r.fold(s, d); what == foldedMisplace || what == foldedHole {
		r.cfg.Logger.Warn("leaf that does not extend its track", "index", d.index)
	}
	return nil
}

// load reads what is alive from the snapshot.
func (g *registry) load(ctx context.Context) error {
	var marks anchorMarks
	for key, v := range map[string]any{keySystem: &g.system, keyKeys: &g.keys, keyAnchors: &marks} {
		b, err := g.r.cfg.Heads.Get(ctx, key)
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("reading the last system session: %w", err)
		}
	}
	g.anchors.recorded, g.anchors.urgent = marks.Recorded, marks.Urgent
	if err := g.r.cfg.Heads.Load(ctx, keyAnchor, g.anchors.load); err != nil {
		return fmt.Errorf("reading the anchors: %w", err)
	}
	return g.r.cfg.Heads.Load(ctx, keyLive, func(item storage.Item) error {
		f := newFacts(item.Key[len(keyLive):])
		if err := json.Unmarshal(item.Value, &f); err != nil {
			return fmt.Errorf("decoding the heads of %s: %w", f.Session, err)
		}
		g.sessions[f.Session] = g.newSession(f)
		return nil
	})
}
