package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
)

// gather reads all that the file is about, leaf by leaf: the range, and then each session that was named or has an entry in it.
func (x *export) gather(ctx context.Context) error {
	if x.leaves != nil {
		if err := x.readRange(ctx); err != nil {
			return err
		}
	}
	for _, id := range x.sessions {
		if err := x.readSession(ctx, id); err != nil {
			return err
		}
	}
	if x.leaves != nil {
		x.held.spans = append(x.held.spans, bracket{x.leaves.From, x.leaves.To - 1})
	}
	return nil
}

// readRange reads the leaves of the range, under what the log has signed by now: the file proves them under a later checkpoint.
func (x *export) readRange(ctx context.Context) error {
	cp, err := x.r.Signed(ctx)
	if err != nil {
		return err
	}
	if x.leaves.To > cp.Size {
		return fmt.Errorf("--range %s: the log has %d leaves", x.span, cp.Size)
	}
	among := classSet{}
	for _, id := range x.sessions {
		among[id] = true
	}
	err = x.r.Range(ctx, cp, x.leaves.From, x.leaves.To, func(index uint64, leaf []byte) error {
		e, err := entry.Parse(leaf)
		if err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
		recorded := e.Track != entry.SystemTrack
		if recorded {
			among[e.Session] = true
		}
		return x.held.add(index, leaf, recorded)
	})
	if err != nil {
		return fmt.Errorf("reading leaves %d to %d: %w", x.leaves.From, x.leaves.To-1, err)
	}
	x.sessions = among.sorted()
	return x.tooMany()
}

// readSession takes in a session and what the log said of it, and opens what may be disclosed.
func (x *export) readSession(ctx context.Context, id string) error {
	var own []uint64
	sum, err := x.r.ReadStream(ctx, id, x.r.waiting(x.pending), func(l client.Recorded) error {
		recorded := l.Entry.Track != entry.SystemTrack
		if recorded {
			own = append(own, l.Index)
			for _, b := range l.Entry.Blobs {
				x.held.sealed[b.Class] = true
			}
		} else if !speaksOf(l.Entry, id) {
			return nil
		}
		return x.held.add(l.Index, l.Leaf, recorded)
	})
	if err != nil {
		return fmt.Errorf("reading session %s: %w", id, err)
	}
	first, last := sum.Bounds()
	x.held.spans = append(x.held.spans, bracket{first, last})
	if err := x.held.blobs.fetch(ctx, x.r, sum); err != nil {
		return fmt.Errorf("reading session %s: %w", id, err)
	}
	if len(x.held.blobs.rows) > evidence.MaxBlobs {
		return hint(fmt.Errorf("more than %d pieces of sealed content, which is what a file has at most", evidence.MaxBlobs), "make several files")
	}
	if x.identity == "" {
		return nil
	}
	o, err := unlock(ctx, x.r, sum, x.identity)
	if errors.Is(err, payload.ErrNoKey) {
		if x.closed = append(x.closed, id); len(x.closed) < len(x.sessions) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	o.Blob = x.held.blobs.blob
	for _, index := range own {
		if err := x.open(ctx, o, index); err != nil {
			return err
		}
	}
	return nil
}

// speaksOf tells whether an entry of the log's own is evidence about a session. Who else has read it is not.
func speaksOf(e *entry.Entry, session string) bool {
	return slices.ContainsFunc(e.Events, func(ev entry.Event) bool { return evidence.Mentions(ev) == session })
}

// open takes in disclosures of the payloads in a leaf, as far as the keys reach and nothing is withheld.
func (x *export) open(ctx context.Context, o *client.Opener, index uint64) error {
	leaf, err := x.held.leaf(index).Load()
	if err != nil {
		return err
	}
	e, err := entry.Parse(leaf)
	if err != nil {
		return fmt.Errorf("leaf %d: %w", index, err)
	}
	type place struct {
		event int
		slot  string
	}
	done := map[place]bool{}
	for _, b := range e.Blobs {
		at := place{b.Event, slotOf(b)}
		if done[at] {
			continue
		}
		done[at] = true
		opened, err := o.Open(ctx, e, at.event, at.slot)
		if errors.Is(err, payload.ErrNoKey) {
			continue // an erased or foreign payload stays closed
		}
		if isMissealed(err) {
			x.missealed = append(x.missealed, fmt.Errorf("leaf %d, event %d, %s: %w", index, at.event, at.slot, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
		if err := x.disclose(index, at.event, at.slot, opened); err != nil {
			return err
		}
	}
	return nil
}

// isMissealed tells whether a payload does not open because its recorder sealed something else than its entry commits to.
func isMissealed(err error) bool {
	return slices.ContainsFunc([]error{payload.ErrRef, payload.ErrBlob, payload.ErrDecrypt, payload.ErrPlaintext, payload.ErrCommitment},
		func(why error) bool { return errors.Is(err, why) })
}

// disclose takes in what was opened, but for what is withheld.
func (x *export) disclose(index uint64, event int, slot string, opened *payload.Opened) error {
	some := false
	d := opened.Disclose(func(i int) bool {
		class := opened.Segments[i].Class.String()
		if x.withheld(class) {
			return false
		}
		some, x.held.shown[class] = true, true
		return true
	})
	if !some {
		return nil
	}
	shown, err := evidence.DisclosedOf(index, event, slot, d)
	if err != nil {
		return err
	}
	return x.held.disclose(shown)
}

// covered waits for the checkpoint under which everything is proven: the published one, which has the quorum, or the one that
// only the log has signed, where that is enough.
func (x *export) covered(ctx context.Context, also []uint64) (cp trust.Checkpoint, err error) {
	size := x.held.size()
	for _, index := range also {
		size = max(size, index+1)
	}
	if x.leaves != nil {
		size = max(size, x.leaves.To)
	}
	if cp, err = x.r.waiting(x.pending)(ctx, size); err != nil || !x.pending {
		return cp, err
	}
	if published, err := x.r.Checkpoint(ctx); err == nil && published.Size >= size {
		return published, nil
	}
	return cp, nil
}
