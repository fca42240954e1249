package browser_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// A clockWorld is a log that is stamped and cosigned at random, by clocks that are more or less apart.
type clockWorld struct {
	*evidencetest.Log
	*rand.Rand
	authorities []*evidencetest.Authority
	now, spread int // seconds
	notes       []stampedNote
	sessions    []string
}

type stampedNote struct {
	note []byte
	size uint64
}

func (w *clockWorld) clock() time.Time {
	return evidencetest.Noon.Time().Add(time.Duration(w.now+w.IntN(2*w.spread)-w.spread) * time.Second)
}

// cosigned is the checkpoint, by some of the witnesses, each by a clock of its own.
func (w *clockWorld) cosigned() stampedNote {
	all := w.Witnesses
	defer func() { w.Witnesses = all }()
	w.Witnesses = nil
	n := stampedNote{w.Checkpoint(), uint64(len(w.Leaves))}
	for _, i := range w.Perm(len(all))[:w.IntN(len(all)+1)] {
		w.Witnesses, w.WitnessClock = all[i:i+1], w.clock()
		one := w.Checkpoint()
		n.note = append(n.note, one[bytes.LastIndexByte(bytes.TrimSuffix(one, []byte("\n")), '\n')+1:]...)
	}
	return n
}

// stamp has a checkpoint stamped, now and then one that was before.
func (w *clockWorld) stamp() {
	n := w.cosigned()
	if len(w.notes) > 0 && w.IntN(4) == 0 {
		n = w.notes[w.IntN(len(w.notes))]
	}
	w.notes = append(w.notes, n)
	a := w.authorities[w.IntN(len(w.authorities))]
	w.Record(a.Name, n.size, n.note, a.Token(n.note, w.clock()))
}

// evidence is of some sessions, with stamps between and within them.
func (w *clockWorld) evidence() *evidence.Bundle {
	for range 1 + w.IntN(3) {
		id := evidencetest.SessionID(len(w.sessions) + 1)
		w.sessions = append(w.sessions, id)
		for range w.IntN(4) {
			w.stamp()
		}
		if w.IntN(2) == 0 {
			verifiertest.Record(w.Log, id, 1)
		} else {
			main := w.Open(id, "bot", w.Enrol("acme/agents/bot", "agent", "bot"))
			w.stamp()
			main.CloseOnly()
		}
		w.now += w.IntN(60)
	}
	for range w.IntN(4) {
		w.stamp()
	}
	w.WitnessClock = w.clock()
	b := w.Evidence(w.sessions...)
	if w.IntN(3) == 0 {
		b.Pending = []evidence.CheckID{evidence.CheckTime}
	}
	return b
}

// TestPINNED_clocksOfAnyWorldAreJudgedAlike by both: what tokens and witnesses say of when sessions were logged, and whether it fits.
func TestPINNED_clocksOfAnyWorldAreJudgedAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(60, 2026))
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	var authorities []*evidencetest.Authority
	for i := range 3 {
		authorities = append(authorities, evidencetest.NewAuthority(t, fmt.Sprintf("tsa%d.example", i), from, from.AddDate(9, 0, 0)))
	}
	var cases []verifiertest.Case
	for i := range 60 {
		w := &clockWorld{Rand: r, authorities: authorities, spread: []int{1, 30, 90, 400}[r.IntN(4)]}
		w.Log = evidencetest.NewWith(t, "log.test.example/prod", evidencetest.Options{Witnesses: 3, Quorum: 1 + r.IntN(3)})
		b := w.evidence()
		pins := 1 + r.IntN(3)
		pinned := w.TrustPinning(r.IntN(pins+1), authorities[:pins]...)
		cases = append(cases, verifiertest.Case{Name: fmt.Sprint("world ", i), Bundle: verifiertest.File(t, b), Trust: pinned.Marshal()})
	}
	outcomes := map[any]int{}
	for i, js := range reportsOf(t, cases) {
		pinned, err := trust.Parse(cases[i].Trust)
		if err != nil {
			t.Fatal(err)
		}
		report, err := evidence.VerifyReader(bytes.NewReader(cases[i].Bundle), int64(len(cases[i].Bundle)), pinned, evidence.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(timesOf(t, report.JSON()), timesOf(t, js)); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", cases[i].Name, diff)
		}
		outcomes[checkOf(t, js, "time")["outcome"]]++
	}
	if outcomes["passed"] < 10 || outcomes["unmet"] < 10 || outcomes["incomplete"] == 0 {
		t.Errorf("the worlds are too much alike: %v", outcomes)
	}
}

// timesOf is all that a report says of time.
func timesOf(t *testing.T, report []byte) (all []any) {
	t.Helper()
	var r struct {
		Exit     int
		Anchors  []any
		Sessions []struct{ Time any }
	}
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatal(err)
	}
	return []any{r.Exit, r.Anchors, r.Sessions, checkOf(t, report, "anchors"), checkOf(t, report, "time")}
}
