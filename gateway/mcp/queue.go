package mcp

import "sync"

// A queue holds items up to a weight: whoever puts more waits. One item always fits.
type queue[T any] struct {
	mu      sync.Mutex
	changed sync.Cond
	items   []T
	weight  int
	limit   int
	closed  bool
}

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: limit}
	q.changed.L = &q.mu
	return q
}

// put tells whether the item was taken: not after close.
func (q *queue[T]) put(item T, weight int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.weight > 0 && q.weight+weight > q.limit {
		q.changed.Wait()
	}
	if q.closed {
		return false
	}
	q.items, q.weight = append(q.items, item), q.weight+weight
	q.changed.Broadcast()
	return true
}

// takeAll waits for items and takes all there are. ok is false when there are none and will be none.
func (q *queue[T]) takeAll() (items []T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.changed.Wait()
	}
	items, q.items, q.weight = q.items, nil, 0
	q.changed.Broadcast()
	return items, len(items) > 0
}

func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}
