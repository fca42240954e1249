package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/torchwood"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// A witnessKey verifies cosignatures, with other people's code.
type witnessKey struct {
	note.Verifier
	postQuantum bool
}

func newWitnessKey(vkey string) (witnessKey, error) {
	if v, err := torchwood.NewCosignatureVerifier(vkey); err == nil {
		return witnessKey{v, false}, nil
	}
	v, err := f_note.NewMLDSAVerifier(vkey)
	if err != nil {
		return witnessKey{}, fmt.Errorf("witness key %.60q is neither an Ed25519 nor an ML-DSA-44 cosigner's", vkey)
	}
	return witnessKey{v, true}, nil
}

// clockSkew is how far a cosignature's time may be from ours before it isn't the time at which it was made.
const clockSkew = 5 * time.Minute

// A cosignature is a line of an answer that verifies.
type cosignature struct {
	key  witnessKey
	time int64
	line string
}

// cosignatures reads the body of a 200: signature lines and nothing else, all by keys of the witness, all over this text.
func (p *prober) cosignatures(body []byte, text string) (all []cosignature, err error) {
	if len(body) == 0 || body[len(body)-1] != '\n' {
		return nil, fmt.Errorf("the body %.40q does not end with a newline", body)
	}
	for line := range strings.Lines(string(body)) {
		c, err := p.cosignature(line, text)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (p *prober) cosignature(line, text string) (cosignature, error) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— ")
	name, b64, ok2 := strings.Cut(rest, " ")
	sig, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || !ok2 || err != nil || len(sig) < 4+8 {
		return cosignature{}, fmt.Errorf("%.60q is not a signature line", line)
	}
	for _, k := range p.keys {
		if k.Name() != name || k.KeyHash() != binary.BigEndian.Uint32(sig) {
			continue
		}
		t := binary.BigEndian.Uint64(sig[4:])
		switch at := time.Unix(int64(t), 0); {
		case t == 0:
			return cosignature{}, errors.New("a cosignature of time zero")
		case time.Since(at).Abs() > clockSkew:
			return cosignature{}, fmt.Errorf("a cosignature of %s", at.UTC().Format(time.RFC3339))
		case !k.Verify([]byte(text), sig[4:]):
			return cosignature{}, fmt.Errorf("a cosignature by %s+%08x that does not verify", name, k.KeyHash())
		}
		return cosignature{k, int64(t), line}, nil
	}
	return cosignature{}, fmt.Errorf("a signature by %.60s+%08x, which is none of the witness's keys", name, binary.BigEndian.Uint32(sig))
}

// served reads what monitors get: the checkpoint itself, the log's signature, and the cosignatures that were returned for it.
func (p *prober) served(s *subject, body []byte) error {
	text, sigs, ok := bytes.Cut(body, []byte("\n\n"))
	if text = append(bytes.Clone(text), '\n'); !ok || !bytes.HasPrefix(text, []byte(s.origin+"\n")) {
		return fmt.Errorf("%.60q is not a checkpoint of this log", body)
	}
	if string(text) != s.text {
		return errOlder
	}
	if _, err := note.Open(body, note.VerifierList(s.signers[0].Verifier())); err != nil {
		return fmt.Errorf("the log's signature: %w", err)
	}
	for line := range strings.Lines(string(s.lines)) {
		if !strings.Contains(string(sigs), line) {
			return fmt.Errorf("it lacks the cosignature %.60q, which was returned", line)
		}
	}
	return nil
}

var errOlder = errors.New("an older checkpoint")
