package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
)

// TestINTENTFIRST_ambiguousLinesAreRefused has lines that two readers may take for different things. The server sees none
// of them, the record has all of them.
func TestINTENTFIRST_ambiguousLinesAreRefused(t *testing.T) {
	inner := `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"rm"}}`
	for _, c := range []struct{ name, line, id, why string }{
		{"batch", `[` + inner + `]`, "null", "batch"},
		{"empty batch", ` []`, "null", "batch"},
		{"batch that is not JSON", `[` + inner, "null", "batch"},
		{"not JSON", `{"jsonrpc":"2.0","id":3,"method":"ping",}`, "null", "malformed"},
		{"two values", pingLine[:len(pingLine)-1] + inner, "null", "malformed"},
		{"comment", `/**/` + inner, "null", "malformed"},
		{"byte order mark", "\ufeff" + inner, "null", "malformed"},
		{"single quotes", `{'jsonrpc':'2.0','id':3,'method':'tools/call'}`, "null", "malformed"},
		{"NaN", `{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":NaN}}`, "null", "malformed"},
		{"leading zero", `{"jsonrpc":"2.0","id":03,"method":"ping"}`, "null", "malformed"},
		{"control character in a string", "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"params\":{\"a\":\"\t\"}}", "null", "malformed"},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\xff\"}", "null", "malformed"},
		{"overlong UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"\xc0\xafping\"}", "null", "malformed"},
		{"line in a line, by carriage returns", `{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":` + "\r" + inner + "\r}}", "null", "malformed"},
		{"too deep", `{"jsonrpc":"2.0","id":3,"method":"ping","params":{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}}`, "null", "malformed"},
		{"scalar", `"tools/call"`, "null", "malformed"},
		{"method twice", `{"jsonrpc":"2.0","id":3,"method":"ping","method":"tools/call"}`, "3", "malformed"},
		{"method twice, one escaped", `{"jsonrpc":"2.0","id":3,"method":"ping","m\u0065thod":"tools/call"}`, "3", "malformed"},
		{"id twice", `{"jsonrpc":"2.0","id":3,"id":4,"method":"ping"}`, "null", "malformed"},
		{"params twice", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}`, "3", "malformed"},
		{"tool name twice", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a","name":"b"}}`, "3", "malformed"},
		{"argument twice, deep", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a","arguments":{"x":[{"p":1,"p":2}]}}}`, "3", "malformed"},
		{"many members, one twice", `{"jsonrpc":"2.0","id":3,"method":"ping","params":{` + manyMembers(40) + `"m7":0}}`, "3", "malformed"},
		{"Method", `{"jsonrpc":"2.0","id":3,"Method":"tools/call","method":"ping"}`, "3", "malformed"},
		{"METHOD alone", `{"jsonrpc":"2.0","id":3,"METHOD":"tools/call"}`, "3", "malformed"},
		{"ID beside id", `{"jsonrpc":"2.0","id":3,"ID":4,"method":"ping"}`, "null", "malformed"},
		{"params with a long s", `{"jsonrpc":"2.0","id":3,"method":"tools/call","paramſ":{"name":"a"},"params":{"name":"b"}}`, "3", "malformed"},
		{"Name beside name", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"read","Name":"write"}}`, "3", "malformed"},
		{"method with NUL, which ends a string of C", `{"jsonrpc":"2.0","id":3,"method":"tools/call\u0000"}`, "3", "malformed"},
		{"method with NUL and more", `{"jsonrpc":"2.0","id":3,"method":"tools/call\u0000/x"}`, "3", "malformed"},
		{"method with a line feed", `{"jsonrpc":"2.0","id":3,"method":"tools/call\n"}`, "3", "malformed"},
		{"method in capitals", `{"jsonrpc":"2.0","id":3,"method":"Tools/Call"}`, "3", "malformed"},
		{"method with a space", `{"jsonrpc":"2.0","id":3,"method":" tools/call"}`, "3", "malformed"},
		{"method with half a surrogate pair", `{"jsonrpc":"2.0","id":3,"method":"tools/call\ud800"}`, "3", "malformed"},
		{"notification of a method with NUL", `{"jsonrpc":"2.0","method":"tools/call\u0000"}`, "null", "malformed"},
		{"name method with NUL", `{"jsonrpc":"2.0","id":3,"method\u0000x":"tools/call","method":"ping"}`, "3", "malformed"},
		{"name METHOD with NUL", `{"jsonrpc":"2.0","id":3,"METHOD\u0000":"tools/call","method":"ping"}`, "3", "malformed"},
		{"name method with half a surrogate pair", `{"jsonrpc":"2.0","id":3,"method\udc00":"tools/call","method":"ping"}`, "3", "malformed"},
		{"name id with NUL", `{"jsonrpc":"2.0","id\u0000":4,"id":3,"method":"ping"}`, "null", "malformed"},
		{"name name with NUL", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name\u0000":"rm","name":"ls"}}`, "3", "malformed"},
		{"name of an argument with NUL", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"rm","arguments":{"a":[{"p\u0000":"/","p":"/tmp"}]}}}`, "3", "malformed"},
		{"no version", `{"id":3,"method":"tools/call"}`, "3", "malformed"},
		{"version 1.0", `{"jsonrpc":"1.0","id":3,"method":"tools/call"}`, "3", "malformed"},
		{"id null", `{"jsonrpc":"2.0","id":null,"method":"tools/call"}`, "null", "malformed"},
		{"id an object", `{"jsonrpc":"2.0","id":{},"method":"tools/call"}`, "null", "malformed"},
		{"id true", `{"jsonrpc":"2.0","id":true,"method":"tools/call"}`, "null", "malformed"},
		{"call without an id", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"rm"}}`, "null", "malformed"},
		{"method a list", `{"jsonrpc":"2.0","id":3,"method":["tools/call"]}`, "3", "malformed"},
		{"request and response", `{"jsonrpc":"2.0","id":3,"method":"tools/call","result":{}}`, "3", "malformed"},
		{"result and error", `{"jsonrpc":"2.0","id":3,"result":{},"error":{}}`, "3", "malformed"},
		{"neither", `{"jsonrpc":"2.0","id":3}`, "3", "malformed"},
		{"params a list", `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":["rm"]}`, "3", "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, mcp.Config{}, func(r *rig) {
				r.says(r.client, c.line+"\n")
				r.want("server", r.toServer.take(), "")
				answer := r.toClient.take()
				mustContain(t, "answer", answer, `{"jsonrpc":"2.0","id":`+c.id+`,"error":{"code":-32`, `"why":"`+c.why+`"`)
				if strings.Count(answer, "\n") != 1 {
					t.Fatalf("answer of several lines: %q", answer)
				}
				rejects := r.rec.of(entry.TypeActionReject)
				if len(rejects) != 1 || rejects[0].said["params"] != c.line || string(rejects[0].value.(entry.ActionReject).Why) != c.why {
					t.Fatalf("rejects %+v", rejects)
				}
				if r.rec.story() != "action.reject" {
					t.Fatalf("story %s", r.rec.story())
				}
				r.says(r.client, callLine) // and it goes on
				r.want("server", r.toServer.take(), callLine)
			})
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	return b.String()
}

// TestEXACTBYTES has lines that a codec would change.
func TestEXACTBYTES_relayedAsTheyCame(t *testing.T) {
	for _, c := range []struct{ call, result string }{
		{`{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"a"}}`, `{"jsonrpc":"2.0","id":1.5,"result":{}}`},
		{`{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{}}`, `{"jsonrpc":"2.0","id":9007199254740993,"result":{}}`},
		{`{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{}}`, `{"jsonrpc":"2.0","id":9007199254740992,"result":{}}`}, // as JavaScript answers
		{`{"jsonrpc":"2.0","id":1e400,"method":"tools/call","params":{}}`, `{"jsonrpc":"2.0","id":1e400,"result":{}}`},
		{`{"jsonrpc":"2.0","id":-0.0,"method":"tools/call","params":{}}`, `{"jsonrpc":"2.0","id":0,"result":{}}`},
		{`{"jsonrpc":"2.0","id":"\u0061<&>\u2028","method":"tools/call","params":{}}`, `{"jsonrpc":"2.0","id":"a<&>\u2028","result":{}}`},
		{`{ "params" : {"x":1E2,"unknown":{"a":"\/"}}, "jsonrpc":"2.0", "id":"","method":"tools\/call", "extra":[1,2] }`, "\t{\"id\":\"\",\"extra\":0,\"result\":{\"isError\":false,\"a\":1,\"a\":2},\"jsonrpc\":\"2.0\"}\r"},
		{`{"jsonrpc":"2.0","id":"é","method":"tools/call","params":{"name":"é"}}` + "\r", `{"jsonrpc":"2.0","id":"\u00e9","result":{}}`},
	} {
		inBubble(t, mcp.Config{}, func(r *rig) {
			r.says(r.client, c.call+"\n")
			r.want("server", r.toServer.take(), c.call+"\n")
			r.says(r.server, c.result+"\n")
			r.want("client", r.toClient.take(), c.result+"\n")
			r.want("story", r.rec.story(), "action.intent action.result")
			r.want("params", r.rec.all()[0].said["params"], c.call)
			r.want("response", r.rec.all()[1].said["response"], c.result)
		})
	}
}

func TestLastLineWithoutLineFeed(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		r.says(r.client, callLine[:len(callLine)-1])
		_ = r.client.Close()
		r.says(r.server, resultLine[:len(resultLine)-1])
		_ = r.server.Close()
		_ = r.end()
		r.want("server", r.toServer.take(), callLine[:len(callLine)-1])
		r.want("client", r.toClient.take(), resultLine[:len(resultLine)-1])
		r.want("story", r.rec.story(), "action.intent action.result")
	})
}

func TestOutcomesInThreeLayers(t *testing.T) {
	for _, c := range []struct {
		answer                    string
		transport, protocol, tool entry.ID
		code                      int64
	}{
		{`"result":{"content":[]}`, "ok", "ok", "success", 0},
		{`"result":{"content":[],"isError":false,"resultType":"complete"}`, "ok", "ok", "success", 0},
		{`"result":{"content":[],"isError":true}`, "ok", "ok", "failure", 0},
		{`"result":{"isError":true,"isError":false}`, "ok", "ok", "unknown", 0},
		{`"result":{"isError":"no"}`, "ok", "ok", "unknown", 0},
		{`"result":{"resultType":"input_required","inputRequests":{}}`, "ok", "ok", "unknown", 0},
		{`"result":{"task":{"taskId":"t"}}`, "ok", "ok", "unknown", 0},
		{`"result":{"task":1,"content":[]}`, "ok", "ok", "success", 0},
		{`"result":null`, "ok", "ok", "unknown", 0},
		{`"error":{"code":-32602,"message":"Unknown tool"}`, "ok", "error", "rejected", -32602},
		{`"error":{"code":-32603,"message":"boom"}`, "ok", "error", "unknown", -32603},
		{`"error":{"code":1.5}`, "ok", "error", "unknown", 0},
		{`"error":{"code":99999999999999999999}`, "ok", "error", "unknown", 0},
		{`"error":null`, "ok", "error", "unknown", 0},
	} {
		inBubble(t, mcp.Config{}, func(r *rig) {
			answer := `{"jsonrpc":"2.0","id":3,` + c.answer + "}\n"
			r.says(r.client, callLine)
			<-after(2 * second)
			r.says(r.server, answer)
			r.want("client", r.toClient.take(), answer)
			got := result(t, r.rec.of(entry.TypeActionResult)[0])
			want := entry.ActionResult{
				Action: "mcp-1", Outcome: entry.Outcome{Transport: c.transport, Protocol: c.protocol, Tool: c.tool},
				Code: c.code, DurationUS: 2_000_000, Response: got.Response,
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s: %+v, want %+v", c.answer, got, want)
			}
		})
	}
}

func TestIDsInFlightAreNotReused(t *testing.T) {
	inBubble(t, mcp.Config{MaxInFlight: 2}, func(r *rig) {
		r.says(r.client, callLine)
		r.toServer.take()
		r.says(r.client, `{"jsonrpc":"2.0","id":3.0,"method":"ping"}`+"\n") // a JavaScript server has one id 3
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":3.0,"error":{"code":-32600`)
		other := strings.Replace(callLine, `"id":3`, `"id":"3"`, 1)
		r.says(r.client, other)
		r.want("server", r.toServer.take(), other)
		r.says(r.client, pingLine) // one too many
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":"p","error":{"code":30504`)
		r.says(r.server, resultLine)
		r.toClient.take()
		r.says(r.client, callLine)
		r.want("server", r.toServer.take(), callLine)
	})
}

func TestCancelledCallIsUnknownUntilSettled(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3,"reason":"slow"}}` + "\n"
		r.says(r.client, callLine, cancel)
		r.want("server", r.toServer.take(), callLine+cancel)
		r.want("story", r.rec.story(), "action.intent message action.result")
		r.says(r.client, callLine) // the id still stands for the cancelled call
		r.want("server", r.toServer.take(), "")
		r.toClient.take()
		r.says(r.server, resultLine)
		r.want("client", r.toClient.take(), resultLine)
		settled := r.rec.of(entry.TypeActionSettle)
		if len(settled) != 1 || settled[0].value.(entry.ActionSettle).Action != "mcp-1" || settled[0].value.(entry.ActionSettle).Outcome.Tool != "success" {
			t.Fatalf("settled %+v", settled)
		}
		r.says(r.server, resultLine) // a second time it answers nothing
		r.want("client", r.toClient.take(), "")
	})
}

func TestOtherTrafficIsRecorded(t *testing.T) {
	inBubble(t, mcp.Config{Source: "files"}, func(r *rig) {
		steps := []struct {
			fromClient bool
			line       string
			event      string
		}{
			{true, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`, "from-agent initialize"},
			{false, `{"jsonrpc":"2.0","id":0,"result":{}}`, "to-agent initialize"},
			{true, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "from-agent notifications/initialized"},
			{true, `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, "from-agent server/discover"},
			{false, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`, "to-agent server/discover"},
			{true, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, "from-agent tools/list"},
			{false, `{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"a"},{"name":"b"}]}}`, `catalog 2 {"tools":[{"name":"a"},{"name":"b"}]}`},
			{true, `{"jsonrpc":"2.0","id":"x","method":"tools/list"}`, "from-agent tools/list"},
			{false, `{"result":{"tools":[{"name":"a"},{"name":"b"}]},"id":"x","jsonrpc":"2.0"}`, `catalog 2 same as gateway-1/7`},
			{true, `{"jsonrpc":"2.0","id":5,"method":"tools/list"}`, "from-agent tools/list"},
			{false, `{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"no"}}`, "to-agent tools/list"},
			{true, `{"jsonrpc":"2.0","id":6,"method":"resources/read","params":{"uri":"file:///a"}}`, "from-agent resources/read"},
			{false, `{"jsonrpc":"2.0","id":6,"result":{"contents":[]}}`, `input retrieval files`},
			{true, `{"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"x"}}`, "from-agent prompts/get"},
			{false, `{"jsonrpc":"2.0","id":7,"result":{}}`, "to-agent prompts/get"},
			{false, `{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}`, "to-agent sampling/createMessage"},
			{true, `{"jsonrpc":"2.0","id":1,"result":{"role":"assistant"}}`, "from-agent "},
			{false, `{"jsonrpc":"2.0","id":"e","method":"elicitation/create","params":{}}`, "to-agent elicitation/create"},
			{true, `{"jsonrpc":"2.0","id":"e","error":{"code":-1,"message":"declined"}}`, "from-agent "},
			{false, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`, "to-agent notifications/message"},
			{false, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"none","progress":1}}`, "to-agent notifications/progress"},
			{false, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse"}}`, "to-agent "},
			{true, `{"jsonrpc":"2.0","id":8,"method":"tasks/get","params":{"taskId":"t"}}`, "from-agent tasks/get"},
			{true, `{"jsonrpc":"2.0","id":9,"method":"call jane@acme.example"}`, "from-agent "},
			{true, `{"jsonrpc":"2.0","id":10,"method":"steno/dropped"}`, "from-agent "},
		}
		for i, s := range steps {
			from, to := r.server, r.toClient
			if s.fromClient {
				from, to = r.client, r.toServer
			}
			r.says(from, s.line+"\n")
			r.want("relayed", to.take(), s.line+"\n")
			all := r.rec.all()
			if len(all) != i+1 {
				t.Fatalf("%d events after %s", len(all), s.line)
			}
			r.want(s.line, describe(all[i]), s.event)
			if c := all[i].said["content"]; all[i].typ != entry.TypeCatalog && c != s.line {
				t.Fatalf("recorded %s, said %s", c, s.line)
			}
		}
	})
}

func describe(r recorded) string {
	switch v := r.value.(type) {
	case entry.Message:
		return fmt.Sprintf("%s %s", v.Direction, v.Method)
	case entry.Catalog:
		if v.SameAs != nil {
			return fmt.Sprintf("catalog %d same as %s/%d", v.Count, v.SameAs.Track, v.SameAs.Seq)
		}
		return fmt.Sprintf("catalog %d %s", v.Count, r.said["content"])
	case entry.Input:
		return fmt.Sprintf("input %s %s", v.Kind, v.Source)
	}
	return string(r.typ)
}

func TestProgressBelongsToItsCall(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		call := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"slow","_meta":{"progressToken":7}}}` + "\n"
		r.says(r.client, call)
		for i := range 3 {
			p := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7.0,"progress":%d}}`+"\n", i)
			r.says(r.server, p)
			r.want("client", r.toClient.take(), p)
		}
		r.says(r.server, resultLine)
		out := r.rec.of(entry.TypeActionOutput)
		for i, e := range out {
			if v := e.value.(entry.ActionOutput); v.Action != "mcp-1" || v.Stream != "progress" || v.N != uint64(i) {
				t.Fatalf("output %+v", v)
			}
		}
		r.want("story", r.rec.story(), "action.intent action.output action.output action.output action.result")
	})
}

func TestPrivilegedMethodsAreConfigurable(t *testing.T) {
	inBubble(t, mcp.Config{Privileged: []string{"resources/read", "odd method"}, ActionPrefix: "gw-2"}, func(r *rig) {
		r.rec.setDurable(down)
		r.says(r.client, `{"jsonrpc":"2.0","id":1,"method":"resources/read"}`+"\n", `{"jsonrpc":"2.0","id":2,"method":"odd method"}`+"\n", `{"jsonrpc":"2.0","method":"odd method"}`+"\n")
		r.want("server", r.toServer.take(), "")
		intents := r.rec.of(entry.TypeActionIntent)
		if len(intents) != 2 {
			t.Fatalf("%d intents", len(intents))
		}
		a, b := intents[0].value.(entry.ActionIntent), intents[1].value.(entry.ActionIntent)
		if a.Action != "gw-2-1" || a.Tool != "resources/read" || b.Tool != "unnamed" || b.Method != "" {
			t.Fatalf("intents %+v %+v", a, b)
		}
	})
}

func TestSEALED_toolNamesThatAreNoIDs(t *testing.T) {
	for _, name := range []string{`"call jane@acme.example"`, `""`, `7`, `"` + strings.Repeat("x", 129) + `"`, `"\u0000"`} {
		inBubble(t, mcp.Config{}, func(r *rig) {
			line := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":` + name + "}}\n"
			r.says(r.client, line)
			r.want("server", r.toServer.take(), line)
			if in := r.rec.of(entry.TypeActionIntent)[0].value.(entry.ActionIntent); in.Tool != "unnamed" {
				t.Fatalf("tool %q in clear", in.Tool)
			}
		})
	}
}

// TestHostileServer has lines of a server that are recorded and go no further.
func TestHostileServer(t *testing.T) {
	for name, line := range map[string]string{
		"log line":              "\x1b[2J\x1b[31mlistening on stdio",
		"invalid UTF-8":         `{"jsonrpc":"2.0","id":3,"result":{"a":"` + "\xff\"}}",
		"unsolicited response":  `{"jsonrpc":"2.0","id":4,"result":{}}`,
		"id of another type":    `{"jsonrpc":"2.0","id":"3","result":{}}`,
		"id twice":              `{"jsonrpc":"2.0","id":4,"id":3,"result":{}}`,
		"result and Result":     `{"jsonrpc":"2.0","id":3,"result":{},"Result":{}}`,
		"batch":                 `[` + strings.TrimSpace(resultLine) + `]`,
		"carriage return":       `{"jsonrpc":"2.0","method":"x","params":{"a":` + "\r" + strings.TrimSpace(resultLine) + "\r}}",
		"no version":            `{"id":3,"result":{}}`,
		"null":                  `null`,
		"result without an id":  `{"jsonrpc":"2.0","result":{}}`,
		"half of a message":     `{"jsonrpc":"2.0","id":3,`,
		"result with a null id": `{"jsonrpc":"2.0","id":null,"result":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, mcp.Config{}, func(r *rig) {
				r.says(r.client, callLine)
				r.says(r.server, line+"\n")
				r.want("client", r.toClient.take(), "")
				r.want("story", r.rec.story(), "action.intent message")
				m := r.rec.all()[1]
				r.want("message", describe(m), "to-agent steno/dropped")
				r.want("content", m.said["content"], line)
				r.says(r.server, resultLine) // the call is still open
				r.want("client", r.toClient.take(), resultLine)
				r.want("story", r.rec.story(), "action.intent message action.result")
			})
		})
	}
}

func TestHostileClientAnswersWhatWasNotAsked(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		for _, line := range []string{`{"jsonrpc":"2.0","id":3,"result":{}}`, `{"jsonrpc":"2.0","id":null,"error":{}}`} {
			r.says(r.client, line+"\n")
			r.want("server", r.toServer.take(), "")
		}
		for _, m := range r.rec.all() {
			r.want("message", describe(m), "from-agent steno/dropped")
		}
	})
}

func TestLinesAreBounded(t *testing.T) {
	inBubble(t, mcp.Config{MaxLine: 2048}, func(r *rig) {
		long := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"` + strings.Repeat("x", 200_000) + `"}}` + "\n"
		r.says(r.client, long+callLine)
		r.want("server", r.toServer.take(), callLine)
		mustContain(t, "answer", r.toClient.take(), `"id":null,"error":{"code":-32600`, `"why":"too-large"`)
		r.says(r.server, long+"\n \r\n"+resultLine) // and blank lines are nothing
		r.want("client", r.toClient.take(), resultLine)
		r.want("story", r.rec.story(), "action.reject action.intent message action.result")
		r.want("beginning", r.rec.all()[0].said["params"], long[:64<<10])
		r.want("beginning", r.rec.all()[2].said["content"], long[:64<<10])
		fits := `{"jsonrpc":"2.0","method":"n","params":{"a":"` + strings.Repeat("x", 2048-49) + `"}}` + "\n"
		if len(fits) != 2048 {
			t.Fatalf("line of %d bytes", len(fits))
		}
		r.says(r.client, fits)
		r.want("server", r.toServer.take(), fits)
	})
}
