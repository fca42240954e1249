package client

import (
	"context"
	"errors"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
)

// verify looks, again and again, for acknowledged entries in the tree, and lets go of those that were proven to be there.
func (r *Recorder) verify() {
	for sleep(r.ctx, r.cfg.VerifyEvery) == nil {
		if r.trusted() != nil {
			return
		}
		err := r.verifyOnce(r.ctx)
		if err != nil && r.ctx.Err() == nil {
			err = r.distrusted(err)
			r.cfg.Logger.Warn("entries were not verified", "err", err)
		}
	}
}

// claim is an entry and where the server says that it is.
type claim struct {
	track *Track
	item  *item
}

func (r *Recorder) verifyOnce(ctx context.Context) error {
	r.mu.Lock()
	tracks := r.tracksLocked()
	r.mu.Unlock()
	var claims []claim
	var waiting bool
	for _, t := range tracks {
		t.mu.Lock()
		waiting = waiting || len(t.items) > 0
		for _, it := range t.items {
			if it.acked {
				claims = append(claims, claim{t, it})
			}
		}
		t.mu.Unlock()
	}
	if len(claims) == 0 {
		return r.settle(tracks, waiting)
	}
	note, err := r.http.checkpoint(ctx)
	if err != nil {
		return err
	}
	c, err := r.keeper.see(ctx, note)
	if err != nil {
		return err
	}
	claims = slices.DeleteFunc(claims, func(x claim) bool { return x.item.index >= c.Size })
	indexes := make([]uint64, len(claims))
	for i, x := range claims {
		indexes[i] = x.item.index
	}
	if len(claims) == 0 {
		return nil
	}
	found, err := r.keeper.leaves(ctx, c, indexes)
	if err != nil {
		return err
	}
	for i, x := range claims {
		if found[i] != x.item.leaf {
			return &LeafError{Session: x.track.session, Track: x.track.name, Seq: x.item.seq, Index: x.item.index,
				Leaf: x.track.leafOf(x.item), Found: found[i], Checkpoint: c}
		}
	}
	proven := make(map[*item]bool, len(claims))
	for _, x := range claims {
		proven[x.item] = true
	}
	for _, t := range tracks {
		if err := t.verified(proven, c.Size); err != nil {
			return err
		}
	}
	return r.settle(tracks, true)
}

// verified lets go of the entries at the front that were proven.
func (t *Track) verified(proven map[*item]bool, size uint64) error {
	t.mu.Lock()
	n, next := 0, uint64(0)
	for n < len(t.items) && proven[t.items[n]] {
		next = t.items[n].next()
		n++
	}
	t.mu.Unlock()
	if n == 0 {
		return nil
	}
	r, err := jsonRecord(kindVerified, entry.TimeOf(t.r.cfg.Now()), verifiedNote{next, size})
	if err != nil {
		return err
	}
	// Not synced, and no harm if there is no room: it would be verified again.
	if _, err := t.spool.append(0, r); err != nil && !errors.Is(err, ErrSpoolFull) && !errors.Is(err, ErrClosed) {
		return err
	}
	if err := t.spool.drop(next, false); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items = t.items[n:]
	t.wake()
	return nil
}

// settle removes the tracks that are done, and begins new segments where the old ones hold nothing but what was verified.
func (r *Recorder) settle(tracks []*Track, any bool) error {
	for _, t := range tracks {
		t.mu.Lock()
		idle := len(t.items) == 0
		done := idle && (t.ended || t.left)
		t.mu.Unlock()
		if done {
			t.end(ErrClosed)
			if err := t.spool.drop(0, true); err != nil {
				return err
			}
			r.forget(t)
			continue
		}
		if idle && any && t.spool.activeSize() > r.dir.compactBytes() {
			if err := t.compact(); err != nil {
				return err
			}
		}
	}
	return nil
}

// compact begins a new segment if nobody is writing, and drops the old ones.
func (t *Track) compact() error {
	select {
	case <-t.write:
	default:
		return nil // the next pass will
	}
	defer func() { t.write <- struct{}{} }()
	t.mu.Lock()
	state, idle := t.state, len(t.items) == 0
	t.mu.Unlock()
	if !idle {
		return nil
	}
	if err := t.spool.rotate(state); err != nil {
		return err
	}
	return t.spool.drop(state.Next, false)
}

// leafOf is an acknowledged entry with its receipt, from the spool; nil if it cannot be had.
func (t *Track) leafOf(it *item) []byte {
	found, err := scanDir(t.r.cfg.Dir)
	if err != nil {
		return nil
	}
	var leaf []byte
	sc := &scan{torn: -1, onLeaf: func(seq uint64, b []byte) {
		if seq == it.seq {
			leaf = b
		}
	}}
	if err := sc.read(found[t.id()]); err != nil {
		return nil
	}
	if tiles.LeafHash(leaf) != it.leaf {
		return nil
	}
	return leaf
}
