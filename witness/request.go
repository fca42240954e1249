package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
)

const (
	// PathAddCheckpoint comes after a witness's submission prefix.
	PathAddCheckpoint = "/add-checkpoint"
	// MaxBody bounds the body of a request.
	MaxBody = 64 << 10
)

// A Request is the body of add-checkpoint.
type Request struct {
	Old   uint64     // size of the checkpoint that the witness is thought to have cosigned last
	Proof [][32]byte // from Old to the size in Note
	Note  []byte     // the checkpoint with its signatures
}

// Marshal writes the request.
func (r Request) Marshal() []byte {
	b := strconv.AppendUint([]byte("old "), r.Old, 10)
	b = append(b, '\n')
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	b = append(b, '\n')
	return append(b, r.Note...)
}

// ParseRequest reads a request in its one spelling. The note is a well-formed checkpoint then, and no signature is verified.
func ParseRequest(b []byte) (Request, error) {
	if len(b) > MaxBody {
		return Request{}, fmt.Errorf("request of %d bytes, at most %d", len(b), MaxBody)
	}
	// SPEC: tlog-witness: the request body MUST be a sequence of an old size line, zero or more consistency proof lines, and an
	// empty line, followed by a checkpoint. Each line MUST terminate in a newline character (U+000A).
	head, text, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return Request{}, errors.New("request: no empty line")
	}
	lines := strings.Split(string(head), "\n")
	r := Request{Note: bytes.Clone(text)}
	var err error
	if r.Old, err = parseOld(lines[0]); err != nil {
		return Request{}, fmt.Errorf("request: %w", err)
	}
	if r.Proof, err = parseProof(lines[1:]); err != nil {
		return Request{}, fmt.Errorf("request: %w", err)
	}
	if _, _, err := parseNote(r.Note); err != nil {
		return Request{}, fmt.Errorf("request: %w", err)
	}
	return r, nil
}

func parseOld(line string) (uint64, error) {
	// SPEC: tlog-witness: the old size line MUST consist of the string old, a single space (0x20), and the tree size of the
	// previous checkpoint encoded as an ASCII decimal with no leading zeroes (unless the size is zero, in which case the
	// encoding MUST be 0).
	size, ok := strings.CutPrefix(line, "old ")
	if !ok {
		return 0, errors.New(`the first line does not begin with "old "`)
	}
	old, err := checkpoint.ParseSize(size)
	if err != nil {
		return 0, fmt.Errorf("old size: %w", err)
	}
	return old, nil
}

func parseProof(lines []string) ([][32]byte, error) {
	// SPEC: tlog-witness: the client MUST NOT send more than 63 consistency proof lines.
	if len(lines) > checkpoint.MaxProof {
		return nil, fmt.Errorf("proof of %d lines, at most %d", len(lines), checkpoint.MaxProof)
	}
	var proof [][32]byte
	for i, line := range lines {
		// SPEC: tlog-witness: each consistency proof line MUST encode a single hash in base64.
		h, err := checkpoint.ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("proof line %d: %w", i+1, err)
		}
		proof = append(proof, h)
	}
	return proof, nil
}

// parseNote reads a checkpoint and its signature lines, none of which it verifies. It drops repetitions of a line.
func parseNote(b []byte) (checkpoint.Checkpoint, *note.Note, error) {
	// SPEC: signed-note: signed notes MUST be valid UTF-8 and MUST NOT contain any ASCII control characters other than newline.
	_, err := note.Open(b, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return checkpoint.Checkpoint{}, nil, errors.New("the checkpoint is no signed note")
	}
	c, err := checkpoint.Parse(unverified.Note.Text)
	if err != nil {
		return c, nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c, unverified.Note, nil
}
