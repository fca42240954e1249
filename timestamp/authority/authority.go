// Package authority is a time-stamp authority for development and tests. It speaks RFC 3161 as others do, and its word is worth nothing:
// whoever runs it also runs the log that it stamps, sets its clock and holds its key. An external authority is somebody else.
//
// Its material is a directory of two files: authority.key, the signing key (PKCS #8 in PEM), and authority.pem, its certificate and that
// of the certification authority made for it, whose key was thrown away.
package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/stenolog/steno/timestamp/internal/tokens"
)

const (
	// Label is in the subject of every certificate made here.
	Label = "development, no external authority"
	// Accuracy is what tokens claim.
	Accuracy = time.Second

	queryType  = "application/timestamp-query"
	replyType  = "application/timestamp-reply"
	maxQuery   = 4 << 10
	serialBits = 128
)

// PolicyOID is what tokens are made under: a number of nobody's, for want of a policy.
const PolicyOID = "2.25.1936027247"

func policy() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 25, 1936027247} }

// Bits of PKIFailureInfo (RFC 3161, section 2.4.2).
const (
	badAlg               = 0
	badRequest           = 2
	badDataFormat        = 5
	unacceptedPolicy     = 15
	unacceptedExtensions = 16
)

// Config is what an authority needs.
type Config struct {
	Material
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: says nothing
}

// An Authority answers requests for time-stamp tokens over HTTP.
type Authority struct {
	cfg Config
}

// New takes an authority into service.
func New(cfg Config) (*Authority, error) {
	if cfg.Key == nil || len(cfg.Chain) == 0 {
		return nil, errors.New("a time-stamp authority needs a key and its certificate")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Authority{cfg}, nil
}

// ServeHTTP answers a request.
// SPEC: RFC 3161 3.4: application/timestamp-query is answered with application/timestamp-reply.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a steno time-stamp authority for "+Label+": POST requests of RFC 3161", http.StatusMethodNotAllowed)
		return
	}
	if r.Header.Get("Content-Type") != queryType {
		http.Error(w, "want "+queryType, http.StatusUnsupportedMediaType)
		return
	}
	query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuery))
	if err != nil {
		http.Error(w, "the request is too large, or broke off", http.StatusBadRequest)
		return
	}
	response, err := a.Respond(query)
	if err != nil {
		a.cfg.Logger.Error("no time-stamp token could be made", "error", err)
		http.Error(w, "no token could be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", replyType)
	if _, err := w.Write(response); err != nil {
		a.cfg.Logger.Warn("a time-stamp token was not delivered", "error", err)
	}
}

// Respond makes the response (TimeStampResp) to a request (TimeStampReq), granted or not.
func (a *Authority) Respond(query []byte) ([]byte, error) {
	q, bit, reason := readQuery(query)
	if reason != "" {
		return tokens.Rejection(bit, reason), nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	signer := a.cfg.Chain[0]
	info := tokens.Info{
		Version: 1, Policy: policy(), Hash: q.hash, Imprint: q.digest, Serial: serial, Nonce: q.nonce,
		GenTime: a.cfg.Now().UTC().Format(tokens.GenTimeLayout), Accuracy: tokens.Accuracy(Accuracy),
		TSA: tokens.Element(tokens.Tag(4), signer.RawSubject),
	}
	content := info.DER()
	s, err := tokens.NewSigner(a.cfg.Key, signer, crypto.SHA256, false, content, false, true)
	if err != nil {
		return nil, err
	}
	var certificates [][]byte
	if q.certificates {
		for _, c := range a.cfg.Chain {
			certificates = append(certificates, c.Raw)
		}
	}
	token, err := tokens.New(content, certificates, s).DER()
	if err != nil {
		return nil, err
	}
	a.cfg.Logger.Info("stamped", "serial", serial.Text(16), "time", info.GenTime)
	return tokens.Response(token), nil
}

type query struct {
	hash         crypto.Hash
	digest       []byte
	nonce        *big.Int
	certificates bool
}

// readQuery reads a request. What is wrong with it comes back as a bit of PKIFailureInfo and in words.
func readQuery(der []byte) (q query, bit int, reason string) {
	s := cryptobyte.String(der)
	var seq, imprint, alg cryptobyte.String
	var version int
	var oid, wanted asn1.ObjectIdentifier
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1Integer(&version) || version != 1 ||
		!seq.ReadASN1(&imprint, cbasn1.SEQUENCE) || !imprint.ReadASN1(&alg, cbasn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&oid) ||
		!imprint.ReadASN1Bytes(&q.digest, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return q, badDataFormat, "this is no time-stamp request of version 1"
	}
	for h, name := range map[crypto.Hash]string{
		crypto.SHA256: "2.16.840.1.101.3.4.2.1", crypto.SHA384: "2.16.840.1.101.3.4.2.2", crypto.SHA512: "2.16.840.1.101.3.4.2.3",
	} {
		if oid.String() == name {
			q.hash = h
		}
	}
	if q.hash == 0 {
		return q, badAlg, "the imprint must be of SHA-256, SHA-384 or SHA-512"
	}
	if len(q.digest) != q.hash.Size() {
		return q, badDataFormat, "the imprint has not the length of its hash"
	}
	if seq.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) && (!seq.ReadASN1ObjectIdentifier(&wanted) || !wanted.Equal(policy())) {
		return q, unacceptedPolicy, "the only policy is " + PolicyOID
	}
	if seq.PeekASN1Tag(cbasn1.INTEGER) {
		if q.nonce = new(big.Int); !seq.ReadASN1Integer(q.nonce) {
			return q, badDataFormat, "the nonce is malformed"
		}
	}
	if seq.PeekASN1Tag(cbasn1.BOOLEAN) && !seq.ReadASN1Boolean(&q.certificates) {
		return q, badDataFormat, "certReq is malformed"
	}
	if seq.PeekASN1Tag(tokens.Tag(0)) {
		return q, unacceptedExtensions, "no extensions are known"
	}
	if !seq.Empty() {
		return q, badRequest, "the request goes on after its last field"
	}
	return q, 0, ""
}

// Anchor is the certificate that a verifier pins.
func (m Material) Anchor() *x509.Certificate { return m.Chain[len(m.Chain)-1] }
