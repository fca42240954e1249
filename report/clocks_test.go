package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/verifier/verifiertest"
)

func TestPageSaysWhereClocksContradictEachOther(t *testing.T) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	one := evidencetest.NewAuthority(t, "one.example", from, from.AddDate(9, 0, 0))
	l.Pin(1, one)
	main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 1)
	l.Anchor(evidencetest.Noon.Time(), one)
	said := "These clocks contradict each other "
	if p := page(t, of(l, l.Evidence(main.ID))); strings.Contains(text(p), said) {
		t.Error("the page says so of clocks that agree")
	}
	l.WitnessClock = from
	wantText(t, page(t, of(l, l.Evidence(main.ID))), said+"the token of one.example at log index", "one of these clocks is wrong, this file does not tell which, and no bracket here is to be relied on alone",
		"time: unmet.", "exit code 3")
}
