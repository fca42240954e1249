package witnessd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/internal/secretfile"
)

// An algorithm is a kind of key that a witness can have.
type algorithm struct {
	word string // on the command line, and as a file's name
	kind checkpoint.Algorithm
}

func algorithms() []algorithm {
	return []algorithm{{"ed25519", checkpoint.CosignatureEd25519}, {"ml-dsa-44", checkpoint.CosignatureMLDSA44}}
}

func wordOf(a checkpoint.Algorithm) string {
	for _, known := range algorithms() {
		if known.kind == a {
			return known.word
		}
	}
	return a.String()
}

// GenerateKey writes a new secret key of a witness to DIR/ALGORITHM.key, which only its owner can read, and returns the
// verifier key. It never replaces a file.
func GenerateKey(name, word, dir string) (file, vkey string, err error) {
	for _, a := range algorithms() {
		if a.word != word {
			continue
		}
		skey, vkey, err := checkpoint.GenerateKey(a.kind, name)
		if err != nil {
			return "", "", err
		}
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return "", "", fmt.Errorf("making the keys' directory: %w", err)
		}
		file = filepath.Join(dir, word+".key")
		if err := durable.CreateFile(file, []byte(skey+"\n"), 0o600); err != nil {
			if errors.Is(err, os.ErrExist) {
				err = fmt.Errorf("%w: a key is never replaced; way out: another directory", err)
			}
			return "", "", fmt.Errorf("writing a key: %w", err)
		}
		return file, vkey, nil
	}
	return "", "", fmt.Errorf("no algorithm is called %q; there are ed25519, ml-dsa-44", word)
}

// LoadKeys reads the secret keys of a configuration.
func LoadKeys(c Config) ([]*checkpoint.Signer, error) {
	var signers []*checkpoint.Signer
	for _, k := range []struct {
		setting, file string
		kind          checkpoint.Algorithm
	}{
		{"keys.ed25519", c.Keys.Ed25519, checkpoint.CosignatureEd25519},
		{"keys.ml_dsa_44", c.Keys.MLDSA44, checkpoint.CosignatureMLDSA44},
	} {
		if k.file == "" {
			continue
		}
		text, err := secretfile.Read(k.file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.setting, err)
		}
		s, err := checkpoint.NewSigner(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", k.setting, k.file, err)
		}
		if s.Algorithm() != k.kind {
			return nil, fmt.Errorf("%s: %s is a key of %s, want %s", k.setting, k.file, s.Algorithm(), k.kind)
		}
		if s.Name() != c.Name {
			return nil, fmt.Errorf("%s: %s is a key of %q, and the witness is %q", k.setting, k.file, s.Name(), c.Name)
		}
		signers = append(signers, s)
	}
	return signers, nil
}
