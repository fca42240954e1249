package timestamp_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/internal/tokens"
	"github.com/stenolog/steno/timestamp/timestamptest"
)

// A use is a token, and what it uses.
type use struct {
	name, names string
	token       []byte
	authority   timestamp.Authority
}

func signedBy(a x509.SignatureAlgorithm) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = a }
}

// below is a signer of a key under a CA, whose certificate the token holds.
func below(t testing.TB, ca *timestamptest.CA, key crypto.Signer, hash crypto.Hash, signature x509.SignatureAlgorithm) *timestamptest.Maker {
	t.Helper()
	return &timestamptest.Maker{T: t, CA: ca, Key: key, Cert: ca.Issue(timestamptest.Template(signedBy(signature)), key.Public()), Hash: hash, V2: true}
}

// uses are tokens of which each uses something in one place alone.
func uses(t testing.TB) (list []use) {
	t.Helper()
	add := func(name, names string, m *timestamptest.Maker, token []byte, anchor *timestamptest.CA) {
		u := use{name, names, token, m.Authority()}
		if u.authority.Anchors = [][]byte{anchor.Cert.Raw}; token == nil {
			u.token = m.DER()
		}
		list = append(list, u)
	}
	p256, p384, p521 := timestamptest.ECDSAKey(t, elliptic.P256()), timestamptest.ECDSAKey(t, elliptic.P384()), timestamptest.ECDSAKey(t, elliptic.P521())
	rsa2048, rsa3072, rsa4096 := timestamptest.RSAKey(t, 2048), timestamptest.RSAKey(t, 3072), timestamptest.RSAKey(t, 4096)
	root := timestamptest.NewCAWith(t, p256)

	add("P-256 and SHA-256 everywhere", "ecdsa-p256 sha-256", below(t, root, p256, crypto.SHA256, x509.ECDSAWithSHA256), nil, root)
	m := below(t, root, p384, crypto.SHA256, x509.ECDSAWithSHA256)
	add("the signer's key", "ecdsa-p256 ecdsa-p384 sha-256", m, nil, root)
	add("the signer's digest", "ecdsa-p256 sha-256 sha-384", below(t, root, p256, crypto.SHA384, x509.ECDSAWithSHA256), nil, root)
	add("the signer's certificate's digest", "ecdsa-p256 sha-256 sha-512", below(t, root, p256, crypto.SHA256, x509.ECDSAWithSHA512), nil, root)
	add("the hash of the certificate", "ecdsa-p256 ecdsa-p384 sha-256 sha-384", m, m.WithCertIDs(tokens.CertIDV2(m.Cert, crypto.SHA384)), root)
	add("the hash of a certificate above", "ecdsa-p256 ecdsa-p384 sha-256 sha-512", m,
		m.WithCertIDs(tokens.CertIDV2(m.Cert, crypto.SHA256), tokens.CertIDV2(root.Cert, crypto.SHA512)), root)
	v1 := below(t, root, p521, crypto.SHA512, x509.ECDSAWithSHA512)
	v1.V1, v1.V2 = true, false
	add("the imprint's SHA-256, a certificate bound by SHA-1", "ecdsa-p256 ecdsa-p521 sha-256 sha-512", v1, nil, root)
	other := timestamptest.NewCAWith(t, p521)
	add("the pinned key", "ecdsa-p256 ecdsa-p521 sha-256", below(t, other, p256, crypto.SHA256, x509.ECDSAWithSHA256), nil, other)

	add("RSA of 2048 bits", "ecdsa-p256 rsa-2048 rsa-pkcs1 sha-256", below(t, root, rsa2048, crypto.SHA256, x509.ECDSAWithSHA256), nil, root)
	add("RSA of 3072 bits", "ecdsa-p256 rsa-3072 rsa-pkcs1 sha-256", below(t, root, rsa3072, crypto.SHA256, x509.ECDSAWithSHA256), nil, root)
	pss := below(t, root, rsa4096, crypto.SHA256, x509.ECDSAWithSHA256)
	pss.PSS = true
	add("RSA-PSS of 4096 bits", "ecdsa-p256 rsa-4096 rsa-pss sha-256", pss, nil, root)
	add("RSA by who issued the signer's", "ecdsa-p256 rsa-3072 rsa-pkcs1 sha-256 sha-512",
		below(t, root.SubWith(rsa3072, signedBy(x509.ECDSAWithSHA256)), p256, crypto.SHA256, x509.SHA512WithRSA), nil, root)
	add("RSA-PSS by who issued the signer's", "ecdsa-p256 rsa-2048 rsa-pss sha-256 sha-384",
		below(t, root.SubWith(rsa2048, signedBy(x509.ECDSAWithSHA256)), p256, crypto.SHA256, x509.SHA384WithRSAPSS), nil, root)

	self := timestamptest.NewCAWith(t, rsa4096, signedBy(x509.SHA512WithRSAPSS))
	add("not how the pinned root signed itself", "ecdsa-p256 rsa-4096 rsa-pkcs1 sha-256", below(t, self, p256, crypto.SHA256, x509.SHA256WithRSA), nil, self)
	sub := self.SubWith(p384, signedBy(x509.SHA512WithRSAPSS))
	m = below(t, sub, p256, crypto.SHA256, x509.ECDSAWithSHA384)
	add("nor who issued the pinned one", "ecdsa-p256 ecdsa-p384 sha-256 sha-384", m, nil, sub)
	add("but who did where the root is pinned", "ecdsa-p256 ecdsa-p384 rsa-4096 rsa-pss sha-256 sha-384 sha-512", m, nil, self)
	return list
}

func TestAlgorithmsOfATokenEndIt(t *testing.T) {
	refused := func(u use, ends ...timestamp.AlgorithmEnd) (timestamp.Token, timestamp.Reason) {
		u.authority.Algorithms = ends
		got, err := timestamp.Verify(u.token, timestamptest.Digest(), u.authority)
		var e *timestamp.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		if err == nil {
			return got, ""
		}
		return got, e.Reason
	}
	last := timestamptest.At().Add(time.Second) // what the token's accuracy allows
	seen := map[string]bool{}
	for _, u := range uses(t) {
		used := strings.Fields(u.names)
		got, reason := refused(u)
		if reason != "" || !slices.Equal(got.Algorithms, used) || len(got.Ends) != 0 {
			t.Errorf("%s: it uses %q, and %v end: %s", u.name, got.Algorithms, got.Ends, reason)
			continue
		}
		for _, name := range timestamp.AlgorithmNames() {
			end := timestamp.AlgorithmEnd{Name: name, End: last}
			if !slices.Contains(used, name) {
				end.End = time.Unix(0, 0)
				if got, reason := refused(u, end); reason != "" || len(got.Ends) != 0 {
					t.Errorf("%s without %s: %s", u.name, name, reason)
				}
				continue
			}
			seen[name] = true
			if got, reason := refused(u, end); reason != timestamp.ReasonAlgorithm || got.Algorithms != nil {
				t.Errorf("%s at the end of %s: %+v, %s", u.name, name, got, reason)
			}
			// A broken one is for the caller to see: whether others prove when the token was.
			end.End, end.Broken = last.Add(time.Nanosecond), true
			if got, reason := refused(u, timestamp.AlgorithmEnd{Name: "none", End: last}, end); reason != "" || !slices.Equal(got.Ends, []timestamp.AlgorithmEnd{end}) {
				t.Errorf("%s before the end of %s: %+v, %s", u.name, name, got.Ends, reason)
			}
		}
	}
	if len(seen) != len(timestamp.AlgorithmNames()) {
		t.Errorf("only %v are used by something", seen)
	}
}

// TestAlgorithmsOfTheBestChain: a token of which two chains lead to anchors counts by the one that lasts longer.
func TestAlgorithmsOfTheBestChain(t *testing.T) {
	p521 := timestamptest.ECDSAKey(t, elliptic.P521())
	a := timestamptest.NewCAWith(t, timestamptest.ECDSAKey(t, elliptic.P256()))
	b := timestamptest.NewCAWith(t, timestamptest.ECDSAKey(t, elliptic.P384()))
	subA, subB := a.SubWith(p521, signedBy(x509.ECDSAWithSHA256)), b.SubWith(p521, signedBy(x509.ECDSAWithSHA256))
	m := below(t, subA, p521, crypto.SHA256, x509.ECDSAWithSHA256)
	pinned := m.Authority()
	pinned.Anchors = [][]byte{a.Cert.Raw, b.Cert.Raw}
	token := m.DER(func(t *tokens.Token) { t.Certificates = append(t.Certificates, subB.Cert.Raw) })
	at := timestamptest.At()
	end := func(name string, days int, broken bool) timestamp.AlgorithmEnd {
		return timestamp.AlgorithmEnd{Name: name, End: at.AddDate(0, 0, days), Broken: broken}
	}
	both := end("ecdsa-p521", 3, false)
	for name, c := range map[string]struct {
		root *timestamptest.CA // nil: refused
		ends []timestamp.AlgorithmEnd
	}{
		"one has ended":        {b, []timestamp.AlgorithmEnd{end("ecdsa-p256", -1, false)}},
		"the other has":        {a, []timestamp.AlgorithmEnd{end("ecdsa-p384", -1, false)}},
		"both have":            {nil, []timestamp.AlgorithmEnd{end("ecdsa-p256", -1, false), end("ecdsa-p384", -1, false)}},
		"one ends":             {b, []timestamp.AlgorithmEnd{end("ecdsa-p256", 9, false)}},
		"one ends later":       {a, []timestamp.AlgorithmEnd{end("ecdsa-p256", 9, false), end("ecdsa-p384", 8, false)}},
		"though it is broken":  {a, []timestamp.AlgorithmEnd{end("ecdsa-p256", 9, true), end("ecdsa-p384", 8, false)}},
		"both end, one broken": {b, []timestamp.AlgorithmEnd{end("ecdsa-p256", 9, true), end("ecdsa-p384", 9, false)}},
		"the other broken":     {a, []timestamp.AlgorithmEnd{end("ecdsa-p256", 9, false), end("ecdsa-p384", 9, true)}},
		"first another":        {b, []timestamp.AlgorithmEnd{end("ecdsa-p256", 9, true), end("ecdsa-p384", 9, false), both}},
	} {
		pinned.Algorithms = c.ends
		got, err := timestamp.Verify(token, timestamptest.Digest(), pinned)
		switch {
		case c.root == nil:
			if err == nil {
				t.Errorf("%s: %+v", name, got)
			}
		case err != nil || len(got.Chain) != 3 || !slices.Equal(got.Chain[2], c.root.Cert.Raw):
			t.Errorf("%s: another chain, or none: %v", name, err)
		}
	}
}

func TestExpires(t *testing.T) {
	at := timestamptest.At()
	root := timestamptest.NewCAWith(t, timestamptest.ECDSAKey(t, elliptic.P256()), func(c *x509.Certificate) { c.NotAfter = at.AddDate(0, 3, 0) })
	for _, months := range []int{2, 4} {
		sub := root.SubWith(timestamptest.ECDSAKey(t, elliptic.P256()), func(c *x509.Certificate) { c.NotAfter = at.AddDate(0, months, 0) })
		m := below(t, sub, timestamptest.ECDSAKey(t, elliptic.P256()), crypto.SHA256, x509.ECDSAWithSHA256)
		a := m.Authority()
		for anchor, want := range map[*timestamptest.CA]int{sub: months, root: min(months, 3)} {
			a.Anchors = [][]byte{anchor.Cert.Raw}
			got, err := timestamp.Verify(m.DER(), timestamptest.Digest(), a)
			if err != nil || !got.Expires.Equal(at.AddDate(0, want, 0)) {
				t.Errorf("%d months: it expires on %s, want %d months: %v", months, got.Expires, want, err)
			}
		}
	}
}
