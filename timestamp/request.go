package timestamp

import (
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const nonceBytes = 16

// A Request asks for a token over a digest.
type Request struct {
	Digest [sha256.Size]byte
	Nonce  *big.Int
	DER    []byte // TimeStampReq: what is sent
}

// NewRequest makes a request for SHA-256, with a nonce of 128 bits, that wants the authority's certificates in the token.
func NewRequest(digest [sha256.Size]byte, rand io.Reader) (Request, error) {
	var n [nonceBytes]byte
	if _, err := io.ReadFull(rand, n[:]); err != nil {
		return Request{}, fmt.Errorf("drawing the nonce of a time-stamp request: %w", err)
	}
	nonce := new(big.Int).SetBytes(n[:])
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // messageImprint
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}) // SHA-256
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(digest[:])
		})
		b.AddASN1BigInt(nonce)
		b.AddASN1Boolean(true) // certReq
	})
	der, err := b.Bytes()
	if err != nil {
		return Request{}, fmt.Errorf("encoding a time-stamp request: %w", err)
	}
	return Request{Digest: digest, Nonce: nonce, DER: der}, nil
}

// Statuses of a response that brings a token (RFC 3161, section 2.4.2).
const (
	statusGranted         = 0
	statusGrantedWithMods = 1
)

// Token returns the exact bytes of the token in a response (TimeStampResp) to this request. It is granted, well formed, over the
// request's digest and nonce, and its signer's certificate is inside. That the signature is worth something is for Verify to say.
func (r Request) Token(response []byte) ([]byte, error) {
	raw, err := grantedToken(response)
	if err != nil {
		return nil, err
	}
	p, err := read(raw)
	if err != nil {
		return nil, err
	}
	if err := p.info.checkImprint(r.Digest); err != nil {
		return nil, err
	}
	// SPEC: RFC 3161 2.4.2: the nonce field MUST be present if it was present in the TimeStampReq. In such a case it MUST equal the
	// value provided in the TimeStampReq structure.
	if p.info.nonce == nil || r.Nonce == nil || p.info.nonce.Cmp(r.Nonce) != 0 {
		return nil, refuse(ReasonNonce, "the token answers another request: its nonce is %v, want %v", p.info.nonce, r.Nonce)
	}
	// SPEC: RFC 3161 2.4.1: If the certReq field is present and set to true, the TSA's public key certificate [...] MUST be provided
	// by the TSA in the certificates field.
	if _, err := p.signerCertificate(); err != nil {
		return nil, err
	}
	return append([]byte(nil), raw...), nil
}

// grantedToken is the timeStampToken of a response.
func grantedToken(response []byte) ([]byte, error) {
	if len(response) > MaxToken {
		return nil, refuse(ReasonTooLarge, "the response has %d bytes, more than %d", len(response), MaxToken)
	}
	s := cryptobyte.String(response)
	var resp, status cryptobyte.String
	var code int
	if !s.ReadASN1(&resp, cbasn1.SEQUENCE) || !resp.ReadASN1(&status, cbasn1.SEQUENCE) || !status.ReadASN1Integer(&code) {
		return nil, refuse(ReasonNotDER, "this is no time-stamp response")
	}
	if !s.Empty() {
		return nil, refuse(ReasonTrailingBytes, "%d bytes follow the response", len(s))
	}
	// SPEC: RFC 3161 2.4.2: When the status contains the value zero or one, a TimeStampToken MUST be present. When status contains a
	// value other than zero or one, a TimeStampToken MUST NOT be present.
	if code != statusGranted && code != statusGrantedWithMods {
		return nil, refuse(ReasonNotGranted, "the authority answers status %d%s", code, statusText(status))
	}
	var token cryptobyte.String
	if !resp.ReadASN1Element(&token, cbasn1.SEQUENCE) {
		return nil, refuse(ReasonNotDER, "the response is granted and holds no token")
	}
	if !resp.Empty() {
		return nil, refuse(ReasonTrailingBytes, "%d bytes follow the token", len(resp))
	}
	return token, nil
}

const maxStatusText = 200

// statusText is the first of an authority's own words, quoted.
func statusText(status cryptobyte.String) string {
	var free, text cryptobyte.String
	if !status.ReadASN1(&free, cbasn1.SEQUENCE) || !free.ReadASN1(&text, cbasn1.UTF8String) {
		return ""
	}
	return fmt.Sprintf(", saying %q", text[:min(len(text), maxStatusText)])
}
