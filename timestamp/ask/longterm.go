package ask

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/stenolog/steno/timestamp"
)

// Kinds of long-term data.
const (
	KindChain  = "certificate-chain" // PEM, from the signer's certificate upwards
	KindCRL    = "crl"               // DER
	KindOCSP   = "ocsp"              // DER of an OCSPResponse
	KindPolicy = "policy-document"
)

const (
	maxCRL  = 1 << 20
	maxOCSP = 64 << 10
	maxURLs = 4 // of a kind, in one certificate
	// longTermTimeout bounds all of it together: a token must not wait for a revocation list that does not come.
	longTermTimeout = 30 * time.Second
)

// A Blob is a piece of long-term data.
type Blob struct {
	Kind  string
	Bytes []byte
}

// LongTerm collects the long-term data of a token, again if need be: what an authority says of revocation a while later is worth more.
// What can't be had is left out, and the logger told.
func (a Authority) LongTerm(ctx context.Context, token []byte) []Blob {
	ctx, cancel := context.WithTimeout(ctx, longTermTimeout)
	defer cancel()
	var blobs []Blob
	chain, err := a.chain(token)
	if err != nil {
		a.missing("certificate chain", "", err)
	}
	if len(chain) > 0 {
		var b bytes.Buffer
		for _, c := range chain {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		}
		blobs = append(blobs, Blob{KindChain, b.Bytes()})
	}
	for i, c := range chain[:max(len(chain)-1, 0)] {
		if crl, ok := a.crl(ctx, c, chain[i+1]); ok {
			blobs = append(blobs, Blob{KindCRL, crl})
		}
		if answer, ok := a.ocsp(ctx, c, chain[i+1]); ok {
			blobs = append(blobs, Blob{KindOCSP, answer})
		}
	}
	if len(a.PolicyDocument) > 0 {
		blobs = append(blobs, Blob{KindPolicy, a.PolicyDocument})
	}
	return blobs
}

func (a Authority) missing(what, where string, err error) {
	if a.Logger != nil {
		a.Logger.Warn("long-term data of a time stamp could not be had", "authority", a.Name, "what", what, "url", where, "error", err)
	}
}

// revoked tells of what is kept as any other answer is: it is for a judge to weigh.
func (a Authority) revoked(c *x509.Certificate, since time.Time) {
	if a.Logger != nil {
		a.Logger.Error("a certificate of a time-stamp authority is revoked", "authority", a.Name, "serial", c.SerialNumber.Text(16), "since", since)
	}
}

// chain leads from the signer's certificate upwards, as far as the token and the configuration go.
func (a Authority) chain(token []byte) ([]*x509.Certificate, error) {
	p, err := timestamp.Peek(token)
	if err != nil {
		return nil, err
	}
	known := p.Certificates
	var bad error
	for _, der := range a.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("reading a configured certificate: %w", err))
			continue
		}
		known = append(known, c)
	}
	chain := []*x509.Certificate{p.Signer}
	for len(chain) <= timestamp.MaxCertificates {
		last := chain[len(chain)-1]
		i := slices.IndexFunc(known, func(c *x509.Certificate) bool {
			return !slices.ContainsFunc(chain, c.Equal) && bytes.Equal(last.RawIssuer, c.RawSubject) && last.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			break
		}
		chain = append(chain, known[i])
	}
	return chain, bad
}

// may says whether a certificate may send us to an address.
func (a Authority) may(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("reading the address: %w", err)
	}
	if u.Scheme != "http" || u.User != nil {
		return errors.New("the address is not one of plain http")
	}
	if own, err := url.Parse(a.URL); err == nil && u.Host == own.Host {
		return nil
	}
	if !slices.Contains(a.RevocationHosts, u.Host) {
		return fmt.Errorf("the host %q is not among those allowed for revocation data", u.Host)
	}
	return nil
}

// crl gets the revocation list that speaks of a certificate.
func (a Authority) crl(ctx context.Context, c, issuer *x509.Certificate) ([]byte, bool) {
	for _, address := range c.CRLDistributionPoints[:min(len(c.CRLDistributionPoints), maxURLs)] {
		der, err := a.fetchCRL(ctx, address, c, issuer)
		if err == nil {
			return der, true
		}
		a.missing(KindCRL, address, err)
	}
	return nil, false
}

func (a Authority) fetchCRL(ctx context.Context, address string, c, issuer *x509.Certificate) ([]byte, error) {
	if err := a.may(address); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	der, err := a.do(req, "", maxCRL) // types of revocation lists are as various as servers
	if err != nil {
		return nil, err
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("reading the revocation list: %w", err)
	}
	if err := crl.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("the revocation list is not by the certificate's issuer: %w", err)
	}
	for _, e := range crl.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
			a.revoked(c, e.RevocationTime)
		}
	}
	return der, nil
}

// ocsp gets a responder's word on a certificate.
func (a Authority) ocsp(ctx context.Context, c, issuer *x509.Certificate) ([]byte, bool) {
	for _, address := range c.OCSPServer[:min(len(c.OCSPServer), maxURLs)] {
		der, err := a.fetchOCSP(ctx, address, c, issuer)
		if err == nil {
			return der, true
		}
		a.missing(KindOCSP, address, err)
	}
	return nil, false
}

func (a Authority) fetchOCSP(ctx context.Context, address string, c, issuer *x509.Certificate) ([]byte, error) {
	if err := a.may(address); err != nil {
		return nil, err
	}
	query, err := ocsp.CreateRequest(c, issuer, nil)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	der, err := a.do(req, "application/ocsp-response", maxOCSP)
	if err != nil {
		return nil, err
	}
	answer, err := ocsp.ParseResponseForCert(der, c, issuer)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if answer.Status == ocsp.Revoked {
		a.revoked(c, answer.RevokedAt)
	}
	return der, nil
}
