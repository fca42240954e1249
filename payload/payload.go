// Package payload seals what an event says in free text: parameters, responses, reasoning, persons.
//
// A payload is a string of bytes cut into segments whose concatenation is exactly those bytes. Each segment has a class
// (who may read it) and a secret 16-byte salt; a Merkle tree over the segments gives the commitment that stands in the
// event. The segments of one class are encrypted together into one blob, named in the event by its SHA-256:
//
//	{"media":"json","commitment":"<base64>","blobs":[{"class":"content","sha256":"<base64>","size":318}]}
//
// Any one blob can be checked against the commitment with the key of its class alone, also after the keys of the other
// classes were destroyed. Whoever can open a segment can show it to anyone (Disclosure), who checks it with no key. When
// the key of a class is gone, commitment and ciphertext tell nothing of its segments but a padded length.
//
// The format is docs/spec/payload.md; SPEC comments refer to it. This package trusts SHA-256, AES-256-GCM, HKDF and age,
// and the source of randomness it is given. It believes nothing it reads before the commitment was checked; that the
// commitment itself is the recorder's word is for package entry to say.
package payload

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of the format. They bound what a reader allocates and hashes for one payload.
const (
	MaxPayload  = 16 << 20 // bytes of one payload, or of one part of a larger one
	MaxSegments = 16384    // segments of one payload or part
	MaxParts    = 64       // parts of a payload larger than MaxPayload
	MaxBlob     = blobOverhead + 17<<20

	maxName = 255 // bytes of an origin, session, track or slot
)

// Errors a caller may branch on. Every error of reading, opening and verifying is one of these, with its circumstances.
var (
	ErrRef         = errors.New("payload reference is not well-formed")
	ErrNoKey       = errors.New("no key for any class of the payload")
	ErrBlobMissing = errors.New("blob is missing")
	ErrBlob        = errors.New("blob is not the one the event names")
	ErrDecrypt     = errors.New("blob does not open with this key at this place")
	ErrPlaintext   = errors.New("opened blob is not well-formed")
	ErrCommitment  = errors.New("segments do not match the commitment")
	ErrDisclosure  = errors.New("disclosure is not well-formed")
	ErrPartial     = errors.New("not all segments are known")
)

// Hash is a SHA-256 digest.
type Hash = [32]byte

// Class says who may read a segment. The values are hashed into leaves and never change.
type Class uint8

const (
	Content   Class = 1 // what was said and done
	Personal  Class = 2 // about natural persons
	Secret    Class = 3 // credentials and the like
	Directory Class = 4 // who, why, on what: persons, purposes, targets
)

// Classes returns all classes in their order.
func Classes() []Class { return []Class{Content, Personal, Secret, Directory} }

// String returns the name that stands in events and in key derivation.
func (c Class) String() string {
	switch c {
	case Content:
		return "content"
	case Personal:
		return "personal"
	case Secret:
		return "secret"
	case Directory:
		return "directory"
	}
	return "class(" + strconv.Itoa(int(c)) + ")"
}

func (c Class) valid() bool { return c >= Content && c <= Directory }

// ParseClass is the inverse of String.
func ParseClass(s string) (Class, error) {
	for c := Content; c <= Directory; c++ {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("unknown class %q", s)
}

// Media says what the bytes of the whole payload are.
type Media string

const (
	JSON   Media = "json"   // one JSON text, as lexed by this package
	Text   Media = "text"   // UTF-8
	Binary Media = "binary" // anything
)

func (m Media) valid() bool { return m == JSON || m == Text || m == Binary }

// A Segment is a run of bytes of a payload, and its class.
type Segment struct {
	Class Class
	Bytes []byte
}

// Place is where a payload stands. It is bound into the key of every blob, so that a blob opens nowhere else.
type Place struct {
	Origin  string // of the log
	Session string
	Track   string
	Seq     uint64 // of the event
	Slot    string // name of the event's member that holds the payload; nested names are joined by "/"
}

func (p Place) check() error {
	// SPEC: payload.md, Place. A plus is refused in an origin because key names of signed notes forbid it.
	if err := checkName("origin", p.Origin, "+"); err != nil {
		return err
	}
	// SPEC: payload.md, Place: no slash, because a wrap joins session and track with one.
	if err := checkName("session", p.Session, "/"); err != nil {
		return err
	}
	if err := checkName("track", p.Track, "/"); err != nil {
		return err
	}
	// SPEC: payload.md, Place: no full stop in a slot, because ".k" marks part k.
	return checkName("slot", p.Slot, ".")
}

// part is the place of part k of the payload at p.
func (p Place) part(k int) Place {
	p.Slot += "." + strconv.Itoa(k)
	return p
}

func checkName(what, s, without string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("%s is empty or longer than %d bytes", what, maxName)
	}
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' || strings.IndexByte(without, s[i]) >= 0 {
			return fmt.Errorf("%s %q has the byte %#02x", what, s, s[i])
		}
	}
	return nil
}
