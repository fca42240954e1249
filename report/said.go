package report

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stenolog/steno/internal/safe"
)

// A said is what others wrote: agents, exporters, whoever named a key, the verifier where it quotes them. Printed, by a template
// or by fmt, everything in it is escaped that is not plainly visible, and it is cut if it is long. What is a string is ours.
type said string

func (s said) String() string {
	n := boundary(string(s), maxSaid)
	if n == len(s) {
		return plain(string(s))
	}
	return fmt.Sprintf("%s … (%d bytes more)", plain(string(s[:n])), len(s)-n)
}

// plain is safe.Text, with symbols escaped that a browser may draw in colour, or that are ticks and seals by themselves: this page has
// no colour, and nobody's words on it may look like a verdict.
func plain(s string) string {
	var b strings.Builder
	for _, r := range safe.Text(s) {
		if unicode.Is(unicode.So, r) && (r >= 0x1f000 || r >= 0x2600 && r <= 0x27bf || r >= 0x2b00 && r <= 0x2bff) {
			fmt.Fprintf(&b, `\u{%x}`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// boundary is where to cut s so that at most n bytes are left and no character is cut in two.
func boundary(s string, n int) int {
	if len(s) <= n {
		return len(s)
	}
	for i := n; i > n-utf8.UTFMax && i >= 0; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n
}

// list joins what others wrote.
func list(all []string) string {
	var out []string
	for _, s := range all {
		out = append(out, said(s).String())
	}
	return strings.Join(out, ", ")
}

// count is a number of things.
func count(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// A fact is a line of a table of two columns.
type fact struct {
	Name  string
	Value any // string or said
}

// digest is a hash in hexadecimal, in groups that two people can compare.
func digest(b []byte) (groups []string) {
	const size = 8
	for s := hex.EncodeToString(b); s != ""; s = s[min(size, len(s)):] {
		groups = append(groups, s[:min(size, len(s))])
	}
	return groups
}

// first returns at most n of a list, and how many are left.
func first[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}
