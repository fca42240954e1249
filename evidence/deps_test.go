package evidence_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTheVerifierKnowsNoNetworkAndNoStorage lists everything that steno-verify is made of. A module that is not named here
// is one more that must be right for a verdict to be.
func TestTheVerifierKnowsNoNetworkAndNoStorage(t *testing.T) {
	allowed := []string{
		"filippo.io/age", "filippo.io/hpke", "filippo.io/mldsa", "golang.org/x/crypto", "golang.org/x/sys/cpu",
		"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog",
		"github.com/transparency-dev/merkle", // of checkpoint, for what the verifier does not do
		"github.com/stenolog/steno/checkpoint", "github.com/stenolog/steno/entry", "github.com/stenolog/steno/trust",
		"github.com/stenolog/steno/payload", "github.com/stenolog/steno/evidence", "github.com/stenolog/steno/internal/point",
		"github.com/stenolog/steno/internal/safe", "github.com/stenolog/steno/cmd/steno-verify",
	}
	out, err := exec.Command("go", "list", "-deps", "github.com/stenolog/steno/cmd/steno-verify").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dep := range strings.FieldsSeq(string(out)) {
		seen++
		if dep == "net" || strings.HasPrefix(dep, "net/") || dep == "os/exec" || dep == "plugin" || dep == "runtime/cgo" {
			t.Errorf("steno-verify depends on %s", dep)
		}
		first, _, _ := strings.Cut(dep, "/")
		ours := slices.ContainsFunc(allowed, func(a string) bool { return dep == a || strings.HasPrefix(dep, a+"/") })
		if strings.Contains(dep, ".") && strings.Contains(first, ".") && !ours {
			t.Errorf("steno-verify depends on %s", dep)
		}
	}
	if seen < 50 {
		t.Fatalf("only %d packages were listed", seen)
	}
}
