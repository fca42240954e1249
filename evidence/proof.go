package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A Proof is the contents of a tlog-proof (https://c2sp.org/tlog-proof) without extra data.
type Proof struct {
	Index      uint64
	Hashes     [][sha256.Size]byte
	Checkpoint []byte // a signed note
}

const (
	proofLine      = "c2sp.org/tlog-proof@v1"
	maxProofHashes = 63
	maxProof       = 128 + maxProofHashes*hashLine + maxCheckpoint
)

// Marshal writes the proof.
func (p Proof) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nindex %d\n", proofLine, p.Index)
	b.Write(marshalHashes(p.Hashes))
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// parseHashes reads lines as marshalHashes writes them.
func parseHashes(lines []string) (hashes [][sha256.Size]byte, err error) {
	for i, line := range lines {
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(raw) != sha256.Size || len(line) != hashLine-1 {
			return nil, fmt.Errorf("hash %d of the proof is not 32 bytes in canonical base64", i)
		}
		hashes = append(hashes, [sha256.Size]byte(raw))
	}
	return hashes, nil
}

// ParseProof reads a proof as Marshal writes it, and no other spelling; extra data, which tlog-proof allows and steno has
// no use for, is refused. The checkpoint is not looked into.
func ParseProof(b []byte) (Proof, error) {
	if len(b) > maxProof {
		return Proof{}, fmt.Errorf("proof of %d bytes, at most %d", len(b), maxProof)
	}
	end := bytes.Index(b, []byte("\n\n"))
	if end < 0 {
		return Proof{}, errors.New("proof has no empty line before a checkpoint")
	}
	lines := strings.Split(string(b[:end]), "\n")
	if lines[0] != proofLine || len(lines) < 2 || len(lines) > 2+maxProofHashes {
		return Proof{}, fmt.Errorf("proof does not begin with %q, an index and at most %d hashes", proofLine, maxProofHashes)
	}
	p := Proof{Checkpoint: b[end+2:]}
	number, ok := strings.CutPrefix(lines[1], "index ")
	n, err := strconv.ParseUint(number, 10, 63)
	if !ok || err != nil || strconv.FormatUint(n, 10) != number {
		return Proof{}, errors.New("second line of the proof is not «index N» in decimal without leading zeros")
	}
	p.Index = n
	if p.Hashes, err = parseHashes(lines[2:]); err != nil {
		return Proof{}, err
	}
	return p, nil
}

// Verify tells why a leaf is not proven to stand at the proof's index in the tree of this size and root, or nil.
func (p Proof) Verify(leaf []byte, size uint64, root [sha256.Size]byte) error {
	if size > math.MaxInt64 || p.Index >= size {
		return fmt.Errorf("index %d is not in the tree of size %d", p.Index, size)
	}
	hashes := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		hashes[i] = tlog.Hash(h)
	}
	// SPEC: RFC 6962 2.1.3.2 by x/mod's tlog, which takes exactly the hashes that this size and index call for.
	if tlog.CheckRecord(hashes, int64(size), tlog.Hash(root), int64(p.Index), tlog.RecordHash(leaf)) != nil {
		return fmt.Errorf("the proof does not lead from the leaf to the root of the checkpoint of size %d", size)
	}
	return nil
}
