package evidence_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/trust"
)

// A rotated log has replaced every key that there is. Session 1 was recorded with the old ones, session 2 while both counted,
// session 3 with the new ones. The size at which the new ones begin is below that at which the old ones end.
type rotated struct {
	*Log
	begin, end uint64
	old, fresh map[trust.Role]string
	atEnd      []byte               // checkpoint of size end, by old keys alone
	oldKeys    []note.Signer        // of the log
	enroller   note.Signer          // the old one
	witnesses  []*checkpoint.Signer // w1, w2, and w2 again with its new key
}

func rotate(t *testing.T) *rotated {
	l := NewWith(t, origin, Options{Witnesses: 2, Quorum: 2})
	agent := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	session(l, 1, agent)
	r := &rotated{Log: l, begin: uint64(len(l.Leaves)), oldKeys: l.Signers, enroller: l.Enroller, old: map[trust.Role]string{
		trust.RoleLog: l.Trust.Log, trust.RoleReceived: l.Trust.Received[0], trust.RoleSystem: l.Trust.System[0],
		trust.RoleEnroller: l.Trust.Enrollers[0], trust.RoleRecorder: agent.Verifier, trust.RoleWitness: l.Witnesses[1].Verifier().String(),
	}}
	overlapping := l.Open(SessionID(2), "bot", agent)
	// The log and its enroller go over first, while the recorder still has its old key.
	logKey, enroller, system := NewKey(t, origin), NewKey(t, "acme/enroller"), NewKey(t, origin+"/system")
	stamper, received := NewStamper(t, origin)
	l.Stamper, l.Enroller, l.SystemKey = stamper, enroller, system
	l.Restart(2, SessionID(0xfffe), l.SystemEnd())
	overlapping.Add(Intent("a", "t", 1), Result("a", 1))
	overlapping.Close()
	r.end = uint64(len(l.Leaves))
	r.atEnd = l.Checkpoint()
	renewed := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	witness := NewWitness(t, checkpoint.CosignatureEd25519, l.Witnesses[1].Name())
	r.fresh = map[trust.Role]string{
		trust.RoleLog: logKey.Verifier, trust.RoleReceived: received, trust.RoleSystem: system.Verifier, trust.RoleEnroller: enroller.Verifier,
		trust.RoleRecorder: renewed.Verifier, trust.RoleWitness: witness.Verifier().String(),
	}
	l.Signers = []note.Signer{logKey}
	r.witnesses = []*checkpoint.Signer{l.Witnesses[0], l.Witnesses[1], witness}
	l.Witnesses = []*checkpoint.Signer{l.Witnesses[0], witness}
	session(l, 3, renewed)
	return r
}

// pinned is the trust file after the rotation: both keys of every role with their windows, and the two keys of witness w2 in
// one group.
func (r *rotated) pinned(change func(old map[trust.Role]*trust.Window)) *trust.Trust {
	old := map[trust.Role]*trust.Window{}
	return r.TrustWith(func(c *trust.Config) {
		for role, key := range r.old {
			old[role] = &trust.Window{Role: role, Key: key, Until: r.end}
		}
		change(old)
		for role, key := range r.fresh {
			c.Windows = append(c.Windows, *old[role], trust.Window{Role: role, Key: key, From: r.begin, Until: trust.NoEnd})
		}
		c.Received = []string{r.old[trust.RoleReceived], r.fresh[trust.RoleReceived]}
		c.System = []string{r.old[trust.RoleSystem], r.fresh[trust.RoleSystem]}
		c.Enrollers = []string{r.old[trust.RoleEnroller], r.fresh[trust.RoleEnroller]}
		policy, _ := Policy([]string{r.old[trust.RoleLog], r.fresh[trust.RoleLog]}, r.witnesses, 1)
		text, _, _ := strings.Cut(string(policy), "group ")
		c.Policy = []byte(text + "group second any w2 w3\ngroup both all w1 second\nquorum both\n")
		c.Operators = []trust.Operator{{Name: "one.example", Witnesses: []string{"w1"}}, {Name: "two.example", Witnesses: []string{"w2", "w3"}}}
	})
}

// asAtEnd is the evidence of sessions as it was taken when the old keys ended.
func (r *rotated) asAtEnd(t *testing.T, sessions ...string) *evidence.Bundle {
	t.Helper()
	before := *r.Log
	before.Truncate(int(r.end))
	b := before.Evidence(sessions...)
	b.Checkpoint = r.atEnd
	return b
}

// TestEveryKeyRotatesAndOldEvidenceStands: windows are sizes of the log, so that what was signed within one verifies for ever.
func TestEveryKeyRotatesAndOldEvidenceStands(t *testing.T) {
	r := rotate(t)
	pinned := r.pinned(func(map[trust.Role]*trust.Window) {})
	for name, b := range map[string]*evidence.Bundle{
		"old evidence": r.asAtEnd(t, SessionID(1), SessionID(2)),
		"new evidence": r.Evidence(SessionID(1), SessionID(2), SessionID(3)),
	} {
		report := verify(t, b, pinned)
		want(t, report, evidence.ExitVerified, "", "")
		if n := checkNamed(t, report, evidence.CheckWitnesses).Passed; n != 2 {
			t.Errorf("%s: %d operators", name, n)
		}
	}
	// By the file that was pinned before, old evidence stands as well, and new keys are strangers.
	want(t, verify(t, r.asAtEnd(t, SessionID(1)), r.Trust), evidence.ExitVerified, "", "")
	want(t, verify(t, r.Evidence(SessionID(3)), r.Trust), evidence.ExitFailed, evidence.CheckCheckpoint, "")
}

// TestNoKeyCountsBeyondItsRotation takes each key's window back to before session 2, in which the old ones were last used,
// and to after session 3, in which the new ones were.
func TestNoKeyCountsBeyondItsRotation(t *testing.T) {
	r := rotate(t)
	both := r.asAtEnd(t, SessionID(1), SessionID(2))
	for role, check := range map[trust.Role]evidence.CheckID{
		trust.RoleLog: evidence.CheckCheckpoint, trust.RoleReceived: evidence.CheckReceived, trust.RoleSystem: evidence.CheckSystem,
		trust.RoleEnroller: evidence.CheckEnrolment, trust.RoleRecorder: evidence.CheckRecorder, trust.RoleWitness: evidence.CheckWitnesses,
	} {
		exit := evidence.ExitFailed
		if role == trust.RoleWitness {
			exit = evidence.ExitPolicy
		}
		ended := r.pinned(func(old map[trust.Role]*trust.Window) { old[role].Until = r.begin })
		want(t, verify(t, both, ended), exit, check, "")
		// What lies before stands, under a checkpoint of today.
		want(t, verify(t, r.Evidence(SessionID(1), SessionID(3)), ended), evidence.ExitVerified, "", "")
	}
}

// TestACompromisedKeyCountsForWhatWitnessesSaw, in every role, and for nothing else.
func TestACompromisedKeyCountsForWhatWitnessesSaw(t *testing.T) {
	r := rotate(t)
	for role := range r.old {
		marked := r.pinned(func(old map[trust.Role]*trust.Window) { old[role].Compromised = true })
		// Under a new checkpoint with the quorum every old session stands, whoever has the old key.
		all := r.Evidence(SessionID(1), SessionID(2), SessionID(3))
		want(t, verify(t, all, marked), evidence.ExitVerified, "", "")
		// So does old evidence, but where a witness's own key was lost: it may have cosigned anything since.
		old := r.asAtEnd(t, SessionID(1), SessionID(2))
		if role == trust.RoleWitness {
			want(t, verify(t, old, marked), evidence.ExitPolicy, evidence.CheckWitnesses, "")
			continue
		}
		want(t, verify(t, old, marked), evidence.ExitVerified, "", "")
		// Without the quorum it waits for it.
		old.Checkpoint = cut(old.Checkpoint)
		report := verify(t, old, marked)
		if report.Exit != evidence.ExitPolicy || report.Sessions[0].Verdict != evidence.VerdictUnproven {
			t.Errorf("%s without a quorum: %s", role, report.JSON())
		}
	}
}

// cut takes the last signature from a note.
func cut(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return b[:bytes.LastIndexByte(b, '\n')+1]
}

// TestAThiefOfAnyOldKeyConvincesNobody has whoever got the old keys, all of them, write a session after their end.
func TestAThiefOfAnyOldKeyConvincesNobody(t *testing.T) {
	r := rotate(t)
	pinned := r.pinned(func(map[trust.Role]*trust.Window) {})
	thief := *r.Log
	session(&thief, 4, thief.EnrolBy(r.enroller, "acme/agents/bot", entry.HolderAgent, "bot"))
	want(t, verify(t, thief.Evidence(SessionID(4)), pinned), evidence.ExitFailed, evidence.CheckEnrolment, "enroller key")
	fork := *r.Log
	fork.Signers, fork.Witnesses = r.oldKeys, nil
	want(t, verify(t, fork.Evidence(SessionID(3)), pinned), evidence.ExitFailed, evidence.CheckCheckpoint, "log key")
}
