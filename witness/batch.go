package witness

import "sync"

// maxBatch bounds how much shares a transaction.
const maxBatch = 512

// A batcher hands on what waits, all of it at once. While one batch is under way the next one gathers, so that the fewer
// transactions the disk manages, the more each carries.
type batcher[T any] struct {
	in   chan T
	done chan struct{}
	once sync.Once
}

// newBatcher starts a batcher, whose f answers everything that it is given.
func newBatcher[T any](f func([]T)) *batcher[T] {
	b := &batcher[T]{in: make(chan T, maxBatch), done: make(chan struct{})}
	go b.run(f)
	return b
}

func (b *batcher[T]) run(f func([]T)) {
	defer close(b.done)
	for first := range b.in {
		batch := []T{first}
	gather:
		for len(batch) < maxBatch {
			select {
			case next, ok := <-b.in:
				if !ok {
					break gather
				}
				batch = append(batch, next)
			default:
				break gather
			}
		}
		f(batch)
	}
}

// add hands something in. No add may follow, or run beside, close.
func (b *batcher[T]) add(t T) { b.in <- t }

// close waits until everything that was handed in is answered.
func (b *batcher[T]) close() {
	b.once.Do(func() { close(b.in) })
	<-b.done
}
