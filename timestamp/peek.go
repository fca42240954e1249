package timestamp

import (
	"crypto/x509"
	"slices"
	"time"
)

// A Claim is what a well-formed token says, which nobody has verified. It is for those who collect what a judge will need.
type Claim struct {
	Time         time.Time
	Policy       string
	Signer       *x509.Certificate
	Certificates []*x509.Certificate // all that the token holds
}

// Peek reads a token without judging it.
func Peek(token []byte) (Claim, error) {
	p, err := read(token)
	if err != nil {
		return Claim{}, err
	}
	signer, err := p.signerCertificate()
	if err != nil {
		return Claim{}, err
	}
	return Claim{p.info.genTime, p.info.policy, signer, slices.Clone(p.certificates)}, nil
}
