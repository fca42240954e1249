package timestamp_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/internal/tokens"
	"github.com/stenolog/steno/timestamp/timestamptest"
)

func TestBadTokensAreRefusedForTheirOwnReason(t *testing.T) {
	for _, b := range timestamptest.All(t) {
		t.Run(b.Name, func(t *testing.T) {
			_, err := timestamp.Verify(b.Token, timestamptest.Digest(), b.Authority)
			var refused *timestamp.Error
			if !errors.As(err, &refused) || refused.Reason != b.Reason {
				t.Errorf("the verdict is %v, want %s", err, b.Reason)
			}
		})
	}
}

// goodMakers are one of every accepted kind.
func goodMakers(t testing.TB) map[string]*timestamptest.Maker {
	t.Helper()
	makers := map[string]*timestamptest.Maker{}
	add := func(name string, key crypto.Signer, hash crypto.Hash, edit func(*timestamptest.Maker)) {
		m := timestamptest.NewMaker(t)
		m.Key, m.Cert, m.Hash = key, m.CA.Issue(timestamptest.Template(), key.Public()), hash
		edit(m)
		makers[name] = m
	}
	rsa := timestamptest.RSAKey(t, 2048)
	nothing := func(*timestamptest.Maker) {}
	pss := func(m *timestamptest.Maker) { m.PSS = true }
	add("ECDSA P-256", timestamptest.ECDSAKey(t, elliptic.P256()), crypto.SHA256, nothing)
	add("ECDSA P-384", timestamptest.ECDSAKey(t, elliptic.P384()), crypto.SHA384, nothing)
	add("ECDSA P-521", timestamptest.ECDSAKey(t, elliptic.P521()), crypto.SHA512, nothing)
	add("RSA PKCS 1 SHA-256", rsa, crypto.SHA256, nothing)
	add("RSA PKCS 1 SHA-512", rsa, crypto.SHA512, nothing)
	add("RSA-PSS SHA-256", rsa, crypto.SHA256, pss)
	add("RSA-PSS SHA-384", rsa, crypto.SHA384, pss)
	add("RSA-PSS SHA-512", rsa, crypto.SHA512, pss)
	add("ESSCertID v1", timestamptest.ECDSAKey(t, elliptic.P256()), crypto.SHA256, func(m *timestamptest.Maker) { m.V1, m.V2 = true, false })
	add("ESSCertID v1 and v2", timestamptest.ECDSAKey(t, elliptic.P256()), crypto.SHA256, func(m *timestamptest.Maker) { m.V1 = true })
	return makers
}

func TestGoodTokens(t *testing.T) {
	for name, m := range goodMakers(t) {
		t.Run(name, func(t *testing.T) {
			token := m.DER()
			got, err := timestamp.Verify(token, timestamptest.Digest(), m.Authority())
			if err != nil {
				t.Fatal(err)
			}
			if !got.Time.Equal(timestamptest.At()) || got.Accuracy != time.Second || got.Policy != timestamptest.Policy || got.Serial != "4d" ||
				got.SHA256 != sha256.Sum256(token) || got.Digest != timestamptest.Digest() || !bytes.Equal(got.Signer, m.Cert.Raw) ||
				len(got.Chain) != 2 || !bytes.Equal(got.Chain[1], m.CA.Cert.Raw) {
				t.Errorf("it says %+v", got)
			}
			if !got.NotAfter().Equal(got.Time.Add(time.Second)) || !got.NotBefore().Equal(got.Time.Add(-time.Second)) {
				t.Errorf("it bounds [%s, %s]", got.NotBefore(), got.NotAfter())
			}
		})
	}
}

func TestOptionalFields(t *testing.T) {
	m := timestamptest.NewMaker(t)
	token := m.WithInfo(func(i *tokens.Info) {
		i.TSA, i.Nonce, i.Accuracy, i.GenTime = nil, nil, nil, "20261124120000.000000001Z"
	})
	got, err := timestamp.Verify(token, timestamptest.Digest(), m.Authority())
	if err != nil {
		t.Fatal(err)
	}
	if got.Accuracy != m.Authority().Accuracy || !got.Time.Equal(timestamptest.At().Add(time.Nanosecond)) {
		t.Errorf("without an accuracy it says %s ± %s", got.Time, got.Accuracy)
	}
	// An authority whose word is still good before it was compromised.
	a := m.Authority()
	a.Compromised = timestamptest.At().Add(2 * time.Nanosecond)
	if _, err := timestamp.Verify(token, timestamptest.Digest(), a); err != nil {
		t.Errorf("before the compromise: %v", err)
	}
	// What the authority may be inexact by, it is.
	a.Algorithms = []timestamp.AlgorithmEnd{{Name: "sha-256", End: timestamptest.At().Add(30 * time.Second)}}
	var refused *timestamp.Error
	if _, err := timestamp.Verify(token, timestamptest.Digest(), a); !errors.As(err, &refused) || refused.Reason != timestamp.ReasonAlgorithm {
		t.Errorf("half a minute before an algorithm ends: %v", err)
	}
}

// chained is a token that holds everything up to the root that is pinned.
func chained(t testing.TB) ([]byte, timestamp.Authority) {
	t.Helper()
	m := timestamptest.NewMaker(t)
	root, a := m.CA.Parent.Cert.Raw, m.Authority()
	a.Anchors = [][]byte{root}
	return m.DER(func(t *tokens.Token) { t.Certificates = append(t.Certificates, root) }), a
}

func TestChainOfThree(t *testing.T) {
	token, a := chained(t)
	if got, err := timestamp.Verify(token, timestamptest.Digest(), a); err != nil || len(got.Chain) != 3 {
		t.Fatalf("it says %+v, %v", got, err)
	}
	a.Anchors = append(a.Anchors, timestamptest.NewCA(t).Cert.Raw)
	if _, err := timestamp.Verify(token, timestamptest.Digest(), a); err != nil {
		t.Errorf("with an anchor more: %v", err)
	}
}

// TestWhatIsLeft: what can be written otherwise says the same.
func TestWhatIsLeft(t *testing.T) {
	m := timestamptest.NewMaker(t)
	root, a := m.CA.Parent.Cert.Raw, m.Authority()
	a.Anchors = [][]byte{root}
	for name, edit := range map[string]func(t *tokens.Token){
		"as it is":      func(*tokens.Token) {},
		"another order": func(t *tokens.Token) { slices.Reverse(t.Certificates) },
		"the anchor":    func(t *tokens.Token) { t.Certificates = append(t.Certificates, root) },
		"no NULL": func(t *tokens.Token) {
			t.Digests = tokens.Sequence(tokens.OID(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}))
		},
	} {
		got, err := timestamp.Verify(m.DER(edit), timestamptest.Digest(), a)
		if err != nil || !got.Time.Equal(timestamptest.At()) || len(got.Chain) != 3 || !bytes.Equal(got.Signer, m.Cert.Raw) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestEveryBitOfATokenCounts flips each of two tokens, and a sample of the others'. Under integration are those of other people.
func TestEveryBitOfATokenCounts(t *testing.T) {
	whole := map[string]bool{"RSA-PSS SHA-256": true}
	for name, m := range goodMakers(t) {
		step := 23
		if whole[name] && !testing.Short() {
			step = 1
		}
		t.Run(name, func(t *testing.T) { flips(t, m.DER(), m.Authority(), step) })
	}
	token, a := chained(t)
	t.Run("chain of three", func(t *testing.T) { flips(t, token, a, 1) })
}

func flips(t *testing.T, token []byte, a timestamp.Authority, step int) {
	for i := 0; i < 8*len(token); i += step {
		flipped := bytes.Clone(token)
		flipped[i/8] ^= 1 << (i % 8)
		if got, err := timestamp.Verify(flipped, timestamptest.Digest(), a); err == nil {
			t.Errorf("bit %d of byte %d (%x) may be flipped: %+v", i%8, i/8, token[i/8], got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	m := timestamptest.NewMaker(f)
	good, a := m.DER(), m.Authority()
	f.Add(good)
	for _, b := range timestamptest.All(f) {
		if len(b.Token) < 1<<12 {
			f.Add(b.Token)
		}
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		if _, err := timestamp.Verify(token, timestamptest.Digest(), a); err == nil && !bytes.Equal(token, good) {
			t.Errorf("%x passes", token)
		}
	})
}
