package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A token is "steno_<role>_" and 32 random bytes in unpadded base64url:
//
//	steno_recorder_5Tn1v0mQyqk0y3a8gT3kGkBz5xk2m1Jw7aQb3n6Jm8E
//
// The role in it is for people and for scanners that look for leaked secrets; and a request is made in that role alone, so
// that a token gives what it says and no more. The server knows only the SHA-256 of the whole token. With 256 random bits
// there is nothing to guess, so that no slow hash and no salt is needed.
const (
	tokenPrefix  = "steno_"
	tokenEntropy = 32
	// MaxTokens is how many tokens a server knows: each request is compared with all of them.
	MaxTokens = 1024
)

// ErrUnknownToken means that a token is malformed, or none that was granted.
var ErrUnknownToken = errors.New("unknown token")

// NewToken makes a token for a role.
func NewToken(rand io.Reader, role Role) (string, error) {
	if may[role] == nil {
		return "", fmt.Errorf("making a token: unknown role %q", role)
	}
	b := make([]byte, tokenEntropy)
	if _, err := io.ReadFull(rand, b); err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	return tokenPrefix + string(role) + "_" + base64.RawURLEncoding.EncodeToString(b), nil
}

// TokenDigest is what the server keeps of a token.
func TokenDigest(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// ParseDigest reads a digest as configuration has it: 64 lower-case hexadecimal digits.
func ParseDigest(s string) (d [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) || s != strings.ToLower(s) {
		return d, errors.New("a token's digest is 64 lower-case hexadecimal digits")
	}
	return [32]byte(b), nil
}

// parseToken returns the role that a well-formed token names.
func parseToken(token string) (Role, bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return "", false
	}
	role, secret, ok := strings.Cut(rest, "_")
	b, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	return Role(role), ok && err == nil && len(b) == tokenEntropy && may[Role(role)] != nil && !strings.ContainsAny(secret, "\r\n")
}

// Tokens authenticates by token. It does not change.
type Tokens struct{ known []known }

type known struct {
	digest [32]byte
	name   string
	roles  []Role
}

// NewTokens checks grants and makes the table of their tokens. It refuses a principal named twice, a token granted twice,
// and roles that exclude each other (*PairError).
func NewTokens(grants []Grant) (*Tokens, error) {
	t := &Tokens{}
	names, digests := make(map[string]bool), make(map[[32]byte]bool)
	for _, g := range grants {
		if err := g.check(); err != nil {
			return nil, err
		}
		if names[g.Name] {
			return nil, fmt.Errorf("principal %q stands twice", g.Name)
		}
		names[g.Name] = true
		for _, d := range g.TokenSHA256 {
			if digests[d] {
				return nil, fmt.Errorf("principal %q: a token may be granted only once", g.Name)
			}
			digests[d] = true
			t.known = append(t.known, known{d, g.Name, slices.Clone(g.Roles)})
		}
	}
	if len(t.known) > MaxTokens {
		return nil, fmt.Errorf("%d tokens, at most %d", len(t.known), MaxTokens)
	}
	return t, nil
}

// Authenticate returns the principal of a token, in the role that the token names, or ErrUnknownToken. It compares with
// every known digest and takes the same time whichever matches.
func (t *Tokens) Authenticate(token string) (Principal, error) {
	role, ok := parseToken(token)
	digest := TokenDigest(token)
	found := -1
	for i := range t.known {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], t.known[i].digest[:]), i, found)
	}
	if !ok || found < 0 || !slices.Contains(t.known[found].roles, role) {
		return Principal{}, ErrUnknownToken
	}
	return Principal{Name: t.known[found].name, Role: role, How: HowToken}, nil
}
