package main

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// A history is a log's leaves, made up as they are asked for, and their tree.
type history struct {
	leaf   func(i int64) []byte
	stored []tlog.Hash
	grown  int64
}

// newHistory is the same history for the same seed, so that a run can go on where an earlier one stopped.
func newHistory(seed string) *history {
	return &history{leaf: func(i int64) []byte { return fmt.Appendf(nil, "%s %d", seed, i) }}
}

// fork is a history that agrees with h below a size and nowhere above it.
func (h *history) fork(at int64) *history {
	return &history{leaf: func(i int64) []byte {
		if i < at {
			return h.leaf(i)
		}
		return append(h.leaf(i), '\'')
	}}
}

// ReadHashes makes a history a tlog.HashReader.
func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		hashes[i] = h.stored[at]
	}
	return hashes, nil
}

func (h *history) grow(size int64) {
	for ; h.grown < size; h.grown++ {
		h.stored = append(h.stored, must(tlog.StoredHashes(h.grown, h.leaf(h.grown), h))...)
	}
}

func (h *history) root(size int64) tlog.Hash {
	h.grow(size)
	return must(tlog.TreeHash(size, h))
}

// proof is the consistency proof as lines.
func (h *history) proof(from, to int64) []string {
	h.grow(to)
	if from == 0 || from == to {
		return nil
	}
	var lines []string
	for _, hash := range must(tlog.ProveTree(to, from, h)) {
		lines = append(lines, hash.String())
	}
	return lines
}

// must is for what can't fail on a tree that is whole.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
