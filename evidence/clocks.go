package evidence

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stenolog/steno/trust"
)

// Whether the clocks can all be right. What came first is proven, whatever a clock says: an anchor's leaf, and what it holds, came before
// every checkpoint that covers it, and cosignatures came before a token over the note in which they stand.

// noLeaf is the index of what stands in no leaf of the file.
const noLeaf = math.MaxUint64

// A clockWord is what a token says, or the cosignatures of a quorum of witnesses: when it was that what they cover existed.
type clockWord struct {
	index, size         uint64 // of the leaf that holds it, or noLeaf; and below which it covers all
	authority           string // whose token it is; "" if it is a quorum's
	notBefore, notAfter time.Time
}

func (s *stamped) word() clockWord {
	return clockWord{s.Index, s.Size, s.Authority, s.token.NotBefore(), s.token.NotAfter()}
}

func (h *head) word() clockWord {
	at := func(seconds uint64) time.Time { return time.Unix(int64(min(seconds, lastSecond)), 0) }
	return clockWord{h.index, h.size, "", at(h.since), at(h.quorum)}
}

// precedes tells whether it is proven that w was there before o was made.
func (w clockWord) precedes(o clockWord) bool {
	return w.index < o.size || w.index == o.index && w.authority == "" && o.authority != ""
}

// A hearing is all that clocks say that count. What it costs to find what contradicts a word is spent once for each, however many sessions
// are bound by it.
type hearing struct {
	stamped []*stamped // that count, those that bound the earliest first
	words   []clockWord
	against map[clockWord]*Contradiction
}

func (v *verification) hear() {
	v.heard = hearing{against: map[clockWord]*Contradiction{}}
	for _, s := range v.stamped {
		if s.Counts {
			v.heard.stamped = append(v.heard.stamped, s)
			v.heard.words = append(v.heard.words, s.word())
		}
	}
	slices.SortStableFunc(v.heard.stamped, func(a, b *stamped) int { return a.token.NotAfter().Compare(b.token.NotAfter()) })
	for i := range v.heads {
		if h := &v.heads[i]; h.witnessed {
			v.heard.words = append(v.heard.words, h.word())
		}
	}
}

// contradicting is what speaks against a word.
func (h *hearing) contradicting(w clockWord) *Contradiction {
	c, known := h.against[w]
	if !known {
		c = contradicted([]clockWord{w}, h.words)
		h.against[w] = c
	}
	return c
}

// A Contradiction is what two clocks say that can't both be right: what came first was not there before a time, and what came after it was
// made by an earlier one.
type Contradiction struct {
	NotBefore ClockWord `json:"not_before"` // of what came first
	NotAfter  ClockWord `json:"not_after"`  // of what came after it
}

// A ClockWord is the time of a token, its accuracy taken off (not before) or added (not after), or that of a quorum of witnesses.
type ClockWord struct {
	Time        string  `json:"time"`                   // RFC 3339, UTC
	Authority   string  `json:"authority,omitempty"`    // of a token
	AnchorIndex *uint64 `json:"anchor_index,omitempty"` // of the leaf with the token
	Size        uint64  `json:"size"`                   // of the checkpoint that was stamped or cosigned
}

func (w clockWord) at(t time.Time) ClockWord {
	out := ClockWord{Time: instant(t), Authority: w.authority, Size: w.size}
	if w.authority != "" {
		out.AnchorIndex = &w.index
	}
	return out
}

// contradicted finds two words of which one is of some list, and the other of another.
func contradicted(words, others []clockWord) *Contradiction {
	for _, w := range words {
		var first, second *clockWord // than w
		for i := range others {
			o := &others[i]
			switch {
			case w.precedes(*o) && w.notBefore.After(o.notAfter.Add(trust.ClockTolerance)):
				if second == nil || o.notAfter.Before(second.notAfter) {
					second = o
				}
			case o.precedes(w) && o.notBefore.After(w.notAfter.Add(trust.ClockTolerance)):
				if first == nil || o.notBefore.After(first.notBefore) {
					first = o
				}
			}
		}
		switch {
		case second != nil:
			return &Contradiction{w.at(w.notBefore), second.at(second.notAfter)}
		case first != nil:
			return &Contradiction{first.at(first.notBefore), w.at(w.notAfter)}
		}
	}
	return nil
}

// contradiction is what speaks against one of the clocks that bound a session. Sooner named than what else is here is the other end of
// a bracket.
func (v *verification) contradiction(b bounds) *Contradiction {
	lower, upper := b.words()
	if c := contradicted(lower, upper); c != nil {
		return c
	}
	for _, w := range slices.Concat(lower, upper) {
		if c := v.heard.contradicting(w); c != nil {
			return c
		}
	}
	return nil
}

func (b bounds) words() (lower, upper []clockWord) {
	if b.below != nil {
		lower = append(lower, b.below.word())
	}
	if b.after != nil {
		lower = append(lower, b.after.word())
	}
	for _, s := range b.covering {
		upper = append(upper, s.word())
	}
	if b.before != nil {
		upper = append(upper, b.before.word())
	}
	return lower, upper
}

// String says it in words. The name in it is one that the trust file pins.
func (c Contradiction) String() string {
	return fmt.Sprintf("%s says not before %s, and %s, which came after it, says not after %s: one of these clocks is wrong, this file does not tell "+
		"which, and no bracket here is to be relied on alone", c.NotBefore.who(), c.NotBefore.Time, c.NotAfter.who(), c.NotAfter.Time)
}

func (w ClockWord) who() string {
	if w.AnchorIndex == nil {
		return fmt.Sprintf("the quorum of witnesses on the checkpoint of size %d", w.Size)
	}
	return fmt.Sprintf("the token of %s at log index %d", w.Authority, *w.AnchorIndex)
}
