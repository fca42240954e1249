package evidence_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
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
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "github.com/stenolog/steno/cmd/steno-verify")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p struct {
			ImportPath string
			Imports    []string
			Standard   bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ours := p.ImportPath == "github.com/stenolog/steno/timestamp" || // and none of its subpackages, which ask and answer
			slices.ContainsFunc(allowed, func(a string) bool { return p.ImportPath == a || strings.HasPrefix(p.ImportPath, a+"/") })
		if !p.Standard && !ours {
			t.Errorf("steno-verify depends on %s", p.ImportPath)
		}
		for _, i := range p.Imports {
			switch {
			case i == "net/http" || i == "os/exec" || i == "plugin" || i == "runtime/cgo":
				t.Errorf("%s imports %s", p.ImportPath, i)
			case i != "net" && !strings.HasPrefix(i, "net/"):
			case p.ImportPath == "crypto/x509" || strings.HasPrefix(p.ImportPath, "net"): // names in certificates can be addresses
			default:
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
	if seen < 50 {
		t.Fatalf("only %d packages were listed", seen)
	}
}
