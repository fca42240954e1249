package main

import (
	"bufio"
	"crypto/sha256"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
	"github.com/stenolog/steno/timestamp/authority"
)

// TestTSAServes asks the real program for a time stamp.
func TestTSAServes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tsa")
	if out, err := exec.Command("steno", "tsa", "init", dir, "--name", "dev-tsa").CombinedOutput(); err != nil {
		t.Fatalf("steno tsa init: %v\n%s", err, out)
	}
	m, err := authority.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("steno", "tsa", "serve", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	in := bufio.NewScanner(stdout)
	in.Scan()
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(in.Text())
	if url == "" {
		t.Errorf("steno tsa serve says %q", in.Text())
	}
	digest := sha256.Sum256([]byte("a note"))
	token, _, err := (ask.Authority{Name: "dev-tsa", URL: url, Now: time.Now}).Ask(t.Context(), digest)
	if err != nil {
		t.Error(err)
	}
	pinned := timestamp.Authority{
		Name: "dev-tsa", Anchors: [][]byte{m.Anchor().Raw}, From: m.Anchor().NotBefore, Until: m.Anchor().NotAfter,
		Policies: []string{authority.PolicyOID}, Accuracy: authority.Accuracy,
	}
	if _, err := timestamp.Verify(token, digest, pinned); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(stderr.String(), tsaWarning) {
		t.Errorf("steno tsa serve ended with %v, said %q", err, stderr.String())
	}
}
