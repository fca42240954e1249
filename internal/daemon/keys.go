package daemon

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/internal/secretfile"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/trust"
)

// Kinds of keys that GenerateKey makes.
const (
	KeyLog      = "log"
	KeyReceived = "received"
	KeySystem   = "system"
	KeyManaged  = "managed"
	KeyLogMLDSA = "log-ml-dsa"
)

// KeyKinds lists them.
func KeyKinds() []string { return []string{KeyLog, KeyReceived, KeySystem, KeyManaged, KeyLogMLDSA} }

const (
	secretLine  = "steno/retry-secret/v1"
	secretBytes = 32
)

// GenerateKey writes a new secret key of a log into a file that only its owner can read, and returns the verifier key. It
// never replaces a file. Beside a managed key it writes the secret that recognises retries, into FILE.secret.
func GenerateKey(kind, origin, file string) (vkey string, err error) {
	if err := entry.CheckOrigin(origin); err != nil {
		return "", fmt.Errorf("origin: %w", err)
	}
	var skey string
	switch kind {
	case KeyLog:
		skey, vkey, err = note.GenerateKey(rand.Reader, origin)
	case KeyLogMLDSA:
		skey, vkey, err = checkpoint.GenerateKey(checkpoint.CosignatureMLDSA44, origin)
	case KeyReceived:
		skey, vkey, err = entry.GenerateReceivedKey(rand.Reader, origin)
	case KeySystem, KeyManaged:
		skey, vkey, err = note.GenerateKey(rand.Reader, origin+"/"+kind)
	default:
		return "", fmt.Errorf("no kind of key is called %q; there are %s", kind, strings.Join(KeyKinds(), ", "))
	}
	if err != nil {
		return "", fmt.Errorf("generating a key: %w", err)
	}
	if kind == KeyManaged {
		secret := make([]byte, secretBytes)
		rand.Read(secret) //nolint:errcheck // it never fails
		text := secretLine + "\n" + base64.StdEncoding.EncodeToString(secret) + "\n"
		if err := durable.CreateFile(file+".secret", []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing a secret: %w", err)
		}
	}
	if err := durable.CreateFile(file, []byte(skey+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing a key: %w", err)
	}
	return vkey, nil
}

func readSigner(path string) (note.Signer, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return nil, err
	}
	s, err := note.NewSigner(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%s is no secret key", path) // note's error could quote it
	}
	return s, nil
}

// keys are a log's keys, which fit the trust file.
type keys struct {
	trust       *trust.Trust
	log         []note.Signer
	peers       peers
	authorities []anchoring.Authority
	stamper     *entry.Stamper
	system      note.Signer
	systemKey   string
	managed     *recording.ManagedConfig
}

func loadTrust(c Config) (*trust.Trust, error) {
	b, err := os.ReadFile(c.Trust)
	if err != nil {
		return nil, fmt.Errorf("reading the trust file: %w", err)
	}
	t, err := trust.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("reading the trust file: %w", err)
	}
	if t.Origin != c.Origin {
		return nil, fmt.Errorf("the trust file is about %q, the configuration about %q", t.Origin, c.Origin)
	}
	return t, nil
}

func loadKeys(c Config) (*keys, error) {
	k := new(keys)
	var err error
	if k.trust, err = loadTrust(c); err != nil {
		return nil, err
	}
	if k.log, err = loadLogSigners(c, k.trust); err != nil {
		return nil, err
	}
	if k.peers, err = newPeers(c, k.trust); err != nil {
		return nil, err
	}
	if k.authorities, err = newAuthorities(c, k.trust); err != nil {
		return nil, err
	}
	text, err := secretfile.Read(c.Keys.Received)
	if err != nil {
		return nil, fmt.Errorf("keys.received: %w", err)
	}
	if k.stamper, err = entry.NewStamper(text); err != nil {
		return nil, fmt.Errorf("keys.received: %w", err)
	}
	if !slices.Contains(k.trust.Received, k.stamper.VerifierKey()) {
		return nil, errors.New("keys.received is not among the trust file's: verifiers would refuse every receipt")
	}
	if k.system, err = readSigner(c.Keys.System); err != nil {
		return nil, fmt.Errorf("keys.system: %w", err)
	}
	if k.systemKey = vkeyOf(k.trust.System, k.system); k.systemKey == "" {
		return nil, errors.New("keys.system is not among the trust file's: verifiers would refuse the log's own entries")
	}
	if c.Managed != nil {
		if k.managed, err = loadManaged(c, k.trust); err != nil {
			return nil, fmt.Errorf("managed: %w", err)
		}
	}
	return k, nil
}

// loadLogSigners reads the keys that sign checkpoints.
func loadLogSigners(c Config, t *trust.Trust) (all []note.Signer, err error) {
	mldsa := false
	for _, kind := range []struct {
		setting   string
		files     Files
		algorithm checkpoint.Algorithm
	}{{"keys.log", c.Keys.Log, checkpoint.Ed25519}, {"keys.log_ml_dsa", c.Keys.LogMLDSA, checkpoint.CosignatureMLDSA44}} {
		for _, file := range kind.files {
			text, err := secretfile.Read(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind.setting, err)
			}
			s, err := checkpoint.NewSigner(strings.TrimSpace(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", kind.setting, file, err)
			}
			if s.Algorithm() != kind.algorithm {
				return nil, fmt.Errorf("%s: %s is a key of %s, %s is needed", kind.setting, file, s.Algorithm(), kind.algorithm)
			}
			if !slices.ContainsFunc(t.LogVerifiers(), func(v *checkpoint.Verifier) bool { return v.String() == s.Verifier().String() }) {
				return nil, fmt.Errorf("%s: %s is no log key of the trust file: verifiers would refuse every checkpoint", kind.setting, file)
			}
			all, mldsa = append(all, s), mldsa || s.Algorithm().PostQuantum()
		}
	}
	if len(t.Require) > 0 && !mldsa {
		return nil, errors.New("keys.log_ml_dsa is missing: the trust file requires its signature, if not today")
	}
	return all, nil
}

// vkeyOf finds the verifier key of a signer by name and key ID.
func vkeyOf(vkeys []string, s note.Signer) string {
	prefix := fmt.Sprintf("%s+%08x+", s.Name(), s.KeyHash())
	for _, v := range vkeys {
		if strings.HasPrefix(v, prefix) {
			return v
		}
	}
	return ""
}

func loadManaged(c Config, t *trust.Trust) (*recording.ManagedConfig, error) {
	m := new(recording.ManagedConfig)
	var err error
	if m.Signer, err = readSigner(c.Managed.Key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if m.Enrolment, err = os.ReadFile(c.Managed.Enrolment); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	if _, err := entry.OpenEnrolment(m.Enrolment, t.Anchors().Enrollers); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	if m.Secret, err = loadRetrySecret(c.Managed.Secret); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	m.Recipients, err = parseRecipients(c.Managed.Recipients)
	return m, err
}

func loadRetrySecret(path string) ([]byte, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return nil, err
	}
	line, rest, _ := strings.Cut(text, "\n")
	secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(rest, "\n"))
	if line != secretLine || err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("%s is not %q and 32 bytes in base64", path, secretLine)
	}
	return secret, nil
}

// parseRecipients gives every class its recipients.
func parseRecipients(by map[string][]string) (map[payload.Class][]age.Recipient, error) {
	out := make(map[payload.Class][]age.Recipient)
	for name := range by {
		if _, err := payload.ParseClass(name); err != nil && name != "default" {
			return nil, fmt.Errorf("recipients: %q is no class", name)
		}
	}
	for _, class := range payload.Classes() {
		list, ok := by[class.String()]
		if !ok {
			list = by["default"]
		}
		if len(list) < 2 {
			return nil, fmt.Errorf("recipients: class %s needs a vault and a recovery recipient", class)
		}
		rs, err := age.ParseRecipients(strings.NewReader(strings.Join(list, "\n")))
		if err != nil {
			return nil, fmt.Errorf("recipients of class %s: %w", class, err)
		}
		out[class] = rs
	}
	return out, nil
}

// privateDir makes a directory that only the server's user can enter.
func privateDir(elem ...string) error { return durable.MkdirAll(filepath.Join(elem...), 0o700) }

// CheckFiles reads every file that a configuration names but the log itself, and tells what is wrong with them.
func CheckFiles(c Config) error {
	if _, err := loadKeys(c); err != nil {
		return err
	}
	for _, l := range c.listeners() {
		if l.TLS.Certificate == "" {
			continue
		}
		if _, err := tls.LoadX509KeyPair(l.TLS.Certificate, l.TLS.Key); err != nil {
			return err
		}
	}
	return nil
}
