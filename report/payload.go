package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/payload"
)

// A shown is a payload as the page shows it: in clear, as far as the file does and the entry commits to it, and what is not.
type shown struct {
	Name   said
	Media  said
	Pieces []piece
	More   int      // bytes in clear that stand in the file and not here
	Notes  []string // what is not in clear, by class
	Wrong  said     // why what the file shows is not shown here
}

// A piece is content in clear as it can be looked at, what stands for something in it that can't be, or a number of segments that are
// not in clear.
type piece struct {
	Text   string
	Escape string
	Hidden int
}

// shownOf says what there is to say of the payload in an event.
func (all *contents) shownOf(at slot, ev entry.Event, custody *evidence.Custody) shown {
	out := shown{Name: said(memberWords(strings.ReplaceAll(at.name, "/", ", ")))}
	p, err := payloadAt(ev, at.name)
	if err != nil {
		out.Wrong = "the event's reference to it can't be read"
		return out
	}
	parts := p.Parts
	if parts == nil {
		parts = []entry.Payload{*p}
	}
	out.Media = said(parts[0].Media)
	var inClear []string // classes
	hidden := 0
	if d := all.bundle.DisclosedAt(at.index, at.event, at.name); d != nil {
		opened, err := d.Open(p)
		if err != nil {
			out.Wrong = said(err.Error())
			return out
		}
		out.Pieces, out.More = piecesOf(opened.Segments)
		for _, s := range opened.Segments {
			if !s.Known {
				hidden++
			} else if c := s.Class.String(); !slices.Contains(inClear, c) {
				inClear = append(inClear, c)
			}
		}
		if hidden == 0 {
			return out
		}
	}
	for _, class := range classesOf(parts) {
		if !slices.Contains(inClear, class) {
			out.Notes = append(out.Notes, notShown(class, custody))
		}
	}
	return out
}

// classesOf lists the classes of sealed content, in their order.
func classesOf(parts []entry.Payload) (classes []string) {
	for _, p := range parts {
		for _, b := range p.Blobs {
			if !slices.Contains(classes, string(b.Class)) {
				classes = append(classes, string(b.Class))
			}
		}
	}
	return classes
}

func notShown(class string, custody *evidence.Custody) string {
	if custody != nil && slices.ContainsFunc(custody.Withheld, func(w evidence.Withheld) bool { return w.Class == class }) {
		return fmt.Sprintf("withheld (class %s)", said(class))
	}
	return fmt.Sprintf("sealed, not shown (class %s)", said(class))
}

// piecesOf joins what stands side by side, up to the limits. What is hidden is told at its place, for what stands beside it may be
// a fragment.
func piecesOf(segments []payload.ShownSegment) (pieces []piece, more int) {
	room, lines := maxContent, maxLines
	for len(segments) > 0 {
		n := 1
		for n < len(segments) && segments[n].Known == segments[0].Known {
			n++
		}
		run := segments[:n]
		segments = segments[n:]
		if !run[0].Known {
			if more == 0 {
				pieces = append(pieces, piece{Hidden: n})
			}
			continue
		}
		var b []byte
		size := 0
		for _, s := range run {
			size += len(s.Bytes)
			if more == 0 && len(b) <= room {
				b = append(b, s.Bytes...)
			}
		}
		keep := 0
		if more == 0 {
			keep = keepOf(b, room, lines)
		}
		if keep > 0 {
			pieces = append(pieces, visible(b[:keep])...)
			room, lines = room-keep, lines-bytes.Count(b[:keep], []byte("\n"))
		}
		more += size - keep
	}
	return pieces, more
}

// keepOf is how many bytes of b fit.
func keepOf(b []byte, room, lines int) int {
	keep := boundary(string(b), room)
	for i := range keep {
		if b[i] != '\n' {
			continue
		}
		if lines--; lines <= 0 {
			return i + 1
		}
	}
	return keep
}

// visible is content as it can be looked at: line feeds end lines, and nothing else does anything. What can't be seen is a piece of its
// own, so that no text can pass for it, and text needs no second backslash.
func visible(b []byte) (pieces []piece) {
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			pieces = append(pieces, piece{Text: text.String()})
		}
		text.Reset()
	}
	for i, line := range strings.Split(string(b), "\n") {
		if i > 0 {
			text.WriteByte('\n')
		}
		for s := plain(line); s != ""; {
			plain, escaped, found := strings.Cut(s, `\`)
			text.WriteString(plain)
			if !found {
				break
			}
			if s = escaped; s[0] == '\\' {
				text.WriteByte('\\')
				s = s[1:]
				continue
			}
			flush()
			n := lengthOfEscape(s)
			pieces, s = append(pieces, piece{Escape: `\` + s[:n]}), s[n:]
		}
	}
	flush()
	return pieces
}

// lengthOfEscape is that of what plain writes after a backslash: t, x1b or u{202e}.
func lengthOfEscape(s string) int {
	switch s[0] {
	case 'x':
		return 3
	case 'u':
		return strings.IndexByte(s, '}') + 1
	}
	return 1
}
