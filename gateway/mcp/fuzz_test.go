package mcp_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
)

// eager is a server's input that looks, at every write, whether what may be a call has its acknowledged intent.
type eager struct {
	sink
	rec *fake
	bad func(string)
}

func (e *eager) Write(b []byte) (int, error) {
	if callsSomething(b) {
		e.rec.mu.Lock()
		found := false
		for _, r := range e.rec.events[:e.rec.acked] {
			found = found || r.typ == entry.TypeActionIntent && r.said["params"] == string(bytes.TrimSuffix(b, []byte("\n")))
		}
		e.rec.mu.Unlock()
		if !found {
			e.bad(string(b))
		}
	}
	return e.sink.Write(b)
}

// callsSomething reads what the server is given as leniently as servers do: universal line ends, member names in any case,
// the last of repeated ones, batches, lines that follow rubbish.
func callsSomething(b []byte) bool {
	for _, l := range bytes.FieldsFunc(b, func(r rune) bool { return r == '\r' || r == '\n' || r == '\u2028' || r == '\u0085' }) {
		for dec := json.NewDecoder(bytes.NewReader(l)); ; {
			var v any
			if dec.Decode(&v) != nil {
				break
			}
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, m := range list {
				o, _ := m.(map[string]any)
				for name, value := range o {
					if strings.EqualFold(name, "method") && value == "tools/call" {
						return true
					}
				}
			}
		}
	}
	return false
}

// FuzzRelay sends arbitrary bytes both ways. What comes out is a subsequence of the lines that went in, byte for byte,
// besides our own answers to the client; nothing that any reader takes for a call goes to the server before its intent is
// acknowledged; and every event that is written is well-formed (the fake sees to that).
func FuzzRelay(f *testing.F) {
	f.Add([]byte(callLine+pingLine), []byte(resultLine+pongLine))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":`+"\r"+strings.TrimSpace(callLine)+"\r}}\n"), []byte("\x1b[31m\n\xff\n"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"Method":"tools/call"}`+"\n"+`{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/call"}`+"\n"), []byte(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`+"\n"))
	f.Add([]byte(`[`+strings.TrimSpace(callLine)+`]`+"\n"+`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`), []byte(resultLine+resultLine))
	f.Add([]byte(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`+"\n"), []byte(`{"jsonrpc":"2.0","id":2,"result":{"tools":[1,2]}}`+"\n"))
	f.Fuzz(func(t *testing.T, fromClient, fromServer []byte) {
		rec := &fake{}
		var once sync.Once
		toServer := &eager{rec: rec, bad: func(l string) { once.Do(func() { t.Errorf("forwarded without its intent: %q", l) }) }}
		toClient := &sink{}
		// The server speaks when the client has ended, so that calls are in flight.
		out := &following{after: toServer, r: bytes.NewReader(fromServer)}
		err := mcp.Relay(t.Context(), mcp.Config{
			Stdin: bytes.NewReader(fromClient), Stdout: toClient, Recorder: rec, MaxLine: 1024, MaxInFlight: 4,
		}, toServer, out)
		if err != nil {
			t.Fatal(err)
		}
		isSubsequence(t, toServer.take(), fromClient, false)
		isSubsequence(t, toClient.take(), fromServer, true)
		calls := map[entry.ID]int{}
		for _, r := range rec.all() {
			switch v := r.value.(type) {
			case entry.ActionIntent:
				calls[v.Action]++
			case entry.ActionResult:
				calls[v.Action]--
			}
		}
		for action, open := range calls {
			if open != 0 {
				t.Errorf("%s has an intent and %d results", action, 1-open)
			}
		}
	})
}

// following is read only when the client's end is closed.
type following struct {
	after *eager
	r     *bytes.Reader
}

func (f *following) Read(b []byte) (int, error) {
	f.after.untilClosed()
	return f.r.Read(b)
}

func isSubsequence(t *testing.T, got string, of []byte, answers bool) {
	lines := bytes.SplitAfter(of, []byte("\n"))
	for _, l := range strings.SplitAfter(got, "\n") {
		if l == "" || answers && strings.Contains(l, `"data":{"steno":`) {
			continue
		}
		if !utf8.ValidString(l) {
			t.Fatalf("relayed what is not UTF-8: %q", l)
		}
		for len(lines) > 0 && string(lines[0]) != l {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			t.Fatalf("relayed what nobody said: %q", l)
		}
		lines = lines[1:]
	}
}
