// Package checkpoint reads and writes the tree heads of transparency logs, and the signatures by which logs and witnesses
// stand for them.
//
// A checkpoint (https://c2sp.org/tlog-checkpoint, 2026-07) is a signed note whose text is at least three lines: origin of
// the log, number of leaves, RFC 6962 root. Lines after them are extensions, to which nobody here gives a meaning.
//
//	log.acme.example/prod
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— log.acme.example/prod Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//	— witness.example/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
//
// Three kinds of keys sign one (https://c2sp.org/signed-note, https://c2sp.org/tlog-cosignature):
//
//	0x01  Ed25519 over the text: a log's
//	0x04  Ed25519 over "cosignature/v1\ntime <seconds>\n" and the text, with the time before the signature: a witness's
//	0x06  ML-DSA-44 over the structure subtree/v1 (cosigner, time, origin, 0, size, root), likewise: a witness's or a log's
//
// A cosignature says that its maker saw no larger tree of this log, and none that this one does not extend, at that time.
// What is read here is not believed: callers bring the keys.
package checkpoint

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

const (
	// MaxNote is the greatest length of a checkpoint with its signatures.
	MaxNote = 64 << 10
	// MaxSize is the greatest number of leaves: tooling reads sizes into 63 bits.
	MaxSize = 1<<63 - 1
	// MaxProof is the greatest number of hashes in a consistency proof.
	// SPEC: tlog-witness: the client MUST NOT send more than 63 consistency proof lines.
	MaxProof = 63
)

// A Checkpoint is what the text says.
type Checkpoint struct {
	Origin     string
	Size       uint64
	Root       [sha256.Size]byte
	Extensions []string // without their line feeds; mostly nil
}

// Parse reads a text in its one spelling.
func Parse(text string) (Checkpoint, error) {
	var c Checkpoint
	body, whole := strings.CutSuffix(text, "\n")
	lines := strings.Split(body, "\n")
	if !whole || len(lines) < 3 {
		return c, errors.New("text is not three lines or more, each ended by a line feed")
	}
	for i, l := range lines {
		// SPEC: tlog-checkpoint: the note text is a sequence of at least three non-empty lines; extension lines MUST be non-empty.
		if l == "" || strings.ContainsRune(l, '\r') {
			return c, fmt.Errorf("line %d is empty or has a carriage return", i+1)
		}
	}
	var err error
	// SPEC: tlog-checkpoint: the ASCII decimal representation of the number of leaves, with no leading zeroes.
	if c.Size, err = ParseSize(lines[1]); err != nil {
		return c, fmt.Errorf("line 2: %w", err)
	}
	if c.Root, err = ParseHash(lines[2]); err != nil {
		return c, fmt.Errorf("line 3: %w", err)
	}
	c.Origin = lines[0]
	if len(lines) > 3 {
		c.Extensions = lines[3:]
	}
	return c, nil
}

// ParseSize reads a number of leaves: decimal, no leading zeros, at most MaxSize.
func ParseSize(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > MaxSize || strconv.FormatUint(n, 10) != s {
		return 0, errors.New("size is not a decimal without leading zeros below 2^63")
	}
	return n, nil
}

// ParseHash reads a hash: 32 bytes in canonical base64.
func ParseHash(s string) (h [sha256.Size]byte, err error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(h) || base64.StdEncoding.EncodeToString(raw) != s { // which skips line ends
		return h, errors.New("hash is not 32 bytes in canonical base64")
	}
	return [sha256.Size]byte(raw), nil
}

// Text writes the checkpoint.
func (c Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	for _, l := range c.Extensions {
		b.WriteString(l + "\n")
	}
	return b.String()
}

// OriginHash is the name under which a witness shows its latest checkpoint of a log.
// SPEC: tlog-witness: the origin hash is the SHA-256 hash of the log's origin, hex encoded, in lowercase.
func OriginHash(origin string) string {
	h := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(h[:])
}

// VerifyConsistency checks an RFC 6962 proof (section 2.1.2) that the tree of size to extends the one of size from. From
// size 0, and between equal sizes, the proof is empty, and the empty tree has the one root.
func VerifyConsistency(from, to uint64, hashes [][sha256.Size]byte, fromRoot, toRoot [sha256.Size]byte) error {
	if len(hashes) > MaxProof {
		return fmt.Errorf("consistency proof of %d hashes, at most %d", len(hashes), MaxProof)
	}
	if from == 0 {
		if fromRoot != EmptyRoot() {
			return errors.New("consistency proof: not the root of the empty tree")
		}
		if len(hashes) > 0 {
			return errors.New("consistency proof: from the empty tree it is empty")
		}
		if to == 0 && toRoot != EmptyRoot() {
			return errors.New("consistency proof: two roots of the empty tree")
		}
		return nil
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, byteSlices(hashes), fromRoot[:], toRoot[:]); err != nil {
		return fmt.Errorf("consistency proof: %w", err)
	}
	return nil
}

// PrefixRoot is the root at size from that a consistency proof gives to the tree of the given root at size to, if the
// proof leads there at all: for a proof that fails, it tells a wrong prefix from a proof of nothing. From a power of two the
// proof does not hold that root, and there is no telling.
func PrefixRoot(from, to uint64, hashes [][sha256.Size]byte, root [sha256.Size]byte) (prefix [sha256.Size]byte, ok bool) {
	// The library compares the older root first, and says which one it computed.
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, byteSlices(hashes), make([]byte, sha256.Size), root[:])
	var mismatch proof.RootMismatchError
	if !errors.As(err, &mismatch) || len(mismatch.CalculatedRoot) != sha256.Size {
		return prefix, false
	}
	prefix = [sha256.Size]byte(mismatch.CalculatedRoot)
	return prefix, from < to && VerifyConsistency(from, to, hashes, prefix, root) == nil
}

// EmptyRoot is the root of the tree without leaves.
// SPEC: RFC 6962 2.1: the hash of an empty list is the hash of an empty string.
func EmptyRoot() [sha256.Size]byte { return sha256.Sum256(nil) }

func byteSlices(hashes [][sha256.Size]byte) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
