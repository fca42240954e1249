package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// What kind of content is read, in the vocabulary of the log's access events.
const (
	WhatEntries = "entries"
	WhatBlobs   = "blobs"
	WhatKeys    = "keys"
	WhatBundle  = "bundle"
)

// A Scope says what an action is about. Only Content needs more than the zero Scope.
type Scope struct {
	What     string
	Session  string
	From, To uint64   // log indexes, To exclusive
	Blob     [32]byte // zero if it is about no blob
}

// A Watch records a read durably, before it returns.
type Watch interface {
	Watch(ctx context.Context, p Principal, s Scope) error
}

// CrawlWindow is how long the record of a bundle read stands for further bundles of the same block, and CrawlBlock how many
// leaves make a block.
//
// A crawl of entry bundles is recorded as "these 65,536 leaves, in this minute" and not bundle by bundle. Each record is
// itself a leaf: a reader who follows the log to its end would never get there if every bundle it reads made the log longer,
// and a full audit would leave as many leaves as bundles. The record claims more than was read, never less: it is durable
// before the first bundle of the block leaves, and says everything that may leave on its strength.
const (
	CrawlWindow = time.Minute
	CrawlBlock  = 1 << 16
)

// watchTimeout bounds the recording of a read, which does not end with the request that asked for it, because others may
// wait for the same record.
const watchTimeout = 30 * time.Second

// A Gate decides, and records what it allowed. It is safe for concurrent use.
type Gate struct {
	watch Watch
	now   func() time.Time

	mu     sync.Mutex
	crawls map[crawl]*record
}

type crawl struct {
	principal string
	block     uint64
}

// A record is an access event that stands for a block: done is closed when err is known.
type record struct {
	since time.Time
	done  chan struct{}
	err   error
}

// NewGate makes a gate that records with watch. Now is the clock, nil for the system's.
func NewGate(watch Watch, now func() time.Time) *Gate {
	if now == nil {
		now = time.Now
	}
	return &Gate{watch: watch, now: now, crawls: make(map[crawl]*record)}
}

// Allow returns nil if p may do a to s, and if that is recorded where it must be. Every error is a *DeniedError.
func (g *Gate) Allow(ctx context.Context, p Principal, a Action, s Scope) error {
	if p.Name == "" || !slices.Contains(may[p.Role], a) {
		return &DeniedError{p, a, ErrForbidden}
	}
	if a != Content {
		return nil
	}
	if err := g.record(ctx, p, s); err != nil {
		return &DeniedError{p, a, fmt.Errorf("%w: %w", ErrUnrecorded, err)}
	}
	return nil
}

func (g *Gate) record(ctx context.Context, p Principal, s Scope) error {
	switch s.What {
	case WhatBundle:
		return g.recordCrawl(ctx, p, s)
	case WhatEntries, WhatBlobs, WhatKeys:
		return g.watch.Watch(ctx, p, s)
	}
	return errors.New("a read of content must say what it reads")
}

// recordCrawl records the block that the bundle lies in, unless that was done within CrawlWindow. Bundles do not straddle
// blocks.
func (g *Gate) recordCrawl(ctx context.Context, p Principal, s Scope) error {
	block := s.From / CrawlBlock
	if s.To <= s.From || (s.To-1)/CrawlBlock != block {
		return fmt.Errorf("leaves %d to %d are no bundle", s.From, s.To)
	}
	r, first := g.join(crawl{p.Name, block})
	if first {
		s.From = block * CrawlBlock
		s.To = s.From + CrawlBlock
		go g.keep(context.WithoutCancel(ctx), p, s, r)
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns the record that stands for c, and whether the caller is the one who has to make it.
func (g *Gate) join(c crawl) (*record, bool) {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, r := range g.crawls { // a handful: principals times the blocks they read within a minute
		if now.Sub(r.since) >= CrawlWindow || now.Before(r.since) {
			delete(g.crawls, k)
		}
	}
	if r := g.crawls[c]; r != nil {
		return r, false
	}
	r := &record{since: now, done: make(chan struct{})}
	g.crawls[c] = r
	return r, true
}

func (g *Gate) keep(ctx context.Context, p Principal, s Scope, r *record) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	r.err = g.watch.Watch(ctx, p, s)
	if r.err != nil {
		// Those who wait are refused; the next one tries again.
		g.mu.Lock()
		c := crawl{p.Name, s.From / CrawlBlock}
		if g.crawls[c] == r {
			delete(g.crawls, c)
		}
		g.mu.Unlock()
	}
	close(r.done)
}
