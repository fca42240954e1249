package entry

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// A Hash is a SHA-256 digest, written as canonical standard base64 (44 characters).
type Hash [sha256.Size]byte

const hashChars = 44

func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// IsZero tells whether the hash is the "previous" of a track's first entry.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes base64.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads canonical base64.
func (h *Hash) UnmarshalText(b []byte) error {
	v, ok := decodeHash(b)
	if !ok {
		return errors.New("hash is not 32 bytes in canonical base64")
	}
	*h = v
	return nil
}

func decodeHash(b []byte) (h Hash, ok bool) {
	if len(b) != hashChars {
		return h, false
	}
	var buf [33]byte // Decode wants room for a whole last quantum
	n, err := base64.StdEncoding.Strict().Decode(buf[:], b)
	if err != nil || n != len(h) {
		return h, false
	}
	return Hash(buf[:32]), true
}

// A Time is microseconds since 1970 in UTC, written as RFC 3339 with exactly six decimals and Z, years 1970 to 9999.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000Z"

// TimeOf truncates t to microseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Time is t as a time.Time in UTC.
func (t Time) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

func (t Time) String() string { return t.Time().Format(timeLayout) }

// MarshalText writes the one form.
func (t Time) MarshalText() ([]byte, error) {
	if t < 0 || t.Time().Year() > 9999 {
		return nil, fmt.Errorf("time %d is outside the years 1970 to 9999", int64(t))
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the one form.
func (t *Time) UnmarshalText(b []byte) error {
	v, ok := decodeTime(b)
	if !ok {
		return errors.New("time is not RFC 3339 in UTC with six decimals and Z")
	}
	*t = v
	return nil
}

// decodeTime reads YYYY-MM-DDTHH:MM:SS.ffffffZ. It is written out because it runs for every event of an audit.
func decodeTime(b []byte) (Time, bool) {
	if len(b) != len(timeLayout) || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' ||
		b[19] != '.' || b[26] != 'Z' {
		return 0, false
	}
	ok := true
	num := func(from, to int) (n int) {
		for _, c := range b[from:to] {
			ok = ok && c >= '0' && c <= '9'
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := num(0, 4), num(5, 7), num(8, 10)
	hour, minute, second, micro := num(11, 13), num(14, 16), num(17, 19), num(20, 26)
	if !ok || year < 1970 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, micro*1000, time.UTC)
	if t.Month() != time.Month(month) || t.Day() != day { // time.Date normalises the 31st of February
		return 0, false
	}
	return Time(t.UnixMicro()), true
}

// CheckOrigin tells what is wrong with a log's origin: 1 to 128 of letters, digits and . - _ / with an optional :port, as
// in a schema-less URL. SPEC: signed-note: key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus.
func CheckOrigin(s string) error {
	if s == "" || len(s) > MaxOrigin {
		return fmt.Errorf("%d characters, 1 to %d are allowed", len(s), MaxOrigin)
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && (i == 0 || c != '.' && c != '-' && c != '_' && c != '/' && c != ':') {
			return fmt.Errorf("character %d is none of A-Z a-z 0-9 . - _ / : or stands first", i)
		}
	}
	return nil
}

// CheckSession tells what is wrong with a session's name: a UUID version 7 (RFC 9562) in lower case.
func CheckSession(s string) error {
	if len(s) != sessionBytes {
		return fmt.Errorf("%d characters, a UUID has 36", len(s))
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return fmt.Errorf("character %d is not a hyphen", i)
			}
		case 14:
			if c != '7' {
				return errors.New("not a UUID of version 7")
			}
		case 19:
			if c != '8' && c != '9' && c != 'a' && c != 'b' {
				return errors.New("not a UUID of the RFC 9562 variant")
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return fmt.Errorf("character %d is not a lower-case hexadecimal digit", i)
			}
		}
	}
	return nil
}

// CheckTrack tells what is wrong with a track's name: 1 to 32 of a-z 0-9 and -, not first a hyphen.
func CheckTrack(s string) error {
	if s == "" || len(s) > 32 {
		return fmt.Errorf("%d characters, 1 to 32 are allowed", len(s))
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return fmt.Errorf("character %d is none of a-z 0-9 - or stands first", i)
		}
	}
	return nil
}

// CheckID tells what is wrong with an id: 1 to 128 of letters, digits and . _ : / + -, first a letter or digit. Ids stand
// in clear for decades, so there is no @ for mail addresses and no space for names.
func CheckID(s string) error {
	if s == "" || len(s) > maxID {
		return fmt.Errorf("%d characters, 1 to %d are allowed", len(s), maxID)
	}
	for i := range len(s) {
		if !isIDChar(s[i], i) {
			return fmt.Errorf("character %d is none of A-Z a-z 0-9 . _ : / + - or stands first", i)
		}
	}
	return nil
}

const maxID = 128

func isIDChar(c byte, i int) bool {
	return isAlnum(c) || i > 0 && (c == '.' || c == '_' || c == ':' || c == '/' || c == '+' || c == '-')
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
