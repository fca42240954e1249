package secretfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stenolog/steno/internal/secretfile"
)

func TestRead_SEALED(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := secretfile.Read(path); got != "hush" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got, err := secretfile.Read(path); got != "" || err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %q %v", mode, got, err)
		}
	}
	if _, err := secretfile.Read(filepath.Dir(path)); err == nil {
		t.Error("a directory is no secret")
	}
}
