package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
)

// A Checkpoint is a tree head that the log has signed, and what the pinned policy makes of its cosignatures.
type Checkpoint struct {
	Origin   string
	Size     uint64
	Root     [sha256.Size]byte
	Note     []byte        // exact bytes, with every signature they came with
	Cosigned []Cosignature // that verify by pinned keys that count for the size, in the policy's order
	// Witnessed says that policy's quorum is met, and every requirement. Where the quorum is none, it says little.
	Witnessed bool
	Missing   string // why it is not, in words
	// Early says that witnesses' signatures are missing that can still come: it is not Witnessed, and would not be if those counted that
	// it has of pinned witnesses and that do not count. Where the log's own is missing, nothing is to come.
	Early bool

	verified []byte
}

// Verified is the note with no other signature lines than those that OpenCheckpoint verified: the log's and its pinned
// witnesses'. Who passes a checkpoint on, passes this: any other line may be bad to a reader who has pinned its key.
func (c Checkpoint) Verified() []byte { return bytes.Clone(c.verified) }

// A Cosignature is a witness's word that it saw no other history, at a time.
type Cosignature struct {
	Witness   string // name in the policy
	Operator  string
	Key       string // name and key ID, as signature lines have it
	Algorithm checkpoint.Algorithm
	Time      uint64 // seconds since 1970, by the witness's clock
}

// ErrNotSigned means that no pinned Ed25519 key of the log has signed a checkpoint.
var ErrNotSigned = errors.New("no Ed25519 signature of the log")

// OpenCheckpoint reads a checkpoint (https://c2sp.org/tlog-checkpoint), verifies the log's signature, which must be one of
// Ed25519 by a key that counts for its size, and every cosignature by a pinned witness. A signature by a pinned key that
// does not verify is an error, and so is one by the log's compromised key alone that witnesses do not bear out: what was
// read comes with the *WindowError. A quorum that is not met is none: see Checkpoint.Witnessed.
//
// So whoever stands between can spoil a checkpoint by a bad line under a pinned key's name, as by any other byte: who collects
// signatures verifies each before it is added, and no receiver goes by the first copy alone.
func (t *Trust) OpenCheckpoint(b []byte) (Checkpoint, error) {
	if len(b) > checkpoint.MaxNote {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes, at most %d", len(b), checkpoint.MaxNote)
	}
	n, err := note.Open(b, t.checkpointKeys)
	if unverified := (*note.UnverifiedNoteError)(nil); errors.As(err, &unverified) {
		err = ErrNotSigned // nor anybody's else
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := checkpoint.Parse(n.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Origin != t.Origin {
		return Checkpoint{}, errors.New("checkpoint: its first line is another origin than the log's that is pinned")
	}
	out := Checkpoint{Origin: c.Origin, Size: c.Size, Root: c.Root, Note: bytes.Clone(b), verified: verifiedNote(n)}
	var not []uncounted
	out.Cosigned, not = t.cosigned(n.Sigs, c.Size)
	signed := t.signed(n.Sigs, c.Size)
	out.Missing, out.Early = t.missing(out.Cosigned, not, signed)
	out.Witnessed = out.Missing == ""
	return out, t.judgeSigned(signed, out)
}

// verifiedNote writes a note that was opened, without the signatures of unknown keys.
func verifiedNote(n *note.Note) []byte {
	b := []byte(n.Text + "\n")
	for _, s := range n.Sigs {
		b = fmt.Appendf(b, "— %s %s\n", s.Name, s.Base64)
	}
	return b
}

// Quorum tells whether a note is a checkpoint of the log that has all that policy demands.
func (t *Trust) Quorum(b []byte) bool {
	c, err := t.OpenCheckpoint(b)
	return err == nil && c.Witnessed
}

// loadCheckpointKeys lists whose signatures under a checkpoint are verified: OpenCheckpoint is called for every embedded one.
func (t *Trust) loadCheckpointKeys() error {
	var vs []note.Verifier
	for _, v := range t.logs {
		vs = append(vs, v)
	}
	for _, w := range t.policy.Witnesses {
		vs = append(vs, w.Verifier)
	}
	t.checkpointKeys = note.VerifierList(vs...)
	for _, v := range vs {
		// SPEC: signed-note: the tuple of key name and key ID uniquely identifies the key that performed the signature.
		if _, err := t.checkpointKeys.Verifier(v.Name(), v.KeyHash()); err != nil {
			return fmt.Errorf("two keys of the log or of witnesses are %s+%08x: no checkpoint that one of them signs could be read", v.Name(), v.KeyHash())
		}
	}
	return nil
}

func find(sigs []note.Signature, v *checkpoint.Verifier) (note.Signature, bool) {
	i := slices.IndexFunc(sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() })
	if i < 0 {
		return note.Signature{}, false
	}
	return sigs[i], true
}

// An uncounted is a cosignature that does not count, and why.
type uncounted struct {
	Cosignature
	err error
}

// cosigned lists the cosignatures that count, and those that do not. What a compromised key signed does not: whoever has it
// can choose the time.
func (t *Trust) cosigned(sigs []note.Signature, size uint64) (out []Cosignature, not []uncounted) {
	for _, w := range t.policy.Witnesses {
		s, ok := find(sigs, w.Verifier)
		if !ok {
			continue
		}
		if _, err := t.countsFor(RoleWitness, w.Verifier, size); err != nil {
			not = append(not, uncounted{Cosignature{Witness: w.Name, Algorithm: w.Verifier.Algorithm()}, err})
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || len(raw) < 4 {
			continue // note.Open has read it
		}
		out = append(out, Cosignature{
			Witness: w.Name, Operator: t.operators[w.Name], Key: fmt.Sprintf("%s+%08x", s.Name, s.Hash),
			Algorithm: w.Verifier.Algorithm(), Time: checkpoint.Time(raw[4:]),
		})
	}
	return out, not
}

// A signature of the log under a checkpoint.
type signature struct {
	verifier    *checkpoint.Verifier
	compromised bool
	err         error // why it does not count, apart from that
}

func (t *Trust) signed(sigs []note.Signature, size uint64) (out []signature) {
	for _, v := range t.logs {
		if _, ok := find(sigs, v); ok {
			compromised, err := t.countsFor(RoleLog, v, size)
			out = append(out, signature{v, compromised, err})
		}
	}
	return out
}

// judgeSigned demands an Ed25519 signature of the log's. Of several that do not count, the error is of one that would if the
// quorum were met, if there is one.
func (t *Trust) judgeSigned(signed []signature, c Checkpoint) error {
	var outside, unseen error
	for _, s := range signed {
		switch {
		case s.verifier.Algorithm() != checkpoint.Ed25519:
		case s.err != nil:
			outside = s.err
		case s.compromised && !(c.Witnessed && t.NeedsWitnesses()):
			unseen = &WindowError{t.windows[windowed{RoleLog, s.verifier.Name(), s.verifier.KeyHash()}], c.Size}
		default:
			return nil
		}
	}
	switch {
	case unseen != nil:
		return fmt.Errorf("checkpoint: %w", unseen)
	case outside != nil:
		return fmt.Errorf("checkpoint: %w", outside)
	}
	return fmt.Errorf("checkpoint: %w", ErrNotSigned)
}

// missing says what policy demands beyond, or "", and whether it is witnesses' signatures that are not here at all.
func (t *Trust) missing(cosigned []Cosignature, not []uncounted, signed []signature) (why string, early bool) {
	here := slices.Clone(cosigned)
	for _, u := range not {
		here = append(here, u.Cosignature)
	}
	anyKind, postQuantum := func(Cosignature) bool { return true }, func(c Cosignature) bool { return c.Algorithm.PostQuantum() }
	if !t.met(cosigned, anyKind) {
		return fmt.Sprintf("the quorum %q is not met: %s", t.policy.Quorum, names(cosigned, not)), !t.met(here, anyKind)
	}
	for _, r := range t.Require {
		if t.before(cosigned, r.From) {
			continue
		}
		day := r.From.Format(dateLayout)
		// The quorum is met here: it bears out a compromised key, if there is one at all.
		if !slices.ContainsFunc(signed, func(s signature) bool {
			return s.err == nil && s.verifier.Algorithm().PostQuantum() && (!s.compromised || t.NeedsWitnesses())
		}) {
			return fmt.Sprintf("from %s on the log signs with %s as well, and this is not shown to be older", day, r.Algorithm), false
		}
		if !t.met(cosigned, postQuantum) {
			return fmt.Sprintf("from %s on the quorum is one of %s, and this is not shown to be older", day, r.Algorithm), !t.met(here, postQuantum)
		}
	}
	return "", false
}

func (t *Trust) met(cosigned []Cosignature, counts func(Cosignature) bool) bool {
	return t.policy.Satisfied(func(w string) bool {
		return slices.ContainsFunc(cosigned, func(c Cosignature) bool { return c.Witness == w && counts(c) })
	})
}

// before tells whether a quorum dates the checkpoint before a day. Without witnesses nothing does.
func (t *Trust) before(cosigned []Cosignature, day time.Time) bool {
	return t.NeedsWitnesses() && t.met(cosigned, func(c Cosignature) bool { return c.Time < uint64(day.Unix()) })
}

func names(cosigned []Cosignature, not []uncounted) string {
	s := "no pinned witness has cosigned"
	for i, c := range cosigned {
		if i == 0 {
			s = "cosigned by " + c.Witness
			continue
		}
		s += ", " + c.Witness
	}
	if len(cosigned) > 0 {
		s += " alone"
	} else if len(not) > 0 {
		s = "no cosignature counts"
	}
	for _, u := range not {
		s += "; " + u.err.Error()
	}
	return s
}
