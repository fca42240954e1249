package entry_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

func seeds(f *testing.F) (all []vector) {
	for _, file := range []string{"entry-valid.json", "entry-invalid.json"} {
		var vectors []vector
		if err := json.Unmarshal(must(os.ReadFile(vectorDir+file)), &vectors); err != nil {
			f.Fatal(err)
		}
		all = append(all, vectors...)
	}
	return all
}

// FuzzParse holds EXACT-BYTES: what was accepted is made of the bytes that came in, and only of them.
func FuzzParse(f *testing.F) {
	for _, v := range seeds(f) {
		f.Add(v.Entry)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := entry.Parse(b)
		if err != nil {
			return
		}
		var lines [][]byte
		for _, ev := range e.Events {
			lines = append(lines, ev.Raw)
			if !json.Valid(ev.Raw) {
				t.Fatalf("accepted what is no JSON: %q", ev.Raw)
			}
			if _, err := ev.Value(); err != nil {
				t.Fatalf("accepted what does not decode: %v", err)
			}
		}
		text, err := entry.Compose(e.Header, lines...)
		if err != nil {
			t.Fatal(err)
		}
		again := append(append(append(text, '\n'), e.Recorder.Line...), e.Received.Line...)
		if !bytes.Equal(again, b) {
			t.Fatalf("header, events and signature lines are not the whole entry:\n%q\n%q", again, b)
		}
	})
}

func FuzzOpenEnrolment(f *testing.F) {
	_, vkey := must2(note.GenerateKey(nil, "acme/enroller"))
	verifiers := note.VerifierList(must(note.NewVerifier(vkey)))
	f.Add([]byte("steno/enrolment/v1\nlog.example\n" + vkey + "\nagent\n2026-11-01T00:00:00.000000Z\n2027-11-01T00:00:00.000000Z\nbot\n\n— acme/enroller AAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := entry.OpenEnrolment(b, verifiers); err == nil {
			t.Fatal("accepted an enrolment that nobody signed")
		}
	})
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}
