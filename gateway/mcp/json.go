package mcp

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a message.
const maxDepth = 256

// A scanner reads JSON (RFC 8259) over exact bytes, which are valid UTF-8. It allows nothing that only lenient readers
// take: what it accepts every reader takes apart in the same way, but for repeated names, which it reports.
type scanner struct {
	b        []byte
	i        int
	names    bool // look for names that readers tell apart differently
	repeated bool // one was found twice
	nul      bool // one was found that holds U+0000
}

// whole tells whether all of b is one value.
func (s *scanner) whole() bool {
	s.space()
	if !s.value(0) {
		return false
	}
	s.space()
	return s.i == len(s.b)
}

func (s *scanner) value(depth int) bool {
	if s.i == len(s.b) || depth > maxDepth {
		return false
	}
	switch s.b[s.i] {
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth, nil)
	case '"':
		return s.string()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

// object reads an object and tells each of its members.
func (s *scanner) object(depth int, each func(name string, value []byte)) bool {
	s.i++
	s.space()
	if s.byte('}') {
		return true
	}
	seen := nameSet{}
	for {
		from := s.i
		if s.i == len(s.b) || s.b[s.i] != '"' || !s.string() {
			return false
		}
		name := s.b[from:s.i]
		s.space()
		if !s.byte(':') {
			return false
		}
		s.space()
		from = s.i
		if !s.value(depth + 1) {
			return false
		}
		if each != nil {
			each(unquote(name), s.b[from:s.i])
		}
		if s.names {
			s.name(seen.add, unquote(name))
		}
		s.space()
		if s.byte('}') {
			return true
		}
		if !s.byte(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) name(add func(string) bool, name string) {
	s.repeated = !add(name) || s.repeated
	s.nul = strings.IndexByte(name, 0) >= 0 || s.nul
}

func (s *scanner) array(depth int, each func(value []byte)) bool {
	s.i++
	s.space()
	if s.byte(']') {
		return true
	}
	for {
		from := s.i
		if !s.value(depth + 1) {
			return false
		}
		if each != nil {
			each(s.b[from:s.i])
		}
		s.space()
		if s.byte(']') {
			return true
		}
		if !s.byte(',') {
			return false
		}
		s.space()
	}
}

// string reads from the opening quote over the closing one.
func (s *scanner) string() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < 0x20:
			return false
		case c == '\\':
			if !s.escape() {
				return false
			}
		}
	}
	return false
}

// escape reads an escape from its backslash to its last character.
func (s *scanner) escape() bool {
	s.i++
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if len(s.b)-s.i <= 4 {
			return false
		}
		for range 4 {
			s.i++
			if c := s.b[s.i] | 0x20; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
		return true
	}
	return false
}

func (s *scanner) number() bool {
	s.byte('-')
	if !s.byte('0') && !s.digits() {
		return false
	}
	if s.byte('.') && !s.digits() {
		return false
	}
	if s.byte('e') || s.byte('E') {
		if !s.byte('+') {
			s.byte('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) byte(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// nameSet finds repeats: in a list while there are few, since most objects have few members.
type nameSet struct {
	few  []string
	many map[string]struct{}
}

func (n *nameSet) add(name string) bool {
	const few = 16
	if n.many == nil {
		for _, f := range n.few {
			if f == name {
				return false
			}
		}
		if n.few = append(n.few, name); len(n.few) > few {
			n.many = map[string]struct{}{}
			for _, f := range n.few {
				n.many[f] = struct{}{}
			}
		}
		return true
	}
	_, repeated := n.many[name]
	n.many[name] = struct{}{}
	return !repeated
}

// unquote is what a JSON string says. Half of a surrogate pair becomes U+FFFD, which makes names equal that some reader
// might keep apart: that can refuse a line, not let one through.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			if json.Unmarshal(quoted, &s) != nil {
				return string(utf8.RuneError)
			}
			return s
		}
	}
	return string(inner)
}

// variant tells whether a lenient reader may take name for known, which it is not: by Unicode simple folding, as Go's
// encoding/json does; up to U+0000, where strings end in C (cJSON does both); without halves of surrogate pairs.
func variant(name, known string) bool {
	return name != known && strings.EqualFold(lenient(name), lenient(known))
}

func lenient(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	return strings.ReplaceAll(name, string(utf8.RuneError), "")
}

// variantMethod is variant for what a message asks for, which some readers trim, too.
func variantMethod(method, known string) bool {
	return variant(method, known) || method != known && strings.EqualFold(strings.TrimFunc(lenient(method), blank), strings.TrimFunc(known, blank))
}

func blank(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }

// each calls f for every member of an object that was scanned before; a value that is no object has none.
func each(object []byte, f func(name string, value []byte)) {
	if len(object) > 0 && object[0] == '{' {
		s := scanner{b: object}
		s.object(0, f)
	}
}

// count is the number of elements of an array that was scanned before, 0 if it is none.
func count(array []byte) (n uint64) {
	if len(array) > 0 && array[0] == '[' {
		s := scanner{b: array}
		s.array(0, func([]byte) { n++ })
	}
	return n
}

// text is what a JSON string says; ok is false if the value is no string.
func text(value []byte) (s string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return unquote(value), true
}

// integer reads a number that is an integer an event can hold.
func integer(value []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	const limit = 1<<53 - 1
	return n, err == nil && n >= -limit && n <= limit
}
