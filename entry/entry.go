// Package entry is what a steno log holds: entries, the events in them, the chains they form, and the enrolments that say
// whose key signed them. It reads strictly and never writes back what it read: bytes in are the bytes that are hashed.
//
// An entry is one leaf of the log. It is a signed note (https://c2sp.org/signed-note) whose text is a five-line header and
// one or more events, each one line of JSON, consecutive on one track:
//
//	steno/entry/v1
//	log.acme.example/prod
//	0198c7d2-5f00-7abc-8def-0123456789ab/gateway-1
//	17
//	q0hYmPVpVQG2hXqvTeBOyXQvQ3cR1pDq9TZ5cR3bS1E=
//	{"event":"action.intent","time":"2026-11-23T12:00:00.123456Z","action":"a-12","tool":"ledger.post","params":{…}}
//
//	— acme/agents/ledger-bot AbCdEf…
//	— log.acme.example/received 012345…
//
// The header names the format, the origin of the log that the entry is made for, session and track, the sequence number of
// the first event (the others count on from it), and the SHA-256 of the text of the track's previous entry (zeros for the
// first). Exactly two signatures follow: the recorder's over the text, and the log's *received* signature, which dates the
// text and is the receipt that the recorder keeps. An entry on its way to the log has the first alone and is called a
// submission here.
//
// Nothing is trusted: a parsed entry is well formed, and no more, until its signatures are verified with keys that the
// caller got elsewhere. docs/spec/entry.md is the specification.
package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Limits of the format. They are part of it: a reader refuses what exceeds them.
const (
	MaxText      = 8192 // bytes of an entry's text: header and events
	MaxLeaf      = 9216 // bytes of an entry with its signatures
	MaxEvents    = 128  // events of an entry
	MaxOrigin    = 128  // bytes of a log's origin
	MaxKeyName   = 160  // bytes of a signer's name
	MaxSeq       = 1<<53 - 1
	MainTrack    = "main" // the track that opens and closes a session
	SystemTrack  = "log"  // the one track of a system session
	formatLine   = "steno/entry/v1"
	headerLines  = 5
	sessionBytes = 36
)

// A Header is the first five lines of an entry, without the format's.
type Header struct {
	Origin  string // of the log that the entry is made for
	Session string // UUID version 7, lower case
	Track   string
	Seq     uint64 // of the first event
	Prev    Hash   // SHA-256 of the text of the track's previous entry; zero for the first
}

// An Event is one line of an entry: its type, its time by the recorder's clock, and the exact JSON.
type Event struct {
	Type Type
	Time Time
	Raw  []byte // without the line feed; aliases the bytes that were parsed
}

// A BlobAt is a sealed blob that an event of the entry names.
type BlobAt struct {
	Event  int    // index into Events
	Slot   string // path of the payload in the event ("params", "model/parameters"), with ".k" for its part k
	Class  string
	SHA256 Hash
	Size   uint64
}

// An Entry is a leaf, or a submission when Received is nil.
type Entry struct {
	Header
	Events   []Event
	Blobs    []BlobAt
	Text     []byte // what the signatures cover; aliases the bytes that were parsed
	Recorder Signature
	Received *Receipt
}

// Parse reads a leaf: text and exactly two signature lines. It verifies no signature. Every error is an *Error.
func Parse(leaf []byte) (*Entry, error) { return parse(leaf, 2) }

// ParseSubmission reads an entry on its way to the log: text and exactly one signature line, the recorder's.
func ParseSubmission(b []byte) (*Entry, error) { return parse(b, 1) }

func parse(b []byte, signatures int) (*Entry, error) {
	if len(b) > MaxLeaf {
		return nil, errorAt(Oversize, 0, "entry of %d bytes, at most %d", len(b), MaxLeaf)
	}
	if err := checkBytes(b); err != nil {
		return nil, err
	}
	// Neither header nor event lines can be empty, so the first empty line is the only one and ends the text.
	end := bytes.Index(b, []byte("\n\n"))
	if end < 0 {
		return nil, errorAt(MissingSignature, len(b), "no empty line, so no signatures")
	}
	e := &Entry{Text: b[: end+1 : end+1]}
	if len(e.Text) > MaxText {
		return nil, errorAt(Oversize, MaxText, "text of %d bytes, at most %d", len(e.Text), MaxText)
	}
	body, err := e.readHeader()
	if err != nil {
		return nil, err
	}
	if err := e.readEvents(body); err != nil {
		return nil, err
	}
	if err := e.readSignatures(b, end+2, signatures); err != nil {
		return nil, err
	}
	return e, nil
}

// checkBytes refuses what has no place anywhere in an entry.
// SPEC: signed-note: notes MUST be valid UTF-8 and MUST NOT contain any ASCII control characters other than newline.
func checkBytes(b []byte) error {
	for i := 0; i < len(b); i++ {
		// Eight bytes at a time, where none of them is below 0x20 (the first term finds those, and may find more) or 0x7f.
		for ; len(b)-i >= 8; i += 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			del := w ^ 0x7f7f7f7f7f7f7f7f
			if ((w-0x2020202020202020)&^w|(del-0x0101010101010101)&^del)&0x8080808080808080 != 0 {
				break
			}
		}
		if i == len(b) {
			break
		}
		c := b[i]
		if c >= 0x20 && c != 0x7f || c == '\n' {
			continue
		}
		if c == '\r' {
			return errorAt(CarriageReturn, i, "carriage return")
		}
		return errorAt(ControlCharacter, i, "control character 0x%02x", c)
	}
	if !utf8.Valid(b) {
		for i := 0; i < len(b); {
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return errorAt(InvalidUTF8, i, "byte 0x%02x is not UTF-8 here", b[i])
			}
			i += n
		}
	}
	return nil
}

// readHeader reads the five header lines and returns the offset of the first event.
func (e *Entry) readHeader() (int, error) {
	var lines [headerLines]string
	at, starts := 0, [headerLines]int{}
	for i := range lines {
		n := bytes.IndexByte(e.Text[at:], '\n')
		if n < 0 {
			return 0, errorAt(BadHeader, at, "header of %d lines, it has 5", i)
		}
		lines[i], starts[i] = string(e.Text[at:at+n]), at
		at += n + 1
	}
	if lines[0] != formatLine {
		return 0, errorAt(UnknownVersion, 0, "first line is not %q", formatLine)
	}
	if err := CheckOrigin(lines[1]); err != nil {
		return 0, errorAt(BadHeader, starts[1], "origin: %w", err)
	}
	e.Origin = lines[1]
	if len(lines[2]) < sessionBytes+2 || lines[2][sessionBytes] != '/' {
		return 0, errorAt(BadHeader, starts[2], "third line is not SESSION/TRACK")
	}
	e.Session, e.Track = lines[2][:sessionBytes], lines[2][sessionBytes+1:]
	if err := CheckSession(e.Session); err != nil {
		return 0, errorAt(BadHeader, starts[2], "session: %w", err)
	}
	if err := CheckTrack(e.Track); err != nil {
		return 0, errorAt(BadHeader, starts[2]+sessionBytes+1, "track: %w", err)
	}
	seq, ok := parseDecimal(lines[3])
	if !ok {
		return 0, errorAt(BadHeader, starts[3], "sequence number is not a decimal without leading zeros up to 2^53-1")
	}
	e.Seq = seq
	prev, ok := decodeHash([]byte(lines[4]))
	if !ok {
		return 0, errorAt(Base64, starts[4], "previous hash is not 32 bytes in canonical base64")
	}
	e.Prev = prev
	return at, nil
}

func (e *Entry) readEvents(at int) error {
	if at == len(e.Text) {
		return errorAt(NoEvents, at, "no events")
	}
	e.Events = make([]Event, 0, bytes.Count(e.Text[at:], []byte("\n")))
	for at < len(e.Text) {
		if len(e.Events) == MaxEvents {
			return errorAt(TooMany, at, "more than %d events", MaxEvents)
		}
		n := bytes.IndexByte(e.Text[at:], '\n')
		s := scanner{b: e.Text[: at+n : at+n], i: at, entry: e, event: len(e.Events)}
		ev, err := s.scanEvent()
		if err != nil {
			return err
		}
		e.Events = append(e.Events, ev)
		at += n + 1
	}
	if e.Seq > MaxSeq-uint64(len(e.Events)) {
		return errorAt(IntegerRange, 0, "last sequence number exceeds 2^53-1")
	}
	return e.checkPlaces()
}

// checkPlaces refuses events that may not stand where they stand, whatever they say.
func (e *Entry) checkPlaces() error {
	for i, ev := range e.Events {
		seq := e.Seq + uint64(i)
		def := lookup(ev.Type)
		if (e.Track == SystemTrack) != (def.place == onSystem) && def.place != onBoth {
			return e.errorIn(i, Misplaced, "event %s does not belong on track %s", ev.Type, e.Track)
		}
		if opener := Opener(e.Track); (ev.Type == opener) != (seq == 0) {
			if seq == 0 {
				return e.errorIn(i, Misplaced, "track %s must begin with %s", e.Track, opener)
			}
			return e.errorIn(i, Misplaced, "%s is only the first event of a track", ev.Type)
		}
		if ev.Type == TypeTrackOpen && e.Track == MainTrack || ev.Type == TypeSessionOpen && e.Track != MainTrack {
			return e.errorIn(i, Misplaced, "%s does not open track %s", ev.Type, e.Track)
		}
		if ev.Type.Ends() && (i != len(e.Events)-1 || ev.Type == TypeSessionClose && e.Track != MainTrack) {
			return e.errorIn(i, Misplaced, "%s is the last event of the track that opens the session", ev.Type)
		}
	}
	return nil
}

// Opener is the type of the event that a track of this name begins with.
func Opener(track string) Type {
	switch track {
	case MainTrack:
		return TypeSessionOpen
	case SystemTrack:
		return TypeSystemOpen
	}
	return TypeTrackOpen
}

// Hash is the SHA-256 of the entry's text: what the track's next entry names as its previous one.
func (e *Entry) Hash() Hash { return HashOf(e.Text) }

// HashOf is the hash of an entry's text.
func HashOf(text []byte) Hash { return sha256.Sum256(text) }

// Next is the sequence number that the track's next entry begins with.
func (e *Entry) Next() uint64 { return e.Seq + uint64(len(e.Events)) }

// Compose makes an entry's text from a header and event lines (as Marshal returns them), and checks it as Parse would.
func Compose(h Header, events ...[]byte) ([]byte, error) {
	n := 256
	for _, ev := range events {
		n += len(ev) + 1
	}
	b := make([]byte, 0, n)
	b = append(b, formatLine+"\n"...)
	b = append(append(b, h.Origin...), '\n')
	b = append(append(append(append(b, h.Session...), '/'), h.Track...), '\n')
	b = append(strconv.AppendUint(b, h.Seq, 10), '\n')
	b = append(append(b, h.Prev.String()...), '\n')
	for _, ev := range events {
		b = append(append(b, ev...), '\n')
	}
	if err := checkText(b); err != nil {
		return nil, fmt.Errorf("making an entry: %w", err)
	}
	return b, nil
}

func checkText(text []byte) error {
	if len(text) > MaxText {
		return errorAt(Oversize, MaxText, "text of %d bytes, at most %d", len(text), MaxText)
	}
	if err := checkBytes(text); err != nil {
		return err
	}
	e := &Entry{Text: text}
	at, err := e.readHeader()
	if err != nil {
		return err
	}
	return e.readEvents(at)
}

func parseDecimal(s string) (uint64, bool) {
	if s == "" || len(s) > 16 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, n <= MaxSeq
}
