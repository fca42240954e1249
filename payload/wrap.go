package payload

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

const (
	maxWrap      = 64 << 10 // bytes of a wrap; a post-quantum recipient takes about 1.7 kB of it
	maxWrapPlain = 2048     // three names of 255 bytes and the rest fit
	maxWrapTo    = 16
)

// ErrWrap means that a wrap opened but is not the one that was looked for, or not well-formed.
var ErrWrap = errors.New("wrap is not of this key")

// WrapPlace says whose key a wrap holds.
type WrapPlace struct {
	Origin, Session, Track string
	Class                  Class
}

// text is the plaintext of a wrap without the line of the key.
func (w WrapPlace) text() ([]byte, error) {
	at := Place{Origin: w.Origin, Session: w.Session, Track: w.Track, Slot: "key"}
	if err := at.check(); err != nil {
		return nil, err
	}
	if !w.Class.valid() {
		return nil, fmt.Errorf("unknown class %d", w.Class)
	}
	return fmt.Appendf(nil, "%s%s\n%s/%s\n%s\n", unitKeyLabel, w.Origin, w.Session, w.Track, w.Class), nil
}

// Wrap encrypts key, as an age file, to at least two recipients: the vault of the class, and recovery. All are X25519, or
// all are post-quantum hybrid ones; other kinds are refused.
func Wrap(key UnitKey, where WrapPlace, recipients ...age.Recipient) ([]byte, error) {
	text, err := where.text()
	if err != nil {
		return nil, fmt.Errorf("wrapping unit key: %w", err)
	}
	if err := checkRecipients(recipients); err != nil {
		return nil, fmt.Errorf("wrapping unit key: %w", err)
	}
	text = base64.StdEncoding.AppendEncode(text, key[:])
	text = append(text, '\n')
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, fmt.Errorf("wrapping unit key: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("wrapping unit key: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("wrapping unit key: %w", err)
	}
	return out.Bytes(), nil
}

// SPEC: payload.md, Wrap: two distinct recipients at least, of one of two kinds, never mixed.
func checkRecipients(recipients []age.Recipient) error {
	seen := make(map[string]bool)
	classic := 0
	for _, r := range recipients {
		switch r := r.(type) {
		case *age.X25519Recipient:
			classic++
			seen[r.String()] = true
		case *age.HybridRecipient:
			seen[r.String()] = true
		default:
			return fmt.Errorf("a recipient of type %T is neither X25519 nor post-quantum hybrid", r)
		}
	}
	switch {
	case len(recipients) > maxWrapTo:
		return fmt.Errorf("more than %d recipients", maxWrapTo)
	case len(seen) != len(recipients):
		return errors.New("a recipient is named twice")
	case len(seen) < 2:
		return errors.New("a vault recipient and a recovery recipient are needed")
	case classic != 0 && classic != len(recipients):
		return errors.New("X25519 and post-quantum recipients cannot share a wrap")
	}
	return nil
}

// Unwrap opens a wrap and returns the key if it is that of where, and the one that the recorder committed to. Anyone can
// encrypt to a public recipient: without the commitment a wrap proves nothing.
func Unwrap(file []byte, where WrapPlace, commitment Hash, identities ...age.Identity) (UnitKey, error) {
	text, err := where.text()
	if err != nil {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w", err)
	}
	if len(file) > maxWrap {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w: %d bytes", ErrWrap, len(file))
	}
	r, err := age.Decrypt(bytes.NewReader(file), identities...)
	if err != nil {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w", err)
	}
	got, err := io.ReadAll(io.LimitReader(r, maxWrapPlain+1))
	if err != nil {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w", err)
	}
	// SPEC: payload.md, Wrap: the text is compared whole, so only the key's line is left to read.
	line, ok := bytes.CutPrefix(got, text)
	if !ok {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w: it is for another place", ErrWrap)
	}
	key, err := parseKeyLine(line)
	if err != nil {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w", err)
	}
	c := key.Commitment()
	if subtle.ConstantTimeCompare(c[:], commitment[:]) != 1 {
		return UnitKey{}, fmt.Errorf("unwrapping unit key: %w: it is not the key committed to", ErrWrap)
	}
	return key, nil
}

func parseKeyLine(line []byte) (UnitKey, error) {
	if len(line) != base64.StdEncoding.EncodedLen(len(UnitKey{}))+1 || line[len(line)-1] != '\n' {
		return UnitKey{}, fmt.Errorf("%w: malformed key", ErrWrap)
	}
	// Go's decoder skips line ends inside; with the length given, one makes the text too short for it.
	b, err := base64.StdEncoding.Strict().DecodeString(string(line[:len(line)-1]))
	if err != nil || len(b) != len(UnitKey{}) {
		return UnitKey{}, fmt.Errorf("%w: malformed key", ErrWrap)
	}
	return UnitKey(b), nil
}
