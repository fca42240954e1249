package mcp

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stenolog/steno/entry"
)

type kind uint8

const (
	request kind = iota
	notification
	response
)

// A message is a line that means one thing only. All its slices alias the line.
type message struct {
	kind   kind
	id     []byte // nil if there is none
	key    string // of the id, for comparing
	method string
	params []byte // nil if there are none
	result []byte // of a response that is no error
	fault  []byte // its error member
}

// A refusal says why a line is not relayed. Its text is fixed, so that it can be shown to anyone.
type refusal struct {
	why  entry.ID // of action.reject
	code int      // of the JSON-RPC error
	text string
	id   []byte // of the line, as far as it has exactly one
}

func malformed(code int, text string, id []byte) *refusal {
	return &refusal{why: "malformed", code: code, text: text, id: id}
}

// Codes of JSON-RPC 2.0, and ours, which lie outside the range that it reserves.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeUnrecorded     = 30501 // the call was not forwarded, since it could not be recorded
	codeServerEnded    = 30502 // no answer: what became of the request is unknown
	codeStopped        = 30503 // the session no longer takes requests
	codeBusy           = 30504 // too many requests in flight
)

// parse reads one line without its line feed. From a client, names may not repeat at any depth, nor hold U+0000: the server
// might take the last where this package, or an auditor, takes the first. From a server that is checked for the members of the message
// alone, because a result that was obtained is handed over as it is.
func parse(line []byte, fromClient bool) (message, *refusal) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case !utf8.Valid(line):
		return message{}, malformed(codeParse, "line is not valid UTF-8", nil)
	case bytes.IndexByte(line, '\r') >= 0:
		// JSON takes a carriage return for white space, but readers with universal line ends (Python's) take it for the end of
		// a line: {"params":{"a":\r{…tools/call…}\r}} is two things.
		return message{}, malformed(codeParse, "carriage return inside a line", nil)
	}
	s := scanner{b: line, names: fromClient}
	s.space()
	if s.i < len(line) && line[s.i] == '[' {
		return message{}, &refusal{why: "batch", code: codeInvalidRequest, text: "JSON-RPC batches are not relayed: send one message a line"}
	}
	start := s.i
	if !s.whole() {
		return message{}, malformed(codeParse, "line is not JSON", nil)
	}
	if line[start] != '{' {
		return message{}, malformed(codeInvalidRequest, "message is not an object", nil)
	}
	m, bad := assemble(line[start:])
	switch {
	case bad != nil:
	case s.repeated:
		bad = malformed(codeInvalidRequest, "a member appears twice in one object", m.id)
	case s.nul:
		bad = malformed(codeInvalidRequest, "a member's name holds U+0000", m.id)
	}
	return m, bad
}

// members of a message, in the one spelling in which they may appear: encoding/json of Go takes "Method" for "method".
type members struct {
	jsonrpc, id, method, params, result, fault []byte
	bad                                        string
	twoIDs                                     bool // or what a reader may take for two
}

// memberNames are those that decide what a message is.
func memberNames() [6]string {
	return [6]string{"jsonrpc", "id", "method", "params", "result", "error"}
}

func (m *members) set(name string, value []byte) {
	for i, to := range [6]*[]byte{&m.jsonrpc, &m.id, &m.method, &m.params, &m.result, &m.fault} {
		known := memberNames()[i]
		m.twoIDs = m.twoIDs || known == "id" && (variant(name, known) || name == known && *to != nil)
		switch {
		case name == known && *to != nil:
			m.bad = "a member of the message appears twice"
		case name == known:
			*to = value
		case variant(name, known):
			m.bad = "a member's name may be taken for one of JSON-RPC, which it is not"
		}
	}
}

func assemble(object []byte) (message, *refusal) {
	var raw members
	each(object, raw.set)
	m := message{params: raw.params, result: raw.result, fault: raw.fault}
	ok := true
	if raw.id != nil {
		m.key, ok = idKey(raw.id)
		if ok && !raw.twoIDs {
			m.id = raw.id
		}
	}
	var isString bool
	m.method, isString = text(raw.method)
	answers := 0
	for _, v := range [][]byte{raw.result, raw.fault} {
		if v != nil {
			answers++
		}
	}
	bad := ""
	version, _ := text(raw.jsonrpc)
	nullID := raw.id != nil && raw.id[0] == 'n'
	switch {
	case raw.bad != "":
		bad = raw.bad
	case version != "2.0":
		bad = `"jsonrpc" is not "2.0"`
	case raw.method != nil && (!isString || answers > 0):
		bad = "message is neither request, notification nor response"
	case raw.method != nil && raw.params != nil && raw.params[0] != '{' && raw.params[0] != 'n':
		bad = "params are not an object"
	case raw.method == nil && (answers != 1 || raw.id == nil && raw.fault == nil):
		bad = "message is neither request, notification nor response"
	case !ok && !(nullID && raw.fault != nil):
		// SPEC: MCP 2025-11-25, Requests: the ID MUST NOT be null. An error that answers what could not be read has null.
		bad = "id is neither string nor number"
	}
	if bad == "" && raw.method != nil {
		bad = ambiguousParams(m.params)
	}
	if bad != "" {
		return m, malformed(codeInvalidRequest, bad, m.id)
	}
	switch {
	case raw.method == nil:
		m.kind = response
	case raw.id == nil:
		m.kind = notification
	}
	return m, nil
}

// ambiguousParams finds a variant spelling of what decides which tool is called.
func ambiguousParams(params []byte) (bad string) {
	each(params, func(name string, _ []byte) {
		for _, known := range []string{"name", "arguments", "_meta", "task"} {
			if variant(name, known) {
				bad = "a parameter's name may be taken for one of MCP, which it is not"
			}
		}
	})
	return bad
}

// idKey makes ids comparable as readers compare them: strings by what they say, numbers as IEEE doubles, because
// JavaScript has no others: it answers 9007199254740993 as …992, and 1.0 as 1.
func idKey(raw []byte) (string, bool) {
	if s, ok := text(raw); ok {
		return "s" + s, true
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return "", false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil { // beyond a double
		return "n" + string(raw), true
	}
	return "n" + strconv.FormatFloat(f+0, 'g', -1, 64), true // +0 makes -0 0
}

// toolName is the tool of a tools/call, as an id if it is one.
func toolName(params []byte) entry.ID {
	var name string
	each(params, func(n string, v []byte) {
		if n == "name" {
			name, _ = text(v)
		}
	})
	if entry.CheckID(name) != nil {
		return "unnamed" // the exact name stands in the sealed params
	}
	return entry.ID(name)
}

// methodID is the method as it may stand in clear, empty if it may not.
func methodID(method string) entry.ID {
	if entry.CheckID(method) != nil || strings.HasPrefix(method, "steno/") { // ours: see methodDropped
		return ""
	}
	return entry.ID(method)
}

// progressToken is the key of the token by which a request asks for progress.
func progressToken(params []byte) (key string) {
	each(params, func(n string, v []byte) {
		if n == "_meta" {
			key = memberKey(v, "progressToken")
		}
	})
	return key
}

// memberKey is the key of a member that is a string or a number, empty if there is none.
func memberKey(object []byte, name string) (key string) {
	each(object, func(n string, v []byte) {
		if n == name {
			key, _ = idKey(v)
		}
	})
	return key
}
