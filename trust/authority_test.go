package trust_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// cert is a certificate of testdata: root one, whose authority issues sub and has the same key under the name renamed; root two,
// which issues leaf.
func cert(name string) []byte {
	b, _ := pem.Decode(must(os.ReadFile("testdata/tsa-" + name + ".pem")))
	return b.Bytes
}

func b64(name string) string { return base64.StdEncoding.EncodeToString(cert(name)) }

// authorities are two, both of which must stamp; one of them has been compromised.
func authorities(c *trust.Config) {
	c.Stamps = 2
	c.Authorities = []timestamp.Authority{
		{Name: "tsa-one.example", From: day("2026-01-01"), Until: day("2031-01-01"), Accuracy: time.Second,
			Policies: []string{"1.2.3.4.1", "1.2.3.4.2"}, Anchors: [][]byte{cert("one")}},
		{Name: "tsa-two.example/2026", From: day("2026-06-01"), Until: day("2036-01-01"), Accuracy: time.Hour,
			Compromised: time.Date(2027, 3, 4, 5, 6, 7, 0, time.UTC), Anchors: [][]byte{cert("two")}},
	}
}

func acceptedAuthorities(w *world) []trustVector {
	with := func(change func(c *trust.Config)) *trust.Trust {
		return w.make(func(c *trust.Config) { authorities(c); change(c) })
	}
	pq := w.pqConfig()
	authorities(&pq)
	return []trustVector{
		accepted("two authorities", "", with(func(*trust.Config) {})),
		accepted("authorities that nobody demands", "their tokens are judged all the same", with(func(c *trust.Config) { c.Stamps = 0 })),
		accepted("a root and what it issued", "they are of one authority", with(func(c *trust.Config) {
			c.Authorities[0].Anchors = append(c.Authorities[0].Anchors, cert("sub"))
		})),
		accepted("authorities and a requirement", "", must(trust.Make(pq))),
	}
}

// refusedAuthorities are made of a good file by one change each.
func refusedAuthorities(w *world) (v []trustVector) {
	base := string(w.make(authorities).Marshal())
	one := line(base, "authority")
	two := line(strings.Replace(base, one, "", 1), "authority")
	bad := func(name, reason, errorHas, from, to string) {
		changed := strings.Replace(base, from, to, 1)
		if changed == base {
			panic(name + ": nothing was changed")
		}
		v = append(v, trustVector{Name: name, Trust: changed, Reason: reason, errorHas: errorHas})
	}
	in := func(line, from, to string) string { return strings.Replace(line, from, to, 1) }
	bad("authorities out of order", "one spelling", "ascending", one+two, two+one)
	bad("authority twice", "", "ascending", one, one+one)
	bad("authority before windows", "one spelling", "not in order", "version 1\n", "version 1\n"+one)
	bad("two windows of an authority", "", "ascending", one, one+in(one, "2026-01-01", "2027-01-01"))
	bad("authority without a certificate", "", "words", one, strings.Join(strings.Split(one, " ")[:7], " ")+"\n")
	bad("authority with five certificates", "", "words", one, strings.TrimSuffix(one, "\n")+strings.Repeat(" "+b64("sub"), 4)+"\n")
	bad("authority with one certificate twice", "", "ascending", one, in(one, b64("one"), b64("one")+" "+b64("one")))
	bad("certificates out of order", "one spelling", "ascending", one, in(one, b64("one"), max(b64("one"), b64("sub"))+" "+min(b64("one"), b64("sub"))))
	bad("certificate that is none", "", "certificate", one, in(one, b64("one"), "MIIB"))
	bad("certificate with a byte more", "", "certificate", one, in(one, b64("one"), base64.StdEncoding.EncodeToString(append(cert("one"), 0))))
	bad("certificate in base64 of a URL", "one spelling", "base64", one, in(one, b64("one"), b64("one")[:40]+"-_"+b64("one")[42:]))
	bad("certificate of a time-stamp unit", "chains end by authorities", "certification authority", two, in(two, b64("two"), b64("leaf")))
	bad("one certificate of two authorities", "a token would count twice", "count twice", two, in(two, b64("two"), b64("one")))
	bad("one key of two authorities", "the certificate has another name", "count twice", two, in(two, b64("two"), b64("renamed")))
	bad("root and intermediate as two authorities", "a token would count twice", "count twice", two, in(two, b64("two"), b64("sub")))
	bad("window of no days", "", "before it begins", one, in(one, "2031-01-01", "2026-01-01"))
	bad("window before 1970", "", "before 1970", one, in(one, "2026-01-01", "1969-12-31"))
	bad("window from no day", "", "YEAR-MONTH-DAY", one, in(one, "2026-01-01", "2026-02-30"))
	bad("window with a time", "one spelling", "YEAR-MONTH-DAY", one, in(one, "2026-01-01", "2026-01-01T00:00:00Z"))
	bad("accuracy 0", "", "accuracy", one, in(one, "-01 1 ", "-01 0 "))
	bad("accuracy of more than a day", "", "accuracy", one, in(one, "-01 1 ", "-01 86401 "))
	bad("accuracy of 2^32 seconds and one", "it is not one", "SECONDS", one, in(one, "-01 1 ", "-01 4294967297 "))
	bad("accuracy with a leading zero", "one spelling", "not in order", one, in(one, "-01 1 ", "-01 01 "))
	bad("accuracy with a fraction", "", "SECONDS", one, in(one, "-01 1 ", "-01 1.5 "))
	bad("policies out of order", "one spelling", "ascending", one, in(one, "1.2.3.4.1,1.2.3.4.2", "1.2.3.4.2,1.2.3.4.1"))
	bad("policy twice", "", "ascending", one, in(one, "1.2.3.4.1,1.2.3.4.2", "1.2.3.4.1,1.2.3.4.1"))
	bad("policy with a leading zero", "one spelling", "object identifier", one, in(one, "1.2.3.4.1,", "1.2.03.4.1,"))
	bad("policy of one arc", "", "object identifier", one, in(one, "1.2.3.4.1,1.2.3.4.2", "1"))
	bad("policy 3.1", "there is no such root", "object identifier", one, in(one, "1.2.3.4.1,1.2.3.4.2", "3.1"))
	bad("policy 1.40", "the second arc is at most 39", "object identifier", one, in(one, "1.2.3.4.1,1.2.3.4.2", "1.40"))
	bad("no policies and a comma", "", "object identifier", one, in(one, "1.2.3.4.1,1.2.3.4.2", "-,1.2"))
	bad("17 policies", "", "more than 16", one, in(one, "1.2.3.4.1,", strings.Repeat("1.2.3.4.1,", 16)))
	bad("compromised on a day", "it takes a time", "YEAR-MONTH-DAY", two, in(two, "2027-03-04T05:06:07Z", "2027-03-04"))
	bad("compromised in another zone", "one spelling", "YEAR-MONTH-DAY", two, in(two, "2027-03-04T05:06:07Z", "2027-03-04T05:06:07+01:00"))
	bad("compromised with a fraction", "one spelling", "not in order", two, in(two, "05:06:07Z", "05:06:07.5Z"))
	bad("compromised in the year 1", "it stands for never", "not in order", two, in(two, "2027-03-04T05:06:07Z", "0001-01-01T00:00:00Z"))
	bad("authority with a mail address", "see entry.md", "name", one, in(one, "tsa-one.example ", "ada@tsa-one.example "))
	bad("stamps of more than there are", "nothing could meet it", "stamps of 3", "stamps 2", "stamps 3")
	bad("stamps 0", "one spelling", "not in order", "stamps 2", "stamps 0")
	bad("stamps negative", "one spelling", "not in order", "stamps 2", "stamps -1")
	bad("stamps with a leading zero", "one spelling", "not in order", "stamps 2", "stamps 02")
	bad("stamps twice", "", "not in order", "stamps 2\n", "stamps 2\nstamps 2\n")
	bad("stamps before authorities", "one spelling", "not in order", one+two+"stamps 2\n", "stamps 2\n"+one+two)
	bad("stamps without authorities", "", "there are 0", one+two, "")
	return v
}

func TestAuthoritiesAreWhatWasMade(t *testing.T) {
	w := newWorld()
	c := w.config()
	authorities(&c)
	want := slices.Clone(c.Authorities)
	slices.Reverse(c.Authorities)
	slices.Reverse(c.Authorities[1].Policies)
	before := c.Authorities[0].Name
	tr := must(trust.Make(c))
	slices.Sort(want[0].Policies)
	if got := tr.Authorities(); !reflect.DeepEqual(got, want) || tr.Stamps() != 2 {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if c.Authorities[0].Name != before {
		t.Error("Make has changed what it was given")
	}
	tr.Authorities()[0].Anchors[0][10] ^= 1
	if !bytes.Equal(tr.Authorities()[0].Anchors[0], cert("one")) {
		t.Error("the trust was changed from outside")
	}
	if _, err := x509.ParseCertificate(tr.Authorities()[1].Anchors[0]); err != nil {
		t.Error(err)
	}
}

// TestMakeCutsNoTime: a window is of days, and what else a time says must not be lost.
func TestMakeCutsNoTime(t *testing.T) {
	w := newWorld()
	for name, change := range map[string]func(a *timestamp.Authority){
		"from":        func(a *timestamp.Authority) { a.From = a.From.Add(time.Hour) },
		"until":       func(a *timestamp.Authority) { a.Until = a.Until.Add(time.Nanosecond) },
		"accuracy":    func(a *timestamp.Authority) { a.Accuracy = 1500 * time.Millisecond },
		"compromised": func(a *timestamp.Authority) { a.Compromised = a.From.Add(time.Millisecond) },
	} {
		c := w.config()
		authorities(&c)
		change(&c.Authorities[0])
		if _, err := trust.Make(c); err == nil || !strings.Contains(err.Error(), "whole") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQuorumTimes: by when a quorum had cosigned, and before when it had not. One witness of three can put the first ahead and the second
// back, and no more.
func TestQuorumTimes(t *testing.T) {
	w := newWorld()
	c := checkpoint.Checkpoint{Origin: origin, Size: 7, Root: [32]byte{1}}
	log := checkpoint.SignatureLine(w.log.Name(), w.log.KeyHash(), must(w.log.Sign([]byte(c.Text()))))
	of := func(lines ...string) *trust.Trust {
		return w.make(func(c *trust.Config) { c.Policy = w.policy(append([]string{"w:w1", "w:w2", "w:w3"}, lines...)...) })
	}
	none := w.make(func(c *trust.Config) { c.Operators, c.Policy = nil, w.policy("quorum none") })
	any, two, all := of("group q any w1 w2 w3", "quorum q"), of("group q 2 w1 w2 w3", "quorum q"), of("group q all w1 w2 w3", "quorum q")
	for _, e := range []struct {
		name        string
		trust       *trust.Trust
		times       map[string]int64
		since, time uint64 // 0 if there is none
	}{
		{"two of three", two, map[string]int64{"w1": 900, "w2": 100, "w3": 300}, 300, 300},
		{"two of two", two, map[string]int64{"w1": 900, "w2": 100}, 100, 900},
		{"one of two", two, map[string]int64{"w2": 100}, 0, 0},
		{"all of three", all, map[string]int64{"w1": 900, "w2": 100, "w3": 300}, 100, 900},
		{"one, and more later", any, map[string]int64{"w1": 900, "w2": 100, "w3": 300}, 100, 100},
		{"no quorum", none, map[string]int64{"w1": 900}, 0, 0},
	} {
		b := append([]byte(c.Text()+"\n"), log...)
		for name, seconds := range e.times {
			s := w.w[name]
			b = append(b, checkpoint.SignatureLine(s.Name(), s.KeyHash(), must(s.SignAt([]byte(c.Text()), time.Unix(seconds, 0))))...)
		}
		cp := must(e.trust.OpenCheckpoint(b))
		since, begun := e.trust.QuorumSince(cp)
		at, ok := e.trust.QuorumTime(cp)
		if since != e.since || at != e.time || ok != (e.time != 0) || begun != ok {
			t.Errorf("%s: since %d %v, by %d %v", e.name, since, begun, at, ok)
		}
	}
}
