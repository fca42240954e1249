// Package trust holds what a verifier pins: the keys of a log and of the enrollers it believes, in one small file that is
// itself pinned by its hash. A verdict follows from this file and the evidence, never from a server's word, a clock or the
// network.
//
//	steno/trust/v1
//	log log.acme.example/prod+d1c2b3a4+AQ…
//	received log.acme.example/prod/received+01020304+/3N0…
//	system log.acme.example/prod/system+aabbccdd+AQ…
//	enroller acme/enroller+99887766+AQ…
//
// Each line names one verifier key (golang.org/x/mod/sumdb/note). There are one log key, whose name is the log's origin, and
// one or more of each other kind. Lines stand in the order above, keys of a kind in ascending order, each once: one set of
// keys has one spelling and so one hash. docs/spec/trust.md is the specification.
package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

const (
	formatLine = "steno/trust/v1"
	maxFile    = 64 << 10 // bytes
	maxKeys    = 64       // of a kind
)

// Trust is a parsed trust file.
type Trust struct {
	Origin    string
	Log       string   // verifier keys
	Received  []string // of the log's receipts
	System    []string // of system sessions
	Enrollers []string

	log       note.Verifier
	received  note.Verifiers
	system    note.Verifiers
	enrollers note.Verifiers
}

// New checks keys and makes the trust of them.
func New(log string, received, system, enrollers []string) (*Trust, error) {
	t := &Trust{Log: log, Received: slices.Clone(received), System: slices.Clone(system), Enrollers: slices.Clone(enrollers)}
	for _, keys := range [][]string{t.Received, t.System, t.Enrollers} {
		slices.Sort(keys)
	}
	return t, t.load()
}

// Parse reads a trust file. It accepts exactly what Marshal writes.
func Parse(b []byte) (*Trust, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("trust file of %d bytes, at most %d", len(b), maxFile)
	}
	lines := strings.Split(string(b), "\n")
	if lines[0] != formatLine {
		return nil, fmt.Errorf("trust file, line 1: not %q", formatLine)
	}
	t := &Trust{}
	for i, line := range lines[1:] {
		kind, key, _ := strings.Cut(line, " ")
		switch kind {
		case "log":
			if t.Log != "" {
				return nil, fmt.Errorf("trust file, line %d: a second log", i+2)
			}
			t.Log = key
		case "received":
			t.Received = append(t.Received, key)
		case "system":
			t.System = append(t.System, key)
		case "enroller":
			t.Enrollers = append(t.Enrollers, key)
		case "":
			if i != len(lines)-2 {
				return nil, fmt.Errorf("trust file, line %d: empty line", i+2)
			}
		default:
			return nil, fmt.Errorf("trust file, line %d: begins with none of log, received, system, enroller", i+2)
		}
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	if string(t.Marshal()) != string(b) {
		return nil, errors.New("trust file: lines are not in order, each key once, each line ended by one line feed")
	}
	return t, nil
}

func (t *Trust) load() error {
	var err error
	if t.log, err = entry.NewVerifier(t.Log); err != nil {
		return fmt.Errorf("trust file: log key: %w", err)
	}
	t.Origin = t.log.Name()
	if err := entry.CheckOrigin(t.Origin); err != nil {
		return fmt.Errorf("trust file: the log key's name is no origin: %w", err)
	}
	if t.received, err = verifiers("received", t.Received, entry.NewReceivedVerifier, entry.ReceivedName(t.Origin)); err != nil {
		return err
	}
	if t.system, err = verifiers("system", t.System, entry.NewVerifier, ""); err != nil {
		return err
	}
	if t.enrollers, err = verifiers("enroller", t.Enrollers, entry.NewVerifier, ""); err != nil {
		return err
	}
	return t.checkPoints()
}

// checkPoints refuses a public key that stands twice, under whatever names: an enroller that is the log would be the
// operator vouching for itself, and a key for two purposes can be made to sign for the other.
func (t *Trust) checkPoints() error {
	seen := map[string]bool{}
	for _, k := range slices.Concat([]string{t.Log}, t.Received, t.System, t.Enrollers) {
		raw, err := base64.StdEncoding.DecodeString(strings.SplitN(k, "+", 3)[2])
		if err != nil || len(raw) < ed25519.PublicKeySize {
			return errors.New("trust file: a key without a point") // each was read before
		}
		point := string(raw[len(raw)-ed25519.PublicKeySize:])
		if seen[point] {
			return errors.New("trust file: one public key stands in two lines")
		}
		seen[point] = true
	}
	return nil
}

func verifiers(kind string, keys []string, read func(string) (note.Verifier, error), name string) (note.Verifiers, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("trust file: %d %s keys, 1 to %d are needed", len(keys), kind, maxKeys)
	}
	var vs []note.Verifier
	for i, k := range keys {
		v, err := read(k)
		if err != nil {
			return nil, fmt.Errorf("trust file: %s key %d: %w", kind, i+1, err)
		}
		if name != "" && v.Name() != name {
			return nil, fmt.Errorf("trust file: %s key %d is not named %s", kind, i+1, name)
		}
		if i > 0 && keys[i-1] >= k {
			return nil, fmt.Errorf("trust file: %s keys are not in ascending order, each once", kind)
		}
		vs = append(vs, v)
	}
	list := note.VerifierList(vs...)
	for i, v := range vs { // two keys under one name and key ID would make every signature ambiguous
		if _, err := list.Verifier(v.Name(), v.KeyHash()); err != nil {
			return nil, fmt.Errorf("trust file: %s key %d: %w", kind, i+1, err)
		}
	}
	return list, nil
}

// Marshal writes the file.
func (t *Trust) Marshal() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nlog %s\n", formatLine, t.Log)
	for _, kind := range []struct {
		word string
		keys []string
	}{{"received", t.Received}, {"system", t.System}, {"enroller", t.Enrollers}} {
		for _, k := range kind.keys {
			fmt.Fprintf(&b, "%s %s\n", kind.word, k)
		}
	}
	return []byte(b.String())
}

// Digest is the SHA-256 of the file: what is read out over the telephone.
func (t *Trust) Digest() [32]byte { return sha256.Sum256(t.Marshal()) }

// Anchors are the keys by which entries are judged.
func (t *Trust) Anchors() entry.Anchors {
	return entry.Anchors{Origin: t.Origin, Enrollers: t.enrollers, System: t.system}
}

// LogVerifier is the key that signs checkpoints.
func (t *Trust) LogVerifier() note.Verifier { return t.log }

// VerifyReceived checks an entry's receipt with the pinned key that it names.
func (t *Trust) VerifyReceived(e *entry.Entry) error {
	v := note.Verifier(nil)
	if e.Received != nil {
		v, _ = t.received.Verifier(e.Received.Name, e.Received.Hash)
	}
	if v == nil { // let the entry say which: no receipt, or one by a stranger
		v, _ = entry.NewReceivedVerifier(t.Received[0])
	}
	return e.VerifyReceived(v)
}
