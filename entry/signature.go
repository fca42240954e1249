package entry

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/internal/point"
)

// A Signature is one signature line: who is said to have signed, and the bytes.
type Signature struct {
	Name string
	Hash uint32 // the key ID
	Sig  []byte // 64 bytes of Ed25519
	Line []byte // the whole line with its line feed; aliases the bytes that were parsed
}

// A Receipt is the log's *received* signature: type 0xff with the identifier steno/received/v1, a timestamped Ed25519
// signature over "steno/received/v1\ntime <µs since 1970>\n" followed by the entry's text. It does not cover the recorder's
// signature: no log may take a text whose recorder's signature does not verify, so a leaf that has the one over a text
// without the other convicts the log.
type Receipt struct {
	Signature
	Time Time
}

const (
	sigPrefix    = "— "
	receivedID   = "steno/received/v1"
	receivedName = "/received"
	receivedSize = 8 + ed25519.SignatureSize
	algEd25519   = 1
	algOther     = 0xff
)

// ReceivedName is the name of the key that signs receipts for a log.
func ReceivedName(origin string) string { return origin + receivedName }

// readSignatures reads exactly want signature lines from b[at:]: the recorder's, then the log's receipt.
func (e *Entry) readSignatures(b []byte, at, want int) error {
	for i := range want + 1 {
		if at == len(b) {
			if i == want {
				return nil
			}
			return errorAt(MissingSignature, at, "%d signature lines, %d are needed", i, want)
		}
		if i == want {
			return errorAt(ExtraSignature, at, "bytes after signature line %d", want)
		}
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return errorAt(BadSignatureLine, at, "signature line does not end in a line feed")
		}
		size := ed25519.SignatureSize
		if i == 1 {
			size = receivedSize
		}
		sig, err := parseSignatureLine(b[at:at+n+1], size, at)
		if err != nil {
			return err
		}
		isReceipt := sig.Name == ReceivedName(e.Origin)
		if isReceipt != (i == 1) {
			return errorAt(BadSignatureLine, at, "signature line %d is not the %s's", i+1, [2]string{"recorder", "log"}[i])
		}
		if i == 0 {
			e.Recorder = sig
		} else {
			e.Received = &Receipt{Signature: sig, Time: Time(binary.BigEndian.Uint64(sig.Sig))}
			if _, err := e.Received.Time.MarshalText(); err != nil || int64(e.Received.Time) < 0 {
				return errorAt(BadSignatureLine, at, "time of receipt is outside the years 1970 to 9999")
			}
		}
		at += n + 1
	}
	return nil
}

// parseSignatureLine reads "— NAME BASE64\n", where the base64 is of a key ID and size more bytes.
func parseSignatureLine(line []byte, size, at int) (Signature, error) {
	rest, ok := bytes.CutPrefix(line[:len(line)-1], []byte(sigPrefix))
	if !ok {
		return Signature{}, errorAt(BadSignatureLine, at, "no em dash and space at the start of the line")
	}
	name, b64, ok := strings.Cut(string(rest), " ")
	if !ok || CheckKeyName(name) != nil {
		return Signature{}, errorAt(BadSignatureLine, at, "line is not «— NAME BASE64» with a key's name")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil {
		return Signature{}, errorAt(Base64, at, "signature is not canonical base64")
	}
	if len(raw) != 4+size {
		return Signature{}, errorAt(BadSignatureLine, at, "signature of %d bytes with its key ID, expected %d", len(raw), 4+size)
	}
	return Signature{Name: name, Hash: binary.BigEndian.Uint32(raw), Sig: raw[4:], Line: line}, nil
}

// CheckKeyName tells what is wrong with a signer's name: 1 to 160 of printable ASCII but space and plus. Signed notes allow
// any Unicode there; but people compare these names, in decades, and must see all of them, and no two alike.
// SPEC: signed-note: key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus characters.
func CheckKeyName(name string) error {
	if name == "" || len(name) > MaxKeyName {
		return fmt.Errorf("name of %d bytes, 1 to %d are allowed", len(name), MaxKeyName)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '+' {
			return fmt.Errorf("character %d of the name is not printable ASCII, or a space or plus", i)
		}
	}
	return nil
}

// Sign makes a submission: text, an empty line, the recorder's signature line.
func Sign(text []byte, recorder note.Signer) ([]byte, error) {
	sig, err := recorder.Sign(text)
	if err != nil {
		return nil, fmt.Errorf("signing an entry: %w", err)
	}
	b := make([]byte, 0, len(text)+256)
	b = append(append(b, text...), '\n')
	return appendSignatureLine(b, recorder.Name(), recorder.KeyHash(), sig), nil
}

func appendSignatureLine(b []byte, name string, hash uint32, sig []byte) []byte {
	raw := append(binary.BigEndian.AppendUint32(nil, hash), sig...)
	b = append(append(append(b, sigPrefix...), name...), ' ')
	return append(base64.StdEncoding.AppendEncode(b, raw), '\n')
}

// Stamp makes the leaf of a submission that e was parsed from: it adds the receipt for time t.
func (s *Stamper) Stamp(submission []byte, e *Entry, t Time) []byte {
	msg := receivedMessage(t, e.Text)
	sig := append(binary.BigEndian.AppendUint64(nil, uint64(t)), ed25519.Sign(s.key, msg)...)
	leaf := make([]byte, 0, len(submission)+256)
	return appendSignatureLine(append(leaf, submission...), s.name, s.hash, sig)
}

// VerifyRecorder checks the recorder's signature with its verifier, which must be the key that the line names.
func (e *Entry) VerifyRecorder(v note.Verifier) error {
	if v.Name() != e.Recorder.Name || v.KeyHash() != e.Recorder.Hash {
		return errorAt(OtherRecorder, len(e.Text), "signed by another key than the track's recorder")
	}
	if !v.Verify(e.Text, e.Recorder.Sig) {
		return errorAt(BadSignature, len(e.Text), "the recorder's signature does not verify")
	}
	return nil
}

// VerifyReceived checks the log's receipt with the verifier that NewReceivedVerifier made.
func (e *Entry) VerifyReceived(v note.Verifier) error {
	if e.Received == nil {
		return errorAt(MissingSignature, len(e.Text), "no receipt")
	}
	if v.Name() != e.Received.Name || v.KeyHash() != e.Received.Hash {
		return errorAt(BadSignature, len(e.Text), "receipt is by another key than the log's")
	}
	if !v.Verify(e.Text, e.Received.Sig) {
		return errorAt(BadSignature, len(e.Text), "the log's receipt does not verify")
	}
	return nil
}

func receivedMessage(t Time, text []byte) []byte {
	b := make([]byte, 0, len(text)+64)
	b = append(b, receivedID+"\ntime "...)
	b = append(strconv.AppendUint(b, uint64(t), 10), '\n')
	return append(b, text...)
}

// A Stamper holds the key that signs receipts.
type Stamper struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
}

// GenerateReceivedKey makes a key for a log's receipts, in the text forms of golang.org/x/mod/sumdb/note: the secret
// "PRIVATE+KEY+<name>+<key ID>+<base64 of 0xff, identifier, seed>" and the verifier key "<name>+<key ID>+<base64 of 0xff,
// identifier, public key>".
func GenerateReceivedKey(rand io.Reader, origin string) (skey, vkey string, err error) {
	if err := CheckOrigin(origin); err != nil {
		return "", "", fmt.Errorf("origin: %w", err)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return "", "", fmt.Errorf("generating a key: %w", err)
	}
	pub := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	name, tail := ReceivedName(origin), base64.StdEncoding.EncodeToString
	id := fmt.Sprintf("%s+%08x+", name, receivedKeyID(name, pub))
	prefix := append([]byte{algOther}, receivedID...)
	return "PRIVATE+KEY+" + id + tail(append(prefix, seed...)), id + tail(append(prefix, pub...)), nil
}

// SPEC: signed-note: key ID = SHA-256(key name || 0x0A || signature type || public key)[:4]; for type 0xff it is
// RECOMMENDED that this byte be followed by a longer identifier that is unlikely to collide.
func receivedKeyID(name string, pub ed25519.PublicKey) uint32 {
	h := sha256.Sum256(append([]byte(name+"\n\xff"+receivedID), pub...))
	return binary.BigEndian.Uint32(h[:4])
}

// NewStamper reads the secret that GenerateReceivedKey made.
func NewStamper(skey string) (*Stamper, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(skey), "PRIVATE+KEY+")
	if !ok {
		return nil, errors.New("reading a received key: not a private key")
	}
	name, id, seed, err := parseReceivedKey(rest)
	if err != nil {
		return nil, fmt.Errorf("reading a received key: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	if receivedKeyID(name, key.Public().(ed25519.PublicKey)) != id {
		return nil, errors.New("reading a received key: key ID does not match the key")
	}
	return &Stamper{name: name, hash: id, key: key}, nil
}

// VerifierKey is the public half.
func (s *Stamper) VerifierKey() string {
	pub := s.key.Public().(ed25519.PublicKey)
	return fmt.Sprintf("%s+%08x+%s", s.name, s.hash,
		base64.StdEncoding.EncodeToString(append(append([]byte{algOther}, receivedID...), pub...)))
}

type receivedVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewReceivedVerifier reads a verifier key that GenerateReceivedKey made. The verifier works with note.Open of
// golang.org/x/mod/sumdb/note too.
func NewReceivedVerifier(vkey string) (note.Verifier, error) {
	name, id, pub, err := parseReceivedKey(vkey)
	if err != nil {
		return nil, fmt.Errorf("reading a received verifier key: %w", err)
	}
	if receivedKeyID(name, pub) != id {
		return nil, errors.New("reading a received verifier key: key ID does not match the key")
	}
	if err := point.Check(pub); err != nil {
		return nil, fmt.Errorf("reading a received verifier key: %w", err)
	}
	return &receivedVerifier{name: name, hash: id, key: pub}, nil
}

// parseReceivedKey reads NAME+KEYID+BASE64 and returns the 32 bytes behind type and identifier.
func parseReceivedKey(s string) (name string, id uint32, key []byte, err error) {
	name, rest, _ := strings.Cut(s, "+")
	hash, b64, ok := strings.Cut(rest, "+")
	n, err := strconv.ParseUint(hash, 16, 32)
	if !ok || err != nil || len(hash) != 8 || !strings.HasSuffix(name, receivedName) || CheckKeyName(name) != nil {
		return "", 0, nil, errors.New("not NAME/received+KEYID+BASE64")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || hash != fmt.Sprintf("%08x", n) || b64 != base64.StdEncoding.EncodeToString(raw) { // which skips line ends
		return "", 0, nil, errors.New("not in its one spelling")
	}
	key, ok = bytes.CutPrefix(raw, append([]byte{algOther}, receivedID...))
	if !ok || len(key) != ed25519.PublicKeySize {
		return "", 0, nil, errors.New("not a key of type 0xff with the identifier " + receivedID)
	}
	return name, uint32(n), key, nil
}

func (v *receivedVerifier) Name() string    { return v.name }
func (v *receivedVerifier) KeyHash() uint32 { return v.hash }

func (v *receivedVerifier) Verify(text, sig []byte) bool {
	if len(sig) != receivedSize {
		return false
	}
	return ed25519.Verify(v.key, receivedMessage(Time(binary.BigEndian.Uint64(sig)), text), sig[8:])
}
