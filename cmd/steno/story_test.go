package main

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stenolog/steno/entry"
)

func TestMerge_keepsTheOrderOfATrack(t *testing.T) {
	at := func(track string, seq uint64, time entry.Time) step {
		return step{Track: track, Seq: seq, Time: time, Index: seq}
	}
	// Track a's clock was set back between its second and third event.
	got := merge(map[string][]step{
		"a": {at("a", 0, 10), at("a", 1, 40), at("a", 2, 5)},
		"b": {at("b", 0, 20), at("b", 1, 30), at("b", 2, 60)},
		"c": {},
	})
	var order []string
	for _, s := range got {
		order = append(order, s.Track+string(rune('0'+s.Seq)))
	}
	if want := []string{"a0", "b0", "b1", "a1", "a2", "b2"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestPreview_cutsLongText(t *testing.T) {
	p := sealedPayload{Slot: "params", Segments: []shown{{Known: true, Text: strings.Repeat("é", 300)}, {}, {Known: true, Text: "end"}}}
	short, full := (&teller{}).preview(p), (&teller{full: true}).preview(p)
	if !strings.Contains(short, "--full") || strings.Contains(short, "end") || strings.Contains(short, "\ufffd") {
		t.Errorf("preview %q", short)
	}
	if full != strings.Repeat("é", 300)+"[sealed]end" {
		t.Errorf("full %q", full)
	}
}

// FuzzTeller: whatever an event and a payload say, a line stays one line and moves no cursor.
func FuzzTeller(f *testing.F) {
	f.Add([]byte(`{"event":"message","time":"2026-11-24T10:00:00.000000Z","tool":"a\u001b[31m\u202eb\nc"}`), "\x1b]0;title\a\r\n")
	f.Add([]byte(`{"event":"session.close","outcome":"failed","tracks":[{"track":"x","next":3}],"refs":[{"system":"\u2066"}]}`), "plain")
	f.Add([]byte(`[]`), "\u200b")
	f.Fuzz(func(t *testing.T, event []byte, text string) {
		tell := &teller{day: "1970-01-01"}
		tell.step(step{Track: "main", Vantage: "observed", Type: "message", Event: event,
			Payloads: []sealedPayload{{Slot: "content", Segments: []shown{{Known: true, Text: text}}}}})
		out := tell.b.String()
		if strings.Count(out, "\n") != 2 {
			t.Errorf("an event and a payload are %d lines: %q", strings.Count(out, "\n"), out)
		}
		for _, r := range out {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%U in %q", r, out)
			}
		}
	})
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"a/b.c-d_e": "a/b.c-d_e", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}
