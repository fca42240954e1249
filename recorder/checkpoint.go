package recorder

import (
	"bytes"
	"slices"

	"github.com/stenolog/steno/entry"
)

// MaxEmbedded is the greatest length of a checkpoint in an event.
const MaxEmbedded = 4096

// Embed is a checkpoint as events have it. A note that is too long, by the signatures of post-quantum keys, goes without
// some: the log's shortest, an Ed25519 one, stays in any case, for it is what holds the log to its word, then as many of
// the others as there is room for, the shortest first. It is empty if there is no note, or none that fits.
func Embed(note []byte) entry.Text {
	if len(note) <= MaxEmbedded {
		return entry.Text(note)
	}
	text, signatures, ok := bytes.Cut(note, []byte("\n\n"))
	if !ok {
		return ""
	}
	origin, _, _ := bytes.Cut(text, []byte("\n"))
	own := append(append([]byte("— "), origin...), ' ')
	lines := bytes.SplitAfter(signatures, []byte("\n"))
	order := slices.Clone(lines)
	slices.SortStableFunc(order, func(a, b []byte) int { return len(a) - len(b) })
	if i := slices.IndexFunc(order, func(l []byte) bool { return bytes.HasPrefix(l, own) }); i > 0 {
		first := order[i]
		order = slices.Insert(slices.Delete(order, i, i+1), 0, first)
	}
	taken, room := make(map[string]bool), MaxEmbedded-len(text)-2
	for _, l := range order {
		if len(l) <= room {
			taken[string(l)] = true
			room -= len(l)
		}
	}
	out := append(slices.Clone(text), "\n\n"...)
	for _, l := range lines { // in their order
		if taken[string(l)] {
			out = append(out, l...)
		}
	}
	if len(out) > MaxEmbedded || len(taken) == 0 {
		return ""
	}
	return entry.Text(out)
}
