package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// EXACT-BYTES: whatever the bytes, the segments are the bytes, and the JSON lexer agrees with another one on what JSON is.
func FuzzEXACTBYTES_split(f *testing.F) {
	for _, v := range splitVectors() {
		f.Add(string(v.Media), v.Bytes)
	}
	f.Fuzz(func(t *testing.T, media string, b []byte) {
		m, segs := Split(Media(media), b, func(int, []byte) Class { return Content })
		var joined []byte
		for _, s := range segs {
			joined = append(joined, s.Bytes...)
		}
		if !bytes.Equal(joined, b) {
			t.Fatalf("%q became %q", b, joined)
		}
		if len(b) <= MaxPayload {
			if err := checkSegments(m, segs); err != nil {
				t.Fatal(err)
			}
		}
		if m != trueMedia(Media(media), b) {
			t.Fatalf("media %q", m)
		}
		nested := bytes.Count(b, []byte("[")) + bytes.Count(b, []byte("{"))
		if want := json.Valid(b) && utf8.Valid(b); Media(media) == JSON && nested <= maxDepth && (m == JSON) != want {
			t.Fatalf("%q: JSON %v, encoding/json says %v", b, m == JSON, want)
		}
	})
}

// A scalar is a segment of its own, whole: its neighbours are text between.
func FuzzJSONScalars(f *testing.F) {
	for _, v := range splitVectors() {
		f.Add(v.Bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, segs := Split(JSON, b, func(int, []byte) Class { return Content })
		if m != JSON || len(segs) >= MaxSegments || len(b) > MaxPayload {
			return
		}
		var got []string
		for _, s := range segs {
			if c := s.Bytes[0]; c != ' ' && json.Valid(s.Bytes) && !strings.ContainsAny(string(c), "[{\t\r\n") {
				got = append(got, string(s.Bytes))
			}
		}
		if want := scalars(t, b); !slices.Equal(got, want) {
			t.Fatalf("%q: scalars %q, want %q", b, got, want)
		}
	})
}

// scalars lists the scalar values of a JSON text as encoding/json finds them, as they stand.
func scalars(t *testing.T, b []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	type level struct{ object, name bool }
	var out []string
	var in []level
	for {
		start := dec.InputOffset()
		tok, err := dec.Token()
		if err != nil {
			return out
		}
		d, delim := tok.(json.Delim)
		top := len(in) - 1
		if delim && (d == '}' || d == ']') {
			in = in[:top]
			continue
		}
		isName := top >= 0 && in[top].object && in[top].name
		if top >= 0 && in[top].object {
			in[top].name = !in[top].name
		}
		switch {
		case delim:
			in = append(in, level{d == '{', true})
		case !isName:
			out = append(out, string(bytes.TrimLeft(b[start:dec.InputOffset()], " \t\r\n,:")))
		}
	}
}

// What parses is the only encoding of what it says.
func FuzzPlaintext(f *testing.F) {
	for _, v := range validVectors(f) {
		for _, p := range v.Parts {
			for _, b := range p.Blobs {
				f.Add(b.Plaintext)
			}
		}
	}
	f.Add(pad([]byte("\x03\x01\x01\x01" + strings.Repeat("h", 64) + "b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePlaintext(b)
		if err != nil {
			if !errors.Is(err, ErrPlaintext) {
				t.Fatal(err)
			}
			return
		}
		if again := p.append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzRef(f *testing.F) {
	for _, v := range validVectors(f) {
		f.Add([]byte(v.Ref))
	}
	for _, v := range invalidRefs(f) {
		f.Add([]byte(v.Ref))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Ref
		if r.UnmarshalJSON(b) != nil {
			return
		}
		if again := mustJSON(t, r); again != string(b) {
			t.Fatalf("%q became %q", b, again)
		}
	})
}

// No other disclosure of one payload than the one made verifies with the same content, and none shows other content.
func FuzzDisclosure(f *testing.F) {
	v := recipes()[2].vector(f)
	var ref Ref
	if err := json.Unmarshal([]byte(v.Ref), &ref); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(v.Disclosure))
	for _, i := range invalidDisclosures(f) {
		f.Add([]byte(i.Disclosure))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Disclosure
		if d.UnmarshalJSON(b) != nil {
			return
		}
		if again := mustJSON(t, d); again != string(b) {
			t.Fatalf("%q became %q", b, again)
		}
		s, err := VerifyDisclosure(ref, d)
		if err != nil {
			return
		}
		for i, seg := range s.Segments {
			if want := v.Parts[0].Segments[i]; seg.Known && string(seg.Bytes) != string(want.Bytes) {
				t.Fatalf("segment %d shown as %q", i, seg.Bytes)
			}
		}
	})
}

// Any subset of any subset: covers, hashes and the plain recursion give one root.
func FuzzCovers(f *testing.F) {
	f.Add(uint16(7), []byte{0b0101010})
	f.Add(uint16(1), []byte{0})
	f.Add(uint16(300), []byte{0xff, 0, 0x81})
	f.Fuzz(func(t *testing.T, size uint16, mask []byte) {
		n := int(size)%1000 + 1
		leaves := make([]Hash, n)
		known := hashes{leaf: map[int]Hash{}, inner: map[span]Hash{}}
		var shown []int
		for i := range leaves {
			leaves[i] = Hash{byte(i), byte(i >> 8), 1}
			if i/8 < len(mask) && mask[i/8]>>(i%8)&1 == 1 {
				shown = append(shown, i)
				known.leaf[i] = leaves[i]
			}
		}
		spans := covers(n, shown)
		if len(spans) > n-len(shown) {
			t.Fatalf("%d covers for %d hidden", len(spans), n-len(shown))
		}
		for _, s := range spans {
			known.inner[s] = treeHash(leaves[s.lo:s.hi])
		}
		if root, ok := known.of(span{0, n}); !ok || root != treeHash(leaves) {
			t.Fatal("another root")
		}
	})
}
