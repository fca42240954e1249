package log

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
)

const (
	maxSigners   = 4 // two kinds of keys, an old and a new one of each
	maxVerifiers = 64
)

// keys are those of a log: the ones that sign for it, and all whose signatures are its own.
type keys struct {
	origin    string
	signers   []note.Signer
	verifiers note.Verifiers
}

// newKeys checks the keys of a log that signs.
func newKeys(origin string, signers []note.Signer, verifiers []note.Verifier) (keys, error) {
	k, err := newVerifiers(origin, verifiers)
	if err != nil {
		return keys{}, err
	}
	if len(signers) == 0 || len(signers) > maxSigners {
		return keys{}, fmt.Errorf("a log signs with 1 to %d keys, here are %d", maxSigners, len(signers))
	}
	plain := false
	seen := make(map[uint32]bool)
	for _, s := range signers {
		// SPEC: tlog-checkpoint: the name of the log's key should match the origin line. We demand it.
		if s.Name() != origin {
			return keys{}, fmt.Errorf("a signer is named %q, the log %q", s.Name(), origin)
		}
		if seen[s.KeyHash()] {
			return keys{}, fmt.Errorf("the signer %s+%08x is there twice", s.Name(), s.KeyHash())
		}
		seen[s.KeyHash()] = true
		v, err := k.verifiers.Verifier(s.Name(), s.KeyHash())
		if err != nil {
			return keys{}, fmt.Errorf("no verifier belongs to the signer %s+%08x", s.Name(), s.KeyHash())
		}
		plain = plain || algorithm(v) == checkpoint.Ed25519
	}
	if !plain {
		return keys{}, errors.New("none of the signers is a plain Ed25519 key, and every checkpoint carries such a signature")
	}
	k.signers = signers
	return k, nil
}

// newVerifiers checks the keys of a log of which signatures are only read.
func newVerifiers(origin string, verifiers []note.Verifier) (keys, error) {
	if err := checkOrigin(origin); err != nil {
		return keys{}, err
	}
	if len(verifiers) == 0 || len(verifiers) > maxVerifiers {
		return keys{}, fmt.Errorf("a log has 1 to %d verifiers, here are %d", maxVerifiers, len(verifiers))
	}
	seen := make(map[uint32]bool)
	for _, v := range verifiers {
		if v.Name() != origin {
			return keys{}, fmt.Errorf("a verifier is named %q, the log %q", v.Name(), origin)
		}
		if seen[v.KeyHash()] {
			return keys{}, fmt.Errorf("the verifier %s+%08x is there twice", v.Name(), v.KeyHash())
		}
		seen[v.KeyHash()] = true
	}
	return keys{origin: origin, verifiers: note.VerifierList(verifiers...)}, nil
}

// algorithm is what a verifier says of itself. One that does not say is x/mod's, which knows one algorithm; and sign looks
// at the signatures too.
func algorithm(v note.Verifier) checkpoint.Algorithm {
	if v, ok := v.(interface{ Algorithm() checkpoint.Algorithm }); ok {
		return v.Algorithm()
	}
	return checkpoint.Ed25519
}

// open checks that a note is a checkpoint of the log, signed by one of its keys.
func (k keys) open(msg []byte) (treeHead, error) {
	_, h, err := k.read(msg)
	return h, err
}

func (k keys) read(msg []byte) (*note.Note, treeHead, error) {
	if len(msg) > checkpoint.MaxNote {
		return nil, treeHead{}, fmt.Errorf("checkpoint of %d bytes, at most %d", len(msg), checkpoint.MaxNote)
	}
	n, err := note.Open(msg, k.verifiers)
	if err != nil {
		return nil, treeHead{}, fmt.Errorf("opening checkpoint: %w", err)
	}
	h, err := parseHead(n.Text)
	if err != nil {
		return nil, treeHead{}, err
	}
	if h.Origin != k.origin {
		return nil, treeHead{}, fmt.Errorf("checkpoint is of %q, not of %q", h.Origin, k.origin)
	}
	return n, h, nil
}

// own is a checkpoint with the log's signatures and no other.
func (k keys) own(msg []byte) ([]byte, error) {
	n, _, err := k.read(msg)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = nil
	own, err := note.Sign(n)
	if err != nil {
		return nil, fmt.Errorf("taking foreign signatures off a checkpoint: %w", err)
	}
	return own, nil
}

// sign signs h with every key, and checks each signature: a faulty signer's work must not leave.
func (k keys) sign(h treeHead) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: h.text()}, k.signers...)
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint of size %d: %w", h.Size, err)
	}
	n, got, err := k.read(msg)
	if err != nil || got != h {
		return nil, fmt.Errorf("the signer made a checkpoint of size %d that does not verify: %w", h.Size, err)
	}
	plain := false
	for _, s := range n.Sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		plain = plain || err == nil && len(raw) == 4+ed25519.SignatureSize
	}
	if len(n.Sigs) != len(k.signers) || !plain {
		return nil, fmt.Errorf("the signers made a checkpoint of size %d with %d signatures of %d, plain Ed25519: %v",
			h.Size, len(n.Sigs), len(k.signers), plain)
	}
	return msg, nil
}
