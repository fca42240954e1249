package anchoring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/timestamp"
)

const maxTokens = 4096 // verified ones that are held

// Bracket says between which times an entry was logged, by the anchors in the log whose tokens verify today against what the
// trust file pins. It looks at each authority's last anchor below the entry and its first one above.
func (a *Anchoring) Bracket(ctx context.Context, index uint64) (b Bracket, err error) {
	a.mu.Lock()
	started := a.started
	a.mu.Unlock()
	if !started {
		return b, errors.New("anchoring has not begun")
	}
	before, after := a.recording.Around(index)
	below, err := a.say(ctx, before)
	if err != nil {
		return b, err
	}
	above, err := a.say(ctx, after)
	if err != nil {
		return b, err
	}
	for _, s := range below {
		// An entry above an anchor was logged after its token existed, for nobody can predict one.
		if bound := s.notBefore(); s.counts && (b.NotBefore == nil || bound.Time.After(b.NotBefore.Time)) {
			b.NotBefore = bound
		}
	}
	if all := voices(above); len(all) >= a.c.Stamps {
		b.NotAfter = all[a.c.Stamps-1].notAfter()
	}
	b.Authorities = a.nearest(below, above)
	return b, nil
}

// A saying is an anchor whose token says something.
type saying struct {
	recording.Anchored
	token  timestamp.Token
	counts bool
}

func (s saying) notBefore() *Bound {
	return &Bound{s.token.NotBefore(), s.Authority, s.Index, s.Size}
}
func (s saying) notAfter() *Bound {
	return &Bound{s.token.NotAfter(), s.Authority, s.Index, s.Size}
}

// nearest is what each authority says, one after the other.
func (a *Anchoring) nearest(below, above []saying) (all []Nearest) {
	for _, name := range slices.Sorted(maps.Keys(a.pins)) {
		n := Nearest{Authority: name, Counts: a.pins[name].counts}
		of := func(s saying) bool { return s.Authority == name }
		if i := slices.IndexFunc(below, of); i >= 0 {
			n.NotBefore = below[i].notBefore()
		}
		if i := slices.IndexFunc(above, of); i >= 0 {
			n.NotAfter = above[i].notAfter()
		}
		all = append(all, n)
	}
	return all
}

// voices are those that count and hang on no key in common, the earliest first.
func voices(all []saying) (out []saying) {
	all = slices.DeleteFunc(slices.Clone(all), func(s saying) bool { return !s.counts })
	slices.SortStableFunc(all, func(x, y saying) int { return x.token.NotAfter().Compare(y.token.NotAfter()) })
	for _, s := range all {
		if !slices.ContainsFunc(out, func(o saying) bool { return o.token.OneVoice(s.token) }) {
			out = append(out, s)
		}
	}
	return out
}

// say is what anchors say. An authority that nobody pins any more says nothing, nor does a token that was lost, or that whoever
// has the key of a compromised authority could have made since.
func (a *Anchoring) say(ctx context.Context, anchors []recording.Anchored) (all []saying, err error) {
	for _, x := range anchors {
		t, err := a.token(ctx, x)
		switch {
		case silent(err):
			a.c.Logger.Info("an anchor says nothing", "authority", x.Authority, "index", x.Index, "error", err)
		case err != nil:
			return nil, err
		default:
			proven, err := a.proven(ctx, x, t)
			if err != nil {
				return nil, err
			}
			if proven {
				all = append(all, saying{x, t, a.pins[x.Authority].counts})
			}
		}
	}
	return all, nil
}

// silent tells whether an error is for good: the token is refused, or lost.
func silent(err error) bool {
	var refused *timestamp.Error
	return errors.As(err, &refused) || errors.Is(err, storage.ErrNotFound)
}

// proven tells whether a token needs no proof that it is older than the end of what it hangs on, or has it: another that
// covers it, counts and needs none.
func (a *Anchoring) proven(ctx context.Context, x recording.Anchored, t timestamp.Token) (bool, error) {
	limit, must := a.mustBeBefore(x.Authority, t)
	if limit.IsZero() {
		return true, nil
	}
	_, later := a.recording.Around(x.Index)
	var existed time.Time
	for _, l := range later {
		if !a.pins[l.Authority].counts {
			continue
		}
		proof, err := a.token(ctx, l)
		if silent(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if _, unsure := a.mustBeBefore(l.Authority, proof); !unsure && (existed.IsZero() || proof.NotAfter().Before(existed)) {
			existed = proof.NotAfter()
		}
	}
	if existed.IsZero() { // the newest, whose own time was held against the limit
		return !must, nil
	}
	return existed.Before(limit), nil
}

// mustBeBefore is what a token is to be proven to be older than, zero if there is nothing; and whether it must be proven, or may
// be the newest.
func (a *Anchoring) mustBeBefore(name string, t timestamp.Token) (limit time.Time, must bool) {
	limit = a.pins[name].Compromised
	must = !limit.IsZero()
	for _, e := range t.Ends {
		must = must || e.Broken
		if limit.IsZero() || e.End.Before(limit) {
			limit = e.End
		}
	}
	return limit, must
}

// tokens are those that were verified: what is pinned does not change while the process lives.
type tokens struct {
	mu  sync.Mutex
	all map[entry.Hash]timestamp.Token
}

func (ts *tokens) get(h entry.Hash) (timestamp.Token, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.all[h]
	return t, ok
}

func (ts *tokens) put(h entry.Hash, t timestamp.Token) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.all) >= maxTokens || ts.all == nil {
		ts.all = map[entry.Hash]timestamp.Token{}
	}
	ts.all[h] = t
}

// token reads an anchor's token from the log, and verifies it.
func (a *Anchoring) token(ctx context.Context, x recording.Anchored) (timestamp.Token, error) {
	if t, ok := a.tokens.get(x.Token); ok {
		return t, nil
	}
	p, ok := a.pins[x.Authority]
	if !ok {
		return timestamp.Token{}, &timestamp.Error{Reason: timestamp.ReasonAuthority, Detail: "the authority is neither in the trust file nor configured"}
	}
	v, err := a.event(ctx, x)
	if err != nil {
		return timestamp.Token{}, err
	}
	der, err := a.der(ctx, v)
	if err != nil {
		return timestamp.Token{}, fmt.Errorf("reading the token of the anchor at %d: %w", x.Index, err)
	}
	t, err := timestamp.Verify(der, v.Checkpoint, p.Authority)
	if err == nil {
		a.tokens.put(x.Token, t)
	}
	return t, err
}

// event is the anchor event in the log.
func (a *Anchoring) event(ctx context.Context, x recording.Anchored) (v entry.Anchor, err error) {
	leaf, err := a.log.Leaf(ctx, x.Index)
	if err != nil {
		return v, fmt.Errorf("reading the anchor at %d: %w", x.Index, err)
	}
	e, err := entry.Parse(leaf)
	if err != nil {
		return v, fmt.Errorf("reading the anchor at %d: %s", x.Index, err.Error()) // no fault of a request
	}
	for _, ev := range e.Events {
		if ev.Type != entry.TypeAnchor {
			continue
		}
		if err := ev.Decode(&v); err != nil {
			return v, fmt.Errorf("reading the anchor at %d: %s", x.Index, err.Error())
		}
		if string(v.Authority) == x.Authority {
			return v, nil
		}
	}
	return v, fmt.Errorf("leaf %d has no anchor by %s", x.Index, x.Authority)
}

func (a *Anchoring) der(ctx context.Context, v entry.Anchor) ([]byte, error) {
	if v.TokenBlob == nil {
		return base64.StdEncoding.Strict().DecodeString(string(v.Token))
	}
	return a.blob(ctx, *v.TokenBlob, timestamp.MaxToken)
}

// blob reads a public blob of at most so many bytes.
func (a *Anchoring) blob(ctx context.Context, b entry.PublicBlob, limit uint64) (_ []byte, err error) {
	if b.Size > limit {
		return nil, fmt.Errorf("it has %d bytes", b.Size)
	}
	r, err := a.blobs.Open(ctx, storage.Ref{SHA256: b.SHA256, Size: int64(b.Size)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}
