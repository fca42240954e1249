package recording

import (
	"sync"
	"time"
)

// A combiner waits as long as a group grows, when the one before was larger: the callers that it answered are about to come
// again, and would otherwise find the first of them alone under way.
const (
	gather    = 300 * time.Microsecond
	gatherMax = 3 * time.Millisecond
)

// A combiner runs jobs in groups: while one group is being worked on, the next gathers. It has a goroutine only while it
// has jobs. A job that comes alone never waits.
type combiner[J any] struct {
	run func(group []J)
	max int // jobs of a group

	mu      sync.Mutex
	queue   []J
	running bool
	last    int       // jobs of the last group
	ended   time.Time // when it was answered
	done    sync.Cond // signalled when it runs out of jobs
}

func newCombiner[J any](max int, run func([]J)) *combiner[J] {
	c := &combiner[J]{run: run, max: max}
	c.done.L = &c.mu
	return c
}

func (c *combiner[J]) add(job J) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, job)
	if !c.running {
		c.running = true
		go c.work()
	}
}

func (c *combiner[J]) work() {
	for {
		c.mu.Lock()
		c.gather()
		if len(c.queue) == 0 {
			c.running = false
			c.done.Broadcast()
			c.mu.Unlock()
			return
		}
		n := min(len(c.queue), c.max)
		group := c.queue[:n:n]
		c.queue = c.queue[n:]
		c.mu.Unlock()
		c.run(group)
		c.mu.Lock()
		c.last, c.ended = n, time.Now()
		c.mu.Unlock()
	}
}

// gather lets the group grow to the size of the last one, while it does grow. The mutex is held, but not meanwhile.
func (c *combiner[J]) gather() {
	if time.Since(c.ended) > gatherMax {
		return
	}
	for n, rounds := 0, 0; n < len(c.queue) && n < c.last && rounds < int(gatherMax/gather); rounds++ {
		n = len(c.queue)
		c.mu.Unlock()
		time.Sleep(gather)
		c.mu.Lock()
	}
}

// drain waits until there is no job.
func (c *combiner[J]) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.running {
		c.done.Wait()
	}
}
