package evidence_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
	"github.com/stenolog/steno/trust"
)

// An ending is a log of 2008 with a session that an authority with RSA keys stamped, which is renewed by one with others, and a newest
// token by the first.
type ending struct {
	*Log
	old, sound             *Authority
	session                string
	first, renewal, newest uint64 // anchors
}

func newEnding(t testing.TB) *ending {
	t.Helper()
	from, until := day("2006-01-01"), day("2010-01-01")
	w := &ending{Log: NewWith(t, origin, Options{}), session: SessionID(1), sound: NewAuthority(t, "sound.example", from, until)}
	old := *NewAuthority(t, "old.example", from, until)
	old.Material = Must(authority.Make(old.Name, authority.RSA, from, until))(t)
	old.Anchors = [][]byte{old.Material.Anchor().Raw}
	w.old = &old
	main := w.Open(w.session, "bot", w.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	main.Add(Intent("a", "t", 1), Result("a", 2))
	main.CloseOnly()
	w.first = w.Anchor(day("2008-03-02"), w.old)[0]
	w.renewal = w.Anchor(day("2008-03-10").Add(-time.Second), w.sound)[0] // accurate to a second: of before midnight, or of midnight
	w.newest = w.Anchor(day("2008-03-20"), w.old)[0]
	return w
}

// trust is that of both authorities, with ends of algorithms.
func (w *ending) trust(ends ...timestamp.AlgorithmEnd) *trust.Trust {
	w.T().Helper()
	return w.TrustWith(func(c *trust.Config) {
		c.Stamps, c.Authorities, c.Algorithms = 1, []timestamp.Authority{w.old.Authority, w.sound.Authority}, ends
	})
}

// TestPINNED_algorithmsEndAtWhatIsProvenOfATime: whoever can forge a token can write any time into it, but not have it covered in the
// past.
func TestPINNED_algorithmsEndAtWhatIsProvenOfATime(t *testing.T) {
	w := newEnding(t)
	end := func(name, on string) timestamp.AlgorithmEnd { return timestamp.AlgorithmEnd{Name: name, End: day(on)} }
	broken := func(name, on string) timestamp.AlgorithmEnd {
		return timestamp.AlgorithmEnd{Name: name, End: day(on), Broken: true}
	}
	whole := w.Evidence(w.session)
	unrenewed := w.Evidence(w.session)
	unrenewed.Anchors = slices.DeleteFunc(unrenewed.Anchors, func(a evidence.Anchor) bool { return a.Index == w.renewal })
	unrenewed = w.Prove(unrenewed)
	const first, renewal, newest = "first", "renewal", "newest"
	for _, c := range []struct {
		name   string
		b      *evidence.Bundle
		ends   []timestamp.AlgorithmEnd
		counts string
	}{
		{"no algorithm ends", whole, nil, "first renewal newest"},
		{"one that nobody uses", whole, []timestamp.AlgorithmEnd{broken("ecdsa-p384", "1970-01-01")}, "first renewal newest"},
		{"one of the three later on", whole, []timestamp.AlgorithmEnd{end("rsa-pkcs1", "2008-04-01")}, "first renewal newest"},
		{"broken: the newest token's word is not enough", whole, []timestamp.AlgorithmEnd{broken("rsa-pkcs1", "2008-04-01")}, "first renewal"},
		{"before the newest", whole, []timestamp.AlgorithmEnd{end("rsa-pkcs1", "2008-03-20")}, "first renewal"},
		{"after the renewal", whole, []timestamp.AlgorithmEnd{broken("rsa-pkcs1", "2008-03-11")}, "first renewal"},
		{"with the renewal: too late", whole, []timestamp.AlgorithmEnd{end("rsa-pkcs1", "2008-03-10")}, "renewal"},
		{"...which nobody sees", unrenewed, []timestamp.AlgorithmEnd{end("rsa-pkcs1", "2008-03-10")}, "first"},
		{"...unless it is broken", unrenewed, []timestamp.AlgorithmEnd{broken("rsa-pkcs1", "2008-03-10")}, ""},
		{"two, of which one was renewed too late", whole,
			[]timestamp.AlgorithmEnd{end("rsa-pkcs1", "2008-03-10"), end("sha-256", "2008-04-01")}, "renewal"},
		{"what renews, ended by itself", whole, []timestamp.AlgorithmEnd{end("ecdsa-p256", "2008-03-09")}, "first newest"},
		{"what renews, broken, and proven by the newest", whole, []timestamp.AlgorithmEnd{broken("ecdsa-p256", "2008-03-21")}, "first renewal newest"},
		{"all, and the newest of before is old", whole, []timestamp.AlgorithmEnd{end("sha-256", "2008-03-15")}, "first renewal"},
		{"all, and broken", whole, []timestamp.AlgorithmEnd{broken("sha-256", "2008-03-15")}, ""},
	} {
		tr := w.trust(c.ends...)
		r := verify(t, c.b, tr)
		if c.counts == "" {
			want(t, r, evidence.ExitPolicy, evidence.CheckTime, "and no later token proves that this one existed before")
		} else {
			want(t, r, evidence.ExitVerified, "", "")
		}
		for name, index := range map[string]uint64{first: w.first, renewal: w.renewal, newest: w.newest} {
			a := report(r, index)
			if a.Counts != strings.Contains(c.counts, name) {
				t.Errorf("%s: %s: %+v", c.name, name, a)
			}
			if !a.Counts && a.Reason != "algorithm" && a.Reason != "absent" {
				t.Errorf("%s: %s does not count for another reason: %+v", c.name, name, a)
			}
		}
	}
	if !evidence.ByPins(timestamp.ReasonAlgorithm) {
		t.Error("an algorithm's end is the trust file's to say")
	}
}
