package evidence_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// checkNamed is a check of a report.
func checkNamed(t *testing.T, r evidence.Report, id evidence.CheckID) evidence.Check {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no check %s\n%s", id, r.JSON())
	}
	return r.Checks[i]
}

func TestWitnessesThatSawTheCheckpointAreNamed(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	l.Witnesses = l.Witnesses[:2]
	report := verify(t, l.Evidence(SessionID(1)), l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	c := report.Checkpoint
	if !c.Witnessed || len(c.Cosigned) != 2 || checkNamed(t, report, evidence.CheckWitnesses).Passed != 2 {
		t.Fatalf("%s", report.JSON())
	}
	w := c.Cosigned[0]
	key := fmt.Sprintf("witness1.example/w+%08x", l.Witnesses[0].KeyHash())
	if w.Witness != "w1" || w.Operator != "witness1.example" || w.Key != key || w.Algorithm != "cosignature-ed25519" || !strings.HasSuffix(w.Time, "Z") {
		t.Fatalf("%+v", w)
	}
	var text bytes.Buffer
	words := fmt.Sprintf("seen by 2 of the pinned witnesses (witness1.example, witness2.example) between %s and %s by their clocks", w.Time, c.Cosigned[1].Time)
	if err := report.Text(&text); err != nil || !strings.Contains(text.String(), words) {
		t.Fatalf("no %q in\n%s", words, text.String())
	}
	if slices.ContainsFunc(report.NotChecked, func(n evidence.NotChecked) bool { return n.ID == "witnesses" }) {
		t.Error("what was checked is called not checked")
	}
}

// TestPINNED_aQuorumThatIsNotMetIsPolicyUnmet: what holds without the quorum is neither damage nor proof.
func TestPINNED_aQuorumThatIsNotMetIsPolicyUnmet(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	session(l, 1, r)
	all := l.Witnesses
	stranger := NewWitness(t, checkpoint.CosignatureEd25519, all[0].Name())
	for name, witnesses := range map[string][]*checkpoint.Signer{
		"one": all[:1], "none": nil, "a stranger under a witness's name": {all[1], stranger}, "one twice": {all[0], all[0]},
	} {
		l.Witnesses = witnesses
		report := verify(t, l.Evidence(SessionID(1)), l.Trust)
		want(t, report, evidence.ExitPolicy, evidence.CheckWitnesses, "is not met")
		if report.Checkpoint.Witnessed || report.Sessions[0].Verdict != evidence.VerdictComplete {
			t.Errorf("%s: %s", name, report.JSON())
		}
	}
	l.Witnesses = all[:1]
	main := l.Open(SessionID(2), "bot", r)
	open := l.Evidence(main.ID)
	want(t, verify(t, open, l.Trust), evidence.ExitPolicy, evidence.CheckWitnesses, "cosigned by w1 alone")
	open.Leaves[0] = evidence.LeafOf(open.Leaves[0].Index, append(bytes.Clone(Content(t, open.Leaves[0])), 'x'))
	if report := verify(t, open, l.Trust); report.Exit != evidence.ExitFailed {
		t.Errorf("a wrong leaf without a quorum: exit %d", report.Exit)
	}
}

// TestAWitnessThatLiesAboutTheTimeIsWrittenDown, and breaks nothing: the time is its word.
func TestAWitnessThatLiesAboutTheTimeIsWrittenDown(t *testing.T) {
	info := evidence.CheckpointInfoOf(New(t, origin).Trust, trust.Checkpoint{Cosigned: []trust.Cosignature{
		{Witness: "a", Operator: "a.example", Time: 1}, {Witness: "b", Operator: "b.example", Time: 1<<63 - 1},
	}})
	if s := info.Seen(); s != "seen by 2 of the pinned witnesses (a.example, b.example) between 1970-01-01T00:00:01Z and 9999-12-31T23:59:59Z by their clocks" {
		t.Errorf("%q", s)
	}
	if info.Witnessed {
		t.Error("witnessed, where the trust file demands no witnesses")
	}
}

func TestWhereNoWitnessesAreDemandedNothingIsCalledWitnessed(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 2})
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	report := verify(t, l.Evidence(SessionID(1)), l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	if report.Checkpoint.Witnessed || len(report.Checkpoint.Cosigned) != 2 {
		t.Errorf("%+v", report.Checkpoint)
	}
	if !slices.ContainsFunc(report.NotChecked, func(n evidence.NotChecked) bool { return n.ID == "witnesses" }) {
		t.Error("not_checked lacks witnesses")
	}
}

// TestKeysCountWithinTheirWindows has one log, judged by trust files that differ in the window of one key.
func TestKeysCountWithinTheirWindows(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	session(l, 1, r)
	witnessed := l.Evidence(SessionID(1))
	unmet := l.Evidence(SessionID(1))
	all := l.Witnesses
	l.Witnesses = all[:1]
	unmet.Checkpoint = l.Checkpoint()
	size := uint64(len(l.Leaves))
	none, operators := Policy([]string{l.Trust.Log}, all, 0)
	for _, key := range []struct {
		role  trust.Role
		key   string
		check evidence.CheckID
	}{
		{trust.RoleLog, l.Trust.Log, evidence.CheckCheckpoint},
		{trust.RoleReceived, l.Trust.Received[0], evidence.CheckReceived},
		{trust.RoleSystem, l.Trust.System[0], evidence.CheckSystem},
		{trust.RoleEnroller, l.Trust.Enrollers[0], evidence.CheckEnrolment},
		{trust.RoleRecorder, r.Verifier, evidence.CheckRecorder},
	} {
		for _, c := range []struct {
			name        string
			from, until uint64
			compromised bool
			exits       [3]int // witnessed; quorum not met; no quorum demanded
		}{
			{"for all of it", 0, size, false, [3]int{0, 3, 0}},
			{"without an end", 1, trust.NoEnd, false, [3]int{0, 3, 0}},
			{"ended", 0, 1, false, [3]int{1, 1, 1}},
			{"not begun", size + 1, trust.NoEnd, false, [3]int{1, 1, 1}},
			{"compromised later", 0, size, true, [3]int{0, 3, 1}},
			{"compromised before", 0, 1, true, [3]int{1, 1, 1}},
			{"compromised, and not begun", size + 1, size + 2, true, [3]int{1, 1, 1}},
		} {
			change := func(f *trust.Config) {
				f.Windows = []trust.Window{{Role: key.role, Key: key.key, From: c.from, Until: c.until, Compromised: c.compromised}}
			}
			pinned := l.TrustWith(change)
			without := l.TrustWith(func(f *trust.Config) { change(f); f.Policy, f.Operators = none, operators })
			for i, report := range []evidence.Report{verify(t, witnessed, pinned), verify(t, unmet, pinned), verify(t, witnessed, without)} {
				at := fmt.Sprintf("%s key %s, case %d", key.role, c.name, i)
				if report.Exit != c.exits[i] {
					t.Errorf("%s: exit %d, want %d\n%s", at, report.Exit, c.exits[i], report.JSON())
					continue
				}
				held := checkNamed(t, report, key.check)
				outcome, verdict := evidence.Passed, evidence.VerdictComplete
				switch {
				case report.Exit == evidence.ExitFailed:
					outcome, verdict = evidence.Failed, evidence.VerdictUnproven
				case c.compromised && i == 1:
					outcome, verdict = evidence.Unmet, evidence.VerdictUnproven
				}
				if held.Outcome != outcome || outcome != evidence.Passed && !strings.Contains(held.Detail, string(key.role)+" key") {
					t.Errorf("%s: %s %s: %s", at, held.ID, held.Outcome, held.Detail)
				}
				if len(report.Sessions) > 0 && report.Sessions[0].Verdict != verdict {
					t.Errorf("%s: verdict %s", at, report.Sessions[0].Verdict)
				}
			}
		}
	}
}

// TestPendingIsNotHeardWhereAllHaveSigned: a file is not early that lacks nothing that witnesses could still give.
func TestPendingIsNotHeardWhereAllHaveSigned(t *testing.T) {
	l := NewWith(t, origin, Options{})
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	own := NewWitness(t, checkpoint.CosignatureMLDSA44, origin)
	for i := range 3 {
		l.Witnesses = append(l.Witnesses, NewWitness(t, checkpoint.CosignatureMLDSA44, fmt.Sprintf("witness%d.example/pq", i+1)))
	}
	demanding := l.TrustWith(func(c *trust.Config) {
		c.Policy, c.Operators = Policy([]string{l.Trust.Log, own.Verifier().String()}, l.Witnesses, 2)
		c.Require = []trust.Requirement{{Algorithm: "ml-dsa-44", From: day("2020-01-01")}}
	})
	ends := l.TrustWith(func(c *trust.Config) {
		c.Policy, c.Operators = Policy([]string{l.Trust.Log}, l.Witnesses, 2)
		c.Windows = []trust.Window{{Role: trust.RoleWitness, Key: l.Witnesses[0].Verifier().String(), Until: 3}}
	})
	all := l.Witnesses
	for _, c := range []struct {
		signed int
		trust  *trust.Trust
		exit   int
		words  string
	}{
		{1, demanding, evidence.ExitIncomplete, "ask for a later one"},
		{2, demanding, evidence.ExitPolicy, "the log signs with ml-dsa-44 as well"},
		{1, ends, evidence.ExitIncomplete, "ask for a later one"},
		{2, ends, evidence.ExitPolicy, "is not met"}, // the first witness's key ended long before
		{3, ends, evidence.ExitVerified, ""},
	} {
		l.Witnesses = all[:c.signed]
		b := l.Evidence(SessionID(1))
		b.Pending = []evidence.CheckID{evidence.CheckWitnesses}
		check := evidence.CheckWitnesses
		if c.exit == evidence.ExitVerified {
			check = ""
		}
		want(t, verify(t, b, c.trust), c.exit, check, c.words)
	}
}

func TestACompromisedWitnessCountsForNothing(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 5, Quorum: 2})
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	l.Witnesses = l.Witnesses[:3] // the other two did not see it
	b := l.Evidence(SessionID(1))
	size := uint64(len(l.Leaves))
	marked := func(n int, until uint64, compromised bool) *trust.Trust {
		return l.TrustWith(func(c *trust.Config) {
			for _, w := range l.Witnesses[:n] {
				c.Windows = append(c.Windows, trust.Window{Role: trust.RoleWitness, Key: w.Verifier().String(), Until: until, Compromised: compromised})
			}
		})
	}
	want(t, verify(t, b, marked(1, size, true)), evidence.ExitVerified, "", "")
	want(t, verify(t, b, marked(2, size, true)), evidence.ExitPolicy, evidence.CheckWitnesses, "is not met")
	want(t, verify(t, b, marked(3, size, false)), evidence.ExitVerified, "", "")
	want(t, verify(t, b, marked(3, size-1, false)), evidence.ExitPolicy, evidence.CheckWitnesses, "is not met")
}

// TestOneOfSeveralKeysOfTheLogSuffices, whichever of them does.
func TestOneOfSeveralKeysOfTheLogSuffices(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 1, Quorum: 1})
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	second := NewKey(t, origin)
	l.Signers = append(l.Signers, second)
	all := l.Witnesses
	size := uint64(len(l.Leaves))
	first, other := l.Trust.Log, second.Verifier
	ended := func(key string) trust.Window { return trust.Window{Role: trust.RoleLog, Key: key, Until: 1} }
	compromised := func(key string, until uint64) trust.Window {
		return trust.Window{Role: trust.RoleLog, Key: key, Until: until, Compromised: true}
	}
	for i, c := range []struct {
		windows   []trust.Window
		witnesses int
		exit      int
	}{
		{[]trust.Window{ended(first)}, 1, 0},
		{[]trust.Window{ended(first), ended(other)}, 1, 1},
		{[]trust.Window{compromised(first, size), ended(other)}, 1, 0},
		{[]trust.Window{compromised(first, size), ended(other)}, 0, 3},
		{[]trust.Window{compromised(other, size), ended(first)}, 0, 3},
		{[]trust.Window{compromised(other, size-1), ended(first)}, 1, 1},
		{[]trust.Window{compromised(first, size), compromised(other, 1)}, 0, 3},
	} {
		pinned := l.TrustWith(func(f *trust.Config) {
			f.Windows = c.windows
			f.Policy, f.Operators = Policy([]string{first, other}, all, 1)
		})
		l.Witnesses = all[:c.witnesses]
		if report := verify(t, l.Evidence(SessionID(1)), pinned); report.Exit != c.exit {
			t.Errorf("case %d: exit %d, want %d\n%s", i, report.Exit, c.exit, report.JSON())
		}
	}
}

// TestARepeatIsJudgedByItsFirstPlace: whoever repeats what a recorder signed must not be able to spoil it.
func TestARepeatIsJudgedByItsFirstPlace(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 1, Quorum: 1})
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	main := l.Open(SessionID(1), "bot", r)
	next, head := main.Next(), main.Head()
	built := main.Build(Intent("a", "t", 1), Result("a", 2))
	l.Append(built[0].Submission)
	main.Close()
	window := trust.Window{Role: trust.RoleRecorder, Key: r.Verifier, Until: uint64(len(l.Leaves))}
	l.Append(built[0].Submission)
	pinned := l.TrustWith(func(c *trust.Config) { c.Windows = []trust.Window{window} })
	want(t, verify(t, l.Evidence(main.ID), pinned), evidence.ExitVerified, "", "")
	// Another text, where the key counts no more, is not the recorder's.
	thief := Must(recorder.New(recorder.Config{Origin: origin, Session: main.ID, Track: "main", Signer: r.Signer, Keys: main.Keys,
		Rand: zeros{}, Next: next, Head: head}))(t)
	l.Append(Must(thief.Build(Intent("b", "t", 1)))(t)[0].Submission)
	want(t, verify(t, l.Evidence(main.ID), pinned), evidence.ExitFailed, evidence.CheckRecorder, "recorder key")
	want(t, verify(t, l.Evidence(main.ID), l.Trust), evidence.ExitFailed, evidence.CheckChain, "equivocation")
}

// TestEmbeddedCheckpointsOfACompromisedKey: one that stands where witnesses saw it before the key was compromised is genuine.
func TestEmbeddedCheckpointsOfACompromisedKey(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 1, Quorum: 1})
	witnesses := l.Witnesses
	l.Witnesses = nil
	early := l.Checkpoint()
	main := l.Open(SessionID(1), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	at := main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(early)}))[0]
	main.CloseOnly()
	old, fresh := l.Trust.Log, NewKey(t, origin)
	l.Signers = []note.Signer{fresh}
	for _, c := range []struct {
		name      string
		until     uint64
		marked    bool
		witnesses int
		exit      int
		check     evidence.CheckID
	}{
		{"ended later", at + 1, false, 1, 0, ""},
		{"ended before", 0, false, 1, 1, evidence.CheckEmbedded},
		{"compromised later", at + 1, true, 1, 0, ""},
		{"compromised before the entry", at, true, 1, 3, evidence.CheckEmbedded},
		{"compromised before the checkpoint", 0, true, 1, 1, evidence.CheckEmbedded},
		{"compromised later, and the entry not seen", at + 1, true, 0, 3, evidence.CheckWitnesses},
	} {
		l.Witnesses = witnesses[:c.witnesses]
		pinned := l.TrustWith(func(f *trust.Config) {
			f.Windows = []trust.Window{{Role: trust.RoleLog, Key: old, Until: c.until, Compromised: c.marked}}
			f.Policy, f.Operators = Policy([]string{old, fresh.Verifier}, witnesses, 1)
		})
		b := l.Evidence(main.ID)
		if report := verify(t, b, pinned); report.Exit != c.exit {
			t.Errorf("%s: exit %d, want %d\n%s", c.name, report.Exit, c.exit, report.JSON())
		} else if c.check != "" {
			want(t, report, c.exit, c.check, "")
		}
		if c.witnesses == 0 {
			if e := checkNamed(t, verify(t, b, pinned), evidence.CheckEmbedded); e.Outcome != evidence.Unmet {
				t.Errorf("%s: %s %s", c.name, e.ID, e.Outcome)
			}
		}
	}
}
