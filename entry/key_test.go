package entry_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

func vkeyOf(name string, pub []byte) string {
	h := sha256.Sum256(append([]byte(name+"\n\x01"), pub...))
	return fmt.Sprintf("%s+%x+%s", name, h[:4], base64.StdEncoding.EncodeToString(append([]byte{1}, pub...)))
}

// weak are points of small order, with either sign of x where there are two, and encodings that are not canonical.
func weak(t *testing.T) (points [][]byte) {
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		points = append(points, must(hex.DecodeString(s)))
	}
	return points
}

// TestKeysByWhichAnybodySignsAreRefused: under a point of small order a signature that nobody had a key for verifies over
// any text, so that a recorder enrolled with one could deny whatever it signed.
func TestKeysByWhichAnybodySignsAreRefused(t *testing.T) {
	identity := append([]byte{1}, make([]byte, 31)...)
	if !ed25519.Verify(identity, []byte("anything"), append(bytes.Clone(identity), make([]byte, 32)...)) {
		t.Fatal("the reason for this rule is gone")
	}
	w := fixedWorld(t)
	eskey, evkey := fixedKey(t, "acme/enroller")
	enroller := must(note.NewSigner(eskey))
	for _, p := range weak(t) {
		if _, err := entry.NewVerifier(vkeyOf("a/b", p)); err == nil {
			t.Errorf("%x: accepted", p)
		}
		e := entry.Enrolment{Origin: origin, RecorderKey: vkeyOf("a/b", p), Holder: entry.HolderAgent, From: noon - 1, Until: noon, Agents: []string{"bot"}}
		if _, err := entry.SignEnrolment(e, enroller); err == nil {
			t.Errorf("%x: an enrolment was signed", p)
		}
		// An enroller that was careless.
		b := bytes.Replace(w.enrol, []byte(w.vkey), []byte(e.RecorderKey), 1)
		text := b[:bytes.Index(b, []byte("\n\n"))+1]
		var bad *entry.Error
		if _, err := entry.OpenEnrolment(must(note.Sign(&note.Note{Text: string(text)}, enroller)), note.VerifierList(must(note.NewVerifier(evkey)))); !errors.As(err, &bad) || bad.Code != entry.BadEnrolment {
			t.Errorf("%x: %v", p, err)
		}
		received := "x/received"
		h := sha256.Sum256(append([]byte(received+"\n\xffsteno/received/v1"), p...))
		vkey := fmt.Sprintf("%s+%x+%s", received, h[:4], base64.StdEncoding.EncodeToString(append([]byte("\xffsteno/received/v1"), p...)))
		if _, err := entry.NewReceivedVerifier(vkey); err == nil {
			t.Errorf("%x: accepted for receipts", p)
		}
	}
}

func TestVerifierKeysHaveOneSpelling(t *testing.T) {
	_, vkey := fixedKey(t, "acme/agents/bot")
	if _, err := entry.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	w := fixedWorld(t)
	for name, bad := range map[string]string{
		"upper case":      strings.Replace(vkey, strings.Split(vkey, "+")[1], strings.ToUpper(strings.Split(vkey, "+")[1]), 1),
		"carriage return": vkey[:len(vkey)-4] + "\r" + vkey[len(vkey)-4:],
		"Cyrillic":        vkeyOf("acme/agents/b\u043et", make([]byte, 32)),
		"bidi":            vkeyOf("acme/\u202etob", make([]byte, 32)),
	} {
		if _, err := entry.NewVerifier(bad); err == nil || bad == vkey {
			t.Errorf("%s: accepted", name)
		}
	}
	r := w.receivedKey
	for name, bad := range map[string]string{
		"upper case":      strings.Replace(r, strings.Split(r, "+")[1], strings.ToUpper(strings.Split(r, "+")[1]), 1),
		"carriage return": r[:len(r)-4] + "\r" + r[len(r)-4:],
	} {
		if _, err := entry.NewReceivedVerifier(bad); err == nil || bad == r {
			t.Errorf("%s: accepted for receipts", name)
		}
	}
	for _, name := range []string{"", "a b", "a+b", "a\u00a0b", "a\u200bb", "a\u202eb", "b\u043et", "\ufeffa", "a\x1bb", "a\x7f", strings.Repeat("x", 161)} {
		if entry.CheckKeyName(name) == nil {
			t.Errorf("name %q: accepted", name)
		}
	}
}
