package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// TestEvidence_doesNotWaitForWhatNothingMends: clocks that contradict each other will do so in every later file.
func TestEvidence_doesNotWaitForWhatNothingMends(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		l := evidencetest.NewWith(t, "log.example/clocks", evidencetest.Options{Witnesses: 3, Quorum: 2})
		from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		one := evidencetest.NewAuthority(t, "one.example", from, from.AddDate(9, 0, 0))
		l.Pin(1, one)
		l.Anchor(evidencetest.Noon.Time(), one)
		main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 1) // no authority has stamped it
		pending, exit := []evidence.CheckID{evidence.CheckTime}, evidence.ExitIncomplete
		if wrong {
			l.WitnessClock = from
			pending, exit = nil, evidence.ExitPolicy
		}
		x := &export{r: &reader{trust: l.Trust}}
		x.out = filepath.Join(t.TempDir(), "clocks.steno")
		var err error
		if x.held, err = newHolding(x.out); err != nil {
			t.Fatal(err)
		}
		r, err := x.finish(l.Evidence(main.ID), nil)
		if err != nil || r.Exit != exit || !slices.Equal(r.Pending, pending) {
			t.Errorf("clocks wrong: %v: %v, exit %d, waits for %v", wrong, err, r.Exit, r.Pending)
		}
		var said bytes.Buffer
		if err := x.lacking(&said, r); err != nil || strings.Contains(said.String(), "make another file") == wrong {
			t.Errorf("clocks wrong: %v: %v, %s", wrong, err, said.String())
		}
		if err := x.held.close(); err != nil {
			t.Error(err)
		}
	}
}
