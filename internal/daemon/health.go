package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage/sqlite"
)

// guardEvery is how long an answer about the guard is good for, and guardTimeout how long it may take.
const (
	guardEvery   = time.Second
	guardTimeout = 2 * time.Second
)

// A probe asks the parts how they are. It says what is so now, not what once was: the guard is read for it.
type probe struct {
	c       Config
	log     *log.Log
	indexed interface{ Indexed() uint64 }
	anchors *anchoring.Anchoring // nil if there are no authorities
	quorum  bool                 // policy demands one

	mu      sync.Mutex
	asked   time.Time
	guardOK error
}

func newProbe(c Config, l *log.Log, indexed interface{ Indexed() uint64 }, anchors *anchoring.Anchoring, quorum bool) *probe {
	return &probe{c: c, log: l, indexed: indexed, anchors: anchors, quorum: quorum}
}

func (p *probe) health(ctx context.Context) api.Health {
	h := p.log.Health()
	limit := time.Duration(p.c.Log.CheckpointInterval) * time.Duration(p.c.Health.CheckpointFactor)
	lag := h.Size - min(h.Size, p.indexed.Indexed())
	guard := p.guard(ctx)
	check := func(name string, ok, needed bool, format string, args ...any) api.Check {
		return api.Check{Check: name, OK: ok, Ready: needed, Detail: fmt.Sprintf(format, args...)}
	}
	// Errors are told by kind, not by their text, which may name files: the whole of it is in the server's log.
	checks := []api.Check{
		check("signing", h.Stopped == nil, true, "the log has %s", word(h.Stopped == nil, "not stopped", "stopped until it is started again")),
		check("open", !h.Closing, true, "%s", word(!h.Closing, "taking requests", "shutting down")),
		check("disk", h.ReadOnly == "", true, "%s", word(h.ReadOnly == "", "above the floor", h.ReadOnly)),
		check("guard", guard == nil && h.GuardError == nil, true, "%s", word(guard == nil && h.GuardError == nil, "reachable", "not reachable, or not what it was")),
		check("checkpoint", h.Unpublished <= limit && h.PublishError == nil, false, "size %d of %d published; the oldest entry without a checkpoint waits for %s, at most %s",
			h.Published, h.Size, h.Unpublished.Round(time.Millisecond), limit),
		check("index", lag <= p.c.Health.IndexLag, false, "%d entries behind, at most %d", lag, p.c.Health.IndexLag),
	}
	return api.Health{Checks: append(append(checks, p.witnesses(h)...), authorityChecks(p.anchors, time.Now())...)}
}

// witnesses says which are missing and since when, by their names. One that is missing is no failure as long as there is a
// quorum without it: that is what a quorum is for. A quorum that is lost is one, and the log records all the same.
func (p *probe) witnesses(h log.Health) (checks []api.Check) {
	var missing []string
	heard := false // since the start
	whole := !h.Waiting && h.QuorumLostSince.IsZero()
	for _, c := range h.Cosigners {
		heard = heard || c.Size > 0
		detail := fmt.Sprintf("answers; the latest that it cosigned has size %d", c.Size)
		switch {
		case c.Size == 0 && c.Since.IsZero():
			detail = "starting: it has cosigned nothing since the start, and failed nothing"
		case !c.Since.IsZero():
			missing = append(missing, c.Name)
			detail = fmt.Sprintf("missing since %s; the latest that it cosigned has size %d", at(c.Since), c.Size)
		}
		checks = append(checks, api.Check{Check: "witness " + c.Name, OK: whole || c.Since.IsZero(), Detail: detail})
	}
	if !p.quorum {
		return checks
	}
	detail := fmt.Sprintf("size %d has it", h.Published)
	switch {
	case h.Waiting:
		detail = "waiting for witnesses: too few have said what they saw of this log, so nothing is signed"
	case !whole:
		detail = fmt.Sprintf("lost since %s, so that nothing is published; missing: %s", at(h.QuorumLostSince), strings.Join(missing, " "))
	case !heard || h.Published == 0: // what is published is of the process before, if anything is
		detail = "starting: nothing has it since the start"
	}
	return append(checks, api.Check{Check: "quorum", OK: whole, Detail: detail})
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func word(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

// guard reads the guard by its path, as a restart would: an open file that was deleted can still be read, and is no guard any
// more.
func (p *probe) guard(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) < guardEvery {
		return p.guardOK
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), guardTimeout)
	defer cancel()
	p.guardOK = p.readGuard(ctx)
	p.asked = time.Now()
	return p.guardOK
}

func (p *probe) readGuard(ctx context.Context) (err error) {
	if _, err := os.Stat(p.c.Guard); err != nil {
		return err
	}
	g, err := sqlite.OpenGuard(p.c.Guard)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	state, err := g.Load(ctx)
	if err != nil {
		return err
	}
	if size, _ := p.log.Checkpoint(); state.Origin != p.c.Origin || state.Size < size {
		return fmt.Errorf("the guard is behind what was published")
	}
	return nil
}
