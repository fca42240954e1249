package trust_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// algorithms end some, one of which is broken.
func algorithms(c *trust.Config) {
	authorities(c)
	c.Algorithms = []timestamp.AlgorithmEnd{
		{Name: "ecdsa-p256", End: day("2036-01-01")},
		{Name: "rsa-2048", End: day("2031-01-01"), Broken: true},
		{Name: "sha-256", End: day("2040-01-01")},
	}
}

func acceptedAlgorithms(w *world) []trustVector {
	every := func(c *trust.Config) {
		authorities(c)
		for _, name := range timestamp.AlgorithmNames() {
			c.Algorithms = append(c.Algorithms, timestamp.AlgorithmEnd{Name: name, End: day("2050-12-31")})
		}
	}
	return []trustVector{
		accepted("algorithms", "", w.make(algorithms)),
		accepted("every algorithm", "", w.make(every)),
		accepted("algorithms without authorities", "they wait for some", w.make(func(c *trust.Config) { algorithms(c); c.Stamps, c.Authorities = 0, nil })),
		accepted("algorithm that never counts", "", w.make(func(c *trust.Config) { algorithms(c); c.Algorithms[0].End = day("1970-01-01") })),
	}
}

// refusedAlgorithms are made of a good file by one change each.
func refusedAlgorithms(w *world) (v []trustVector) {
	base := string(w.make(algorithms).Marshal())
	bad := func(name, reason, errorHas, from, to string) {
		changed := strings.Replace(base, from, to, 1)
		if changed == base {
			panic(name + ": nothing was changed")
		}
		v = append(v, trustVector{Name: name, Trust: changed, Reason: reason, errorHas: errorHas})
	}
	const one, two = "algorithm ecdsa-p256 2036-01-01\n", "algorithm rsa-2048 2031-01-01 broken\n"
	bad("algorithms out of order", "one spelling", "ascending", one+two, two+one)
	bad("algorithm twice", "", "ascending", one, one+one)
	bad("two ends of an algorithm", "", "ascending", one, one+"algorithm ecdsa-p256 2037-01-01\n")
	bad("algorithm that ends and is broken", "", "ascending", two, "algorithm rsa-2048 2031-01-01\n"+two)
	bad("algorithms before stamps", "one spelling", "not in order", "stamps 2\n"+one, one+"stamps 2\n")
	bad("algorithm that nobody knows", "", "none of", "rsa-2048", "rsa-1024")
	bad("algorithm in capitals", "one spelling", "none of", "sha-256", "SHA-256")
	bad("algorithm under another name", "one spelling", "none of", "ecdsa-p256", "ecdsa-secp256r1")
	bad("SHA-1 as an algorithm", "no token counts by it", "none of", "sha-256", "sha-1")
	bad("algorithm without a name", "", "none of", one, "algorithm  2036-01-01\n")
	bad("algorithm without a day", "", "YEAR-MONTH-DAY", one, "algorithm ecdsa-p256\n")
	bad("algorithm with a time", "one spelling", "YEAR-MONTH-DAY", one, "algorithm ecdsa-p256 2036-01-01T00:00:00Z\n")
	bad("algorithm until no day", "", "YEAR-MONTH-DAY", "2036-01-01\n", "2036-02-30\n")
	bad("algorithm of before 1970", "1970-01-01 stands for always", "before 1970", one, "algorithm ecdsa-p256 1969-12-31\n")
	bad("algorithm with another mark", "", "YEAR-MONTH-DAY", "broken", "compromised")
	bad("algorithm broken twice", "", "YEAR-MONTH-DAY", "broken", "broken broken")
	bad("algorithm with a space at its end", "one spelling", "YEAR-MONTH-DAY", "2036-01-01\n", "2036-01-01 \n")
	bad("algorithm with two spaces", "one spelling", "YEAR-MONTH-DAY", "31-01-01 broken", "31-01-01  broken")
	return v
}

func TestAlgorithmsAreOfEachAuthority(t *testing.T) {
	w := newWorld()
	c := w.config()
	algorithms(&c)
	want := slices.Clone(c.Algorithms)
	slices.Reverse(c.Algorithms)
	tr := must(trust.Make(c))
	if c.Algorithms[0].Name != "sha-256" {
		t.Error("Make has changed what it was given")
	}
	for _, a := range tr.Authorities() {
		if !reflect.DeepEqual(a.Algorithms, want) {
			t.Errorf("%s: %+v, want %+v", a.Name, a.Algorithms, want)
		}
		a.Algorithms[0].Name = "rsa-4096"
	}
	if !reflect.DeepEqual(tr.Authorities()[0].Algorithms, want) {
		t.Error("the trust was changed from outside")
	}
	// One authority's own would be lost.
	c.Authorities = tr.Authorities()
	if _, err := trust.Make(c); err == nil || !strings.Contains(err.Error(), "as a whole") {
		t.Errorf("ends of one authority: %v", err)
	}
}

// TestAlgorithmsAreBounded: a file may be long, and must not make work before it is refused.
func TestAlgorithmsAreBounded(t *testing.T) {
	w := newWorld()
	bad := strings.Replace(string(w.make(nil).Marshal()), "policy\n", strings.Repeat("algorithm x 2030-01-01\n", 33)+"policy\n", 1)
	if _, err := trust.Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), "more than 32") {
		t.Error(err)
	}
}

func TestMakeCutsNoDayOfAnAlgorithm(t *testing.T) {
	c := newWorld().config()
	algorithms(&c)
	c.Algorithms[1].End = c.Algorithms[1].End.Add(time.Second)
	if _, err := trust.Make(c); err == nil || !strings.Contains(err.Error(), "whole day") {
		t.Error(err)
	}
	c.Algorithms[1].End, c.Algorithms[1].Name = day("2031-01-01"), "rsa-2048 2030-01-01\nalgorithm rsa-3072"
	if _, err := trust.Make(c); err == nil || !strings.Contains(err.Error(), "not a word") {
		t.Error(err)
	}
}

// TestAlgorithmsChangeNoOtherFile: files that have none keep their spelling, and so their hash.
func TestAlgorithmsChangeNoOtherFile(t *testing.T) {
	w := newWorld()
	with, without := string(w.make(algorithms).Marshal()), string(w.make(authorities).Marshal())
	for _, l := range []string{"ecdsa-p256 2036-01-01", "rsa-2048 2031-01-01 broken", "sha-256 2040-01-01"} {
		with = strings.Replace(with, "algorithm "+l+"\n", "", 1)
	}
	if with != without {
		t.Errorf("%s\n\n%s", with, without)
	}
}
