package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
)

// A subject is a log that the witness was told about, and what is known of the witness's state of it.
type subject struct {
	origin   string
	signers  []*checkpoint.Signer // keys of this log that the witness trusts
	history  *history             // what the witness cosigned last is of this history
	size     int64
	cosigned bool   // a checkpoint, be it of size zero
	text     string // of the checkpoint cosigned last by us
	lines    []byte // the cosignatures that were returned for it
	lost     string // why it can't be used any more
}

// readSubject reads a file with the signer keys of one log, one a line. The keys' name is the origin.
func readSubject(path string) (*subject, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := newSubject(strings.Fields(string(b))...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func newSubject(skeys ...string) (*subject, error) {
	s := &subject{}
	for i, skey := range skeys {
		k, err := checkpoint.NewSigner(skey)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		s.signers = append(s.signers, k)
	}
	if len(s.signers) == 0 {
		return nil, fmt.Errorf("no key")
	}
	s.origin = s.signers[0].Name()
	if slices.ContainsFunc(s.signers, func(k *checkpoint.Signer) bool { return k.Name() != s.origin }) {
		return nil, fmt.Errorf("keys of more than one log")
	}
	s.history = newHistory(s.origin)
	return s, nil
}

// A request is an add-checkpoint request in parts, so that a case can say which part is wrong.
type request struct {
	old   string
	proof []string
	gap   string // between proof and checkpoint
	text  string // of the note
	sigs  string // lines
	edit  func(body string) string

	history *history // what the witness has cosigned if it says 200
	size    int64
}

func (r request) body() string {
	lines := append([]string{r.old}, r.proof...)
	body := strings.Join(lines, "\n") + "\n" + r.gap + r.text + "\n" + r.sigs
	if r.edit != nil {
		return r.edit(body)
	}
	return body
}

// to is the request to move the witness from a size to a size of a history. Every request of every case begins as one.
func (s *subject) to(h *history, from, size int64) request {
	r := request{old: fmt.Sprintf("old %d", from), gap: "\n", history: h, size: size}
	if from < size {
		r.proof = h.proof(from, size)
	}
	return r.signed(checkpointText(s.origin, fmt.Sprint(size), h.root(size).String()), s.signers[0])
}

// next is a good request for so many leaves more.
func (s *subject) next(more int64) request { return s.to(s.history, s.size, s.size+more) }

// signed is the request with another checkpoint.
func (r request) signed(text string, signers ...note.Signer) request {
	r.text, r.sigs = text, signatures(text, signers...)
	return r
}

func checkpointText(origin, size, root string) string {
	return origin + "\n" + size + "\n" + root + "\n"
}

// signatures signs by hand: what note.Sign refuses to sign is sent too.
func signatures(text string, signers ...note.Signer) string {
	var b strings.Builder
	for _, k := range signers {
		sig, err := k.Sign([]byte(text))
		if err != nil { // an ML-DSA key and a text that is no checkpoint
			sig = make([]byte, 64)
		}
		b.WriteString(signatureLine(k.Name(), k.KeyHash(), sig))
	}
	return b.String()
}

func signatureLine(name string, id uint32, sig []byte) string {
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, id), sig...)) + "\n"
}

// A stranger is an Ed25519 key that the witness was not told about, under any name and key ID.
type stranger struct {
	name string
	id   uint32
	key  ed25519.PrivateKey
}

func newStranger(name string) stranger {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return stranger{name, binary.BigEndian.Uint32(must(key, err)[:4]), key}
}

func (s stranger) Name() string                     { return s.name }
func (s stranger) KeyHash() uint32                  { return s.id }
func (s stranger) Sign(text []byte) ([]byte, error) { return ed25519.Sign(s.key, text), nil }

// moved notes that the witness has cosigned what a request asked for.
func (s *subject) moved(r request, lines []byte) {
	s.history, s.size, s.cosigned, s.text, s.lines = r.history, r.size, true, r.text, bytes.Clone(lines)
}

// told notes the size that the witness says it has. It may say anything: a tree is not grown to whatever size.
func (s *subject) told(size int64) {
	if s.size, s.cosigned = size, true; size > maxResume {
		s.lost = fmt.Sprintf("the witness says that it is at size %d of %s: too far to go on from", size, s.origin)
	}
}

const maxResume = 1 << 16

var emptyRoot = must(tlog.TreeHash(0, nil)).String()
