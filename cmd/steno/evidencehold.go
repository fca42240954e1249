package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A holding is what was gathered for a file: tables in memory, which are the file's, and contents in temporary files beside it.
type holding struct {
	keep      *spill
	blobs     *blobStore
	leaves    []evidence.Leaf // in order, and behind those some that belong between them, in order themselves
	sorted    int             // where these begin
	system    map[uint64]bool // which leaves are entries of the log's own
	disclosed []evidence.Disclosed
	slots     map[string]string // each once
	public    map[entry.Hash]evidence.Content
	spans     []bracket
	shown     classSet // of what is disclosed
	sealed    classSet // of what the sessions sealed
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
		keep: keep, blobs: blobs, system: map[uint64]bool{}, slots: map[string]string{}, public: map[entry.Hash]evidence.Content{}, shown: classSet{}, sealed: classSet{},
	}, nil
}

func (h *holding) close() error { return errors.Join(h.keep.close(), h.blobs.close()) }

// add keeps a leaf. It may come twice, once with its session and once with its neighbours.
func (h *holding) add(index uint64, leaf []byte, recorded bool) error {
	if had := h.leaf(index); had != nil {
		if b, err := had.Load(); err != nil || !bytes.Equal(b, leaf) {
			return cmp.Or(err, fmt.Errorf("leaf %d: the log has sent two different ones", index))
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
	if n := len(h.leaves); n > h.sorted && h.leaves[n-1].Index > index {
		h.settle()
	}
	ahead := len(h.leaves) == h.sorted && (h.sorted == 0 || h.leaves[h.sorted-1].Index < index)
	if h.leaves = append(h.leaves, evidence.Leaf{Index: index, Content: at}); ahead {
		h.sorted++
	}
	if !recorded {
		h.system[index] = true
	}
	return nil
}

// leaf is the one of an index, or nil if it is not here.
func (h *holding) leaf(index uint64) *evidence.Leaf {
	for _, some := range [][]evidence.Leaf{h.leaves[:h.sorted], h.leaves[h.sorted:]} {
		if i, here := slices.BinarySearchFunc(some, evidence.Leaf{Index: index}, compareLeaves); here {
			return &some[i]
		}
	}
	return nil
}

func compareLeaves(a, b evidence.Leaf) int { return cmp.Compare(a.Index, b.Index) }

// settle puts all leaves in order.
func (h *holding) settle() {
	putInOrder(h.leaves, h.sorted, compareLeaves)
	h.sorted = len(h.leaves)
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
	if _, known := h.slots[d.Slot]; !known {
		slot := strings.Clone(d.Slot)
		h.slots[slot] = slot
	}
	d.Slot = h.slots[d.Slot]
	d.Content, err = h.keep.add(b)
	h.disclosed = append(h.disclosed, d)
	return err
}

// publish keeps public bytes, each once.
func (h *holding) publish(hash entry.Hash, b []byte) (err error) {
	if _, ok := h.public[hash]; !ok {
		h.public[hash], err = h.keep.add(b)
	}
	return err
}

// size is that of the smallest tree with all that is here.
func (h *holding) size() uint64 {
	if h.settle(); len(h.leaves) == 0 {
		return 0
	}
	return h.leaves[len(h.leaves)-1].Index + 1
}

// fill puts what is here into a bundle, which has the same tables.
func (h *holding) fill(b *evidence.Bundle) {
	h.settle()
	for hash, at := range h.public {
		b.Public = append(b.Public, evidence.Blob{SHA256: hash, Content: at})
	}
	slices.SortFunc(b.Public, compareBlobs)
	slices.SortFunc(h.disclosed, func(a, b evidence.Disclosed) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Slot, b.Slot))
	})
	b.Leaves, b.Blobs, b.Disclosed = h.leaves, h.blobs.rows, h.disclosed
}

// forget gives up the tables, once there is a file that has their contents.
func (h *holding) forget() {
	h.leaves, h.sorted, h.blobs.rows, h.blobs.sorted, h.disclosed = nil, 0, nil, 0, nil
}
