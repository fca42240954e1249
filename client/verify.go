package client

import (
	"context"
	"errors"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// verify looks, again and again, for acknowledged entries in the tree, and lets go of those that were proven to be there
// under a checkpoint that has all that the trust file demands.
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
	if err := r.keeper.compareGiven(ctx); err != nil {
		return err
	}
	tracks, claims, waiting := r.claims()
	if len(claims) == 0 {
		return r.settle(tracks, waiting)
	}
	rest, err := r.verifyPublished(ctx, tracks, claims)
	var lacks *QuorumError
	if err != nil && !errors.As(err, &lacks) {
		return err
	}
	if len(rest) > 0 && r.cfg.Trust.NeedsWitnesses() {
		err = errors.Join(err, r.verifySigned(ctx, rest), r.makeRoom(tracks))
	}
	return errors.Join(err, r.settle(tracks, true))
}

// claims are the acknowledged entries of all tracks. Any tells whether the spool holds entries at all.
func (r *Recorder) claims() (tracks []*Track, claims []claim, any bool) {
	r.mu.Lock()
	tracks = r.tracksLocked()
	r.mu.Unlock()
	for _, t := range tracks {
		t.mu.Lock()
		any = any || len(t.items) > 0
		for _, it := range t.items {
			if it.acked {
				claims = append(claims, claim{t, it})
			}
		}
		t.mu.Unlock()
	}
	return tracks, claims, any
}

// verifyPublished lets go of what the published checkpoint covers, and returns what it does not.
func (r *Recorder) verifyPublished(ctx context.Context, tracks []*Track, claims []claim) (rest []claim, err error) {
	note, err := r.http.checkpoint(ctx)
	var p *Problem
	if errors.As(err, &p) && p.Code == codeNotCovered {
		return claims, nil // none has had the quorum yet
	}
	if err != nil {
		return claims, err
	}
	c, err := r.keeper.see(ctx, note)
	if err != nil {
		return claims, err
	}
	covered, rest := split(claims, c.Size)
	if err := r.prove(ctx, c, covered); err != nil {
		return rest, err
	}
	proven := make(map[*item]bool, len(covered))
	for _, x := range covered {
		proven[x.item] = true
	}
	for _, t := range tracks {
		if err := t.verified(proven, c.Size); err != nil {
			return rest, err
		}
	}
	return rest, nil
}

const codeNotCovered = "not-covered"

// split are the claims below a size, and the others.
func split(claims []claim, size uint64) (covered, rest []claim) {
	for _, x := range claims {
		if x.item.index < size {
			covered = append(covered, x)
		} else {
			rest = append(rest, x)
		}
	}
	return covered, rest
}

// prove looks whether claims stand in the tree of a verified checkpoint where the server says.
func (r *Recorder) prove(ctx context.Context, c trust.Checkpoint, claims []claim) error {
	if len(claims) == 0 {
		return nil
	}
	indexes := make([]uint64, len(claims))
	for i, x := range claims {
		indexes[i] = x.item.index
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
	return nil
}

// patience is how many times an entry is looked for under a published checkpoint before the one that only the log has
// signed is asked for. While witnesses answer, it is not.
const patience = 3

// verifySigned proves entries under the log's own checkpoint, which is kept: one that witnesses have seen must extend it.
// The entries stay in the spool until then.
func (r *Recorder) verifySigned(ctx context.Context, claims []claim) error {
	if !waited(claims) {
		return nil
	}
	note, err := r.http.signedCheckpoint(ctx)
	if err != nil {
		return err
	}
	c, err := r.keeper.seeSigned(ctx, note)
	if err != nil {
		return err
	}
	covered, _ := split(claims, c.Size)
	if err := r.prove(ctx, c, covered); err != nil {
		return err
	}
	for _, x := range covered {
		x.track.mu.Lock()
		x.item.integrated = c.Size
		x.track.wake()
		x.track.mu.Unlock()
	}
	return nil
}

// waited counts, and tells whether any of the entries has waited for long enough.
func waited(claims []claim) (long bool) {
	for _, x := range claims {
		x.track.mu.Lock()
		x.item.waited++
		long = long || x.item.integrated == 0 && x.item.waited > patience
		x.track.mu.Unlock()
	}
	return long
}

// makeRoom lets go of entries that are proven under a signed checkpoint when the spool is half full: witnesses that are
// away for long must not stop the recording. What would convict the log is the checkpoint, which stays.
func (r *Recorder) makeRoom(tracks []*Track) error {
	if r.dir.used.Load() < r.dir.max/2 {
		return nil
	}
	for _, t := range tracks {
		proven, size := make(map[*item]bool), uint64(0)
		t.mu.Lock()
		for _, it := range t.items {
			if it.integrated > 0 {
				proven[it], size = true, it.integrated
			}
		}
		t.mu.Unlock()
		if err := t.verified(proven, size); err != nil {
			return err
		}
	}
	return nil
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
