package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

const (
	renewals   = 4   // rounds of time stamps that are taken one after the other behind the first that covers a session
	samples    = 16  // and those spread over the rest of the log, of which the last is the newest
	roundReach = 512 // leaves before and behind an anchor among which the same round's others are looked for
)

// An anchorSource is where a log's anchors are found. What it says is believed only so far that it is looked at: verify judges.
type anchorSource struct {
	time func(ctx context.Context, index uint64) (wire.Time, error)
	tree *tiles.Reader // of the bundle's checkpoint
	blob func(ctx context.Context, index uint64, hash entry.Hash) ([]byte, error)
	// authorities is how many make a round.
	authorities int
	held        *holding                // takes their leaves and public bytes
	most        int                     // anchors of a file
	wanted      map[uint64]*foundAnchor // by leaf; nil where the leaf was not read yet
}

// newAnchorSource finds a log's anchors under a checkpoint.
func newAnchorSource(r *reader, cp trust.Checkpoint, held *holding) (*anchorSource, error) {
	tree, err := tiles.NewReader(tiles.FromFetch(r.Fetch), cp.Size, cp.Root)
	if err != nil {
		return nil, err
	}
	return &anchorSource{
		tree: tree, blob: r.Blob, authorities: len(r.trust.Authorities()), held: held, most: evidence.MaxAnchors, wanted: map[uint64]*foundAnchor{},
		time: func(ctx context.Context, index uint64) (wire.Time, error) {
			t, err := r.Time(ctx, index)
			var p *client.Problem
			if errors.As(err, &p) && p.Status == http.StatusNotFound {
				return wire.Time{}, nil // a server that has no such thing, or knows it not yet
			}
			return t, err
		},
	}, nil
}

// A foundAnchor is a leaf with anchor events.
type foundAnchor struct {
	leaf   []byte
	events []entry.Anchor
}

// find takes into a file's holding the time stamps that bound the leaves of each bracket, and those that renew these. Where there are
// more than a file can have, those go first that bound all brackets together.
func (s *anchorSource) find(ctx context.Context, brackets []bracket) ([]evidence.Anchor, error) {
	if len(brackets) == 0 {
		return nil, nil
	}
	all := brackets[0]
	for _, b := range brackets {
		all.first, all.last = min(all.first, b.first), max(all.last, b.last)
	}
	if err := s.bound(ctx, all); err != nil {
		return nil, err
	}
	if err := s.sample(ctx, all.last); err != nil {
		return nil, err
	}
	for _, b := range brackets {
		if b == all || len(s.wanted) >= s.most {
			continue
		}
		if err := s.bound(ctx, b); err != nil {
			return nil, err
		}
	}
	if err := s.readWanted(ctx); err != nil {
		return nil, err
	}
	var anchors []evidence.Anchor
	for _, index := range slices.Sorted(maps.Keys(s.wanted)) {
		f := s.wanted[index]
		if f == nil || len(f.events) == 0 {
			continue // the server named a leaf that is none
		}
		a, err := s.include(ctx, index, *f)
		if err != nil {
			return nil, fmt.Errorf("taking the time stamps at leaf %d: %w", index, err)
		}
		anchors = append(anchors, a)
	}
	return anchors, nil
}

// want notes an anchor that the checkpoint covers. No other can be proven.
func (s *anchorSource) want(index uint64) {
	if _, known := s.wanted[index]; !known && index < s.tree.Size() && len(s.wanted) < s.most {
		s.wanted[index] = nil
	}
}

// bound wants the last anchors below a bracket, the first that cover it, and those that renew these: whichever authority is found to
// have been broken, and whenever, one of another stands between.
func (s *anchorSource) bound(ctx context.Context, b bracket) error {
	if err := s.below(ctx, b.first, 0); err != nil {
		return err
	}
	at := b.last
	for n := range 1 + renewals {
		next, err := s.above(ctx, at, n == 0)
		if err != nil || len(next) == 0 {
			return err
		}
		at = slices.Min(next) // so that what stands beside it is renewed as well
	}
	return nil
}

// sample wants some anchors from a leaf to the newest.
func (s *anchorSource) sample(ctx context.Context, at uint64) error {
	size := s.tree.Size()
	if at >= size {
		return nil
	}
	for n := uint64(1); n <= samples; n++ {
		if err := s.below(ctx, size-1-(size-1-at)/samples*(samples-n), at+1); err != nil {
			return err
		}
	}
	return nil
}

// below wants the last anchor of every authority below a leaf and not below another.
func (s *anchorSource) below(ctx context.Context, index, least uint64) error {
	t, err := s.time(ctx, index)
	if err != nil {
		return err
	}
	for _, a := range t.Authorities {
		if n := a.NotBefore; n != nil && n.AnchorIndex >= least && n.AnchorIndex < index {
			s.want(n.AnchorIndex)
		}
	}
	if n := t.NotBefore; len(t.Authorities) == 0 && n != nil && n.AnchorIndex >= least {
		_, err = s.round(ctx, n.AnchorIndex, func(at uint64, _ entry.Anchor) bool { return at < index && at >= least })
	}
	return err
}

// above wants the first anchor of every authority that covers a leaf, and returns their leaves.
func (s *anchorSource) above(ctx context.Context, leaf uint64, search bool) (found []uint64, err error) {
	t, err := s.time(ctx, leaf)
	if err != nil {
		return nil, err
	}
	for _, a := range t.Authorities {
		if n := a.NotAfter; n != nil && n.AnchorIndex > leaf && n.AnchorIndex < s.tree.Size() {
			s.want(n.AnchorIndex)
			found = append(found, n.AnchorIndex)
		}
	}
	if len(t.Authorities) > 0 {
		return found, nil
	}
	next, err := s.covering(ctx, leaf, search)
	if err != nil || next <= leaf {
		return nil, err
	}
	return s.round(ctx, next, func(_ uint64, a entry.Anchor) bool { return a.Size > leaf })
}

// covering is the index of an anchor that covers a leaf, by the server's word; 0 if there is none. A server that wants to see several
// authorities says nothing while one of them is missing: then, if it is worth the trouble, the first anchor above the leaf is searched.
func (s *anchorSource) covering(ctx context.Context, leaf uint64, search bool) (uint64, error) {
	t, err := s.time(ctx, leaf)
	if err != nil {
		return 0, err
	}
	if t.NotAfter != nil {
		return t.NotAfter.AnchorIndex, nil
	}
	var above uint64 // the anchor that was found last
	look := func(index uint64) (bool, error) {
		t, err := s.time(ctx, index)
		if err != nil || t.NotBefore == nil || t.NotBefore.AnchorIndex <= leaf {
			return false, err
		}
		above = t.NotBefore.AnchorIndex
		return true, nil
	}
	low, high := leaf+1, s.tree.Size()
	for n := 0; search && low < high; n++ {
		index := low + (high-low)/2
		if n == 0 {
			index = high // if nothing is there, nothing is below
		}
		yes, err := look(index)
		switch {
		case err != nil:
			return 0, err
		case yes:
			high = index
		case n == 0:
			if yes, err = look(high - 1); err != nil || !yes { // the log may have no leaf of that index yet
				return 0, err
			}
			high--
		default:
			low = index + 1
		}
	}
	return above, nil
}

// round finds an anchor and, of every other authority, the nearest that may be kept: they are asked at the same time, and answer
// within seconds of each other.
func (s *anchorSource) round(ctx context.Context, index uint64, keep func(uint64, entry.Anchor) bool) ([]uint64, error) {
	size := s.tree.Size()
	if index >= size {
		return nil, nil
	}
	near := map[uint64]*foundAnchor{}
	nearest := map[entry.ID]uint64{}
	from, to := index, index
	for reach := uint64(32); reach <= roundReach && len(nearest) < max(1, s.authorities); reach *= 4 {
		low, high := index-min(index, reach), min(size, index+reach+1)
		if err := errors.Join(s.scan(ctx, near, low, from), s.scan(ctx, near, to, high)); err != nil {
			return nil, err
		}
		from, to = low, high
		for _, i := range slices.Sorted(maps.Keys(near)) {
			for _, a := range near[i].events {
				if had, ok := nearest[a.Authority]; keep(i, a) && (!ok || distance(i, index) <= distance(had, index)) {
					nearest[a.Authority] = i
				}
			}
		}
	}
	found := slices.Compact(slices.Sorted(maps.Values(nearest)))
	for _, i := range found {
		if s.want(i); len(s.wanted) <= s.most {
			s.wanted[i] = near[i]
		}
	}
	return found, nil
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// scan notes the leaves with anchors in [from, to).
func (s *anchorSource) scan(ctx context.Context, found map[uint64]*foundAnchor, from, to uint64) error {
	if from >= to {
		return nil
	}
	err := s.tree.Leaves(ctx, from, to, func(index uint64, leaf []byte) error {
		if f := anchorIn(leaf); f != nil {
			found[index] = f
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for time stamps: %w", err)
	}
	return nil
}

// anchorIn reads a leaf, or returns nil if no anchor is in it.
func anchorIn(leaf []byte) *foundAnchor {
	e, err := entry.Parse(leaf)
	if err != nil || e.Track != entry.SystemTrack {
		return nil // what else stands in the log is not looked for here
	}
	f := &foundAnchor{leaf: bytes.Clone(leaf)}
	for _, ev := range e.Events {
		var a entry.Anchor
		if ev.Type == entry.TypeAnchor && ev.Decode(&a) == nil {
			f.events = append(f.events, a)
		}
	}
	if len(f.events) == 0 {
		return nil
	}
	return f
}

// readWanted reads the leaves that were not read yet. Those in one entry bundle are read together: each read stands in the log.
func (s *anchorSource) readWanted(ctx context.Context) error {
	var missing []uint64
	for index, f := range s.wanted {
		if f == nil {
			missing = append(missing, index)
		}
	}
	slices.Sort(missing)
	for len(missing) > 0 {
		n := 1
		for n < len(missing) && missing[n]/tiles.Width == missing[0]/tiles.Width {
			n++
		}
		near := map[uint64]*foundAnchor{}
		if err := s.scan(ctx, near, missing[0], missing[n-1]+1); err != nil {
			return err
		}
		for _, index := range missing[:n] {
			s.wanted[index] = near[index]
		}
		missing = missing[n:]
	}
	return nil
}

// include takes in an anchor, with all that it names and the log still has.
func (s *anchorSource) include(ctx context.Context, index uint64, f foundAnchor) (evidence.Anchor, error) {
	a := evidence.Anchor{Index: index}
	var err error
	if a.Note, err = s.blob(ctx, index, f.events[0].Checkpoint); err != nil {
		return a, fmt.Errorf("reading the checkpoint that was stamped: %w", err)
	}
	if err := s.held.add(index, f.leaf, false); err != nil {
		return a, err
	}
	for _, e := range f.events {
		for _, p := range publicBlobs(e) {
			if _, have := s.held.public[p.SHA256]; have {
				continue // of every round's certificates
			}
			content, err := s.blob(ctx, index, p.SHA256)
			var problem *client.Problem
			if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
				continue // the log has it no more, which verify says
			}
			if err != nil {
				return a, fmt.Errorf("reading %s: %w", p.Kind, err)
			}
			if err := s.held.publish(p.SHA256, content); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// publicBlobs are the public bytes of an anchor that have no other place in a bundle.
func publicBlobs(a entry.Anchor) []entry.PublicBlob {
	all := slices.DeleteFunc(slices.Clone(a.LongTerm), func(p entry.PublicBlob) bool { return p.SHA256 == a.Checkpoint })
	if a.TokenBlob != nil {
		all = append(all, *a.TokenBlob)
	}
	return all
}
