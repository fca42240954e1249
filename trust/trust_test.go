package trust_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

const origin = "log.example/test"

type keys struct {
	log                            note.Signer
	logV, received, system, enroll string
}

func generate(t *testing.T) keys {
	t.Helper()
	pair := func(name string) (string, string) {
		s, v, err := note.GenerateKey(rand.Reader, name)
		if err != nil {
			t.Fatal(err)
		}
		return s, v
	}
	var k keys
	skey, logV := pair(origin)
	k.logV = logV
	var err error
	if k.log, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if _, k.received, err = entry.GenerateReceivedKey(rand.Reader, origin); err != nil {
		t.Fatal(err)
	}
	_, k.system = pair(origin + "/system")
	_, k.enroll = pair("acme/enroller")
	return k
}

func newTrust(t *testing.T, k keys) *trust.Trust {
	t.Helper()
	tr, err := trust.New(k.logV, []string{k.received}, []string{k.system}, []string{k.enroll})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestFileHasOneSpelling(t *testing.T) {
	k := generate(t)
	b := newTrust(t, k).Marshal()
	again, err := trust.Parse(b)
	if err != nil || !bytes.Equal(again.Marshal(), b) {
		t.Fatalf("%v\n%s", err, b)
	}
	s := string(b)
	lines := strings.SplitAfter(s, "\n")
	for name, bad := range map[string]string{
		"version":           strings.Replace(s, "/v2", "/v3", 1),
		"no final newline":  strings.TrimSuffix(s, "\n"),
		"two newlines":      strings.Replace(s, "\nreceived", "\n\nreceived", 1),
		"carriage return":   strings.Replace(s, "\n", "\r\n", 1),
		"unknown line":      s + "witness x\n",
		"key twice":         s + lines[4],
		"order":             lines[0] + lines[1] + lines[3] + lines[2] + lines[4],
		"two logs":          lines[0] + lines[1] + strings.Join(lines[1:], ""),
		"no enroller":       strings.Join(lines[:4], ""),
		"received is other": strings.Replace(s, "received "+origin, "received other.example", 1),
		"upper-case key ID": strings.Replace(s, strings.Split(lines[4], "+")[1], "ABCDEF01", 1),
		"return in a key":   s[:len(s)-2] + "\r" + s[len(s)-2:],
		"return in another": strings.Replace(s, "\nreceived ", "\r\nreceived ", 1),
		"double space":      strings.Replace(s, "enroller ", "enroller  ", 1),
	} {
		if _, err := trust.Parse([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// vkey names a point.
func vkey(name, kind string, point []byte) string {
	raw := append([]byte(kind), point...)
	h := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return fmt.Sprintf("%s+%x+%s", name, h[:4], base64.StdEncoding.EncodeToString(raw))
}

func TestOnePublicKeyHasOnePurpose(t *testing.T) {
	k := generate(t)
	point := func(vkey string) []byte {
		raw, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2])
		if err != nil {
			t.Fatal(err)
		}
		return raw[len(raw)-32:]
	}
	for name, c := range map[string]struct{ received, system, enroll string }{
		"the log enrols":       {k.received, k.system, vkey("acme/enroller", "\x01", point(k.logV))},
		"the system enrols":    {k.received, k.system, vkey("acme/enroller", "\x01", point(k.system))},
		"the receipts enrol":   {k.received, k.system, vkey("acme/enroller", "\x01", point(k.received))},
		"the log is system":    {k.received, vkey("s", "\x01", point(k.logV)), k.enroll},
		"the log is receipts":  {vkey(origin+"/received", "\xffsteno/received/v1", point(k.logV)), k.system, k.enroll},
		"a point of order one": {k.received, k.system, vkey("acme/enroller", "\x01", append([]byte{1}, make([]byte, 31)...))},
	} {
		if _, err := trust.New(k.logV, []string{c.received}, []string{c.system}, []string{c.enroll}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	twice := []string{k.enroll, vkey("acme/other", "\x01", point(k.enroll))}
	if _, err := trust.New(k.logV, []string{k.received}, []string{k.system}, twice); err == nil {
		t.Error("one enroller under two names: accepted")
	}
}

func TestCheckpointNeedsThePinnedKeyAndOrigin(t *testing.T) {
	k := generate(t)
	tr := newTrust(t, k)
	sign := func(text string, signer note.Signer) []byte {
		b, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	root := entry.Hash{7}
	good := origin + "\n12\n" + root.String() + "\n"
	cp, err := tr.OpenCheckpoint(sign(good, k.log))
	if err != nil || cp.Size != 12 || cp.Root != [32]byte(root) {
		t.Fatalf("%+v %v", cp, err)
	}
	if _, err := tr.OpenCheckpoint(sign(good+"extension\n", k.log)); err != nil {
		t.Errorf("extension line: %v", err)
	}
	stranger := generate(t).log
	for name, b := range map[string][]byte{
		"stranger, same name": sign(good, stranger),
		"other origin":        sign(strings.Replace(good, origin, "log.example/other", 1), k.log),
		"leading zero":        sign(strings.Replace(good, "\n12\n", "\n012\n", 1), k.log),
		"2^63":                sign(strings.Replace(good, "\n12\n", "\n9223372036854775808\n", 1), k.log),
		"non-canonical root":  sign(strings.Replace(good, "AAA=", "AAB=", 1), k.log),
		"two lines":           sign(origin+"\n12\n", k.log),
	} {
		if _, err := tr.OpenCheckpoint(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
