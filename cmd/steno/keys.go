package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

// A keyPair is a key in the text forms of its files. Kinds: a note key signs entries, enrolments and checkpoints, a received
// key signs a log's receipts, an age key opens what is sealed.
type keyPair struct{ secret, public string }

func newNoteKey(name string) (keyPair, error) {
	if err := entry.CheckKeyName(name); err != nil {
		return keyPair{}, fmt.Errorf("name of the key: %w", err)
	}
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return keyPair{}, fmt.Errorf("generating a key: %w", err)
	}
	return keyPair{secret, public}, nil
}

func newReceivedKey(origin string) (keyPair, error) {
	secret, public, err := entry.GenerateReceivedKey(rand.Reader, origin)
	return keyPair{secret, public}, err
}

func newAgeKey() (keyPair, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return keyPair{}, fmt.Errorf("generating a key: %w", err)
	}
	return keyPair{id.String(), id.Recipient().String()}, nil
}

// publicOf tells the public half of a key file's content: a verifier key, or an age recipient.
func publicOf(content []byte) (string, error) {
	text := strings.TrimSpace(string(content))
	if !strings.HasPrefix(text, "PRIVATE+KEY+") {
		ids, err := age.ParseIdentities(bytes.NewReader(content))
		if err != nil {
			return "", errors.New("neither a note key (PRIVATE+KEY+…) nor an age identity (AGE-SECRET-KEY-…)")
		}
		return recipientsOf(ids)
	}
	if stamper, err := entry.NewStamper(text); err == nil {
		return stamper.VerifierKey(), nil
	}
	signer, err := note.NewSigner(text)
	if err != nil {
		return "", fmt.Errorf("reading a note key: %w", err)
	}
	return verifierKey(signer, text)
}

// verifierKey derives what note.GenerateKey gave beside the secret: PRIVATE+KEY+NAME+ID+base64(type byte, seed).
func verifierKey(signer note.Signer, secret string) (string, error) {
	fields := strings.SplitN(secret, "+", 5) // base64 has plus signs of its own
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("reading a note key: not an Ed25519 key")
	}
	public := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(signer.Name(), public)
}

func recipientsOf(ids []age.Identity) (string, error) {
	var lines []string
	for _, id := range ids {
		switch id := id.(type) {
		case *age.X25519Identity:
			lines = append(lines, id.Recipient().String())
		case *age.HybridIdentity:
			lines = append(lines, id.Recipient().String())
		default:
			return "", errors.New("an age identity of a kind that steno does not seal to")
		}
	}
	return strings.Join(lines, "\n"), nil
}

// readSigner reads a note key from its file.
func readSigner(path string) (note.Signer, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("reading the key in %s: %w", path, err)
	}
	return s, nil
}

// readIdentities reads an age identity file.
func readIdentities(path string) ([]age.Identity, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading an identity: %w", err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("reading the identity in %s: %w", path, err)
	}
	return ids, nil
}
