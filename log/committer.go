package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// ranges makes compact ranges over RFC 6962 hashes. It holds no state.
var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

func rangeRoot(r *compact.Range) (storage.Hash, error) {
	if r.End() == 0 {
		return emptyRoot(), nil
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return storage.Hash{}, fmt.Errorf("computing the root of a compact range: %w", err)
	}
	return storage.Hash(root), nil
}

// Placed says where a leaf stands.
type Placed struct {
	Index uint64
}

// A request is one call of Append.
type request struct {
	leaves [][]byte
	hashes []storage.Hash
	bytes  int
	taken  bool        // by the committer; under Log.mu
	done   chan answer // holds one
}

type answer struct {
	placed []Placed
	err    error
}

// Append adds leaves and returns their places, in order, once they are durable and integrated. Its errors say for certain
// what became of the leaves:
//
//   - ErrOverloaded, ErrReadOnly, ErrTooLarge, ErrClosed: nothing of the call was taken;
//   - *NotAppendedError: the leaves that it names are in the log, the others never will be;
//   - *StoppedError: not appended, or, where Unknown is true, nobody knows until the log is opened again;
//   - the error of ctx: the caller hung up. The leaves that were taken go their way without him.
//
// Leaves of one call may get places apart from each other, though never in another order than those of the sequencer.
func (l *Log) Append(ctx context.Context, leaves [][]byte) ([]Placed, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("not appended, the caller has gone: %w", errors.Join(ErrNotAppended, err))
	}
	if len(leaves) == 0 {
		return nil, nil
	}
	r, err := l.newRequest(leaves)
	if err != nil {
		return nil, err
	}
	if err := l.admit(r); err != nil {
		l.metrics.refuse(err)
		return nil, err
	}
	select {
	case a := <-r.done:
		return a.placed, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the leaves' places: %w", ctx.Err())
	case <-l.dead:
		return l.abandoned(r)
	}
}

// abandoned answers after Close gave up.
func (l *Log) abandoned(r *request) ([]Placed, error) {
	select {
	case a := <-r.done:
		return a.placed, a.err
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return nil, &StoppedError{Reason: ErrClosed, Unknown: r.taken}
}

// newRequest copies and hashes the leaves, in the caller's goroutine: a caller that hangs up may use his buffers again
// while the sequencer still reads the leaves.
func (l *Log) newRequest(leaves [][]byte) (*request, error) {
	r := &request{leaves: make([][]byte, len(leaves)), hashes: make([]storage.Hash, len(leaves)), done: make(chan answer, 1)}
	for i, leaf := range leaves {
		if len(leaf) > MaxLeaf {
			return nil, fmt.Errorf("leaf %d has %d bytes, the most is %d: %w", i, len(leaf), MaxLeaf, ErrTooLarge)
		}
		r.bytes += len(leaf)
	}
	if len(leaves) > l.config.Queue || r.bytes > l.config.QueueBytes {
		return nil, fmt.Errorf("%d leaves with %d bytes, the most is %d with %d: %w", len(leaves), r.bytes, l.config.Queue,
			l.config.QueueBytes, ErrTooLarge)
	}
	for i, leaf := range leaves {
		r.leaves[i], r.hashes[i] = bytes.Clone(leaf), tiles.LeafHash(leaf)
	}
	return r, nil
}

func (l *Log) admit(r *request) error {
	if no, reason := l.floor.refuses(); no {
		return fmt.Errorf("%w: %s", ErrReadOnly, reason)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped != nil:
		return &StoppedError{Reason: l.stopped}
	case l.closing:
		return ErrClosed
	case l.queueLeaves+len(r.leaves) > l.config.Queue || l.queueBytes+r.bytes > l.config.QueueBytes:
		return fmt.Errorf("%w: %d leaves are waiting", ErrOverloaded, l.queueLeaves)
	}
	l.queue = append(l.queue, r)
	l.queueLeaves += len(r.leaves)
	l.queueBytes += r.bytes
	l.poke()
	return nil
}

func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) commitAll() {
	defer close(l.drained)
	var last pace
	for {
		l.gather(last)
		batch := l.take()
		if batch == nil {
			return
		}
		start := time.Now()
		l.commit(batch)
		last = pace{requests: len(batch), took: time.Since(start)}
	}
}

// A pace is how many requests the last batch had, and how long it took.
type pace struct {
	requests int
	took     time.Duration
}

const (
	crowd       = 4                     // requests of a batch from which on the next is waited for
	gatherShare = 2                     // of the time that a batch took, the part that is waited at most
	gatherMost  = 15 * time.Millisecond // likewise
)

// gather lets the queue grow to the size of the last batch, for a part of the time that one took. Callers who were just
// answered come again, and a flush costs much the same for few leaves as for many: without waiting they fall into groups
// that take turns, each paying for a flush of its own. Whoever is alone never waits. docs/decisions/log-gather.md has the
// numbers.
func (l *Log) gather(last pace) {
	if last.requests < crowd {
		return
	}
	timer := time.NewTimer(min(last.took/gatherShare, gatherMost))
	defer timer.Stop()
	for {
		l.mu.Lock()
		enough := len(l.queue) >= last.requests || l.closing || l.stopped != nil
		l.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-l.wake:
		case <-timer.C:
			return
		case <-l.stopCh:
			return
		}
	}
}

// take waits for requests and takes all there are. It returns nil when the log is closed and empty, or stopped.
func (l *Log) take() []*request {
	for {
		l.mu.Lock()
		batch, closing, stopped := l.queue, l.closing, l.stopped
		l.queue, l.queueLeaves, l.queueBytes = nil, 0, 0
		if stopped == nil {
			for _, r := range batch {
				r.taken = true
			}
		}
		l.mu.Unlock()
		switch {
		case stopped != nil:
			for _, r := range batch {
				r.done <- answer{err: &StoppedError{Reason: stopped}}
			}
			return nil
		case len(batch) > 0:
			return batch
		case closing:
			return nil
		}
		select {
		case <-l.wake:
		case <-l.stopCh:
		}
	}
}

func (l *Log) commit(batch []*request) {
	var leaves [][]byte
	var hashes []storage.Hash
	for _, r := range batch {
		leaves = append(leaves, r.leaves...)
		hashes = append(hashes, r.hashes...)
	}
	start := time.Now()
	l.metrics.batch.Observe(float64(len(leaves)))
	indexes, err := l.config.Sequencer.Append(l.run, leaves)
	if err == nil {
		err = l.integrate(indexes, hashes)
	}
	if err != nil {
		l.metrics.errors.WithLabelValues("append").Inc()
		l.settle(batch, hashes, err)
		return
	}
	l.metrics.seconds.Observe(time.Since(start).Seconds())
	for _, r := range batch {
		placed := make([]Placed, len(r.leaves))
		for i := range placed {
			placed[i].Index = indexes[i]
		}
		indexes = indexes[len(placed):]
		r.done <- answer{placed: placed}
	}
}

// integrate extends the compact range by leaves that the sequencer placed. Nobody else appends, so the indexes are those
// right behind the range, in some order; if they are not, something is unknown and nothing is extended.
func (l *Log) integrate(indexes []uint64, hashes []storage.Hash) error {
	if len(indexes) != len(hashes) {
		return fmt.Errorf("the sequencer gave %d indexes to %d leaves", len(indexes), len(hashes))
	}
	first := l.rng.End()
	ordered := make([]storage.Hash, len(hashes))
	seen := make([]bool, len(hashes))
	for i, index := range indexes {
		at := index - first
		if index < first || at >= uint64(len(seen)) || seen[at] {
			return fmt.Errorf("the sequencer gave index %d, not one of %d leaves from %d", index, len(hashes), first)
		}
		seen[at], ordered[at] = true, hashes[i]
	}
	return l.extend(ordered)
}

// extend moves the head. After an error of the range, which is one of mathematics, the range is not used again.
func (l *Log) extend(hashes []storage.Hash) error {
	for _, h := range hashes {
		if err := l.rng.Append(h[:], nil); err != nil {
			l.stop(fmt.Errorf("extending the compact range: %w", err))
			return err
		}
	}
	root, err := rangeRoot(l.rng)
	if err != nil {
		l.stop(err)
		return err
	}
	l.metrics.leaves.Add(float64(len(hashes)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = treeHead{l.config.Origin, l.rng.End(), root}
	if len(hashes) > 0 && l.behindSince.IsZero() {
		l.behindSince = time.Now()
	}
	return nil
}

// settle finds out what became of a batch whose Append failed, and gives every caller a definite answer. If it cannot, the
// log stops: the state of the disk is not known, and nothing may be signed on a guess.
func (l *Log) settle(batch []*request, hashes []storage.Hash, cause error) {
	l.config.Logger.Warn("append failed, looking for what the log holds", "origin", l.config.Origin, "leaves", len(hashes), "error", cause)
	ctx, cancel := context.WithTimeout(l.run, settleTimeout)
	defer cancel()
	found, err := l.readBack(ctx, hashes)
	if err == nil {
		err = l.extend(found)
	}
	if err != nil {
		reason := fmt.Errorf("an append failed (%w), and so did finding out what the log holds: %w", cause, err)
		l.stop(reason)
		for _, r := range batch {
			r.done <- answer{err: &StoppedError{Reason: reason, Unknown: true}}
		}
		return
	}
	places := make(map[storage.Hash][]uint64, len(found))
	first := l.rng.End() - uint64(len(found))
	for i, h := range found {
		places[h] = append(places[h], first+uint64(i))
	}
	for _, r := range batch {
		r.done <- settled(r, places, cause)
	}
	l.config.Logger.Info("append settled", "origin", l.config.Origin, "leaves", len(hashes), "appended", len(found))
}

// settled answers one request from the places found, and uses them up: the same bytes twice are two leaves.
func settled(r *request, places map[storage.Hash][]uint64, cause error) answer {
	placed := make([]Placed, len(r.leaves))
	got := make(map[int]Placed)
	for i, h := range r.hashes {
		if free := places[h]; len(free) > 0 {
			placed[i], places[h] = Placed{free[0]}, free[1:]
			got[i] = placed[i]
		}
	}
	if len(got) == len(placed) {
		return answer{placed: placed}
	}
	return answer{err: &NotAppendedError{Placed: got, Err: cause}}
}

// readBack returns the hashes of the leaves that the tree holds beyond the range. All must be of the batch, and lead to
// the root that the tree claims: a leaf that this process did not admit is somebody else's.
func (l *Log) readBack(ctx context.Context, hashes []storage.Hash) ([]storage.Hash, error) {
	from := l.rng.End()
	size, err := l.config.Sequencer.Settle(ctx)
	if err != nil {
		return nil, fmt.Errorf("settling: %w", err)
	}
	head, root, err := l.config.Tree.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the tree's head: %w", err)
	}
	found := treeHead{l.config.Origin, head, root}
	if head != size || head < from {
		return nil, l.foreign(found, fmt.Errorf("the sequencer settled at size %d, the log had %d", size, from))
	}
	if head-from > uint64(len(hashes)) {
		return nil, l.foreign(found, fmt.Errorf("%d leaves were admitted, %d are there", len(hashes), head-from))
	}
	reader, err := tiles.NewReader(l.config.Tree, head, root)
	if err != nil {
		return nil, err
	}
	left := make(map[storage.Hash]int, len(hashes))
	for _, h := range hashes {
		left[h]++
	}
	back := make([]storage.Hash, 0, head-from)
	err = reader.Leaves(ctx, from, head, func(index uint64, leaf []byte) error {
		h := tiles.LeafHash(leaf)
		if left[h]--; left[h] < 0 {
			return l.foreign(found, fmt.Errorf("leaf %d was not admitted", index))
		}
		back = append(back, h)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return back, l.leads(found, back)
}

// leads checks that the range with these leaves has the root found.
func (l *Log) leads(found treeHead, leaves []storage.Hash) error {
	rng, err := ranges.NewRange(0, l.rng.End(), slices.Clone(l.rng.Hashes()))
	if err != nil {
		return fmt.Errorf("copying the compact range: %w", err)
	}
	for _, h := range leaves {
		if err := rng.Append(h[:], nil); err != nil {
			return fmt.Errorf("extending a compact range: %w", err)
		}
	}
	root, err := rangeRoot(rng)
	if err != nil {
		return err
	}
	if root != found.Root {
		return l.foreign(found, fmt.Errorf("the admitted leaves have root %x", root))
	}
	return nil
}

func (l *Log) foreign(found treeHead, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &RefusedError{Reason: ErrTreeForeign, Origin: l.config.Origin, GuardSize: l.head.Size, GuardRoot: l.head.Root,
		TreeSize: found.Size, TreeRoot: found.Root, Err: err}
}
