package anchoring

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
)

const (
	// DefaultPeriod is after what time an authority can say more of revocation than it did with a token, where no revocation list
	// says when the next comes.
	DefaultPeriod = 24 * time.Hour
	// RenewalNotice is how long before the newest tokens must be covered by others it is said every day.
	RenewalNotice = 30 * 24 * time.Hour

	renewalAlerts = 24 * time.Hour // between alerts that a renewal is due
	lookBack      = 256            // leaves, in which a process that starts looks for the last of them
	maxList       = 1 << 20        // bytes of a revocation list
)

// alertRenewal is raised while the newest tokens are about to lose what speaks for them.
const alertRenewal = "renewal-due"

// A standing is what an authority's last token in the log comes to. All of it follows from the log and from what is pinned, so
// that it outlives the process.
type standing struct {
	of    entry.Hash // the token; zero: nothing is known yet
	until time.Time  // by when another token must cover it; zero: it says nothing, or is lost
	// collect is from when on the authority can say more of revocation than it did with this token. A list that was fetched at issue
	// can't show what happened a moment before.
	collect time.Time
	before  uint64 // size that the authority had anchored before
}

// look reads what an authority's last token comes to, if that is not known, and lets the authority owe what follows from it. It
// is called under mu.
func (a *Anchoring) look(x *authority, published uint64, now time.Time) {
	if x.last.Size == 0 || x.last.Index >= published { // what isn't published can't be read yet
		return
	}
	if x.standing.of != x.last.Token {
		if !x.reading && !now.Before(x.reread) {
			last := x.last
			x.reading = true
			a.workers.Go(func() { a.study(x, last) })
		}
		return
	}
	if !x.owes && !x.busy && a.followsUp(x) && !now.Before(x.standing.collect) {
		x.owes, x.once, x.since = true, true, now
	}
}

// followsUp tells whether an authority's last token is one that nothing but a follow-up will renew: a token over the last entry
// of a recorder, and the authority's first one. With more entries there is a round, whose tokens bring all that a follow-up
// would. One that was a follow-up itself covers nothing that its predecessor did not, and so owes no other.
func (a *Anchoring) followsUp(x *authority) bool {
	return x.standing.before < a.recorded && a.recorded <= x.last.Size && x.Pinned.Compromised.IsZero()
}

// study takes in what an authority's last token comes to.
func (a *Anchoring) study(x *authority, last recording.Anchored) {
	ctx, cancel := context.WithTimeout(a.run, askTimeout)
	defer cancel()
	s, err := a.standingOf(ctx, last)
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.poke()
	x.reading = false
	if err != nil {
		x.reread = time.Now().Add(maxRetry)
		if a.run.Err() == nil {
			a.c.Logger.Warn("what an authority's last token comes to can't be read", "authority", last.Authority, "index", last.Index, "error", err)
		}
		return
	}
	x.standing = s
}

func (a *Anchoring) standingOf(ctx context.Context, last recording.Anchored) (s standing, err error) {
	s = standing{of: last.Token, collect: last.Received.Time().Add(DefaultPeriod)}
	before, _ := a.recording.Around(last.Index)
	for _, b := range before {
		if b.Authority == last.Authority {
			s.before = b.Size
		}
	}
	t, err := a.token(ctx, last)
	switch {
	case silent(err):
		a.c.Logger.Warn("an authority's last token says nothing", "authority", last.Authority, "index", last.Index, "error", err)
		return s, nil
	case err != nil:
		return s, err
	}
	s.until = goodUntil(a.pins[last.Authority].Authority, t)
	v, err := a.event(ctx, last)
	if err != nil {
		return s, err
	}
	next, err := a.nextLists(ctx, v)
	// Those that were stale at issue say nothing of when the next comes.
	next = slices.DeleteFunc(next, func(t time.Time) bool { return !t.After(last.Received.Time()) })
	if len(next) > 0 {
		s.collect = slices.MinFunc(next, time.Time.Compare)
	}
	// Sooner than a round would come there is none, whatever an authority says of its lists.
	if soonest := last.Received.Time().Add(a.c.Every); s.collect.Before(soonest) {
		s.collect = soonest
	}
	return s, err
}

// goodUntil is by when another token must cover one: as long as the authority counts, the certificates that speak for it are valid,
// and nobody doubts the algorithms.
func goodUntil(p timestamp.Authority, t timestamp.Token) time.Time {
	all := []time.Time{p.Until, t.Expires}
	for _, e := range t.Ends {
		all = append(all, e.End)
	}
	return slices.MinFunc(all, time.Time.Compare)
}

// nextLists is when the revocation lists that were collected with a token are followed by others.
func (a *Anchoring) nextLists(ctx context.Context, v entry.Anchor) (next []time.Time, err error) {
	for _, b := range v.LongTerm {
		if b.Kind != ask.KindCRL {
			continue
		}
		der, err := a.blob(ctx, b, maxList)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if list, err := x509.ParseRevocationList(der); err == nil && !list.NextUpdate.IsZero() {
			next = append(next, list.NextUpdate)
		}
	}
	return next, nil
}

// speaks tells whether an authority's last token is one that bounds times. It is called under mu.
func (a *Anchoring) speaks(x *authority) bool {
	return a.pins[x.Pinned.Name].counts && x.Pinned.Compromised.IsZero() && !x.standing.until.IsZero()
}

// renewBy is by when an authority's last token must be covered by another's; zero if it is, or nothing is known of it. It is
// called under mu.
func (a *Anchoring) renewBy(x *authority) time.Time {
	covered := slices.ContainsFunc(a.authorities, func(y *authority) bool { return a.speaks(y) && y.last.Size > x.last.Index })
	if covered || x.last.Size == 0 {
		return time.Time{}
	}
	return x.standing.until
}

// renewal is by when the newest tokens must be covered by others, for the whole log: as long as so many of them are good as a
// bound takes, those renew the rest. Good are those over all that was stamped of what recorders wrote. Who is being asked for
// the round goes by the token before. It is called under mu.
func (a *Anchoring) renewal(now time.Time) time.Time {
	var all []time.Time
	for _, x := range a.authorities {
		if a.speaks(x) && (x.last.Size >= min(a.recorded, a.round.size) || x.owes && !a.late(x, now)) {
			all = append(all, x.standing.until)
		}
	}
	if len(all) == 0 {
		return time.Time{}
	}
	slices.SortFunc(all, func(x, y time.Time) int { return y.Compare(x) })
	return all[min(a.c.Stamps, len(all))-1]
}

// warn has an alert raised once a day while a renewal is due. It is called under mu.
func (a *Anchoring) warn(now time.Time) {
	unread := func(x *authority) bool {
		return x.last.Size > 0 && x.standing.of == entry.Hash{} && !now.Before(x.reread)
	}
	by := a.renewal(now)
	if by.IsZero() || now.Before(by.Add(-RenewalNotice)) || slices.ContainsFunc(a.authorities, unread) ||
		!a.warned.IsZero() && now.Sub(a.warned).Abs() < renewalAlerts {
		return
	}
	first := a.warned.IsZero()
	a.warned = now
	a.workers.Go(func() {
		if first {
			if last := a.lastWarning(); now.Sub(last).Abs() < renewalAlerts {
				a.mu.Lock()
				a.warned = last
				a.mu.Unlock()
				return
			}
		}
		a.alert(alertRenewal, severityOf(by, now), "time stamps must be renewed, or nothing will speak for the newest of them", "renew_by", by)
	})
}

func severityOf(by, now time.Time) entry.ID {
	if now.Before(by) {
		return "warning"
	}
	return "critical"
}

// lastWarning is when a process before this one raised the alert, if that stands among the last leaves: one that is started again
// and again does not fill the log with it.
func (a *Anchoring) lastWarning() time.Time {
	ctx, cancel := context.WithTimeout(a.run, askTimeout)
	defer cancel()
	size, _ := a.log.Checkpoint()
	for index := size; index > size-min(size, lookBack) && ctx.Err() == nil; index-- {
		leaf, err := a.log.Leaf(ctx, index-1)
		if err != nil {
			continue
		}
		e, err := entry.Parse(leaf)
		if err != nil || e.Track != entry.SystemTrack {
			continue
		}
		for _, ev := range e.Events {
			var v entry.Alert
			if ev.Type == entry.TypeAlert && ev.Decode(&v) == nil && v.Alert == alertRenewal {
				return e.Received.Time.Time()
			}
		}
	}
	return time.Time{}
}
