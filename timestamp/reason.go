package timestamp

import "fmt"

// A Reason says why a token, or a response, is refused. Reasons are stable.
type Reason string

// Reasons. docs/spec/timestamp.md says more of each.
const (
	// Of a response.
	ReasonNotGranted Reason = "not-granted"
	ReasonNonce      Reason = "nonce"

	// Of the encoding.
	ReasonTooLarge      Reason = "too-large"
	ReasonNotDER        Reason = "not-der"
	ReasonTrailingBytes Reason = "trailing-bytes"
	ReasonNotSignedData Reason = "not-signed-data"
	ReasonVersion       Reason = "version"
	ReasonContentType   Reason = "content-type"

	// Of what the authority says.
	ReasonImprintAlgorithm Reason = "imprint-algorithm"
	ReasonImprint          Reason = "imprint"
	ReasonGenTime          Reason = "gen-time"
	ReasonAccuracy         Reason = "accuracy"
	ReasonAccuracyCap      Reason = "accuracy-cap"
	ReasonPolicy           Reason = "policy"
	ReasonTSAName          Reason = "tsa-name"
	ReasonTokenExtension   Reason = "token-extension"
	ReasonWindow           Reason = "window"
	ReasonCompromised      Reason = "compromised"
	ReasonAlgorithm        Reason = "algorithm"

	// Of the certificates.
	ReasonNoCertificate       Reason = "no-certificate"
	ReasonTooManyCertificates Reason = "too-many-certificates"
	ReasonCertificate         Reason = "certificate"
	ReasonExtraCertificate    Reason = "extra-certificate"
	ReasonRevocationLists     Reason = "revocation-lists"
	ReasonChain               Reason = "chain"
	ReasonExpired             Reason = "expired"
	ReasonNoEKU               Reason = "no-extended-key-usage"
	ReasonEKU                 Reason = "extended-key-usage"
	ReasonEKUNotCritical      Reason = "extended-key-usage-not-critical"
	ReasonKeyUsage            Reason = "key-usage"
	ReasonSignerIsCA          Reason = "signer-is-ca"
	ReasonCriticalExtension   Reason = "critical-extension"
	ReasonKey                 Reason = "key"

	// Of the signature.
	ReasonSigners              Reason = "signers"
	ReasonSignerIdentifier     Reason = "signer-identifier"
	ReasonNoSignedAttributes   Reason = "no-signed-attributes"
	ReasonAttributes           Reason = "attributes"
	ReasonSignedContentType    Reason = "signed-content-type"
	ReasonMessageDigest        Reason = "message-digest"
	ReasonNoSigningCertificate Reason = "no-signing-certificate"
	ReasonSigningCertificate   Reason = "signing-certificate"
	ReasonSigningTime          Reason = "signing-time"
	ReasonUnsignedAttributes   Reason = "unsigned-attributes"
	ReasonDigestAlgorithm      Reason = "digest-algorithm"
	ReasonSignatureAlgorithm   Reason = "signature-algorithm"
	ReasonSignature            Reason = "signature"

	// Of what the caller pinned.
	ReasonAuthority Reason = "authority"
)

// An Error is a refusal.
type Error struct {
	Reason Reason
	Detail string
	Err    error // mostly nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("time-stamp token refused (%s): %s: %v", e.Reason, e.Detail, e.Err)
	}
	return fmt.Sprintf("time-stamp token refused (%s): %s", e.Reason, e.Detail)
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
