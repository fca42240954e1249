package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stenolog/steno/internal/need"
)

// A file gets its name where there are no links (a stick), and never that of another.
func TestAFileGetsItsNameWithoutLinks(t *testing.T) {
	const child = "STENO_TEST_NAME_IN"
	dir := os.Getenv(child)
	if dir == "" {
		need.Program(t, "strace")
		cmd := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=linkat", "-e", "inject=linkat:error=EPERM", os.Args[0], "-test.run", t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("without links: %v\n%s", err, out)
		}
		dir = t.TempDir()
	}
	out, other := filepath.Join(dir, "out"), filepath.Join(dir, "other")
	for name, content := range map[string]string{"tmp": "evidence", "second": "other evidence", "other": "of somebody"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := giveName(filepath.Join(dir, "tmp"), out); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{out, other} {
		if err := giveName(filepath.Join(dir, "second"), taken); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s was taken: %v", taken, err)
		}
	}
	if free := filepath.Join(dir, "free"); giveName(filepath.Join(dir, "gone"), free) == nil {
		t.Error("a name was given to nothing")
	} else if _, err := os.Stat(free); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that could not be given is taken: %v", err)
	}
	for path, want := range map[string]string{out: "evidence", other: "of somebody"} {
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("%s holds %q: %v", path, got, err)
		}
	}
	namesUnfinished(t, filepath.Join(dir, "new"))
}

func TestAnUnfinishedFileGetsItsName(t *testing.T) {
	namesUnfinished(t, filepath.Join(t.TempDir(), "new"))
}

// namesUnfinished writes a file, with and without links: nothing is left beside it, and it takes no other's name.
func namesUnfinished(t *testing.T, dir string) {
	t.Helper()
	other, out := filepath.Join(dir, "other"), filepath.Join(dir, "out")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(other, []byte("of somebody"), 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := newUnfinished(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("evidence"); err != nil {
		t.Fatal(err)
	}
	if err := f.name(other); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%s was taken: %v", other, err)
	}
	if err := errors.Join(f.name(out), f.close()); err != nil {
		t.Error(err)
	}
	lost, err := newUnfinished(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.close(); err != nil {
		t.Error(err)
	}
	holds(t, dir, map[string]string{"other": "of somebody", "out": "evidence"})
	if info, err := os.Stat(out); err != nil {
		t.Error(err)
	} else if info.Mode() != 0o600 {
		t.Error(info.Mode())
	}
}

// holds demands that a directory holds these files, and no other.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Error(err)
		}
		got[f.Name()] = string(b[:min(len(b), 40)])
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
