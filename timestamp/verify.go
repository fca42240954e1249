package timestamp

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxSigningTime is how far the time in the signature may be from the time in the token.
const maxSigningTime = 5 * time.Minute

// Verify judges a token over a digest, by everything but what depends on other tokens. Refusals are of type *Error.
func Verify(token []byte, digest [sha256.Size]byte, a Authority) (Token, error) {
	p, err := read(token)
	if err != nil {
		return Token{}, err
	}
	if err := p.info.checkImprint(digest); err != nil {
		return Token{}, err
	}
	signer, err := p.signerCertificate()
	if err != nil {
		return Token{}, err
	}
	if err := p.checkAttributes(); err != nil {
		return Token{}, err
	}
	if err := checkSigner(signer, p.info.genTime); err != nil {
		return Token{}, err
	}
	if err := p.checkSignature(signer); err != nil {
		return Token{}, err
	}
	if err := p.info.checkName(signer); err != nil {
		return Token{}, err
	}
	chain, err := p.chain(signer, a)
	if err != nil {
		return Token{}, err
	}
	if err := a.check(p.info); err != nil {
		return Token{}, err
	}
	t := Token{
		Time: p.info.genTime, Accuracy: p.info.accuracy, Serial: p.info.serial.Text(16), Policy: p.info.policy,
		Digest: digest, SHA256: sha256.Sum256(token), Signer: signer.Raw,
	}
	if !p.info.hasAccuracy {
		t.Accuracy = a.Accuracy
	}
	for _, c := range chain {
		t.Chain, t.Keys = append(t.Chain, c.Raw), append(t.Keys, c.RawSubjectPublicKeyInfo)
		if t.Expires.IsZero() || c.NotAfter.Before(t.Expires) {
			t.Expires = c.NotAfter
		}
	}
	t.Algorithms = p.algorithms(chain)
	t.Ends = a.ends(t.Algorithms)
	if err := t.checkEnds(); err != nil {
		return Token{}, err
	}
	return t, nil
}

// checkEnds holds the token's time against the ends of what it uses.
func (t Token) checkEnds() error {
	for _, e := range t.Ends {
		if !t.NotAfter().Before(e.End) {
			return refuse(ReasonAlgorithm, "it uses %s, which counts before %s, and may be of %s", e.Name, e.End.Format(time.DateOnly),
				t.NotAfter().Format(time.RFC3339Nano))
		}
	}
	return nil
}

// check holds what a token says against what was pinned.
func (a Authority) check(t *tstInfo) error {
	if t.genTime.Before(a.From) || !t.genTime.Before(a.Until) {
		return refuse(ReasonWindow, "%s is not in the window of %s, [%s, %s)", t.genTime.Format(time.RFC3339Nano), a.Name,
			a.From.Format(time.RFC3339), a.Until.Format(time.RFC3339))
	}
	if !a.Compromised.IsZero() && !t.genTime.Before(a.Compromised) {
		return refuse(ReasonCompromised, "%s is compromised since %s, and the token is of %s", a.Name, a.Compromised.Format(time.RFC3339),
			t.genTime.Format(time.RFC3339Nano))
	}
	if t.accuracy > a.Accuracy {
		return refuse(ReasonAccuracyCap, "the token is accurate to %s, and %s may claim %s", t.accuracy, a.Name, a.Accuracy)
	}
	if len(a.Policies) > 0 && !slices.Contains(a.Policies, t.policy) {
		return refuse(ReasonPolicy, "%s may not stamp under the policy %s", a.Name, t.policy)
	}
	return nil
}

// checkAttributes sees that the signed attributes are about this content, and of its time.
func (p *parsed) checkAttributes() error {
	// SPEC: RFC 5652 11.1: the value of the content-type attribute MUST match the encapContentInfo eContentType value.
	raw := cryptobyte.String(p.signer.attributes[oidContentType])
	if oid, ok := readOID(&raw); !ok || !raw.Empty() || oid != oidTSTInfo {
		return refuse(ReasonSignedContentType, "the attribute contentType does not say id-ct-TSTInfo")
	}
	// SPEC: RFC 5652 5.6: For the signature to be valid, the message digest value calculated by the recipient MUST be the same as the
	// value of the messageDigest attribute.
	var digest []byte
	raw = cryptobyte.String(p.signer.attributes[oidMessageDigest])
	if !raw.ReadASN1Bytes(&digest, cbasn1.OCTET_STRING) || !raw.Empty() || !bytes.Equal(digest, sum(p.signer.digest.hash(), p.content)) {
		return refuse(ReasonMessageDigest, "the attribute messageDigest is not the content's digest")
	}
	raw, ok := p.signer.attributes[oidSigningTime]
	if !ok {
		return nil
	}
	signed, ok := readSigningTime(raw)
	if !ok {
		return refuse(ReasonSigningTime, "the attribute signingTime is malformed")
	}
	if d := signed.Sub(p.info.genTime).Abs(); d > maxSigningTime {
		return refuse(ReasonSigningTime, "it says that it was signed %s from genTime, more than %s", d, maxSigningTime)
	}
	return nil
}

// readSigningTime reads a Time.
// SPEC: RFC 5652 11.3: UTCTime values MUST be expressed in Coordinated Universal Time and MUST include seconds. GeneralizedTime values
// MUST be expressed in Coordinated Universal Time, MUST include seconds and MUST NOT include fractional seconds.
func readSigningTime(s cryptobyte.String) (t time.Time, ok bool) {
	var text cryptobyte.String
	layout := "060102150405Z"
	switch {
	case s.PeekASN1Tag(cbasn1.UTCTime):
		ok = s.ReadASN1(&text, cbasn1.UTCTime)
	case s.PeekASN1Tag(cbasn1.GeneralizedTime):
		layout = genTimeLayout + "Z"
		ok = s.ReadASN1(&text, cbasn1.GeneralizedTime)
	}
	if !ok || !s.Empty() {
		return t, false
	}
	t, err := time.Parse(layout, string(text))
	if err != nil || t.Format(layout) != string(text) {
		return t, false
	}
	if len(layout) == len("060102150405Z") && t.Year() >= 2050 { // RFC 5280, 4.1.2.5.1: two digits are of 1950 to 2049
		t = t.AddDate(-100, 0, 0)
	}
	return t, true
}

// signatureAlgorithm is what a SignerInfo's algorithms amount to, zero where they are not accepted.
func (s *signerInfo) signatureAlgorithm() x509.SignatureAlgorithm {
	type pair struct{ signature, digest string }
	if s.algorithm.oid == "1.2.840.113549.1.1.10" { // RSASSA-PSS
		if !isPSS(s.algorithm.params, s.digest) {
			return 0
		}
		return map[string]x509.SignatureAlgorithm{oidSHA256: x509.SHA256WithRSAPSS, oidSHA384: x509.SHA384WithRSAPSS, oidSHA512: x509.SHA512WithRSAPSS}[s.digest.oid]
	}
	if !s.algorithm.plain() {
		return 0
	}
	const rsa = "1.2.840.113549.1.1." // 1 is rsaEncryption, the others are named with a digest, which must be the digest that was used
	return map[pair]x509.SignatureAlgorithm{
		{rsa + "1", oidSHA256}: x509.SHA256WithRSA, {rsa + "11", oidSHA256}: x509.SHA256WithRSA,
		{rsa + "1", oidSHA384}: x509.SHA384WithRSA, {rsa + "12", oidSHA384}: x509.SHA384WithRSA,
		{rsa + "1", oidSHA512}: x509.SHA512WithRSA, {rsa + "13", oidSHA512}: x509.SHA512WithRSA,
		{"1.2.840.10045.4.3.2", oidSHA256}: x509.ECDSAWithSHA256,
		{"1.2.840.10045.4.3.3", oidSHA384}: x509.ECDSAWithSHA384,
		{"1.2.840.10045.4.3.4", oidSHA512}: x509.ECDSAWithSHA512,
	}[pair{s.algorithm.oid, s.digest.oid}]
}

// isPSS says that parameters of RSASSA-PSS name a digest for hashing and for MGF1, with a salt of its length: the only use there is.
// SPEC: RFC 4056 3, RFC 4055 3.1: the hash algorithm of MGF1 is the same as hashAlgorithm; the value of trailerField MUST be 1.
func isPSS(params []byte, digest algorithm) bool {
	s := cryptobyte.String(params)
	var seq, hash, mgf, salt, mgfSeq cryptobyte.String
	var saltLength int
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1(&hash, tag0) || !seq.ReadASN1(&mgf, tag1) || !seq.ReadASN1(&salt, tag2) || !seq.Empty() {
		return false
	}
	h, ok := readAlgorithm(&hash)
	if !ok || !hash.Empty() || h.oid != digest.oid || !h.plain() {
		return false
	}
	if !mgf.ReadASN1(&mgfSeq, cbasn1.SEQUENCE) || !mgf.Empty() {
		return false
	}
	if oid, ok := readOID(&mgfSeq); !ok || oid != oidMGF1 {
		return false
	}
	h, ok = readAlgorithm(&mgfSeq)
	return ok && mgfSeq.Empty() && h.oid == digest.oid && h.plain() &&
		salt.ReadASN1Integer(&saltLength) && salt.Empty() && saltLength == digest.hash().Size()
}

// checkSignature sees that the signer signed the attributes.
func (p *parsed) checkSignature(signer *x509.Certificate) error {
	algorithm := p.signer.signatureAlgorithm()
	if algorithm == 0 {
		return refuse(ReasonSignatureAlgorithm, "%s with digest %s is not accepted", p.signer.algorithm.oid, p.signer.digest.oid)
	}
	// SPEC: RFC 5652 5.6: the signature is verified with the signer's public key over the DER encoding of the signed attributes.
	if err := signer.CheckSignature(algorithm, p.signer.signed, p.signer.signature); err != nil {
		return &Error{Reason: ReasonSignature, Detail: "it is not by the key of the signer's certificate", Err: err}
	}
	return nil
}
