package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// What document accepts is JSON, and what it refuses is not, but for depth. Its parts are JSON again, byte for byte.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{}`, ` {"a" : [1, -0, 1.5e-7, "\u00e9\n", true, null] , "b":{}} `, `[[[[]]]]`, `"x"`, `01`, `{"a":1,"a":2}`, `{"a"}`,
		"\"\x00\"", "\"\xff\"", `"\ud800"`, `[1,]`, `1e`, `-`, `nul`, `{"a":1}x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := document(b)
		var p *Problem
		if err != nil {
			if !errors.As(err, &p) {
				t.Fatalf("%v is no problem", err)
			}
			if p.Code != CodeJSONDepth && utf8.Valid(b) && json.Valid(b) {
				t.Fatalf("valid JSON refused: %v", err)
			}
			return
		}
		if !json.Valid(b) || !bytes.Equal(bytes.TrimSpace(b), raw) {
			t.Fatalf("accepted %q as %q", b, raw)
		}
		if ms, err := members(raw); err == nil {
			for _, m := range ms {
				if !json.Valid(m.value) || !bytes.Contains(b, m.value) {
					t.Fatalf("member %q", m.value)
				}
			}
		}
		if es, err := elements(raw, 1000); err == nil {
			for _, e := range es {
				if !json.Valid(e) {
					t.Fatalf("element %q", e)
				}
			}
		}
	})
}

// Whatever a client sends as an event, it is refused with a name, or is an event that package entry accepts.
func FuzzTranslate(f *testing.F) {
	for _, s := range []string{
		`{"action":"a","tool":"t","params":{"x":1}}`, `{"action":"a","tool":"t","params":1,"refs":[{"system":"s","type":"t","id":"i"}]}`,
		`{"action":"a","tool":"t","params":1,"because":[{"track":"main","seq":0}],"event_id":"e"}`, `{"params":null}`,
		`{"a\"b":1}`, `{"params":{"media":"json"},"target":[]}`, `{"time":"2026-01-01T00:00:00.000000Z","event_id":""}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := document(b)
		if err != nil {
			return
		}
		ms, err := members(raw)
		if err != nil {
			return
		}
		p, err := translate(entry.TypeActionIntent, ms, "")
		var pr *Problem
		if err != nil {
			if !errors.As(err, &pr) || pr.Code == CodeInternal {
				t.Fatalf("%v is no named problem", err)
			}
			return
		}
		seal := func(string, payload.Media, payload.Class, []byte) (*entry.Payload, error) {
			return &entry.Payload{Media: "json", Commitment: &entry.Hash{}, Blobs: []entry.Blob{{Class: "content", Size: 318}}}, nil
		}
		p.id = "e-1"
		v, err := p.build(seal)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Marshal(p.typ, 0, v); err != nil {
			t.Fatalf("%s: %v", p.line, err)
		}
	})
}
