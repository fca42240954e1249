package tiles

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// Leaves calls f with every leaf of [from, to) in order, checked against the tree, until f returns an error, which it
// returns. Leaves are read and hashed in parallel ahead of f; memory is bounded by some bundles per processor. The leaf is
// f's to keep.
func (r *Reader) Leaves(ctx context.Context, from, to uint64, f func(index uint64, leaf []byte) error) error {
	keep := func(_ uint64, leaves [][]byte) ([][]byte, error) { return leaves, nil }
	return Each(ctx, r, from, to, keep, func(first uint64, leaves [][]byte) error {
		for i, leaf := range leaves {
			if err := f(first+uint64(i), leaf); err != nil {
				return err
			}
		}
		return nil
	})
}

// Each reads [from, to) bundle by bundle: parse is called with verified leaves, in parallel and in any order, and deliver
// with what parse made of them, one after the other in the order of the log. The first error ends it and is returned,
// with everything before it delivered. Bundles that lie only partly in the range are cut to it.
func Each[T any](ctx context.Context, r *Reader, from, to uint64, parse func(first uint64, leaves [][]byte) (T, error), deliver func(first uint64, parsed T) error) error {
	if from > to || to > r.size {
		return &RangeError{From: from, To: to, Size: r.size}
	}
	if from == to {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait() // no goroutine outlives the call
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	jobs, order := make(chan eachJob[T]), make(chan eachJob[T], 2*workers)
	for range workers {
		running.Go(func() {
			for j := range jobs {
				j.done <- j.work(ctx, r, parse)
			}
		})
	}
	planned := make(chan error, 1)
	running.Go(func() {
		defer close(order)
		defer close(jobs)
		planned <- r.plan(ctx, from, to, func(s span) error {
			j := eachJob[T]{s, make(chan eachResult[T], 1)}
			for _, c := range []chan eachJob[T]{order, jobs} {
				select {
				case c <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for j := range order {
		var res eachResult[T]
		select {
		case res = <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if res.err != nil {
			return res.err
		}
		if err := deliver(j.from, res.value); err != nil {
			return err
		}
	}
	return <-planned
}

// An eachJob is one bundle on its way through Each: to a worker, and in order to whoever delivers.
type eachJob[T any] struct {
	span
	done chan eachResult[T] // holds one
}

type eachResult[T any] struct {
	value T
	err   error
}

func (j eachJob[T]) work(ctx context.Context, r *Reader, parse func(first uint64, leaves [][]byte) (T, error)) (res eachResult[T]) {
	leaves, err := r.verified(ctx, j.span)
	if err != nil {
		return eachResult[T]{err: err}
	}
	res.value, res.err = parse(j.from, leaves)
	return res
}

// A span is the part of one bundle that is asked for, and what the tree says of the bundle: the root over all its leaves
// for a full one, the hashes of its leaves for a partial one.
type span struct {
	index    uint64 // of the bundle
	width    int
	from, to uint64
	root     Hash
	leaves   []Hash
}

// plan yields the spans of [from, to) with authenticated hashes, asking the tree once per level-1 tile.
func (r *Reader) plan(ctx context.Context, from, to uint64, yield func(span) error) error {
	last := (to - 1) / Width
	for index := from / Width; index <= last; {
		group := min(last, index|(Width-1))
		spans, err := r.group(ctx, index, group)
		if err != nil {
			return err
		}
		for _, s := range spans {
			s.from, s.to = max(from, s.from), min(to, s.to)
			if err := yield(s); err != nil {
				return err
			}
		}
		index = group + 1
	}
	return nil
}

func (r *Reader) group(ctx context.Context, first, last uint64) ([]span, error) {
	spans := make([]span, 0, last-first+1)
	var want []int64
	for i := first; i <= last; i++ {
		s := span{index: i, width: widthAt(r.size, 0, i), from: i * Width}
		s.to = s.from + uint64(s.width)
		spans = append(spans, s)
		if s.width == Width {
			want = append(want, tlog.StoredHashIndex(height, int64(i)))
			continue
		}
		for l := s.from; l < s.to; l++ {
			want = append(want, tlog.StoredHashIndex(0, int64(l)))
		}
	}
	got, err := (&hashReader{ctx: ctx, r: r}).ReadHashes(want)
	if err != nil {
		return nil, fmt.Errorf("reading hashes of bundles %d to %d: %w", first, last, err)
	}
	for i := range spans {
		s := &spans[i]
		if s.width == Width {
			s.root, got = Hash(got[0]), got[1:]
			continue
		}
		s.leaves = plain(got)
	}
	return spans, nil
}

// verified reads the leaves of a span and checks the whole bundle, and the level-0 tile over it, against the tree.
func (r *Reader) verified(ctx context.Context, s span) ([][]byte, error) {
	leaves, err := r.bundle(ctx, s.index, s.width)
	if err != nil {
		return nil, err
	}
	tile, err := r.tile(ctx, 0, s.index, s.width)
	if err != nil {
		return nil, err
	}
	if err := r.compare(s, leaves, tile); err != nil {
		return nil, err
	}
	first := s.index * Width
	return leaves[s.from-first : s.to-first], nil
}

func (r *Reader) compare(s span, leaves [][]byte, tile []byte) error {
	hashes := make([]Hash, len(leaves))
	flat := make([]byte, 0, len(leaves)*len(Hash{}))
	var buf []byte
	for i, leaf := range leaves {
		buf = append(append(buf[:0], 0), leaf...)
		hashes[i] = sha256.Sum256(buf)
		flat = append(flat, hashes[i][:]...)
		if s.leaves != nil && hashes[i] != s.leaves[i] {
			return r.damage(BundlePath(s.index, uint8(s.width)), fmt.Errorf("leaf %d has another hash", s.index*Width+uint64(i)))
		}
	}
	bundleErr := errors.New("its leaves have another root")
	if bytes.Equal(tile, flat) {
		if s.leaves == nil && subtree(hashes) != s.root {
			return r.damage(BundlePath(s.index, 0), bundleErr)
		}
		return nil
	}
	// One of the two is wrong. The bundle's own root says which.
	if s.leaves == nil && subtree(hashes) != s.root {
		return r.damage(BundlePath(s.index, 0), bundleErr)
	}
	return r.damage(Path(0, s.index, uint8(s.width)), errors.New("it differs from the leaves, which are right"))
}
