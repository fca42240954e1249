// Package point refuses Ed25519 public keys by which a signature proves nothing.
package point

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Check refuses encodings of points of small order, where anybody can make signatures that verify over any text, and such
// as are not canonical, where implementations differ.
func Check(pub ed25519.PublicKey) error {
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
