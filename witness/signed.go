package witness

import (
	"encoding/base64"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
)

// A signed is a checkpoint that its log has signed.
type signed struct {
	checkpoint.Checkpoint
	text string
	note []byte // text and the verified signature lines, nothing else
}

// verifyLog reads a checkpoint and verifies the log's signatures.
func verifyLog(b []byte, keys func(origin string) *logKeys) (signed, *problem) {
	c, n, err := parseNote(b)
	if err != nil {
		return signed{}, newProblem(codeMalformed, "%s", err)
	}
	log := keys(c.Origin)
	if log == nil {
		return signed{}, newProblem(codeUnknownLog, "it is not in the witness's list")
	}
	s := signed{Checkpoint: c, text: n.Text, note: []byte(n.Text + "\n")}
	done := make(map[*checkpoint.Verifier]bool)
	for _, line := range n.UnverifiedSigs { // all of them, since no key was given
		v := match(log.trusted, line)
		// SPEC: tlog-witness: it MUST ignore signatures from unknown keys.
		if v == nil {
			continue
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(line.Base64)
		// SPEC: signed-note: if the key name and ID match a known key, verifiers MUST verify the signature.
		if err != nil || !v.Verify([]byte(n.Text), raw[4:]) {
			return signed{}, newProblem(codeBadSignature, "the signature by %s does not verify", keyName(v))
		}
		if !done[v] {
			done[v] = true
			s.note = append(s.note, checkpoint.SignatureLine(v.Name(), v.KeyHash(), raw[4:])...)
		}
	}
	if len(done) == 0 {
		return signed{}, newProblem(codeBadSignature, "it has no signature by a key that the witness trusts for this log")
	}
	return s, nil
}

// match returns the key that a signature line names, nil if it is none of these.
func match(keys []*checkpoint.Verifier, line note.Signature) *checkpoint.Verifier {
	for _, v := range keys {
		if v.Name() == line.Name && v.KeyHash() == line.Hash {
			return v
		}
	}
	return nil
}

// usable are the keys that can cosign a checkpoint. One with extension lines has no ML-DSA cosignature, which would not cover
// them.
func usable(signers []*checkpoint.Signer, c checkpoint.Checkpoint) (out []*checkpoint.Signer) {
	for _, s := range signers {
		if len(c.Extensions) == 0 || s.Algorithm() != checkpoint.CosignatureMLDSA44 {
			out = append(out, s)
		}
	}
	return out
}

// cosign makes the signature lines of all keys.
// SPEC: tlog-witness: the signatures MUST be cosignatures from the witness key(s) on the checkpoint; if the format supports
// subtrees, start MUST be zero and end MUST be the checkpoint size. SignAt signs a text, which is the whole tree.
func cosign(signers []*checkpoint.Signer, text string, at int64) (lines []byte, err error) {
	for _, s := range signers {
		// SPEC: tlog-witness: the cosignature MUST NOT omit the timestamp, i.e. the timestamp MUST NOT be zero. SignAt refuses it.
		sig, err := s.SignAt([]byte(text), time.Unix(at, 0))
		if err != nil {
			return nil, err
		}
		lines = append(lines, checkpoint.SignatureLine(s.Name(), s.KeyHash(), sig)...)
	}
	return lines, nil
}
