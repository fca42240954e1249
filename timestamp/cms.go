package timestamp

import (
	"bytes"
	"crypto/x509"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// parsed is a token as it was read: strictly, and not yet believed.
type parsed struct {
	content      []byte // DER of the TSTInfo
	info         *tstInfo
	certificates []*x509.Certificate
	signer       signerInfo
}

// signerInfo is the one SignerInfo.
type signerInfo struct {
	issuer     []byte // DER of a Name
	serial     *big.Int
	digest     algorithm
	attributes map[string][]byte // DER of the one value, by type
	signed     []byte            // DER of the attributes as a SET: what the signature is over
	algorithm  algorithm
	signature  []byte
}

// read reads a token. Nothing in it is left unread but the values of attributes and extensions without a meaning here.
func read(token []byte) (*parsed, error) {
	if len(token) > MaxToken {
		return nil, refuse(ReasonTooLarge, "the token has %d bytes, more than %d", len(token), MaxToken)
	}
	sd, err := readContentInfo(token)
	if err != nil {
		return nil, err
	}
	var digests, certificates, lists, signers cryptobyte.String
	var hasCertificates, hasLists bool
	if !sd.ReadASN1(&digests, cbasn1.SET) {
		return nil, refuse(ReasonNotDER, "the SignedData has no digestAlgorithms")
	}
	p := &parsed{}
	if err := p.readContent(&sd); err != nil {
		return nil, err
	}
	if !sd.ReadOptionalASN1(&certificates, &hasCertificates, tag0) || !sd.ReadOptionalASN1(&lists, &hasLists, tag1) ||
		!sd.ReadASN1(&signers, cbasn1.SET) {
		return nil, refuse(ReasonNotDER, "the SignedData is malformed")
	}
	if !sd.Empty() {
		return nil, refuse(ReasonTrailingBytes, "%d bytes in the SignedData follow its last field", len(sd))
	}
	// Revocation lists would be bytes that nothing signs. They are kept beside the token.
	if hasLists {
		return nil, refuse(ReasonRevocationLists, "the token holds revocation data, which nothing in it signs")
	}
	if err := p.readCertificates(certificates); err != nil {
		return nil, err
	}
	if err := p.readSigners(signers); err != nil {
		return nil, err
	}
	// SPEC: RFC 5652 5.1: digestAlgorithms is a collection of message digest algorithm identifiers [used by the signers].
	a, ok := readAlgorithm(&digests)
	if !ok || !digests.Empty() || a.hash() == 0 || a.oid != p.signer.digest.oid {
		return nil, refuse(ReasonDigestAlgorithm, "digestAlgorithms does not name the signer's digest algorithm %s alone", p.signer.digest.oid)
	}
	return p, nil
}

// readContentInfo reads the wrapping, up to the version of the SignedData.
func readContentInfo(token []byte) (sd cryptobyte.String, err error) {
	s := cryptobyte.String(token)
	var ci, content cryptobyte.String
	if !s.ReadASN1(&ci, cbasn1.SEQUENCE) {
		return nil, refuse(ReasonNotDER, "the token is no DER")
	}
	if !s.Empty() {
		return nil, refuse(ReasonTrailingBytes, "%d bytes follow the token", len(s))
	}
	oid, ok := readOID(&ci)
	if !ok {
		return nil, refuse(ReasonNotDER, "the token has no content type")
	}
	// SPEC: RFC 3161 2.4.2: TimeStampToken ::= ContentInfo; contentType is id-signedData.
	if oid != oidSignedData {
		return nil, refuse(ReasonNotSignedData, "the token's type is %s, want id-signedData", oid)
	}
	if !ci.ReadASN1(&content, tag0) || !content.ReadASN1(&sd, cbasn1.SEQUENCE) {
		return nil, refuse(ReasonNotDER, "the token holds no SignedData")
	}
	if !ci.Empty() || !content.Empty() {
		return nil, refuse(ReasonTrailingBytes, "%d bytes in the token follow the SignedData", len(ci)+len(content))
	}
	var version int
	if !sd.ReadASN1Integer(&version) {
		return nil, refuse(ReasonNotDER, "the SignedData has no version")
	}
	// SPEC: RFC 5652 5.1: IF [...] (encapContentInfo eContentType is other than id-data) THEN version MUST be 3.
	if version != 3 {
		return nil, refuse(ReasonVersion, "the SignedData has version %d, want 3", version)
	}
	return sd, nil
}

// readContent reads encapContentInfo.
func (p *parsed) readContent(sd *cryptobyte.String) error {
	var encap, wrapped, content cryptobyte.String
	if !sd.ReadASN1(&encap, cbasn1.SEQUENCE) {
		return refuse(ReasonNotDER, "the SignedData has no content")
	}
	oid, ok := readOID(&encap)
	if !ok {
		return refuse(ReasonNotDER, "the content has no type")
	}
	// SPEC: RFC 3161 2.4.2: eContentType is an object identifier that uniquely specifies the content type. For a time-stamp token it
	// is defined as id-ct-TSTInfo.
	if oid != oidTSTInfo {
		return refuse(ReasonContentType, "the content's type is %s, want id-ct-TSTInfo", oid)
	}
	// SPEC: RFC 3161 2.4.2: The eContent SHALL be the DER-encoded value of TSTInfo.
	if !encap.ReadASN1(&wrapped, tag0) || !wrapped.ReadASN1(&content, cbasn1.OCTET_STRING) {
		return refuse(ReasonNotDER, "the content is missing or malformed")
	}
	if !encap.Empty() || !wrapped.Empty() {
		return refuse(ReasonTrailingBytes, "%d bytes follow the content", len(encap)+len(wrapped))
	}
	p.content = content
	var err error
	p.info, err = readInfo(p.content)
	return err
}

// readCertificates reads the set of certificates, none of them twice.
func (p *parsed) readCertificates(set cryptobyte.String) error {
	for !set.Empty() {
		if len(p.certificates) == MaxCertificates {
			return refuse(ReasonTooManyCertificates, "there are more than %d", MaxCertificates)
		}
		var raw, outer cryptobyte.String
		if !set.ReadASN1Element(&raw, cbasn1.SEQUENCE) {
			return refuse(ReasonCertificate, "number %d is no X.509 certificate", len(p.certificates)+1)
		}
		// The parser below reads the three parts and does not look behind them.
		whole := raw
		if !whole.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.SkipASN1(cbasn1.SEQUENCE) || !outer.SkipASN1(cbasn1.SEQUENCE) ||
			!outer.SkipASN1(cbasn1.BIT_STRING) || !outer.Empty() {
			return refuse(ReasonCertificate, "number %d is no X.509 certificate", len(p.certificates)+1)
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return &Error{Reason: ReasonCertificate, Detail: "reading a certificate of the token", Err: err}
		}
		for _, other := range p.certificates {
			if c.Equal(other) {
				return refuse(ReasonExtraCertificate, "%q stands there twice", c.Subject)
			}
		}
		p.certificates = append(p.certificates, c)
	}
	return nil
}

// readSigners reads signerInfos.
func (p *parsed) readSigners(set cryptobyte.String) error {
	var si cryptobyte.String
	if set.Empty() {
		return refuse(ReasonSigners, "nobody signed, want one signature")
	}
	if !set.ReadASN1(&si, cbasn1.SEQUENCE) {
		return refuse(ReasonNotDER, "the SignerInfo is malformed")
	}
	// SPEC: RFC 3161 2.4.2: The time-stamp token MUST NOT contain any signatures other than the signature of the TSA.
	if !set.Empty() {
		return refuse(ReasonSigners, "there is more than one signature")
	}
	s := &p.signer
	if err := s.readIdentifier(&si); err != nil {
		return err
	}
	var ok bool
	if s.digest, ok = readAlgorithm(&si); !ok {
		return refuse(ReasonNotDER, "the SignerInfo has no digest algorithm")
	}
	if s.digest.hash() == 0 {
		return refuse(ReasonDigestAlgorithm, "%s is none of SHA-256, SHA-384, SHA-512", s.digest.oid)
	}
	if err := s.readAttributes(&si); err != nil {
		return err
	}
	if s.algorithm, ok = readAlgorithm(&si); !ok || !si.ReadASN1Bytes(&s.signature, cbasn1.OCTET_STRING) {
		return refuse(ReasonNotDER, "the SignerInfo has no signature")
	}
	// Nothing signs unsigned attributes, and nothing here needs them.
	if si.PeekASN1Tag(tag1) {
		return refuse(ReasonUnsignedAttributes, "the token has attributes that nothing signs")
	}
	if !si.Empty() {
		return refuse(ReasonTrailingBytes, "%d bytes follow the signature", len(si))
	}
	return nil
}

// readIdentifier reads the version and who signed.
func (s *signerInfo) readIdentifier(si *cryptobyte.String) error {
	var version int
	if !si.ReadASN1Integer(&version) {
		return refuse(ReasonNotDER, "the SignerInfo has no version")
	}
	if si.PeekASN1Tag(tag0Primitive) {
		return refuse(ReasonSignerIdentifier, "the signer is named by a key identifier, want issuer and serial number")
	}
	// SPEC: RFC 5652 5.3: If the SignerIdentifier is the CHOICE issuerAndSerialNumber, then the version MUST be 1.
	if version != 1 {
		return refuse(ReasonVersion, "the SignerInfo has version %d, want 1", version)
	}
	var sid, issuer cryptobyte.String
	s.serial = new(big.Int)
	if !si.ReadASN1(&sid, cbasn1.SEQUENCE) || !sid.ReadASN1Element(&issuer, cbasn1.SEQUENCE) || !sid.ReadASN1Integer(s.serial) || !sid.Empty() {
		return refuse(ReasonNotDER, "the signer's identifier is malformed")
	}
	s.issuer = issuer
	return nil
}

// readAttributes reads the signed attributes.
func (s *signerInfo) readAttributes(si *cryptobyte.String) error {
	var element, set cryptobyte.String
	// SPEC: RFC 5652 5.3: [signedAttrs] MUST be present if the content type of the EncapsulatedContentInfo value being signed is not
	// id-data.
	if !si.PeekASN1Tag(tag0) {
		return refuse(ReasonNoSignedAttributes, "the signature is not over signed attributes")
	}
	if !si.ReadASN1Element(&element, tag0) {
		return refuse(ReasonNotDER, "the signed attributes are malformed")
	}
	// SPEC: RFC 5652 5.4: The IMPLICIT [0] tag in the signedAttrs is not used for the DER encoding, rather an EXPLICIT SET OF tag is
	// used.
	s.signed = bytes.Clone(element)
	s.signed[0] = byte(cbasn1.SET)
	if !element.ReadASN1(&set, tag0) {
		return refuse(ReasonNotDER, "the signed attributes are malformed")
	}
	s.attributes = map[string][]byte{}
	var last []byte
	for !set.Empty() {
		var raw cryptobyte.String
		if !set.ReadASN1Element(&raw, cbasn1.SEQUENCE) {
			return refuse(ReasonAttributes, "a signed attribute is malformed")
		}
		// SPEC: RFC 5652 5.3: SignedAttributes MUST be DER encoded. DER sorts sets.
		if bytes.Compare(last, raw) >= 0 {
			return refuse(ReasonAttributes, "the signed attributes are not sorted, or one is repeated")
		}
		if last = raw; !s.readAttribute(raw) {
			return refuse(ReasonAttributes, "a signed attribute is malformed, repeated, or has not one value")
		}
	}
	return nil
}

func (s *signerInfo) readAttribute(raw cryptobyte.String) bool {
	var attr, values, value cryptobyte.String
	var tag cbasn1.Tag
	if !raw.ReadASN1(&attr, cbasn1.SEQUENCE) {
		return false
	}
	oid, ok := readOID(&attr)
	if !ok || !attr.ReadASN1(&values, cbasn1.SET) || !attr.Empty() {
		return false
	}
	// SPEC: RFC 5652 11.1, 11.2, 11.3: a [content-type, message-digest, signing-time] attribute MUST have a single attribute value;
	// the SignedAttributes MUST NOT include multiple instances of it. RFC 5035 3 says the same of the signing certificate. No other
	// attribute has more in a time-stamp token.
	if _, twice := s.attributes[oid]; twice || !values.ReadAnyASN1Element(&value, &tag) || !values.Empty() {
		return false
	}
	s.attributes[oid] = value
	return true
}
