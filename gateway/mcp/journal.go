package mcp

import (
	"fmt"
	"sync"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
)

// A journal spools events in the order in which they are put, everything that waits at once: one fsync serves many. Its
// first failure is its last act.
type journal struct {
	rec    Recorder
	q      *queue[*ticket]
	broken chan struct{} // closed at the first failure
	done   chan struct{} // closed when everything is spooled
	once   sync.Once
	err    error // before broken is closed
}

// A ticket is for events that were put.
type ticket struct {
	events []recorder.Event
	done   chan struct{}
	place  entry.Ref // of the first event, once done
	err    error
}

func newJournal(rec Recorder, limit int) *journal {
	j := &journal{rec: rec, q: newQueue[*ticket](limit), broken: make(chan struct{}), done: make(chan struct{})}
	go j.run()
	return j
}

const eventCost = 512 // weight of an event besides its payload

// put adds events of a weight, and waits while too much is waiting.
func (j *journal) put(weight int, events ...recorder.Event) *ticket {
	t := &ticket{events: events, done: make(chan struct{})}
	if !j.q.put(t, weight+eventCost*len(events)) {
		t.err = ErrStopped
		close(t.done)
	}
	return t
}

// wait returns when the events are on disk, or never will be.
func (t *ticket) wait() error {
	<-t.done
	return t.err
}

// flush waits until everything that was put before is spooled.
func (j *journal) flush() error { return j.put(0).wait() }

func (j *journal) run() {
	defer close(j.done)
	for {
		batch, ok := j.q.takeAll()
		if !ok {
			return
		}
		j.spool(batch)
	}
}

func (j *journal) spool(batch []*ticket) {
	var events []recorder.Event
	for _, t := range batch {
		events = append(events, t.events...)
	}
	place, err := entry.Ref{}, j.stopped()
	if err == nil && len(events) > 0 {
		if place, err = j.rec.Spool(events...); err != nil {
			err = fmt.Errorf("%w: spooling: %w", ErrStopped, err)
			j.fail(err)
		}
	}
	for _, t := range batch {
		t.place, t.err = place, err
		place.Seq += uint64(len(t.events))
		t.events = nil // their bytes are on disk: a ticket may be kept for long
		close(t.done)
	}
}

func (j *journal) fail(err error) {
	j.once.Do(func() {
		j.err = err
		close(j.broken)
	})
}

// stopped is the error that broke the journal.
func (j *journal) stopped() error {
	select {
	case <-j.broken:
		return j.err
	default:
		return nil
	}
}

// close waits until everything that was put is spooled. Nothing may be put afterwards.
func (j *journal) close() error {
	j.q.close()
	<-j.done
	return j.stopped()
}
