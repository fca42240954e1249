package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A Checkpoint is a tree head that the pinned log key has signed.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
	Note   []byte // exact bytes, with every signature they came with
}

const (
	maxCheckpoint = 64 << 10
	maxTreeSize   = 1<<63 - 1 // SPEC: tlog-checkpoint: sizes fit 63 bits in the tooling that reads them
)

// OpenCheckpoint reads a checkpoint (https://c2sp.org/tlog-checkpoint) and verifies the log's signature.
func (t *Trust) OpenCheckpoint(b []byte) (Checkpoint, error) {
	if len(b) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes, at most %d", len(b), maxCheckpoint)
	}
	n, err := note.Open(b, note.VerifierList(t.log))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	origin, size, root, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	if origin != t.Origin {
		return Checkpoint{}, errors.New("checkpoint: signed by the log, but its first line is another origin")
	}
	return Checkpoint{Origin: origin, Size: size, Root: root, Note: bytes.Clone(b)}, nil
}

// parseCheckpoint reads origin, size and root. Extension lines may follow; steno gives them no meaning.
func parseCheckpoint(text string) (origin string, size uint64, root [32]byte, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return "", 0, root, errors.New("text has fewer than three lines")
	}
	// SPEC: tlog-checkpoint: the tree size is in decimal, with no leading zeros (unless the tree is empty).
	size, err = strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] || size > maxTreeSize {
		return "", 0, root, errors.New("size is not a decimal without leading zeros below 2^63")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(raw) != len(root) {
		return "", 0, root, errors.New("root is not 32 bytes in canonical base64")
	}
	return lines[0], size, [32]byte(raw), nil
}
