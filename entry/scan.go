package entry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A scanner reads one event line by the table. It accepts one spelling of everything: no white space, no unknown, repeated
// or case-variant member, no float, no integer beyond 2^53−1, no escape but \n \" \\ (and these only in notes). It copies
// nothing, so that what is hashed is what was read.
type scanner struct {
	b     []byte // the entry up to the end of this line
	i     int
	entry *Entry // where blobs are noted
	event int
	slot  string    // path of the payload that is being read
	part  int       // of that payload, −1 when it has none
	hash  Hash      // the last that was read
	path  [8]string // members that lead to i
	depth int
	base  int // what b[0] is in the bytes of which errors tell
}

// scanEvent reads {"event":"TYPE","time":"…", members of the type}.
func (s *scanner) scanEvent() (Event, error) {
	start := s.i
	if err := s.literal(`{"event":"`, Syntax); err != nil {
		return Event{}, err
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return Event{}, s.fail(Syntax, "the event's type does not end")
	}
	def := compiled()[Type(s.b[s.i:s.i+n])]
	if def == nil {
		return Event{}, s.fail(UnknownEvent, "unknown type of event")
	}
	ev := Event{Type: Type(s.b[s.i : s.i+n])}
	s.i += n + 1
	if err := s.literal(`,"time":"`, Syntax); err != nil {
		return Event{}, err
	}
	raw, err := s.plainString()
	if err != nil {
		return Event{}, err
	}
	var ok bool
	if ev.Time, ok = decodeTime(raw); !ok {
		return Event{}, s.fail(BadValue, "time is not RFC 3339 in UTC with six decimals and Z")
	}
	if err := s.members(def.object, false); err != nil {
		return Event{}, err
	}
	if s.i != len(s.b) {
		return Event{}, s.fail(Trailing, "bytes after the event")
	}
	ev.Raw = s.b[start:s.i:s.i]
	return ev, nil
}

// members reads the members of an object up to and with its closing brace. The opening brace has been read; with first
// false, members have been read too, so that a comma must come before the next.
func (s *scanner) members(o *object, first bool) error {
	var seen uint64
	next := 0            // the field that comes next where members stand in the order of the table
	var values [3][]byte // class, sha256 and size of a blob
	for {
		if s.peek() == '}' {
			s.i++
			break
		}
		if !first {
			if err := s.literal(",", Syntax); err != nil {
				return err
			}
		}
		first = false
		index, err := s.memberName(o, next, seen)
		if err != nil {
			return err
		}
		seen |= 1 << index
		next = index + 1
		from := s.i
		if err := s.value(&o.fields[index]); err != nil {
			return err
		}
		if o.isBlob {
			values[index] = s.b[from:s.i]
		}
		s.depth--
	}
	if code, member := o.check(seen); code != "" {
		s.push(member)
		return s.fail(code, "%s", map[Code]string{MissingMember: "a member is missing", Conflicting: "members exclude each other"}[code])
	}
	if o.isBlob {
		return s.noteBlob(values)
	}
	return nil
}

// tryInOrder is how many fields are tried before the name is looked up: members are mostly in order, some left out.
const tryInOrder = 4

func (s *scanner) memberName(o *object, next int, seen uint64) (int, error) {
	for i := next; i < min(next+tryInOrder, len(o.fields)); i++ {
		if quoted := o.fields[i].quoted; seen&(1<<i) == 0 && len(s.b)-s.i >= len(quoted) && string(s.b[s.i:s.i+len(quoted)]) == quoted {
			s.push(o.fields[i].name)
			s.i += len(quoted)
			return i, nil
		}
	}
	if err := s.literal(`"`, Syntax); err != nil {
		return 0, err
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return 0, s.fail(Syntax, "a member's name does not end")
	}
	name := s.b[s.i : s.i+n]
	index, ok := o.byName[string(name)]
	if !ok {
		for known := range o.byName {
			if strings.EqualFold(known, string(name)) {
				s.push(known)
				return 0, s.fail(CaseVariant, "a member's name differs from a known one in case only")
			}
		}
		return 0, s.fail(UnknownMember, "unknown member")
	}
	s.push(o.fields[index].name)
	if seen&(1<<index) != 0 {
		return 0, s.fail(Duplicate, "member appears twice")
	}
	s.i += n + 1
	return index, s.literal(":", Syntax)
}

func (s *scanner) value(f *field) error {
	if f.kind == kindObject && f.object.payload && f.name != "parts" {
		s.slot, s.part = strings.Join(s.path[:s.depth], "/"), -1
	}
	if !f.list {
		return s.scalar(f)
	}
	if err := s.literal("[", WrongType); err != nil {
		return err
	}
	isParts := f.name == "parts" && f.object != nil && f.object.payload
	for n := 0; ; n++ {
		if s.peek() == ']' {
			s.i++
			if n < f.min {
				return s.fail(BadValue, "list of fewer than %d", f.min)
			}
			return nil
		}
		if n == f.max {
			return s.fail(TooMany, "list of more than %d", f.max)
		}
		if n > 0 {
			if err := s.literal(",", Syntax); err != nil {
				return err
			}
		}
		if isParts {
			s.part = n
		}
		if err := s.scalar(f); err != nil {
			return err
		}
	}
}

// scalar reads one value that is no list.
func (s *scanner) scalar(f *field) error {
	switch f.kind {
	case kindObject:
		if err := s.literal("{", WrongType); err != nil {
			return err
		}
		return s.members(f.object, true)
	case kindBool:
		return s.boolean()
	case kindUint, kindInt:
		return s.integer(f)
	case kindText:
		return s.text()
	}
	start := s.i
	if err := s.literal(`"`, WrongType); err != nil {
		return err
	}
	raw, err := s.plainString()
	if err != nil {
		return err
	}
	if f.kind == kindHash {
		var ok bool
		if s.hash, ok = decodeHash(raw); !ok {
			s.i = start
			return s.fail(Base64, "not 32 bytes in canonical base64")
		}
		return nil
	}
	if code, why := f.checkString(raw); code != "" {
		s.i = start
		return s.fail(code, "%s", why)
	}
	return nil
}

func (f *field) checkString(raw []byte) (Code, string) {
	ok := true
	switch f.kind {
	case kindTime:
		if _, ok = decodeTime(raw); !ok {
			return BadValue, "time is not RFC 3339 in UTC with six decimals and Z"
		}
	case kindUUID:
		if err := CheckSession(string(raw)); err != nil {
			return BadValue, "not a session: " + err.Error()
		}
	case kindID:
		if f.one != nil && !slices.ContainsFunc(f.one, func(w string) bool { return w == string(raw) }) {
			return BadValue, "none of " + strings.Join(f.one, ", ")
		}
		if len(raw) == 0 || len(raw) > maxID {
			return BadValue, fmt.Sprintf("id of %d characters, 1 to %d are allowed", len(raw), maxID)
		}
		for i, c := range raw {
			if !isIDChar(c, i) {
				return BadValue, "character that an id may not have, or not first"
			}
		}
	}
	return "", ""
}

// plainString reads up to and with the closing quote of a string in which no escape is allowed.
func (s *scanner) plainString() ([]byte, error) {
	start := s.i
	for ; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '"':
			s.i++
			return s.b[start : s.i-1], nil
		case '\\':
			return nil, s.escapeError()
		}
	}
	return nil, s.fail(Syntax, "string does not end")
}

const maxTextMember = 4096

// text reads a string that holds a note. Its line feeds, quotes and backslashes are escaped, nothing else is.
func (s *scanner) text() error {
	if err := s.literal(`"`, WrongType); err != nil {
		return err
	}
	start, n := s.i, 0
	for ; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '"':
			if s.i == start {
				return s.fail(BadValue, "text is empty: leave the member out")
			}
			s.i++
			return nil
		case '\\':
			if s.i+1 == len(s.b) || !strings.ContainsRune(`n"\`, rune(s.b[s.i+1])) {
				return s.escapeError()
			}
			s.i++
		}
		if n++; n > maxTextMember {
			return s.fail(Oversize, "text of more than %d bytes", maxTextMember)
		}
	}
	return s.fail(Syntax, "string does not end")
}

// escapeError names what the backslash at i begins.
func (s *scanner) escapeError() error {
	rest := strings.ToLower(string(s.b[s.i:min(len(s.b), s.i+12)]))
	surrogate := func(r string, from string) bool {
		return strings.HasPrefix(r, `\ud`) && len(r) >= 6 && strings.Contains(from, r[3:4])
	}
	if surrogate(rest, "cdef") || surrogate(rest, "89ab") && !surrogate(rest[6:], "cdef") {
		return s.fail(LoneSurrogate, "half of a surrogate pair")
	}
	return s.fail(Escape, "this escape is not allowed here")
}

func (s *scanner) boolean() error {
	// False is written by leaving the member out, so that there is one way to say it.
	return s.literal("true", WrongType)
}

func (s *scanner) integer(f *field) error {
	start := s.i
	negative := s.peek() == '-'
	if negative {
		s.i++
	}
	digits := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	number := string(s.b[digits:s.i])
	next := s.peek()
	value, ok := parseDecimal(number)
	end := s.i
	s.i = start
	switch {
	case number == "":
		return s.fail(WrongType, "not an integer")
	case next == '.' || next == 'e' || next == 'E':
		return s.fail(Float, "a float")
	case len(number) > 1 && number[0] == '0':
		return s.fail(BadValue, "leading zero")
	case !ok:
		return s.fail(IntegerRange, "integer beyond 2^53-1")
	case negative && value == 0:
		return s.fail(NegativeZero, "minus zero")
	case negative && f.kind == kindUint:
		return s.fail(IntegerRange, "negative")
	case f.kind == kindUint && (value < f.low || value > f.high):
		return s.fail(BadValue, "integer outside %d to %d", f.low, f.high)
	}
	s.i = end
	return nil
}

// noteBlob checks a blob's place among those of its payload and notes it in the entry.
func (s *scanner) noteBlob(values [3][]byte) error {
	slot := s.slot
	if s.part >= 0 {
		slot = fmt.Sprintf("%s.%d", s.slot, s.part)
	}
	// The last hash that was read is the blob's own: it has one, and nothing inside it has another.
	blob := BlobAt{Event: s.event, Slot: slot, Class: string(bytes.Trim(values[0], `"`)), SHA256: s.hash}
	blob.Size, _ = parseDecimal(string(values[2]))
	if n := len(s.entry.Blobs); n > 0 {
		last := s.entry.Blobs[n-1]
		if last.Event == blob.Event && last.Slot == blob.Slot && classOrder(last.Class) >= classOrder(blob.Class) {
			return s.fail(BadValue, "blobs are not in the order content, personal, secret, directory, each once")
		}
	}
	s.entry.Blobs = append(s.entry.Blobs, blob)
	return nil
}

func classOrder(class string) int {
	return slices.Index([]string{"content", "personal", "secret", "directory"}, class)
}

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) push(name string) {
	if s.depth < len(s.path) {
		s.path[s.depth] = name
	}
	s.depth++
}

func (s *scanner) literal(want string, code Code) error {
	if bytes.HasPrefix(s.b[s.i:], []byte(want)) {
		s.i += len(want)
		return nil
	}
	if c := s.peek(); c == ' ' || c == '\t' {
		return s.fail(WhiteSpace, "white space outside a string")
	}
	return s.fail(code, "%q expected", want)
}

func (s *scanner) fail(code Code, format string, args ...any) error {
	err := errorAt(code, s.base+s.i, format, args...)
	err.Event = s.event
	err.Member = strings.Join(s.path[:min(s.depth, len(s.path))], ".")
	return err
}
