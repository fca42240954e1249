// Package timestamp asks for and judges RFC 3161 time-stamp tokens: a third party's signed word that a digest existed at a time.
//
// A token is a CMS SignedData (RFC 5652) in DER that holds a TSTInfo:
//
//	ContentInfo { id-signedData, SignedData v3 {
//	  digestAlgorithms { sha256 }
//	  eContent { id-ct-TSTInfo, TSTInfo v1 { policy, imprint, serialNumber, genTime, accuracy, …, nonce, tsa } }
//	  certificates { the signer's, and those between it and an anchor }
//	  signerInfos { one: signed attributes contentType, messageDigest, signingCertificate(V2); signature } } }
//
// Verify believes nothing but the caller's [Authority]: the certificates by which its chains end, when its word counts, and how
// inexact it may be. The wall clock is never asked; chains are judged at the time that the token states. Whether that time can be
// believed once the certificates have expired, or the authority's key has leaked, follows from other tokens that cover this one,
// which is for the caller to see.
//
// Every byte of a token that passes is signed, or has one possible value, but for four things that say the same.
// docs/spec/timestamp.md lists them, and what is demanded.
package timestamp

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"
)

const (
	// MaxToken is the greatest length of a token, and of the response that brings it.
	MaxToken = 64 << 10
	// MaxCertificates is the greatest number of certificates in a token.
	MaxCertificates = 16
)

// An Authority is a time-stamp authority as a verifier pins it.
type Authority struct {
	Name string
	// Anchors are the DER certificates by which chains end. They are this authority's own, not a pool shared with others.
	Anchors [][]byte
	// A token's time must lie in [From, Until).
	From, Until time.Time
	// Policies are the dotted object identifiers allowed; empty allows any.
	Policies []string
	// Accuracy is the most that a token may claim. A token that claims none counts as this inexact.
	Accuracy time.Duration
	// Compromised, unless zero, is since when the authority's word is worth nothing: tokens of this time and later never count.
	// Earlier ones count only where a successor of another authority proves that they existed before, which Verify does not see.
	Compromised time.Time
	// Algorithms are those that have an end. A token that uses one counts only if it is of before by its own time, which Verify sees, and
	// if the tokens of others that prove it to have existed prove it before, which Verify does not see.
	Algorithms []AlgorithmEnd
}

// A Token is what a verified token says.
type Token struct {
	Time     time.Time // genTime
	Accuracy time.Duration
	Serial   string // in hexadecimal
	Policy   string // dotted
	Digest   [sha256.Size]byte
	SHA256   [sha256.Size]byte // of the token's DER
	Signer   []byte            // DER
	Chain    [][]byte          // DER, from the signer to an anchor, both included
	Keys     [][]byte          // of Chain: DER of each SubjectPublicKeyInfo

	Algorithms []string       // names of what it uses, ascending
	Ends       []AlgorithmEnd // those of the authority's that it uses
	Expires    time.Time      // when the first certificate of Chain expires
}

// OneVoice tells whether two tokens hang on one key, the signer's or of somebody who certified both: whoever holds that could
// have made the two, whatever the authorities are pinned as.
func (t Token) OneVoice(o Token) bool {
	return slices.ContainsFunc(t.Keys, func(k []byte) bool {
		return slices.ContainsFunc(o.Keys, func(x []byte) bool { return bytes.Equal(k, x) })
	})
}

// NotAfter is the latest time at which the authority can have seen the digest.
func (t Token) NotAfter() time.Time { return t.Time.Add(t.Accuracy) }

// NotBefore is the earliest.
func (t Token) NotBefore() time.Time { return t.Time.Add(-t.Accuracy) }
