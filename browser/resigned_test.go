package browser_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/timestamptest"
)

// Tokens in which a piece of the structure is changed before it is signed, so that no signature stands before what is to be read.

// A node is an element of DER; its content is children, if that can be.
type node struct {
	tag      byte
	content  []byte
	children []*node
	wrapped  bool // an OCTET STRING or BIT STRING that holds DER
}

// parseNodes gives nil if der is no list of elements.
func parseNodes(der []byte) (list []*node) {
	s := cryptobyte.String(der)
	for !s.Empty() {
		var content cryptobyte.String
		var tag cbasn1.Tag
		if !s.ReadAnyASN1(&content, &tag) {
			return nil
		}
		n := &node{tag: byte(tag), content: content}
		if tag&0x20 != 0 || tag == cbasn1.OCTET_STRING {
			n.children, n.wrapped = parseNodes(content), tag == cbasn1.OCTET_STRING
		}
		list = append(list, n)
	}
	return list
}

func (n *node) der() []byte {
	content := n.content
	if n.children != nil {
		content = nil
		for _, c := range n.children {
			content = append(content, c.der()...)
		}
	}
	header := []byte{n.tag}
	switch l := len(content); {
	case l < 0x80:
		header = append(header, byte(l))
	case l < 0x100:
		header = append(header, 0x81, byte(l))
	default:
		header = append(header, 0x82, byte(l>>8), byte(l))
	}
	return append(header, content...)
}

// mutate changes one place.
func mutate(r *rand.Rand, root *node) {
	n := root
	for len(n.children) > 0 && (n == root || r.IntN(4) > 0) {
		parent := n
		i := r.IntN(len(parent.children))
		n = parent.children[i]
		if r.IntN(4) > 0 {
			continue
		}
		switch rest := slices.Clone(parent.children[i+1:]); r.IntN(4) {
		case 0:
			parent.children = append(parent.children[:i:i], rest...)
		case 1:
			parent.children = append(parent.children[:i+1:i+1], append([]*node{n}, rest...)...)
		case 2:
			parent.children = append(parent.children[:i+1:i+1], append([]*node{{tag: 5}}, rest...)...)
		case 3:
			j := r.IntN(len(parent.children))
			parent.children[i], parent.children[j] = parent.children[j], parent.children[i]
		}
		return
	}
	allTags := []byte{1, 2, 3, 4, 5, 6, 12, 18, 19, 20, 22, 23, 24, 30, 0x30, 0x31, 0x80, 0x81, 0x82, 0x86, 0x87, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4}
	flip := func() {
		if len(n.content) > 0 {
			n.content = bytes.Clone(n.content)
			n.content[r.IntN(len(n.content))] ^= 1 << r.IntN(8)
			n.children = nil
		}
	}
	switch r.IntN(6) {
	case 0:
		n.tag = allTags[r.IntN(len(allTags))]
	case 1:
		n.children, n.content = nil, nil
	case 2:
		n.children, n.content = nil, append([]byte{0}, n.content...)
	case 3:
		n.children, n.content = nil, append(bytes.Clone(n.content), 0)
	default:
		flip()
	}
}

func sequence(tag byte, parts ...[]byte) []byte {
	return (&node{tag: tag, content: bytes.Join(parts, nil)}).der()
}

func oid(t testing.TB, numbers ...int) []byte {
	b, err := asn1.Marshal(asn1.ObjectIdentifier(numbers))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An issuer is a key with a certificate.
type issuer struct {
	key  crypto.Signer
	cert []byte
}

func (i issuer) sign(t testing.TB, message []byte) []byte {
	digest := sha256.Sum256(message)
	sig, err := i.key.Sign(crand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// resign puts another issuer's signature under what a certificate says.
func (i issuer) resign(t testing.TB, tbs []byte, algorithm []byte) []byte {
	return sequence(0x30, tbs, algorithm, sequence(3, []byte{0}, i.sign(t, tbs)))
}

// A tokenMaker makes tokens of parts that may be changed.
type tokenMaker struct {
	*testing.T
	root, between, signer issuer
}

// token has one part changed before it is signed: "signer", "between", "info", "attributes" or "token".
func (m *tokenMaker) token(change func(what string, n *node)) []byte {
	cert := func(what string, c issuer, by issuer) []byte {
		parts := parseNodes(c.cert)[0].children
		return by.resign(m, changed(what, parts[0].der(), change), parts[1].der())
	}
	signer, between := cert("signer", m.signer, m.between), cert("between", m.between, m.root)
	return tokenOf(m, issuer{m.signer.key, signer}, [][]byte{signer, between}, change)
}

func changed(what string, der []byte, change func(what string, n *node)) []byte {
	n := parseNodes(der)[0]
	change(what, n)
	return n.der()
}

// tokenOf is a token by a key on P-256. The certificate need not be one that can be read.
func tokenOf(t testing.TB, signer issuer, certificates [][]byte, change func(what string, n *node)) []byte {
	tbs := slices.DeleteFunc(parseNodes(parseNodes(signer.cert)[0].children[0].der())[0].children, func(n *node) bool { return n.tag == 0xa0 })
	field := func(i int) []byte { // of the certificate: serial number, algorithm, issuer, validity, subject
		if i < len(tbs) {
			return tbs[i].der()
		}
		return []byte{5, 0}
	}
	serial, issuerName, subject := field(0), field(2), field(4)
	sha := sequence(0x30, oid(t, 2, 16, 840, 1, 101, 3, 4, 2, 1), []byte{5, 0})
	digest, at := timestamptest.Digest(), timestamptest.At().Format("20060102150405Z")
	info := changed("info", sequence(0x30, []byte{2, 1, 1}, oid(t, 1, 3, 6, 1, 4, 1, 32473, 7), sequence(0x30, sha, sequence(4, digest[:])), []byte{2, 1, 77},
		sequence(24, []byte(at)), sequence(0x30, []byte{2, 1, 1, 0x80, 1, 5, 0x81, 1, 6}), []byte{1, 1, 0xff}, []byte{2, 1, 42}, sequence(0xa0, sequence(0xa4, subject)),
		sequence(0xa1, sequence(0x30, oid(t, 1, 2, 3), []byte{1, 1, 0}, []byte{4, 0}))), change)
	infoHash, signerHash := sha256.Sum256(info), sha256.Sum256(signer.cert)
	attribute := func(value []byte, numbers ...int) []byte {
		return sequence(0x30, oid(t, numbers...), sequence(0x31, value))
	}
	certID := sequence(0x30, sha, sequence(4, signerHash[:]), sequence(0x30, sequence(0x30, sequence(0xa4, issuerName)), serial))
	attributes := [][]byte{
		attribute(oid(t, 1, 2, 840, 113549, 1, 9, 16, 1, 4), 1, 2, 840, 113549, 1, 9, 3),
		attribute(sequence(4, infoHash[:]), 1, 2, 840, 113549, 1, 9, 4),
		attribute(sequence(23, []byte(at[2:])), 1, 2, 840, 113549, 1, 9, 5),
		attribute(sequence(0x30, sequence(0x30, certID)), 1, 2, 840, 113549, 1, 9, 16, 2, 47),
	}
	slices.SortFunc(attributes, bytes.Compare)
	set := changed("attributes", sequence(0x31, attributes...), change)
	si := sequence(0x30, []byte{2, 1, 1}, sequence(0x30, issuerName, serial), sha, append([]byte{0xa0}, set[1:]...),
		sequence(0x30, oid(t, 1, 2, 840, 10045, 4, 3, 2)), sequence(4, signer.sign(t, set)))
	signed := sequence(0x30, []byte{2, 1, 3}, sequence(0x31, sha), sequence(0x30, oid(t, 1, 2, 840, 113549, 1, 9, 16, 1, 4), sequence(0xa0, sequence(4, info))),
		sequence(0xa0, certificates...), sequence(0x31, si))
	return changed("token", sequence(0x30, oid(t, 1, 2, 840, 113549, 1, 7, 2), sequence(0xa0, signed)), change)
}

func certificate(t testing.TB, template *x509.Certificate, key crypto.Signer, by *issuer) issuer {
	parent, signer := template, key
	if by != nil {
		var err error
		if parent, err = x509.ParseCertificate(by.cert); err != nil {
			t.Fatal(err)
		}
		signer = by.key
	}
	der, err := x509.CreateCertificate(crand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{key, der}
}

func key(t testing.TB, curve elliptic.Curve) crypto.Signer {
	k, err := ecdsa.GenerateKey(curve, crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newTokenMaker has certificates with every extension that is read. Whether names are constrained, or policies demanded, is for the caller.
func newTokenMaker(t *testing.T, constrained bool) *tokenMaker {
	m := &tokenMaker{T: t}
	at := timestamptest.At()
	template := func(name string, ca bool) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: name, Organization: []string{"Example é"}, Country: []string{"CH"}},
			NotBefore: at.AddDate(-1, 0, 0), NotAfter: at.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: ca,
			CRLDistributionPoints: []string{"http://example.com/a"}, OCSPServer: []string{"http://example.com/b"}, IssuingCertificateURL: []string{"http://example.com/c"},
			PolicyIdentifiers: []asn1.ObjectIdentifier{{2, 5, 29, 32, 0}, {1, 2, 3}}, SubjectKeyId: []byte(name),
			ExtraExtensions: []pkix.Extension{
				{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}}, {Id: asn1.ObjectIdentifier{2, 5, 29, 54}, Critical: true, Value: []byte{2, 1, 3}},
			},
		}
		if ca {
			c.KeyUsage, c.MaxPathLen = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, 1
		} else {
			eku := sequence(0x30, oid(t, 1, 3, 6, 1, 5, 5, 7, 3, 8))
			c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku})
			c.DNSNames, c.EmailAddresses, c.IPAddresses = []string{"tsa.example.com"}, []string{"tsa@example.com"}, []net.IP{{192, 0, 2, 1}}
			c.URIs = []*url.URL{{Scheme: "https", Host: "tsa.example.com", Path: "/policy"}}
		}
		return c
	}
	m.root = certificate(t, template("root", true), key(t, elliptic.P256()), nil)
	between := template("between", true)
	if constrained {
		between.PermittedDNSDomainsCritical, between.PermittedDNSDomains = true, []string{"example.com"}
		between.PermittedIPRanges = []*net.IPNet{{IP: net.IP{192, 0, 2, 0}, Mask: net.CIDRMask(24, 32)}}
		between.ExcludedEmailAddresses = []string{"example.org"}
		between.ExtraExtensions = append(between.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Value: []byte{0x30, 6, 0x80, 1, 9, 0x81, 1, 9}},
			pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 33}, Value: sequence(0x30, sequence(0x30, oid(t, 1, 2, 3), oid(t, 1, 2, 4)))})
	}
	m.between = certificate(t, between, key(t, elliptic.P256()), &m.root)
	m.signer = certificate(t, template("signer", false), key(t, elliptic.P256()), &m.between)
	return m
}

func (m *tokenMaker) authority() timestamp.Authority {
	at := timestamptest.At()
	return timestamp.Authority{Name: "example", Anchors: [][]byte{m.root.cert}, From: at.AddDate(-2, 0, 0), Until: at.AddDate(2, 0, 0), Accuracy: time.Minute}
}

// TestPINNED_signedNonsenseIsTheSameToBoth changes what is signed, at random by a fixed seed.
func TestPINNED_signedNonsenseIsTheSameToBoth(t *testing.T) {
	r := rand.New(rand.NewPCG(305, 3161))
	for _, constrained := range []bool{false, true} {
		m := newTokenMaker(t, constrained)
		stamps := []stamp{stampOf("as it is", m.token(func(string, *node) {}), m.authority())}
		for i, where := range []string{"signer", "between", "info", "attributes", "token"} {
			for range []int{500, 500, 120, 120, 120}[i] {
				token := m.token(func(what string, n *node) {
					for range 1 + r.IntN(2) {
						if what == where {
							mutate(r, n)
						}
					}
				})
				stamps = append(stamps, stampOf(fmt.Sprintf("%x", token), token, m.authority()))
			}
		}
		judged := sameJudgements(t, stamps)
		t.Log(judged)
		if unclear := judged[notChecked]; (unclear > 20) != constrained || judged[""] < 20 && !constrained {
			t.Errorf("%d count, and %d are not checked", judged[""], unclear)
		}
	}
}
