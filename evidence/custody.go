package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// A Custody is a custody record: who hands over what to whom, and on what ground. It is the exporter's word. The log has
// recorded its hash before the file was made, in a disclosure event.
//
//	steno/custody/v1
//	exhibit A-7
//	matter M-2026-17
//	made 2026-11-24T16:00:00Z
//	exporter Jane Doe, internal audit
//	approver John Roe, general counsel
//	recipient Financial Regulator, Mr. X
//	basis Art. 17 MiFID II, request of 2026-11-20
//	disclosed content
//	withheld personal privileged matter
//	entries 37 5f1d…
//	nonce 9cRm…==
type Custody struct {
	Exhibit     string
	Matter      string // may be empty
	Made        time.Time
	Exporter    string
	Approver    string // may be empty, as may be the next two
	Recipient   string
	Basis       string
	Disclosed   []string   // classes of content that the file shows in clear, ascending
	Withheld    []Withheld // ascending by class
	Entries     int        // leaves of the named sessions that the file has, and
	EntriesHash [sha256.Size]byte
	Nonce       [16]byte // random, so that the record's hash tells nothing
}

// A Withheld is a class of content that is not shown, and why, if that is said.
type Withheld struct {
	Class  string `json:"class"`
	Reason string `json:"reason,omitempty"`
}

const (
	custodyLine   = "steno/custody/v1"
	custodyLayout = "2006-01-02T15:04:05Z"
	maxCustody    = 16 << 10
	maxFreeText   = 500
)

// Marshal writes the record. What Check refuses is not read again.
func (c *Custody) Marshal() []byte {
	b := []byte(custodyLine + "\n")
	line := func(word string, values ...string) {
		if values[0] != "" {
			b = fmt.Appendf(b, "%s %s\n", word, strings.Join(values, " "))
		}
	}
	line("exhibit", c.Exhibit)
	line("matter", c.Matter)
	line("made", c.Made.UTC().Format(custodyLayout))
	line("exporter", c.Exporter)
	line("approver", c.Approver)
	line("recipient", c.Recipient)
	line("basis", c.Basis)
	for _, class := range c.Disclosed {
		line("disclosed", class)
	}
	for _, w := range c.Withheld {
		if w.Reason == "" {
			line("withheld", w.Class)
			continue
		}
		line("withheld", w.Class, w.Reason)
	}
	line("entries", strconv.Itoa(c.Entries), hex.EncodeToString(c.EntriesHash[:]))
	line("nonce", base64.StdEncoding.EncodeToString(c.Nonce[:]))
	return b
}

// Hash is what a disclosure event of the log names the record by.
func (c *Custody) Hash() entry.Hash { return sha256.Sum256(c.Marshal()) }

// ParseCustody reads a custody record as Marshal writes it, and no other spelling.
func ParseCustody(b []byte) (*Custody, error) {
	if len(b) > maxCustody {
		return nil, fmt.Errorf("custody record of %d bytes, at most %d", len(b), maxCustody)
	}
	lines := strings.Split(string(b), "\n")
	if lines[0] != custodyLine {
		return nil, fmt.Errorf("custody record does not begin with %q", custodyLine)
	}
	c := &Custody{}
	for _, line := range lines[1:] {
		word, value, _ := strings.Cut(line, " ")
		if err := c.set(word, value); err != nil {
			return nil, fmt.Errorf("custody record: %s: %w", word, err)
		}
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	// Order, repetitions, white space, digits and base64 have one spelling: what was read writes the same bytes.
	if !bytes.Equal(c.Marshal(), b) {
		return nil, errors.New("custody record: not its one spelling: a line is missing, out of its place, there twice, or written otherwise")
	}
	return c, nil
}

// set takes one line. What it lets through that no record has, is refused when the record is written again.
func (c *Custody) set(word, value string) (err error) {
	switch word {
	case "exhibit":
		c.Exhibit = value
	case "matter":
		c.Matter = value
	case "made":
		c.Made, err = time.Parse(custodyLayout, value)
	case "exporter":
		c.Exporter = value
	case "approver":
		c.Approver = value
	case "recipient":
		c.Recipient = value
	case "basis":
		c.Basis = value
	case "disclosed":
		c.Disclosed = append(c.Disclosed, value)
	case "withheld":
		class, reason, _ := strings.Cut(value, " ")
		c.Withheld = append(c.Withheld, Withheld{class, reason})
	case "entries":
		number, digest, _ := strings.Cut(value, " ")
		if c.Entries, err = strconv.Atoi(number); err == nil {
			err = fill(c.EntriesHash[:], digest, hex.DecodeString)
		}
	case "nonce":
		err = fill(c.Nonce[:], value, base64.StdEncoding.Strict().DecodeString)
	case "": // the end, and an empty line would not be written
	default:
		return errors.New("no line of a custody record begins so")
	}
	return err
}

func fill(to []byte, text string, decode func(string) ([]byte, error)) error {
	raw, err := decode(text)
	if err != nil || len(raw) != len(to) {
		return fmt.Errorf("not %d bytes", len(to))
	}
	copy(to, raw)
	return nil
}

// Check tells why the record can't be read again, or nil.
func (c *Custody) Check() error {
	ids := []struct{ word, id string }{{"exhibit", c.Exhibit}}
	if c.Matter != "" {
		ids = append(ids, struct{ word, id string }{"matter", c.Matter})
	}
	for _, x := range ids {
		if err := entry.CheckID(x.id); err != nil {
			return fmt.Errorf("custody record: %s: %w", x.word, err)
		}
	}
	if c.Exporter == "" {
		return errors.New("custody record: no exporter")
	}
	for _, x := range []struct{ word, text string }{{"exporter", c.Exporter}, {"approver", c.Approver}, {"recipient", c.Recipient}, {"basis", c.Basis}} {
		if err := checkFreeText(x.text); err != nil {
			return fmt.Errorf("custody record: %s: %w", x.word, err)
		}
	}
	if at := c.Made.UTC(); at.Year() < 0 || at.Year() > 9999 || at.Nanosecond() != 0 {
		return errors.New("custody record: made: not a whole second of the years 0 to 9999")
	}
	if c.Entries < 0 || c.Entries > MaxLeaves {
		return fmt.Errorf("custody record: %d entries, at most %d", c.Entries, MaxLeaves)
	}
	return c.checkClasses()
}

func (c *Custody) checkClasses() error {
	for i, class := range c.Disclosed {
		if _, err := payload.ParseClass(class); err != nil {
			return fmt.Errorf("custody record: disclosed: %w", err)
		}
		if i > 0 && c.Disclosed[i-1] >= class {
			return errors.New("custody record: disclosed classes are not in ascending order, each once")
		}
	}
	for i, w := range c.Withheld {
		if _, err := payload.ParseClass(w.Class); err != nil {
			return fmt.Errorf("custody record: withheld: %w", err)
		}
		if err := checkFreeText(w.Reason); err != nil {
			return fmt.Errorf("custody record: reason for withholding %s: %w", w.Class, err)
		}
		if i > 0 && c.Withheld[i-1].Class >= w.Class {
			return errors.New("custody record: withheld classes are not in ascending order, each once")
		}
		if slices.Contains(c.Disclosed, w.Class) {
			return fmt.Errorf("custody record: class %s is both disclosed and withheld", w.Class)
		}
	}
	return nil
}

// checkFreeText tells why people would not all read the same in s, or nil.
func checkFreeText(s string) error {
	if len(s) > maxFreeText {
		return fmt.Errorf("%d bytes, at most %d", len(s), maxFreeText)
	}
	if !utf8.ValidString(s) {
		return errors.New("not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return fmt.Errorf("character %U, which is a control character, a separator of lines or a bidirectional control", r)
		}
	}
	if strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
		return errors.New("a space at its beginning or end")
	}
	return nil
}

// CountEntries is what a custody record says of the entries in a bundle: how many leaves of the named sessions it has, and the
// SHA-256 of their leaf hashes, one after the other.
func (b *Bundle) CountEntries() (n int, digest [sha256.Size]byte, err error) {
	t := entryTally{sum: sha256.New()}
	for _, l := range b.Leaves {
		content, err := l.Load()
		if err != nil {
			return 0, digest, fmt.Errorf("loading leaf %d: %w", l.Index, err)
		}
		e, err := entry.Parse(content)
		if err != nil {
			return 0, digest, fmt.Errorf("leaf %d: %w", l.Index, err)
		}
		if _, named := slices.BinarySearch(b.Sessions, e.Session); named && e.Track != entry.SystemTrack {
			t.add(leafHash(content))
		}
	}
	return t.n, t.hash(), nil
}

type entryTally struct {
	n   int
	sum hash.Hash
}

func (t *entryTally) add(leaf [sha256.Size]byte) {
	t.n++
	t.sum.Write(leaf[:])
}

func (t *entryTally) hash() [sha256.Size]byte { return [sha256.Size]byte(t.sum.Sum(nil)) }
