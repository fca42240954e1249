package audit_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	et "github.com/stenolog/steno/evidence/evidencetest"
)

func TestAnchorsSayWhatIsTrueOfThemselves(t *testing.T) {
	at := time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC)
	one := et.NewAuthority(t, "one.example", at.AddDate(-1, 0, 0), at.AddDate(1, 0, 0))
	two := et.NewAuthority(t, "two.example", at.AddDate(-1, 0, 0), at.AddDate(1, 0, 0))
	say := func(l *et.Log, size uint64, token []byte) {
		l.Say(entry.TypeAnchor, entry.Anchor{Authority: "one.example", Size: size, Checkpoint: entry.HashOf([]byte("note")),
			Token: entry.Text(base64.StdEncoding.EncodeToString(token))})
	}
	for name, c := range map[string]struct {
		words  string
		anchor func(l *et.Log)
	}{
		"as it should be":             {"", func(l *et.Log) { l.Anchor(at, one, two) }},
		"beside its leaf":             {"", func(l *et.Log) { l.TokensAside = true; l.Anchor(at, one) }},
		"after its window":            {"", func(l *et.Log) { say(l, 1, one.Token([]byte("note"), at.AddDate(0, 9, 0))) }},
		"of another authority":        {"", func(l *et.Log) { say(l, 1, two.Token([]byte("note"), at)) }},
		"over another note":           {"imprint", func(l *et.Log) { say(l, 1, one.Token([]byte("other"), at)) }},
		"no token":                    {"one.example", func(l *et.Log) { say(l, 1, []byte("x")) }},
		"a token not in base64":       {"base64", func(l *et.Log) { l.Say(entry.TypeAnchor, entry.Anchor{Authority: "one.example", Size: 1, Token: "-"}) }},
		"a size that it can't have":   {"cover the anchor itself", func(l *et.Log) { say(l, uint64(len(l.Leaves))+1, one.Token([]byte("note"), at)) }},
		"the size up to its own leaf": {"", func(l *et.Log) { say(l, uint64(len(l.Leaves)), one.Token([]byte("note"), at)) }},
	} {
		t.Run(name, func(t *testing.T) {
			l := et.New(t, "log.example/test")
			short := *one
			short.Until = at.AddDate(0, 6, 0).Truncate(24 * time.Hour)
			l.Pin(1, &short, two)
			c.anchor(l)
			r := run(t, l, l.Trust, audit.AllSignatures)
			found := slices.ContainsFunc(r.Findings, func(f evidence.Finding) bool {
				return f.Check == evidence.CheckSystem && f.Outcome == evidence.Failed && strings.Contains(f.Detail, c.words)
			})
			if found != (c.words != "") || len(r.Findings) > 1 {
				t.Errorf("want %q, found %+v", c.words, r.Findings)
			}
		})
	}
}
