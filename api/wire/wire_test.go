package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
)

func frame(kind byte, data string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data)))) + data
}

var key = strings.Repeat("k", 32)

func TestRoundTrip(t *testing.T) {
	want := []wire.Submitted{
		{Entry: []byte("open"), Blobs: [][]byte{[]byte("a"), []byte("b")}, Wraps: []wire.Wrap{{entry.Hash([]byte(key)), []byte("age")}}},
		{Entry: []byte("more")},
	}
	b, err := wire.Append([]byte("before"), want...)
	if err != nil {
		t.Fatal(err)
	}
	text := "before" + wire.Magic + frame('E', "open") + frame('B', "a") + frame('B', "b") + frame('W', key+"age") + frame('E', "more")
	if string(b) != text {
		t.Fatalf("got %q, want %q", b, text)
	}
	got, err := wire.Parse(b[len("before"):])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParse_refuses(t *testing.T) {
	e := frame('E', "entry")
	big := func(kind string, n int) string { return kind + string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	for name, c := range map[string]struct{ body, code string }{
		"empty":             {"", wire.CodeVersion},
		"other version":     {"steno/submission/v2\n" + e, wire.CodeVersion},
		"CR":                {"steno/submission/v1\r\n" + e, wire.CodeVersion},
		"no entry":          {wire.Magic, wire.CodeFraming},
		"blob first":        {wire.Magic + frame('B', "b"), wire.CodeFraming},
		"wrap first":        {wire.Magic + frame('W', key+"w"), wire.CodeFraming},
		"blob after wrap":   {wire.Magic + e + frame('W', key+"w") + frame('B', "b"), wire.CodeFraming},
		"unknown kind":      {wire.Magic + e + frame('X', "x"), wire.CodeFraming},
		"lower-case kind":   {wire.Magic + frame('e', "x"), wire.CodeFraming},
		"empty entry":       {wire.Magic + frame('E', ""), wire.CodeFraming},
		"empty blob":        {wire.Magic + e + frame('B', ""), wire.CodeFraming},
		"wrap without file": {wire.Magic + e + frame('W', key), wire.CodeFraming},
		"short wrap":        {wire.Magic + e + frame('W', "short"), wire.CodeFraming},
		"head cut":          {wire.Magic + e + "E\x00\x00", wire.CodeTruncated},
		"data cut":          {wire.Magic + e[:len(e)-1], wire.CodeTruncated},
		"trailing line":     {wire.Magic + e + "\n", wire.CodeFraming},
		"entry too large":   {wire.Magic + big("E", entry.MaxLeaf+1), wire.CodeFrameSize},
		"blob too large":    {wire.Magic + e + big("B", wire.MaxBlob+1), wire.CodeFrameSize},
		"wrap too large":    {wire.Magic + e + big("W", wire.MaxWrap+33), wire.CodeFrameSize},
		"length 2^32-1":     {wire.Magic + big("E", 1<<32-1), wire.CodeFrameSize},
		"too many entries":  {wire.Magic + strings.Repeat(e, wire.MaxEntries+1), wire.CodeTooMany},
		"too many blobs":    {wire.Magic + e + strings.Repeat(frame('B', "b"), wire.MaxBlobs+1), wire.CodeTooMany},
		"too many wraps":    {wire.Magic + e + strings.Repeat(frame('W', key+"w"), wire.MaxWraps+1), wire.CodeTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.Parse([]byte(c.body))
			var fe *wire.FramingError
			if !errors.As(err, &fe) || fe.Code != c.code || got != nil {
				t.Fatalf("got %v, %v, want code %s", got, err, c.code)
			}
			if fe.Offset < 0 || fe.Offset > len(c.body) {
				t.Errorf("offset %d lies outside a body of %d bytes", fe.Offset, len(c.body))
			}
		})
	}
}

func TestAppend_refusesWhatParseRefuses(t *testing.T) {
	for _, subs := range [][]wire.Submitted{
		nil,
		{{}},
		{{Entry: []byte("e"), Blobs: [][]byte{{}}}},
		{{Entry: make([]byte, entry.MaxLeaf+1)}},
		{{Entry: []byte("e"), Wraps: []wire.Wrap{{}}}},
	} {
		if b, err := wire.Append(nil, subs...); err == nil || b != nil {
			t.Errorf("%v was framed", subs)
		}
	}
}

// What is parsed is printed again as the same bytes: one submission has one spelling.
func FuzzParse(f *testing.F) {
	f.Add([]byte(wire.Magic))
	f.Add([]byte(wire.Magic + frame('E', "e") + frame('B', "b") + frame('W', key+"w") + frame('E', "f")))
	f.Add([]byte(wire.Magic + frame('E', "e") + frame('W', key+"w") + frame('B', "b")))
	f.Add([]byte(wire.Magic + "E\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		subs, err := wire.Parse(body)
		if err != nil {
			return
		}
		again, err := wire.Append(nil, subs...)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("%q was printed as %q, %v", body, again, err)
		}
	})
}

// Blobs are read as they come: in pieces of any size, until the reader fails, and no farther than who takes them wants.
func TestReadBlobs(t *testing.T) {
	body := wire.BlobsMagic + frame('B', "one") + frame('B', "two") + frame('B', "three")
	mine := errors.New("mine")
	var got []string
	take := func(b []byte) error { got = append(got, string(b)); return nil }
	if err := wire.ReadBlobs(iotest.OneByteReader(strings.NewReader(body)), take); err != nil || strings.Join(got, " ") != "one two three" {
		t.Errorf("%v, %v", got, err)
	}
	for cut := range len(body) {
		got = nil
		failing := io.MultiReader(strings.NewReader(body[:cut]), iotest.ErrReader(mine))
		if err := wire.ReadBlobs(failing, take); !errors.Is(err, mine) {
			t.Errorf("fails at %d: %v", cut, err)
		}
		whole := cut == len(wire.BlobsMagic) || cut == len(wire.BlobsMagic)+8 || cut == len(wire.BlobsMagic)+16
		var fe *wire.FramingError
		if err := wire.ReadBlobs(strings.NewReader(body[:cut]), take); (err == nil) != whole || err != nil && !errors.As(err, &fe) {
			t.Errorf("ends at %d: %v", cut, err)
		}
	}
	if err := wire.ReadBlobs(strings.NewReader(body+"X"), func([]byte) error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
}

func FuzzParseBlobs(f *testing.F) {
	f.Add([]byte(wire.BlobsMagic))
	f.Add([]byte(wire.BlobsMagic + frame('B', "a") + frame('B', "b")))
	f.Add([]byte(wire.BlobsMagic + frame('B', "a") + "B\x00"))
	f.Add([]byte(wire.BlobsMagic + frame('E', "a")))
	f.Fuzz(func(t *testing.T, body []byte) {
		blobs, err := wire.ParseBlobs(body)
		if err != nil {
			var fe *wire.FramingError
			if !errors.As(err, &fe) || fe.Offset > len(body) {
				t.Fatalf("%v", err)
			}
			return
		}
		again := []byte(wire.BlobsMagic)
		for _, b := range blobs {
			again = wire.AppendBlob(again, b)
		}
		if !bytes.Equal(again, body) {
			t.Fatalf("%q was printed as %q", body, again)
		}
	})
}
