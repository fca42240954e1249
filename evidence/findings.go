package evidence

import "slices"

// findings are what is wrong with a file. Of each check and outcome the first is kept, in the order in which they were found, and the others
// are counted: a hostile file could have half a million of them.
type findings struct {
	first  []Finding
	n      int
	others map[CheckID]int
}

func (f *findings) add(found ...Finding) {
	for _, x := range found {
		f.n++
		if !slices.ContainsFunc(f.first, func(y Finding) bool { return y.Check == x.Check && y.Outcome == x.Outcome }) {
			f.first = append(f.first, x)
			continue
		}
		if f.others == nil {
			f.others = map[CheckID]int{}
		}
		f.others[x.Check]++
	}
}
