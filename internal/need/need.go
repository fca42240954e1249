// Package need is how tests ask for programs that may not be there. `go test ./...` skips, saying what is missing; with
// STENO_NEED_ALL set, as `make test` sets it, a missing program is a failure.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Program returns the path of a program, or ends the test.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "the program "+name)
	}
	return path
}

// Root ends the test when it does not run as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root")
	}
}

// Missing ends the test for lack of what.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("STENO_NEED_ALL") != "" {
		t.Fatalf("this test needs %s, which is not here", what)
	}
	t.Skipf("SKIPPED: this test needs %s, which is not here", what)
}
