package log

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/stenolog/steno/log/tiles"
)

const (
	elsewhereTimeout = 5 * time.Second // bounds one call of Config.Elsewhere
	elsewhereGrace   = time.Second     // for returning what could be had by then
)

// sightings are what others hold of this log.
type sightings struct {
	notes  [][]byte
	enough bool
}

// askElsewhere returns in time, also when Config.Elsewhere does not.
func askElsewhere(ctx context.Context, c *Config) sightings {
	if c.Elsewhere == nil {
		return sightings{enough: true}
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereTimeout)
	defer cancel()
	got := make(chan sightings, 1)
	go func() {
		notes, enough := c.Elsewhere(ctx)
		got <- sightings{notes, enough}
	}()
	select {
	case s := <-got:
		return s
	case <-ctx.Done():
	}
	grace := time.NewTimer(elsewhereGrace)
	defer grace.Stop()
	select {
	case s := <-got:
		return s
	case <-grace.C:
		return sightings{}
	}
}

// judge compares what others hold with what was signed last and with the tree of r, which extends that. Whoever runs a
// witness could halt the log with an invented checkpoint, so one that the log did not sign is logged only.
func (g *guarded) judge(ctx context.Context, r *tiles.Reader, notes [][]byte, logger *slog.Logger) error {
	for _, msg := range notes {
		seen, err := g.keys.open(msg)
		if err != nil {
			logger.Warn("a checkpoint held elsewhere is not signed by this log", "origin", g.origin, "error", err)
			continue
		}
		if !g.binds(msg) {
			logger.Error("a checkpoint held elsewhere is signed by a key of this log that somebody else may have: it is not held to it",
				"origin", g.origin, "size", seen.Size)
			continue
		}
		if err := g.fits(ctx, r, seen); err != nil {
			return err
		}
	}
	return nil
}

// fits checks that a checkpoint which bears this log's signature is one that this log knows.
func (g *guarded) fits(ctx context.Context, r *tiles.Reader, seen treeHead) error {
	if err := g.notBehind(seen); err != nil || seen.Size == g.last.Size {
		return err
	}
	return g.extends(ctx, r, seen)
}

// confront judges notes while the log runs, in the goroutine of the publisher.
func (g *guarded) confront(ctx context.Context, notes [][]byte, logger *slog.Logger) error {
	r, err := tiles.NewReader(g.tree, g.last.Size, g.last.Root)
	if err != nil {
		return err
	}
	return g.judge(ctx, r.WithLatest(g.latest), notes, logger)
}

// contradicted tells proof of a second history, which stops the log, from what is wrong with reading its tiles: an old tile
// that is damaged is no reason to stop, for whoever shows an old checkpoint chooses which tiles are read.
func contradicted(err error) bool {
	return errors.Is(err, ErrGuardBehind) || errors.Is(err, ErrRootDiffers)
}

// look asks those elsewhere again, while too few of them have answered.
func (p *publisher) look() {
	l := p.l
	if p.looking || time.Now().Before(p.lookAt) {
		return
	}
	p.looking = true
	l.workers.Add(1)
	go func() {
		defer l.workers.Done()
		p.sightings <- askElsewhere(l.run, &l.config)
	}()
}

// sighted takes their answers. Only when enough of them know nothing that this log does not know, it begins to sign.
func (p *publisher) sighted(s sightings) {
	l := p.l
	p.looking = false
	err := l.guarded.confront(l.run, s.notes, l.config.Logger)
	if contradicted(err) {
		l.stop(err)
		return
	}
	if err != nil || !s.enough {
		p.lookAt = time.Now().Add(min(backoff(l.config.Interval, p.looks), maxBackoff))
		p.looks++
		l.config.Logger.Warn("too few of those who hold checkpoints elsewhere answer, so nothing is signed", "origin", l.config.Origin,
			"answers", len(s.notes), "tries", p.looks, "error", err)
		return
	}
	p.waiting = false
	l.mu.Lock()
	l.waiting = false
	l.mu.Unlock()
	l.config.Logger.Info("enough of those who hold checkpoints elsewhere have answered", "origin", l.config.Origin)
	p.step()
}
