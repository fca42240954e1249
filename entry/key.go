package entry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/internal/point"
)

// NewVerifier reads a verifier key of type Ed25519 (NAME+KEYID+BASE64) as note.NewVerifier does, but in one spelling alone,
// with a name that CheckKeyName allows and a point by which a signature proves something.
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
	if err := point.Check(raw[1:]); err != nil {
		return nil, fmt.Errorf("reading a verifier key: %w", err)
	}
	return v, nil
}
