package payload

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"filippo.io/age"
)

var vectorAt = Place{"log.acme.example/prod", "0198c7d2-6f0a-7cc3-9d5e-3f1f0a2b9f31", "gateway-1", 17, "params"}

func vectorKeys(t testing.TB, name string) Keys {
	t.Helper()
	keys, err := NewKeys(&stream{name: "steno unit keys " + name})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func hexKeys(keys Keys, classes ...Class) map[string]string {
	m := make(map[string]string)
	for _, c := range classes {
		k := keys[c]
		m[c.String()] = hex.EncodeToString(k[:])
	}
	return m
}

type recipe struct {
	name  string
	media Media
	parts [][]Segment
}

func recipes() []recipe {
	byValue := func(_ int, seg []byte) Class {
		switch string(seg) {
		case `"Ada"`, "Ada\n":
			return Personal
		case `"0000"`:
			return Secret
		case `"ledger"`:
			return Directory
		}
		return Content
	}
	all := func(c Class) func(int, []byte) Class { return func(int, []byte) Class { return c } }
	one := func(name string, m Media, b string, f func(int, []byte) Class) recipe {
		media, segs := Split(m, []byte(b), f)
		return recipe{name, media, [][]Segment{segs}}
	}
	parts := recipe{"parts", Binary, [][]Segment{{{Content, []byte("first ")}}, {{Content, []byte("second ")}}, {{Content, []byte("third")}}}}
	return []recipe{
		one("two-classes", JSON, `{"to":"Ada","amount":1200}`, byValue),
		one("four-classes", JSON, `{"a":"Ada","b":"0000","c":"ledger","d":[1,"Ada",null]}`, byValue),
		one("one-class", JSON, `[1,2,3]`, all(Content)),
		one("empty", Text, "", all(Secret)),
		one("text", Text, "Dear\nAda\nsee below: é\r\n\nno end of line", byValue),
		one("binary", Binary, strings.Repeat("\x00\xff", 2500), all(Directory)),
		one("text-128", Text, strings.Repeat("x\n", 128), func(i int, _ []byte) Class { return Class(1 + i%2) }),
		parts,
	}
}

func validVectors(t testing.TB) []validVector {
	t.Helper()
	var out []validVector
	for _, r := range recipes() {
		out = append(out, r.vector(t))
	}
	return out
}

func (r recipe) vector(t testing.TB) validVector {
	t.Helper()
	keys := vectorKeys(t, r.name)
	rand := &stream{name: "steno blob salts " + r.name}
	v := validVector{Name: r.name, Place: vectorPlace(vectorAt), Media: r.media, KeyCommits: map[string]string{}}
	var ref Ref
	blobs := make(map[Hash][]byte)
	var classes []Class
	for k, segs := range r.parts {
		at := vectorAt
		if len(r.parts) > 1 {
			at = at.part(k)
		}
		s, err := seal(rand, keys, at, r.media, segs)
		if err != nil {
			t.Fatal(err)
		}
		part := vectorPart{Commitment: hex.EncodeToString(s.Ref.Commitment[:])}
		var leaves []Hash
		salts := map[Class]*blobKey{}
		for i, b := range s.Ref.Blobs {
			blobs[b.SHA256] = s.Blobs[i]
			classes = append(classes, b.Class)
			vb, key := dissect(t, keys[b.Class], at, b.Class, s.Blobs[i])
			salts[b.Class] = key
			part.Blobs = append(part.Blobs, vb)
		}
		for i, seg := range segs {
			sa := salts[seg.Class].salt(i)
			h := leafHash(seg.Class, sa, seg.Bytes)
			leaves = append(leaves, h)
			part.Segments = append(part.Segments, vectorSegment{seg.Class.String(), append([]byte{}, seg.Bytes...),
				hex.EncodeToString(sa[:]), hex.EncodeToString(h[:])})
			v.Payload = append(v.Payload, seg.Bytes...)
		}
		root := treeHash(leaves)
		part.Root = hex.EncodeToString(root[:])
		v.Parts = append(v.Parts, part)
		ref.Parts = append(ref.Parts, s.Ref)
	}
	if v.Payload == nil {
		v.Payload = []byte{}
	}
	if len(ref.Parts) == 1 {
		ref = ref.Parts[0]
	}
	v.Keys = hexKeys(keys, classes...)
	for _, c := range classes {
		h := keys[c].Commitment()
		v.KeyCommits[c.String()] = hex.EncodeToString(h[:])
	}
	v.Ref = mustJSON(t, ref)
	o, err := Open(keys, vectorAt, ref, blobs)
	if err != nil {
		t.Fatal(err)
	}
	v.Disclosure = mustJSON(t, o.Disclose(func(i int) bool { return i == 0 }))
	return v
}

// dissect derives a blob's keys again, from the words of the page and not with the code under test.
func dissect(t testing.TB, unit UnitKey, at Place, c Class, blob []byte) (vectorBlob, *blobKey) {
	t.Helper()
	bs := blob[14:46]
	info := strings.Join([]string{"steno/blob/v1", at.Origin, at.Session, at.Track, "17", at.Slot, c.String()}, "\x00")
	okm, err := hkdf.Key(sha256.New, unit[:], bs, info, 64)
	if err != nil {
		t.Fatal(err)
	}
	key, err := deriveBlobKey(unit, bs, at, c)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.aead.Open(nil, make([]byte, 12), blob[46:], blob[:46])
	if err != nil {
		t.Fatal(err)
	}
	return vectorBlob{c.String(), hex.EncodeToString(bs), []byte(info), hex.EncodeToString(okm[:32]),
		hex.EncodeToString(okm[32:]), plain, blob}, key
}

func lengthsOf(m Media, b []byte) (Media, []int) {
	is, segs := Split(m, b, func(int, []byte) Class { return Content })
	var lengths []int
	for _, s := range segs {
		lengths = append(lengths, len(s.Bytes))
	}
	return is, lengths
}

func splitVectors() []splitVector {
	cases := []struct {
		name  string
		media Media
		b     string
	}{
		{"object", JSON, `{"a":1,"b":"x","c":[true,null,{"d":-0.5e+3}]}`},
		{"white space stays", JSON, "\r\n\t {\"a\" :\t1 } \n"},
		{"scalar", JSON, `"just a string"`}, {"scalar with space", JSON, " 12 "},
		{"empty containers", JSON, `[[],{},[{}]]`},
		{"duplicate names are bytes", JSON, `{"a":1,"a":2}`}, {"lone surrogate is bytes", JSON, `"\ud800"`},
		{"big number is bytes", JSON, `123456789012345678901234567890`},
		{"not UTF-8", JSON, "\"\xff\""}, {"byte order mark", JSON, "\ufeff1"}, {"leading zero", JSON, "01"},
		{"no digits", JSON, "1."}, {"plus", JSON, "+1"}, {"trailing comma", JSON, "[1,]"}, {"two texts", JSON, "1 2"},
		{"control character", JSON, "\"\n\""}, {"bad escape", JSON, `"\x"`}, {"open", JSON, `{"a":[1`}, {"nothing", JSON, ""},
		{"256 deep", JSON, strings.Repeat("[", 256) + "1" + strings.Repeat("]", 256)},
		{"257 deep", JSON, strings.Repeat("[", 257) + "1" + strings.Repeat("]", 257)},
		{"lines", Text, "a\n\nb\r\nc"}, {"last line ended", Text, "a\n"}, {"no text", Text, ""}, {"text not UTF-8", Text, "a\n\xc0\x80"},
		{"pieces", Binary, strings.Repeat("\x01", 4097)}, {"too many lines", Text, strings.Repeat("\n", 16385)},
	}
	var out []splitVector
	for _, c := range cases {
		is, lengths := lengthsOf(c.media, []byte(c.b))
		out = append(out, splitVector{c.name, c.media, append([]byte{}, c.b...), is, lengths})
	}
	return out
}

func wrapVectors(t testing.TB) []wrapVector {
	t.Helper()
	key := vectorKeys(t, "wrap")[Personal]
	commitment := key.Commitment()
	where := WrapPlace{vectorAt.Origin, vectorAt.Session, vectorAt.Track, Personal}
	v := wrapVector{Name: "x25519", Origin: where.Origin, Session: where.Session, Track: where.Track, Class: "personal",
		Commitment: hex.EncodeToString(commitment[:]), Key: hex.EncodeToString(key[:])}
	var err error
	vault, err1 := age.GenerateX25519Identity()
	recovery, err2 := age.GenerateX25519Identity()
	pqVault, err3 := age.GenerateHybridIdentity()
	pqRecovery, err4 := age.GenerateHybridIdentity()
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	v.Identities = []string{vault.String()}
	if v.File, err = Wrap(key, where, vault.Recipient(), recovery.Recipient()); err != nil {
		t.Fatal(err)
	}
	pq := v
	pq.Name, pq.Identities = "post-quantum", []string{pqRecovery.String()}
	if pq.File, err = Wrap(key, where, pqVault.Recipient(), pqRecovery.Recipient()); err != nil {
		t.Fatal(err)
	}
	bad := func(name, reason string, f func(*wrapVector)) wrapVector {
		c := v
		c.Name, c.Reason, c.Key = name, reason, ""
		f(&c)
		return c
	}
	raw := func(text string) []byte { return ageFile(t, text, vault.Recipient(), recovery.Recipient()) }
	head, err := where.text()
	if err != nil {
		t.Fatal(err)
	}
	good := string(head) + b64(key[:]) + "\n"
	out := []wrapVector{v, pq,
		bad("other-origin", "found in another log", func(w *wrapVector) { w.Origin += "2" }),
		bad("other-session", "found at another session", func(w *wrapVector) { w.Session += "2" }),
		bad("other-track", "found at another track", func(w *wrapVector) { w.Track += "2" }),
		bad("other-class", "found under another class", func(w *wrapVector) { w.Class = "content" }),
		bad("other-key", "not the key that the recorder committed to", func(w *wrapVector) {
			w.Commitment = hex.EncodeToString(binary.BigEndian.AppendUint64(make([]byte, 24), 1))
		}),
		bad("no-newline", "last line without its end", func(w *wrapVector) { w.File = raw(strings.TrimSuffix(good, "\n")) }),
		bad("trailing", "something after the key", func(w *wrapVector) { w.File = raw(good + "\n") }),
		bad("unpadded", "base64 without padding", func(w *wrapVector) { w.File = raw(strings.Replace(good, "=\n", "\n", 1)) }),
		bad("version", "another version", func(w *wrapVector) { w.File = raw(strings.Replace(good, "/v1", "/v2", 1)) }),
		bad("empty", "nothing inside", func(w *wrapVector) { w.File = raw("") }),
	}
	return out
}

// ageFile encrypts any text, as anyone can to public recipients.
func ageFile(t testing.TB, text string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
