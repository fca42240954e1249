package checkpoint_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
)

const text = "log.example/test\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

var at = time.Unix(1_800_000_000, 0)

func generate(t testing.TB, a checkpoint.Algorithm, name string) (*checkpoint.Signer, string) {
	t.Helper()
	skey, vkey, err := checkpoint.GenerateKey(a, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verifier().String() != vkey {
		t.Fatalf("verifier key %s, generated as %s", s.Verifier(), vkey)
	}
	return s, skey
}

func TestParseHasOneSpelling(t *testing.T) {
	for name, s := range map[string]string{"plain": text, "extensions": text + "ext\nmore\n", "empty tree": "o\n0\n" + strings.Split(text, "\n")[2] + "\n",
		"largest": strings.Replace(text, "20852163", "9223372036854775807", 1)} {
		c, err := checkpoint.Parse(s)
		if err != nil || c.Text() != s {
			t.Errorf("%s: %v, %q", name, err, c.Text())
		}
	}
	for name, s := range map[string]string{
		"no final line feed": strings.TrimSuffix(text, "\n"), "two lines": "a\n1\n", "empty extension": text + "\n", "empty origin": "\n" + strings.SplitN(text, "\n", 2)[1],
		"leading zero": strings.Replace(text, "\n2", "\n02", 1), "plus": strings.Replace(text, "\n2", "\n+2", 1), "2^63": strings.Replace(text, "20852163", "9223372036854775808", 1),
		"carriage return": strings.ReplaceAll(text, "\n", "\r\n"), "short root": strings.Replace(text, "CsUY", "", 1), "padding bits": strings.Replace(text, "q2I=", "q2J=", 1),
		"return in an extension": text + "a\rb\n",
	} {
		if _, err := checkpoint.Parse(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What others make verifies here, and what is made here verifies there.
func TestCosignaturesAgreeWithFormats(t *testing.T) {
	for _, a := range []checkpoint.Algorithm{checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44} {
		s, skey := generate(t, a, "witness.example/w1")
		theirs, err := fnote.NewVerifierForCosignatureV1(s.Verifier().String())
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.SignAt([]byte(text), at)
		if err != nil || !theirs.Verify([]byte(text), sig) || theirs.KeyHash() != s.KeyHash() {
			t.Errorf("%s: ours does not verify there: %v", a, err)
		}
		if checkpoint.Time(sig) != uint64(at.Unix()) {
			t.Errorf("%s: time %d", a, checkpoint.Time(sig))
		}
		signer, err := fnote.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		if sig, err = signer.Sign([]byte(text)); err != nil || !s.Verifier().Verify([]byte(text), sig) {
			t.Errorf("%s: theirs does not verify here: %v", a, err)
		}
	}
}

func TestSignatureIsOfOneTextKeyAndTime(t *testing.T) {
	for _, a := range []checkpoint.Algorithm{checkpoint.Ed25519, checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44} {
		s, _ := generate(t, a, "witness.example/w1")
		other, _ := generate(t, a, "witness.example/w1")
		sig, err := s.SignAt([]byte(text), at)
		if err != nil || !s.Verifier().Verify([]byte(text), sig) {
			t.Fatalf("%s: %v", a, err)
		}
		if other.Verifier().Verify([]byte(text), sig) {
			t.Errorf("%s: verifies by another key", a)
		}
		for _, changed := range []string{strings.Replace(text, "20852163", "20852164", 1), strings.Replace(text, "log.", "lag.", 1), strings.Replace(text, "CsU", "CsV", 1), text + "ext\n"} {
			if s.Verifier().Verify([]byte(changed), sig) {
				t.Errorf("%s: verifies over %q", a, changed)
			}
		}
		for i := range sig {
			bad := bytes.Clone(sig)
			bad[i] ^= 1
			if s.Verifier().Verify([]byte(text), bad) {
				t.Errorf("%s: byte %d may change", a, i)
			}
		}
		for _, bad := range [][]byte{nil, sig[:8], sig[:len(sig)-1], append(bytes.Clone(sig), 0)} {
			if s.Verifier().Verify([]byte(text), bad) {
				t.Errorf("%s: %d bytes verify", a, len(bad))
			}
		}
		m, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(m, note.VerifierList(s.Verifier())); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestNoCosignatureWithoutTime(t *testing.T) {
	for _, a := range []checkpoint.Algorithm{checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44} {
		s, _ := generate(t, a, "w")
		if _, err := s.SignAt([]byte(text), time.Unix(0, 0)); err == nil {
			t.Errorf("%s: signs at time zero", a)
		}
	}
	s, _ := generate(t, checkpoint.CosignatureMLDSA44, "w")
	if _, err := s.SignAt([]byte(text+"extension\n"), at); err == nil {
		t.Error("ML-DSA-44 signs a text with extension lines, which it does not cover")
	}
}

func TestKeysHaveOneSpelling(t *testing.T) {
	s, skey := generate(t, checkpoint.CosignatureEd25519, "witness.example/w1")
	v := s.Verifier().String()
	parts := strings.SplitN(v, "+", 3)
	raw, _ := base64.StdEncoding.DecodeString(parts[2])
	weak := base64.StdEncoding.EncodeToString(append([]byte{4, 1}, make([]byte, 31)...))
	for name, bad := range map[string]string{
		"upper-case ID": parts[0] + "+ABCDEF01+" + parts[2], "wrong ID": parts[0] + "+00000000+" + parts[2], "other name": "x" + v, "space": " " + v, "line feed": v + "\n",
		"return in the base64": parts[0] + "+" + parts[1] + "+" + parts[2][:4] + "\r" + parts[2][4:], "no type": parts[0] + "+" + parts[1] + "+",
		"short": parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(raw[:20]), "unknown type": parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{9}, raw[1:]...)),
		"point of small order": "w+d1c2b3a4+" + weak, "no name": "+" + parts[1] + "+" + parts[2], "": "",
	} {
		if _, err := checkpoint.NewVerifier(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, bad := range map[string]string{"a verifier key": v, "other name": strings.Replace(skey, "w1", "w2", 1), "space": skey + " "} {
		if _, err := checkpoint.NewSigner(bad); err == nil {
			t.Errorf("secret key, %s: accepted", name)
		}
	}
}

func TestVerifyConsistency(t *testing.T) {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	roots := [][32]byte{checkpoint.EmptyRoot()}
	const n = 20
	for i := range int64(n) {
		h, err := tlog.StoredHashes(i, []byte{byte(i)}, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h...)
		root, err := tlog.TreeHash(i+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	for from := range uint64(n + 1) {
		for to := from; to <= n; to++ {
			var p [][32]byte
			if from > 0 && from < to {
				tp, err := tlog.ProveTree(int64(to), int64(from), reader)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range tp {
					p = append(p, h)
				}
			}
			if err := checkpoint.VerifyConsistency(from, to, p, roots[from], roots[to]); err != nil {
				t.Errorf("%d to %d: %v", from, to, err)
			}
			if checkpoint.VerifyConsistency(from, to, append(p, [32]byte{}), roots[from], roots[to]) == nil {
				t.Errorf("%d to %d: one hash too many", from, to)
			}
			bad := roots[from]
			bad[0] ^= 1
			if checkpoint.VerifyConsistency(from, to, p, bad, roots[to]) == nil {
				t.Errorf("%d to %d: from another root", from, to)
			}
			power := from&(from-1) == 0
			if prefix, ok := checkpoint.PrefixRoot(from, to, p, roots[to]); from < to && (ok == power || ok && prefix != roots[from]) {
				t.Errorf("%d to %d: prefix %x, %v", from, to, prefix, ok)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Add(text + "ext\n")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := checkpoint.Parse(s); err == nil && c.Text() != s {
			t.Errorf("%q is written as %q", s, c.Text())
		}
	})
}
