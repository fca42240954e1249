// Package safe makes text that strangers wrote fit for a terminal or a page of plain text. What an agent, a tool or a
// forger wrote must not move the cursor, change colours, reorder what stands beside it or hide in it.
package safe

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxMarks is how many combining marks may follow one another. More are stacked to paint over other lines.
const maxMarks = 4

// Text returns s with everything escaped that is not plainly visible: control characters (C0, C1, so every ANSI
// sequence), line ends, bidirectional overrides and isolates, zero-width and other default-ignorable characters, white
// space other than the ASCII space, private and unassigned characters, invalid UTF-8, long runs of combining marks. A
// backslash is doubled, so that no text can look like the escape of another.
func Text(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	marks := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case !visible(r) || unicode.IsMark(r) && marks >= maxMarks:
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		i += n
	}
	return b.String()
}

// brailleBlank is a symbol by its category, and blank by its glyph.
const brailleBlank = '\u2800'

func visible(r rune) bool {
	// IsPrint leaves out categories C and Z but the ASCII space. Of the rest, default-ignorable characters have no glyph
	// (fillers, joiners, variation selectors).
	return unicode.IsPrint(r) && r != brailleBlank &&
		!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && !unicode.Is(unicode.Variation_Selector, r) &&
		r != '\u034f' && r != '\u17b4' && r != '\u17b5'
}

// JSON returns a JSON text with every character beyond printable ASCII escaped, so that it says the same to a program and
// does nothing to a terminal. b must be what encoding/json wrote: there such characters stand in strings only.
func JSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf && c != 0x7f {
			out = append(out, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r1, r2 := utf16.EncodeRune(r); r1 != unicode.ReplacementChar {
			out = fmt.Appendf(out, `\u%04x\u%04x`, r1, r2)
		} else {
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}
