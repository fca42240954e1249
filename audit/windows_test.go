package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// auditUnder audits a log under any note.
func auditUnder(t testing.TB, l *Log, checkpoint []byte, tr *trust.Trust, s audit.Signatures) (*audit.Report, error) {
	t.Helper()
	return audit.Run(context.Background(), audit.Config{Trust: tr, Checkpoint: trust.Checkpoint{Note: checkpoint}, Source: l, Signatures: s})
}

func checkNamed(t *testing.T, r *audit.Report, id evidence.CheckID) evidence.Check {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no check %s\n%s", id, r.JSON())
	}
	return r.Checks[i]
}

func TestAnAuditWithoutTheQuorumIsUnmet(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	record(l, 1, "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	all := l.Witnesses
	report := run(t, l, l.Trust, audit.AllSignatures)
	var text bytes.Buffer
	if err := report.Text(&text); err != nil || report.Exit != 0 || checkNamed(t, report, evidence.CheckWitnesses).Passed != 3 || !report.Checkpoint.Witnessed {
		t.Fatalf("%s", report.JSON())
	}
	if !strings.Contains(text.String(), "seen by 3 of the pinned witnesses (witness1.example, witness2.example, witness3.example) between ") {
		t.Errorf("%s", text.String())
	}
	l.Witnesses = all[:1]
	report = run(t, l, l.Trust, audit.AllSignatures)
	c := checkNamed(t, report, evidence.CheckWitnesses)
	if report.Exit != evidence.ExitPolicy || report.Verdict != "unmet" || c.Outcome != evidence.Unmet || !strings.Contains(c.Detail, "cosigned by w1 alone") {
		t.Fatalf("%s", report.JSON())
	}
	l.AppendLeaf([]byte("no entry"))
	if report := run(t, l, l.Trust, audit.AllSignatures); report.Exit != evidence.ExitFailed || report.Verdict != "failed" {
		t.Fatalf("something wrong without a quorum: %s", report.JSON())
	}
}

// TestKeysCountWithinTheirWindows has one log, judged by trust files that differ in the window of one key, as evidence is.
func TestKeysCountWithinTheirWindows(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 2, Quorum: 2})
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	// The same agent's sessions by two enrollers: what is held against one key must not look like a number left out.
	other := NewKey(t, "acme/other")
	record(l, 1, "bot", r)
	record(l, 2, "bot", l.EnrolBy(other, "acme/agents/bot", entry.HolderAgent, "bot"))
	record(l, 3, "bot", r)
	witnessed := l.Checkpoint()
	unmet := witnessed[:bytes.LastIndexByte(witnessed[:len(witnessed)-1], '\n')+1]
	size := uint64(len(l.Leaves))
	none, operators := Policy([]string{l.Trust.Log}, l.Witnesses, 0)
	for _, key := range []struct {
		role  trust.Role
		key   string
		check evidence.CheckID
	}{
		{trust.RoleReceived, l.Trust.Received[0], evidence.CheckReceived},
		{trust.RoleSystem, l.Trust.System[0], evidence.CheckSystem},
		{trust.RoleEnroller, l.Trust.Enrollers[0], evidence.CheckEnrolment},
		{trust.RoleRecorder, r.Verifier, evidence.CheckRecorder},
		{trust.RoleLog, l.Trust.Log, evidence.CheckWitnesses},
	} {
		for _, c := range []struct {
			name        string
			until       uint64
			compromised bool
			exits       [3]int // witnessed; quorum not met; no quorum demanded
		}{
			{"for all of it", size, false, [3]int{0, 3, 0}},
			{"ended", 1, false, [3]int{1, 1, 1}},
			{"compromised later", size, true, [3]int{0, 3, 1}},
			{"compromised before", 1, true, [3]int{1, 1, 1}},
		} {
			change := func(f *trust.Config) {
				f.Enrollers = append(slices.Clone(f.Enrollers), other.Verifier)
				f.Windows = []trust.Window{{Role: key.role, Key: key.key, Until: c.until, Compromised: c.compromised}}
			}
			pinned := l.TrustWith(change)
			without := l.TrustWith(func(f *trust.Config) { change(f); f.Policy, f.Operators = none, operators })
			for i, by := range []struct {
				note  []byte
				trust *trust.Trust
			}{{witnessed, pinned}, {unmet, pinned}, {witnessed, without}} {
				for _, s := range []audit.Signatures{audit.AllSignatures, audit.LastSignatures} {
					at := fmt.Sprintf("%s key %s, case %d, signatures %s", key.role, c.name, i, s)
					report, err := auditUnder(t, l, by.note, by.trust, s)
					if key.role == trust.RoleLog && c.exits[i] == evidence.ExitFailed {
						if err != nil || report.Exit != evidence.ExitFailed || !strings.Contains(checkNamed(t, report, evidence.CheckCheckpoint).Detail, "log key") ||
							report.Counts.Leaves > 0 || report.Checkpoint != nil {
							t.Errorf("%s: audited under a checkpoint whose key does not count: %v\n%s", at, err, report.JSON())
						}
						continue
					}
					if err != nil || report.Exit != c.exits[i] {
						t.Errorf("%s: exit %d, want %d: %v\n%s", at, report.Exit, c.exits[i], err, report.JSON())
						continue
					}
					if held := checkNamed(t, report, key.check); report.Exit != 0 && (c.compromised || report.Exit == 1) &&
						(held.Outcome == evidence.Passed || !strings.Contains(held.Detail, string(key.role)+" key")) {
						t.Errorf("%s: %s %s: %s", at, held.ID, held.Outcome, held.Detail)
					}
					if numbers := checkNamed(t, report, audit.CheckNumbering); numbers.Outcome != evidence.Passed {
						t.Errorf("%s: %s", at, numbers.Detail)
					}
				}
			}
		}
	}
}

// TestAnAuditFollowsTheRotationOfEveryKey: within their windows both keys count, and the end of one is found on each track.
func TestAnAuditFollowsTheRotationOfEveryKey(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 2, Quorum: 2})
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	record(l, 1, "bot", r)
	begin := uint64(len(l.Leaves))
	old := l.Trust.Config
	logKey, enroller, system := NewKey(t, origin), NewKey(t, "acme/enroller"), NewKey(t, origin+"/system")
	stamper, received := NewStamper(t, origin)
	l.Stamper, l.Enroller, l.SystemKey = stamper, enroller, system
	l.Restart(2, SessionID(0xfffe), l.SystemEnd())
	record(l, 2, "bot", r) // embeds a checkpoint by the old key
	end := uint64(len(l.Leaves))
	l.Signers = []note.Signer{logKey}
	fresh := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	record(l, 3, "bot", fresh)
	pinned := func(until uint64) *trust.Trust {
		return l.TrustWith(func(c *trust.Config) {
			c.Policy, _ = Policy([]string{l.Trust.Log, logKey.Verifier}, l.Witnesses, 2)
			for role, keys := range map[trust.Role][2]string{
				trust.RoleLog: {l.Trust.Log, logKey.Verifier}, trust.RoleReceived: {old.Received[0], received},
				trust.RoleSystem: {old.System[0], system.Verifier}, trust.RoleEnroller: {old.Enrollers[0], enroller.Verifier},
				trust.RoleRecorder: {r.Verifier, fresh.Verifier},
			} {
				last := end
				if role == trust.RoleRecorder {
					last = until
				}
				c.Windows = append(c.Windows, trust.Window{Role: role, Key: keys[0], Until: last},
					trust.Window{Role: role, Key: keys[1], From: begin, Until: trust.NoEnd})
			}
			c.Received, c.System = []string{old.Received[0], received}, []string{old.System[0], system.Verifier}
			c.Enrollers = []string{old.Enrollers[0], enroller.Verifier}
		})
	}
	for _, s := range []audit.Signatures{audit.AllSignatures, audit.LastSignatures} {
		if report := run(t, l, pinned(end), s); report.Exit != 0 || report.Counts.Complete != 3 || report.Counts.Revisited != 0 {
			t.Errorf("%s: %s", s, report.JSON())
		}
		report := run(t, l, pinned(begin), s)
		c := checkNamed(t, report, evidence.CheckRecorder)
		if report.Exit != 1 || c.Outcome != evidence.Failed || *c.Where.Index < begin || *c.Where.Index >= end || c.Others != 1 || report.Counts.Complete != 2 {
			t.Errorf("%s: the old recorder's key after its end: %s", s, report.JSON())
		}
	}
}

// TestARecordersKeyIsJudgedAtEveryEntry, in sessions that nothing else is unusual about.
func TestARecordersKeyIsJudgedAtEveryEntry(t *testing.T) {
	l, _ := newLog(t)
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	main := l.Open(SessionID(1), "bot", r)
	opened := uint64(len(l.Leaves)) - 2
	last := main.Add(Intent("a", "t", 1), Result("a", 1))[0]
	for _, w := range []trust.Window{{From: opened + 1, Until: trust.NoEnd}, {Until: last}} {
		w.Role, w.Key = trust.RoleRecorder, r.Verifier
		report := run(t, l, l.TrustWith(func(c *trust.Config) { c.Windows = []trust.Window{w} }), audit.AllSignatures)
		at := opened
		if w.From == 0 {
			at = last
		}
		if c := checkNamed(t, report, evidence.CheckRecorder); c.Outcome != evidence.Failed || *c.Where.Index != at {
			t.Errorf("window %d to %d: %s", w.From, w.Until, report.JSON())
		}
	}
}

// TestASplitViewByACompromisedKeyIsFound: no quorum bears the view out, and yet somebody was shown it.
func TestASplitViewByACompromisedKeyIsFound(t *testing.T) {
	for _, twice := range []bool{false, true} {
		l := NewWith(t, origin, Options{Witnesses: 1, Quorum: 1})
		witnesses, before := l.Witnesses, len(l.Leaves)
		l.Witnesses = nil
		l.AppendLeaf([]byte("another leaf"))
		forked := l.Checkpoint()
		l.Truncate(before)
		main := l.Open(SessionID(1), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
		if twice {
			l.AppendLeaf(l.Leaves[len(l.Leaves)-2])
		}
		main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(forked)}))
		fresh := NewKey(t, origin)
		old := l.Trust.Log
		l.Signers, l.Witnesses = []note.Signer{fresh}, witnesses
		pinned := l.TrustWith(func(c *trust.Config) {
			c.Policy, c.Operators = Policy([]string{old, fresh.Verifier}, witnesses, 1)
			c.Windows = []trust.Window{{Role: trust.RoleLog, Key: old, Until: 2, Compromised: true}}
		})
		report := run(t, l, pinned, audit.AllSignatures)
		if c := checkNamed(t, report, evidence.CheckEmbedded); c.Outcome != evidence.Failed || !strings.Contains(c.Detail, "split view") {
			t.Errorf("read twice %v: %s", twice, report.JSON())
		}
	}
}

// TestFindingsThatWaitForTheQuorumAreBounded, for there can be one for every leaf of the log.
func TestFindingsThatWaitForTheQuorumAreBounded(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 1, Quorum: 1})
	for range 1100 {
		l.Say(entry.TypeConfig, entry.Config{})
	}
	witnesses := l.Witnesses
	l.Witnesses = nil
	pinned := l.TrustWith(func(c *trust.Config) {
		c.Windows = []trust.Window{{Role: trust.RoleReceived, Key: c.Received[0], Until: 1 << 20, Compromised: true}}
	})
	report := run(t, l, pinned, audit.AllSignatures)
	if report.Exit != evidence.ExitPolicy || len(report.Findings) != 1000 || report.More != 102 {
		t.Errorf("exit %d, %d findings and %d more", report.Exit, len(report.Findings), report.More)
	}
	l.Witnesses = witnesses
	if report := run(t, l, pinned, audit.AllSignatures); report.Exit != 0 {
		t.Errorf("%s", report.JSON())
	}
}

// TestTheLogsWordOnKeysIsToldAndNotFollowed: a trust file that lacks it may be old, and the log may lie.
func TestTheLogsWordOnKeysIsToldAndNotFollowed(t *testing.T) {
	l, r := newLog(t)
	record(l, 1, "bot", r)
	managed := NewKey(t, origin+"/managed").Verifier
	say := func(typ entry.Type, role entry.ID, key string, size uint64) {
		k := entry.KeyAdd{Role: role, Key: entry.Text(key), Size: size}
		l.Say(typ, map[entry.Type]any{entry.TypeKeyAdd: k, entry.TypeKeyRetire: entry.KeyRetire(k), entry.TypeKeyCompromised: entry.KeyCompromised(k)}[typ])
	}
	say(entry.TypeKeyRetire, "received", l.Trust.Received[0], 3)
	say(entry.TypeKeyRetire, "enroller", l.Trust.Enrollers[0], 4)
	say(entry.TypeKeyCompromised, "enroller", l.Trust.Enrollers[0], 4)
	say(entry.TypeKeyRetire, "managed", managed, 5)
	say(entry.TypeKeyRetire, "system", l.Trust.System[0], 6)
	say(entry.TypeKeyAdd, "system", l.Trust.System[0], 0) // takes it back
	say(entry.TypeKeyCompromised, "log", NewKey(t, origin).Verifier, 7)
	own, other := entry.Hash(l.Trust.Digest()), entry.Hash{7}
	l.Say(entry.TypeConfig, entry.Config{Trust: &other})
	told := func(report *audit.Report) (all []string) {
		for _, n := range report.NotChecked {
			if n.ID == "trust-file" {
				all = append(all, n.Why)
			}
		}
		return all
	}
	report := run(t, l, l.Trust, audit.AllSignatures)
	got := told(report)
	if report.Exit != 0 || len(got) != 4 {
		t.Fatalf("exit %d, %q", report.Exit, got)
	}
	for i, words := range []string{
		fmt.Sprintf("SHA-256 %x", other), "the received key " + origin + "/received+", "the enroller key acme/enroller+", "the recorder key " + origin + "/managed+",
	} {
		if !strings.Contains(got[i], words) {
			t.Errorf("%q does not say %q", got[i], words)
		}
	}
	if !strings.Contains(got[2], "is compromised") || !strings.Contains(got[1], "counts no more from size 3 on") {
		t.Errorf("%q", got)
	}
	// Where the pinned trust file says as much itself, there is nothing to tell.
	l.Say(entry.TypeConfig, entry.Config{Trust: &own})
	size := uint64(len(l.Leaves))
	pinned := l.TrustWith(func(c *trust.Config) {
		c.Windows = []trust.Window{{Role: trust.RoleReceived, Key: c.Received[0], Until: size}, {Role: trust.RoleRecorder, Key: managed, Until: size},
			{Role: trust.RoleEnroller, Key: c.Enrollers[0], Until: size}}
	})
	if got := told(run(t, l, pinned, audit.AllSignatures)); len(got) != 2 || !strings.Contains(got[1], "enroller") {
		t.Errorf("%q", got) // an end is no mark
	}
}

// TestTheLogsWordOnManyKeysIsBounded: whoever writes the log can name any number of keys.
func TestTheLogsWordOnManyKeysIsBounded(t *testing.T) {
	l, _ := newLog(t)
	key := NewKey(t, "x").Verifier
	for n := range 170 {
		var events []recorder.Event
		for i := range 25 {
			k := entry.KeyRetire{Role: "recorder", Key: entry.Text(fmt.Sprintf("%s%d-%d", key, n, i)), Size: 1}
			events = append(events, recorder.Plain(entry.TypeKeyRetire, k))
		}
		l.SayAll(events...)
	}
	report := run(t, l, l.Trust, audit.AllSignatures)
	last := report.NotChecked[len(report.NotChecked)-1].Why
	if report.Exit != 0 || len(report.NotChecked) > 30 || last != fmt.Sprintf("the log's word on %d keys more", 170*25-16) {
		t.Errorf("%d not checked, the last %q", len(report.NotChecked), last)
	}
}
