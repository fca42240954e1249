package ask_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/stenolog/steno/timestamp/ask"
	"github.com/stenolog/steno/timestamp/authority"
)

// A revoker is a development authority whose signer's certificate names this server for revocation data.
type revoker struct {
	t        *testing.T
	key      *ecdsa.PrivateKey
	root     *x509.Certificate
	material authority.Material
	crl      func() []byte
	revoked  bool
}

func newRevoker(t *testing.T, base string) *revoker {
	t.Helper()
	r := &revoker{t: t}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	r.key = keys[0]
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
	}
	r.root = r.issue(root, root, &keys[0].PublicKey)
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	signer := r.issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "signer"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtraExtensions:       []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}},
		CRLDistributionPoints: []string{"ldap://localhost/crl", base + "/crl"}, OCSPServer: []string{base + "/ocsp"},
	}, r.root, &keys[1].PublicKey)
	r.material = authority.Material{Key: keys[1], Chain: []*x509.Certificate{signer, r.root}}
	r.crl = func() []byte {
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
		if r.revoked {
			list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: signer.SerialNumber, RevocationTime: now}}
		}
		b, err := x509.CreateRevocationList(rand.Reader, list, r.root, r.key)
		if err != nil {
			t.Error(err)
		}
		return b
	}
	return r
}

func (r *revoker) issue(c, parent *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	r.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	return cert
}

func (r *revoker) ocsp() []byte {
	b, err := ocsp.CreateResponse(r.root, r.root, ocsp.Response{Status: ocsp.Good, SerialNumber: big.NewInt(2), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}, r.key)
	if err != nil {
		r.t.Error(err)
	}
	return b
}

func TestLongTerm(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	r, stranger := newRevoker(t, server.URL), newRevoker(t, server.URL)
	dev, err := authority.New(authority.Config{Material: r.material, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	crl := r.crl
	mux.Handle("/", dev)
	mux.HandleFunc("/crl", func(w http.ResponseWriter, _ *http.Request) { w.Write(crl()) }) //nolint:errcheck
	mux.HandleFunc("/ocsp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/ocsp-response")
		w.Write(r.ocsp()) //nolint:errcheck
	})
	other := httptest.NewServer(mux)
	defer other.Close()
	for _, c := range []struct {
		name    string
		url     string
		hosts   []string
		crl     func() []byte
		revoked bool
		kinds   string
		told    string
	}{
		{"all", server.URL, nil, r.crl, false, "certificate-chain crl ocsp", "not one of plain http"},
		{"revoked, which is evidence", server.URL, nil, r.crl, true, "certificate-chain crl ocsp", "is revoked"},
		{"a host that nobody allowed", other.URL, nil, r.crl, false, "certificate-chain", "is not among those allowed"},
		{"a host that is allowed", other.URL, []string{strings.TrimPrefix(server.URL, "http://")}, r.crl, false, "certificate-chain crl ocsp", ""},
		{"a list by another issuer", server.URL, nil, stranger.crl, false, "certificate-chain ocsp", "not by the certificate's issuer"},
		{"a list that is none", server.URL, nil, func() []byte { return []byte("<html>") }, false, "certificate-chain ocsp", "reading the revocation list"},
		{"a list of more than a MiB", server.URL, nil, func() []byte { return make([]byte, 1<<20+1) }, false, "certificate-chain ocsp", "more than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told bytes.Buffer
			crl, r.revoked = c.crl, c.revoked
			a := ask.Authority{Name: "a test", URL: c.url, RevocationHosts: c.hosts, Logger: slog.New(slog.NewTextHandler(&told, nil))}
			_, longTerm, err := a.Ask(t.Context(), digest)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, b := range longTerm {
				kinds = append(kinds, b.Kind)
			}
			if got := strings.Join(kinds, " "); got != c.kinds || !strings.Contains(told.String(), c.told) {
				t.Errorf("collected %q, want %q; told\n%s", got, c.kinds, told.String())
			}
		})
	}
}
