package payload

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorDir = "../docs/spec/vectors/"

// stream is the deterministic source of the vectors: SHA-256(name ‖ uint64be counter), block after block.
type stream struct {
	name    string
	counter uint64
	rest    []byte
}

func (s *stream) Read(p []byte) (int, error) {
	for i := range p {
		if len(s.rest) == 0 {
			h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.name), s.counter))
			s.counter, s.rest = s.counter+1, h[:]
		}
		p[i], s.rest = s.rest[0], s.rest[1:]
	}
	return len(p), nil
}

// The types below are the vectors' JSON. Byte strings are base64, hashes, keys and salts hex.
type vectorFile[T any] struct {
	Format  string `json:"format"`
	About   string `json:"about"`
	Vectors []T    `json:"vectors"`
}

type vectorPlace struct {
	Origin  string `json:"origin"`
	Session string `json:"session"`
	Track   string `json:"track"`
	Seq     uint64 `json:"seq"`
	Slot    string `json:"slot"`
}

type vectorSegment struct {
	Class    string `json:"class"`
	Bytes    []byte `json:"bytes"`
	Salt     string `json:"salt"`
	LeafHash string `json:"leaf_hash"`
}

type vectorBlob struct {
	Class     string `json:"class"`
	Salt      string `json:"blob_salt"`
	Info      []byte `json:"hkdf_info"`
	Key       string `json:"aes_key"`
	Seed      string `json:"salt_seed"`
	Plaintext []byte `json:"plaintext"`
	Blob      []byte `json:"blob"`
}

type vectorPart struct {
	Segments   []vectorSegment `json:"segments"`
	Root       string          `json:"root"`
	Commitment string          `json:"commitment"`
	Blobs      []vectorBlob    `json:"blobs"`
}

type validVector struct {
	Name       string            `json:"name"`
	Place      vectorPlace       `json:"place"`
	Keys       map[string]string `json:"unit_keys"`
	KeyCommits map[string]string `json:"unit_key_commitments"`
	Media      Media             `json:"media"`
	Payload    []byte            `json:"payload"`
	Parts      []vectorPart      `json:"parts"`
	Ref        string            `json:"ref"`
	Disclosure string            `json:"disclosure_of_first_segment"`
}

type invalidVector struct {
	Name       string            `json:"name"`
	Op         string            `json:"op"` // ref, open, disclosure
	Reason     string            `json:"reason"`
	Error      string            `json:"error"`
	Place      *vectorPlace      `json:"place,omitempty"`
	Keys       map[string]string `json:"unit_keys,omitempty"`
	Ref        string            `json:"ref,omitempty"`
	Blobs      [][]byte          `json:"blobs,omitempty"`
	Disclosure string            `json:"disclosure,omitempty"`
}

type splitVector struct {
	Name    string `json:"name"`
	Media   Media  `json:"media"`
	Bytes   []byte `json:"bytes"`
	Is      Media  `json:"is"`
	Lengths []int  `json:"lengths"`
}

type wrapVector struct {
	Name       string   `json:"name"`
	Reason     string   `json:"reason,omitempty"` // absent: valid
	Origin     string   `json:"origin"`
	Session    string   `json:"session"`
	Track      string   `json:"track"`
	Class      string   `json:"class"`
	Commitment string   `json:"unit_key_commitment"`
	Key        string   `json:"unit_key,omitempty"`
	Identities []string `json:"identities"`
	File       []byte   `json:"file"`
}

var errorNames = map[string]error{
	"ref": ErrRef, "no-key": ErrNoKey, "blob-missing": ErrBlobMissing, "blob": ErrBlob, "decrypt": ErrDecrypt,
	"plaintext": ErrPlaintext, "commitment": ErrCommitment, "disclosure": ErrDisclosure,
}

func (p vectorPlace) place() Place { return Place(p) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keysOf(t testing.TB, m map[string]string) Keys {
	t.Helper()
	keys := make(Keys)
	for name, s := range m {
		c, err := ParseClass(name)
		if err != nil {
			t.Fatal(err)
		}
		keys[c] = UnitKey(unhex(t, s))
	}
	return keys
}

// file compares a vector file with what the test makes, or writes it.
func file[T any](t *testing.T, name, about string, made []T) []T {
	t.Helper()
	if *update && made != nil {
		b, err := json.MarshalIndent(vectorFile[T]{"steno/vectors/payload/v1", about, made}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorDir+name, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorDir + name)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile[T]
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if made != nil && !reflect.DeepEqual(f.Vectors, made) {
		t.Errorf("%s is not what the code makes", name)
	}
	if len(f.Vectors) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return f.Vectors
}

func TestVectors_valid(t *testing.T) {
	vectors := file(t, "payload.json", "Payloads sealed with known salts. 'payload' is the concatenation of the segments of all "+
		"parts; hkdf_info, aes_key, salt_seed, plaintext are intermediate values of each blob.", validVectors(t))
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			var ref Ref
			if err := json.Unmarshal([]byte(v.Ref), &ref); err != nil {
				t.Fatal(err)
			}
			blobs := make(map[Hash][]byte)
			for _, p := range v.Parts {
				for _, b := range p.Blobs {
					blobs[sha256.Sum256(b.Blob)] = b.Blob
				}
			}
			o, err := Open(keysOf(t, v.Keys), v.Place.place(), ref, blobs)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := o.Bytes(); err != nil || string(b) != string(v.Payload) || o.Media != v.Media {
				t.Fatalf("got %q, %v", b, err)
			}
			var d Disclosure
			if err := json.Unmarshal([]byte(v.Disclosure), &d); err != nil {
				t.Fatal(err)
			}
			s, err := VerifyDisclosure(ref, d)
			if err != nil || !s.Segments[0].Known || string(s.Segments[0].Bytes) != string(v.Parts[0].Segments[0].Bytes) {
				t.Fatalf("got %v, %v", s, err)
			}
		})
	}
}

func TestVectors_invalid(t *testing.T) {
	vectors := file(t, "payload-invalid.json", "What a reader refuses. op 'ref': the reference alone; 'open': reference and blobs "+
		"with the keys given; 'disclosure': reference and disclosure. 'error' is the kind of refusal, for orientation.",
		invalidVectors(t))
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			if err, want := runInvalid(t, v), errorNames[v.Error]; want == nil || !errors.Is(err, want) {
				t.Fatalf("%s: got %v, want %v", v.Reason, err, want)
			}
		})
	}
}

func runInvalid(t *testing.T, v invalidVector) error {
	var ref Ref
	err := json.Unmarshal([]byte(v.Ref), &ref)
	if v.Op == "ref" {
		return err
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.Op == "disclosure" {
		var d Disclosure
		if err := json.Unmarshal([]byte(v.Disclosure), &d); err != nil {
			return err
		}
		_, err := VerifyDisclosure(ref, d)
		return err
	}
	// Blobs are handed over under the hashes of the reference, in its order: a store may lie.
	blobs := make(map[Hash][]byte)
	for i, b := range ref.All() {
		if i < len(v.Blobs) {
			blobs[b.SHA256] = v.Blobs[i]
		}
	}
	_, err = Open(keysOf(t, v.Keys), v.Place.place(), ref, blobs)
	return err
}

func TestVectors_split(t *testing.T) {
	vectors := file(t, "payload-split.json", "How a writer cuts bytes that are given as 'media': into segments of these lengths, "+
		"and the media is then 'is'. Readers do not depend on it.", splitVectors())
	for _, v := range vectors {
		if is, lengths := lengthsOf(v.Media, v.Bytes); is != v.Is || !reflect.DeepEqual(lengths, v.Lengths) {
			t.Errorf("%s: got %v %v, want %v %v", v.Name, is, lengths, v.Is, v.Lengths)
		}
	}
}

// Wraps are randomised by age, so the file is written if it is not there, and then only read.
func TestVectors_wrap(t *testing.T) {
	var made []wrapVector
	if _, err := os.Stat(vectorDir + "payload-wrap.json"); *update && errors.Is(err, fs.ErrNotExist) {
		made = wrapVectors(t)
	}
	vectors := file(t, "payload-wrap.json", "Wraps of unit keys (age files), the identities that open them, and where they were "+
		"found. Those with a reason open, and must be refused.", made)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			ids, err := age.ParseIdentities(strings.NewReader(strings.Join(v.Identities, "\n")))
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseClass(v.Class)
			if err != nil {
				t.Fatal(err)
			}
			key, err := Unwrap(v.File, WrapPlace{v.Origin, v.Session, v.Track, c}, Hash(unhex(t, v.Commitment)), ids...)
			if v.Reason != "" {
				if !errors.Is(err, ErrWrap) {
					t.Fatalf("%s: got %v", v.Reason, err)
				}
				return
			}
			if err != nil || hex.EncodeToString(key[:]) != v.Key {
				t.Fatal(err)
			}
		})
	}
}

// The page quotes the first vector; what it quotes is true.
func TestSpec_workedExample(t *testing.T) {
	page, err := os.ReadFile("../docs/spec/payload.md")
	if err != nil {
		t.Fatal(err)
	}
	v := validVectors(t)[0]
	p := v.Parts[0]
	quoted := []string{v.Keys["content"], v.KeyCommits["content"], p.Root, p.Commitment, v.Ref, v.Disclosure}
	for _, s := range p.Segments {
		quoted = append(quoted, s.Salt, s.LeafHash)
	}
	for _, b := range p.Blobs {
		trimmed := strings.TrimRight(hex.EncodeToString(b.Plaintext), "0")
		if len(trimmed)%2 == 1 {
			trimmed += "0"
		}
		quoted = append(quoted, b.Salt, b.Key, b.Seed, trimmed)
	}
	flat := strings.Join(strings.Fields(string(page)), "")
	for _, q := range quoted {
		if !strings.Contains(flat, strings.Join(strings.Fields(q), "")) {
			t.Errorf("the page lacks %s", q)
		}
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
