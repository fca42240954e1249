package log

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// A checkpoint is what the text of a checkpoint note says.
type checkpoint struct {
	Origin string
	Size   uint64
	Root   storage.Hash
}

// text is the checkpoint as c2sp.org/tlog-checkpoint has it, with no extension lines: ML-DSA cosigners refuse those.
func (c checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// parseCheckpoint reads what text wrote, and no other spelling of it.
func parseCheckpoint(text string) (checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return checkpoint{}, fmt.Errorf("checkpoint has %d lines, want 3", len(lines)-1)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint size: %w", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(storage.Hash{}) {
		return checkpoint{}, fmt.Errorf("checkpoint root %q is no hash", lines[2])
	}
	c := checkpoint{lines[0], size, storage.Hash(root)}
	if c.text() != text {
		return checkpoint{}, fmt.Errorf("checkpoint is not in canonical form")
	}
	if size > tiles.MaxSize {
		return checkpoint{}, fmt.Errorf("checkpoint size %d is larger than can be", size)
	}
	return c, checkOrigin(c.Origin)
}

// openCheckpoint checks that a note is a checkpoint of the log, signed by it.
func openCheckpoint(msg []byte, v note.Verifier) (checkpoint, error) {
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return checkpoint{}, fmt.Errorf("opening checkpoint: %w", err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return checkpoint{}, err
	}
	if c.Origin != v.Name() {
		return checkpoint{}, fmt.Errorf("checkpoint is of %q, not of %q", c.Origin, v.Name())
	}
	return c, nil
}

// signCheckpoint signs c, and checks the signature: a faulty signer's work must not leave.
func signCheckpoint(c checkpoint, s note.Signer, v note.Verifier) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: c.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint of size %d: %w", c.Size, err)
	}
	if got, err := openCheckpoint(msg, v); err != nil || got != c {
		return nil, fmt.Errorf("the signer made a checkpoint of size %d that does not verify: %w", c.Size, err)
	}
	return msg, nil
}

func checkOrigin(origin string) error {
	// SPEC: signed-note: a key name is not empty and has neither spaces nor plus signs.
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' }
	if origin == "" || len(origin) > 255 || !utf8.ValidString(origin) || strings.ContainsFunc(origin, bad) {
		return fmt.Errorf("%q cannot be the origin of a log", origin)
	}
	return nil
}
