package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
)

// An Anchoring is what the handlers need of *anchoring.Anchoring.
type Anchoring interface {
	// Anchor makes a round now.
	Anchor(ctx context.Context) (anchoring.Outcome, error)
	// Bracket is what the anchors in the log say of when an entry was logged.
	Bracket(ctx context.Context, index uint64) (anchoring.Bracket, error)
}

// anchorTimeout bounds a round that an operator asked for: a checkpoint has to be published, and authorities to answer.
const anchorTimeout = 90 * time.Second

// A Cosigned is a witness's word that it had seen a checkpoint by a time.
type Cosigned struct {
	Witness string
	Time    time.Time
}

// anchor makes a round of time stamps, for an operator. What failed is asked again by itself.
func (a *API) anchor(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	if a.Anchoring == nil {
		a.fail(w, r, refuse(codeAnchoringOff, ""))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), anchorTimeout)
	defer cancel()
	o, err := a.Anchoring.Anchor(ctx)
	if errors.Is(err, anchoring.ErrNoAuthorities) {
		err = refuse(codeAnchoringOff, "")
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	out := wire.Anchors{New: o.New, Size: o.Size, Authorities: []wire.AuthorityAnswer{}}
	for _, s := range o.Answers {
		x := wire.AuthorityAnswer{Authority: s.Authority, Anchored: s.Reason == "", Reason: s.Reason}
		if x.Anchored {
			t := entry.TimeOf(s.Time)
			x.AnchorIndex, x.Time = &s.Index, &t
		}
		out.Authorities = append(out.Authorities, x)
	}
	a.json(w, r, http.StatusOK, out)
}

// entryTime says between which times an entry was logged. It has no content.
func (a *API) entryTime(w http.ResponseWriter, r *http.Request) {
	t, err := a.timeOf(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.json(w, r, http.StatusOK, t)
}

func (a *API) timeOf(r *http.Request) (t wire.Time, err error) {
	if _, err := query(r); err != nil {
		return t, err
	}
	index, err := number(map[string][]string{"index": {chi.URLParam(r, "index")}}, "index", 0, 1<<53)
	if err != nil || index >= a.Log.Size() {
		return t, refuse(codeNotFound, "there is no entry of this index")
	}
	t = wire.Time{Index: index, Level: wire.Durable, Authorities: []wire.AuthorityTime{}}
	if size, _ := a.Log.Signed(); index < size {
		t.Level = wire.Integrated
	}
	if t.Witnessed, err = a.witnessed(r.Context(), index); err != nil {
		return t, err
	}
	if t.Witnessed != nil && a.Witnessed {
		t.Level = wire.Witnessed
	}
	if a.Anchoring == nil {
		return t, nil
	}
	b, err := a.Anchoring.Bracket(r.Context(), index)
	if err != nil {
		return t, err
	}
	if n := b.NotBefore; n != nil {
		t.NotBefore = &wire.Bound{Time: entry.TimeOf(n.Time), Authority: n.Authority, AnchorIndex: n.Index}
	}
	if n := b.NotAfter; n != nil {
		t.NotAfter = &wire.Bound{Time: roundedUp(n.Time), Authority: n.Authority, AnchorIndex: n.Index, Size: n.Size}
		t.Level = wire.Anchored
	}
	for _, x := range b.Authorities {
		t.Authorities = append(t.Authorities, authorityTime(x))
	}
	return t, nil
}

// roundedUp rounds to microseconds so that what was a bound is one still.
func roundedUp(t time.Time) entry.Time { return entry.TimeOf(t.Add(time.Microsecond - 1)) }

func authorityTime(x anchoring.Nearest) wire.AuthorityTime {
	t := wire.AuthorityTime{Authority: x.Authority, Counts: x.Counts}
	if n := x.NotBefore; n != nil {
		t.NotBefore = &wire.AnchorTime{Time: entry.TimeOf(n.Time), AnchorIndex: n.Index}
	}
	if n := x.NotAfter; n != nil {
		t.NotAfter = &wire.AnchorTime{Time: roundedUp(n.Time), AnchorIndex: n.Index, Size: n.Size}
	}
	return t
}

// witnessed says who had seen the published checkpoint that covers an entry, and by when; nil if there is none, or nobody.
func (a *API) witnessed(ctx context.Context, index uint64) (*wire.Witnesses, error) {
	if size, _ := a.Log.Checkpoint(); index >= size || a.Cosigned == nil {
		return nil, nil
	}
	msg, err := a.Log.WaitCovered(ctx, index) // there is one: it does not wait
	var none *log.NotCoveredError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	size, all := a.Cosigned(msg)
	if len(all) == 0 {
		return nil, nil
	}
	w := &wire.Witnesses{Size: size}
	for _, c := range all {
		w.Time = max(w.Time, entry.TimeOf(c.Time))
		w.Witnesses = append(w.Witnesses, c.Witness)
	}
	return w, nil
}
