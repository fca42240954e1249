package entry

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// NewVerifier reads a verifier key of type Ed25519 (NAME+KEYID+BASE64) as note.NewVerifier does, but in one spelling alone,
// with a name that CheckKeyName allows and a point that CheckPublicKey allows.
func NewVerifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("reading a verifier key: %w", err)
	}
	if err := CheckKeyName(v.Name()); err != nil {
		return nil, fmt.Errorf("reading a verifier key: %w", err)
	}
	parts := strings.SplitN(vkey, "+", 3) // note.NewVerifier found three, of which base64 may hold more pluses
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || vkey != fmt.Sprintf("%s+%08x+%s", v.Name(), v.KeyHash(), base64.StdEncoding.EncodeToString(raw)) {
		return nil, errors.New("reading a verifier key: not in its one spelling")
	}
	if err := CheckPublicKey(raw[1:]); err != nil {
		return nil, fmt.Errorf("reading a verifier key: %w", err)
	}
	return v, nil
}

// CheckPublicKey refuses encodings of points by which a signature proves nothing: of small order, where anybody can make
// signatures that verify over any text, and not canonical, where implementations differ.
func CheckPublicKey(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return fmt.Errorf("public key of %d bytes", len(pub))
	}
	y := slices.Clone(pub)
	y[31] &= 0x7f // the sign of x
	if y[31] == 0x7f && y[0] >= 0xed && !slices.ContainsFunc(y[1:31], func(c byte) bool { return c != 0xff }) {
		return errors.New("public key is not canonical") // y is 2^255−19 or above
	}
	for _, small := range smallOrder() {
		if hex.EncodeToString(y) == small {
			return errors.New("public key is of small order: anybody can sign by it")
		}
	}
	return nil
}

// smallOrder are the y of the points of order 1, 2, 4 and 8, little endian.
func smallOrder() [5]string {
	return [5]string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}
}
