package log

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log/tiles"
)

func TestParseHead(t *testing.T) {
	good := treeHead{"log.example/prod", 20852163, sha256.Sum256([]byte("root"))}
	if got, err := parseHead(good.text()); err != nil || got != good {
		t.Fatalf("%+v, %v", got, err)
	}
	text := good.text()
	lines := strings.SplitAfter(text, "\n")
	for name, bad := range map[string]string{
		"empty":                "",
		"no last newline":      strings.TrimSuffix(text, "\n"),
		"extension line":       text + "ext\n",
		"empty origin":         "\n" + lines[1] + lines[2],
		"origin with space":    "log example\n" + lines[1] + lines[2],
		"origin with plus":     "log+example\n" + lines[1] + lines[2],
		"origin not UTF-8":     "log\xff\n" + lines[1] + lines[2],
		"leading zero":         lines[0] + "020852163\n" + lines[2],
		"sign":                 lines[0] + "+20852163\n" + lines[2],
		"not a number":         lines[0] + "many\n" + lines[2],
		"too large":            treeHead{good.Origin, tiles.MaxSize + 1, good.Root}.text(),
		"beyond 64 bits":       lines[0] + "18446744073709551616\n" + lines[2],
		"short root":           lines[0] + lines[1] + "AAAA\n",
		"unpadded root":        strings.Replace(text, "=", "", 1),
		"root with stray bits": strings.Replace(text, text[len(text)-3:], "B=\n", 1),
		"CR":                   strings.ReplaceAll(text, "\n", "\r\n"),
	} {
		if c, err := parseHead(bad); err == nil && bad != text {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(treeHead{"log.example/prod", 20852163, sha256.Sum256(nil)}.text())
	f.Add("log.example/prod\n1\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseHead(text); err == nil && c.text() != text {
			t.Errorf("%q was read as %q", text, c.text())
		}
	})
}

// Whatever a cosigner sends: what is made of it is the same note with more signatures, which x/mod reads, or nothing.
func FuzzMerge(f *testing.F) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example/prod")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		f.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		f.Fatal(err)
	}
	k, err := newKeys("log.example/prod", []note.Signer{signer}, []note.Verifier{verifier})
	if err != nil {
		f.Fatal(err)
	}
	h := treeHead{"log.example/prod", 1, sha256.Sum256(nil)}
	msg, err := k.sign(h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("— w1 AAAAAQE=\n"), []byte("— w2 AAAAAQE=\n— w2 AAAAAgE=\n"))
	f.Add([]byte("\n"), []byte("— log.example/prod AAAAAQE=\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		now := msg
		for _, lines := range [][]byte{a, b} {
			merged, err := merge(now, lines, h.Origin, room{1000, 8})
			if err != nil {
				continue
			}
			n, got, err := k.read(merged)
			if err != nil || got != h || !bytes.HasPrefix(merged, now) || len(merged) > len(now)+1000 || len(n.Sigs) != 1 {
				t.Fatalf("%q under %q: %v", lines, now, err)
			}
			if again, err := note.Sign(n); err != nil || len(again) != len(merged) {
				t.Fatalf("%q is not as x/mod writes it: %v", merged, err)
			}
			now = merged
		}
	})
}

func FuzzParseRetired(f *testing.F) {
	f.Add([]byte(retiredMagic + "log.example/next\n\nlog.example/prod\n1\nAAAA\n\n— x y\n"))
	f.Fuzz(func(t *testing.T, mark []byte) {
		r, ok := parseRetired(mark)
		if !ok {
			return
		}
		if again := r.state("log.example/prod", 1).Note; !bytes.Equal(again, mark) {
			t.Errorf("%q was read as %q", mark, again)
		}
	})
}
