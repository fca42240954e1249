package evidence

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stenolog/steno/entry"
)

const (
	formatLine   = "steno/evidence/v3"
	formatFamily = "steno/evidence/v"
	wordSession  = "session"
	wordRange    = "range"
	wordPending  = "pending"
)

// manifest is the text of the file that names the format.
func (b *Bundle) manifest() []byte {
	out := []byte(formatLine + "\n" + b.Origin + "\n")
	for _, s := range b.Sessions {
		out = fmt.Appendf(out, "%s %s\n", wordSession, s)
	}
	if b.Range != nil {
		out = fmt.Appendf(out, "%s %d %d\n", wordRange, b.Range.From, b.Range.To)
	}
	for _, p := range b.Pending {
		out = fmt.Appendf(out, "%s %s\n", wordPending, p)
	}
	return out
}

// readManifest takes what a manifest says. That it says it in its one spelling is seen when it is written again.
func (b *Bundle) readManifest(manifest []byte) error {
	lines := strings.Split(strings.TrimSuffix(string(manifest), "\n"), "\n")
	switch {
	case lines[0] == formatLine:
	case lines[0] == formatFamily+"1", lines[0] == formatFamily+"2":
		return fmt.Errorf("%s: made by a version before the first release; export it again", lines[0])
	case strings.HasPrefix(lines[0], formatFamily):
		return fmt.Errorf("of a format that this verifier does not know, which is %s", formatLine)
	default:
		return fmt.Errorf("does not begin with %q", formatLine)
	}
	if len(lines) < 2 {
		return errors.New("no origin")
	}
	b.Origin = lines[1]
	for _, line := range lines[2:] {
		word, value, _ := strings.Cut(line, " ")
		switch word {
		case wordSession:
			b.Sessions = append(b.Sessions, value)
		case wordRange:
			from, to, _ := strings.Cut(value, " ")
			f, err := strconv.ParseUint(from, 10, 64)
			t, err2 := strconv.ParseUint(to, 10, 64)
			if err := errors.Join(err, err2); err != nil {
				return errors.New("range is not FROM and TO in decimal")
			}
			b.Range = &Range{f, t}
		case wordPending:
			b.Pending = append(b.Pending, CheckID(value))
		default:
			return fmt.Errorf("line begins with none of %s, %s, %s", wordSession, wordRange, wordPending)
		}
	}
	return nil
}

func (b *Bundle) checkManifest() error {
	if err := entry.CheckOrigin(b.Origin); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	if len(b.Sessions) == 0 && b.Range == nil || len(b.Sessions) > MaxSessions {
		return fmt.Errorf("%d sessions, 1 to %d are allowed", len(b.Sessions), MaxSessions)
	}
	for i, s := range b.Sessions {
		if err := entry.CheckSession(s); err != nil {
			return fmt.Errorf("session %d: %w", i, err)
		}
		if i > 0 && b.Sessions[i-1] >= s {
			return fmt.Errorf("session %d: not in ascending order, each once", i)
		}
	}
	if r := b.Range; r != nil && (r.From >= r.To || r.To > math.MaxInt64) {
		return fmt.Errorf("range from %d to %d: not ascending, or more than a log can have", r.From, r.To)
	}
	for i, p := range b.Pending {
		if p != CheckTime && p != CheckWitnesses || i > 0 && b.Pending[i-1] >= p {
			return errors.New("pending is not of time, witnesses, in this order, each once")
		}
	}
	return nil
}

// isPending tells whether the file says that it was made too early for a check to be met.
func (b *Bundle) isPending(check CheckID) bool { return slices.Contains(b.Pending, check) }
