package audit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

// seen is what recorders have seen of the log: the checkpoints that they embedded. Each must be of this very tree, or the
// log has shown one tree to a recorder and another to us.
type seen struct {
	opened map[entry.Hash]opened // by the SHA-256 of the note: sessions of a minute embed the same one
	roots  map[uint64]view       // by size
	more   int                   // sizes that were not kept
}

// An opened checkpoint: with err, its signature by a compromised key of the log holds and no quorum stands under it.
type opened struct {
	cp  trust.Checkpoint
	err error
}

// A view is a root that somebody was shown, and the first entry that says so.
type view struct {
	root  entry.Hash
	where evidence.Where
}

const (
	maxOpened = 1 << 12
	maxRoots  = 1 << 14
)

// embedded takes the checkpoint of an opening or a roll, if it has one.
func (f *follower) embedded(r *read, event int) {
	raw := r.entry.Events[event].Raw
	if !bytes.Contains(raw, []byte(`"checkpoint":"`)) {
		return
	}
	var v entry.SessionRoll // of all these events the member has one name
	if err := r.entry.Events[event].Decode(&v); err != nil {
		f.a.find(*failed(evidence.CheckEntries, r.index, r.entry, err))
		return
	}
	o := f.seen.open(f.a.keys, []byte(v.Checkpoint))
	if err := f.a.keys.Embedded(o.cp, o.err, r.index); err != nil {
		finding := f.a.refused(evidence.CheckEmbedded, r.index, r.entry, err)
		f.a.find(*finding)
		if finding.Outcome == evidence.Failed {
			return
		}
	} else {
		f.passed[evidence.CheckEmbedded]++
	}
	f.view(r, o.cp)
}

// view notes what a recorder was shown.
func (f *follower) view(r *read, cp trust.Checkpoint) {
	where := placeOf(r.index, r.entry)
	known, ok := f.seen.roots[cp.Size]
	switch {
	case ok && known.root != cp.Root:
		f.a.find(splitView(where, cp.Size))
	case ok:
	case len(f.seen.roots) == maxRoots:
		f.seen.more++
	default:
		f.seen.roots[cp.Size] = view{cp.Root, where}
	}
}

// views notes what an entry of the second reading embeds. Whether it may, its session's judge tells.
func (f *follower) views(r *read) {
	for _, ev := range r.entry.Events {
		switch ev.Type {
		case entry.TypeSessionOpen, entry.TypeTrackOpen, entry.TypeSessionRoll:
			var v entry.SessionRoll // of all these events the member has one name
			if ev.Decode(&v) != nil || v.Checkpoint == "" {
				continue
			}
			o := f.seen.open(f.a.keys, []byte(v.Checkpoint))
			if err := f.a.keys.Embedded(o.cp, o.err, r.index); err == nil || f.a.keys.Outcome(err) == evidence.Unmet {
				f.view(r, o.cp)
			}
		}
	}
}

func (s *seen) open(keys evidence.Keys, note []byte) opened {
	h := entry.HashOf(note)
	if o, ok := s.opened[h]; ok {
		return o
	}
	cp, err := keys.Trust.OpenCheckpoint(note)
	o := opened{cp, err}
	if err != nil && keys.Outcome(err) == evidence.Failed {
		return o
	}
	if len(s.opened) == maxOpened {
		clear(s.opened)
	}
	o.cp = trust.Checkpoint{Size: cp.Size, Root: cp.Root} // without its notes
	s.opened[h] = o
	return o
}

func splitView(where evidence.Where, size uint64) evidence.Finding {
	return evidence.Finding{Check: evidence.CheckEmbedded, Outcome: evidence.Failed, Where: where,
		Detail: fmt.Sprintf("split view: the recorder was shown another root for size %d than this tree has", size)}
}

// compareViews compares what recorders have seen with the tree.
func (a *auditor) compareViews(ctx context.Context) error {
	for _, size := range slices.Sorted(maps.Keys(a.follower.seen.roots)) {
		root, _, err := a.reader.Consistency(ctx, size)
		if err != nil {
			return err
		}
		if v := a.follower.seen.roots[size]; v.root != root {
			a.find(splitView(v.where, size))
		}
	}
	return nil
}
