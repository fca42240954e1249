//go:build linux

package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/internal/need"
)

const buildTimeout = 10 * time.Minute

// program returns the path of a program in the cache. If it isn't there, make builds it into a directory under its name. Test
// binaries run at the same time: one builds, the others wait.
func program(t testing.TB, name, version string, make func(ctx context.Context, dir string) error) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		need.Missing(t, fmt.Sprintf("a cache directory (%v)", err))
	}
	cache = filepath.Join(cache, "steno-test")
	path := filepath.Join(cache, name+"@"+version)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	dir, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	if err := make(ctx, dir); err != nil {
		need.Missing(t, fmt.Sprintf("%s %s, which could not be built (%v)", name, version, err))
	}
	// Renamed when it is whole: who finds it can run it.
	if err := os.Rename(filepath.Join(dir, name), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// install is `go install` of a command of another module, with its own dependencies.
func install(pkg, version string) func(ctx context.Context, dir string) error {
	return func(ctx context.Context, dir string) error {
		_, err := goTool(ctx, dir, []string{"GOBIN=" + dir}, "install", pkg+"@"+version)
		return err
	}
}

func goTool(ctx context.Context, dir string, env []string, args ...string) (stdout []byte, err error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off"), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if stdout, err = cmd.Output(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout, nil
}

// source is where the source of a module is.
func source(ctx context.Context, dir, module, version string) (string, error) {
	out, err := goTool(ctx, dir, nil, "mod", "download", "-json", module+"@"+version)
	if err != nil {
		return "", err
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", err
	}
	return m.Dir, nil
}
