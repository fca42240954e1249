package recording

import "sync"

// A combiner runs jobs in groups: while one group is being worked on, the next gathers. It has a goroutine only while it
// has jobs.
type combiner[J any] struct {
	run func(group []J)
	max int // jobs of a group

	mu      sync.Mutex
	queue   []J
	running bool
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
