package verifiertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
	"github.com/stenolog/steno/trust"
)

// anchored has bundles with time-stamp tokens.
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
	m.add("anchored, and demanded", whole(), l.TrustPinning(2, one, two))
	limited := limiting(m.t, "three.example", one)
	l.TokensAside = false
	l.Anchor(now.Add(3*time.Hour), limited)
	for stamps, agree := range []Agreement{Verdicts, Verdicts, Verdicts, Nothing} {
		m.add(fmt.Sprint("anchored by one whose chain limits names too, demanded: ", stamps), whole(), l.TrustPinning(stamps, one, limited, two))
		m.all[len(m.all)-1].Agree = agree
	}
	l.Truncate(len(l.Leaves) - 1)
	late := whole()
	late.Anchors = late.Anchors[:2]
	late.Public = nil
	m.add("anchors left out", l.Prove(late), l.TrustPinning(1, one, two))
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
			b.Public[0].Content = evidence.ContentOf(flipped(content, 9))
		}},
		{"public bytes that nobody names", func(b *evidence.Bundle) { b.Public = []evidence.Blob{evidence.BlobOf([]byte("x"))} }},
		{"an anchor at another leaf", func(b *evidence.Bundle) { b.Anchors = b.Anchors[:1]; b.Anchors[0].Index = main.Log.Leaf(4).Index }},
	} {
		b := whole()
		c.spoil(b)
		m.add("tampered: "+c.name, l.Prove(b), l.Trust)
	}
	m.disordered(one, limited)
	m.disordered(limited, one)
}

// disordered has a token that covers a later one, where not every verifier can judge both.
func (m *maker) disordered(first, then *evidencetest.Authority) {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{})
	now := entry.Time(evidencetest.Noon).Time()
	l.Anchor(now.Add(20*time.Second), first)
	main, _ := Record(l, evidencetest.SessionID(1), 1)
	l.Anchor(now, then)
	m.add(fmt.Sprintf("%s after a later token of %s", then.Name, first.Name), l.Evidence(main.ID), l.TrustPinning(0, first, then))
	m.all[len(m.all)-1].Agree = Nothing
}

// Tokens are logs with rounds of time stamps, some of them wrong, and trust files that differ in what they say of the authorities.
func Tokens(t testing.TB) []Case {
	t.Helper()
	m := &maker{t: t}
	from, at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), entry.Time(evidencetest.Noon).Time()
	one, two := evidencetest.NewAuthority(m.t, "one.example", from, from.AddDate(9, 0, 0)), evidencetest.NewAuthority(m.t, "two.example", from, from.AddDate(9, 0, 0))
	three := oneVoice(m.t, two, "three.example")
	round := func(n int) time.Time { return at.Add(time.Duration(n) * 24 * time.Hour) }
	nothing := func(f func(l *evidencetest.Log)) func(*evidencetest.Log) []string {
		return func(l *evidencetest.Log) []string { f(l); return nil }
	}
	record := func(token func(note []byte) []byte) func(*evidencetest.Log) []string {
		return nothing(func(l *evidencetest.Log) {
			note := l.Checkpoint()
			l.Record("one.example", size(l), note, token(note))
		})
	}
	for name, more := range map[string]func(l *evidencetest.Log) (others []string){
		"as they are": nothing(func(*evidencetest.Log) {}),
		"a third":     nothing(func(l *evidencetest.Log) { l.Anchor(round(4), three) }),
		"one again":   nothing(func(l *evidencetest.Log) { l.Anchor(round(4), one) }),
		"one backdated": nothing(func(l *evidencetest.Log) {
			l.Anchor(round(0).Add(time.Minute), one)
			l.Anchor(round(5), two)
		}),
		"an earlier successor":     nothing(func(l *evidencetest.Log) { l.Anchor(round(3).Add(-10*time.Second), two) }),
		"a token over other bytes": record(func([]byte) []byte { return one.Token([]byte("x"), round(4)) }),
		"a token that is none":     record(func([]byte) []byte { return []byte("x") }),
		"another one's token":      record(func(note []byte) []byte { return three.Token(note, round(4)) }),
		"a token with a bit flipped": record(func(note []byte) []byte {
			token := one.Token(note, round(4))
			return flipped(token, len(token)-1)
		}),
		"another size": nothing(func(l *evidencetest.Log) {
			note := l.Checkpoint()
			l.Record("one.example", size(l)-1, note, one.Token(note, round(4)))
		}),
		"stamped a leaf too early": func(l *evidencetest.Log) []string {
			open := l.Open(evidencetest.SessionID(3), "bot", enrol(l))
			note, n := l.Checkpoint(), size(l)
			open.CloseOnly()
			l.Record("one.example", n, note, one.Token(note, round(4)))
			return []string{open.ID}
		},
		"stamped to the last leaf": func(l *evidencetest.Log) []string {
			open := l.Open(evidencetest.SessionID(3), "bot", enrol(l))
			open.CloseOnly()
			l.Anchor(round(4), one, two)
			return []string{open.ID}
		},
	} {
		l := evidencetest.NewWith(m.t, origin, evidencetest.Options{})
		l.Anchor(round(0), one, two)
		main, _ := Record(l, evidencetest.SessionID(1), 1)
		l.Anchor(round(1), one)
		l.Anchor(round(1).Add(time.Hour), two)
		Record(l, evidencetest.SessionID(2), 2)
		l.Anchor(round(3), one, two)
		others := more(l)
		b := l.Evidence(append([]string{main.ID, evidencetest.SessionID(2)}, others...)...)
		for _, c := range pinnings(l, round, one, two, three) {
			m.add(name+", "+c.name, b, c.trust)
		}
	}
	return m.all
}

// oneVoice is an authority under a root of its own with another one's key.
func oneVoice(t testing.TB, of *evidencetest.Authority, name string) *evidencetest.Authority {
	return rerooted(t, of, name, func(_, _ *x509.Certificate) {})
}

// limiting is one whose root says which names a signer may have, which not every verifier judges.
func limiting(t testing.TB, name string, of *evidencetest.Authority) *evidencetest.Authority {
	a := evidencetest.NewAuthority(t, name, of.From, of.Until)
	return rerooted(t, a, name, func(root, signer *x509.Certificate) {
		root.PermittedDNSDomains, signer.DNSNames = []string{"example.com"}, []string{"tsa.example.com"}
	})
}

func rerooted(t testing.TB, of *evidencetest.Authority, name string, edit func(root, signer *x509.Certificate)) *evidencetest.Authority {
	t.Helper()
	a := evidencetest.NewAuthority(t, name, of.From, of.Until)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root, signer := *a.Material.Anchor(), *of.Material.Chain[0]
	root.SubjectKeyId, root.AuthorityKeyId, root.PublicKey = nil, nil, nil
	signer.AuthorityKeyId, signer.ExtraExtensions = nil, slices.DeleteFunc(slices.Clone(signer.Extensions), func(e pkix.Extension) bool {
		return !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37})
	})
	edit(&root, &signer)
	anchor := issued(t, &root, &root, key.Public(), key)
	a.Material.Key, a.Material.Chain = of.Material.Key, []*x509.Certificate{issued(t, &signer, anchor, of.Material.Key.Public(), key), anchor}
	a.Anchors = [][]byte{anchor.Raw}
	return a
}

func issued(t testing.TB, template, parent *x509.Certificate, public, by any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func size(l *evidencetest.Log) uint64 { return uint64(len(l.Leaves)) }

type pinning struct {
	name  string
	trust *trust.Trust
}

// pinnings are trust files that pin three authorities and say more of the first, or of algorithms.
func pinnings(l *evidencetest.Log, round func(n int) time.Time, one, two, three *evidencetest.Authority) (list []pinning) {
	day := func(n int) time.Time { return round(n).Truncate(24 * time.Hour) }
	pin := func(name string, stamps int, edit func(one, two *evidencetest.Authority, c *trust.Config)) {
		a, b := *one, *two
		var ends trust.Config
		edit(&a, &b, &ends)
		list = append(list, pinning{name, l.TrustWith(func(c *trust.Config) {
			c.Stamps, c.Algorithms = stamps, ends.Algorithms
			c.Authorities = append(c.Authorities, a.Authority, three.Authority, b.Authority)
		})})
	}
	for stamps := range 4 {
		pin(fmt.Sprint(stamps, " demanded"), stamps, func(*evidencetest.Authority, *evidencetest.Authority, *trust.Config) {})
	}
	for n := range 6 {
		pin(fmt.Sprint("one compromised on day ", n), 1, func(a, _ *evidencetest.Authority, _ *trust.Config) { a.Compromised = round(n) })
		pin(fmt.Sprint("both compromised on day ", n), 2, func(a, b *evidencetest.Authority, _ *trust.Config) {
			a.Compromised, b.Compromised = round(n), round(n).Add(2*time.Hour)
		})
		pin(fmt.Sprint("window until day ", n), 1, func(a, _ *evidencetest.Authority, _ *trust.Config) { a.Until = day(n) })
		pin(fmt.Sprint("window from day ", n), 2, func(a, _ *evidencetest.Authority, _ *trust.Config) { a.From = day(n) })
		for _, broken := range []bool{false, true} {
			pin(fmt.Sprint("algorithm until day ", n, ", broken: ", broken), 1, func(_, _ *evidencetest.Authority, c *trust.Config) {
				c.Algorithms = []timestamp.AlgorithmEnd{{Name: "ecdsa-p256", End: day(n), Broken: broken}, {Name: "rsa-2048", End: day(0), Broken: true}}
			})
		}
	}
	for _, d := range []time.Duration{0, time.Second, 2 * time.Second} { // as exact as the token of two that proves the first of one
		pin(fmt.Sprint("one compromised ", d, " after a token"), 1, func(a, _ *evidencetest.Authority, _ *trust.Config) {
			a.Compromised = round(1).Add(time.Hour + d)
		})
	}
	pin("another policy", 1, func(a, _ *evidencetest.Authority, _ *trust.Config) { a.Policies = []string{"1.2.3"} })
	pin("the policy", 1, func(a, _ *evidencetest.Authority, _ *trust.Config) {
		a.Policies = []string{"1.9.9", authority.PolicyOID}
	})
	return list
}
