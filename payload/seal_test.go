package payload_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/stenolog/steno/payload"
)

func TestSealBytes_parts(t *testing.T) {
	keys := newKeys(t)
	b := bytes.Repeat([]byte("0123456789abcde\n"), (payload.MaxPayload+5000)/16)
	s, err := payload.SealBytes(rand.Reader, keys, here, payload.Text, payload.Content, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Ref.Parts) != 2 || len(s.Blobs) != 2 || s.Ref.Parts[0].Media != payload.Text {
		t.Fatalf("%d parts, %d blobs, media %q", len(s.Ref.Parts), len(s.Blobs), s.Ref.Parts[0].Media)
	}
	o, err := payload.Open(keys, here, s.Ref, byHash(s))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := o.Bytes(); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(b), err)
	}
	last := len(o.Segments) - 1
	d := o.Disclose(func(i int) bool { return i == last })
	shown, err := payload.VerifyDisclosure(s.Ref, d)
	if err != nil || shown.Segments[last].Part != 1 || !shown.Segments[last].Known || shown.Segments[0].Known {
		t.Fatalf("%+v, %v", shown.Segments[last], err)
	}
	d.Parts[0], d.Parts[1] = d.Parts[1], d.Parts[0]
	if _, err := payload.VerifyDisclosure(s.Ref, d); !errors.Is(err, payload.ErrCommitment) {
		t.Fatalf("parts exchanged: %v", err)
	}
}

// The largest blob that the limits allow is not larger than the limit of blobs: what can be sealed can be read.
func TestSeal_largest(t *testing.T) {
	keys := newKeys(t)
	b := make([]byte, payload.MaxPayload)
	segs := make([]payload.Segment, payload.MaxSegments)
	small := payload.MaxSegments / 2
	rest := b[small:]
	for i := range segs {
		if i%2 == 1 {
			segs[i] = payload.Segment{Class: payload.Personal, Bytes: b[i/2 : i/2+1]}
			continue
		}
		n := len(rest) / (small - i/2)
		segs[i], rest = payload.Segment{Class: payload.Content, Bytes: rest[:n]}, rest[n:]
	}
	s, err := payload.Seal(rand.Reader, keys, here, payload.Binary, segs)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ref.Check(); err != nil {
		t.Fatal(err)
	}
	o, err := payload.Open(payload.Keys{payload.Content: keys[payload.Content]}, here, s.Ref, byHash(s))
	if err != nil || len(o.Segments) != payload.MaxSegments {
		t.Fatal(err)
	}
}

// SEALED: answers of different short lengths give blobs of one length.
func TestSEALED_sizesOfShortAnswers(t *testing.T) {
	keys := newKeys(t)
	for _, answer := range []string{"", "no", "yes", `"rejected"`, strings.Repeat("x", 250)} {
		s, err := payload.SealBytes(rand.Reader, keys, here, payload.Text, payload.Content, []byte(answer))
		if err != nil {
			t.Fatal(err)
		}
		if s.Ref.Blobs[0].Size != 318 {
			t.Errorf("%q: %d bytes", answer, s.Ref.Blobs[0].Size)
		}
	}
}

// SEALED: the same bytes at the same place share neither commitment nor ciphertext.
func TestSEALED_noEquality(t *testing.T) {
	keys := newKeys(t)
	var seen []payload.Sealed
	for range 2 {
		s, err := payload.SealBytes(rand.Reader, keys, here, payload.Text, payload.Secret, []byte("0000"))
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, s)
	}
	if seen[0].Ref.Commitment == seen[1].Ref.Commitment || bytes.Equal(seen[0].Blobs[0][14:], seen[1].Blobs[0][14:]) {
		t.Fatal("equal payloads can be recognised")
	}
}

func TestSeal_refuses(t *testing.T) {
	good := newKeys(t)
	content := []payload.Segment{{Class: payload.Content, Bytes: []byte("a")}}
	shared := payload.Keys{payload.Content: good[payload.Content], payload.Personal: good[payload.Content]}
	at := func(f func(*payload.Place)) payload.Place { p := here; f(&p); return p }
	for name, c := range map[string]struct {
		keys  payload.Keys
		at    payload.Place
		media payload.Media
		segs  []payload.Segment
	}{
		"no key":           {payload.Keys{}, here, payload.Text, content},
		"zero key":         {payload.Keys{payload.Content: {}}, here, payload.Text, content},
		"shared key":       {shared, here, payload.Text, content},
		"media":            {good, here, "xml", content},
		"no segments":      {good, here, payload.Text, nil},
		"many segments":    {good, here, payload.Text, make([]payload.Segment, payload.MaxSegments+1)},
		"class":            {good, here, payload.Text, []payload.Segment{{Class: 5, Bytes: []byte("a")}}},
		"empty segment":    {good, here, payload.Text, append(content[:1:1], payload.Segment{Class: payload.Content})},
		"too large":        {good, here, payload.Text, []payload.Segment{{payload.Content, make([]byte, payload.MaxPayload+1)}}},
		"no origin":        {good, at(func(p *payload.Place) { p.Origin = "" }), payload.Text, content},
		"origin with plus": {good, at(func(p *payload.Place) { p.Origin = "a+b" }), payload.Text, content},
		"NUL in session":   {good, at(func(p *payload.Place) { p.Session = "a\x00b" }), payload.Text, content},
		"slash in track":   {good, at(func(p *payload.Place) { p.Track = "a/b" }), payload.Text, content},
		"stop in slot":     {good, at(func(p *payload.Place) { p.Slot = "params.0" }), payload.Text, content},
		"long slot":        {good, at(func(p *payload.Place) { p.Slot = strings.Repeat("a", 256) }), payload.Text, content},
		"not ASCII":        {good, at(func(p *payload.Place) { p.Track = "é" }), payload.Text, content},
	} {
		if _, err := payload.Seal(rand.Reader, c.keys, c.at, c.media, c.segs); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := payload.Seal(iotest.ErrReader(errors.New("no entropy")), good, here, payload.Text, content); err == nil {
		t.Error("sealed without randomness")
	}
	if _, err := payload.Seal(bytes.NewReader(make([]byte, 31)), good, here, payload.Text, content); err == nil {
		t.Error("sealed with too little randomness")
	}
}

// Every byte of a blob counts, also where a store answers with the altered one under the true hash.
func TestOpen_everyByte(t *testing.T) {
	keys := newKeys(t)
	s, _ := mixed(t, keys)
	for i, r := range s.Ref.All() {
		for at := range s.Blobs[i] {
			blobs := byHash(s)
			b := bytes.Clone(s.Blobs[i])
			b[at] ^= 0x10
			blobs[r.SHA256] = b
			if _, err := payload.Open(keys, here, s.Ref, blobs); !errors.Is(err, payload.ErrBlob) {
				t.Fatalf("blob %d byte %d: %v", i, at, err)
			}
			// And where the event itself names the altered blob, the AEAD finds it.
			ref := s.Ref
			ref.Blobs = slices.Clone(ref.Blobs)
			ref.Blobs[i].SHA256 = sha256.Sum256(b)
			blobs[ref.Blobs[i].SHA256] = b
			_, err := payload.Open(keys, here, ref, blobs)
			if !errors.Is(err, payload.ErrDecrypt) && !(at < 14 && errors.Is(err, payload.ErrBlob)) {
				t.Fatalf("blob %d byte %d, named anew: %v", i, at, err)
			}
		}
	}
}

func TestSEALED_keyDoesNotPrint(t *testing.T) {
	k := payload.UnitKey(bytes.Repeat([]byte{0xab}, 32))
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d", "%q"} {
		for _, v := range []any{k, payload.Keys{payload.Content: k}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "ab") || strings.Contains(s, "171") {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
	if _, err := k.MarshalText(); err == nil {
		t.Error("key marshals")
	}
}

func TestWrap_recipients(t *testing.T) {
	key := newKeys(t)[payload.Content]
	where := payload.WrapPlace{Origin: here.Origin, Session: here.Session, Track: here.Track, Class: payload.Content}
	var x []*age.X25519Identity
	var pq []*age.HybridIdentity
	for range 2 {
		a, err1 := age.GenerateX25519Identity()
		b, err2 := age.GenerateHybridIdentity()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		x, pq = append(x, a), append(pq, b)
	}
	password, err := age.NewScryptRecipient("x")
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string][]age.Recipient{
		"none":       {},
		"vault only": {x[0].Recipient()},
		"one twice":  {x[0].Recipient(), x[0].Recipient()},
		"mixed":      {x[0].Recipient(), pq[0].Recipient()},
		"password":   {password},
		"other kind": {x[0].Recipient(), password},
	} {
		if _, err := payload.Wrap(key, where, to...); err == nil {
			t.Errorf("%s: wrapped", name)
		}
	}
	for name, to := range map[string]struct {
		recipients []age.Recipient
		identities []age.Identity
	}{
		"x25519":       {[]age.Recipient{x[0].Recipient(), x[1].Recipient()}, []age.Identity{x[0], x[1]}},
		"post-quantum": {[]age.Recipient{pq[0].Recipient(), pq[1].Recipient()}, []age.Identity{pq[0], pq[1]}},
	} {
		file, err := payload.Wrap(key, where, to.recipients...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, id := range to.identities {
			got, err := payload.Unwrap(file, where, key.Commitment(), id)
			if err != nil || got != key {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for at := range file {
			bad := bytes.Clone(file)
			bad[at] ^= 1
			if _, err := payload.Unwrap(bad, where, key.Commitment(), to.identities[0]); err == nil {
				t.Fatalf("%s: byte %d altered, and it opens", name, at)
			}
		}
	}
	if _, err := payload.Unwrap(make([]byte, 65<<10), where, key.Commitment(), x[0]); !errors.Is(err, payload.ErrWrap) {
		t.Errorf("oversize: %v", err)
	}
}
