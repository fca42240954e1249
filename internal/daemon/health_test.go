package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/log"
)

// Before a witness has answered nothing is said of a quorum.
func TestHealth_claimsNoQuorumAtTheStart(t *testing.T) {
	since := time.Now()
	asked := func(sizes ...uint64) (all []log.CosignerHealth) {
		for _, s := range sizes {
			all = append(all, log.CosignerHealth{Name: "w", Answered: true, Size: s})
		}
		return all
	}
	for name, c := range map[string]struct {
		health log.Health
		quorum string
		ok     bool
	}{
		"nobody was asked":              {log.Health{Published: 7, Cosigners: asked(0, 0)}, "starting: ", true},
		"nothing was ever published":    {log.Health{Cosigners: asked(8, 0)}, "starting: ", true},
		"nobody answers, for a moment":  {log.Health{Published: 7, Cosigners: []log.CosignerHealth{{Name: "w", Since: since}}}, "starting: ", true},
		"one of two has answered":       {log.Health{Published: 7, Cosigners: asked(8, 0)}, "size 7 has it", true},
		"nobody has answered for long":  {log.Health{Published: 7, Cosigners: asked(0), QuorumLostSince: since}, "lost since ", false},
		"the log waits to be told more": {log.Health{Cosigners: asked(0), Waiting: true}, "waiting for witnesses", false},
	} {
		t.Run(name, func(t *testing.T) {
			checks := (&probe{quorum: true}).witnesses(c.health)
			if last := checks[len(checks)-1]; last.Check != "quorum" || !strings.HasPrefix(last.Detail, c.quorum) || last.OK != c.ok {
				t.Errorf("%+v", last)
			}
			for i, x := range c.health.Cosigners {
				if x.Size == 0 && strings.HasPrefix(checks[i].Detail, "answers") {
					t.Errorf("%+v", checks[i])
				}
			}
		})
	}
}
