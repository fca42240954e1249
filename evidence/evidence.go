// Package evidence writes sessions of a log to one file and verifies such a file, offline, against nothing but the keys
// that a trust file pins. It imports no network and no storage, asks no clock, and believes nothing that it reads.
//
// A bundle is an uncompressed zip archive with one spelling: the same contents are always the same bytes. In it stand
//
//	steno-evidence                               format line, origin of the log, the sessions
//	README.txt                                   the recipe in words; not believed
//	trust                                        the exporter's trust file, optional; not believed
//	checkpoint                                   the signed tree head that every proof below leads to
//	leaf/00000000000000000991                    exact bytes of a leaf, and
//	proof/00000000000000000991.tlog-proof        its proof of inclusion (https://c2sp.org/tlog-proof)
//	anchor/00000000000000000990/note             the checkpoint that an authority stamped, by the anchor event in that leaf, and
//	anchor/00000000000000000990/consistency      hashes from it to the bundle's
//	public/<SHA-256 in hexadecimal>              what anchor events name: large tokens, chains, revocation data
//	blob/<SHA-256 in hexadecimal>                sealed bytes that an entry names
//	disclosed/<index>-<event>-<slot>.json        segments of a payload, shown to whoever holds the file
//
// The leaves are the entries of the sessions, those entries of the log's own system sessions that speak of them, and anchors.
// docs/spec/evidence.md is the specification.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
)

// Limits of the format. A reader allocates no more than they allow before it has seen the bytes.
const (
	MaxBundle     = 1<<32 - 1 // bytes of a file: what a zip archive without 64-bit offsets can have
	MaxLeaves     = 200_000
	MaxBlobs      = 500_000
	MaxDisclosed  = 100_000
	MaxSessions   = 1024
	maxReadme     = 64 << 10
	maxTrust      = trust.MaxFile
	maxCheckpoint = checkpoint.MaxNote
	maxManifest   = 256 + MaxSessions*37
	maxDisclosure = 256 << 20
	maxNameLength = 200
	formatLine    = "steno/evidence/v2"
	oldLine       = "steno/evidence/v1" // without anchors; it is still read

	MaxAnchors     = 1024
	MaxPublic      = 16 * MaxAnchors
	maxPublic      = payload.MaxBlob
	maxConsistency = maxProofHashes * hashLine
)

// A Bundle is the contents of an evidence file.
type Bundle struct {
	Origin     string
	Sessions   []string // in ascending order, each once
	Readme     []byte   // ReadmeText, if nil
	Trust      []byte   // left out if nil
	Checkpoint []byte   // a signed note, exact bytes
	Leaves     []Leaf   // in ascending order of Index
	Anchors    []Anchor // in ascending order of Index
	Public     []Blob   // what anchor events name, in ascending order of SHA256
	Blobs      []Blob   // in ascending order of SHA256
	Disclosed  []Disclosed

	old bool // it was read in format version 1, and is written so
}

// A Leaf is a leaf of the log and the hashes that prove it under the bundle's checkpoint (RFC 6962, from the leaf up).
type Leaf struct {
	Index uint64
	Bytes []byte
	Proof [][sha256.Size]byte
}

// An Anchor is the checkpoint that the tokens in an anchor leaf are over, and the hashes from it to the bundle's (RFC 6962).
type Anchor struct {
	Index       uint64 // of the leaf
	Note        []byte // exact bytes, as they were stamped
	Consistency [][sha256.Size]byte
}

// A Blob is sealed bytes, or public ones. They are loaded one after the other, so that a large bundle need not fit into memory.
type Blob struct {
	SHA256 entry.Hash
	Size   int64
	Load   func() ([]byte, error)
}

// BlobOf is the Blob of bytes in memory.
func BlobOf(b []byte) Blob {
	return Blob{SHA256: sha256.Sum256(b), Size: int64(len(b)), Load: func() ([]byte, error) { return b, nil }}
}

// A Disclosed is a disclosure of the payload in a member of an event: Slot is the path as in entry.BlobAt, without the
// number of a part. Load returns the one JSON form of payload.Disclosure. They are ordered by Index, Event, Slot.
type Disclosed struct {
	Index uint64
	Event int
	Slot  string
	Load  func() ([]byte, error)
}

// DisclosedOf makes a Disclosed of what payload.Opened.Disclose returned.
func DisclosedOf(index uint64, event int, slot string, d payload.Disclosure) Disclosed {
	return Disclosed{Index: index, Event: event, Slot: slot, Load: func() ([]byte, error) { return marshalDisclosure(d) }}
}

const (
	fileManifest   = "steno-evidence"
	fileReadme     = "README.txt"
	fileTrust      = "trust"
	fileCheckpoint = "checkpoint"
	dirLeaf        = "leaf/"
	dirProof       = "proof/"
	dirAnchor      = "anchor/"
	dirPublic      = "public/"
	dirBlob        = "blob/"
	dirDisclosed   = "disclosed/"
	proofSuffix    = ".tlog-proof"
	noteSuffix     = "/note"
	pathSuffix     = "/consistency"
	jsonSuffix     = ".json"
)

func leafName(index uint64) string  { return fmt.Sprintf("%s%020d", dirLeaf, index) }
func proofName(index uint64) string { return fmt.Sprintf("%s%020d%s", dirProof, index, proofSuffix) }
func anchorName(index uint64, suffix string) string {
	return fmt.Sprintf("%s%020d%s", dirAnchor, index, suffix)
}
func publicName(h entry.Hash) string { return dirPublic + hex.EncodeToString(h[:]) }
func blobName(h entry.Hash) string   { return dirBlob + hex.EncodeToString(h[:]) }

// disclosedName writes the slash of a slot as a full stop, which no member's name has.
func (d Disclosed) name() string {
	return fmt.Sprintf("%s%020d-%03d-%s%s", dirDisclosed, d.Index, d.Event, strings.ReplaceAll(d.Slot, "/", "."), jsonSuffix)
}

// manifest is the text of the file that names the format.
func (b *Bundle) manifest() []byte {
	format := formatLine
	if b.old {
		format = oldLine
	}
	return []byte(strings.Join(append([]string{format, b.Origin}, b.Sessions...), "\n") + "\n")
}

// check refuses what Read would refuse, so that nothing is written that can't be read.
func (b *Bundle) check() error {
	if err := entry.CheckOrigin(b.Origin); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	if len(b.Sessions) == 0 || len(b.Sessions) > MaxSessions {
		return fmt.Errorf("%d sessions, 1 to %d are allowed", len(b.Sessions), MaxSessions)
	}
	for i, s := range b.Sessions {
		if err := entry.CheckSession(s); err != nil {
			return fmt.Errorf("session %d: %w", i, err)
		}
		if i > 0 && b.Sessions[i-1] >= s {
			return fmt.Errorf("session %d: not in ascending order, each once", i)
		}
	}
	for _, limit := range []struct {
		what     string
		have, at int
	}{
		{"leaves", len(b.Leaves), MaxLeaves}, {"anchors", len(b.Anchors), MaxAnchors}, {"public blobs", len(b.Public), MaxPublic}, {"blobs", len(b.Blobs), MaxBlobs}, {"disclosures", len(b.Disclosed), MaxDisclosed},
		{"bytes of README.txt", len(b.Readme), maxReadme}, {"bytes of the trust file", len(b.Trust), maxTrust},
		{"bytes of the checkpoint", len(b.Checkpoint), maxCheckpoint},
	} {
		if limit.have > limit.at {
			return fmt.Errorf("%d %s, at most %d", limit.have, limit.what, limit.at)
		}
	}
	return b.checkOrder()
}

func (b *Bundle) checkOrder() error {
	for i, l := range b.Leaves {
		if i > 0 && b.Leaves[i-1].Index >= l.Index {
			return fmt.Errorf("leaf %d: not in ascending order, each once", l.Index)
		}
		if len(l.Bytes) > entry.MaxLeaf || len(l.Proof) > maxProofHashes {
			return fmt.Errorf("leaf %d: of %d bytes and %d hashes, at most %d and %d", l.Index, len(l.Bytes), len(l.Proof), entry.MaxLeaf, maxProofHashes)
		}
	}
	if b.old && len(b.Anchors)+len(b.Public) > 0 {
		return fmt.Errorf("anchors in a bundle of format %s", oldLine)
	}
	for i, a := range b.Anchors {
		if i > 0 && b.Anchors[i-1].Index >= a.Index {
			return fmt.Errorf("anchor %d: not in ascending order, each once", a.Index)
		}
		if len(a.Note) > maxCheckpoint || len(a.Consistency) > maxProofHashes {
			return fmt.Errorf("anchor %d: of %d bytes and %d hashes, at most %d and %d", a.Index, len(a.Note), len(a.Consistency), maxCheckpoint, maxProofHashes)
		}
	}
	if err := checkBlobs("public blob", b.Public, maxPublic); err != nil {
		return err
	}
	if err := checkBlobs("blob", b.Blobs, payload.MaxBlob); err != nil {
		return err
	}
	for i, d := range b.Disclosed {
		if !isSlot(d.Slot) || d.Event < 0 || d.Event >= entry.MaxEvents {
			return fmt.Errorf("disclosure of leaf %d: no event or slot", d.Index)
		}
		if i > 0 && b.Disclosed[i-1].name() >= d.name() {
			return fmt.Errorf("disclosure of leaf %d: not in ascending order, each once", d.Index)
		}
	}
	return nil
}

func checkBlobs(what string, blobs []Blob, most int) error {
	for i, blob := range blobs {
		if i > 0 && slices.Compare(blobs[i-1].SHA256[:], blob.SHA256[:]) >= 0 {
			return fmt.Errorf("%s %x: not in ascending order, each once", what, blob.SHA256)
		}
		if blob.Size < 0 || blob.Size > int64(most) {
			return fmt.Errorf("%s %x: of %d bytes, at most %d", what, blob.SHA256, blob.Size, most)
		}
	}
	return nil
}

// isSlot tells whether s can be the path of a payload in an event: member names joined by slashes.
func isSlot(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return false
		}
	}
	return true
}
