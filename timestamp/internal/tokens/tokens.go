// Package tokens builds RFC 3161 time-stamp tokens: right ones for the development authority, and ones that are wrong in any one place
// for tests. It does not read them, and shares no code with what does.
package tokens

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // ESSCertID is defined by it
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers.
var (
	OIDSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	OIDData                 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	OIDTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	OIDContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	OIDMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	OIDSigningTime          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	OIDSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	OIDSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	OIDMGF1                 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	OIDPSS                  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
)

// GenTimeLayout is that of a genTime of whole seconds.
const GenTimeLayout = "20060102150405Z"

// An Info is a TSTInfo.
type Info struct {
	Version    int64
	Policy     asn1.ObjectIdentifier
	Hash       crypto.Hash
	Imprint    []byte
	Serial     *big.Int
	GenTime    string   // as it stands in the GeneralizedTime
	Accuracy   []byte   // DER; nil leaves it out
	Nonce      *big.Int // nil leaves it out
	TSA        []byte   // DER of a GeneralName; nil leaves it out
	Extensions []byte   // DER of one or more; nil leaves it out
	Tail       []byte   // after the last field
}

// DER encodes it.
func (i Info) DER() []byte {
	return Sequence(
		Integer(big.NewInt(i.Version)),
		OID(i.Policy),
		Sequence(HashAlgorithm(i.Hash), OctetString(i.Imprint)),
		Integer(i.Serial),
		Element(cbasn1.GeneralizedTime, []byte(i.GenTime)),
		i.Accuracy,
		optional(i.Nonce != nil, func() []byte { return Integer(i.Nonce) }),
		optional(i.TSA != nil, func() []byte { return Element(Tag(0), i.TSA) }),
		optional(i.Extensions != nil, func() []byte { return Element(Tag(1), i.Extensions) }),
		i.Tail,
	)
}

// Accuracy encodes one of whole seconds.
func Accuracy(d time.Duration) []byte { return Sequence(Integer(big.NewInt(int64(d / time.Second)))) }

// A Signer makes a SignerInfo.
type Signer struct {
	Version     int64
	Key         crypto.Signer
	Certificate *x509.Certificate
	Issuer      []byte // DER of the Name in the identifier
	Serial      *big.Int
	KeyID       []byte // if not nil, the identifier is this instead
	Hash        crypto.Hash
	PSS         bool
	Algorithm   []byte   // DER of the signature's AlgorithmIdentifier
	Attributes  [][]byte // DER, signed; nil signs the content itself
	Unsorted    bool     // they stand in the reverse of DER's order, which is also what is signed
	Unsigned    []byte   // DER of one or more attributes; nil leaves them out
	Tail        []byte   // after the last field
}

// NewSigner is a signer with the attributes that RFC 3161 demands and, for each true of v1 and v2, one that binds its certificate.
func NewSigner(key crypto.Signer, c *x509.Certificate, hash crypto.Hash, pss bool, content []byte, v1, v2 bool) (Signer, error) {
	alg, err := signatureAlgorithm(key, hash, pss)
	if err != nil {
		return Signer{}, err
	}
	s := Signer{
		Version: 1, Key: key, Certificate: c, Issuer: c.RawIssuer, Serial: c.SerialNumber, Hash: hash, PSS: pss, Algorithm: alg,
		Attributes: [][]byte{Attribute(OIDContentType, OID(OIDTSTInfo)), Attribute(OIDMessageDigest, OctetString(Sum(hash, content)))},
	}
	if v1 {
		s.Attributes = append(s.Attributes, SigningCertificate(Sequence(CertID(c, c.RawIssuer, c.SerialNumber))))
	}
	if v2 {
		s.Attributes = append(s.Attributes, SigningCertificateV2(Sequence(CertIDV2(c, crypto.SHA256))))
	}
	return s, nil
}

func (s Signer) der(content []byte) ([]byte, error) {
	signed := content
	var attributes []byte
	if s.Attributes != nil {
		list := sorted(s.Attributes)
		if s.Unsorted {
			slices.Reverse(list)
		}
		set := bytes.Join(list, nil)
		signed, attributes = Element(cbasn1.SET, set), Element(Tag(0), set)
	}
	var opts crypto.SignerOpts = s.Hash
	if s.PSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.Hash}
	}
	signature, err := s.Key.Sign(rand.Reader, Sum(s.Hash, signed), opts)
	if err != nil {
		return nil, fmt.Errorf("signing a time-stamp token: %w", err)
	}
	identifier := Sequence(s.Issuer, Integer(s.Serial))
	if s.KeyID != nil {
		identifier = Element(cbasn1.Tag(0).ContextSpecific(), s.KeyID)
	}
	return Sequence(
		Integer(big.NewInt(s.Version)),
		identifier,
		HashAlgorithm(s.Hash),
		attributes,
		s.Algorithm,
		OctetString(signature),
		optional(s.Unsigned != nil, func() []byte { return Element(Tag(1), s.Unsigned) }),
		s.Tail,
	), nil
}

// A Token is a TimeStampToken.
type Token struct {
	Type         asn1.ObjectIdentifier
	Version      int64
	Digests      []byte // DER of the members of digestAlgorithms
	ContentType  asn1.ObjectIdentifier
	Content      []byte // DER of the TSTInfo
	Certificates [][]byte
	Lists        []byte // DER of revocation lists; nil leaves them out
	Signers      []Signer
	Tail         []byte // after the signers
	ContentTail  []byte // after the content, beside it
	OuterTail    []byte // after the SignedData, beside it
}

// New is a token as it should be.
func New(content []byte, certificates [][]byte, s Signer) Token {
	return Token{
		Type: OIDSignedData, Version: 3, Digests: HashAlgorithm(s.Hash), ContentType: OIDTSTInfo,
		Content: content, Certificates: certificates, Signers: []Signer{s},
	}
}

// DER signs and encodes it.
func (t Token) DER() ([]byte, error) {
	var signers []byte
	for _, s := range t.Signers {
		der, err := s.der(t.Content)
		if err != nil {
			return nil, err
		}
		signers = append(signers, der...)
	}
	signed := Sequence(
		Integer(big.NewInt(t.Version)),
		Element(cbasn1.SET, t.Digests),
		Sequence(OID(t.ContentType), Element(Tag(0), OctetString(t.Content)), t.ContentTail),
		optional(t.Certificates != nil, func() []byte { return Element(Tag(0), bytes.Join(t.Certificates, nil)) }),
		optional(t.Lists != nil, func() []byte { return Element(Tag(1), t.Lists) }),
		Element(cbasn1.SET, signers),
		t.Tail,
	)
	return Sequence(OID(t.Type), Element(Tag(0), signed), t.OuterTail), nil
}

// Response wraps a token that was granted.
func Response(token []byte) []byte { return Sequence(Sequence(Integer(new(big.Int))), token) }

// Rejection is the response that grants none. The bit is of PKIFailureInfo.
func Rejection(bit int, text string) []byte {
	info := asn1.BitString{Bytes: make([]byte, bit/8+1), BitLength: bit + 1}
	info.Bytes[bit/8] = 0x80 >> (bit % 8)
	return Sequence(Sequence(Integer(big.NewInt(2)), Sequence(Element(cbasn1.UTF8String, []byte(text))), mustMarshal(info)))
}

// SigningCertificate is the attribute with a list of ESSCertID.
func SigningCertificate(list []byte) []byte { return Attribute(OIDSigningCertificate, Sequence(list)) }

// SigningCertificateV2 is the attribute with a list of ESSCertIDv2.
func SigningCertificateV2(list []byte) []byte {
	return Attribute(OIDSigningCertificateV2, Sequence(list))
}

// CertID is an ESSCertID.
func CertID(c *x509.Certificate, issuer []byte, serial *big.Int) []byte {
	h := sha1.Sum(c.Raw) //nolint:gosec
	return Sequence(OctetString(h[:]), Sequence(Sequence(Element(Tag(4), issuer)), Integer(serial)))
}

// CertIDV2 is an ESSCertIDv2.
func CertIDV2(c *x509.Certificate, hash crypto.Hash) []byte {
	return Sequence(
		optional(hash != crypto.SHA256, func() []byte { return HashAlgorithm(hash) }),
		OctetString(Sum(hash, c.Raw)),
	)
}

// Attribute is one with one value.
func Attribute(oid asn1.ObjectIdentifier, value []byte) []byte {
	return Sequence(OID(oid), Element(cbasn1.SET, value))
}

func sorted(list [][]byte) [][]byte {
	list = slices.Clone(list)
	slices.SortFunc(list, bytes.Compare)
	return list
}

// Sum hashes.
func Sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	if _, err := io.Copy(w, bytes.NewReader(b)); err != nil {
		panic(err) // a hash never fails
	}
	return w.Sum(nil)
}
