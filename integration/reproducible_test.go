//go:build linux

package integration_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/internal/need"
)

const ourModule = "github.com/stenolog/steno/"

// TestTheProgramsAreReproducible: `make build`, in two directories whose paths differ, makes the same bytes, and static ones. Go's
// cache would answer the second time with what the first compiled, so that what it has of our own packages is taken out in
// between, and the second build must say that it compiled them all. The first is spoilt by nothing that is not in the sources:
// there is no .git.
func TestTheProgramsAreReproducible(t *testing.T) {
	need.Program(t, "make")
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "another", "path of another length")
	for _, dir := range []string{first, second} {
		copySources(t, dir)
	}
	makeBuild(t, first)
	ours := forget(t, first)
	compiled := makeBuild(t, second)
	if len(ours) < 20 {
		t.Fatalf("only %d packages of our own: %q", len(ours), ours)
	}
	for _, p := range ours {
		if !slices.Contains(compiled, p) {
			t.Errorf("%s was not compiled again: this test proves nothing of it", p)
		}
	}
	modules := strings.TrimSpace(string(must(exec.Command("go", "env", "GOMODCACHE").Output())))
	programs := must(os.ReadDir(filepath.Join(first, "bin")))
	if commands := must(os.ReadDir(filepath.Join(first, "cmd"))); len(programs) != len(commands) || len(programs) == 0 {
		t.Fatalf("%d programs of %d commands", len(programs), len(commands))
	}
	for _, p := range programs {
		one, two := must(os.ReadFile(filepath.Join(first, "bin", p.Name()))), must(os.ReadFile(filepath.Join(second, "bin", p.Name())))
		if !bytes.Equal(one, two) {
			t.Errorf("%s: sha256 %x, and %x when it is built again", p.Name(), sha256.Sum256(one), sha256.Sum256(two))
		}
		for _, dir := range []string{first, modules} {
			if bytes.Contains(one, []byte(dir+"/")) {
				t.Errorf("%s holds the path %s of the machine that built it", p.Name(), dir)
			}
		}
		checkStatic(t, filepath.Join(first, "bin", p.Name()))
	}
}

// checkStatic: it runs in an empty directory of any Linux, asks for no interpreter and loads nothing.
func checkStatic(t *testing.T, path string) {
	t.Helper()
	f := must(elf.Open(path))
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static: it has %v", filepath.Base(path), p.Type)
		}
	}
}

// copySources copies what a source archive has, and the integration tests need not be in it.
func copySources(t *testing.T, dir string) {
	t.Helper()
	root := must(filepath.Abs(".."))
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := must(filepath.Rel(root, path))
		to := filepath.Join(dir, rel)
		switch {
		case d.IsDir() && slices.Contains([]string{".git", "bin", "integration"}, rel):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // a file that an editor has just put away
			return nil
		} else if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// makeBuild runs make build, and returns the packages that were compiled.
func makeBuild(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.Command("make", "build")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-v") // names what it compiles
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

// forget takes our packages, as make build compiles them, out of Go's cache, and lists them. The name of a file in the cache begins
// with the first half of a package's build ID.
func forget(t *testing.T, dir string) (ours []string) {
	t.Helper()
	list := exec.Command("go", "list", "-trimpath", "-buildvcs=false", "-export", "-deps", "-f", "{{.ImportPath}} {{.BuildID}}", "./cmd/...")
	list.Dir = dir
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	cache := strings.TrimSpace(string(must(exec.Command("go", "env", "GOCACHE").Output())))
	for line := range strings.Lines(string(out)) {
		path, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(path, ourModule) {
			continue
		}
		action, _, _ := strings.Cut(id, "/")
		name := hex.EncodeToString(must(base64.URLEncoding.DecodeString(action)))
		for _, file := range must(filepath.Glob(filepath.Join(cache, name[:2], name+"*-a"))) {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		ours = append(ours, path)
	}
	return ours
}
