package trust_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

// A checkpointVector is one of docs/spec/vectors/trust-checkpoint.json.
type checkpointVector struct {
	Name       string              `json:"name"`
	Trust      string              `json:"trust"`
	Checkpoint string              `json:"checkpoint"`
	Accept     bool                `json:"accept"` // the log has signed it
	Reason     string              `json:"reason,omitempty"`
	Size       uint64              `json:"size,omitempty"`
	Witnessed  bool                `json:"witnessed"`
	Cosigned   []cosignatureVector `json:"cosigned,omitempty"`
}

type cosignatureVector struct {
	Witness   string `json:"witness"`
	Operator  string `json:"operator"`
	Algorithm string `json:"algorithm"`
	Time      uint64 `json:"time"`
}

const checkpointAbout = "Checkpoints, judged by trust files. accept says that the log has signed it, by a key that counts for its size; " +
	"witnessed, that it has all that policy and requirements demand; cosigned, which cosignatures count, in the policy's order."

// spoil changes one bit of the signature in the line of a key.
func spoil(b []byte, s *checkpoint.Signer) []byte {
	lines := bytes.SplitAfter(b, []byte("\n"))
	for i, l := range lines {
		if bytes.HasPrefix(l, []byte("— "+s.Name()+" ")) {
			at := len(l) - 8
			c := byte('A')
			if l[at] == c {
				c = 'B'
			}
			lines[i] = append(append(bytes.Clone(l[:at]), c), l[at+1:]...)
		}
	}
	return bytes.Join(lines, nil)
}

func checkpointVectors(w *world) []checkpointVector {
	two, pq := w.make(nil), must(trust.Make(w.pqConfig()))
	none := w.make(func(c *trust.Config) { c.Operators, c.Policy = nil, w.policy("quorum none") })
	window := func(win ...trust.Window) *trust.Trust {
		return w.make(func(c *trust.Config) { c.Windows = win })
	}
	logEnds := trust.Window{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 10}
	stolen := logEnds
	stolen.Compromised = true
	w1Ends := trust.Window{Role: trust.RoleWitness, Key: w.vkey("w1"), Until: 10}
	w1Stolen := w1Ends
	w1Stolen.Compromised = true
	w1, w2, w3, pq1, pq2 := w.w["w1"], w.w["w2"], w.w["w3"], w.w["pq1"], w.w["pq2"]
	early, late := day("2027-12-31"), day("2028-01-01")
	stranger := fixed(edCosi, "witness.example/w1", "stranger")
	var v []checkpointVector
	add := func(name, reason string, tr *trust.Trust, accept, witnessed bool, note []byte) {
		c := checkpointVector{Name: name, Trust: string(tr.Marshal()), Checkpoint: string(note), Accept: accept, Reason: reason, Witnessed: witnessed}
		cp, err := tr.OpenCheckpoint(note)
		if err == nil {
			c.Size = cp.Size
			c.Cosigned = cosigned(cp)
		}
		v = append(v, c)
	}
	add("quorum", "", two, true, true, head(9, 1, noon, w.log, w1, w3))
	add("more than the quorum", "", two, true, true, head(9, 1, noon, w.log, w3, w2, w1))
	add("one of two", "", two, true, false, head(9, 1, noon, w.log, w2))
	add("log alone", "", two, true, false, head(9, 1, noon, w.log))
	add("witnesses without the log", "", two, false, false, head(9, 1, noon, w1, w2))
	add("one witness twice", "a key counts once", two, true, false, twice(head(9, 1, noon, w.log, w1)))
	add("unknown witness", "it is ignored", two, true, true, head(9, 1, noon, w.log, w1, w2, w.w["w4"]))
	add("unknown key under a known name", "it is ignored", two, true, false, head(9, 1, noon, w.log, stranger, w2))
	add("cosignature of another checkpoint", "a known key's signature that does not verify", two, false, false, spliced(head(9, 1, noon, w.log), head(9, 2, noon, w1)))
	add("cosignature that does not verify", "a known key's signature that does not verify, beside a quorum", two, false, false, spoil(head(9, 1, noon, w.log, w1, w2, w3), w3))
	add("log signature that does not verify", "", two, false, false, spoil(head(9, 1, noon, w.log, w1, w2), w.log))
	add("quorum none", "", none, true, true, head(9, 1, noon, w.log))
	add("quorum none, unknown cosignatures", "", none, true, true, head(9, 1, noon, w.log, w1))
	add("log key at its last size", "checkpoints of the sizes From to Until", window(logEnds), true, false, head(10, 1, noon, w.log))
	add("log key past its last size", "", window(logEnds), false, false, head(11, 1, noon, w.log, w1, w2))
	add("stolen log key, witnessed", "witnesses bear it out", window(stolen), true, true, head(10, 1, noon, w.log, w1, w2))
	add("stolen log key, not witnessed", "anybody may have signed it", window(stolen), false, false, head(10, 1, noon, w.log, w1))
	add("witness at its last size", "", window(w1Ends), true, true, head(10, 1, noon, w.log, w1, w2))
	add("witness past its last size", "", window(w1Ends), true, false, head(11, 1, noon, w.log, w1, w2))
	add("stolen witness key", "whoever has it chooses the time: it counts for nothing", window(w1Stolen), true, false, head(5, 1, noon, w.log, w1, w2))
	add("before the requirement", "", pq, true, true, head(9, 1, early, w.log, w1, w2))
	add("from the requirement on", "", pq, true, false, head(9, 1, late, w.log, w1, w2))
	add("from the requirement on, met", "", pq, true, true, head(9, 1, late, w.log, w.logPQ, pq1, pq2))
	add("from the requirement on, all keys", "", pq, true, true, head(9, 1, late, w.log, w.logPQ, w1, w2, pq1, pq2))
	add("from the requirement on, log without", "", pq, true, false, head(9, 1, late, w.log, pq1, pq2))
	add("from the requirement on, one operator without", "", pq, true, false, head(9, 1, late, w.log, w.logPQ, pq1, w2))
	add("ML-DSA without Ed25519", "the log signs with Ed25519 always", pq, false, false, head(9, 1, late, w.logPQ, pq1, pq2))
	add("both keys of one operator", "they count once", pq, true, false, head(9, 1, early, w.log, w1, pq1))
	mixed := must(note.Sign(must(note.Open(head(9, 1, early, w.log, w1), note.VerifierList(w.log.Verifier(), w1.Verifier()))), cosigner{w2, late}))
	add("one of the quorum dated later", "the earlier alone are no quorum", pq, true, false, mixed)
	return v
}

// TestVerifiedLeavesOutWhatWasNotVerified: a line that this reader can't judge spoils the note for one who can.
func TestVerifiedLeavesOutWhatWasNotVerified(t *testing.T) {
	w := newWorld()
	two := w.make(func(c *trust.Config) {
		c.Windows = []trust.Window{{Role: trust.RoleWitness, Key: w.vkey("w2"), Until: 5}}
	})
	good := head(9, 1, noon, w.log, w.w["w1"], w.w["w2"], w.w["w3"])
	stranger := checkpoint.SignatureLine("stranger.example", 7, make([]byte, 72))
	spoilt := append(bytes.Clone(good), stranger...)
	cp, err := two.OpenCheckpoint(append(spoilt, spoil(head(9, 1, noon, w.w["w4"]), w.w["w4"])[len(head(9, 1, noon)):]...))
	if err != nil || !cp.Witnessed || !bytes.Equal(cp.Verified(), good) {
		t.Fatalf("%v, and\n%s", err, cp.Verified())
	}
	if again, err := two.OpenCheckpoint(cp.Verified()); err != nil || !reflect.DeepEqual(again.Cosigned, cp.Cosigned) {
		t.Errorf("read again: %+v, %v", again, err)
	}
	if cp.Verified()[0]++; !bytes.Equal(cp.Verified(), good) {
		t.Error("it can be changed from outside")
	}
}

func cosigned(cp trust.Checkpoint) (out []cosignatureVector) {
	for _, s := range cp.Cosigned {
		out = append(out, cosignatureVector{s.Witness, s.Operator, s.Algorithm.String(), s.Time})
	}
	return out
}

// twice repeats the last signature line.
func twice(b []byte) []byte {
	i := bytes.LastIndexByte(b[:len(b)-1], '\n')
	return append(bytes.Clone(b), b[i+1:]...)
}

// spliced puts the signatures of one note under another.
func spliced(a, b []byte) []byte {
	return append(bytes.Clone(a), b[bytes.LastIndex(b, []byte("\n\n"))+2:]...)
}

func TestCheckpointVectors(t *testing.T) {
	made := checkpointVectors(newWorld())
	for i, v := range vectors(t, "trust-checkpoint.json", "steno/vectors/trust-checkpoint/v1", checkpointAbout, made, false) {
		tr := must(trust.Parse([]byte(v.Trust)))
		cp, err := tr.OpenCheckpoint([]byte(v.Checkpoint))
		if (err == nil) != v.Accept || err == nil && (cp.Witnessed != v.Witnessed || cp.Size != v.Size || !reflect.DeepEqual(cosigned(cp), v.Cosigned)) {
			t.Errorf("%s: %v, witnessed %v (%s), cosigned %+v", v.Name, err, cp.Witnessed, cp.Missing, cosigned(cp))
		}
		if v.Name != made[i].Name || v.Trust != made[i].Trust || v.Accept != made[i].Accept || v.Witnessed != made[i].Witnessed {
			t.Errorf("%s: not what the code makes", v.Name)
		}
		if tr.Quorum([]byte(v.Checkpoint)) != (v.Accept && v.Witnessed) {
			t.Errorf("%s: quorum", v.Name)
		}
		if err == nil && string(cp.Note) != v.Checkpoint {
			t.Errorf("%s: not the bytes that came", v.Name)
		}
	}
}

// TestBackdatedEd25519IsNotSeen holds what docs/spec/trust.md says of it: whoever can forge Ed25519 can forge the date.
func TestBackdatedEd25519IsNotSeen(t *testing.T) {
	w := newWorld()
	c := w.pqConfig()
	forged := head(9, 66, day("2027-12-31"), w.log, w.w["w1"], w.w["w2"]) // in 2040
	if !must(trust.Make(c)).Quorum(forged) {
		t.Error("what the page says can't be seen was seen: say so there")
	}
	c.Require[0].From = day("1970-01-01") // the way out that the page names
	if must(trust.Make(c)).Quorum(forged) {
		t.Error("required always, and not demanded")
	}
}

func TestStolenMLDSAKeyMeetsNoRequirementAlone(t *testing.T) {
	w := newWorld()
	c := w.config()
	c.Operators, c.Require = nil, []trust.Requirement{{Algorithm: "ml-dsa-44", From: day("2028-01-01")}}
	c.Policy = []byte("log " + w.log.Verifier().String() + "\nlog " + w.logPQ.Verifier().String() + "\nquorum none\n")
	b := head(9, 1, day("2030-01-01"), w.log, w.logPQ)
	if !must(trust.Make(c)).Quorum(b) {
		t.Fatal("both signatures, and not enough")
	}
	if must(trust.Make(c)).Quorum(head(9, 1, day("2020-01-01"), w.log)) {
		t.Error("dated by nobody, and taken for old")
	}
	c.Windows = []trust.Window{{Role: trust.RoleLog, Key: w.logPQ.Verifier().String(), Until: 20, Compromised: true}}
	if must(trust.Make(c)).Quorum(b) {
		t.Error("the compromised key counts without witnesses")
	}
}

func TestMissingSaysWhatACosignatureLacks(t *testing.T) {
	w := newWorld()
	tr := w.make(func(c *trust.Config) {
		c.Windows = []trust.Window{{Role: trust.RoleWitness, Key: w.vkey("w1"), Until: 10, Compromised: true}, {Role: trust.RoleWitness, Key: w.vkey("w2"), From: 50, Until: trust.NoEnd}}
	})
	for want, b := range map[string][]byte{
		"no pinned witness has cosigned":                            head(20, 1, noon, w.log),
		"cosigned by w3 alone; the witness key " + w.w["w2"].Name(): head(20, 1, noon, w.log, w.w["w2"], w.w["w3"]),
		"no cosignature counts; ":                                   head(20, 1, noon, w.log, w.w["w2"]),
		"compromised, and counts for nothing":                       head(5, 1, noon, w.log, w.w["w1"]),
	} {
		if cp, err := tr.OpenCheckpoint(b); err != nil || !strings.Contains(cp.Missing, want) {
			t.Errorf("%q, %v; want %q", cp.Missing, err, want)
		}
	}
}

func TestCheckpointIsBounded(t *testing.T) {
	w := newWorld()
	tr := w.make(nil)
	b := head(9, 1, noon, w.log, w.w["w1"], w.w["w2"])
	if _, err := tr.OpenCheckpoint(append(b, bytes.Repeat([]byte("— x AAAAAAAA\n"), checkpoint.MaxNote/14)...)); err == nil {
		t.Error("a note without end")
	}
	// SPEC: signed-note: verifiers MUST accept at least up to 16 signatures.
	for i := range 16 - 3 {
		b = append(b, checkpoint.SignatureLine(fmt.Sprint("stranger", i), 7, make([]byte, 2428))...)
	}
	if !tr.Quorum(b) {
		t.Error("16 signatures, most of them ML-DSA's: not read")
	}
}

func BenchmarkOpenCheckpoint(b *testing.B) {
	w := newWorld()
	for name, tr := range map[string]*trust.Trust{
		"plain": w.make(nil),
		"windows": w.make(func(c *trust.Config) {
			c.Windows = []trust.Window{{Role: trust.RoleWitness, Key: w.vkey("w3"), From: 3, Until: trust.NoEnd}}
		}),
	} {
		n := head(9, 1, time.Unix(1, 0), w.log, w.w["w1"], w.w["w2"])
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !tr.Quorum(n) {
					b.Fatal("no quorum")
				}
			}
		})
	}
}
