package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Names of the files of a directory.
const (
	KeyFile   = "authority.key"
	ChainFile = "authority.pem"
)

const rsaBits = 2048

// Kinds of keys.
const (
	ECDSA = "ecdsa" // P-256
	RSA   = "rsa"
)

// Material is what an authority signs with.
type Material struct {
	Key   crypto.Signer
	Chain []*x509.Certificate // from the signer's to the anchor
}

// Make makes the material of an authority whose certificates are valid in [from, until].
func Make(name, kind string, from, until time.Time) (Material, error) {
	if name == "" {
		return Material{}, errors.New("a time-stamp authority needs a name")
	}
	if !from.Before(until) {
		return Material{}, fmt.Errorf("certificates from %s until %s are never valid", from.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	rootKey, err := makeKey(kind)
	if err != nil {
		return Material{}, err
	}
	key, err := makeKey(kind)
	if err != nil {
		return Material{}, err
	}
	root := &x509.Certificate{
		Subject: subject(name + " root"), NotBefore: from, NotAfter: until,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	rootCert, err := issue(root, root, rootKey.Public(), rootKey)
	if err != nil {
		return Material{}, err
	}
	// SPEC: RFC 3161 2.3: id-kp-timeStamping alone, in a critical extension, which x509's own ExtKeyUsage would not be.
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return Material{}, fmt.Errorf("encoding the key usage of a certificate: %w", err)
	}
	signer := &x509.Certificate{
		Subject: subject(name), NotBefore: from, NotAfter: until,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}},
	}
	cert, err := issue(signer, rootCert, key.Public(), rootKey)
	if err != nil {
		return Material{}, err
	}
	return Material{key, []*x509.Certificate{cert, rootCert}}, nil
}

func subject(name string) pkix.Name {
	return pkix.Name{Organization: []string{"steno"}, OrganizationalUnit: []string{Label}, CommonName: name}
}

func makeKey(kind string) (crypto.Signer, error) {
	switch kind {
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return nil, fmt.Errorf("a key of kind %q is neither %s nor %s", kind, ECDSA, RSA)
}

func issue(c, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	var err error
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits)); err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", c.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// Write writes material into a directory, which is made if need be. It does not replace files.
func (m Material) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the authority's directory: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(m.Key)
	if err != nil {
		return fmt.Errorf("encoding the authority's key: %w", err)
	}
	// The key last: a directory with a key is whole.
	if err := create(filepath.Join(dir, ChainFile), m.PEM(), 0o644); err != nil {
		return err
	}
	return create(filepath.Join(dir, KeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
}

// PEM is the chain.
func (m Material) PEM() []byte {
	var b bytes.Buffer
	for _, c := range m.Chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

func create(path string, b []byte, mode os.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing the authority's files: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("writing the authority's files: %w", err)
	}
	return f.Sync()
}

// Load reads what Write wrote.
func Load(dir string) (m Material, err error) {
	b, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		return m, fmt.Errorf("reading the authority's key: %w", err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return m, fmt.Errorf("%s is not one private key in PEM", filepath.Join(dir, KeyFile))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return m, fmt.Errorf("reading the authority's key: %w", err)
	}
	var ok bool
	if m.Key, ok = key.(crypto.Signer); !ok {
		return m, fmt.Errorf("the authority's key is a %T, which does not sign", key)
	}
	rest, err = os.ReadFile(filepath.Join(dir, ChainFile))
	if err != nil {
		return m, fmt.Errorf("reading the authority's certificates: %w", err)
	}
	for len(bytes.TrimSpace(rest)) > 0 {
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return m, fmt.Errorf("%s holds something that is no certificate in PEM", filepath.Join(dir, ChainFile))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return m, fmt.Errorf("reading the authority's certificates: %w", err)
		}
		m.Chain = append(m.Chain, c)
	}
	public, ok := m.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || len(m.Chain) == 0 || !public.Equal(m.Chain[0].PublicKey) {
		return m, fmt.Errorf("the first certificate in %s is not that of the key beside it", filepath.Join(dir, ChainFile))
	}
	return m, nil
}
