package safe_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stenolog/steno/internal/safe"
)

func TestTextEscapesWhatIsNotPlainlyVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, Zürich 東京 🙂":         "plain text, Zürich 東京 🙂",
		"\x1b[31mred\x1b[0m":              `\u{1b}[31mred\u{1b}[0m`,
		"a\r\nb\tc":                       `a\u{d}\nb\tc`,
		"\u009b31m":                       `\u{9b}31m`,
		"\x9b31m":                         `\x9b31m`,
		"user\u202etxt.exe":               `user\u{202e}txt.exe`,
		"\u2066a\u2069":                   `\u{2066}a\u{2069}`,
		"ze\u200bro":                      `ze\u{200b}ro`,
		"a\u2028b":                        `a\u{2028}b`,
		"\ufeffx":                         `\u{feff}x`,
		"a\u00a0b":                        `a\u{a0}b`,
		"\u3164":                          `\u{3164}`,
		"x\ufe0f":                         `x\u{fe0f}`,
		"\U000e0041":                      `\u{e0041}`,
		`\u{1b}`:                          `\\u{1b}`,
		"e\u0301":                         "e\u0301",
		"e" + strings.Repeat("\u0301", 6): "e" + strings.Repeat("\u0301", 4) + `\u{301}\u{301}`,
		"\x7f":                            `\u{7f}`,
	} {
		if got := safe.Text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzTextIsVisibleAndUnambiguous(f *testing.F) {
	f.Add("a\x1b", "a\\u{1b}")
	f.Add("\u202e", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := safe.Text(a)
		if !utf8.ValidString(got) {
			t.Fatalf("%q gives invalid UTF-8", a)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q gives %q with %U", a, got, r)
			}
		}
		if a != b && got == safe.Text(b) {
			t.Fatalf("%q and %q look the same: %q", a, b, got)
		}
	})
}

func FuzzJSONSaysTheSameInASCII(f *testing.F) {
	f.Add("a\u202e🙂\x7f\xff")
	f.Fuzz(func(t *testing.T, s string) {
		in, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		out := safe.JSON(in)
		for _, c := range out {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q gives byte %#x", s, c)
			}
		}
		var a, b string
		if json.Unmarshal(in, &a) != nil || json.Unmarshal(out, &b) != nil || a != b {
			t.Fatalf("%q became %q", a, b)
		}
	})
}
