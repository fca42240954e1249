package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
)

// Where a deployment is, if --dir does not say.
const (
	envDir     = "STENO_DIR"
	defaultDir = "steno-data"
	clientFile = "client.yaml"
)

// A clientConfig says where a log is and how to speak to it. Paths are relative to the file it was read from:
//
//	ingest: http://127.0.0.1:7411
//	audit: http://127.0.0.1:7413
//	trust: trust
//	recorder:
//	  token: tokens/recorder
//	  key: recorder/gateway.key
//	  enrolment: recorder/gateway.enrolment
//	  recipients: [age1…, age1…]
//	  spool: recorder/spool
//	auditor:
//	  token: tokens/auditor
type clientConfig struct {
	Ingest   string         `yaml:"ingest"`
	Public   string         `yaml:"public,omitempty"`
	Audit    string         `yaml:"audit"`
	Ops      string         `yaml:"ops,omitempty"`
	Trust    string         `yaml:"trust"`
	Recorder recorderConfig `yaml:"recorder"`
	Auditor  auditorConfig  `yaml:"auditor"`

	dir string
}

type recorderConfig struct {
	Token      string   `yaml:"token"`
	Key        string   `yaml:"key"`
	Enrolment  string   `yaml:"enrolment"`
	Recipients []string `yaml:"recipients"` // the vault and recovery, for every class
	Spool      string   `yaml:"spool"`
}

type auditorConfig struct {
	Token string `yaml:"token"`
}

func dirFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("dir", "", fmt.Sprintf("directory of the deployment's files ($%s, or ./%s)", envDir, defaultDir))
}

func dirOr(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv(envDir); env != "" {
		return env
	}
	return defaultDir
}

func readClientConfig(dir string) (*clientConfig, error) {
	path := filepath.Join(dir, clientFile)
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint(fmt.Errorf("there is no %s", path),
			`"steno up" makes one; --dir or $%s say where it is`, envDir)
	}
	if err != nil {
		return nil, err
	}
	c := &clientConfig{dir: dir}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: more than one YAML document", path)
	}
	return c, nil
}

// address is that of a listener, as steno up writes it when it is ready.
func (c *clientConfig) address(name, url string) (string, error) {
	if url == "" {
		return "", hint(fmt.Errorf("%s does not say where %s is", filepath.Join(c.dir, clientFile), name),
			`"steno up" writes it when it runs`)
	}
	return url, nil
}

func (c *clientConfig) write() error {
	var b bytes.Buffer
	b.WriteString("# Written by steno up. How steno's other commands reach this deployment.\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(c), enc.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", clientFile, err)
	}
	return durable.WriteFile(filepath.Join(c.dir, clientFile), b.Bytes(), 0o600)
}

func (c *clientConfig) path(p string) string { return within(c.dir, p) }

func (c *clientConfig) readTrust() (*trust.Trust, error) { return readTrust(c.path(c.Trust)) }

// readToken reads a bearer token; a name of "" is none.
func (c *clientConfig) readToken(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	b, err := readSmall(c.path(name))
	if err != nil {
		return "", fmt.Errorf("reading a token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// recipients are to whom the unit keys of every class are wrapped.
func (c *recorderConfig) recipients() (map[payload.Class][]age.Recipient, error) {
	all, err := age.ParseRecipients(strings.NewReader(strings.Join(c.Recipients, "\n")))
	if err != nil {
		return nil, fmt.Errorf("recorder's recipients: %w", err)
	}
	m := map[payload.Class][]age.Recipient{}
	for _, class := range payload.Classes() {
		m[class] = all
	}
	return m, nil
}
