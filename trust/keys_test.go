package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorDir = "../docs/spec/vectors/"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fixed makes a key of a seed that is named, so that the vectors are the same every time.
func fixed(a checkpoint.Algorithm, name, seed string) *checkpoint.Signer {
	s := sha256.Sum256([]byte("steno vector " + seed))
	var public []byte
	if a == checkpoint.CosignatureMLDSA44 {
		public = must(mldsa.NewPrivateKey(mldsa.MLDSA44(), s[:])).PublicKey().Bytes()
	} else {
		public = ed25519.NewKeyFromSeed(s[:]).Public().(ed25519.PublicKey)
	}
	h := sha256.Sum256(append([]byte(name+"\n"+string([]byte{byte(a)})), public...))
	id := base64.StdEncoding.EncodeToString(append([]byte{byte(a)}, s[:]...))
	return must(checkpoint.NewSigner("PRIVATE+KEY+" + name + "+" + hexID(binary.BigEndian.Uint32(h[:])) + "+" + id))
}

func hexID(id uint32) string {
	const digits = "0123456789abcdef"
	var b [8]byte
	for i := range b {
		b[7-i] = digits[id>>(4*i)&15]
	}
	return string(b[:])
}

const (
	ed     = checkpoint.Ed25519
	edCosi = checkpoint.CosignatureEd25519
	pqCosi = checkpoint.CosignatureMLDSA44
)

// A world is a log with all the keys that a test may want. Its witnesses are w1 to w4; pq1 and pq2 are the ML-DSA keys of
// w1's and w2's operators.
type world struct {
	log, log2, logPQ          *checkpoint.Signer
	received, system          string
	enroller, enroller2       *checkpoint.Signer
	recorder                  string
	signers                   [3]*checkpoint.Signer
	w                         map[string]*checkpoint.Signer
	stamper                   *entry.Stamper
	received2, system2        string
	wNew                      *checkpoint.Signer
	systemSigner, recorderKey note.Signer
}

func newWorld() *world {
	w := &world{
		log: fixed(ed, origin, "log"), log2: fixed(ed, origin, "log 2"), logPQ: fixed(pqCosi, origin, "log pq"),
		enroller: fixed(ed, "acme/enroller", "enroller"), enroller2: fixed(ed, "acme/enroller", "enroller 2"),
		recorder: fixed(ed, "acme/agents/bot", "bot").Verifier().String(),
		w:        map[string]*checkpoint.Signer{}, wNew: fixed(edCosi, "witness.example/w1", "w1 new"),
	}
	w.systemSigner, w.recorderKey = fixed(ed, origin+"/system", "system"), fixed(ed, "acme/agents/bot", "bot")
	w.system = fixed(ed, origin+"/system", "system").Verifier().String()
	w.system2 = fixed(ed, origin+"/system", "system 2").Verifier().String()
	for i, n := range []string{"ada", "grace", "hedy"} {
		w.signers[i] = fixed(ed, "acme/compliance/"+n, n)
	}
	for _, n := range []string{"w1", "w2", "w3", "w4"} {
		w.w[n] = fixed(edCosi, "witness.example/"+n, n)
	}
	for _, n := range []string{"pq1", "pq2"} {
		w.w[n] = fixed(pqCosi, "witness.example/"+n, n)
	}
	var skey string
	skey, w.received, _ = generateReceived(origin, "received 1")
	w.stamper = must(entry.NewStamper(skey))
	_, w.received2, _ = generateReceived(origin, "received 2")
	return w
}

func generateReceived(origin, seed string) (skey, vkey string, err error) {
	s := sha256.Sum256([]byte("steno vector " + seed))
	return entry.GenerateReceivedKey(bytes.NewReader(s[:]), origin)
}

// vkey is the verifier key of a named witness.
func (w *world) vkey(name string) string { return w.w[name].Verifier().String() }

// config is a trust file with a quorum of 2 of w1, w2, w3, and three signers of which two update it.
func (w *world) config() trust.Config {
	c := trust.Config{
		Version: 1, Threshold: 2, Received: []string{w.received}, System: []string{w.system},
		Enrollers: []string{w.enroller.Verifier().String()},
		Operators: []trust.Operator{{Name: "auditor", Witnesses: []string{"w1"}}, {Name: "bank", Witnesses: []string{"w2"}}, {Name: "ngo", Witnesses: []string{"w3"}}},
		Policy: []byte("log " + w.log.Verifier().String() + "\n" +
			"witness w1 " + w.vkey("w1") + " https://w1.example/\nwitness w2 " + w.vkey("w2") + "\nwitness w3 " + w.vkey("w3") + "\n" +
			"group two 2 w1 w2 w3\nquorum two\n"),
	}
	for _, s := range w.signers {
		c.Signers = append(c.Signers, s.Verifier().String())
	}
	return c
}

// pqConfig is one of two operators with a key of either kind, all needed, and ML-DSA required from 2028 on.
func (w *world) pqConfig() trust.Config {
	c := w.config()
	c.Operators = []trust.Operator{{Name: "auditor", Witnesses: []string{"pq1", "w1"}}, {Name: "bank", Witnesses: []string{"pq2", "w2"}}}
	c.Require = []trust.Requirement{{Algorithm: "ml-dsa-44", From: day("2028-01-01")}}
	c.Policy = []byte("log " + w.log.Verifier().String() + "\nlog " + w.logPQ.Verifier().String() + "\n" +
		"witness w1 " + w.vkey("w1") + "\nwitness pq1 " + w.vkey("pq1") + "\nwitness w2 " + w.vkey("w2") + "\nwitness pq2 " + w.vkey("pq2") + "\n" +
		"group auditor any w1 pq1\ngroup bank any w2 pq2\ngroup both all auditor bank\nquorum both\n")
	return c
}

func day(s string) time.Time { return must(time.Parse(time.DateOnly, s)) }

// A cosigner signs at a time.
type cosigner struct {
	*checkpoint.Signer
	at time.Time
}

func (c cosigner) Sign(text []byte) ([]byte, error) { return c.SignAt(text, c.at) }

// head is a checkpoint of a size, signed by some at a time.
func head(size uint64, root byte, at time.Time, signers ...*checkpoint.Signer) []byte {
	c := checkpoint.Checkpoint{Origin: origin, Size: size, Root: sha256.Sum256([]byte{root})}
	var all []note.Signer
	for _, s := range signers {
		all = append(all, cosigner{s, at})
	}
	return must(note.Sign(&note.Note{Text: c.Text()}, all...))
}

// vectorFile is the JSON of the vectors.
type vectorFile[T any] struct {
	Format  string `json:"format"`
	About   string `json:"about"`
	Vectors []T    `json:"vectors"`
}

// vectors writes a file of vectors if asked to, and reads it. Signatures of ML-DSA differ every time, so that only what is
// made the same is compared.
func vectors[T any](t *testing.T, name, format, about string, made []T, compare bool) []T {
	t.Helper()
	if *update {
		b := must(json.MarshalIndent(vectorFile[T]{format, about, made}, "", " "))
		if err := os.WriteFile(vectorDir+name, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var f vectorFile[T]
	if err := json.Unmarshal(must(os.ReadFile(vectorDir+name)), &f); err != nil {
		t.Fatal(err)
	}
	if compare && !reflect.DeepEqual(f.Vectors, made) || len(f.Vectors) != len(made) || f.Format != format || f.About != about {
		t.Errorf("%s is not what the code makes", name)
	}
	return f.Vectors
}

// inSpec demands that a page of the specification shows an example as it is made here.
func inSpec(t *testing.T, page, example string) {
	t.Helper()
	if !bytes.Contains(must(os.ReadFile("../docs/spec/"+page)), []byte(example)) {
		t.Errorf("%s does not show\n%s", page, example)
	}
}
