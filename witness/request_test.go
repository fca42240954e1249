package witness_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stenolog/steno/witness"
)

// example is that of tlog-witness.
const example = `old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
`

// malformed requests, by what is wrong with them.
func malformed() map[string]string {
	hash := strings.Split(example, "\n")[1]
	change := func(old, with string) string { return strings.Replace(example, old, with, 1) }
	return map[string]string{
		"empty":                  "",
		"no old line":            example[strings.Index(example, "\n")+1:],
		"Old":                    change("old ", "Old "),
		"two spaces":             change("old ", "old  "),
		"tab":                    change("old ", "old\t"),
		"no size":                change("20852014", ""),
		"leading zero":           change("20852014", "020852014"),
		"double zero":            change("20852014", "00"),
		"plus":                   change("20852014", "+20852014"),
		"minus":                  change("20852014", "-1"),
		"old of 2^63":            change("20852014", "9223372036854775808"),
		"size of 2^63":           change("20852163", "9223372036854775808"),
		"size with leading zero": change("20852163", "020852163"),
		"trailing space":         change("20852014", "20852014 "),
		"return after old":       change("20852014\n", "20852014\r\n"),
		"returns everywhere":     strings.ReplaceAll(example, "\n", "\r\n"),
		"return in proof":        change(hash, hash[:4]+"\r"+hash[4:]),
		"64 proof lines":         change(hash, strings.TrimSuffix(strings.Repeat(hash+"\n", 61), "\n")),
		"short hash":             change(hash, "PlRNCrwHpqhGrupue0L7"),
		"unpadded hash":          change(hash, strings.TrimSuffix(hash, "=")),
		"padding bits":           change(hash, strings.TrimSuffix(hash, "w=")+"x="),
		"base64url":              change("5+pK", "5-pK"),
		"no empty line":          change("\n\n", "\n"),
		"two empty lines":        change("\n\n", "\n\n\n"),
		"no checkpoint":          example[:strings.Index(example, "\n\n")+2],
		"no signature":           example[:strings.Index(example, "\n— ")+1],
		"signature is no base64": change("Az3grl", "Az3gr!"),
		"no last line feed":      strings.TrimSuffix(example, "\n"),
		"not UTF-8":              change("example.com", "ex\xffmple.com"),
		"control character":      change("example.com", "ex\x01mple.com"),
		"two lines of text":      change("20852163\n", ""),
		"root":                   change("CsUY", "csu"),
		"empty extension":        change("q2I=\n\n", "q2I=\n\next\n\n"),
		"too large":              change("q2I=\n\n", "q2I=\n"+strings.Repeat("x", witness.MaxBody)+"\n\n"),
	}
}

func TestParseRequest(t *testing.T) {
	r, err := witness.ParseRequest([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if r.Old != 20852014 || len(r.Proof) != 4 || !bytes.HasPrefix(r.Note, []byte("example.com/behind-the-sofa\n20852163\n")) {
		t.Errorf("read %+v", r)
	}
	if got := string(r.Marshal()); got != example {
		t.Errorf("written as %q", got)
	}
	first := witness.Request{Note: r.Note}
	if got, err := witness.ParseRequest(first.Marshal()); err != nil || got.Old != 0 || got.Proof != nil {
		t.Errorf("first request: %+v, %v", got, err)
	}
	for what, body := range malformed() {
		if _, err := witness.ParseRequest([]byte(body)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("old 0\n\n" + example[strings.Index(example, "\n\n")+2:]))
	for _, body := range malformed() {
		if len(body) < 4<<10 {
			f.Add([]byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := witness.ParseRequest(b)
		if err != nil {
			return
		}
		if got := r.Marshal(); !bytes.Equal(got, b) {
			t.Errorf("%q is written as %q", b, got)
		}
	})
}
