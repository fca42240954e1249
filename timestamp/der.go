package timestamp

import (
	"bytes"
	"crypto"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers, dotted.
const (
	oidSignedData           = "1.2.840.113549.1.7.2"
	oidTSTInfo              = "1.2.840.113549.1.9.16.1.4"
	oidContentType          = "1.2.840.113549.1.9.3"
	oidMessageDigest        = "1.2.840.113549.1.9.4"
	oidSigningTime          = "1.2.840.113549.1.9.5"
	oidSigningCertificate   = "1.2.840.113549.1.9.16.2.12"
	oidSigningCertificateV2 = "1.2.840.113549.1.9.16.2.47"
	oidSHA256               = "2.16.840.1.101.3.4.2.1"
	oidSHA384               = "2.16.840.1.101.3.4.2.2"
	oidSHA512               = "2.16.840.1.101.3.4.2.3"
	oidMGF1                 = "1.2.840.113549.1.1.8"
	oidExtKeyUsage          = "2.5.29.37"
	oidKeyUsage             = "2.5.29.15"
)

var (
	tag0Primitive = cbasn1.Tag(0).ContextSpecific()
	tag1Primitive = cbasn1.Tag(1).ContextSpecific()
	tag0          = cbasn1.Tag(0).ContextSpecific().Constructed()
	tag1          = cbasn1.Tag(1).ContextSpecific().Constructed()
	tag2          = cbasn1.Tag(2).ContextSpecific().Constructed()
	tag4          = cbasn1.Tag(4).ContextSpecific().Constructed()
)

func readOID(s *cryptobyte.String) (string, bool) {
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1ObjectIdentifier(&oid) {
		return "", false
	}
	return oid.String(), true
}

// An algorithm is an AlgorithmIdentifier.
type algorithm struct {
	oid    string
	params []byte // DER; nil where absent
}

func readAlgorithm(s *cryptobyte.String) (a algorithm, ok bool) {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return a, false
	}
	if a.oid, ok = readOID(&seq); !ok {
		return a, false
	}
	if seq.Empty() {
		return a, true
	}
	var params cryptobyte.String
	var tag cbasn1.Tag
	if !seq.ReadAnyASN1Element(&params, &tag) || !seq.Empty() {
		return a, false
	}
	a.params = params
	return a, true
}

// plain says that there are no parameters, in either of the two spellings in use.
func (a algorithm) plain() bool { return a.params == nil || bytes.Equal(a.params, []byte{5, 0}) }

// hash is the hash function that an algorithm names, zero for any but the three that are accepted: SHA-1 least of all.
func (a algorithm) hash() crypto.Hash {
	if !a.plain() {
		return 0
	}
	switch a.oid {
	case oidSHA256:
		return crypto.SHA256
	case oidSHA384:
		return crypto.SHA384
	case oidSHA512:
		return crypto.SHA512
	}
	return 0
}

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}
