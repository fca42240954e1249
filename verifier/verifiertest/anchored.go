package verifiertest

import (
	"bytes"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
)

// anchored has bundles with time-stamp tokens, which not every verifier can check.
func (m *maker) anchored() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	one, two := evidencetest.NewAuthority(m.t, "one.example", from, from.AddDate(9, 0, 0)), evidencetest.NewAuthority(m.t, "two.example", from, from.AddDate(9, 0, 0))
	now := entry.Time(evidencetest.Noon).Time()
	l.Anchor(now, one, two)
	main, _ := Record(l, evidencetest.SessionID(1), 1)
	l.Anchor(now.Add(time.Hour), one)
	l.TokensAside = true
	l.Anchor(now.Add(2*time.Hour), two)
	whole := func() *evidence.Bundle { return l.Evidence(main.ID) }
	m.add("anchored by strangers", whole(), l.Trust)
	m.add("anchored, and not demanded", whole(), l.TrustPinning(0, one, two))
	m.all[len(m.all)-1].Agree = Verdicts
	m.add("anchored, and demanded", whole(), l.TrustPinning(2, one, two))
	m.all[len(m.all)-1].Agree = Nothing
	late := whole()
	late.Anchors = late.Anchors[:2]
	late.Public = nil
	m.add("anchors left out", l.Prove(late), l.TrustPinning(1, one, two))
	m.all[len(m.all)-1].Agree = Verdicts
	for _, c := range []struct {
		name  string
		spoil func(b *evidence.Bundle)
	}{
		{"a stamped checkpoint", func(b *evidence.Bundle) { b.Anchors[0].Note = flipped(b.Anchors[0].Note, len(origin)+4) }},
		{"another anchor's checkpoint", func(b *evidence.Bundle) { b.Anchors[0].Note = b.Anchors[3].Note }},
		{"a stamped checkpoint that is none", func(b *evidence.Bundle) { b.Anchors[0].Note = []byte("x") }},
		{"a token beside its leaf", func(b *evidence.Bundle) {
			content, err := b.Public[0].Load()
			if err != nil {
				m.t.Fatal(err)
			}
			b.Public[0].Load = func() ([]byte, error) { return flipped(bytes.Clone(content), 9), nil }
		}},
		{"public bytes that nobody names", func(b *evidence.Bundle) { b.Public = []evidence.Blob{evidence.BlobOf([]byte("x"))} }},
		{"an anchor at another leaf", func(b *evidence.Bundle) { b.Anchors = b.Anchors[:1]; b.Anchors[0].Index = main.Log.Leaf(4).Index }},
	} {
		b := whole()
		c.spoil(b)
		m.add("tampered: "+c.name, l.Prove(b), l.Trust)
	}
}
