package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// many is a bundle in which the leaves of a session stand again and again, with what is disclosed of them: who makes a page need
// not hold what a page is of.
func many(t testing.TB, sessions, times int, content []byte) (*evidencetest.Log, *evidence.Bundle) {
	t.Helper()
	l := evidencetest.New(t, origin)
	out := &evidence.Bundle{Origin: origin, Checkpoint: l.Checkpoint()}
	for n := range sessions {
		main := l.Open(evidencetest.SessionID(n), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
		for range 8 {
			main.Add(verifiertest.Says(payload.Text, content))
		}
		b := l.Evidence(main.ID)
		verifiertest.Disclose(l, b, main, nil)
		out.Sessions = append(out.Sessions, main.ID)
		for i := range times {
			shift := uint64((n*times + i) * 100_000)
			for _, leaf := range b.Leaves {
				out.Leaves = append(out.Leaves, evidence.Leaf{Index: leaf.Index + shift, Content: leaf.Content})
			}
			for _, d := range b.Disclosed {
				d.Index += shift
				out.Disclosed = append(out.Disclosed, d)
			}
		}
	}
	slices.SortFunc(out.Leaves, func(a, b evidence.Leaf) int { return int(a.Index) - int(b.Index) })
	return l, out
}

func TestPageIsBoundedAndEverySessionHasItsShare(t *testing.T) {
	const sessions = 3
	l, b := many(t, sessions, 250, bytes.Repeat([]byte("<"), 5000))
	p := page(t, of(l, b))
	if len(p) > 16<<20 || len(p) < 15<<20 {
		t.Errorf("%d bytes", len(p))
	}
	onlyOurMarkup(t, p)
	for i, section := range strings.Split(p, `<section class="session">`)[1 : 1+sessions] {
		if rows := strings.Count(section, "<strong>Reasoning of the agent</strong>"); rows < 300 || !strings.Contains(section, "more events of this section stand in the file") {
			t.Errorf("session %d: %d rows", i, rows)
		}
		if !strings.Contains(section, "2952 bytes more stand in the file.") {
			t.Errorf("session %d: content is not cut", i)
		}
	}
}

func TestPageDescribesTheFirstEventsOfALongSession(t *testing.T) {
	l, b := many(t, 1, 300, []byte("short"))
	p := page(t, of(l, b))
	events := 300 * 10 // open, admitted, eight
	if rows := strings.Count(p, "<tr><td>2026-"); rows != 2000 {
		t.Errorf("%d events are described", rows)
	}
	wantText(t, p, fmt.Sprintf("%d more events of this section stand in the file, and are not described here.", events-2000), fmt.Sprintf("unproven %d", events))
}

func TestPageOfManySessionsNamesThemAll(t *testing.T) {
	l, b := many(t, 60, 1, bytes.Repeat([]byte("\x00"), 2048))
	c := of(l, b)
	for i, id := range b.Sessions { // what is said above the events of some of them has no room
		gap := evidence.Gap{Kind: "open-action", Action: strings.Repeat("\x00", 1000)}
		c.Report.Sessions = append(c.Report.Sessions, evidence.SessionReport{Session: id, Gaps: slices.Repeat([]evidence.Gap{gap}, 100*(i%2))})
	}
	p := page(t, c)
	onlyOurMarkup(t, p)
	if n := strings.Count(p, "10 events stand in the file. There is no room on this page to describe them."); n < 10 || n > 30 {
		t.Errorf("%d sessions have no room", n)
	}
	for _, id := range b.Sessions {
		if !strings.Contains(p, "Session <code>"+id) {
			t.Fatalf("the page does not name session %s", id)
		}
	}
}

func TestContentOfMuchWhiteSpaceIsCut(t *testing.T) {
	l, b := many(t, 1, 1, []byte(strings.Repeat("\n", 1000)+"end"))
	p := page(t, of(l, b))
	if strings.Count(p, "\n\n\n") > 8 && strings.Contains(p, strings.Repeat("\n", 60)) || !strings.Contains(p, "955 bytes more stand in the file.") {
		t.Error("a thousand empty lines are shown")
	}
}
