package payload

import "unicode/utf8"

// maxDepth bounds the nesting of JSON; what is deeper is cut as binary.
const maxDepth = 256

// jsonEnds returns the ends of the segments of a JSON text (RFC 8259, UTF-8, no byte order mark, white space as it
// stands): every scalar that is a value is one, and so is every run of text between two of them (punctuation, member
// names, white space). ok is false if b is no JSON text or nested too deep. It keeps bytes as they are, so it has no
// opinion on duplicate names, on lone surrogates in escapes, or on the size of numbers.
func jsonEnds(b []byte) (ends []int, ok bool) {
	l := lexer{b: b, ends: make([]int, 0, 16)}
	if !l.text() {
		return nil, false
	}
	return l.ends, true
}

type lexer struct {
	b    []byte
	at   int
	ends []int
	// open holds, for each open container, its closing byte. It grows on the heap of this lexer, not on the stack:
	// a hostile depth costs one byte a level and stops at maxDepth.
	open []byte
}

// text reads one value with white space around it. Containers are kept on l.open instead of in recursion.
func (l *lexer) text() bool {
	for {
		l.space()
		// Here a value must begin; in an object its name was read already.
		opened, ok := l.value()
		if !ok {
			return false
		}
		if opened {
			continue
		}
		more, ok := l.after()
		if !ok {
			return false
		}
		if !more {
			break
		}
	}
	l.end(len(l.b))
	return true
}

// value reads a scalar, an empty container, or the beginning of another one (opened).
func (l *lexer) value() (opened, ok bool) {
	if l.at == len(l.b) {
		return false, false
	}
	switch c := l.b[l.at]; c {
	case '{', '[':
		l.at++
		l.space()
		closing := c + 2 // ASCII: '{' and '}', '[' and ']' are two apart
		if l.byte(closing) {
			return false, true
		}
		if len(l.open) == maxDepth {
			return false, false
		}
		l.open = append(l.open, closing)
		return true, c == '[' || l.name()
	default:
		start := l.at
		if !l.scalar(c) {
			return false, false
		}
		l.end(start)
		l.end(l.at)
		return false, true
	}
}

// after reads what follows a value: the ends of containers, then a comma (more) or the end of the text.
func (l *lexer) after() (more, ok bool) {
	for {
		l.space()
		if len(l.open) == 0 {
			return false, l.at == len(l.b)
		}
		closing := l.open[len(l.open)-1]
		switch {
		case l.byte(closing):
			l.open = l.open[:len(l.open)-1]
		case l.byte(','):
			if closing == ']' {
				return true, true
			}
			l.space()
			return true, l.name()
		default:
			return false, false
		}
	}
}

// name reads a member name and its colon.
func (l *lexer) name() bool {
	if !l.byte('"') || !l.restOfString() {
		return false
	}
	l.space()
	return l.byte(':')
}

func (l *lexer) scalar(c byte) bool {
	switch {
	case c == '"':
		l.at++
		return l.restOfString()
	case c == 't':
		return l.word("true")
	case c == 'f':
		return l.word("false")
	case c == 'n':
		return l.word("null")
	}
	return l.number()
}

// end notes a segment's end, unless the segment would be empty, or there are more than anybody will use: a hostile text
// has a scalar every second byte.
func (l *lexer) end(at int) {
	if at > 0 && len(l.ends) <= MaxSegments && (len(l.ends) == 0 || l.ends[len(l.ends)-1] < at) {
		l.ends = append(l.ends, at)
	}
}

func (l *lexer) space() {
	for l.at < len(l.b) {
		switch l.b[l.at] {
		case ' ', '\t', '\n', '\r':
			l.at++
		default:
			return
		}
	}
}

func (l *lexer) byte(c byte) bool {
	if l.at < len(l.b) && l.b[l.at] == c {
		l.at++
		return true
	}
	return false
}

func (l *lexer) word(w string) bool {
	if len(l.b)-l.at < len(w) || string(l.b[l.at:l.at+len(w)]) != w {
		return false
	}
	l.at += len(w)
	return true
}

func (l *lexer) digits() bool {
	start := l.at
	for l.at < len(l.b) && l.b[l.at]-'0' <= 9 {
		l.at++
	}
	return l.at > start
}

func (l *lexer) number() bool {
	l.byte('-')
	if !l.byte('0') && !l.digits() {
		return false
	}
	if l.byte('.') && !l.digits() {
		return false
	}
	if l.byte('e') || l.byte('E') {
		if !l.byte('+') {
			l.byte('-')
		}
		return l.digits()
	}
	return true
}

// restOfString reads up to and including the closing quote.
func (l *lexer) restOfString() bool {
	for l.at < len(l.b) {
		switch c := l.b[l.at]; {
		case c == '"':
			l.at++
			return true
		case c == '\\':
			if !l.escape() {
				return false
			}
		case c < 0x20:
			return false
		case c < utf8.RuneSelf:
			l.at++
		default:
			r, size := utf8.DecodeRune(l.b[l.at:])
			if r == utf8.RuneError && size == 1 {
				return false
			}
			l.at += size
		}
	}
	return false
}

func (l *lexer) escape() bool {
	l.at++
	if l.at == len(l.b) {
		return false
	}
	c := l.b[l.at]
	l.at++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if l.at == len(l.b) || !isHex(l.b[l.at]) {
				return false
			}
			l.at++
		}
		return true
	}
	return false
}

func isHex(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f'
}
