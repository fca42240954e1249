package anchoring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/timestamp"
)

const maxTokens = 4096 // verified ones that are held

// Bracket says between which times an entry was logged, by the anchors in the log whose tokens verify today against what is
// pinned. It looks at each authority's last anchor below the entry and its first one above.
func (a *Anchoring) Bracket(ctx context.Context, index uint64) (b Bracket, err error) {
	a.mu.Lock()
	started := a.started
	a.mu.Unlock()
	if !started {
		return b, errors.New("anchoring has not begun")
	}
	before, after := a.recording.Around(index)
	before, tokens, err := a.tokensOf(ctx, before)
	if err != nil {
		return b, err
	}
	for i, t := range tokens {
		// An entry above an anchor was logged after its token existed, for nobody can predict one.
		if b.NotBefore == nil || t.NotBefore().After(b.NotBefore.Time) {
			b.NotBefore = &Bound{t.NotBefore(), before[i].Authority, before[i].Index, before[i].Size}
		}
	}
	after, tokens, err = a.tokensOf(ctx, after)
	if err != nil {
		return b, err
	}
	var bounds []Bound
	for _, i := range voices(tokens) {
		bounds = append(bounds, Bound{tokens[i].NotAfter(), after[i].Authority, after[i].Index, after[i].Size})
	}
	if len(bounds) >= a.c.Stamps {
		b.NotAfter = &bounds[a.c.Stamps-1]
	}
	return b, nil
}

// voices are the places of tokens that hang on no key in common, the earliest first.
func voices(tokens []timestamp.Token) (places []int) {
	order := make([]int, len(tokens))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return tokens[i].NotAfter().Compare(tokens[j].NotAfter()) })
	for _, i := range order {
		if !slices.ContainsFunc(places, func(j int) bool { return tokens[i].OneVoice(tokens[j]) }) {
			places = append(places, i)
		}
	}
	return places
}

// tokensOf are the tokens of anchors. An authority that is pinned no more says nothing, nor does a token that was lost, or that
// whoever has the key of a compromised authority could have made since.
func (a *Anchoring) tokensOf(ctx context.Context, anchors []recording.Anchored) (at []recording.Anchored, all []timestamp.Token, err error) {
	for _, x := range anchors {
		t, err := a.token(ctx, x)
		var refused *timestamp.Error
		switch {
		case errors.As(err, &refused) || errors.Is(err, storage.ErrNotFound):
			a.c.Logger.Info("an anchor says nothing", "authority", x.Authority, "index", x.Index, "error", err)
		case err != nil:
			return nil, nil, err
		default:
			proven, err := a.proven(ctx, x)
			if err != nil {
				return nil, nil, err
			}
			if proven {
				at, all = append(at, x), append(all, t)
			}
		}
	}
	return at, all, nil
}

// proven tells whether an authority is not compromised, or another one that is not has stamped this token before it was.
func (a *Anchoring) proven(ctx context.Context, x recording.Anchored) (bool, error) {
	since := a.compromised(x.Authority)
	if since.IsZero() {
		return true, nil
	}
	_, later := a.recording.Around(x.Index)
	later = slices.DeleteFunc(later, func(l recording.Anchored) bool { return !a.compromised(l.Authority).IsZero() })
	_, tokens, err := a.tokensOf(ctx, later) // of authorities that need no proof: this ends
	return slices.ContainsFunc(tokens, func(t timestamp.Token) bool { return t.NotAfter().Before(since) }), err
}

// compromised is since when an authority is, or zero.
func (a *Anchoring) compromised(name string) time.Time {
	i := slices.IndexFunc(a.authorities, func(y *authority) bool { return y.Pinned.Name == name })
	if i < 0 {
		return time.Time{}
	}
	return a.authorities[i].Pinned.Compromised
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
	i := slices.IndexFunc(a.authorities, func(y *authority) bool { return y.Pinned.Name == x.Authority })
	if i < 0 {
		return timestamp.Token{}, &timestamp.Error{Reason: timestamp.ReasonAuthority, Detail: "the authority is not configured"}
	}
	v, err := a.event(ctx, x)
	if err != nil {
		return timestamp.Token{}, err
	}
	der, err := a.der(ctx, v)
	if err != nil {
		return timestamp.Token{}, fmt.Errorf("reading the token of the anchor at %d: %w", x.Index, err)
	}
	t, err := timestamp.Verify(der, v.Checkpoint, a.authorities[i].Pinned)
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

func (a *Anchoring) der(ctx context.Context, v entry.Anchor) (_ []byte, err error) {
	if v.TokenBlob == nil {
		return base64.StdEncoding.Strict().DecodeString(string(v.Token))
	}
	if v.TokenBlob.Size > timestamp.MaxToken {
		return nil, fmt.Errorf("it has %d bytes", v.TokenBlob.Size)
	}
	r, err := a.blobs.Open(ctx, storage.Ref{SHA256: v.TokenBlob.SHA256, Size: int64(v.TokenBlob.Size)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}
