package daemon_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stenolog/steno/api"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// health is the size of the log by its own account.
func (s *server) health() uint64 {
	s.t.Helper()
	var h api.Health
	s.get(s.addrs.Ops, "/healthz", "ops").json(s.t, &h)
	for _, c := range h.Checks {
		if c.Check == "checkpoint" {
			var published, size uint64
			if _, err := fmt.Sscanf(c.Detail, "size %d of %d", &published, &size); err != nil {
				s.t.Fatal(err)
			}
			return size
		}
	}
	s.t.Fatal("health says nothing of the checkpoint")
	return 0
}
