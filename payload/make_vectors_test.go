package payload

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
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

// forged seals any plaintext as the blob of class c, as a recorder with other intentions could.
func forged(t testing.TB, keys Keys, c Class, plain []byte) ([]byte, BlobRef) {
	t.Helper()
	bs := bytes.Repeat([]byte{7}, blobSaltSize)
	key, err := deriveBlobKey(keys[c], bs, vectorAt, c)
	if err != nil {
		t.Fatal(err)
	}
	head := append([]byte(blobMagic), bs...)
	blob := key.aead.Seal(slices.Clone(head), nonce, plain, head)
	return blob, BlobRef{c, sha256.Sum256(blob), int64(len(blob))}
}

// forgedTree is the commitment to segments of class Content under forged's salt.
func forgedTree(t testing.TB, keys Keys, segs ...string) (Hash, []Hash) {
	t.Helper()
	key, err := deriveBlobKey(keys[Content], bytes.Repeat([]byte{7}, blobSaltSize), vectorAt, Content)
	if err != nil {
		t.Fatal(err)
	}
	var leaves []Hash
	for i, s := range segs {
		leaves = append(leaves, leafHash(Content, key.salt(i), []byte(s)))
	}
	return commitTo(len(segs), treeHash(leaves)), leaves
}

func invalidVectors(t testing.TB) []invalidVector {
	t.Helper()
	return slices.Concat(invalidRefs(t), invalidPlaintexts(t), invalidOpens(t), invalidDisclosures(t))
}

func invalidRefs(t testing.TB) []invalidVector {
	good := recipes()[0].vector(t).Ref
	parts := recipes()[7].vector(t).Ref
	var p Ref
	if err := json.Unmarshal([]byte(parts), &p); err != nil {
		t.Fatal(err)
	}
	one := mustJSON(t, p.Parts[0])
	sub := func(name, reason, old, new string) invalidVector {
		if !strings.Contains(good, old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		return invalidVector{Name: name, Op: "ref", Reason: reason, Error: "ref", Ref: strings.Replace(good, old, new, 1)}
	}
	whole := func(name, reason, ref string) invalidVector {
		return invalidVector{Name: name, Op: "ref", Reason: reason, Error: "ref", Ref: ref}
	}
	return []invalidVector{
		sub("ref-media", "unknown media", `"json"`, `"xml"`),
		sub("ref-space", "white space", `,"blobs"`, `, "blobs"`),
		sub("ref-case", "member name in another case", `"media"`, `"Media"`),
		sub("ref-twice", "member named twice", `"media":"json"`, `"media":"text","media":"json"`),
		sub("ref-unknown", "unknown member", `"media"`, `"note":"","media"`),
		sub("ref-escape", "escaped character", `"json"`, `"\u006ason"`),
		sub("ref-order", "classes out of order", `"personal"`, `"content"`),
		sub("ref-class", "unknown class", `"personal"`, `"public"`),
		sub("ref-base64", "base64 without padding", `=","blobs"`, `","blobs"`),
		sub("ref-size-small", "smaller than any blob", `"size":318`, `"size":317`),
		sub("ref-size-padding", "size that padding cannot give", `"size":318`, `"size":583`),
		sub("ref-size-large", "larger than any blob", `"size":318`, `"size":18350142`),
		sub("ref-size-form", "number not in its one form", `"size":318`, `"size":3.18e2`),
		whole("ref-no-blobs", "no blobs", good[:strings.Index(good, `"blobs":[`)+9]+"]}"),
		whole("ref-part-alone", "a single part", `{"parts":[`+one+`]}`),
		whole("ref-part-twice", "one blob named twice", `{"parts":[`+one+`,`+one+`]}`),
		whole("ref-part-nested", "parts within a part", `{"parts":[`+one+`,`+parts+`]}`),
		whole("ref-part-media", "parts of different media", strings.Replace(parts, "binary", "text", 1)),
		whole("ref-part-beside", "parts beside other members", `{"media":"binary",`+parts[1:]),
		whole("ref-trailing", "null", "null"),
	}
}

func pad(b []byte) []byte { return append(b, make([]byte, padded(len(b))-len(b))...) }

func invalidPlaintexts(t testing.TB) []invalidVector {
	keys := vectorKeys(t, "invalid")
	commitment, leaves := forgedTree(t, keys, "a", "b", "c")
	empty, _ := forgedTree(t, keys, "a", "")
	whole, _ := forgedTree(t, keys, "abc")
	tail := func(b ...byte) []byte { p := pad(nil); return append(p[:len(p)-len(b)], b...) }
	cases := []struct {
		name, reason string
		commitment   Hash
		plain        []byte
	}{
		{"varint-long", "number not in its shortest form", whole, pad([]byte("\x81\x00\x01\x00\x03abc"))},
		{"segments-zero", "no segments", whole, pad([]byte("\x00\x00"))},
		{"segments-many", "16,385 segments", whole, pad([]byte("\x81\x80\x01\x01\x00\x03abc"))},
		{"own-zero", "no segments of its own", whole, pad(append([]byte("\x01\x00"), make([]byte, 32)...))},
		{"own-more", "more own segments than segments", whole, pad([]byte("\x01\x02\x00\x01\x00\x02abc"))},
		{"index-beyond", "index beyond the last segment", whole, pad([]byte("\x01\x01\x01\x03abc"))},
		{"empty-segment", "empty segment beside another", empty, pad([]byte("\x02\x02\x00\x01\x00\x00a"))},
		{"length-beyond", "length beyond the blob", whole, pad([]byte("\x01\x01\x00\xff\x7fabc"))},
		{"length-huge", "length beyond 16 MiB", whole, pad([]byte("\x01\x01\x00\x81\x80\x80\x08abc"))},
		{"length-overflow", "number beyond 64 bits", whole, pad([]byte("\x01\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7fabc"))},
		{"hidden-short", "cut short within the hidden hashes", commitment, func() []byte {
			p := append([]byte("\x80\x80\x01\x01\x01\x01"), bytes.Repeat(leaves[0][:], 7)...)
			return pad(p)
		}()},
		{"padding-not-zero", "padding that is not zero", whole, append([]byte("\x01\x01\x00\x03abc"), tail(1)[7:]...)},
		{"padding-more", "more padding than the rule gives", whole, append(pad([]byte("\x01\x01\x00\x03abc")), make([]byte, 16)...)},
	}
	var out []invalidVector
	for _, c := range cases {
		blob, b := forged(t, keys, Content, c.plain)
		out = append(out, invalidVector{Name: "plaintext-" + c.name, Op: "open", Reason: c.reason, Error: "plaintext",
			Place: (*vectorPlace)(&vectorAt), Keys: hexKeys(keys, Content), Blobs: [][]byte{blob},
			Ref: mustJSON(t, Ref{Media: Binary, Commitment: c.commitment, Blobs: []BlobRef{b}})})
	}
	// A blob that is sound but leaves out a segment, though no other class is named that could have it.
	p := append([]byte("\x03\x02\x00\x01\x01\x01"), leaves[1][:]...)
	blob, b := forged(t, keys, Content, pad(append(p, "ac"...)))
	out = append(out, invalidVector{Name: "plaintext-segment-in-no-blob", Op: "open", Reason: "every class is open and a segment is missing",
		Error: "plaintext", Place: (*vectorPlace)(&vectorAt), Keys: hexKeys(keys, Content), Blobs: [][]byte{blob},
		Ref: mustJSON(t, Ref{Media: Binary, Commitment: commitment, Blobs: []BlobRef{b}})})
	return out
}

func invalidOpens(t testing.TB) []invalidVector {
	v, p := recipes()[0].vector(t), recipes()[7].vector(t)
	blobs := [][]byte{v.Parts[0].Blobs[0].Blob, v.Parts[0].Blobs[1].Blob}
	base := func(name, reason, kind string) invalidVector {
		at := v.Place
		return invalidVector{Name: "open-" + name, Op: "open", Reason: reason, Error: kind, Place: &at, Keys: v.Keys, Ref: v.Ref, Blobs: blobs}
	}
	moved := func(name string, f func(*vectorPlace)) invalidVector {
		c := base(name, "blob copied to another place", "decrypt")
		f(c.Place)
		return c
	}
	missing := base("missing", "a key is given and its blob is not", "blob-missing")
	missing.Blobs = blobs[:1]
	swapped := base("swapped", "the store answers with another blob", "blob")
	swapped.Blobs = [][]byte{blobs[1], blobs[0]}
	key := base("no-key", "no key of any class present", "no-key")
	key.Keys = map[string]string{"secret": v.Keys["content"]}
	other := base("other-key", "another unit key", "decrypt")
	other.Keys = map[string]string{"content": v.Keys["personal"]}
	commitment := base("commitment", "the event commits to something else", "commitment")
	var ref Ref
	if err := json.Unmarshal([]byte(v.Ref), &ref); err != nil {
		t.Fatal(err)
	}
	ref.Commitment[31] ^= 1
	commitment.Ref = mustJSON(t, ref)
	exchanged := base("classes-exchanged", "the event names the blobs under each other's class", "decrypt")
	ref.Commitment[31] ^= 1
	ref.Blobs = []BlobRef{{Content, ref.Blobs[1].SHA256, ref.Blobs[1].Size}, {Personal, ref.Blobs[0].SHA256, ref.Blobs[0].Size}}
	exchanged.Ref, exchanged.Blobs = mustJSON(t, ref), [][]byte{blobs[1], blobs[0]}
	var parts Ref
	if err := json.Unmarshal([]byte(p.Ref), &parts); err != nil {
		t.Fatal(err)
	}
	partBlobs := [][]byte{p.Parts[1].Blobs[0].Blob, p.Parts[0].Blobs[0].Blob, p.Parts[2].Blobs[0].Blob}
	reordered := base("parts-reordered", "parts in another order", "decrypt")
	parts.Parts[0], parts.Parts[1] = parts.Parts[1], parts.Parts[0]
	reordered.Keys, reordered.Ref, reordered.Blobs = p.Keys, mustJSON(t, parts), partBlobs
	beheaded := base("parts-beheaded", "first part taken away", "decrypt")
	parts.Parts = []Ref{parts.Parts[0], parts.Parts[2]}
	beheaded.Keys, beheaded.Ref, beheaded.Blobs = p.Keys, mustJSON(t, parts), [][]byte{partBlobs[0], partBlobs[2]}
	alone := base("part-as-payload", "a part presented as a payload", "decrypt")
	alone.Keys, alone.Ref, alone.Blobs = p.Keys, mustJSON(t, parts.Parts[0]), partBlobs[:1]
	return []invalidVector{missing, swapped, key, other, commitment, exchanged, reordered, beheaded, alone,
		moved("origin", func(p *vectorPlace) { p.Origin = "log.acme.example/test" }),
		moved("session", func(p *vectorPlace) { p.Session = "0198c7d2-6f0a-7cc3-9d5e-3f1f0a2b9f32" }),
		moved("track", func(p *vectorPlace) { p.Track = "gateway-2" }),
		moved("seq", func(p *vectorPlace) { p.Seq = 18 }),
		moved("slot", func(p *vectorPlace) { p.Slot = "response" }),
		version(t, base("version", "another version line", "blob")),
	}
}

// version gives the first blob another magic line, and the reference its hash.
func version(t testing.TB, v invalidVector) invalidVector {
	var ref Ref
	if err := json.Unmarshal([]byte(v.Ref), &ref); err != nil {
		t.Fatal(err)
	}
	b := slices.Clone(v.Blobs[0])
	b[12] = '2'
	ref.Blobs[0].SHA256 = sha256.Sum256(b)
	v.Ref, v.Blobs = mustJSON(t, ref), [][]byte{b, v.Blobs[1]}
	return v
}

func invalidDisclosures(t testing.TB) []invalidVector {
	v := recipes()[2].vector(t)
	text := func(name, reason, kind, d string) invalidVector {
		return invalidVector{Name: "disclosure-" + name, Op: "disclosure", Reason: reason, Error: kind, Ref: v.Ref, Disclosure: d}
	}
	sub := func(name, reason, kind, old, new string) invalidVector {
		if !strings.Contains(v.Disclosure, old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		return text(name, reason, kind, strings.Replace(v.Disclosure, old, new, 1))
	}
	edit := func(name, reason, kind string, f func(p *DisclosedPart)) invalidVector {
		var d Disclosure
		if err := json.Unmarshal([]byte(v.Disclosure), &d); err != nil {
			t.Fatal(err)
		}
		f(&d.Parts[0])
		return text(name, reason, kind, mustJSON(t, d))
	}
	again := "," + v.Disclosure[strings.Index(v.Disclosure, "[")+1:len(v.Disclosure)-2]
	// The payload [1,2,3] has 7 segments; the first one is shown, under the covers 1, 2–3, 4–6.
	return []invalidVector{
		sub("format", "unknown format", "disclosure", "disclosure/v1", "disclosure/v2"),
		sub("space", "white space", "disclosure", `,"parts"`, `, "parts"`),
		sub("null", "null for an empty string", "disclosure", `"bytes":"Ww=="`, `"bytes":null`),
		sub("base64", "base64 with bits left over", "disclosure", `"Ww=="`, `"Wx=="`),
		sub("class", "another class of the event's", "disclosure", `"content"`, `"personal"`),
		sub("class-unknown", "unknown class", "disclosure", `"content"`, `"public"`),
		sub("bytes", "other bytes", "commitment", `"Ww=="`, `"ew=="`),
		sub("index", "another index", "commitment", `"index":0`, `"index":1`),
		sub("count", "another number of segments, of the same shape of proof", "commitment", `"segments":7`, `"segments":8`),
		sub("count-zero", "no segments", "disclosure", `"segments":7`, `"segments":0`),
		sub("count-many", "16,385 segments", "disclosure", `"segments":7`, `"segments":16385`),
		edit("salt", "another salt", "commitment", func(p *DisclosedPart) { p.Shown[0].Salt[0] ^= 1 }),
		edit("salt-short", "salt of 15 bytes", "disclosure", func(p *DisclosedPart) { p.Shown[0].Salt = p.Shown[0].Salt[:15] }),
		// Moving the first byte of the segment into the salt would keep the hash, were the salt not of fixed width.
		edit("salt-long", "salt of 17 bytes that takes the segment's first", "disclosure", func(p *DisclosedPart) {
			s := &p.Shown[0]
			s.Salt, s.Bytes = append(s.Salt, s.Bytes[0]), s.Bytes[1:]
		}),
		edit("twice", "a segment shown twice", "disclosure", func(p *DisclosedPart) { p.Shown = append(p.Shown, p.Shown[0]) }),
		edit("negative", "negative index", "disclosure", func(p *DisclosedPart) { p.Shown[0].Index = -1 }),
		edit("hidden-missing", "a hidden hash left out", "disclosure", func(p *DisclosedPart) { p.Hidden = p.Hidden[1:] }),
		edit("hidden-more", "a hidden hash too many", "disclosure", func(p *DisclosedPart) { p.Hidden = append(p.Hidden, p.Hidden[0]) }),
		edit("hidden-order", "hidden hashes in another order", "commitment", func(p *DisclosedPart) {
			p.Hidden[0], p.Hidden[1] = p.Hidden[1], p.Hidden[0]
		}),
		edit("hidden-short", "hash of 31 bytes", "disclosure", func(p *DisclosedPart) { p.Hidden[0] = p.Hidden[0][:31] }),
		// The root alone is that of a tree of any size: only the count in the commitment tells.
		edit("root-of-other-count", "the true root for another number of segments", "commitment", func(p *DisclosedPart) {
			p.Segments, p.Shown, p.Hidden = 2, []DisclosedSegment{}, [][]byte{unhex(t, v.Parts[0].Root)}
		}),
		text("parts", "another number of parts", "disclosure", strings.Replace(v.Disclosure, "]}]}", "]}"+again+"]}", 1)),
	}
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
