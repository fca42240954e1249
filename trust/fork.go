package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
)

// A Fork is proof that a log has shown two histories: two checkpoints that it signed and that can't both be true. Whoever
// holds one convicts the log with its public key alone.
//
//	steno/fork/v1
//	small 231                                       bytes of the first note
//	large 231                                       bytes of the second
//	prefix CD82D2LDm0phY0+xKbHyZfq3Hw21lVkuV7Zis5EFg0k=   only if the sizes differ
//	proof PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=    0 to 63 lines
//
//	<the first note><the second note>
//
// Small is no larger than Large. If their sizes are equal, their roots differ, and there is nothing to prove. Otherwise
// Prefix is another root than Small's, and an RFC 6962 consistency proof leads from it, at Small's size, to Large: Large's
// tree does not begin with Small's. docs/spec/fork.md is the specification.
type Fork struct {
	Small, Large []byte
	Prefix       *[sha256.Size]byte // root of Large's tree at Small's size
	Proof        [][sha256.Size]byte
}

const forkLine = "steno/fork/v1"

// maxFork bounds a file: two notes and a proof.
const maxFork = 2*checkpoint.MaxNote + 8<<10

// Marshal writes the file.
func (f Fork) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nsmall %d\nlarge %d\n", forkLine, len(f.Small), len(f.Large))
	if f.Prefix != nil {
		fmt.Fprintf(&b, "prefix %s\n", base64.StdEncoding.EncodeToString(f.Prefix[:]))
	}
	for _, h := range f.Proof {
		fmt.Fprintf(&b, "proof %s\n", base64.StdEncoding.EncodeToString(h[:]))
	}
	b.WriteByte('\n')
	b.Write(f.Small)
	b.Write(f.Large)
	return b.Bytes()
}

// ParseFork reads a file. It accepts exactly what Marshal writes, and verifies nothing.
func ParseFork(b []byte) (Fork, error) {
	if len(b) > maxFork {
		return Fork{}, fmt.Errorf("fork file of %d bytes, at most %d", len(b), maxFork)
	}
	head, notes, ok := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || lines[0] != forkLine || len(lines) < 3 {
		return Fork{}, fmt.Errorf("fork file: not %q, sizes, proof and an empty line", forkLine)
	}
	var small, large int
	if _, err := fmt.Sscanf(lines[1]+" "+lines[2], "small %d large %d", &small, &large); err != nil || small < 0 || large < 0 ||
		small > len(notes) || small+large != len(notes) {
		return Fork{}, errors.New("fork file: the sizes are not those of two notes that fill the file")
	}
	f := Fork{Small: bytes.Clone(notes[:small]), Large: bytes.Clone(notes[small:])}
	for i, l := range lines[3:] {
		if hash, ok := strings.CutPrefix(l, "prefix "); ok && i == 0 {
			h, err := checkpoint.ParseHash(hash)
			if err != nil {
				return Fork{}, fmt.Errorf("fork file, line 4: %w", err)
			}
			f.Prefix = &h
			continue
		}
		h, err := checkpoint.ParseHash(strings.TrimPrefix(l, "proof "))
		if err != nil || len(f.Proof) == checkpoint.MaxProof {
			return Fork{}, fmt.Errorf("fork file, line %d: no proof line, or one more than %d", i+4, checkpoint.MaxProof)
		}
		f.Proof = append(f.Proof, h)
	}
	if !bytes.Equal(f.Marshal(), b) {
		return Fork{}, errors.New("fork file: not in its one spelling")
	}
	return f, nil
}

// Verify tells why f proves nothing against the log whose keys are given, or nil if it does.
func (f Fork) Verify(logs ...note.Verifier) error {
	small, err := openSigned(f.Small, logs)
	if err != nil {
		return fmt.Errorf("first checkpoint: %w", err)
	}
	large, err := openSigned(f.Large, logs)
	if err != nil {
		return fmt.Errorf("second checkpoint: %w", err)
	}
	return f.judge(small, large)
}

// VerifyFork tells why f proves nothing against the log, or nil. Each checkpoint is signed by a key of the log's that is not
// marked compromised, in its window or not, or is one that OpenCheckpoint takes: with a stolen key anybody makes two histories.
func (t *Trust) VerifyFork(f Fork) error {
	var keys []note.Verifier
	for _, v := range t.logs {
		keys = append(keys, v)
	}
	if err := f.Verify(keys...); err != nil {
		return err
	}
	for i, b := range [][]byte{f.Small, f.Large} {
		if err := t.stands(b); err != nil {
			return fmt.Errorf("%s checkpoint: %w", [...]string{"first", "second"}[i], err)
		}
	}
	return nil
}

// stands tells why a checkpoint that verifies may be somebody else's than the log's, or nil.
func (t *Trust) stands(b []byte) error {
	var keys []note.Verifier
	for _, v := range t.logs {
		if !t.compromised(RoleLog, v) {
			keys = append(keys, v)
		}
	}
	if _, err := openSigned(b, keys); err == nil {
		return nil
	}
	if _, err := t.OpenCheckpoint(b); err != nil {
		return fmt.Errorf("signed by a key alone that is marked compromised, so that anybody may have made it: %w", err)
	}
	return nil
}

// Binds tells whether the log can be held to a checkpoint that bears its signature. Whoever stole a key makes as many as they
// like: one that keys alone have signed which are marked compromised binds the log only if a witness has cosigned it whose key
// is not. That is less than OpenCheckpoint asks for, since a log that was rolled back learns of it from a single witness.
func (t *Trust) Binds(b []byte) bool {
	var all, good, witnesses []note.Verifier
	for _, v := range t.logs {
		all = append(all, v)
		if !t.compromised(RoleLog, v) {
			good = append(good, v)
		}
	}
	for _, w := range t.policy.Witnesses {
		if !t.compromised(RoleWitness, w.Verifier) {
			witnesses = append(witnesses, w.Verifier)
		}
	}
	if _, err := openSigned(b, good); err == nil {
		return true
	}
	if _, err := openSigned(b, all); err != nil {
		return false
	}
	_, err := note.Open(b, note.VerifierList(witnesses...))
	return err == nil
}

func (f Fork) judge(small, large checkpoint.Checkpoint) error {
	switch {
	case small.Origin != large.Origin:
		return errors.New("the checkpoints are of two logs")
	case small.Size > large.Size:
		return errors.New("the first checkpoint is larger than the second")
	case small.Size < large.Size:
		return f.forked(small, large)
	case f.Prefix != nil || len(f.Proof) > 0:
		return errors.New("a proof between equal sizes")
	case small.Root == large.Root:
		return errors.New("the checkpoints say the same")
	}
	return nil
}

func (f Fork) forked(small, large checkpoint.Checkpoint) error {
	switch {
	case f.Prefix == nil:
		return errors.New("the root of the second tree at the first's size is missing")
	case *f.Prefix == small.Root:
		return errors.New("the second checkpoint extends the first")
	}
	// Hashes that lead to Large's root can't be found from any other root than the one that its tree has at this size.
	if err := checkpoint.VerifyConsistency(small.Size, large.Size, f.Proof, *f.Prefix, large.Root); err != nil {
		return fmt.Errorf("the proof does not lead to the second checkpoint: %w", err)
	}
	return nil
}

// openSigned opens a checkpoint that one of the keys has signed, under the key's name.
func openSigned(b []byte, keys []note.Verifier) (checkpoint.Checkpoint, error) {
	if len(b) > checkpoint.MaxNote {
		return checkpoint.Checkpoint{}, fmt.Errorf("checkpoint of %d bytes, at most %d", len(b), checkpoint.MaxNote)
	}
	n, err := note.Open(b, note.VerifierList(keys...))
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	c, err := checkpoint.Parse(n.Text)
	if err == nil && !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == c.Origin }) {
		err = errors.New("signed by the log, but its first line is another origin")
	}
	return c, err
}
