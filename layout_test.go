// Package steno_test holds the rules about the tree as a whole.
package steno_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/stenolog/steno/"

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
	Standard     bool
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps,Standard"}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// ours are the packages of this module that p imports, without the module's path.
func ours(imports []string) (names []string) {
	for _, i := range imports {
		if name, ok := strings.CutPrefix(i, module); ok {
			names = append(names, name)
		}
	}
	return names
}

// TestImportRules holds who may know whom. A package that is not named here may import what it likes, except a command.
func TestImportRules(t *testing.T) {
	rules := map[string][]string{
		"checkpoint": {},
		"entry":      {},
		"timestamp":  {},
		"trust":      {"entry", "checkpoint", "timestamp"}, // the keys that entries and checkpoints are judged by
		"access":     {},
		"storage":    {},
		"payload":    {"entry"},
		"recorder":   {"entry", "payload"},
		"evidence":   {"checkpoint", "entry", "trust", "payload", "timestamp"},
		"report":     {"entry", "evidence", "payload", "trust"},
		"witness":    {"checkpoint", "trust"},
		"log":        {"storage", "log/tiles", "checkpoint"},
		"log/tiles":  {},
	}
	for _, p := range goList(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if allowed, ok := rules[name]; ok {
			for _, i := range ours(p.Imports) {
				if !slices.Contains(allowed, i) && !strings.HasPrefix(i, "internal/") {
					t.Errorf("%s imports %s", name, i)
				}
			}
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module+"cmd/") || i == module+"internal/need" || i == module+"storage/storagetest" && name != "storage/storagetest" {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
}

// TestStandardLogIsNotUsed keeps the word log for the transparency log.
func TestStandardLogIsNotUsed(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if slices.Contains(slices.Concat(p.Imports, p.TestImports, p.XTestImports), "log") {
			t.Errorf("%s imports the standard log package: use log/slog", p.ImportPath)
		}
	}
}
