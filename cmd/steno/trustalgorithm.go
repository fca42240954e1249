package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// algorithmFlags are those about algorithms of time stamps.
type algorithmFlags struct {
	set, drop []string
}

func (f *algorithmFlags) define(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.set, "algorithm", nil,
		`"NAME DAY [broken]": from which day on an algorithm, such as rsa-2048 or sha-256, proves nothing more in time stamps; broken: nor does the newest before that day`)
	flags.StringArrayVar(&f.drop, "drop-algorithm", nil, "name of an algorithm that shall have no end any more")
}

func (f *trustFlags) applyAlgorithms(c *trust.Config) error {
	c.Algorithms = slices.Clone(c.Algorithms)
	find := func(name string) int {
		return slices.IndexFunc(c.Algorithms, func(a timestamp.AlgorithmEnd) bool { return a.Name == name })
	}
	for _, name := range f.algorithms.drop {
		i := find(name)
		if i < 0 {
			return usage("--drop-algorithm: the file has no end of an algorithm %q", name)
		}
		c.Algorithms = slices.Delete(c.Algorithms, i, i+1)
	}
	for _, s := range f.algorithms.set {
		a, err := algorithmOf(s)
		if err != nil {
			return usage("--algorithm %q: %w", s, err)
		}
		if i := find(a.Name); i >= 0 {
			c.Algorithms[i] = a
		} else {
			c.Algorithms = append(c.Algorithms, a)
		}
	}
	return nil
}

func algorithmOf(s string) (a timestamp.AlgorithmEnd, err error) {
	w := strings.Fields(s)
	if len(w) < 2 || len(w) > 3 || len(w) == 3 && w[2] != "broken" {
		return a, errors.New(`not "NAME DAY [broken]"`)
	}
	a.Name, a.Broken = w[0], len(w) == 3
	if !slices.Contains(timestamp.AlgorithmNames(), a.Name) {
		return a, fmt.Errorf("the algorithm is none of %s", strings.Join(timestamp.AlgorithmNames(), ", "))
	}
	if a.End, err = time.Parse(time.DateOnly, w[1]); err != nil {
		return a, errors.New("it does not end on a day such as 2031-11-24")
	}
	return a, nil
}

type algorithmView struct {
	Name   string `json:"name"`
	End    string `json:"end"`
	Broken bool   `json:"broken"`
}

func algorithmsOf(t *trust.Trust) []algorithmView {
	out := []algorithmView{}
	for _, a := range t.Algorithms {
		out = append(out, algorithmView{a.Name, a.End.Format(time.DateOnly), a.Broken})
	}
	return out
}

// terms says what an algorithm is still good for.
func (a algorithmView) terms() string {
	s := "counts in time stamps of before " + a.End
	if a.Broken {
		s += ", and only where a later one proves that: it is BROKEN"
	}
	return s
}

func (d *trustDiff) algorithms() {
	by := func(in []algorithmView, name string) *algorithmView {
		if i := slices.IndexFunc(in, func(a algorithmView) bool { return a.Name == name }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for _, a := range d.old.Algorithms {
		if by(d.next.Algorithms, a.Name) == nil {
			d.say("WEAKER: algorithm %s has no end any more; it did end on %s", a.Name, a.End)
		}
	}
	for _, a := range d.next.Algorithms {
		switch o := by(d.old.Algorithms, a.Name); {
		case o == nil:
			d.say("algorithm %s %s; it had no end", a.Name, a.terms())
		case *o != a:
			weaker := ""
			if a.End > o.End || o.Broken && !a.Broken { // days are spelt so that they sort
				weaker = "WEAKER: "
			}
			d.say("%salgorithm %s %s; it %s", weaker, a.Name, a.terms(), strings.Replace(o.terms(), "counts", "did", 1))
		}
	}
}
