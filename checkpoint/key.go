package checkpoint

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/internal/point"
)

// An Algorithm is a signature type of https://c2sp.org/signed-note.
type Algorithm uint8

// The signature types that stand under checkpoints.
const (
	Ed25519            Algorithm = 0x01 // over the text
	CosignatureEd25519 Algorithm = 0x04 // over time and text
	CosignatureMLDSA44 Algorithm = 0x06 // over cosigner, time, origin, size and root
)

func (a Algorithm) String() string {
	switch a {
	case Ed25519:
		return "ed25519"
	case CosignatureEd25519:
		return "cosignature-ed25519"
	case CosignatureMLDSA44:
		return "cosignature-ml-dsa-44"
	}
	return fmt.Sprintf("signature type 0x%02x", uint8(a))
}

// PostQuantum tells whether the algorithm withstands a quantum computer.
func (a Algorithm) PostQuantum() bool { return a == CosignatureMLDSA44 }

// publicSize is the length of a public key, 0 for what is not known here.
func (a Algorithm) publicSize() int {
	switch a {
	case Ed25519, CosignatureEd25519:
		return ed25519.PublicKeySize
	case CosignatureMLDSA44:
		return mldsa.MLDSA44PublicKeySize
	}
	return 0
}

const (
	seedSize    = 32  // of each algorithm's secret key
	maxName     = 255 // bytes: what the ML-DSA structure can say
	privateWord = "PRIVATE+KEY+"
)

// CheckName tells what is wrong with the name of a key.
// SPEC: signed-note: key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B).
// SPEC: tlog-cosignature: opaque cosigner_name<1..2^8-1>.
func CheckName(name string) error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' }
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("name is not 1 to %d bytes of UTF-8 without spaces, control characters and plus signs", maxName)
	}
	return nil
}

// keyID is how signature lines name a key.
// SPEC: signed-note: key ID = SHA-256(key name || 0x0A || signature type || public key)[:4].
func keyID(name string, a Algorithm, public []byte) uint32 {
	h := sha256.Sum256(append([]byte(name+"\n"+string([]byte{byte(a)})), public...))
	return binary.BigEndian.Uint32(h[:])
}

// A Verifier is a public key. It is a note.Verifier.
type Verifier struct {
	name      string
	id        uint32
	algorithm Algorithm
	public    []byte
	mldsa     *mldsa.PublicKey
}

var _ note.Verifier = (*Verifier)(nil)

// NewVerifier reads a verifier key (NAME+KEYID+BASE64) of one of the types above, in its one spelling.
func NewVerifier(vkey string) (*Verifier, error) {
	name, id, a, public, err := parseKey(vkey)
	if err != nil {
		return nil, fmt.Errorf("reading a verifier key: %w", err)
	}
	v, err := newVerifier(name, a, public)
	if err != nil {
		return nil, fmt.Errorf("reading a verifier key: %w", err)
	}
	if v.id != id {
		return nil, errors.New("reading a verifier key: key ID does not match the key")
	}
	return v, nil
}

func newVerifier(name string, a Algorithm, public []byte) (*Verifier, error) {
	want := a.publicSize()
	if want == 0 {
		return nil, fmt.Errorf("%s is not one that signs checkpoints here", a)
	}
	if len(public) != want {
		return nil, fmt.Errorf("public key of %d bytes, %s has %d", len(public), a, want)
	}
	v := &Verifier{name: name, id: keyID(name, a, public), algorithm: a, public: public}
	var err error
	if a == CosignatureMLDSA44 {
		v.mldsa, err = mldsa.NewPublicKey(mldsa.MLDSA44(), public)
	} else {
		err = point.Check(public)
	}
	return v, err
}

// parseKey reads NAME+KEYID+BASE64, where the base64 is of the type and what belongs to it.
func parseKey(s string) (name string, id uint32, a Algorithm, key []byte, err error) {
	name, rest, _ := strings.Cut(s, "+")
	hash, b64, ok := strings.Cut(rest, "+")
	n, err := strconv.ParseUint(hash, 16, 32)
	if !ok || err != nil {
		return "", 0, 0, nil, errors.New("not NAME+KEYID+BASE64")
	}
	if err := CheckName(name); err != nil {
		return "", 0, 0, nil, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	// Decoding skips line ends, so that the one spelling is compared.
	if err != nil || len(raw) == 0 || s != fmt.Sprintf("%s+%08x+%s", name, n, base64.StdEncoding.EncodeToString(raw)) {
		return "", 0, 0, nil, errors.New("not in its one spelling")
	}
	return name, uint32(n), Algorithm(raw[0]), raw[1:], nil
}

// Name is that of the key.
func (v *Verifier) Name() string { return v.name }

// KeyHash is the key ID.
func (v *Verifier) KeyHash() uint32 { return v.id }

// Algorithm is the key's signature type.
func (v *Verifier) Algorithm() Algorithm { return v.algorithm }

// PublicKey is the key's bytes, without the type.
func (v *Verifier) PublicKey() []byte { return v.public }

// String is the verifier key.
func (v *Verifier) String() string { return formatKey(v.name, v.id, v.algorithm, v.public) }

func formatKey(name string, id uint32, a Algorithm, key []byte) string {
	return fmt.Sprintf("%s+%08x+%s", name, id, base64.StdEncoding.EncodeToString(append([]byte{byte(a)}, key...)))
}

// Verify tells whether sig, without its key ID, is this key's over the text of a checkpoint. A time of zero is no
// cosignature of a checkpoint, and one beyond 2^63−1 none at all.
func (v *Verifier) Verify(text, sig []byte) bool {
	if v.algorithm == Ed25519 {
		return ed25519.Verify(v.public, text, sig)
	}
	// SPEC: tlog-witness: the timestamp MUST NOT be zero. SPEC: tlog-cosignature: it MUST NOT exceed 2^63 - 1.
	t := Time(sig)
	if t == 0 || t > MaxSize {
		return false
	}
	msg, err := cosigned(v.algorithm, v.name, t, text)
	if err != nil {
		return false
	}
	if v.algorithm == CosignatureMLDSA44 {
		return mldsa.Verify(v.mldsa, msg, sig[timeSize:], nil) == nil
	}
	return ed25519.Verify(v.public, msg, sig[timeSize:])
}

// A Signer is a secret key. It is a note.Signer.
type Signer struct {
	verifier *Verifier
	ed25519  ed25519.PrivateKey
	mldsa    *mldsa.PrivateKey
}

var _ note.Signer = (*Signer)(nil)

// GenerateKey makes a key: the secret as PRIVATE+KEY+NAME+KEYID+BASE64 of type and seed, and the verifier key.
func GenerateKey(a Algorithm, name string) (skey, vkey string, err error) {
	if err := CheckName(name); err != nil {
		return "", "", fmt.Errorf("generating a key: %w", err)
	}
	seed := make([]byte, seedSize)
	rand.Read(seed) //nolint:errcheck // it never fails
	s, err := newSigner(name, a, seed)
	if err != nil {
		return "", "", fmt.Errorf("generating a key: %w", err)
	}
	return privateWord + formatKey(name, s.KeyHash(), a, seed), s.verifier.String(), nil
}

// NewSigner reads a secret key that GenerateKey, or note.GenerateKey, made.
func NewSigner(skey string) (*Signer, error) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(skey, "\n"), privateWord)
	if !ok {
		return nil, errors.New("reading a secret key: it does not begin with PRIVATE+KEY")
	}
	name, id, a, seed, err := parseKey(rest)
	if err != nil {
		return nil, fmt.Errorf("reading a secret key: %w", err)
	}
	s, err := newSigner(name, a, seed)
	if err != nil {
		return nil, fmt.Errorf("reading a secret key: %w", err)
	}
	if s.KeyHash() != id {
		return nil, errors.New("reading a secret key: key ID does not match the key")
	}
	return s, nil
}

func newSigner(name string, a Algorithm, seed []byte) (*Signer, error) {
	if len(seed) != seedSize {
		return nil, fmt.Errorf("seed of %d bytes, %d are needed", len(seed), seedSize)
	}
	s := &Signer{}
	var public []byte
	var err error
	switch a {
	case Ed25519, CosignatureEd25519:
		s.ed25519 = ed25519.NewKeyFromSeed(seed)
		public = s.ed25519.Public().(ed25519.PublicKey)
	case CosignatureMLDSA44:
		if s.mldsa, err = mldsa.NewPrivateKey(mldsa.MLDSA44(), seed); err != nil {
			return nil, err
		}
		public = s.mldsa.PublicKey().Bytes()
	}
	s.verifier, err = newVerifier(name, a, public)
	return s, err
}

// Name is that of the key.
func (s *Signer) Name() string { return s.verifier.name }

// KeyHash is the key ID.
func (s *Signer) KeyHash() uint32 { return s.verifier.id }

// Algorithm is the key's signature type.
func (s *Signer) Algorithm() Algorithm { return s.verifier.algorithm }

// Verifier is the public half.
func (s *Signer) Verifier() *Verifier { return s.verifier }

// Sign signs the text of a checkpoint; a cosignature bears the time of now.
func (s *Signer) Sign(text []byte) ([]byte, error) { return s.SignAt(text, time.Now()) }

// SignAt signs the text of a checkpoint; a cosignature bears the time t, truncated to seconds. An ML-DSA key refuses a text
// with extension lines, which its signature would not cover.
func (s *Signer) SignAt(text []byte, t time.Time) ([]byte, error) {
	a := s.verifier.algorithm
	if a == Ed25519 {
		return ed25519.Sign(s.ed25519, text), nil
	}
	if t.Unix() <= 0 {
		return nil, errors.New("cosigning: the time is not after 1970")
	}
	msg, err := cosigned(a, s.verifier.name, uint64(t.Unix()), text)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	sig := binary.BigEndian.AppendUint64(nil, uint64(t.Unix()))
	if a == CosignatureEd25519 {
		return append(sig, ed25519.Sign(s.ed25519, msg)...), nil
	}
	pq, err := s.mldsa.Sign(nil, msg, nil)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	return append(sig, pq...), nil
}
