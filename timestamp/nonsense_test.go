package timestamp_test

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/internal/tokens"
	"github.com/stenolog/steno/timestamp/timestamptest"
)

// elements splits the content of a structure.
func elements(t *testing.T, der []byte) (list [][]byte) {
	t.Helper()
	for len(der) > 0 {
		var raw asn1.RawValue
		rest, err := asn1.Unmarshal(der, &raw)
		if err != nil {
			t.Fatal(err)
		}
		list, der = append(list, raw.FullBytes), rest
	}
	return list
}

func inside(t *testing.T, der []byte) []byte {
	t.Helper()
	var raw asn1.RawValue
	if _, err := asn1.Unmarshal(der, &raw); err != nil {
		t.Fatal(err)
	}
	return raw.Bytes
}

// TestSignedNonsenseIsRefused has an authority sign every TSTInfo in which one element, however deep, is a NULL or empty.
func TestSignedNonsenseIsRefused(t *testing.T) {
	m := timestamptest.NewMaker(t)
	info := m.Info()
	millis := []byte{0x80, 1, 5, 0x81, 1, 6}
	info.Accuracy = tokens.Sequence(append([]byte{2, 1, 1}, millis...))
	info.Extensions = tokens.Sequence(tokens.OID(asn1.ObjectIdentifier{1, 2, 3}), []byte{1, 1, 0}, tokens.OctetString(nil))
	good := info.DER()
	sign := func(content []byte) ([]byte, error) { return m.Token(content).DER() }
	token, err := sign(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := timestamp.Verify(token, timestamptest.Digest(), m.Authority()); err != nil {
		t.Fatal(err)
	}
	n := 0
	check := func(what string, content []byte) {
		n++
		token, err := sign(content)
		if err != nil {
			t.Fatal(err)
		}
		_, err = timestamp.Verify(token, timestamptest.Digest(), m.Authority())
		var refused *timestamp.Error
		if !errors.As(err, &refused) {
			t.Errorf("%s passes: %x", what, content)
		}
	}
	var walk func(path string, der []byte, rebuild func([]byte) []byte)
	walk = func(path string, der []byte, rebuild func([]byte) []byte) {
		check(path+" is NULL", rebuild([]byte{5, 0}))
		// An empty accuracy is one of zero, and an extension's value is empty already.
		if len(inside(t, der)) > 0 && path != "TSTInfo.5" {
			check(path+" is empty", rebuild([]byte{der[0], 0}))
		}
		if der[0]&0x20 == 0 || path == "TSTInfo.7" { // not constructed, or a name, which is compared as a whole
			return
		}
		parts := elements(t, inside(t, der))
		for i, part := range parts {
			if bytes.Equal(part, []byte{5, 0}) {
				continue // it is one: the parameters of SHA-256
			}
			walk(fmt.Sprintf("%s.%d", path, i), part, func(b []byte) []byte {
				changed := append(append(bytes.Join(parts[:i], nil), b...), bytes.Join(parts[i+1:], nil)...)
				return rebuild(tokens.Element(cbasn1.Tag(der[0]), changed))
			})
		}
	}
	walk("TSTInfo", good, func(b []byte) []byte { return b })
	if n < 35 {
		t.Errorf("only %d kinds of nonsense", n)
	}
}
