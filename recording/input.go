package recording

import (
	"bytes"
	"unicode/utf8"

	"github.com/stenolog/steno/entry"
)

// maxDepth is how deep managed JSON may nest.
const maxDepth = 64

// A scan reads JSON that a client wrote by hand or by machine: white space is allowed, everything else is as RFC 8259 has
// it. It copies nothing and decodes nothing; it finds where values begin and end.
type scan struct {
	b []byte
	i int
}

// A jsonMember is one member of an object: the name as it is written, without its quotes, and the value's exact bytes.
type jsonMember struct {
	name  string
	value []byte
}

func (s *scan) fail(code entry.Code, detail string) *Problem {
	p := problem(code, "%s", detail)
	p.Offset = s.i
	return p
}

func (s *scan) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scan) space() {
	for s.i < len(s.b) && bytes.IndexByte([]byte(" \t\r\n"), s.b[s.i]) >= 0 {
		s.i++
	}
}

// document reads one value and nothing behind it, and returns its bytes without the white space around it.
func document(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, problem(entry.InvalidUTF8, "the JSON is not UTF-8")
	}
	s := &scan{b: b}
	s.space()
	start := s.i
	if err := s.value(1); err != nil {
		return nil, err
	}
	end := s.i
	if s.space(); s.i != len(b) {
		return nil, s.fail(entry.Trailing, "bytes behind the JSON value")
	}
	return b[start:end], nil
}

// value passes over one value.
func (s *scan) value(depth int) error {
	if depth > maxDepth {
		return s.fail(CodeJSONDepth, "JSON nests deeper than 64")
	}
	switch c := s.peek(); {
	case c == '{':
		return s.each('}', func() error {
			if err := s.string(); err != nil {
				return err
			}
			if s.space(); s.peek() != ':' {
				return s.fail(entry.Syntax, "colon expected")
			}
			s.i++
			s.space()
			return s.value(depth + 1)
		})
	case c == '[':
		return s.each(']', func() error { return s.value(depth + 1) })
	case c == '"':
		return s.string()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.b[s.i:], []byte(word)) {
			s.i += len(word)
			return nil
		}
	}
	return s.fail(entry.Syntax, "JSON value expected")
}

// each passes over the elements between the brackets that s.i stands on.
func (s *scan) each(end byte, element func() error) error {
	s.i++
	if s.space(); s.peek() == end {
		s.i++
		return nil
	}
	for {
		s.space()
		if err := element(); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case end:
			s.i++
			return nil
		default:
			return s.fail(entry.Syntax, "comma or end expected")
		}
	}
}

func (s *scan) string() error {
	if s.peek() != '"' {
		return s.fail(entry.Syntax, "string expected")
	}
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return nil
		case c < 0x20:
			return s.fail(entry.ControlCharacter, "control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.fail(entry.Syntax, "string does not end")
}

// escape leaves s.i on the last byte of the escape.
func (s *scan) escape() error {
	s.i++
	if s.peek() == 'u' {
		for range 4 {
			s.i++
			if c := s.peek(); (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return s.fail(entry.Escape, "four hexadecimal digits expected")
			}
		}
		return nil
	}
	if s.i >= len(s.b) || bytes.IndexByte([]byte(`"\/bfnrt`), s.b[s.i]) < 0 {
		return s.fail(entry.Escape, "no escape of JSON")
	}
	return nil
}

func (s *scan) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return s.fail(entry.Syntax, "digit expected")
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return s.fail(entry.Syntax, "digit expected")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return s.fail(entry.Syntax, "digit expected")
		}
	}
	return nil
}

func (s *scan) digits() bool {
	start := s.i
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.i++
	}
	return s.i > start
}

// members lists the members of an object that document has read.
func members(b []byte) ([]jsonMember, error) {
	s := &scan{b: b}
	if s.peek() != '{' {
		return nil, s.fail(entry.WrongType, "JSON object expected")
	}
	var all []jsonMember
	err := s.each('}', func() error {
		start := s.i
		if err := s.string(); err != nil {
			return err
		}
		name := string(b[start+1 : s.i-1])
		for _, m := range all {
			if m.name == name {
				p := s.fail(entry.Duplicate, "member appears twice")
				p.Member = "" // the client's own name, which is not shown
				return p
			}
		}
		s.space()
		s.i++
		s.space()
		start = s.i
		if err := s.value(1); err != nil {
			return err
		}
		all = append(all, jsonMember{name, b[start:s.i:s.i]})
		if len(all) > maxMembers {
			return s.fail(entry.TooMany, "object of more than 64 members")
		}
		return nil
	})
	return all, err
}

const maxMembers = 64

// elements lists the elements of an array that document has read, at most limit.
func elements(b []byte, limit int) ([][]byte, error) {
	s := &scan{b: b}
	if s.peek() != '[' {
		return nil, s.fail(entry.WrongType, "JSON array expected")
	}
	var all [][]byte
	err := s.each(']', func() error {
		start := s.i
		if err := s.value(1); err != nil {
			return err
		}
		if all = append(all, b[start:s.i:s.i]); len(all) > limit {
			return problem(CodeTooManyEvents, "more than %d elements", limit)
		}
		return nil
	})
	return all, err
}
