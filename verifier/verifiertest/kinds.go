package verifiertest

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// verdicts has a session for each of them.
func (m *maker) verdicts() {
	for _, c := range stories() {
		l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
		r := enrol(l)
		c.record(l, l.Open(evidencetest.SessionID(1), "bot", r), r)
		m.add(c.name, l.Evidence(evidencetest.SessionID(1)), l.Trust)
	}
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
	managed := l.Open(evidencetest.SessionID(1), "bot", l.Enrol("log.test.example/managed", entry.HolderOperator, "*"))
	managed.Add(evidencetest.Intent("a", "t", 1), evidencetest.Result("a", 1))
	managed.Close()
	m.add("managed", l.Evidence(evidencetest.SessionID(1)), l.Trust)
}

func stories() []story {
	roll := func(v entry.SessionRoll) recorder.Event { return recorder.Plain(entry.TypeSessionRoll, v) }
	return []story{
		{"open", func(*evidencetest.Log, *evidencetest.Track, evidencetest.Recorder) {}},
		{"open action", func(_ *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Add(evidencetest.Intent("a", "t", 1))
			main.Close()
		}},
		{"action begun twice", func(_ *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Add(evidencetest.Intent("a", "t", 1), evidencetest.Intent("a", "t", 2), evidencetest.Result("a", 1))
			main.Close()
		}},
		{"spooled and restarted", func(_ *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Add(roll(entry.SessionRoll{Why: "failure-mode", OnFailure: "spool"}), roll(entry.SessionRoll{Why: "restart"}))
			main.Close()
		}},
		{"lost track", func(_ *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Add(recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "failed", Tracks: []entry.TrackEnd{{Track: "side", Lost: true}}}))
		}},
		{"missing track", func(_ *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Add(recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "failed", Tracks: []entry.TrackEnd{{Track: "side", Next: 4}}}))
		}},
		{"unnamed track", func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder) {
			l.Join(main, "side", "bot", r)
			main.CloseOnly()
		}},
		{"late", func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder) {
			side := l.Join(main, "side", "bot", r)
			main.Close(side)
			side.Add(evidencetest.Intent("a", "t", 1), evidencetest.Result("a", 1))
		}},
		{"abandoned", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "abandoned", Why: "silent", Tracks: []entry.TrackEnd{main.End()}})
		}},
		{"heard again", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "abandoned", Why: "silent", Tracks: []entry.TrackEnd{main.End()}})
			main.CloseOnly()
			l.Say(entry.TypeAlert, entry.Alert{Alert: "heard-again", Severity: "warning", Session: entry.UUID(main.ID)})
		}},
		{"repeated and out of order", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			one, two := main.Build(evidencetest.Intent("a", "t", 1)), main.Build(evidencetest.Result("a", 1))
			for _, b := range [][]recorder.Built{two, one, two, one} {
				l.Append(b[0].Submission)
			}
			main.Close()
		}},
	}
}

func (m *maker) witnesses() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, _ := Record(l, evidencetest.SessionID(1), 1)
	all := l.Witnesses
	for name, witnesses := range map[string][]*checkpoint.Signer{
		"quorum unmet, one": all[:1], "quorum unmet, none": nil, "one witness twice": {all[0], all[0]},
		"a stranger under a witness's name": {all[1], evidencetest.NewWitness(m.t, checkpoint.CosignatureEd25519, all[0].Name())},
	} {
		l.Witnesses = witnesses
		m.add(name, l.Evidence(main.ID), l.Trust)
	}
	l.Witnesses = all[:1]
	open := l.Open(evidencetest.SessionID(2), "bot", enrol(l))
	m.add("quorum unmet and open", l.Evidence(open.ID), l.Trust)
}

// windows judges one log by trust files that differ in the window of one key.
func (m *maker) windows() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	r := enrol(l)
	main := l.Open(evidencetest.SessionID(1), "bot", r)
	main.Add(evidencetest.Intent("a", "t", 1), evidencetest.Result("a", 1))
	main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(l.Checkpoint())}))
	main.Close()
	all, size := l.Witnesses, uint64(len(l.Leaves))
	witnessed := l.Evidence(main.ID)
	l.Witnesses = all[:1]
	unmet := l.Evidence(main.ID)
	none, operators := evidencetest.Policy([]string{l.Trust.Log}, all, 0)
	for _, key := range []struct {
		role trust.Role
		key  string
	}{
		{trust.RoleLog, l.Trust.Log}, {trust.RoleReceived, l.Trust.Received[0]}, {trust.RoleSystem, l.Trust.System[0]},
		{trust.RoleEnroller, l.Trust.Enrollers[0]}, {trust.RoleRecorder, r.Verifier}, {trust.RoleWitness, all[0].Verifier().String()},
	} {
		for _, c := range []struct {
			name        string
			from, until uint64
			compromised bool
		}{
			{"for all of it", 0, size, false},
			{"ended", 0, 1, false},
			{"not begun", size + 1, trust.NoEnd, false},
			{"compromised later", 0, size, true},
			{"compromised before", 0, 1, true},
		} {
			change := func(f *trust.Config) {
				f.Windows = []trust.Window{{Role: key.role, Key: key.key, From: c.from, Until: c.until, Compromised: c.compromised}}
			}
			at := fmt.Sprintf("window of the %s key, %s, ", key.role, c.name)
			pinned := l.TrustWith(change)
			m.add(at+"witnessed", witnessed, pinned)
			m.add(at+"quorum unmet", unmet, pinned)
			m.add(at+"no quorum demanded", witnessed, l.TrustWith(func(f *trust.Config) { change(f); f.Policy, f.Operators = none, operators }))
		}
	}
	fresh := evidencetest.NewKey(m.t, origin)
	l.Signers, l.Witnesses = append(l.Signers, fresh), all
	m.add("two keys of the log", l.Evidence(main.ID), l.TrustWith(func(f *trust.Config) {
		f.Windows = []trust.Window{{Role: trust.RoleLog, Key: l.Trust.Log, Until: 1}}
		f.Policy, f.Operators = evidencetest.Policy([]string{l.Trust.Log, fresh.Verifier}, all, 2)
	}))
}

// postQuantum has signatures of ML-DSA-44, which not every verifier can check.
func (m *maker) postQuantum() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 2, Quorum: 1})
	main, _ := Record(l, evidencetest.SessionID(1), 1)
	log := evidencetest.NewWitness(m.t, checkpoint.CosignatureMLDSA44, origin)
	pq := evidencetest.NewWitness(m.t, checkpoint.CosignatureMLDSA44, "witness3.example/pq")
	l.Signers = append(l.Signers, note.Signer(log))
	l.Witnesses = append(l.Witnesses, pq)
	logs := []string{l.Trust.Log, log.Verifier().String()}
	for _, c := range []struct {
		name   string
		quorum int
		agree  Agreement
	}{{"ml-dsa-44, not needed", 2, Verdicts}, {"ml-dsa-44, needed for the quorum", 3, Nothing}} {
		m.add(c.name, l.Evidence(main.ID), l.TrustWith(func(f *trust.Config) { f.Policy, f.Operators = evidencetest.Policy(logs, l.Witnesses, c.quorum) }))
		m.all[len(m.all)-1].Agree = c.agree
	}
	m.add("ml-dsa-44, required", l.Evidence(main.ID), l.TrustWith(func(f *trust.Config) {
		f.Policy, f.Operators = evidencetest.Policy(logs, l.Witnesses, 1)
		f.Require = []trust.Requirement{{Algorithm: "ml-dsa-44"}}
		f.Require[0].From = entry.Time(0).Time()
	}))
	m.all[len(m.all)-1].Agree = Nothing
}
