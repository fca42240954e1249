package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

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
	return slices.Concat(invalidRefs(t), invalidPlaintexts(t), invalidOpens(t), invalidDisclosures(t), moreDisclosures(t))
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

// moreDisclosures are of other payloads than that of invalidDisclosures: what each does wrong is all that is wrong.
func moreDisclosures(t testing.TB) []invalidVector {
	empty, binary := recipes()[3].vector(t), recipes()[5].vector(t)
	sub := func(name, reason string, v validVector, old, new string) invalidVector {
		if !strings.Contains(v.Disclosure, old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		return invalidVector{Name: "disclosure-" + name, Op: "disclosure", Reason: reason, Error: "disclosure", Ref: v.Ref,
			Disclosure: strings.Replace(v.Disclosure, old, new, 1)}
	}
	keys := vectorKeys(t, "invalid")
	key, err := deriveBlobKey(keys[Content], bytes.Repeat([]byte{7}, blobSaltSize), vectorAt, Content)
	if err != nil {
		t.Fatal(err)
	}
	commitment, _ := forgedTree(t, keys, "a", "")
	d := Disclosure{disclosureFormat, []DisclosedPart{{Segments: 2, Hidden: [][]byte{}}}}
	for i, b := range []string{"a", ""} {
		s := key.salt(i)
		d.Parts[0].Shown = append(d.Parts[0].Shown, DisclosedSegment{i, "content", s[:], []byte(b)})
	}
	_, blob := forged(t, keys, Content, pad([]byte("\x01\x01\x00\x00")))
	ref := Ref{Media: Binary, Commitment: commitment, Blobs: []BlobRef{blob}}
	return []invalidVector{
		sub("null-bytes", "null for an empty string", empty, `"bytes":""`, `"bytes":null`),
		sub("null-hidden", "null for an empty list", empty, `"hidden":[]`, `"hidden":null`),
		sub("class-before", "a class that the event has no blob of", binary, `"directory"`, `"content"`),
		{Name: "disclosure-empty-segment", Op: "disclosure", Reason: "empty segment beside another", Error: "disclosure",
			Ref: mustJSON(t, ref), Disclosure: mustJSON(t, d)},
	}
}

// Two blobs that are sound by themselves, and together hold more than a payload may.
func TestOpen_tooLargeTogether(t *testing.T) {
	keys := vectorKeys(t, "large")
	segs := [][]byte{make([]byte, MaxPayload), {1}}
	var leaves []Hash
	for i, c := range []Class{Content, Personal} {
		key, err := deriveBlobKey(keys[c], bytes.Repeat([]byte{7}, blobSaltSize), vectorAt, c)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leafHash(c, key.salt(i), segs[i]))
	}
	ref := Ref{Media: Binary, Commitment: commitTo(2, treeHash(leaves))}
	blobs := make(map[Hash][]byte)
	for i, c := range []Class{Content, Personal} {
		p := plaintext{n: 2, index: []int{i}, bytes: segs[i : i+1], hidden: leaves[1-i : 2-i]}
		blob, b := forged(t, keys, c, p.append(nil))
		ref.Blobs, blobs[b.SHA256] = append(ref.Blobs, b), blob
	}
	for _, c := range []Class{Content, Personal} {
		o, err := Open(Keys{c: keys[c]}, vectorAt, ref, blobs)
		if err != nil {
			t.Fatalf("%v alone: %v", c, err)
		}
		if _, err := VerifyDisclosure(ref, o.Disclose(nil)); err != nil {
			t.Fatalf("%v alone: %v", c, err)
		}
	}
	if _, err := Open(keys, vectorAt, ref, blobs); !errors.Is(err, ErrPlaintext) {
		t.Fatalf("opened together: %v", err)
	}
	d := Disclosure{disclosureFormat, []DisclosedPart{{Segments: 2, Hidden: [][]byte{}}}}
	for i, c := range []Class{Content, Personal} {
		key, err := deriveBlobKey(keys[c], bytes.Repeat([]byte{7}, blobSaltSize), vectorAt, c)
		if err != nil {
			t.Fatal(err)
		}
		s := key.salt(i)
		d.Parts[0].Shown = append(d.Parts[0].Shown, DisclosedSegment{i, c.String(), s[:], segs[i]})
	}
	if _, err := VerifyDisclosure(ref, d); !errors.Is(err, ErrDisclosure) {
		t.Fatalf("shown together: %v", err)
	}
}
