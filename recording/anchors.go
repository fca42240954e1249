package recording

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/storage"
)

// breakGlass is the privilege of sessions whose end does not wait for the next time stamp.
const breakGlass = "break-glass"

// An Anchored is an anchor event in the log.
type Anchored struct {
	Authority string
	Index     uint64     // of the leaf
	Size      uint64     // of the checkpoint that was stamped
	Token     entry.Hash // SHA-256 of the token
	Received  entry.Time // when it was written, by the log's clock
}

// An AnchorState says what there is to be stamped, and what was.
type AnchorState struct {
	Recorded uint64              // size of the log up to the last entry that is not its own
	Urgent   uint64              // likewise up to the last one of a break-glass session that was closed or given up
	Last     map[string]Anchored // the last of each authority
}

// anchorFacts are what the log says of its anchors. They are changed by folding alone, which makes them greater and no smaller.
type anchorFacts struct {
	mu       sync.RWMutex
	recorded uint64
	urgent   uint64
	// by holds each authority's anchors. Both index and size grow; an event with a token over nothing new is left out.
	by    map[string][]Anchored
	items []storage.Item // that are not in Heads yet
}

// anchorMarks and anchorItem are how they are stored.
type anchorMarks struct {
	Recorded uint64 `json:"recorded"`
	Urgent   uint64 `json:"urgent"`
}

type anchorItem struct {
	Size     uint64     `json:"size"`
	Token    entry.Hash `json:"token"`
	Received entry.Time `json:"received"`
}

// tokenSHA256 is the hash of an anchor's token, wherever that is.
func tokenSHA256(v *entry.Anchor) (sum entry.Hash, ok bool) {
	if v.TokenBlob != nil {
		return v.TokenBlob.SHA256, true
	}
	der, err := base64.StdEncoding.Strict().DecodeString(string(v.Token))
	return sha256.Sum256(der), err == nil
}

func (a *anchorFacts) marks() anchorMarks {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return anchorMarks{a.recorded, a.urgent}
}

// entry takes in that the log holds an entry of a recorder below size.
func (a *anchorFacts) entry(size uint64, urgent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recorded = max(a.recorded, size)
	if urgent {
		a.urgent = max(a.urgent, size)
	}
}

// fold takes an anchor event in.
func (a *anchorFacts) fold(d *digest, v *entry.Anchor) {
	sum, ok := tokenSHA256(v)
	x := Anchored{string(v.Authority), d.index, v.Size, sum, d.received}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !ok || !a.add(x) {
		return
	}
	b, err := json.Marshal(anchorItem{x.Size, x.Token, x.Received})
	if err != nil { // numbers and a hash
		panic(err)
	}
	a.items = append(a.items, storage.Item{Key: fmt.Sprintf("%s%020d/%s", keyAnchor, x.Index, x.Authority), Value: b})
}

// add is called under mu.
func (a *anchorFacts) add(x Anchored) bool {
	all := a.by[x.Authority]
	if n := len(all); n > 0 && (all[n-1].Index >= x.Index || all[n-1].Size >= x.Size) {
		return false
	}
	a.by[x.Authority] = append(all, x)
	return true
}

func (a *anchorFacts) load(item storage.Item) error {
	var v anchorItem
	index, authority, ok := strings.Cut(strings.TrimPrefix(item.Key, keyAnchor), "/")
	x := Anchored{Authority: authority}
	if _, err := fmt.Sscanf(index, "%d", &x.Index); err != nil || !ok {
		return fmt.Errorf("heads have an anchor under %q", item.Key)
	}
	if err := json.Unmarshal(item.Value, &v); err != nil {
		return fmt.Errorf("decoding the anchor at %d: %w", x.Index, err)
	}
	x.Size, x.Token, x.Received = v.Size, v.Token, v.Received
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(x)
	return nil
}

// take hands out the items that are to be written, and untake takes them back.
func (a *anchorFacts) take() (items []storage.Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	items, a.items = a.items, nil
	return items
}

func (a *anchorFacts) untake(items []storage.Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.items = append(items, a.items...)
}

// Anchor writes an anchor event, and says where it is. Whoever calls it has verified the token, and made the blobs that the
// event names durable.
func (r *Recording) Anchor(ctx context.Context, v entry.Anchor) (Anchored, error) {
	sum, ok := tokenSHA256(&v)
	if !ok {
		return Anchored{}, problem(CodeInternal, "the anchor's token is not base64")
	}
	if err := r.note(ctx, entry.TypeAnchor, v); err != nil {
		return Anchored{}, err
	}
	a := &r.registry.anchors
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, x := range slices.Backward(a.by[string(v.Authority)]) {
		if x.Token == sum {
			return x, nil
		}
	}
	return Anchored{}, fmt.Errorf("the anchor by %s is in the log and covers nothing new", v.Authority)
}

// AnchorState says what there is to be stamped, and what was.
func (r *Recording) AnchorState() AnchorState {
	a := &r.registry.anchors
	a.mu.RLock()
	defer a.mu.RUnlock()
	s := AnchorState{Recorded: a.recorded, Urgent: a.urgent, Last: map[string]Anchored{}}
	for authority, all := range a.by {
		s.Last[authority] = all[len(all)-1]
	}
	return s
}

// Renews is the token that one over a checkpoint of the size renews: the latest whose anchor lies below that size, of another
// authority if there is one.
func (r *Recording) Renews(authority string, size uint64) (token entry.Hash, ok bool) {
	a := &r.registry.anchors
	a.mu.RLock()
	defer a.mu.RUnlock()
	var best *Anchored
	for name, all := range a.by {
		i := below(all, size)
		if i == 0 {
			continue
		}
		x := &all[i-1]
		other, had := name != authority, best != nil && best.Authority != authority
		if best == nil || other && !had || other == had && x.Index > best.Index {
			best = x
		}
	}
	if best == nil {
		return token, false
	}
	return best.Token, true
}

// Around are each authority's last anchor below an index, and its first one over a checkpoint that covers the index, in the
// order of the log.
func (r *Recording) Around(index uint64) (before, after []Anchored) {
	a := &r.registry.anchors
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, all := range a.by {
		if i := below(all, index); i > 0 {
			before = append(before, all[i-1])
		}
		i, _ := slices.BinarySearchFunc(all, index+1, func(x Anchored, size uint64) int { return cmp.Compare(x.Size, size) })
		if i < len(all) {
			after = append(after, all[i])
		}
	}
	order := func(x, y Anchored) int {
		return cmp.Or(cmp.Compare(x.Index, y.Index), cmp.Compare(x.Authority, y.Authority))
	}
	slices.SortFunc(before, order)
	slices.SortFunc(after, order)
	return before, after
}

// below is how many of them lie below an index.
func below(all []Anchored, index uint64) int {
	i, _ := slices.BinarySearchFunc(all, index, func(x Anchored, index uint64) int { return cmp.Compare(x.Index, index) })
	return i
}
