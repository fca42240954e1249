package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/log/tiles"
)

// A holding is what was gathered for a file: tables in memory, contents in temporary files beside it.
type holding struct {
	keep      *spill
	blobs     *blobStore
	leaves    map[uint64]heldLeaf
	disclosed []heldDisclosure
	public    map[entry.Hash]extent
	spans     []bracket
	shown     classSet // of what is disclosed
	sealed    classSet // of what the sessions sealed
}

// A heldLeaf is a leaf of the file.
type heldLeaf struct {
	index    uint64
	hash     tiles.Hash
	recorded bool // an entry of a session, not of the log's own
	at       extent
}

type heldDisclosure struct {
	index uint64
	event int
	slot  string
	at    extent
}

// A bracket is the first and the last of leaves whose time is to be bounded together.
type bracket struct{ first, last uint64 }

type classSet map[string]bool

func (s classSet) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// newHolding keeps its temporary files where the file is to be: there is room for it.
func newHolding(out string) (*holding, error) {
	keep, err := newSpill(filepath.Dir(out))
	if err != nil {
		return nil, err
	}
	blobs, err := newBlobStore(filepath.Dir(out))
	if err != nil {
		return nil, errors.Join(err, keep.close())
	}
	keep.most, blobs.keep.most = evidence.MaxBundle, evidence.MaxBundle
	return &holding{
		keep: keep, blobs: blobs, leaves: map[uint64]heldLeaf{}, public: map[entry.Hash]extent{}, shown: classSet{}, sealed: classSet{},
	}, nil
}

func (h *holding) close() error { return errors.Join(h.keep.close(), h.blobs.close()) }

// add keeps a leaf. It may come twice, once with its session and once with its neighbours.
func (h *holding) add(index uint64, leaf []byte, recorded bool) error {
	hash := tiles.LeafHash(leaf)
	if had, ok := h.leaves[index]; ok {
		if had.hash != hash {
			return fmt.Errorf("leaf %d: the log has sent two different ones", index)
		}
		return nil
	}
	if len(h.leaves) == evidence.MaxLeaves {
		return hint(fmt.Errorf("more than %d leaves, which is what a file has at most", evidence.MaxLeaves), "make several files, of fewer sessions or of a shorter --range")
	}
	at, err := h.keep.add(leaf)
	if err != nil {
		return err
	}
	h.leaves[index] = heldLeaf{index, hash, recorded, at}
	return nil
}

// disclose keeps a disclosure, in the form that a file has it in.
func (h *holding) disclose(d evidence.Disclosed) error {
	if len(h.disclosed) == evidence.MaxDisclosed {
		return hint(fmt.Errorf("more than %d disclosures, which is what a file has at most", evidence.MaxDisclosed), "make several files, or leave a class out: --withhold")
	}
	b, err := d.Load()
	if err != nil {
		return err
	}
	at, err := h.keep.add(b)
	h.disclosed = append(h.disclosed, heldDisclosure{d.Index, d.Event, d.Slot, at})
	return err
}

// publish keeps public bytes, each once.
func (h *holding) publish(hash entry.Hash, b []byte) (err error) {
	if _, ok := h.public[hash]; !ok {
		h.public[hash], err = h.keep.add(b)
	}
	return err
}

// sorted are the leaves by index.
func (h *holding) sorted() []heldLeaf {
	all := slices.Collect(maps.Values(h.leaves))
	slices.SortFunc(all, func(a, b heldLeaf) int { return cmp.Compare(a.index, b.index) })
	return all
}

// size is that of the smallest tree with all that is here.
func (h *holding) size() (n uint64) {
	for index := range h.leaves {
		n = max(n, index+1)
	}
	return n
}

func (h *holding) load(at extent) func() ([]byte, error) {
	return func() ([]byte, error) { return h.keep.load(at) }
}

// fill puts what is here into a bundle.
func (h *holding) fill(b *evidence.Bundle) {
	for _, l := range h.sorted() {
		b.Leaves = append(b.Leaves, evidence.Leaf{Index: l.index, Load: h.load(l.at)})
	}
	for hash, at := range h.public {
		b.Public = append(b.Public, evidence.Blob{SHA256: hash, Size: at.size, Load: h.load(at)})
	}
	sortBlobs(b.Public)
	b.Blobs = h.blobs.forBundle()
	slices.SortFunc(h.disclosed, func(a, b heldDisclosure) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.event, b.event), cmp.Compare(a.slot, b.slot))
	})
	for _, d := range h.disclosed {
		b.Disclosed = append(b.Disclosed, evidence.Disclosed{Index: d.index, Event: d.event, Slot: d.slot, Load: h.load(d.at)})
	}
}
