package timestamp

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // ESSCertID is defined by it; see essCertID
	"crypto/x509"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const minRSABits = 2048

// A certID is an ESSCertID or ESSCertIDv2: a hash of a certificate, inside what is signed.
type certID struct {
	algorithm algorithm // zero for SHA-1
	sum       func([]byte) []byte
	hash      []byte
	issuer    []byte // DER of a Name; nil where absent
	serial    *big.Int
}

func (id certID) names(c *x509.Certificate) bool {
	return bytes.Equal(id.hash, id.sum(c.Raw)) &&
		(id.issuer == nil || bytes.Equal(id.issuer, c.RawIssuer) && id.serial.Cmp(c.SerialNumber) == 0)
}

// certIDs reads the attributes that bind certificates: the older, the newer, or both. Each is a list of one or more.
func (s *signerInfo) certIDs() (lists [][]certID, err error) {
	for _, oid := range []string{oidSigningCertificate, oidSigningCertificateV2} {
		raw, ok := s.attributes[oid]
		if !ok {
			continue
		}
		ids, ok := readSigningCertificate(raw, oid == oidSigningCertificateV2)
		if !ok {
			return nil, refuse(ReasonSigningCertificate, "the attribute %s is malformed, or of a hash that is not accepted", oid)
		}
		lists = append(lists, ids)
	}
	// SPEC: RFC 3161 2.4.2: The certificate identifier (ESSCertID) of the TSA certificate MUST be included as a signerInfo attribute
	// inside a SigningCertificate attribute. RFC 5816 2.2.1: [or] ESSCertIDv2 [...] inside a SigningCertificateV2 attribute.
	if len(lists) == 0 {
		return nil, refuse(ReasonNoSigningCertificate, "no signed attribute names the signer's certificate")
	}
	return lists, nil
}

// readSigningCertificate reads SigningCertificate(V2) ::= SEQUENCE { certs SEQUENCE OF ESSCertID(v2), policies … OPTIONAL }. Policies
// would restrict what nobody here looks at: they are refused.
func readSigningCertificate(der []byte, v2 bool) (ids []certID, ok bool) {
	s := cryptobyte.String(der)
	var seq, certs cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1(&certs, cbasn1.SEQUENCE) || !seq.Empty() {
		return nil, false
	}
	for !certs.Empty() {
		id, ok := readCertID(&certs, v2)
		if !ok || len(ids) == MaxCertificates {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, len(ids) > 0
}

func readCertID(s *cryptobyte.String, v2 bool) (id certID, ok bool) {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return id, false
	}
	// ESSCertID is a SHA-1 hash of bytes that a certification authority signed with something better. To put another certificate in
	// its place takes a second preimage, or an authority that issues two of a collision.
	id.sum = func(b []byte) []byte { h := sha1.Sum(b); return h[:] } //nolint:gosec
	if v2 {
		h := algorithm{oid: oidSHA256} // SPEC: RFC 5035 4: hashAlgorithm AlgorithmIdentifier DEFAULT {algorithm id-sha256}
		if seq.PeekASN1Tag(cbasn1.SEQUENCE) {
			if h, ok = readAlgorithm(&seq); !ok {
				return id, false
			}
		}
		if h.hash() == 0 {
			return id, false
		}
		id.algorithm, id.sum = h, func(b []byte) []byte { return sum(h.hash(), b) }
	}
	if !seq.ReadASN1Bytes(&id.hash, cbasn1.OCTET_STRING) {
		return id, false
	}
	if seq.Empty() {
		return id, true
	}
	// IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber INTEGER }
	var is, names, directory, name cryptobyte.String
	id.serial = new(big.Int)
	if !seq.ReadASN1(&is, cbasn1.SEQUENCE) || !seq.Empty() || !is.ReadASN1(&names, cbasn1.SEQUENCE) || !is.ReadASN1Integer(id.serial) || !is.Empty() {
		return id, false
	}
	// SPEC: RFC 5035 5.1: The issuer field [...] MUST contain only the issuer name of the certificate encoded in the directoryName
	// choice of GeneralNames.
	if !names.ReadASN1(&directory, tag4) || !names.Empty() || !directory.ReadASN1Element(&name, cbasn1.SEQUENCE) || !directory.Empty() {
		return id, false
	}
	id.issuer = name
	return id, true
}

// signerCertificate is the certificate that the signature binds, and that the signer's identifier names.
func (p *parsed) signerCertificate() (*x509.Certificate, error) {
	lists, err := p.signer.certIDs()
	if err != nil {
		return nil, err
	}
	if len(p.certificates) == 0 {
		return nil, refuse(ReasonNoCertificate, "the token holds no certificate")
	}
	i := slices.IndexFunc(p.certificates, func(c *x509.Certificate) bool {
		return bytes.Equal(c.RawIssuer, p.signer.issuer) && c.SerialNumber.Cmp(p.signer.serial) == 0
	})
	if i < 0 {
		return nil, refuse(ReasonSignerIdentifier, "the token does not hold the certificate that the signer's identifier names")
	}
	// SPEC: RFC 5035 3: The first certificate identified in the sequence of certificate identifiers MUST be the certificate used to
	// verify the signature. RFC 5816 2.2.1 wants of both attributes that they match.
	for _, ids := range lists {
		if !ids[0].names(p.certificates[i]) {
			return nil, refuse(ReasonSigningCertificate, "the signature was made for another certificate than the signer's identifier names")
		}
	}
	return p.certificates[i], nil
}

// checkSigner sees that a certificate is for time-stamping and nothing else.
func checkSigner(c *x509.Certificate, at time.Time) error {
	if err := checkEKU(c); err != nil {
		return err
	}
	for _, ext := range c.Extensions {
		// SPEC: RFC 5280 4.2.1.12: id-kp-timeStamping: Key usage bits that may be consistent: digitalSignature and/or nonRepudiation.
		if ext.Id.String() == oidKeyUsage && (c.KeyUsage == 0 || c.KeyUsage&^(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0) {
			return refuse(ReasonKeyUsage, "the signer's key is for more than signatures")
		}
	}
	// A key that issues certificates could issue the next signer's.
	if c.IsCA {
		return refuse(ReasonSignerIsCA, "the signer's certificate is a certification authority's")
	}
	// SPEC: RFC 5280 4.2: A certificate-using system MUST reject the certificate if it encounters a critical extension it does not
	// recognize or a critical extension that contains information that it cannot process.
	if len(c.UnhandledCriticalExtensions) > 0 {
		return refuse(ReasonCriticalExtension, "the signer's certificate has the critical extension %s, which is unknown", c.UnhandledCriticalExtensions[0])
	}
	// SPEC: RFC 5280 4.1.2.5: the validity period is from notBefore through notAfter, inclusive.
	if at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return refuse(ReasonExpired, "genTime %s is not in the validity of the signer's certificate, [%s, %s]", at.Format(time.RFC3339Nano),
			c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	return checkKey(c)
}

// checkEKU demands time-stamping alone.
// SPEC: RFC 3161 2.3: The corresponding certificate MUST contain only one instance of the extended key usage field extension with
// KeyPurposeID having value id-kp-timeStamping. This extension MUST be critical.
func checkEKU(c *x509.Certificate) error {
	for _, ext := range c.Extensions {
		if ext.Id.String() != oidExtKeyUsage {
			continue
		}
		if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
			return refuse(ReasonEKU, "the signer's certificate is not for time-stamping alone")
		}
		if !ext.Critical {
			return refuse(ReasonEKUNotCritical, "the extended key usage of the signer's certificate is not critical")
		}
		return nil
	}
	return refuse(ReasonNoEKU, "the signer's certificate has no extended key usage")
}

// checkKey refuses keys that are too weak, or of a kind that no authority has.
func checkKey(c *x509.Certificate) error {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			return refuse(ReasonKey, "the RSA key of %q has %d bits, fewer than %d", c.Subject, bits, minRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		if curve := key.Curve; curve == elliptic.P256() || curve == elliptic.P384() || curve == elliptic.P521() {
			return nil
		}
	}
	return refuse(ReasonKey, "the key of %q is neither RSA nor ECDSA with P-256, P-384 or P-521", c.Subject)
}

// checkIssued refuses certificates that have a weak key, or are signed with what can be forged.
func checkIssued(c *x509.Certificate) error {
	if err := checkKey(c); err != nil {
		return err
	}
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return nil
	}
	return refuse(ReasonSignatureAlgorithm, "the certificate %q is signed with %s", c.Subject, c.SignatureAlgorithm)
}

// checkName holds the name in the token against the certificate.
// SPEC: RFC 3161 2.4.2: [tsa] If present, it MUST correspond to one of the subject names included in the certificate that is to be used
// to verify the token.
func (t *tstInfo) checkName(signer *x509.Certificate) error {
	if t.tsa == nil {
		return nil
	}
	s := cryptobyte.String(t.tsa)
	var name cryptobyte.String
	if !s.ReadASN1(&name, tag4) || !s.Empty() || !bytes.Equal(name, signer.RawSubject) {
		return refuse(ReasonTSAName, "the token names another authority than its signer's certificate, %q", signer.Subject)
	}
	return nil
}

// chain leads from the signer to an anchor of the authority, at the time of the token. Of several it is the one whose algorithms end
// last; of those, one that uses nothing broken; of those, the shortest.
func (p *parsed) chain(signer *x509.Certificate, a Authority) ([]*x509.Certificate, error) {
	var anchors []*x509.Certificate
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: p.info.genTime, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	}
	for _, der := range a.Anchors {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &Error{Reason: ReasonAuthority, Detail: "reading an anchor of " + a.Name, Err: err}
		}
		if err := checkKey(c); err != nil {
			return nil, &Error{Reason: ReasonAuthority, Detail: "an anchor of " + a.Name, Err: err}
		}
		anchors = append(anchors, c)
		opts.Roots.AddCert(c)
	}
	isAnchor := func(c *x509.Certificate) bool { return slices.ContainsFunc(anchors, c.Equal) }
	for _, c := range p.certificates {
		if isAnchor(c) {
			continue // by whom it was issued is of no importance
		}
		if err := checkIssued(c); err != nil {
			return nil, err
		}
		if p.mayUse(c) {
			opts.Intermediates.AddCert(c)
		}
	}
	chains, err := signer.Verify(opts)
	if err != nil {
		return nil, &Error{Reason: ReasonChain, Detail: "no chain leads from the signer to an anchor of " + a.Name, Err: err}
	}
	// A certificate that proves nothing would be bytes that nothing vouches for.
	for _, c := range p.certificates {
		if !isAnchor(c) && !slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return slices.ContainsFunc(chain, c.Equal) }) {
			return nil, refuse(ReasonExtraCertificate, "%q is in no chain from the signer to an anchor", c.Subject)
		}
	}
	return slices.MinFunc(chains, func(x, y []*x509.Certificate) int {
		return cmp.Or(compareEnds(a.ends(p.algorithms(x)), a.ends(p.algorithms(y))), len(x)-len(y))
	}), nil
}

// mayUse says that the signature does not keep a certificate out of the chain.
// SPEC: RFC 5035 3: If more than one certificate is present, subsequent certificates limit the set of certificates that are used during
// validation.
func (p *parsed) mayUse(c *x509.Certificate) bool {
	lists, err := p.signer.certIDs()
	if err != nil {
		return false
	}
	for _, ids := range lists {
		if len(ids) > 1 && !slices.ContainsFunc(ids, func(id certID) bool { return id.names(c) }) {
			return false
		}
	}
	return true
}
