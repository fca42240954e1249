package anchoring

import (
	"context"
	"errors"
	"slices"
	"time"
)

// reasonNothing is what is said of an authority that was never given anything to stamp.
const reasonNothing = "nothing-recorded"

// ErrNoAuthorities says that nobody is there to be asked for a round.
var ErrNoAuthorities = errors.New("there are no time-stamp authorities to be asked")

// Anchor makes a round now, and returns when every authority has been asked once. Where only the log's own events came since
// the last round there is none, and only those are asked who owe a token of that. If ctx ends first, what was begun goes on.
func (a *Anchoring) Anchor(ctx context.Context) (Outcome, error) {
	if len(a.authorities) == 0 {
		return Outcome{}, ErrNoAuthorities
	}
	a.mu.Lock()
	if !a.started {
		a.mu.Unlock()
		return Outcome{}, errors.New("anchoring has not begun")
	}
	want := a.round.n
	recorded := a.recording.AnchorState().Recorded
	fresh := recorded > a.round.size
	if fresh {
		want, a.demanded = want+1, true
		if a.target > 0 { // the round that is due already is this one, and covers what is there now
			a.target = recorded
		}
	}
	before := make([]int, len(a.authorities))
	for i, x := range a.authorities {
		x.next = time.Time{} // whoever failed is asked again at once
		before[i] = x.attempts
	}
	a.mu.Unlock()
	a.poke()
	answered := func() bool {
		return a.round.n >= want && !slices.ContainsFunc(a.authorities, func(x *authority) bool { return x.owes && x.tried < want }) &&
			(fresh || !slices.ContainsFunc(a.indexes(), func(i int) bool {
				return a.authorities[i].owes && a.authorities[i].attempts == before[i]
			}))
	}
	for {
		a.mu.Lock()
		done, changed := answered(), a.changed
		a.mu.Unlock()
		if done {
			break
		}
		select {
		case <-changed:
		case <-a.run.Done():
			return Outcome{}, context.Cause(a.run)
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
	}
	return a.outcome(ctx, fresh), nil
}

func (a *Anchoring) indexes() []int {
	all := make([]int, len(a.authorities))
	for i := range all {
		all[i] = i
	}
	return all
}

// outcome is how the round stands.
func (a *Anchoring) outcome(ctx context.Context, fresh bool) Outcome {
	a.mu.Lock()
	o := Outcome{New: fresh, Size: a.round.size}
	all := make([]authority, len(a.authorities))
	for i, x := range a.authorities {
		all[i] = *x
	}
	a.mu.Unlock()
	for _, x := range all {
		s := Answer{Authority: x.Pinned.Name, Index: x.last.Index, Time: x.stamped, Reason: x.reason}
		switch {
		case x.owes && s.Reason == "":
			s.Reason = "asked"
		case x.owes:
		case x.last.Size == 0:
			s.Reason = reasonNothing
		case x.stamped.IsZero(): // its token is of before the start
			t, err := a.token(ctx, x.last)
			if err != nil {
				s.Reason = "not-read"
			}
			s.Time = t.Time
		}
		o.Answers = append(o.Answers, s)
	}
	return o
}
