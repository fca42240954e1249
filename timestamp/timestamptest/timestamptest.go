// Package timestamptest makes time-stamp tokens for tests: good ones of every accepted kind, and ones that are wrong in one place each.
package timestamptest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/internal/tokens"
)

// Policy is what the tokens are made under.
const Policy = "1.3.6.1.4.1.32473.7" // of the arc for examples, RFC 5612

func policy() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 7} }

// At is the time that the tokens state, unless they are wrong in that.
func At() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

// Digest is what the tokens are over, unless they are wrong in that.
func Digest() [sha256.Size]byte { return sha256.Sum256([]byte("a note")) }

// A CA issues certificates of signers.
type CA struct {
	t      testing.TB
	key    crypto.Signer
	Cert   *x509.Certificate
	Parent *CA // nil of a root
}

// NewCA is a root, good for twenty years around At.
func NewCA(t testing.TB) *CA {
	t.Helper()
	return NewCAWith(t, ECDSAKey(t, elliptic.P256()))
}

// NewCAWith is a root of a key.
func NewCAWith(t testing.TB, key crypto.Signer, edits ...func(*x509.Certificate)) *CA {
	t.Helper()
	return &CA{t: t, key: key, Cert: sign(t, edited(caTemplate("root"), edits), nil, key.Public(), key)}
}

// Sub is a CA below this one.
func (ca *CA) Sub() *CA {
	ca.t.Helper()
	return ca.SubWith(ECDSAKey(ca.t, elliptic.P256()))
}

// SubWith is a CA of a key below this one.
func (ca *CA) SubWith(key crypto.Signer, edits ...func(*x509.Certificate)) *CA {
	ca.t.Helper()
	return &CA{t: ca.t, key: key, Parent: ca, Cert: sign(ca.t, edited(caTemplate("intermediate"), edits), ca.Cert, key.Public(), ca.key)}
}

func edited(c *x509.Certificate, edits []func(*x509.Certificate)) *x509.Certificate {
	for _, edit := range edits {
		edit(c)
	}
	return c
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: At().AddDate(-10, 0, 0), NotAfter: At().AddDate(10, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// Template is the certificate that a signer should have. The edits make it another.
func Template(edits ...func(*x509.Certificate)) *x509.Certificate {
	return edited(&x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "time"}, NotBefore: At().AddDate(-1, 0, 0), NotAfter: At().AddDate(1, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{ekus(true, timeStamping())},
	}, edits)
}

func timeStamping() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8} }
func codeSigning() asn1.ObjectIdentifier  { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3} }

func ekus(critical bool, oids ...asn1.ObjectIdentifier) pkix.Extension {
	b, err := asn1.Marshal(oids)
	if err != nil {
		panic(err) // they have an encoding
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: b}
}

// Issue makes a certificate.
func (ca *CA) Issue(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	ca.t.Helper()
	return sign(ca.t, template, ca.Cert, public, ca.key)
}

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	if template.SerialNumber == nil {
		var err error
		if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ECDSAKey makes a key.
func ECDSAKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// RSAKey makes a key.
func RSAKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	if bits < 1024 {
		t.Fatalf("Go makes no RSA keys of %d bits", bits)
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A Maker makes the tokens of one signer.
type Maker struct {
	T      testing.TB
	CA     *CA
	Key    crypto.Signer
	Cert   *x509.Certificate
	Hash   crypto.Hash
	PSS    bool
	V1, V2 bool // which attributes bind the certificate
}

// NewMaker is a signer with an ECDSA key, below an intermediate CA.
func NewMaker(t testing.TB, edits ...func(*x509.Certificate)) *Maker {
	t.Helper()
	ca, key := NewCA(t).Sub(), ECDSAKey(t, elliptic.P256())
	return &Maker{T: t, CA: ca, Key: key, Cert: ca.Issue(Template(edits...), key.Public()), Hash: crypto.SHA256, V2: true}
}

// Authority pins what a maker's tokens end at: by default the intermediate CA.
func (m *Maker) Authority() timestamp.Authority {
	return timestamp.Authority{
		Name: "example", Anchors: [][]byte{m.CA.Cert.Raw}, From: At().AddDate(-2, 0, 0), Until: At().AddDate(2, 0, 0),
		Policies: []string{Policy}, Accuracy: time.Minute,
	}
}

// Info is the TSTInfo of a maker's tokens.
func (m *Maker) Info() tokens.Info {
	d := Digest()
	return tokens.Info{
		Version: 1, Policy: policy(), Hash: crypto.SHA256, Imprint: d[:], Serial: big.NewInt(77), GenTime: At().Format(tokens.GenTimeLayout),
		Accuracy: tokens.Accuracy(time.Second), Nonce: big.NewInt(42), TSA: tokens.Element(tokens.Tag(4), m.Cert.RawSubject),
	}
}

// Token is what a maker makes of content that may be wrong, not yet encoded.
func (m *Maker) Token(content []byte) tokens.Token {
	m.T.Helper()
	s, err := tokens.NewSigner(m.Key, m.Cert, m.Hash, m.PSS, content, m.V1, m.V2)
	if err != nil {
		m.T.Fatal(err)
	}
	return tokens.New(content, [][]byte{m.Cert.Raw, m.CA.Cert.Raw}, s)
}

// DER is a good token, unless edits make it a bad one.
func (m *Maker) DER(edits ...func(*tokens.Token)) []byte {
	m.T.Helper()
	t := m.Token(m.Info().DER())
	for _, edit := range edits {
		edit(&t)
	}
	return m.encode(t)
}

// WithInfo is a token of another TSTInfo.
func (m *Maker) WithInfo(edit func(*tokens.Info)) []byte {
	m.T.Helper()
	i := m.Info()
	edit(&i)
	return m.encode(m.Token(i.DER()))
}

// WithSigner is a token of another SignerInfo.
func (m *Maker) WithSigner(edit func(*tokens.Signer)) []byte {
	m.T.Helper()
	return m.DER(func(t *tokens.Token) { edit(&t.Signers[0]) })
}

// WithCertIDs is a token of which a signingCertificateV2 with these ESSCertIDv2 binds the certificate.
func (m *Maker) WithCertIDs(ids ...[]byte) []byte {
	m.T.Helper()
	return m.WithSigner(func(s *tokens.Signer) {
		s.Attributes = append(attributesWithout(s, tokens.OIDSigningCertificateV2), tokens.SigningCertificateV2(tokens.Sequence(ids...)))
	})
}

func (m *Maker) encode(t tokens.Token) []byte {
	m.T.Helper()
	der, err := t.DER()
	if err != nil {
		m.T.Fatal(err)
	}
	return der
}

// replaced is der with one occurrence of old made new, of the same length.
func replaced(t testing.TB, der, old, new []byte) []byte {
	t.Helper()
	if bytes.Count(der, old) < 1 || len(old) != len(new) {
		t.Fatalf("%x is not in the token, or is replaced by another length", old)
	}
	return bytes.Replace(der, old, new, 1)
}

// element encodes with an ordinary tag.
func element(tag cbasn1.Tag, text string) []byte { return tokens.Element(tag, []byte(text)) }

// attributesWithout are a signer's but those that name oid.
func attributesWithout(s *tokens.Signer, oid asn1.ObjectIdentifier) (list [][]byte) {
	for _, a := range s.Attributes {
		if !bytes.Contains(a, tokens.OID(oid)) {
			list = append(list, a)
		}
	}
	if len(list) == len(s.Attributes) {
		panic(fmt.Sprintf("the signer has no attribute %s", oid))
	}
	return list
}
