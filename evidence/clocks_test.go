package evidence_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// TestPINNED_clocksThatContradictEachOtherAreNotVerified, whatever is demanded, and whatever the file says that it waits for.
func TestPINNED_clocksThatContradictEachOtherAreNotVerified(t *testing.T) {
	for _, c := range verifiertest.Clocks(t) {
		pinned, err := trust.Parse(c.Trust)
		if err != nil {
			t.Fatal(err)
		}
		r := verifyBytes(t, c.Bundle, pinned)
		check := checkNamed(t, r, evidence.CheckTime)
		outcome := evidence.Passed
		if c.Words != "" {
			outcome = evidence.Unmet
		}
		if r.Exit != c.Exit || check.Outcome != outcome || check.Passed != c.Passed || !strings.Contains(check.Detail, c.Words) {
			t.Errorf("%s: exit %d, %+v", c.Name, r.Exit, check)
		}
		said := false
		for _, s := range r.Sessions {
			said = said || s.Time.Contradiction != nil
			if s.Verdict != evidence.VerdictComplete {
				t.Errorf("%s: the session is %s", c.Name, s.Verdict)
			}
		}
		var text bytes.Buffer
		if err := r.Text(&text); err != nil || said != (c.Words != "") || strings.Contains(text.String(), "THESE CLOCKS CONTRADICT EACH OTHER: ") != said {
			t.Errorf("%s: %v, said: %v\n%s", c.Name, err, said, text.String())
		}
	}
}

// A clockVector is one of docs/spec/vectors/evidence-clocks.json.
type clockVector struct {
	Name          string                  `json:"name"`
	First         uint64                  `json:"first"`
	Last          uint64                  `json:"last"`
	Tokens        []evidence.ClockToken   `json:"tokens"`
	Quorums       []evidence.ClockQuorum  `json:"quorums"`
	Contradiction *evidence.Contradiction `json:"contradiction"`
}

type clockVectors struct {
	Format  string        `json:"format"`
	About   string        `json:"about"`
	Vectors []clockVector `json:"vectors"`
}

const clockAbout = "Whether the clocks contradict each other by which a session is bound whose entries stand at the leaves from first to last. " +
	"Tokens are those that count, quorums the checkpoints here that have one, with the leaf of their anchor, or null, the time since when a quorum has cosigned, and the " +
	"time by which one had; both by ascending leaf."

func clockMade() clockVectors {
	made := clockVectors{Format: "steno/vectors/evidence-clocks/v1", About: clockAbout}
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	token := func(index, size uint64, authority string, after, accuracy time.Duration) evidence.ClockToken {
		return evidence.ClockToken{Index: index, Size: size, Authority: authority, Time: noon.Add(after), AccuracyNS: int64(accuracy)}
	}
	quorum := func(index, size uint64, seconds int64) evidence.ClockQuorum {
		return evidence.ClockQuorum{Index: &index, Size: size, Since: uint64(noon.Unix() + seconds), Time: uint64(noon.Unix() + seconds)}
	}
	last := func(size uint64, seconds int64) evidence.ClockQuorum {
		q := quorum(0, size, seconds)
		q.Index = nil
		return q
	}
	add := func(name string, tokens []evidence.ClockToken, quorums ...evidence.ClockQuorum) {
		v := clockVector{Name: name, First: 10, Last: 20, Tokens: append([]evidence.ClockToken{}, tokens...), Quorums: append([]evidence.ClockQuorum{}, quorums...)}
		v.Contradiction = evidence.ContradictionOf(v.Tokens, v.Quorums, v.First, v.Last)
		made.Vectors = append(made.Vectors, v)
	}
	tokens := func(all ...evidence.ClockToken) []evidence.ClockToken { return all }
	for _, e := range []struct {
		name string
		step time.Duration
	}{{"60 s", 0}, {"60 s and a nanosecond", 1}} {
		add("authority after, witnesses before: "+e.name, tokens(token(9, 5, "one.example", 61500*time.Millisecond+e.step, 1500*time.Millisecond)), last(21, 0))
		add("witnesses after, authority before: "+e.name, tokens(token(30, 21, "one.example", -60001*time.Millisecond-e.step, time.Millisecond)), quorum(9, 5, 0), last(40, 0))
		add("the stamped note: "+e.name, tokens(token(30, 21, "one.example", -60*time.Second-e.step, 0)), quorum(30, 21, 0), last(40, 0))
		add("a token at the first leaf: "+e.name, tokens(token(10, 5, "one.example", 60*time.Second+e.step, 0)), last(21, 0))
		add("a token at the last leaf: "+e.name, tokens(token(20, 5, "one.example", 60*time.Second+e.step, 0)), last(21, 0))
		add("the second authority's: "+e.name, tokens(token(9, 5, "one.example", 0, 0), token(31, 22, "one.example", 10*time.Second, 0), token(32, 22, "two.example", 70*time.Second+e.step, 0)),
			last(40, 10))
	}
	add("a token behind all that is covered", tokens(token(21, 5, "one.example", time.Hour, 0)), quorum(30, 21, 0), last(31, 10_000))
	add("the stamped note below the session", tokens(token(9, 8, "one.example", -time.Hour, 0), token(30, 21, "one.example", time.Hour, 0)), quorum(9, 8, 0), quorum(30, 21, 3600), last(31, 3600))
	add("witnesses, 60 s", nil, quorum(9, 5, 60), last(21, 0))
	add("witnesses, 61 s", nil, quorum(9, 5, 61), last(21, 0))
	apart := func(q evidence.ClockQuorum, since int64) evidence.ClockQuorum {
		q.Since = uint64(noon.Unix() + since)
		return q
	}
	add("witnesses, of whom too few for a quorum say that it was later", tokens(token(30, 21, "one.example", 0, 0)), apart(quorum(9, 5, 3600), 60), last(31, 0))
	add("witnesses, of whom a quorum says that it was later", tokens(token(30, 21, "one.example", 0, 0)), apart(quorum(9, 5, 3600), 61), last(31, 0))
	add("the latest by which a quorum had not cosigned", nil, apart(quorum(7, 5, 3600), 50), apart(quorum(9, 8, 70), 70), last(41, 0))
	add("the latest of several", nil, quorum(7, 5, 100), quorum(9, 8, 61), quorum(30, 21, 0), last(41, 20))
	add("none", nil)
	add("one checkpoint", nil, last(21, 0))
	add("lower bounds alone", tokens(token(8, 5, "one.example", time.Hour, 0)), quorum(8, 5, 3600), last(15, 3600))
	add("upper bounds alone", tokens(token(30, 21, "one.example", time.Hour, 0)), quorum(30, 21, 3500), last(31, 3600))
	add("a contradiction before the session's bounds", tokens(token(3, 2, "one.example", -time.Hour, 0), token(9, 8, "one.example", 0, 0)), quorum(3, 2, -1000), quorum(9, 8, 0), last(21, 10))
	add("a contradiction after the session's bounds", tokens(token(30, 21, "one.example", 0, 0), token(50, 45, "one.example", time.Hour, 0)), quorum(30, 21, 0), quorum(50, 45, 7200), last(51, 7200))
	add("beyond the last year", nil, evidence.ClockQuorum{Index: ptrTo(uint64(9)), Size: 5, Since: 1<<63 - 1, Time: 1<<63 - 1}, evidence.ClockQuorum{Size: 21, Since: 1<<63 - 2, Time: 1<<63 - 2})
	add("a year that can be written, and one that can't", nil, evidence.ClockQuorum{Index: ptrTo(uint64(9)), Size: 5, Since: 1<<63 - 1, Time: 1<<63 - 1}, evidence.ClockQuorum{Size: 21, Since: 253_402_300_738, Time: 253_402_300_738})
	return made
}

func ptrTo[T any](v T) *T { return &v }

func TestClockVectors(t *testing.T) {
	made := clockVectors{}
	if *update {
		made = clockMade()
	}
	contradict := 0
	for _, v := range vectors(t, "evidence-clocks.json", made).Vectors {
		got := evidence.ContradictionOf(v.Tokens, v.Quorums, v.First, v.Last)
		if (got == nil) != (v.Contradiction == nil) || got != nil && got.String() != v.Contradiction.String() {
			t.Errorf("%s: %v, want %v", v.Name, got, v.Contradiction)
		}
		if got != nil {
			contradict++
		}
	}
	if contradict < 8 {
		t.Errorf("%d contradict", contradict)
	}
}
