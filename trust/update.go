package trust

import (
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// An update is a note that lets one trust file take the place of another: signed by as many of the earlier one's signers as
// it demands. It stands in a file of its own, so that a trust file is hashed as it is.
//
//	steno/trust-update/v1
//	log.acme.example/prod
//	2                                               version of the new file
//	q0hY2CT34+N0/8rG+SS5VVmFP53+eGYSqBLWmPSIjMk=    SHA-256 of the earlier file
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    SHA-256 of the new one
//
//	— acme/compliance/ada …
//	— acme/compliance/grace …

const (
	updateLine = "steno/trust-update/v1"
	maxUpdate  = 64 << 10
)

// updateText is the text of the update from t to next, if there can be one.
func (t *Trust) updateText(next *Trust) (string, error) {
	switch {
	case t.Threshold == 0:
		return "", errors.New("the earlier trust file names no signers: it can't be updated, only pinned anew")
	case next.Origin != t.Origin:
		return "", fmt.Errorf("the new trust file is of the log %q, the earlier one of %q", next.Origin, t.Origin)
	case next.Version != t.Version+1:
		return "", fmt.Errorf("the new trust file has version %d, and %d follows %d", next.Version, t.Version+1, t.Version)
	case next.Previous != t.Digest():
		return "", errors.New("the new trust file names another one as the one before it")
	}
	previous, digest := t.Digest(), next.Digest()
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s\n%s\n%d\n%s\n%s\n", updateLine, t.Origin, next.Version, b64(previous[:]), b64(digest[:])), nil
}

// SignUpdate signs the update from t to next, and adds the signature to those that update has already, if it is not nil.
func (t *Trust) SignUpdate(next *Trust, update []byte, signer note.Signer) ([]byte, error) {
	text, err := t.updateText(next)
	if err != nil {
		return nil, err
	}
	if _, err := t.signers.Verifier(signer.Name(), signer.KeyHash()); err != nil {
		return nil, fmt.Errorf("%s+%08x is none of the earlier trust file's signers", signer.Name(), signer.KeyHash())
	}
	n := &note.Note{Text: text}
	if update != nil {
		if n, err = t.openUpdate(text, update); err != nil {
			return nil, err
		}
	}
	signed, err := note.Sign(n, signer)
	if err != nil {
		return nil, fmt.Errorf("signing the update: %w", err)
	}
	return signed, nil
}

// VerifyUpdate tells why next may not take the place of t, or nil: update is signed by t's threshold of t's signers.
func (t *Trust) VerifyUpdate(next *Trust, update []byte) error {
	text, err := t.updateText(next)
	if err != nil {
		return err
	}
	n, err := t.openUpdate(text, update)
	if err != nil {
		return err
	}
	if len(n.Sigs) < t.Threshold { // note.Open lists a key once, and no public key has two names
		return fmt.Errorf("the update is signed by %d of the earlier trust file's signers, and %d are needed", len(n.Sigs), t.Threshold)
	}
	return nil
}

func (t *Trust) openUpdate(text string, update []byte) (*note.Note, error) {
	if len(update) > maxUpdate {
		return nil, fmt.Errorf("update of %d bytes, at most %d", len(update), maxUpdate)
	}
	n, err := note.Open(update, t.signers)
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	if n.Text != text {
		return nil, errors.New("the update is of other trust files")
	}
	return n, nil
}
