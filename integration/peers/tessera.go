//go:build linux

package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Versions of Tessera and of the library whose verifiers it uses; the one that Tessera asks for knows no ML-DSA-44.
const (
	TesseraVersion = "v1.0.4"
	formatsVersion = "v0.1.1"
)

// A Log is Tessera's conformance server, which is no log of ours.
type Log struct {
	*process
	URL string
}

// StartTessera runs Tessera's conformance server on a new log with an Ed25519 signer key and a witness policy in Tessera's format.
// It publishes no checkpoint without the policy's quorum.
func StartTessera(t testing.TB, skey, policy string) *Log {
	t.Helper()
	bin := program(t, "tessera-conformance", TesseraVersion+"-witness1", buildTessera)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), skey)
	write(t, filepath.Join(dir, "policy"), policy)
	p, addr := serve(t, func(addr string) *exec.Cmd {
		return exec.Command(bin, "--storage_dir", filepath.Join(dir, "log"), "--private_key", filepath.Join(dir, "key"),
			"--witness_policy_file", filepath.Join(dir, "policy"), "--listen", addr, "--logtostderr")
	})
	return &Log{p, "http://" + addr}
}

// buildTessera builds cmd/conformance/posix. That server takes no witnesses; Tessera's cmd/examples/posix-oneshot does, by an
// option: the same lines are put into a copy of the server's source.
func buildTessera(ctx context.Context, dir string) error {
	src, err := source(ctx, dir, "github.com/transparency-dev/tessera", TesseraVersion)
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "tessera")
	if err := os.CopyFS(tree, os.DirFS(src)); err != nil {
		return err
	}
	if err := takeWitnesses(filepath.Join(tree, "cmd", "conformance", "posix", "main.go")); err != nil {
		return err
	}
	if _, err := goTool(ctx, tree, nil, "mod", "edit", "-require=github.com/transparency-dev/formats@"+formatsVersion); err != nil {
		return err
	}
	_, err = goTool(ctx, tree, nil, "build", "-o", filepath.Join(dir, "tessera-conformance"), "./cmd/conformance/posix")
	return err
}

func takeWitnesses(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(b)
	for _, c := range []struct{ old, new string }{
		{"	additionalPrivateKeyFiles = []string{}\n",
			"	additionalPrivateKeyFiles = []string{}\n	witnessPolicyFile = flag.String(\"witness_policy_file\", \"\", \"Path to the file containing the witness policy.\")\n"},
		{"	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().\n", `	opts := tessera.NewAppendOptions()
	if *witnessPolicyFile != "" {
		f, err := os.ReadFile(*witnessPolicyFile)
		if err != nil {
			klog.Exitf("failed to read witness policy file %q: %v", *witnessPolicyFile, err)
		}
		wg, err := tessera.NewWitnessGroupFromPolicy(f)
		if err != nil {
			klog.Exitf("failed to create witness group from policy: %v", err)
		}
		opts.WithWitnesses(wg, &tessera.WitnessOptions{})
	}
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, opts.
`},
	} {
		if strings.Count(text, c.old) != 1 {
			return fmt.Errorf("%s is not as expected", file)
		}
		text = strings.Replace(text, c.old, c.new, 1)
	}
	if err := os.Remove(file); err != nil { // a copy of a read-only file
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// Add adds a leaf and returns its index once it is integrated.
func (l *Log) Add(ctx context.Context, leaf []byte) (index string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL+"/add", strings.NewReader(string(leaf)))
	if err != nil {
		return "", err
	}
	b, err := do(req)
	return string(b), err
}

// Checkpoint is what the log publishes.
func (l *Log) Checkpoint(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL+"/checkpoint", nil)
	if err != nil {
		return nil, err
	}
	return do(req)
}

// ErrNothing is no checkpoint yet.
var ErrNothing = errors.New("nothing there")

func do(req *http.Request) ([]byte, error) {
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, ErrNothing
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %d %s", req.URL, resp.StatusCode, b)
	}
	return b, nil
}
