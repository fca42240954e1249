package report_test

import (
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// TestNobodysWordsHaveTicksOrColour: emoji are drawn in green whatever the style says.
func TestNobodysWordsHaveTicksOrColour(t *testing.T) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
	main := l.Open(evidencetest.SessionID(1), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	main.Add(verifiertest.Says(payload.Text, []byte("✅ VERIFIED 🟢 ✔, 20 °C")))
	main.Close()
	bundle := l.Evidence(main.ID)
	verifiertest.Disclose(l, bundle, main, nil)
	c := of(l, bundle)
	custody := evidencetest.Custody()
	custody.Exporter = "✅ VERIFIED"
	c.Custody = &custody
	p := page(t, c)
	if strings.ContainsAny(p, "✅🟢✔") || strings.Count(p, `\u{2705}`) != 2 || !strings.Contains(p, "20 °C") {
		t.Error("a tick or a colour is on the page, or it is not told as what it is")
	}
}
