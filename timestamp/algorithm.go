package timestamp

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"math"
	"slices"
	"time"
)

// An AlgorithmEnd says from when on an algorithm proves nothing more.
type AlgorithmEnd struct {
	Name string    // one of AlgorithmNames
	End  time.Time // tokens that use it count only where they are proven to be of before
	// Broken says that forgeries are to be expected: not even the newest token's own time counts any more. Verify does not see
	// whether a token is the newest.
	Broken bool
}

// AlgorithmNames are those of the algorithms that can be ended, in ascending order. SHA-1 is none of them: what it is good for in a
// token is said in docs/spec/timestamp.md.
func AlgorithmNames() []string {
	return []string{
		"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096", "rsa-pkcs1", "rsa-pss", "sha-256", "sha-384", "sha-512",
	}
}

// algorithms are those that a token uses on its way along a chain, in ascending order, each once.
func (p *parsed) algorithms(chain []*x509.Certificate) []string {
	names := append(hashNames(p.info.hash), signatureNames(p.signer.signatureAlgorithm())...) // whose hash is that of all the digests
	if lists, err := p.signer.certIDs(); err == nil {                                         // it was read before
		for _, id := range slices.Concat(lists...) {
			names = append(names, hashNames(id.algorithm)...)
		}
	}
	for i, c := range chain {
		names = append(names, keyName(c))
		if i < len(chain)-1 { // nobody looks at how the pinned one was signed
			names = append(names, signatureNames(c.SignatureAlgorithm)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hashNames leaves out what has no name: the SHA-1 of an ESSCertID.
func hashNames(algorithms ...algorithm) (names []string) {
	for _, a := range algorithms {
		if n := map[string]string{oidSHA256: "sha-256", oidSHA384: "sha-384", oidSHA512: "sha-512"}[a.oid]; n != "" {
			names = append(names, n)
		}
	}
	return names
}

// signatureNames are the hash of a signature and, where a key can sign in several ways, the way.
func signatureNames(a x509.SignatureAlgorithm) []string {
	return map[x509.SignatureAlgorithm][]string{
		x509.SHA256WithRSA: {"sha-256", "rsa-pkcs1"}, x509.SHA256WithRSAPSS: {"sha-256", "rsa-pss"}, x509.ECDSAWithSHA256: {"sha-256"},
		x509.SHA384WithRSA: {"sha-384", "rsa-pkcs1"}, x509.SHA384WithRSAPSS: {"sha-384", "rsa-pss"}, x509.ECDSAWithSHA384: {"sha-384"},
		x509.SHA512WithRSA: {"sha-512", "rsa-pkcs1"}, x509.SHA512WithRSAPSS: {"sha-512", "rsa-pss"}, x509.ECDSAWithSHA512: {"sha-512"},
	}[a]
}

// keyName is that of a key which checkKey lets pass.
func keyName(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); {
		case bits < 3072:
			return "rsa-2048"
		case bits < 4096:
			return "rsa-3072"
		}
		return "rsa-4096"
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return "ecdsa-p256"
		case 384:
			return "ecdsa-p384"
		}
	}
	return "ecdsa-p521"
}

// ends are those of the authority's list that are of algorithms in use.
func (a Authority) ends(used []string) (ends []AlgorithmEnd) {
	for _, e := range a.Algorithms {
		if slices.Contains(used, e.Name) {
			ends = append(ends, e)
		}
	}
	return ends
}

// compareEnds is negative if x is the better: its first end is later, or as late and nothing in it is broken.
func compareEnds(x, y []AlgorithmEnd) int {
	first := func(ends []AlgorithmEnd) int64 {
		t := int64(math.MaxInt64)
		for _, e := range ends {
			t = min(t, e.End.Unix())
		}
		return t
	}
	broken := func(ends []AlgorithmEnd) int {
		if slices.ContainsFunc(ends, func(e AlgorithmEnd) bool { return e.Broken }) {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(first(y), first(x)), broken(x)-broken(y))
}
