package timestamp

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxAccuracy bounds what is read at all; what counts is the authority's cap.
const maxAccuracy = 24 * time.Hour

// tstInfo is what the authority signs.
type tstInfo struct {
	policy      string
	hash        algorithm
	digest      []byte
	serial      *big.Int
	genTime     time.Time
	accuracy    time.Duration
	hasAccuracy bool
	nonce       *big.Int // nil where absent
	tsa         []byte   // DER of a GeneralName; nil where absent
}

// readInfo reads a TSTInfo.
func readInfo(der []byte) (*tstInfo, error) {
	s := cryptobyte.String(der)
	var seq cryptobyte.String
	var version int
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1Integer(&version) {
		return nil, refuse(ReasonNotDER, "the content is no TSTInfo")
	}
	if !s.Empty() {
		return nil, refuse(ReasonTrailingBytes, "%d bytes follow the TSTInfo", len(s))
	}
	// SPEC: RFC 3161 2.4.2: Conforming time-stamping servers MUST be able to provide version 1 time-stamp tokens.
	if version != 1 {
		return nil, refuse(ReasonVersion, "the TSTInfo has version %d, want 1", version)
	}
	t := &tstInfo{serial: new(big.Int)}
	var imprint, gen cryptobyte.String
	var ok bool
	if t.policy, ok = readOID(&seq); !ok {
		return nil, refuse(ReasonNotDER, "the TSTInfo names no policy")
	}
	if !seq.ReadASN1(&imprint, cbasn1.SEQUENCE) {
		return nil, refuse(ReasonNotDER, "the TSTInfo has no message imprint")
	}
	if t.hash, ok = readAlgorithm(&imprint); !ok || !imprint.ReadASN1Bytes(&t.digest, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return nil, refuse(ReasonNotDER, "the message imprint is malformed")
	}
	if !seq.ReadASN1Integer(t.serial) {
		return nil, refuse(ReasonNotDER, "the TSTInfo has no serial number")
	}
	if !seq.ReadASN1(&gen, cbasn1.GeneralizedTime) {
		return nil, refuse(ReasonGenTime, "genTime is no GeneralizedTime")
	}
	var err error
	if t.genTime, err = readGenTime(string(gen)); err != nil {
		return nil, err
	}
	return t, t.readRest(&seq)
}

// readRest reads what is optional.
func (t *tstInfo) readRest(seq *cryptobyte.String) error {
	if seq.PeekASN1Tag(cbasn1.SEQUENCE) {
		if err := t.readAccuracy(seq); err != nil {
			return err
		}
	}
	var ordering bool // says nothing about one token
	if seq.PeekASN1Tag(cbasn1.BOOLEAN) && !seq.ReadASN1Boolean(&ordering) {
		return refuse(ReasonNotDER, "ordering is malformed")
	}
	if seq.PeekASN1Tag(cbasn1.INTEGER) {
		if t.nonce = new(big.Int); !seq.ReadASN1Integer(t.nonce) {
			return refuse(ReasonNotDER, "the nonce is malformed")
		}
	}
	var tsa, extensions cryptobyte.String
	var hasTSA, hasExtensions bool
	if !seq.ReadOptionalASN1(&tsa, &hasTSA, tag0) || !seq.ReadOptionalASN1(&extensions, &hasExtensions, tag1) {
		return refuse(ReasonNotDER, "the end of the TSTInfo is malformed")
	}
	if hasTSA {
		t.tsa = tsa
	}
	// SPEC: RFC 5280 4.1: Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension.
	if hasExtensions && extensions.Empty() {
		return refuse(ReasonNotDER, "the TSTInfo has an empty list of extensions")
	}
	if !seq.Empty() {
		return refuse(ReasonTrailingBytes, "%d bytes in the TSTInfo follow its last field", len(*seq))
	}
	return checkExtensions(extensions)
}

// checkExtensions refuses what must not be ignored.
func checkExtensions(extensions cryptobyte.String) error {
	for !extensions.Empty() {
		var ext, value cryptobyte.String
		var critical bool
		if !extensions.ReadASN1(&ext, cbasn1.SEQUENCE) {
			return refuse(ReasonNotDER, "an extension of the TSTInfo is malformed")
		}
		oid, ok := readOID(&ext)
		if ok && ext.PeekASN1Tag(cbasn1.BOOLEAN) {
			ok = ext.ReadASN1Boolean(&critical)
		}
		if !ok || !ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return refuse(ReasonNotDER, "an extension of the TSTInfo is malformed")
		}
		// SPEC: RFC 5280 4.2: A certificate-using system MUST reject the certificate if it encounters a critical extension it does
		// not recognize. RFC 3161 2.4.2 takes the extensions of a TSTInfo from there.
		if critical {
			return refuse(ReasonTokenExtension, "the TSTInfo has the critical extension %s, which is unknown", oid)
		}
	}
	return nil
}

// readAccuracy reads Accuracy ::= SEQUENCE { seconds INTEGER OPTIONAL, millis [0] INTEGER (1..999) OPTIONAL, micros [1] … }.
func (t *tstInfo) readAccuracy(s *cryptobyte.String) error {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return refuse(ReasonNotDER, "the accuracy is malformed")
	}
	var seconds int64
	millis, micros := int64(1), int64(1)
	hasMillis, hasMicros := false, false
	if seq.PeekASN1Tag(cbasn1.INTEGER) && !seq.ReadASN1Integer(&seconds) {
		return refuse(ReasonAccuracy, "its seconds are malformed")
	}
	if hasMillis = seq.PeekASN1Tag(tag0Primitive); hasMillis && !seq.ReadASN1Int64WithTag(&millis, tag0Primitive) {
		return refuse(ReasonAccuracy, "its milliseconds are malformed")
	}
	if hasMicros = seq.PeekASN1Tag(tag1Primitive); hasMicros && !seq.ReadASN1Int64WithTag(&micros, tag1Primitive) {
		return refuse(ReasonAccuracy, "its microseconds are malformed")
	}
	if !seq.Empty() {
		return refuse(ReasonTrailingBytes, "%d bytes in the accuracy follow its last field", len(seq))
	}
	// SPEC: RFC 3161 2.4.2: millis [0] INTEGER (1..999) OPTIONAL, micros [1] INTEGER (1..999) OPTIONAL.
	if seconds < 0 || seconds > int64(maxAccuracy/time.Second) || millis < 1 || millis > 999 || micros < 1 || micros > 999 {
		return refuse(ReasonAccuracy, "it is out of range: %d seconds, %d milliseconds, %d microseconds", seconds, millis, micros)
	}
	// SPEC: RFC 3161 2.4.2: If either seconds, millis or micros is missing, then a value of zero MUST be taken for the missing field.
	if t.accuracy, t.hasAccuracy = time.Duration(seconds)*time.Second, true; hasMillis {
		t.accuracy += time.Duration(millis) * time.Millisecond
	}
	if hasMicros {
		t.accuracy += time.Duration(micros) * time.Microsecond
	}
	return nil
}

const (
	genTimeLayout = "20060102150405"
	maxFraction   = 9 // digits: nanoseconds
)

// readGenTime reads a GeneralizedTime in its one spelling.
func readGenTime(s string) (time.Time, error) {
	// SPEC: RFC 3161 2.4.2: The encoding MUST terminate with a "Z" [...] The syntax is: YYYYMMDDhhmmss[.s...]Z. RFC 3628 and 5280:
	// times are UTC.
	digits, utc := strings.CutSuffix(s, "Z")
	if !utc {
		return time.Time{}, refuse(ReasonGenTime, "%q does not end in Z", s)
	}
	whole, fraction, hasFraction := strings.Cut(digits, ".")
	// SPEC: RFC 3161 2.4.2: The fractional-seconds elements, if present, MUST omit all trailing 0's; if the elements correspond to 0,
	// they MUST be wholly omitted, and the decimal point element also MUST be omitted.
	if hasFraction && (fraction == "" || len(fraction) > maxFraction || strings.HasSuffix(fraction, "0") || strings.Trim(fraction, "0123456789") != "") {
		return time.Time{}, refuse(ReasonGenTime, "%q has a malformed fraction", s)
	}
	t, err := time.Parse(genTimeLayout, whole)
	// The zero time would have crypto/x509 ask the wall clock.
	if err != nil || t.IsZero() || t.Format(genTimeLayout) != whole {
		return time.Time{}, refuse(ReasonGenTime, "%q is no time", s)
	}
	var nanos time.Duration
	for i := range maxFraction {
		if nanos *= 10; i < len(fraction) {
			nanos += time.Duration(fraction[i] - '0')
		}
	}
	return t.Add(nanos), nil
}

// checkImprint sees that the token is over a digest.
func (t *tstInfo) checkImprint(digest [sha256.Size]byte) error {
	if t.hash.oid != oidSHA256 || !t.hash.plain() {
		return refuse(ReasonImprintAlgorithm, "the imprint is made by %s, want SHA-256 (%s)", t.hash.oid, oidSHA256)
	}
	// SPEC: RFC 3161 2.4.2: The messageImprint MUST have the same value as the similar field in TimeStampReq, provided that the size
	// of the hash value matches the expected size of the hash algorithm identified in hashAlgorithm.
	if !bytes.Equal(t.digest, digest[:]) {
		return refuse(ReasonImprint, "the token is over %x, want %x", t.digest, digest)
	}
	return nil
}
