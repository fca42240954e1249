package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/timestamp"
)

// Algorithms of time-stamp tokens get old: the file says from which day on one proves nothing more. Other signatures have their
// requirements and windows; what stands here is of tokens alone.

const (
	maxAlgorithms = 32
	brokenWord    = "broken"
)

func algorithmLine(a timestamp.AlgorithmEnd) string {
	line := "algorithm " + a.Name + " " + a.End.UTC().Format(dateLayout)
	if a.Broken {
		line += " " + brokenWord
	}
	return line
}

// parseAlgorithm takes what stands behind the word.
func parseAlgorithm(s string) (a timestamp.AlgorithmEnd, err error) {
	f := strings.Split(s, " ")
	a.Broken = len(f) == 3 && f[2] == brokenWord
	if len(f) == 2 || a.Broken {
		a.Name = f[0]
		if a.End, err = time.Parse(dateLayout, f[1]); err == nil {
			return a, nil
		}
	}
	return a, errors.New("not «algorithm NAME YEAR-MONTH-DAY [broken]»")
}

func (t *Trust) checkAlgorithms() error {
	for i, a := range t.Config.Algorithms {
		switch {
		case !slices.Contains(timestamp.AlgorithmNames(), a.Name):
			return fmt.Errorf("algorithm %q: it is none of %s", a.Name, strings.Join(timestamp.AlgorithmNames(), ", "))
		case i > 0 && t.Config.Algorithms[i-1].Name >= a.Name:
			return errors.New("algorithms are not in ascending order, each once")
		case a.End.Unix() < 0:
			return fmt.Errorf("algorithm %q: it ends before 1970-01-01, which stands for always", a.Name)
		}
	}
	return nil
}
