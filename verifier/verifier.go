// Package verifier holds the page verifier.html, with which anybody who has a browser verifies evidence: one file, the same for
// everybody, that needs no network and may use none. docs/verifier.md says what it checks and how to tell it from another.
//
// The page is made of page.html, page.css, the modules in browser/ and the JSON Schema of events, put one after the other by
// Build: nothing is translated or shortened, so that who reads the modules has read the page.
package verifier

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"slices"
)

//go:generate go run ./make

//go:embed verifier.html
var page []byte

// Page is the page.
func Page() []byte { return slices.Clone(page) }

// Digest is the SHA-256 of the page, as sha256sum prints it.
func Digest() string {
	h := sha256.Sum256(page)
	return hex.EncodeToString(h[:])
}
