package payload_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stenolog/steno/payload"
)

var here = payload.Place{Origin: "log.acme.example/prod", Session: "0198c7d2-6f0a-7cc3-9d5e-3f1f0a2b9f31", Track: "gateway-1", Seq: 17, Slot: "params"}

func newKeys(t testing.TB) payload.Keys {
	t.Helper()
	keys, err := payload.NewKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func byHash(s payload.Sealed) map[payload.Hash][]byte {
	m := make(map[payload.Hash][]byte)
	for i, r := range s.Ref.All() {
		m[r.SHA256] = s.Blobs[i]
	}
	return m
}

// mixed is a payload with three classes, alternating.
func mixed(t testing.TB, keys payload.Keys) (payload.Sealed, []byte) {
	t.Helper()
	b := []byte(`{"amount": 1200, "to": "Ada Lovelace", "pin": "0000", "memo": "May" }` + "\n")
	media, segs := payload.Split(payload.JSON, b, func(_ int, seg []byte) payload.Class {
		switch string(seg) {
		case `"Ada Lovelace"`:
			return payload.Personal
		case `"0000"`:
			return payload.Secret
		}
		return payload.Content
	})
	s, err := payload.Seal(rand.Reader, keys, here, media, segs)
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func TestSEALED_roundTrip(t *testing.T) {
	keys := newKeys(t)
	s, b := mixed(t, keys)
	o, err := payload.Open(keys, here, s.Ref, byHash(s))
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.Bytes()
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("got %q, %v", got, err)
	}
	for _, blob := range s.Blobs {
		if bytes.Contains(blob, []byte("Lovelace")) || bytes.Contains(blob, []byte("amount")) {
			t.Fatal("clear text in a blob")
		}
	}
}

// Every class alone opens, is proven, and can be disclosed, when the keys of all the others are gone.
func TestSEALED_erasureOfOneClassLeavesProofsOfOthers(t *testing.T) {
	keys := newKeys(t)
	s, _ := mixed(t, keys)
	for _, c := range []payload.Class{payload.Content, payload.Personal, payload.Secret} {
		o, err := payload.Open(payload.Keys{c: keys[c]}, here, s.Ref, byHash(s))
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		if _, err := o.Bytes(); !errors.Is(err, payload.ErrPartial) {
			t.Fatalf("%v: got %v", c, err)
		}
		b, err := json.Marshal(o.Disclose(nil))
		if err != nil {
			t.Fatal(err)
		}
		var d payload.Disclosure
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		shown, err := payload.VerifyDisclosure(s.Ref, d)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		for i, seg := range shown.Segments {
			if want := o.Segments[i]; seg.Known != want.Known || seg.Class != want.Class || !bytes.Equal(seg.Bytes, want.Bytes) {
				t.Fatalf("%v: segment %d: got %v, want %v", c, i, seg, want)
			}
		}
		if leak := strings.Contains(string(b), "QWRhIExvdmVsYWNl"); leak && c != payload.Personal {
			t.Fatal("disclosure holds a hidden segment")
		}
	}
}

func BenchmarkSeal1KiB(b *testing.B) {
	keys, text := newKeys(b), object1KiB()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := payload.SealBytes(rand.Reader, keys, here, payload.JSON, payload.Content, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen1KiB(b *testing.B) {
	keys, text := newKeys(b), object1KiB()
	s, err := payload.SealBytes(rand.Reader, keys, here, payload.JSON, payload.Content, text)
	if err != nil {
		b.Fatal(err)
	}
	blobs := byHash(s)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := payload.Open(keys, here, s.Ref, blobs); err != nil {
			b.Fatal(err)
		}
	}
}

// object1KiB is a JSON object of 4 members and 1,024 bytes.
func object1KiB() []byte {
	b := []byte(`{"id":12,"ok":true,"name":"ledger.post","text":"`)
	return append(append(b, bytes.Repeat([]byte("x"), 1024-len(b)-2)...), `"}`...)
}
