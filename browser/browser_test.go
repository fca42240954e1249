// Package browser_test holds the JavaScript reader against the Go one.
package browser_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/need"
)

type question struct {
	Signatures int    `json:"signatures"`
	Entry      []byte `json:"entry"`
}

type blob struct {
	Event  int    `json:"event"`
	Slot   string `json:"slot"`
	Class  string `json:"class"`
	SHA256 string `json:"sha256"`
	Size   uint64 `json:"size"`
}

type answer struct {
	OK       bool     `json:"ok"`
	Code     string   `json:"code"`
	Session  string   `json:"session"`
	Track    string   `json:"track"`
	Seq      uint64   `json:"seq"`
	Prev     string   `json:"prev"`
	Recorder string   `json:"recorder"`
	Types    []string `json:"types"`
	Blobs    []blob   `json:"blobs"`
}

// goAnswer is what the Go reader says.
func goAnswer(q question) (a answer) {
	parse := entry.Parse
	if q.Signatures == 1 {
		parse = entry.ParseSubmission
	}
	e, err := parse(q.Entry)
	if err != nil {
		var ee *entry.Error
		if !errors.As(err, &ee) {
			panic(err)
		}
		return answer{Code: string(ee.Code)}
	}
	a = answer{OK: true, Session: e.Session, Track: e.Track, Seq: e.Seq, Prev: e.Prev.String(), Recorder: e.Recorder.Name, Blobs: []blob{}}
	for _, ev := range e.Events {
		a.Types = append(a.Types, string(ev.Type))
	}
	for _, b := range e.Blobs {
		a.Blobs = append(a.Blobs, blob{b.Event, b.Slot, b.Class, b.SHA256.String(), b.Size})
	}
	return a
}

const schema = "../docs/spec/entry.schema.json"

// modules is the name of a module that Node runs. All are read here, so that a changed one makes go test run again.
func modules(t *testing.T, name string) string {
	t.Helper()
	files, err := filepath.Glob("*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, schema) {
		if _, err := os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// ask puts questions to the JavaScript reader, all in one run of Node.
func ask(t *testing.T, questions []question) []answer {
	t.Helper()
	cmd := exec.Command(need.Program(t, "node"), modules(t, "check.mjs"), schema)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer in.Close()
		w := bufio.NewWriter(in)
		enc := json.NewEncoder(w)
		for _, q := range questions {
			if enc.Encode(q) != nil {
				return
			}
		}
		w.Flush()
	}()
	var answers []answer
	for dec := json.NewDecoder(out); ; {
		var a answer
		if err := dec.Decode(&a); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	return answers
}

type vector struct {
	question
	Name string `json:"name"`
	Code string `json:"code"`
}

func vectors(t *testing.T) (all []vector) {
	for _, name := range []string{"valid", "invalid"} {
		b, err := os.ReadFile("../docs/spec/vectors/entry-" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var some []vector
		if err := json.Unmarshal(b, &some); err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

func compare(t *testing.T, name func(i int) string, questions []question) (accepted int) {
	t.Helper()
	for i, js := range ask(t, questions) {
		want := goAnswer(questions[i])
		if !reflect.DeepEqual(js, want) {
			t.Errorf("%s: JavaScript says\n%+v, Go\n%+v, of\n%q", name(i), js, want, questions[i].Entry)
		}
		if want.OK {
			accepted++
		}
	}
	return accepted
}

func TestReadersAgreeOnVectors(t *testing.T) {
	all := vectors(t)
	var questions []question
	for _, v := range all {
		questions = append(questions, v.question)
	}
	if n := compare(t, func(i int) string { return all[i].Name }, questions); n < 40 {
		t.Errorf("only %d vectors are valid", n)
	}
}

// TestReadersAgreeOnMutations changes vectors at random (by a fixed seed) in ways that tend to stay near the grammar.
func TestReadersAgreeOnMutations(t *testing.T) {
	const count = 30_000
	all := vectors(t)
	r := rand.New(rand.NewPCG(305, 2033))
	pick := func(b []byte) []byte { // a piece of b
		from := r.IntN(len(b))
		return b[from : from+min(1+r.IntN(24), len(b)-from)]
	}
	pieces := []string{"\n", "\n\n", "\r", "\"", "\\", `\n`, `\ud800`, `\ude00`, "{", "}", "[", "]", ",", ":", "-0", "0", "1.0", "1e1",
		"9007199254740991", "9007199254740992", "null", "true", "false", " ", "\t", "\x7f", "\xff", "\xed\xa0\x80", "ſ", "K", "—", "=",
		`"tool"`, `"Tool"`, `"parts":[`, `"event":`, "é", "\u2028", "\ufeff", "+", "/received"}
	var questions []question
	for range count {
		q := all[r.IntN(len(all))].question
		b := append([]byte(nil), q.Entry...)
		for range 1 + r.IntN(2) {
			at := r.IntN(len(b))
			switch r.IntN(10) {
			default: // another letter or digit for one, which ids, numbers and base64 often survive
				const alnum = "AEIMQUYcgkosw048abz9"
				if c := b[at]; c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
					b[at] = alnum[r.IntN(len(alnum))]
				}
			case 0:
				b[at] ^= 1 << r.IntN(8)
			case 1:
				b = append(b[:at:at], b[min(at+1+r.IntN(4), len(b)):]...)
			case 2:
				b = append(b[:at:at], append([]byte(pieces[r.IntN(len(pieces))]), b[at:]...)...)
			case 3:
				b = append(b[:at:at], append(pick(b), b[at:]...)...)
			case 4:
				b = append(b[:at:at], append([]byte(pieces[r.IntN(len(pieces))]), b[min(at+1, len(b)):]...)...)
			case 5:
				other := all[r.IntN(len(all))].Entry
				b = append(b[:at:at], append(pick(other), b[at:]...)...)
			}
			if len(b) == 0 {
				b = []byte("x")
			}
		}
		questions = append(questions, question{q.Signatures, b})
	}
	accepted := compare(t, func(i int) string { return fmt.Sprint("mutation ", i) }, questions)
	t.Logf("%d of %d mutations are accepted by both", accepted, count)
	if accepted < 100 {
		t.Error("too few mutations are accepted to tell anything")
	}
}
