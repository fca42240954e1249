package trust_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stenolog/steno/trust"
)

// TestOverlap compares the count with all the ways to part the operators in two.
func TestOverlap(t *testing.T) {
	w := newWorld()
	rapid.Check(t, func(t *rapid.T) {
		d := drawPolicy(t)
		c := w.config()
		c.Operators = nil
		for _, n := range d.names {
			c.Operators = append(c.Operators, trust.Operator{Name: "of-" + n, Witnesses: []string{n}})
		}
		c.Policy = []byte("log " + w.log.Verifier().String() + "\n" + d.text)
		for _, n := range d.names {
			if rapid.IntRange(0, 3).Draw(t, n) == 0 {
				c.Windows = append(c.Windows, trust.Window{Role: trust.RoleWitness, Key: d.signers[n].Verifier().String(), Until: 9, Compromised: true})
			}
		}
		tr, err := trust.Make(c)
		if err != nil {
			if !strings.Contains(err.Error(), "can't make the quorum") {
				t.Fatal(err)
			}
			t.Skip("too many compromised witnesses")
		}
		var good []string
		for _, n := range d.names {
			stolen := false
			for _, win := range c.Windows {
				stolen = stolen || win.Key == d.signers[n].Verifier().String()
			}
			if !stolen {
				good = append(good, n)
			}
		}
		want := tr.NeedsWitnesses()
		for mask := range 1 << len(good) {
			var one, other []string
			for i, n := range good {
				if mask>>i&1 == 1 {
					one = append(one, n)
				} else {
					other = append(other, n)
				}
			}
			want = want && !(tr.CanReach(one) && tr.CanReach(other))
		}
		if tr.Overlap() != want {
			t.Fatalf("overlap %v\n%s", !want, tr.Marshal())
		}
	})
}

func TestQuorumInWords(t *testing.T) {
	w := newWorld()
	op := func(name string, witnesses ...string) trust.Operator {
		return trust.Operator{Name: name, Witnesses: witnesses}
	}
	for want, c := range map[string]struct {
		lines     []string
		operators []trust.Operator
		overlap   bool
	}{
		"none":                  {[]string{"w:w1", "quorum none"}, []trust.Operator{op("a", "w1")}, false},
		"a":                     {[]string{"w:w1", "quorum w1"}, []trust.Operator{op("a", "w1")}, true},
		"2 of a, b, c":          {[]string{"w:w1", "w:w2", "w:w3", "group g 2 w1 w2 w3", "quorum g"}, []trust.Operator{op("a", "w1"), op("b", "w2"), op("c", "w3")}, true},
		"all of a, b":           {[]string{"w:w1", "w:pq1", "w:w2", "group x any w1 pq1", "group g all x w2", "quorum g"}, []trust.Operator{op("a", "pq1", "w1"), op("b", "w2")}, true},
		"1 of a, b":             {[]string{"w:w1", "w:w2", "group g any w1 w2", "quorum g"}, []trust.Operator{op("a", "w1"), op("b", "w2")}, false},
		"all of a, (1 of b, c)": {[]string{"w:w1", "w:w2", "w:w3", "group x any w2 w3", "group g all w1 x", "quorum g"}, []trust.Operator{op("a", "w1"), op("b", "w2"), op("c", "w3")}, true},
		"1 of \"a,b\", c":       {[]string{"w:w1", "w:w2", "group g any w1 w2", "quorum g"}, []trust.Operator{op("a,b", "w1"), op("c", "w2")}, false},
		"all of (all of key w1 of a, key pq1 of a), b": {[]string{"w:w1", "w:pq1", "w:w2", "group x all w1 pq1", "group g all x w2", "quorum g"}, []trust.Operator{op("a", "pq1", "w1"), op("b", "w2")}, true},
		"key pq1 of a": {[]string{"w:w1", "w:pq1", "group x any w1 pq1", "quorum pq1"}, []trust.Operator{op("a", "pq1", "w1")}, true},
	} {
		tr := w.make(func(cfg *trust.Config) { cfg.Operators, cfg.Policy = c.operators, w.policy(c.lines...) })
		if got := tr.QuorumWords(); got != want || tr.Overlap() != c.overlap {
			t.Errorf("%q, overlap %v; want %q", got, tr.Overlap(), want)
		}
	}
}

func TestWitnessesAreListedWithOperators(t *testing.T) {
	w := newWorld()
	tr := must(trust.Make(w.pqConfig()))
	var got []string
	for _, x := range tr.Witnesses() {
		got = append(got, fmt.Sprint(x.Name, " ", x.Operator, " ", x.Verifier.Algorithm()))
	}
	want := "[w1 auditor cosignature-ed25519 pq1 auditor cosignature-ml-dsa-44 w2 bank cosignature-ed25519 pq2 bank cosignature-ml-dsa-44]"
	if fmt.Sprint(got) != want || !tr.CanReach([]string{"pq1", "w2"}) || tr.CanReach([]string{"pq1", "w1"}) {
		t.Errorf("%v", got)
	}
	if tr.Witnesses()[0].URL != "" || w.make(nil).Witnesses()[0].URL != "https://w1.example/" {
		t.Error("URLs are not the policy's")
	}
}
