package audit

import (
	"runtime"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A job is a recorder's signature to be verified, when its turn in the chain is known and with it the key.
type job struct {
	index    uint64
	entry    *entry.Entry
	verifier note.Verifier
	received bool // verify the receipt too
}

// A pool verifies signatures in parallel. What came of it is handed over when the pool is closed.
type pool struct {
	a        *auditor
	jobs     chan []job
	batch    []job
	done     sync.WaitGroup
	mu       sync.Mutex
	findings []evidence.Finding
	passed   map[evidence.CheckID]int
}

const batchSize = 64

func newPool(a *auditor) *pool {
	n := runtime.GOMAXPROCS(0)
	p := &pool{a: a, jobs: make(chan []job, 4*n), passed: map[evidence.CheckID]int{}}
	for range n {
		p.done.Go(func() {
			for batch := range p.jobs {
				p.verify(batch)
			}
		})
	}
	return p
}

func (p *pool) add(j job) {
	p.batch = append(p.batch, j)
	if len(p.batch) >= batchSize {
		p.flush()
	}
}

// flush hands over what was added. It waits while the pool is behind, so that memory stays bounded.
func (p *pool) flush() {
	if len(p.batch) > 0 {
		p.jobs <- p.batch
		p.batch = nil
	}
}

func (p *pool) verify(batch []job) {
	var findings []evidence.Finding
	passed := map[evidence.CheckID]int{}
	note := func(check evidence.CheckID, j job, err error) {
		if err != nil {
			findings = append(findings, *p.a.refused(check, j.index, j.entry, err))
			return
		}
		passed[check]++
	}
	for _, j := range batch {
		check := evidence.CheckRecorder
		if j.entry.Track == entry.SystemTrack {
			check = evidence.CheckSystem
		}
		note(check, j, j.entry.VerifyRecorder(j.verifier))
		if j.received {
			note(evidence.CheckReceived, j, p.a.keys.Received(j.entry, j.index))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.findings = append(p.findings, findings...)
	for check, n := range passed {
		p.passed[check] += n
	}
}

// close waits for every job, and hands over what came of them.
func (p *pool) close() {
	p.flush()
	close(p.jobs)
	p.done.Wait()
	for _, f := range p.findings {
		p.a.find(f)
	}
	for check, n := range p.passed {
		p.a.follower.passed[check] += n
	}
}
