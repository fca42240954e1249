package browser_test

import (
	"crypto"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/timestamptest"
)

// A tangle is certificates of few names and few keys, that have issued one another in more ways than one.
type tangle struct {
	*testing.T
	r       *rand.Rand
	keys    []crypto.Signer
	issuers []issuer
	signer  issuer
}

func (g *tangle) pick(n int) bool { return g.r.IntN(n) == 0 }

func newTangle(t *testing.T, r *rand.Rand, keys []crypto.Signer) *tangle {
	g := &tangle{T: t, r: r, keys: keys}
	g.issuers = []issuer{certificate(t, g.template(0, true), keys[0], nil)}
	for range 2 + r.IntN(5) {
		k := r.IntN(len(keys))
		by := &g.issuers[r.IntN(len(g.issuers))]
		if g.pick(6) {
			by = nil
		}
		g.issuers = append(g.issuers, certificate(t, g.template(k, true), keys[k], by))
	}
	g.signer = certificate(t, g.template(9, false), g.keys[1], &g.issuers[r.IntN(len(g.issuers))])
	return g
}

// template is the certificate of one of the names, which go with keys but for now and then.
func (g *tangle) template(name int, ca bool) *x509.Certificate {
	at := timestamptest.At()
	if g.pick(12) && ca {
		name = g.r.IntN(len(g.keys))
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1 + int64(g.r.IntN(1<<30))), Subject: pkix.Name{CommonName: fmt.Sprint("name ", name)},
		NotBefore: at.AddDate(-1, 0, 0), NotAfter: at.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: ca, MaxPathLen: -1,
	}
	if !ca {
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: sequence(0x30, oid(g, 1, 3, 6, 1, 5, 5, 7, 3, 8))}}
		return c
	}
	c.KeyUsage = x509.KeyUsageCertSign
	switch g.r.IntN(24) {
	case 0:
		c.NotAfter = at.Add(-time.Second)
	case 1:
		c.MaxPathLen, c.MaxPathLenZero = 0, true
	case 2:
		c.MaxPathLen = 1
	case 3:
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageServerAuth}
	case 4:
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case 5:
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	case 6:
		c.IsCA, c.KeyUsage = false, x509.KeyUsageCertSign
	case 7:
		c.KeyUsage = x509.KeyUsageCRLSign
	case 8:
		c.BasicConstraintsValid = false
	case 9:
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true}}
	case 10:
		c.DNSNames = []string{fmt.Sprint("n", g.r.IntN(2), ".example")}
	case 11, 12, 13:
		c.SubjectKeyId = []byte{byte(g.r.IntN(2))}
	}
	if !g.pick(4) {
		c.SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	}
	return c
}

// stamp is a token with some of the certificates, to be judged by some of them.
func (g *tangle) stamp(i int) stamp {
	at := timestamptest.At()
	a := timestamp.Authority{Name: "example", From: at.AddDate(-2, 0, 0), Until: at.AddDate(9, 0, 0), Accuracy: time.Minute}
	certificates := [][]byte{g.signer.cert}
	for _, c := range g.issuers {
		switch g.r.IntN(7) {
		case 0:
			a.Anchors = append(a.Anchors, c.cert)
			certificates = append(certificates, c.cert)
		case 1, 2:
			a.Anchors = append(a.Anchors, c.cert)
		case 3, 4:
			certificates = append(certificates, c.cert)
		}
	}
	g.r.Shuffle(len(certificates), func(i, j int) { certificates[i], certificates[j] = certificates[j], certificates[i] })
	for _, name := range timestamp.AlgorithmNames() {
		if g.pick(2) {
			a.Algorithms = append(a.Algorithms, timestamp.AlgorithmEnd{Name: name, End: at.AddDate(g.r.IntN(3), 0, 0), Broken: g.pick(2)})
		}
	}
	return stampOf(fmt.Sprint("tangle ", i), tokenOf(g, g.signer, certificates, func(string, *node) {}), a)
}

// TestPINNED_tangledChainsAreTheSameToBoth has more ways than one from a signer to what is pinned, of which some lead nowhere.
func TestPINNED_tangledChainsAreTheSameToBoth(t *testing.T) {
	r := rand.New(rand.NewPCG(305, 5280))
	keys := []crypto.Signer{key(t, elliptic.P256()), key(t, elliptic.P256()), key(t, elliptic.P384()), key(t, elliptic.P521())}
	for _, bits := range []int{2048, 3072, 4096} {
		k, err := rsa.GenerateKey(crand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	var stamps []stamp
	for range 50 {
		g := newTangle(t, r, keys)
		for range 15 {
			stamps = append(stamps, g.stamp(len(stamps)))
		}
	}
	seen := sameJudgements(t, stamps)
	t.Log(seen)
	for _, reason := range []string{"", "chain", "extra-certificate", "algorithm"} {
		if seen[reason] < 20 {
			t.Errorf("only %d are refused for %q", seen[reason], reason)
		}
	}
	if seen[notChecked] > 0 {
		t.Errorf("%d are not checked", seen[notChecked])
	}
	if !slices.ContainsFunc(stamps, func(s stamp) bool { return len(goJudgement(s).Keys) > 2 }) {
		t.Error("no chain is long")
	}
}

// TestPINNED_ofTwoChainsOneThatUsesNothingBroken counts, whose algorithms end on one day.
func TestPINNED_ofTwoChainsOneThatUsesNothingBroken(t *testing.T) {
	g := &tangle{T: t, r: rand.New(rand.NewPCG(1, 1)), keys: []crypto.Signer{key(t, elliptic.P256())}}
	ca := func(name string, k crypto.Signer, by *issuer) issuer {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: timestamptest.At().AddDate(-1, 0, 0), NotAfter: timestamptest.At().AddDate(1, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		}
		return certificate(t, c, k, by)
	}
	one, two := ca("one", key(t, elliptic.P384()), nil), ca("two", key(t, elliptic.P521()), nil)
	k := key(t, elliptic.P256())
	byOne, byTwo := ca("between", k, &one), ca("between", k, &two)
	signer := certificate(t, g.template(9, false), g.keys[0], &byOne)
	token := tokenOf(t, signer, [][]byte{signer.cert, byOne.cert, byTwo.cert}, func(string, *node) {})
	end := timestamptest.At().AddDate(1, 0, 0)
	for _, broken := range []bool{true, false} {
		a := timestamp.Authority{
			Name: "example", Anchors: [][]byte{one.cert, two.cert}, From: end.AddDate(-2, 0, 0), Until: end, Accuracy: time.Minute,
			Algorithms: []timestamp.AlgorithmEnd{{Name: "ecdsa-p384", End: end, Broken: broken}, {Name: "ecdsa-p521", End: end, Broken: !broken}},
		}
		s := stampOf("two chains", token, a)
		if ends := goJudgement(s).Ends; len(ends) != 1 || ends[0] != map[bool]string{true: "ecdsa-p521", false: "ecdsa-p384"}[broken] {
			t.Errorf("Go says %v", ends)
		}
		sameJudgements(t, []stamp{s})
	}
}
