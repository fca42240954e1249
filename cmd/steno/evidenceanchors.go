package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
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
}

// newAnchorSource finds a log's anchors under a checkpoint.
func newAnchorSource(r *reader, cp trust.Checkpoint) (*anchorSource, error) {
	tree, err := tiles.NewReader(tiles.FromFetch(r.Fetch), cp.Size, cp.Root)
	if err != nil {
		return nil, err
	}
	return &anchorSource{
		tree: tree, blob: r.Blob, authorities: len(r.trust.Authorities()),
		time: func(ctx context.Context, index uint64) (t wire.Time, err error) {
			path := strings.TrimPrefix(strings.Replace(wire.PathTime, "{index}", strconv.FormatUint(index, 10), 1), "/")
			b, err := r.Fetch(ctx, path)
			var p *client.Problem
			if errors.As(err, &p) && p.Status == http.StatusNotFound {
				return t, nil // a server that has no such thing, or knows it not yet
			}
			if err != nil {
				return t, fmt.Errorf("asking when entry %d was logged: %w", index, err)
			}
			if err := json.Unmarshal(b, &t); err != nil {
				return t, fmt.Errorf("asking when entry %d was logged: %w", index, err)
			}
			return t, nil
		},
	}, nil
}

// A foundAnchor is a leaf with anchor events.
type foundAnchor struct {
	leaf   []byte
	events []entry.Anchor
}

// addAnchors adds to a bundle the time stamps that bound the leaves from first to last, and those that renew these.
func (s *anchorSource) addAnchors(ctx context.Context, b *evidence.Bundle, first, last uint64) error {
	found := map[uint64]foundAnchor{}
	below, err := s.time(ctx, first)
	if err != nil {
		return err
	}
	if n := below.NotBefore; n != nil {
		if err := s.round(ctx, found, n.AnchorIndex, func(index uint64, _ entry.Anchor) bool { return index < first }); err != nil {
			return err
		}
	}
	if err := s.above(ctx, found, last); err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(found)) {
		if err := s.include(ctx, b, index, found[index]); err != nil {
			return fmt.Errorf("taking the time stamps at leaf %d: %w", index, err)
		}
	}
	slices.SortFunc(b.Leaves, func(x, y evidence.Leaf) int { return cmp.Compare(x.Index, y.Index) })
	slices.SortFunc(b.Public, func(x, y evidence.Blob) int { return bytes.Compare(x.SHA256[:], y.SHA256[:]) })
	return nil
}

// above finds the round that covers a leaf first, those that renew it, and some from there to the newest: whichever authority is
// found to have been broken, and whenever, one of another stands between.
func (s *anchorSource) above(ctx context.Context, found map[uint64]foundAnchor, last uint64) error {
	at := last
	for n := range 1 + renewals {
		next, err := s.covering(ctx, at, n == 0)
		if err != nil {
			return err
		}
		if next <= at {
			break
		}
		below := at
		at = next
		if err := s.round(ctx, found, at, func(_ uint64, a entry.Anchor) bool { return a.Size > below }); err != nil {
			return err
		}
	}
	size := s.tree.Size()
	if at >= size {
		return nil
	}
	for n := uint64(1); n <= samples; n++ {
		index := size - 1 - (size-1-at)/samples*(samples-n)
		t, err := s.time(ctx, index)
		if err != nil {
			return err
		}
		if t.NotBefore == nil || t.NotBefore.AnchorIndex <= at {
			continue
		}
		if err := s.round(ctx, found, t.NotBefore.AnchorIndex, func(uint64, entry.Anchor) bool { return true }); err != nil {
			return err
		}
	}
	return nil
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
func (s *anchorSource) round(ctx context.Context, found map[uint64]foundAnchor, index uint64, keep func(uint64, entry.Anchor) bool) error {
	size := s.tree.Size()
	if _, known := found[index]; known || index >= size {
		return nil // one that the checkpoint does not cover can't be proven
	}
	near := map[uint64]foundAnchor{}
	nearest := map[entry.ID]uint64{}
	from, to := index, index
	for reach := uint64(32); reach <= roundReach && len(nearest) < max(1, s.authorities); reach *= 4 {
		low, high := index-min(index, reach), min(size, index+reach+1)
		if err := errors.Join(s.scan(ctx, near, low, from), s.scan(ctx, near, to, high)); err != nil {
			return err
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
	for _, i := range nearest {
		found[i] = near[i]
	}
	return nil
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// scan notes the leaves with anchors in [from, to).
func (s *anchorSource) scan(ctx context.Context, found map[uint64]foundAnchor, from, to uint64) error {
	if from >= to {
		return nil
	}
	err := s.tree.Leaves(ctx, from, to, func(index uint64, leaf []byte) error {
		e, err := entry.Parse(leaf)
		if err != nil || e.Track != entry.SystemTrack {
			return nil //nolint:nilerr // what else stands in the log is not looked for here
		}
		var f foundAnchor
		for _, ev := range e.Events {
			var a entry.Anchor
			if ev.Type == entry.TypeAnchor && ev.Decode(&a) == nil {
				f.events = append(f.events, a)
			}
		}
		if len(f.events) > 0 {
			f.leaf = bytes.Clone(leaf)
			found[index] = f
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for time stamps: %w", err)
	}
	return nil
}

// include puts an anchor into the bundle, with all that it names and the log still has.
func (s *anchorSource) include(ctx context.Context, b *evidence.Bundle, index uint64, f foundAnchor) error {
	stamped, err := s.blob(ctx, index, f.events[0].Checkpoint)
	if err != nil {
		return fmt.Errorf("reading the checkpoint that was stamped: %w", err)
	}
	size, err := sizeOf(stamped)
	if err != nil {
		return err
	}
	a := evidence.Anchor{Index: index, Note: stamped}
	if size < s.tree.Size() {
		if _, a.Consistency, err = s.tree.Consistency(ctx, size); err != nil {
			return fmt.Errorf("proving that the log extends its checkpoint of size %d: %w", size, err)
		}
	}
	b.Anchors = append(b.Anchors, a)
	if !slices.ContainsFunc(b.Leaves, func(l evidence.Leaf) bool { return l.Index == index }) {
		_, path, err := s.tree.Inclusion(ctx, index)
		if err != nil {
			return err
		}
		b.Leaves = append(b.Leaves, evidence.Leaf{Index: index, Bytes: f.leaf, Proof: path})
	}
	for _, e := range f.events {
		for _, p := range publicBlobs(e) {
			if slices.ContainsFunc(b.Public, func(x evidence.Blob) bool { return x.SHA256 == p.SHA256 }) {
				continue // of every round's certificates
			}
			content, err := s.blob(ctx, index, p.SHA256)
			var problem *client.Problem
			if errors.As(err, &problem) {
				continue // the log has it no more, which verify says
			}
			if err != nil {
				return fmt.Errorf("reading %s: %w", p.Kind, err)
			}
			b.Public = append(b.Public, evidence.BlobOf(content))
		}
	}
	return nil
}

// publicBlobs are the public bytes of an anchor that have no other place in a bundle.
func publicBlobs(a entry.Anchor) []entry.PublicBlob {
	all := slices.DeleteFunc(slices.Clone(a.LongTerm), func(p entry.PublicBlob) bool { return p.SHA256 == a.Checkpoint })
	if a.TokenBlob != nil {
		all = append(all, *a.TokenBlob)
	}
	return all
}

// sizeOf is that of a checkpoint, whoever signed it.
func sizeOf(b []byte) (uint64, error) {
	_, err := note.Open(b, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return 0, fmt.Errorf("what was stamped is no signed note: %w", err)
	}
	c, err := checkpoint.Parse(unverified.Note.Text)
	return c.Size, err
}
