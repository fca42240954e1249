// Package evidence writes sessions of a log to one file and verifies such a file, offline, against nothing but the keys
// that a trust file pins. It imports no network and no storage, asks no clock, and believes nothing that it reads.
//
// A bundle is an uncompressed zip archive with one spelling: the same contents are always the same bytes. In it stand
//
//	steno-evidence                               format line, origin of the log, sessions, range, what it was too early for
//	README.txt                                   the recipe in words; not believed
//	report.html                                  a report for people, optional; not believed
//	custody                                      who handed it over to whom, optional
//	trust                                        the exporter's trust file, optional; not believed
//	checkpoint                                   the signed tree head that proves all below
//	tree                                         the hashes that lead from the leaves to it, and to those that were stamped
//	leaf/00000000000000000991                    exact bytes of a leaf
//	anchor/00000000000000000990                  the checkpoint that an authority stamped, by the anchor event in that leaf
//	public/<SHA-256 in hexadecimal>              what anchor events name: large tokens, chains, revocation data
//	blob/<SHA-256 in hexadecimal>                sealed bytes that an entry names
//	disclosed/<index>-<event>-<slot>.json        segments of a payload, shown to whoever holds the file
//
// The leaves are the entries of the sessions, those entries of the log's own system sessions that speak of them, and anchors.
// docs/spec/evidence.md is the specification.
package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	MaxDisclosed  = MaxBlobs
	MaxSessions   = 1024
	MaxAnchors    = 1024
	MaxPublic     = 16 * MaxAnchors
	maxReadme     = 64 << 10
	maxReport     = 16 << 20
	maxTrust      = trust.MaxFile
	maxCheckpoint = checkpoint.MaxNote
	maxManifest   = 512 + MaxSessions*45
	maxPublic     = payload.MaxBlob
	maxDisclosure = 256 << 20
	maxNameLength = 200
)

// A Bundle is the contents of an evidence file.
type Bundle struct {
	Origin     string
	Sessions   []string  // in ascending order, each once
	Range      *Range    // every leaf of it is here, if it is not nil
	Pending    []CheckID // what the file was made too early for: CheckTime, CheckWitnesses, in this order
	Readme     []byte    // ReadmeText, if nil
	Report     []byte    // HTML for people; this and the next two are left out if nil
	Custody    []byte    // as Custody.Marshal writes it
	Trust      []byte
	Checkpoint []byte              // a signed note, exact bytes
	Tree       [][sha256.Size]byte // see TreeGaps
	Leaves     []Leaf              // in ascending order of Index
	Anchors    []Anchor            // in ascending order of Index
	Public     []Blob              // what anchor events name, in ascending order of SHA256
	Blobs      []Blob              // in ascending order of SHA256
	Disclosed  []Disclosed
}

// A Range is the leaves with From <= index < To.
type Range struct{ From, To uint64 }

// A Leaf is a leaf of the log.
type Leaf struct {
	Index uint64
	Content
}

// LeafOf is the Leaf of bytes in memory.
func LeafOf(index uint64, b []byte) Leaf { return Leaf{index, ContentOf(b)} }

// An Anchor is the checkpoint that the tokens in an anchor leaf are over.
type Anchor struct {
	Index uint64 // of the leaf
	Note  []byte // exact bytes, as they were stamped
}

// A Blob is sealed bytes, or public ones.
type Blob struct {
	SHA256 entry.Hash
	Content
}

// BlobOf is the Blob of bytes in memory.
func BlobOf(b []byte) Blob { return Blob{sha256.Sum256(b), ContentOf(b)} }

// A Disclosed is a disclosure of the payload in a member of an event: Slot is the path as in entry.BlobAt, without the
// number of a part. Its content is the one JSON form of payload.Disclosure. They are ordered by Index, Event, Slot.
type Disclosed struct {
	Index uint64
	Event int
	Slot  string
	Content
}

// DisclosedOf makes a Disclosed of what payload.Opened.Disclose returned.
func DisclosedOf(index uint64, event int, slot string, d payload.Disclosure) (Disclosed, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return Disclosed{}, fmt.Errorf("writing a disclosure: %w", err)
	}
	return Disclosed{index, event, slot, ContentOf(b)}, nil
}

// DisclosedAt is the disclosure of a payload, or nil if there is none.
func (b *Bundle) DisclosedAt(index uint64, event int, slot string) *Disclosed {
	i, found := slices.BinarySearchFunc(b.Disclosed, Disclosed{Index: index, Event: event, Slot: slot}, compareDisclosed)
	if !found {
		return nil
	}
	return &b.Disclosed[i]
}

const (
	fileManifest   = "steno-evidence"
	fileReadme     = "README.txt"
	fileReport     = "report.html"
	fileCustody    = "custody"
	fileTrust      = "trust"
	fileCheckpoint = "checkpoint"
	fileTree       = "tree"
	dirLeaf        = "leaf/"
	dirAnchor      = "anchor/"
	dirPublic      = "public/"
	dirBlob        = "blob/"
	dirDisclosed   = "disclosed/"
	jsonSuffix     = ".json"
)

func leafName(index uint64) string   { return fmt.Sprintf("%s%020d", dirLeaf, index) }
func anchorName(index uint64) string { return fmt.Sprintf("%s%020d", dirAnchor, index) }
func publicName(h entry.Hash) string { return dirPublic + hex.EncodeToString(h[:]) }
func blobName(h entry.Hash) string   { return dirBlob + hex.EncodeToString(h[:]) }

// disclosedName writes the slash of a slot as a full stop, which no member's name has.
func (d Disclosed) name() string {
	return fmt.Sprintf("%s%020d-%03d-%s%s", dirDisclosed, d.Index, d.Event, strings.ReplaceAll(d.Slot, "/", "."), jsonSuffix)
}

// check refuses what Read would refuse, so that nothing is written that can't be read.
func (b *Bundle) check() error {
	if err := b.checkManifest(); err != nil {
		return err
	}
	for _, limit := range []struct {
		what     string
		have, at int
	}{
		{"leaves", len(b.Leaves), MaxLeaves}, {"anchors", len(b.Anchors), MaxAnchors}, {"public blobs", len(b.Public), MaxPublic}, {"blobs", len(b.Blobs), MaxBlobs}, {"disclosures", len(b.Disclosed), MaxDisclosed},
		{"hashes of the tree", len(b.Tree), maxTree},
		{"bytes of README.txt", len(b.Readme), maxReadme}, {"bytes of report.html", len(b.Report), maxReport}, {"bytes of the custody record", len(b.Custody), maxCustody},
		{"bytes of the trust file", len(b.Trust), maxTrust}, {"bytes of the checkpoint", len(b.Checkpoint), maxCheckpoint},
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
		if l.Size() > entry.MaxLeaf {
			return fmt.Errorf("leaf %d: of %d bytes, at most %d", l.Index, l.Size(), entry.MaxLeaf)
		}
	}
	for i, a := range b.Anchors {
		if i > 0 && b.Anchors[i-1].Index >= a.Index {
			return fmt.Errorf("anchor %d: not in ascending order, each once", a.Index)
		}
		if len(a.Note) > maxCheckpoint {
			return fmt.Errorf("anchor %d: of %d bytes, at most %d", a.Index, len(a.Note), maxCheckpoint)
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
		if i > 0 && compareDisclosed(b.Disclosed[i-1], d) >= 0 {
			return fmt.Errorf("disclosure of leaf %d: not in ascending order, each once", d.Index)
		}
		if d.Size() > maxDisclosure {
			return fmt.Errorf("disclosure of leaf %d: of %d bytes, at most %d", d.Index, d.Size(), maxDisclosure)
		}
	}
	return nil
}

// compareDisclosed compares names.
func compareDisclosed(a, b Disclosed) int {
	if c := cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Event, b.Event)); c != 0 {
		return c
	}
	return cmp.Compare(a.name(), b.name())
}

func checkBlobs(what string, blobs []Blob, most int) error {
	for i, blob := range blobs {
		if i > 0 && slices.Compare(blobs[i-1].SHA256[:], blob.SHA256[:]) >= 0 {
			return fmt.Errorf("%s %x: not in ascending order, each once", what, blob.SHA256[:])
		}
		if blob.Size() > int64(most) {
			return fmt.Errorf("%s %x: of %d bytes, at most %d", what, blob.SHA256[:], blob.Size(), most)
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
