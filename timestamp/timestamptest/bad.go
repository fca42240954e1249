package timestamptest

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/internal/tokens"
)

// A Bad token has one thing wrong, and all else right.
type Bad struct {
	Name      string
	Token     []byte
	Authority timestamp.Authority
	Reason    timestamp.Reason
}

// All makes bad tokens of every kind.
func All(t testing.TB) (all []Bad) {
	t.Helper()
	m := NewMaker(t)
	for _, list := range [][]Bad{wrongEncoding(m), wrongInfo(m), wrongAttributes(m), wrongSignature(m), wrongCertificates(m), wrongSigners(t), wrongAuthority(m)} {
		all = append(all, list...)
	}
	return all
}

func (m *Maker) bad(name string, reason timestamp.Reason, token []byte) Bad {
	return Bad{name, token, m.Authority(), reason}
}

func wrongEncoding(m *Maker) []Bad {
	good := m.DER()
	indefinite := append([]byte{0x30, 0x80}, good[4:]...)
	return []Bad{
		m.bad("nothing", timestamp.ReasonNotDER, nil),
		m.bad("HTML", timestamp.ReasonNotDER, []byte("<html>")),
		m.bad("cut off", timestamp.ReasonNotDER, good[:len(good)-1]),
		m.bad("indefinite length", timestamp.ReasonNotDER, append(indefinite, 0, 0)),
		m.bad("64 KiB and a byte", timestamp.ReasonTooLarge, make([]byte, timestamp.MaxToken+1)),
		m.bad("trailing byte", timestamp.ReasonTrailingBytes, append(bytes.Clone(good), 0)),
		m.bad("trailing field in ContentInfo", timestamp.ReasonTrailingBytes, m.DER(func(t *tokens.Token) { t.OuterTail = []byte{5, 0} })),
		m.bad("trailing field beside the content", timestamp.ReasonTrailingBytes, m.DER(func(t *tokens.Token) { t.ContentTail = []byte{5, 0} })),
		m.bad("trailing field in SignedData", timestamp.ReasonTrailingBytes, m.DER(func(t *tokens.Token) { t.Tail = []byte{5, 0} })),
		m.bad("trailing field in SignerInfo", timestamp.ReasonTrailingBytes, m.WithSigner(func(s *tokens.Signer) { s.Tail = []byte{5, 0} })),
		m.bad("trailing bytes after TSTInfo", timestamp.ReasonTrailingBytes, m.encode(m.Token(append(m.Info().DER(), 5, 0)))),
		m.bad("trailing field in TSTInfo", timestamp.ReasonTrailingBytes, m.WithInfo(func(i *tokens.Info) { i.Tail = []byte{5, 0} })),
		m.bad("not SignedData", timestamp.ReasonNotSignedData, m.DER(func(t *tokens.Token) { t.Type = tokens.OIDData })),
		m.bad("SignedData version 1", timestamp.ReasonVersion, m.DER(func(t *tokens.Token) { t.Version = 1 })),
		m.bad("SignerInfo version 3", timestamp.ReasonVersion, m.WithSigner(func(s *tokens.Signer) { s.Version = 3 })),
		m.bad("content is data", timestamp.ReasonContentType, m.DER(func(t *tokens.Token) { t.ContentType = tokens.OIDData })),
	}
}

func wrongInfo(m *Maker) []Bad {
	info := func(name string, reason timestamp.Reason, edit func(*tokens.Info)) Bad {
		return m.bad(name, reason, m.WithInfo(edit))
	}
	genTime := func(name, s string) Bad {
		return info(name, timestamp.ReasonGenTime, func(i *tokens.Info) { i.GenTime = s })
	}
	accuracy := func(name string, reason timestamp.Reason, parts ...[]byte) Bad {
		return info(name, reason, func(i *tokens.Info) { i.Accuracy = tokens.Sequence(parts...) })
	}
	number := func(n int64) []byte { return tokens.Integer(big.NewInt(n)) }
	millis := func(n int64) []byte { return append([]byte{0x80}, number(n)[1:]...) }
	critical := tokens.Sequence(tokens.OID(asn1.ObjectIdentifier{1, 2, 3}), []byte{1, 1, 0xff}, tokens.OctetString(nil))
	other := tokens.Sequence(tokens.Element(cbasn1.SET, tokens.Sequence(tokens.OID(asn1.ObjectIdentifier{2, 5, 4, 3}), element(cbasn1.UTF8String, "other"))))
	return []Bad{
		info("TSTInfo version 2", timestamp.ReasonVersion, func(i *tokens.Info) { i.Version = 2 }),
		info("imprint by SHA-1", timestamp.ReasonImprintAlgorithm, func(i *tokens.Info) { i.Hash, i.Imprint = crypto.SHA1, i.Imprint[:20] }),
		info("imprint by SHA-512", timestamp.ReasonImprintAlgorithm, func(i *tokens.Info) { i.Hash = crypto.SHA512 }),
		info("another digest", timestamp.ReasonImprint, func(i *tokens.Info) { i.Imprint = tokens.Sum(crypto.SHA256, nil) }),
		info("wrong policy", timestamp.ReasonPolicy, func(i *tokens.Info) { i.Policy = asn1.ObjectIdentifier{1, 2, 3, 4, 1} }),
		genTime("genTime with an offset", "20261124130000+0100"),
		genTime("genTime of local time", "20261124120000"),
		genTime("genTime without seconds", "202611241200Z"),
		genTime("genTime with a fraction of zero", "20261124120000.0Z"),
		genTime("genTime with a fraction that ends in zero", "20261124120000.10Z"),
		genTime("genTime with a comma", "20261124120000,1Z"),
		genTime("genTime of the year 1", "00010101000000Z"),
		genTime("genTime on 31 November", "20261131120000Z"),
		accuracy("accuracy beyond the cap", timestamp.ReasonAccuracyCap, number(61)),
		accuracy("accuracy below zero", timestamp.ReasonAccuracy, number(-1)),
		accuracy("accuracy of years", timestamp.ReasonAccuracy, number(1<<40)),
		accuracy("trailing field in the accuracy", timestamp.ReasonTrailingBytes, number(1), []byte{5, 0}),
		accuracy("accuracy of 0 ms", timestamp.ReasonAccuracy, number(1), millis(0)),
		accuracy("accuracy of 1000 ms", timestamp.ReasonAccuracy, number(1), millis(1000)),
		info("critical extension in TSTInfo", timestamp.ReasonTokenExtension, func(i *tokens.Info) { i.Extensions = critical }),
		info("another tsa name", timestamp.ReasonTSAName, func(i *tokens.Info) { i.TSA = tokens.Element(tokens.Tag(4), other) }),
		info("before the certificate", timestamp.ReasonExpired, func(i *tokens.Info) { i.GenTime = "20251124115959Z" }),
		info("after the certificate", timestamp.ReasonExpired, func(i *tokens.Info) { i.GenTime = "20271124120001Z" }),
	}
}

func wrongAttributes(m *Maker) []Bad {
	signer := func(name string, reason timestamp.Reason, edit func(*tokens.Signer)) Bad {
		return m.bad(name, reason, m.WithSigner(edit))
	}
	swap := func(oid asn1.ObjectIdentifier, attr []byte) func(*tokens.Signer) {
		return func(s *tokens.Signer) { s.Attributes = append(attributesWithout(s, oid), attr) }
	}
	signed := func(d time.Duration) func(*tokens.Signer) {
		at := element(cbasn1.UTCTime, At().Add(d).Format("060102150405Z"))
		return func(s *tokens.Signer) {
			s.Attributes = append(s.Attributes, tokens.Attribute(tokens.OIDSigningTime, at))
		}
	}
	return []Bad{
		signer("no signed attributes", timestamp.ReasonNoSignedAttributes, func(s *tokens.Signer) { s.Attributes = nil }),
		signer("no contentType", timestamp.ReasonSignedContentType, func(s *tokens.Signer) { s.Attributes = attributesWithout(s, tokens.OIDContentType) }),
		signer("contentType of data", timestamp.ReasonSignedContentType, swap(tokens.OIDContentType, tokens.Attribute(tokens.OIDContentType, tokens.OID(tokens.OIDData)))),
		signer("no messageDigest", timestamp.ReasonMessageDigest, func(s *tokens.Signer) { s.Attributes = attributesWithout(s, tokens.OIDMessageDigest) }),
		signer("messageDigest of another content", timestamp.ReasonMessageDigest,
			swap(tokens.OIDMessageDigest, tokens.Attribute(tokens.OIDMessageDigest, tokens.OctetString(make([]byte, 32))))),
		signer("no ESSCertID", timestamp.ReasonNoSigningCertificate, func(s *tokens.Signer) { s.Attributes = attributesWithout(s, tokens.OIDSigningCertificateV2) }),
		signer("ESSCertIDv2 of another certificate", timestamp.ReasonSigningCertificate,
			swap(tokens.OIDSigningCertificateV2, tokens.SigningCertificateV2(tokens.Sequence(tokens.CertIDV2(m.CA.Cert, crypto.SHA256))))),
		signer("ESSCertIDv2 by SHA-1", timestamp.ReasonSigningCertificate,
			swap(tokens.OIDSigningCertificateV2, tokens.SigningCertificateV2(tokens.Sequence(tokens.CertIDV2(m.Cert, crypto.SHA1))))),
		signer("ESSCertID of another issuer", timestamp.ReasonSigningCertificate, func(s *tokens.Signer) {
			s.Attributes = append(s.Attributes, tokens.SigningCertificate(tokens.Sequence(tokens.CertID(m.Cert, m.Cert.RawSubject, m.Cert.SerialNumber))))
		}),
		signer("repeated attribute", timestamp.ReasonAttributes, func(s *tokens.Signer) { s.Attributes = append(s.Attributes, s.Attributes[0]) }),
		signer("attributes not sorted", timestamp.ReasonAttributes, func(s *tokens.Signer) { s.Unsorted = true }),
		signer("attribute of two values", timestamp.ReasonAttributes, func(s *tokens.Signer) {
			s.Attributes = append(s.Attributes, tokens.Attribute(asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0, 5, 0}))
		}),
		signer("attribute of no value", timestamp.ReasonAttributes, func(s *tokens.Signer) {
			s.Attributes = append(s.Attributes, tokens.Attribute(asn1.ObjectIdentifier{1, 2, 3}, nil))
		}),
		signer("malformed signingTime", timestamp.ReasonSigningTime, func(s *tokens.Signer) {
			s.Attributes = append(s.Attributes, tokens.Attribute(tokens.OIDSigningTime, element(cbasn1.UTCTime, "261124130000+0100")))
		}),
		signer("signer by key identifier", timestamp.ReasonSignerIdentifier, func(s *tokens.Signer) { s.Version, s.KeyID = 3, []byte{1} }),
		signer("signingTime six minutes late", timestamp.ReasonSigningTime, signed(6*time.Minute)),
		signer("signingTime six minutes early", timestamp.ReasonSigningTime, signed(-6*time.Minute)),
		signer("ESSCertIDv2 of nothing", timestamp.ReasonSigningCertificate, swap(tokens.OIDSigningCertificateV2, tokens.SigningCertificateV2(tokens.Sequence()))),
		signer("ESSCertIDv2 under policies", timestamp.ReasonSigningCertificate, swap(tokens.OIDSigningCertificateV2,
			tokens.SigningCertificateV2(append(tokens.Sequence(tokens.CertIDV2(m.Cert, crypto.SHA256)), tokens.Sequence()...)))),
	}
}

func wrongSignature(m *Maker) []Bad {
	signer := func(name string, reason timestamp.Reason, edit func(*tokens.Signer)) Bad {
		return m.bad(name, reason, m.WithSigner(edit))
	}
	unknown := tokens.Attribute(asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0})
	corrupted := m.DER()
	corrupted[len(corrupted)-1] ^= 1
	return []Bad{
		signer("unsigned attribute", timestamp.ReasonUnsignedAttributes, func(s *tokens.Signer) { s.Unsigned = unknown }),
		signer("digest algorithm SHA-1", timestamp.ReasonDigestAlgorithm, func(s *tokens.Signer) { s.Hash = crypto.SHA1 }),
		signer("signature algorithm of SHA-1", timestamp.ReasonSignatureAlgorithm, func(s *tokens.Signer) {
			s.Algorithm = tokens.Sequence(tokens.OID(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}))
		}),
		signer("signature algorithm of another digest", timestamp.ReasonSignatureAlgorithm, func(s *tokens.Signer) {
			s.Algorithm = tokens.Sequence(tokens.OID(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}))
		}),
		m.bad("digestAlgorithms of two", timestamp.ReasonDigestAlgorithm, m.DER(func(t *tokens.Token) {
			t.Digests = append(tokens.HashAlgorithm(crypto.SHA256), tokens.HashAlgorithm(crypto.SHA512)...)
		})),
		m.bad("digestAlgorithms of another", timestamp.ReasonDigestAlgorithm, m.DER(func(t *tokens.Token) { t.Digests = tokens.HashAlgorithm(crypto.SHA512) })),
		m.bad("corrupted signature", timestamp.ReasonSignature, corrupted),
		signer("another key's signature", timestamp.ReasonSignature, func(s *tokens.Signer) { s.Key = ECDSAKey(m.T, elliptic.P256()) }),
		m.bad("two signers", timestamp.ReasonSigners, m.DER(func(t *tokens.Token) { t.Signers = append(t.Signers, t.Signers[0]) })),
		m.bad("no signer", timestamp.ReasonSigners, m.DER(func(t *tokens.Token) { t.Signers = nil })),
		signer("identifier of another certificate", timestamp.ReasonSignerIdentifier, func(s *tokens.Signer) { s.Serial = big.NewInt(1) }),
	}
}

func wrongCertificates(m *Maker) []Bad {
	// The same key, issuer and serial number: everything but the certificate that was bound.
	swapped := m.CA.Issue(Template(func(c *x509.Certificate) {
		c.SerialNumber = m.Cert.SerialNumber
		c.NotAfter = c.NotAfter.AddDate(9, 0, 0)
	}), m.Key.Public())
	stranger := NewMaker(m.T)
	var many [][]byte
	for range timestamp.MaxCertificates + 1 {
		many = append(many, m.CA.Issue(Template(), m.Key.Public()).Raw)
	}
	with := func(name string, reason timestamp.Reason, certificates ...[]byte) Bad {
		return m.bad(name, reason, m.DER(func(t *tokens.Token) { t.Certificates = certificates }))
	}
	return []Bad{
		with("no certificate", timestamp.ReasonNoCertificate),
		with("the anchor's certificate alone", timestamp.ReasonSignerIdentifier, m.CA.Cert.Raw),
		with("certificate swapped", timestamp.ReasonSigningCertificate, swapped.Raw, m.CA.Cert.Raw),
		with("certificate twice", timestamp.ReasonExtraCertificate, m.Cert.Raw, m.Cert.Raw),
		with("a stranger's certificate", timestamp.ReasonExtraCertificate, m.Cert.Raw, stranger.CA.Cert.Raw),
		with("seventeen certificates", timestamp.ReasonTooManyCertificates, many...),
		with("a certificate that is none", timestamp.ReasonCertificate, m.Cert.Raw, tokens.Sequence([]byte{5, 0})),
		with("an attribute certificate", timestamp.ReasonCertificate, m.Cert.Raw, tokens.Element(tokens.Tag(1), []byte{5, 0})),
		with("bytes inside a certificate's wrapping", timestamp.ReasonCertificate, m.Cert.Raw, append(replaced(m.T, m.CA.Cert.Raw, m.CA.Cert.Raw[:4], lengthened(m.CA.Cert.Raw)), 5, 0)),
		m.bad("a chain that the signature rules out", timestamp.ReasonChain, ruledOut(m)),
		m.bad("revocation lists", timestamp.ReasonRevocationLists, m.DER(func(t *tokens.Token) { t.Lists = tokens.Sequence() })),
	}
}

// ruledOut needs an intermediate CA that the signature does not list.
func ruledOut(m *Maker) []byte {
	below := &Maker{T: m.T, CA: m.CA.Sub(), Key: m.Key, Hash: m.Hash, V2: true}
	below.Cert = below.CA.Issue(Template(), m.Key.Public())
	list := tokens.Sequence(tokens.CertIDV2(below.Cert, crypto.SHA256), tokens.CertIDV2(m.CA.Cert, crypto.SHA256))
	return below.WithSigner(func(s *tokens.Signer) {
		s.Attributes = append(attributesWithout(s, tokens.OIDSigningCertificateV2), tokens.SigningCertificateV2(list))
	})
}

// lengthened is the header of a certificate of two bytes more.
func lengthened(raw []byte) []byte {
	n := int(raw[2])<<8 + int(raw[3]) + 2
	return []byte{raw[0], raw[1], byte(n >> 8), byte(n)}
}

func wrongSigners(t testing.TB) []Bad {
	kind := func(name string, reason timestamp.Reason, edit func(*x509.Certificate)) Bad {
		m := NewMaker(t, edit)
		return m.bad(name, reason, m.DER())
	}
	extensions := func(list ...pkix.Extension) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = list }
	}
	rsa := RSAKey(t, 2048)
	key := func(name string, key crypto.Signer) Bad {
		m := NewMaker(t)
		m.Key, m.Cert = key, m.CA.Issue(Template(), key.Public())
		return m.bad(name, timestamp.ReasonKey, m.DER())
	}
	pss := func(name string, hash, mgf crypto.Hash, salt int) Bad {
		m := NewMaker(t)
		m.Key, m.PSS = rsa, true
		m.Cert = m.CA.Issue(Template(), rsa.Public())
		return m.bad(name, timestamp.ReasonSignatureAlgorithm, m.WithSigner(func(s *tokens.Signer) { s.Algorithm = tokens.PSSAlgorithm(hash, mgf, salt) }))
	}
	weak := NewMaker(t)
	weak.CA.key = ECDSAKey(t, elliptic.P224())
	weak.CA.Cert = sign(t, caTemplate("weak"), weak.CA.Parent.Cert, weak.CA.key.Public(), weak.CA.Parent.key)
	weak.Cert = weak.CA.Issue(Template(), weak.Key.Public())
	throughWeak := weak.bad("CA with P-224", timestamp.ReasonKey, weak.DER())
	throughWeak.Authority.Anchors = [][]byte{weak.CA.Parent.Cert.Raw}
	self := NewMaker(t)
	self.Cert = sign(t, Template(), nil, self.Key.Public(), self.Key)
	selfSigned := self.DER(func(t *tokens.Token) { t.Certificates = [][]byte{self.Cert.Raw} })
	return []Bad{
		kind("no extended key usage", timestamp.ReasonNoEKU, extensions()),
		kind("extended key usage of code signing", timestamp.ReasonEKU, extensions(ekus(true, codeSigning()))),
		kind("extended key usage of two", timestamp.ReasonEKU, extensions(ekus(true, timeStamping(), codeSigning()))),
		kind("extended key usage of an unknown kind too", timestamp.ReasonEKU, extensions(ekus(true, timeStamping(), asn1.ObjectIdentifier{1, 2, 3}))),
		kind("extended key usage not critical", timestamp.ReasonEKUNotCritical, extensions(ekus(false, timeStamping()))),
		kind("key for encipherment too", timestamp.ReasonKeyUsage, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }),
		kind("signer is a CA", timestamp.ReasonSignerIsCA, func(c *x509.Certificate) { c.IsCA = true }),
		kind("unknown critical extension", timestamp.ReasonCriticalExtension,
			extensions(ekus(true, timeStamping()), pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})),
		kind("expired", timestamp.ReasonExpired, func(c *x509.Certificate) { c.NotAfter = At().Add(-time.Second) }),
		key("RSA of 1024 bits", RSAKey(t, 1024)),
		key("ECDSA with P-224", ECDSAKey(t, elliptic.P224())),
		throughWeak,
		weak.bad("anchor with P-224", timestamp.ReasonAuthority, weak.DER()),
		pss("RSA-PSS with another hash", crypto.SHA512, crypto.SHA256, 32),
		pss("RSA-PSS with another hash in MGF1", crypto.SHA256, crypto.SHA512, 32),
		pss("RSA-PSS with another salt", crypto.SHA256, crypto.SHA256, 20),
		self.bad("self-signed", timestamp.ReasonChain, selfSigned),
	}
}

func wrongAuthority(m *Maker) []Bad {
	kind := func(name string, reason timestamp.Reason, edit func(*timestamp.Authority)) Bad {
		b := m.bad(name, reason, m.DER())
		edit(&b.Authority)
		return b
	}
	return []Bad{
		kind("before the window", timestamp.ReasonWindow, func(a *timestamp.Authority) { a.From = At().Add(time.Second) }),
		kind("at the end of the window", timestamp.ReasonWindow, func(a *timestamp.Authority) { a.Until = At() }),
		kind("when it was compromised", timestamp.ReasonCompromised, func(a *timestamp.Authority) { a.Compromised = At() }),
		kind("when SHA-256 has ended", timestamp.ReasonAlgorithm, func(a *timestamp.Authority) {
			a.Algorithms = []timestamp.AlgorithmEnd{{Name: "sha-256", End: At().Add(time.Second)}}
		}),
		kind("when P-256 was broken", timestamp.ReasonAlgorithm, func(a *timestamp.Authority) {
			a.Algorithms = []timestamp.AlgorithmEnd{{Name: "ecdsa-p256", End: At(), Broken: true}}
		}),
		kind("another authority's anchor", timestamp.ReasonChain, func(a *timestamp.Authority) { a.Anchors = [][]byte{NewCA(m.T).Cert.Raw} }),
		kind("no anchor", timestamp.ReasonChain, func(a *timestamp.Authority) { a.Anchors = nil }),
		kind("an anchor that is none", timestamp.ReasonAuthority, func(a *timestamp.Authority) { a.Anchors = [][]byte{{5, 0}} }),
	}
}
