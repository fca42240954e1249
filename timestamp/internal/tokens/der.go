package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Tag is a context-specific, constructed tag.
func Tag(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

// Element is content under a tag.
func Element(tag cbasn1.Tag, content []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	return b.BytesOrPanic()
}

// Sequence is one of parts that are encoded; nil parts are left out.
func Sequence(parts ...[]byte) []byte { return Element(cbasn1.SEQUENCE, bytes.Join(parts, nil)) }

// OctetString encodes one.
func OctetString(b []byte) []byte { return Element(cbasn1.OCTET_STRING, b) }

// Integer encodes one.
func Integer(n *big.Int) []byte { return mustMarshal(n) }

// OID encodes an object identifier.
func OID(oid asn1.ObjectIdentifier) []byte { return mustMarshal(oid) }

func mustMarshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err) // all callers give values that have an encoding
	}
	return b
}

func optional(there bool, der func() []byte) []byte {
	if !there {
		return nil
	}
	return der()
}

func hashOID(h crypto.Hash) asn1.ObjectIdentifier {
	switch h {
	case crypto.SHA1:
		return asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	case crypto.SHA256:
		return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	case crypto.SHA384:
		return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	}
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
}

// HashAlgorithm is the AlgorithmIdentifier of a hash function.
func HashAlgorithm(h crypto.Hash) []byte { return Sequence(OID(hashOID(h)), []byte{5, 0}) }

// PSSAlgorithm is that of RSASSA-PSS with MGF1.
func PSSAlgorithm(hash, mgf crypto.Hash, salt int) []byte {
	return Sequence(OID(OIDPSS), Sequence(
		Element(Tag(0), HashAlgorithm(hash)),
		Element(Tag(1), Sequence(OID(OIDMGF1), HashAlgorithm(mgf))),
		Element(Tag(2), Integer(big.NewInt(int64(salt)))),
	))
}

func signatureAlgorithm(key crypto.Signer, hash crypto.Hash, pss bool) ([]byte, error) {
	switch key.Public().(type) {
	case *ecdsa.PublicKey:
		n := map[crypto.Hash]int{crypto.SHA256: 2, crypto.SHA384: 3, crypto.SHA512: 4}[hash]
		if hash == crypto.SHA1 {
			return Sequence(OID(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1})), nil
		}
		return Sequence(OID(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, n})), nil
	case *rsa.PublicKey:
		if pss {
			return PSSAlgorithm(hash, hash, hash.Size()), nil
		}
		return Sequence(OID(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}), []byte{5, 0}), nil
	}
	return nil, fmt.Errorf("keys of type %T sign no time-stamp tokens", key.Public())
}
