package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

const origin = "log.example/test"

// session is a recording of two actions and a second track, closed.
func session(l *Log, n int, r Recorder) *Track {
	main := l.Open(SessionID(n), "bot", r)
	main.Add(Intent("a-1", "ledger.post", map[string]int{"amount": 12}), Result("a-1", "posted"))
	side := l.Join(main, "reasoning", "bot", r)
	side.Add(recorder.Event{Type: entry.TypeReasoning, Build: func(seal recorder.Seal) (any, error) {
		p, err := seal("content", payload.Text, payload.Content, []byte("because of the invoice"))
		return entry.Reasoning{Form: "plain", Content: p}, err
	}})
	main.Add(Intent("a-2", "ledger.read", "all"), Result("a-2", []int{12}))
	main.Close(side)
	return main
}

func newLog(t testing.TB) (*Log, Recorder) {
	l := New(t, origin)
	return l, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
}

func write(t testing.TB, b *evidence.Bundle) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := evidence.Write(&buf, b); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// verify writes a bundle, reads it back and judges it.
func verify(t testing.TB, b *evidence.Bundle, tr *trust.Trust) evidence.Report {
	t.Helper()
	return verifyBytes(t, write(t, b), tr)
}

func verifyBytes(t testing.TB, file []byte, tr *trust.Trust) evidence.Report {
	t.Helper()
	r, err := evidence.VerifyReader(bytes.NewReader(file), int64(len(file)), tr, evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want demands an exit code, and of a report that does not verify a first check with a place and words in its detail.
func want(t testing.TB, r evidence.Report, exit int, check evidence.CheckID, words string) evidence.Check {
	t.Helper()
	if r.Exit != exit {
		t.Fatalf("exit %d, want %d\n%s", r.Exit, exit, r.JSON())
	}
	for _, c := range r.Checks {
		if c.Outcome == evidence.Passed || c.Outcome == evidence.NotRun {
			continue
		}
		if c.ID != check || !strings.Contains(c.Detail, words) || c.Where.String() == "" {
			t.Fatalf("check %s: %s at %q, want %s: …%s…\n%s", c.ID, c.Detail, c.Where, check, words, r.JSON())
		}
		return c
	}
	if check != "" {
		t.Fatalf("every check passed, want %s\n%s", check, r.JSON())
	}
	return evidence.Check{}
}

func TestAWholeSessionIsVerified(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	report := verify(t, l.Evidence(SessionID(1)), l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	s := report.Sessions[0]
	if s.Verdict != evidence.VerdictComplete || s.LogVerdict != "complete" || s.Events != 8 || s.Actions != 2 || len(s.Tracks) != 2 {
		t.Fatalf("session: %+v", s)
	}
	if s.Tracks[0].SignedBy != entry.HolderAgent || s.Tracks[0].Admitted.Principal != "token:ci" || s.Payloads.Blobs != 5 || s.Payloads.Included != 5 {
		t.Fatalf("session: %+v", s)
	}
	for _, c := range report.Checks {
		if c.Outcome != evidence.Passed {
			t.Errorf("check %s: %s", c.ID, c.Outcome)
		}
	}
	for _, id := range []string{"uniqueness", "witnesses", "external-time", "sealed-content"} {
		if !slices.ContainsFunc(report.NotChecked, func(n evidence.NotChecked) bool { return n.ID == id }) {
			t.Errorf("not_checked lacks %s", id)
		}
	}
}

// The four that every verifier must refuse, and who signed.

func TestFabricatedSessionOfAnOperatorWithEveryServerKeyIsRefused(t *testing.T) {
	l, _ := newLog(t)
	forged := l.EnrolBy(Stranger(t, "acme/enroller"), "acme/agents/bot", entry.HolderAgent, "bot")
	session(l, 1, forged)
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckEnrolment, "no known enroller")
}

func TestFabricatedSessionUnderAGenuineEnrolmentIsRefused(t *testing.T) {
	l, r := newLog(t)
	forged := Recorder{Signer: Stranger(t, r.Signer.Name()), Enrolment: r.Enrolment}
	session(l, 1, forged)
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckRecorder, "another key")
}

// TestAWrongSignatureOfTheRightRecorderIsRefused, in the middle of a track: whose key it is was known when it was verified, or not yet.
func TestAWrongSignatureOfTheRightRecorderIsRefused(t *testing.T) {
	for _, n := range []int{0, 60, -1} { // entries before it; or it stands in the log before its track's opening
		l, r := newLog(t)
		main := l.Open(SessionID(1), "bot", r)
		for range max(0, n) {
			main.Add(Intent("a", "t", 1), Result("a", 1))
		}
		submission := main.Build(Intent("a", "t", 1), Result("a", 2))[0].Submission
		line := bytes.Index(submission, []byte("\n\n— "))
		sig := submission[line+len("\n\n— "+r.Signer.Name()+" ")+20:]
		if sig[0]++; sig[0] == 'Z'+1 || sig[0] == 'z'+1 || sig[0] == '9'+1 || sig[0] == '+'+1 {
			sig[0] = 'A'
		}
		index := l.Append(submission)
		if n < 0 {
			leaves := slices.Clone(l.Leaves)
			l.Truncate(1)
			index = l.AppendLeaf(leaves[3])
			l.AppendLeaf(leaves[1])
			l.AppendLeaf(leaves[2])
		}
		main.Close()
		c := want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckRecorder, "does not verify")
		if *c.Where.Index != index {
			t.Errorf("at %s", c.Where)
		}
	}
}

func TestSessionSplicedFromTwoIsRefused(t *testing.T) {
	l, r := newLog(t)
	one := l.Open(SessionID(1), "bot", r)
	two := l.Open(SessionID(2), "bot", r)
	// A second track, made for session 2, under the name of session 1. Its recorder has signed for session 2 alone, so
	// that whoever splices must rewrite the header, and then the signature fails; or bind it, and then the binding does.
	side := l.Join(two, "reasoning", "bot", r)
	leaf := l.Leaves[slices.IndexFunc(l.Leaves, func(b []byte) bool { return bytes.Contains(b, []byte("/reasoning\n")) })]
	spliced := bytes.Replace(leaf, []byte(SessionID(2)), []byte(SessionID(1)), 1)
	text := spliced[:bytes.Index(spliced, []byte("\n\n"))+1]
	l.Append(append(append(bytes.Clone(text), '\n'), signatureLine(leaf)...))
	one.CloseOnly(side)
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckRecorder, "does not verify")
}

// signatureLine is the first signature line of a leaf.
func signatureLine(leaf []byte) []byte {
	rest := leaf[bytes.Index(leaf, []byte("\n\n"))+2:]
	return rest[:bytes.IndexByte(rest, '\n')+1]
}

func TestTrackBoundToAnotherOpeningIsRefused(t *testing.T) {
	l, r := newLog(t)
	one := l.Open(SessionID(1), "bot", r)
	l.Open(SessionID(2), "bot", r)
	wrong := *one
	wrong.First = entry.Hash{7}
	side := l.Join(&wrong, "reasoning", "bot", r)
	one.Close(side)
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckTracks, "begins otherwise")
}

func TestSessionWithEntriesOfAnotherIsRefused(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	session(l, 2, r)
	b := l.Evidence(SessionID(1), SessionID(2))
	b.Sessions = b.Sessions[:1]
	want(t, verify(t, b, l.Trust), evidence.ExitFailed, evidence.CheckTracks, "does not name")
}

func TestSessionReplayedFromAnotherLogIsRefused(t *testing.T) {
	theirs := New(t, "log.example/other")
	r := theirs.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	session(theirs, 1, r)
	ours, _ := newLog(t)
	for _, leaf := range theirs.Leaves {
		ours.AppendLeaf(leaf)
	}
	want(t, verify(t, ours.Evidence(SessionID(1)), ours.Trust), evidence.ExitFailed, evidence.CheckEntries, "another log")
	want(t, verify(t, theirs.Evidence(SessionID(1)), ours.Trust), evidence.ExitFailed, evidence.CheckCheckpoint, "")
}

func TestSessionOfAnotherLogUnderTheSameNameIsRefused(t *testing.T) {
	theirs, r := newLog(t)
	session(theirs, 1, r)
	ours := New(t, origin)
	for _, leaf := range theirs.Leaves {
		ours.AppendLeaf(leaf)
	}
	want(t, verify(t, ours.Evidence(SessionID(1)), ours.Trust), evidence.ExitFailed, evidence.CheckReceived, "another key")
}

func TestTailCutAfterCloseIsRefused(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	whole := l.Evidence(SessionID(1))
	drop := func(match func(e *entry.Entry) bool) *evidence.Bundle {
		b := *whole
		b.Blobs = nil
		b.Leaves = slices.DeleteFunc(slices.Clone(whole.Leaves), func(l evidence.Leaf) bool {
			return match(EntryOf(t, l))
		})
		return l.Prove(&b)
	}
	closing := func(e *entry.Entry) bool { return e.Events[len(e.Events)-1].Type == entry.TypeSessionClose }
	side := func(e *entry.Entry) bool { return e.Track == "reasoning" && e.Seq > 0 }
	middle := func(e *entry.Entry) bool { return e.Track == "main" && e.Seq == 1 }
	verdict := func(e *entry.Entry) bool { return e.Events[0].Type == entry.TypeVerdict }
	want(t, verify(t, drop(closing), l.Trust), evidence.ExitFailed, evidence.CheckTracks, "tail cut")
	want(t, verify(t, drop(side), l.Trust), evidence.ExitFailed, evidence.CheckTracks, "tail cut")
	want(t, verify(t, drop(middle), l.Trust), evidence.ExitFailed, evidence.CheckChain, "hole")
	want(t, verify(t, drop(func(e *entry.Entry) bool { return e.Track == "reasoning" }), l.Trust), evidence.ExitIncomplete, evidence.CheckComplete, "reasoning")
	want(t, verify(t, drop(func(e *entry.Entry) bool { return e.Track == "log" }), l.Trust), evidence.ExitIncomplete, evidence.CheckComplete, "admitted")
	want(t, verify(t, drop(func(e *entry.Entry) bool { return closing(e) || verdict(e) }), l.Trust), evidence.ExitIncomplete, evidence.CheckComplete, "not closed")
	want(t, verify(t, drop(func(e *entry.Entry) bool { return e.Track == "main" }), l.Trust), evidence.ExitIncomplete, evidence.CheckComplete, "main track")
}

func TestManagedSessionIsShownAsSignedByTheOperator(t *testing.T) {
	l, _ := newLog(t)
	session(l, 1, l.Enrol(origin+"/managed", entry.HolderOperator, "*"))
	b := l.Evidence(SessionID(1))
	report := verify(t, b, l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	if report.Sessions[0].Tracks[0].SignedBy != entry.HolderOperator {
		t.Fatalf("signed by %s", report.Sessions[0].Tracks[0].SignedBy)
	}
	var text bytes.Buffer
	if err := report.Text(&text); err != nil || !strings.Contains(text.String(), "signed by the operator") {
		t.Fatalf("%v\n%s", err, text.String())
	}
	demanding := evidence.Verify(b, l.Trust, evidence.Options{SignedBy: []entry.Holder{entry.HolderAgent, entry.HolderGateway}})
	want(t, demanding, evidence.ExitPolicy, evidence.CheckPolicy, "operator")
}

func TestEquivocationIsRefusedAndARepeatIsNot(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	copyOf := Must(recorder.New(recorder.Config{Origin: l.Origin, Session: main.ID, Track: "main", Signer: r.Signer, Keys: main.Keys,
		Rand: zeros{}, Next: main.Next(), Head: main.Head()}))(t)
	built := main.Build(Intent("a-1", "ledger.post", 1), Result("a-1", 2))
	l.Append(built[0].Submission)
	l.Append(built[0].Submission)
	main.Close()
	report := verify(t, l.Evidence(SessionID(1)), l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	if report.Sessions[0].Tracks[0].Repeats != 1 {
		t.Fatalf("%+v", report.Sessions[0].Tracks[0])
	}
	other := Must(copyOf.Build(Intent("a-1", "ledger.post", 3)))(t)
	index := l.Append(other[0].Submission)
	c := want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckChain, "equivocation")
	if *c.Where.Index != index || *c.Where.Seq != 1 {
		t.Fatalf("place: %s", c.Where)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestEntriesThatStandInTheLogOutOfOrderAreOneChain(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	a := main.Build(Intent("a-1", "t", 1))
	b := main.Build(Result("a-1", 2))
	l.Append(b[0].Submission)
	l.Append(a[0].Submission)
	l.Append(b[0].Submission)
	main.Close()
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitVerified, "", "")
}

func TestNothingFollowsTheCloseOnItsTrack(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	main.Close()
	main.Add(Intent("a-1", "t", 1))
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckChain, "closed")
}

func TestVerdictsNameWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name, verdict, gap string
		exit               int
		record             func(l *Log, main *Track, r Recorder)
	}{
		{"open", evidence.VerdictOpen, "", evidence.ExitIncomplete, func(_ *Log, main *Track, _ Recorder) { main.Add(Intent("a", "t", 1), Result("a", 1)) }},
		{"open action", evidence.VerdictInterrupted, "open-action", evidence.ExitIncomplete, func(_ *Log, main *Track, _ Recorder) { main.Add(Intent("a", "t", 1)); main.CloseOnly() }},
		{"one end of two actions", evidence.VerdictInterrupted, "open-action", evidence.ExitIncomplete, func(_ *Log, main *Track, _ Recorder) {
			main.Add(Intent("a", "pay", 1), Intent("a", "pay", 1), Result("a", 1))
			main.CloseOnly()
		}},
		{"restarted", evidence.VerdictInterrupted, "restarted", evidence.ExitIncomplete, func(_ *Log, main *Track, _ Recorder) {
			main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "restart"}))
			main.CloseOnly()
		}},
		{"lost", evidence.VerdictInterrupted, "lost-track", evidence.ExitIncomplete, func(l *Log, main *Track, r Recorder) {
			side := l.Join(main, "side", "bot", r)
			end := side.End()
			end.Lost = true
			main.Add(recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "unknown", Tracks: []entry.TrackEnd{end}}))
		}},
		{"unnamed", evidence.VerdictInterrupted, "unnamed-track", evidence.ExitIncomplete, func(l *Log, main *Track, r Recorder) {
			l.Join(main, "side", "bot", r)
			main.CloseOnly()
		}},
		{"after close", evidence.VerdictLate, "", evidence.ExitVerified, func(l *Log, main *Track, r Recorder) {
			side := l.Join(main, "side", "bot", r)
			main.Close(side)
			side.Add(Intent("a", "t", 1), Result("a", 1))
		}},
		{"abandoned", evidence.VerdictAbandoned, "", evidence.ExitIncomplete, func(l *Log, main *Track, _ Recorder) {
			l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "abandoned", Why: "silent", Tracks: []entry.TrackEnd{main.End()}})
		}},
		{"heard again", evidence.VerdictLate, "", evidence.ExitVerified, func(l *Log, main *Track, _ Recorder) {
			l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "abandoned", Why: "silent", Tracks: []entry.TrackEnd{main.End()}})
			main.CloseOnly()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := newLog(t)
			c.record(l, l.Open(SessionID(1), "bot", r), r)
			report := verify(t, l.Evidence(SessionID(1)), l.Trust)
			s := report.Sessions[0]
			if report.Exit != c.exit || s.Verdict != c.verdict {
				t.Fatalf("exit %d, verdict %s, want %d and %s\n%s", report.Exit, s.Verdict, c.exit, c.verdict, report.JSON())
			}
			if c.gap != "" && (len(s.Gaps) != 1 || s.Gaps[0].Kind != c.gap) {
				t.Fatalf("gaps %+v, want %s", s.Gaps, c.gap)
			}
		})
	}
}

func TestWhatTheLogSaysMustAgreeWithTheSession(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	l.Say(entry.TypeAdmitted, entry.Admitted{Session: entry.UUID(main.ID), Track: "main", Open: entry.Hash{1}, Principal: "x", How: "token"})
	main.Close()
	want(t, verify(t, l.Evidence(main.ID), l.Trust), evidence.ExitFailed, evidence.CheckAdmitted, "another opening")

	l, r = newLog(t)
	main = l.Open(SessionID(1), "bot", r)
	end := main.End()
	end.Head = entry.Hash{1}
	main.CloseOnly()
	l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "complete", Why: "closed", Tracks: []entry.TrackEnd{end}})
	want(t, verify(t, l.Evidence(main.ID), l.Trust), evidence.ExitFailed, evidence.CheckTracks, "another end")
}

func TestSystemEntryOfAStrangerIsRefused(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	forger := Must(recorder.New(recorder.Config{Origin: origin, Session: SessionID(77), Track: "log", Signer: Stranger(t, origin+"/system"), Rand: zeros{}}))(t)
	built := Must(forger.Build(
		recorder.Plain(entry.TypeSystemOpen, entry.SystemOpen{Version: "x", Key: "x", Epoch: 1}),
		recorder.Plain(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "complete", Why: "closed", Tracks: []entry.TrackEnd{}}),
	))(t)
	l.Append(built[0].Submission)
	main.Close()
	want(t, verify(t, l.Evidence(main.ID), l.Trust), evidence.ExitFailed, evidence.CheckSystem, "no pinned system key")
}

func TestEmbeddedCheckpointsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name, words string
		checkpoint  func(l *Log) []byte
		exit        int
	}{
		{"the log's", "", (*Log).Checkpoint, evidence.ExitVerified},
		{"another log's", "embedded", func(l *Log) []byte { return New(t, "other.example/x").Checkpoint() }, evidence.ExitFailed},
		{"from the future", "cover the entry itself", func(l *Log) []byte {
			before := len(l.Leaves)
			for range 3 {
				l.Say(entry.TypeConfig, entry.Config{Digest: entry.Hash{1}})
			}
			cp := l.Checkpoint()
			l.Truncate(before)
			return cp
		}, evidence.ExitFailed},
	} {
		l, r := newLog(t)
		main := l.Open(SessionID(1), "bot", r)
		main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(c.checkpoint(l))}))
		main.CloseOnly()
		check := evidence.CheckEmbedded
		if c.exit == 0 {
			check = ""
		}
		want(t, verify(t, l.Evidence(main.ID), l.Trust), c.exit, check, c.words)
	}
}

// Two roots of one size, whoever was shown them, are two histories: of one session or of two.
func TestONEHISTORY_aSplitViewWithinABundleIsFound(t *testing.T) {
	for _, sessions := range []int{1, 2} {
		l, r := newLog(t)
		var all []*Track
		for n := range sessions {
			all = append(all, l.Open(SessionID(n+1), "bot", r))
		}
		show := func(s *Track, root byte) {
			head := checkpoint.Checkpoint{Origin: origin, Size: 2, Root: [32]byte{root}}
			cp := Must(note.Sign(&note.Note{Text: head.Text()}, l.Signers...))(t)
			s.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(cp)}))
		}
		show(all[0], 1)
		show(all[0], 1)
		show(all[sessions-1], 2)
		var ids []string
		for _, s := range all {
			s.Close()
			ids = append(ids, s.ID)
		}
		want(t, verify(t, l.Evidence(ids...), l.Trust), evidence.ExitFailed, evidence.CheckEmbedded, "split view")
	}
}

// The tree of the file has the root of each size that was stamped: whoever was shown another one saw another history.
func TestONEHISTORY_whatWasShownIsWhatWasStamped(t *testing.T) {
	for _, same := range []bool{true, false} {
		l, r := newLog(t)
		one := NewAuthority(t, "one.example", day("2006-01-01"), day("2010-01-01"))
		l.Pin(1, one)
		shown := l.Checkpoint()
		if !same {
			head := checkpoint.Checkpoint{Origin: origin, Size: uint64(len(l.Leaves)), Root: [32]byte{1}}
			shown = Must(note.Sign(&note.Note{Text: head.Text()}, l.Signers...))(t)
		}
		l.Anchor(rounds[0], one)
		main := l.Open(SessionID(1), "bot", r)
		main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(shown)}))
		main.Close()
		l.Anchor(rounds[1], one)
		if report := verify(t, l.Evidence(main.ID), l.Trust); same {
			want(t, report, evidence.ExitVerified, "", "")
		} else {
			want(t, report, evidence.ExitFailed, evidence.CheckEmbedded, "split view")
		}
	}
}

func TestBlobsAndDisclosuresAreCheckedAgainstTheEntries(t *testing.T) {
	l, r := newLog(t)
	main := session(l, 1, r)
	b := l.Evidence(SessionID(1))
	var at evidence.Disclosed
	for _, leaf := range b.Leaves {
		e := EntryOf(t, leaf)
		if e.Track != "main" || e.Seq != 1 {
			continue
		}
		v := Must(e.Events[0].Value())(t).(*entry.ActionIntent)
		place := payload.Place{Origin: origin, Session: main.ID, Track: "main", Seq: 1, Slot: "params"}
		blobs := map[payload.Hash][]byte{}
		for h, blob := range l.Blobs {
			blobs[h] = blob
		}
		opened := Must(payload.Open(main.Keys, place, payload.RefOf(v.Params), blobs))(t)
		at = Must(evidence.DisclosedOf(leaf.Index, 0, "params", opened.Disclose(nil)))(t)
	}
	b.Disclosed = []evidence.Disclosed{at}
	report := verify(t, b, l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	if report.Sessions[0].Payloads.Disclosed != 1 {
		t.Fatalf("%+v", report.Sessions[0].Payloads)
	}

	raw := Must(at.Load())(t)
	lie := bytes.Replace(raw, []byte(`"bytes":"`), []byte(`"bytes":"AAAA`), 1)
	for _, bad := range [][]byte{lie, []byte("{}"), append(raw, ' ')} {
		b.Disclosed[0].Content = evidence.ContentOf(bad)
		want(t, verify(t, b, l.Trust), evidence.ExitFailed, evidence.CheckDisclosures, "")
	}
	b.Disclosed = []evidence.Disclosed{{Index: at.Index, Event: 1, Slot: "params", Content: at.Content}}
	want(t, verify(t, b, l.Trust), evidence.ExitFailed, evidence.CheckDisclosures, "no such payload")

	b = l.Evidence(SessionID(1))
	b.Blobs = append(b.Blobs, evidence.BlobOf([]byte("nobody names me")))
	slices.SortFunc(b.Blobs, func(a, b evidence.Blob) int { return slices.Compare(a.SHA256[:], b.SHA256[:]) })
	want(t, verify(t, b, l.Trust), evidence.ExitFailed, evidence.CheckBlobs, "no entry here names")

	b = l.Evidence(SessionID(1))
	content := Must(b.Blobs[0].Load())(t)
	b.Blobs[0].Content = evidence.ContentOf(append(content[:len(content)-1], 'x'))
	want(t, verify(t, b, l.Trust), evidence.ExitFailed, evidence.CheckBlobs, "not the bytes")
}

// TestEveryFlippedByteOfABundleIsNamed flips four bits of every byte of a small bundle, among them the one that changes
// the case of a letter. A flip must not be taken for anything else than damage, and must name a place.
// TestPINNED_oneBlobOfTwoSizesIsRefused has two events that name the same bytes by different sizes, one of which is a lie.
// The verdict must not hang on which of them is looked at first.
func TestPINNED_oneBlobOfTwoSizesIsRefused(t *testing.T) {
	for n := range 20 {
		l, r := newLog(t)
		main := l.Open(SessionID(n), "bot", r)
		var p entry.Payload
		main.Add(recorder.Event{Type: entry.TypeReasoning, Build: func(seal recorder.Seal) (any, error) {
			sealed, err := seal("content", payload.Text, payload.Content, []byte("because"))
			p = *sealed
			return entry.Reasoning{Form: "plain", Content: sealed}, err
		}})
		p.Blobs = slices.Clone(p.Blobs)
		p.Blobs[0].Size++
		main.Add(recorder.Plain(entry.TypeReasoning, entry.Reasoning{Form: "plain", Content: &p}))
		main.Close()
		want(t, verify(t, l.Evidence(SessionID(n)), l.Trust), evidence.ExitFailed, evidence.CheckBlobs, "another size")
	}
}

// TestABlobOfAnotherSizeThanNamedIsRefused: its bytes are those of the name.
func TestABlobOfAnotherSizeThanNamedIsRefused(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	blob := []byte("sealed")
	ref := payload.Ref{Media: payload.Text, Commitment: payload.Hash{1}, Blobs: []payload.BlobRef{{Class: payload.Content, SHA256: sha256.Sum256(blob), Size: int64(len(blob)) + 1}}}
	main.Add(recorder.Plain(entry.TypeReasoning, entry.Reasoning{Form: "plain", Content: ref.Event()}))
	main.Close()
	b := l.Evidence(main.ID)
	b.Blobs = []evidence.Blob{evidence.BlobOf(blob)}
	report := verify(t, b, l.Trust)
	want(t, report, evidence.ExitFailed, evidence.CheckBlobs, "not the bytes")
	if p := report.Sessions[0].Payloads; p.Blobs != 1 || p.Included != 0 {
		t.Errorf("%+v", p)
	}
}

// TestSystemEntriesMayStandOutOfOrder: as those of recorders may, after an append that failed half way.
func TestSystemEntriesMayStandOutOfOrder(t *testing.T) {
	l, r := newLog(t)
	main := session(l, 1, r)
	verdict := func() uint64 {
		return l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "late", Why: "after-close", Tracks: []entry.TrackEnd{main.End()}})
	}
	at := verdict()
	verdict()
	one, two := l.Leaves[at], l.Leaves[at+1]
	l.Truncate(int(at))
	l.AppendLeaf(two)
	l.AppendLeaf(one)
	l.AppendLeaf(two)
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitVerified, "", "")
}

func TestEquivocationOfTheLogItselfIsRefused(t *testing.T) {
	l, r := newLog(t)
	main := session(l, 1, r)
	verdict := func(why entry.ID) uint64 {
		return l.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(main.ID), Verdict: "late", Why: why, Tracks: []entry.TrackEnd{main.End()}})
	}
	one := l.Leaves[verdict("after-close")]
	second := l.Leaves[verdict("heard-again")]
	l.Truncate(len(l.Leaves) - 2)
	l.AppendLeaf(second)
	forged := bytes.Replace(one, []byte("after-close"), []byte("heard-again"), 1)
	text := forged[:bytes.Index(forged, []byte("\n\n"))+1]
	l.Append(Must(entry.Sign(text, l.SystemSigner()))(t)) // its successor names another text
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckSystem, "previous hash")
	l.AppendLeaf(one)
	want(t, verify(t, l.Evidence(SessionID(1)), l.Trust), evidence.ExitFailed, evidence.CheckSystem, "")
}

func TestEveryFlippedByteOfABundleIsNamed(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	main.Add(Intent("a", "t", 1), Result("a", 2))
	main.Close()
	file := write(t, l.Evidence(SessionID(1)))
	want(t, verifyBytes(t, file, l.Trust), evidence.ExitVerified, "", "")
	files := contents(t, file)
	for i := range file {
		for _, bit := range []int{0, 2, 5, 7} {
			file[i] ^= 1 << bit
			r := verifyBytes(t, file, l.Trust)
			if r.Exit != evidence.ExitFailed || r.Checks[0].Outcome != evidence.Failed || r.Checks[0].Where.Offset == nil {
				t.Fatalf("byte %d bit %d: exit %d\n%s", i, bit, r.Exit, r.JSON())
			}
			if in := files[i]; in != "" && r.Checks[0].Where.File != in {
				t.Fatalf("byte %d of %s, bit %d, is told to be in %q", i, in, bit, r.Checks[0].Where.File)
			}
			file[i] ^= 1 << bit
		}
	}
	for _, n := range []int{0, 1, 3, 4, 29, 30, len(file) / 2, len(file) - 1} {
		want(t, verifyBytes(t, file[:n], l.Trust), evidence.ExitFailed, evidence.CheckBundle, "")
	}
	want(t, verifyBytes(t, append(bytes.Clone(file), 0), l.Trust), evidence.ExitFailed, evidence.CheckBundle, "after the end")
}

// TestFlippedBytesInsideARepairedArchiveFail is about a forger who repairs the checksums of the archive.
func TestFlippedBytesInsideARepairedArchiveFail(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	main.Add(Intent("a", "t", 1), Result("a", 2))
	main.Close()
	b := l.Evidence(SessionID(1))
	for n := range b.Leaves {
		leaf := bytes.Clone(Content(t, b.Leaves[n]))
		b.Leaves[n] = evidence.LeafOf(b.Leaves[n].Index, leaf)
		for i := 0; i < len(leaf); i += 3 {
			leaf[i] ^= 0x01
			report := evidence.Verify(b, l.Trust, evidence.Options{})
			want(t, report, evidence.ExitFailed, evidence.CheckInclusion, "")
			if v := report.Sessions[0].Verdict; v != evidence.VerdictUnproven {
				t.Fatalf("session is %s", v)
			}
			leaf[i] ^= 0x01
		}
	}
	for i := range b.Checkpoint[:bytes.Index(b.Checkpoint, []byte("\n\n"))] {
		b.Checkpoint[i] ^= 0x01
		if r := evidence.Verify(b, l.Trust, evidence.Options{}); r.Exit != evidence.ExitFailed {
			t.Fatalf("byte %d of the checkpoint: exit %d", i, r.Exit)
		}
		b.Checkpoint[i] ^= 0x01
	}
}

func TestStandardToolsOpenTheArchive(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	path := filepath.Join(t.TempDir(), "e.zip")
	if err := os.WriteFile(path, write(t, l.Evidence(SessionID(1))), 0o600); err != nil {
		t.Fatal(err)
	}
	checkZip(t, path, l.Leaves)
	if python, err := exec.LookPath("python3"); err == nil {
		out, err := exec.Command(python, "-m", "zipfile", "-t", path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Done testing") {
			t.Fatalf("python: %v\n%s", err, out)
		}
	}
}

func TestTheSameContentsAreTheSameBytes(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	b := l.Evidence(SessionID(1))
	file := write(t, b)
	again := Must(evidence.Read(bytes.NewReader(file), int64(len(file))))(t)
	if !bytes.Equal(file, write(t, again)) || !bytes.Equal(file, write(t, b)) {
		t.Fatal("other bytes")
	}
}

func TestWriteRefusesWhatReadWouldRefuse(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	for name, spoil := range map[string]func(b *evidence.Bundle){
		"order of leaves": func(b *evidence.Bundle) { b.Leaves[0], b.Leaves[1] = b.Leaves[1], b.Leaves[0] },
		"a leaf twice":    func(b *evidence.Bundle) { b.Leaves[1] = b.Leaves[0] },
		"a blob twice":    func(b *evidence.Bundle) { b.Blobs[1] = b.Blobs[0] },
		"no sessions":     func(b *evidence.Bundle) { b.Sessions = nil },
		"a session twice": func(b *evidence.Bundle) { b.Sessions = append(b.Sessions, b.Sessions[0]) },
		"a name":          func(b *evidence.Bundle) { b.Sessions[0] = "../../etc/passwd" },
		"a slot":          func(b *evidence.Bundle) { b.Disclosed = []evidence.Disclosed{{Slot: "../x"}} },
		"origin":          func(b *evidence.Bundle) { b.Origin = "a b" },
		"a readme":        func(b *evidence.Bundle) { b.Readme = make([]byte, 1<<20) },
	} {
		b := l.Evidence(SessionID(1))
		spoil(b)
		if err := evidence.Write(new(bytes.Buffer), b); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func TestReportsAreSafeToRead(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	// Clear text in entries is ASCII; names of files in a bundle are whatever somebody wrote there.
	file := bytes.ReplaceAll(write(t, l.Evidence(SessionID(1))), []byte("leaf/00000000"), []byte("leaf/\u202e0\u200b\x1b"))
	report := verifyBytes(t, file, l.Trust)
	want(t, report, evidence.ExitFailed, evidence.CheckBundle, "")
	var text bytes.Buffer
	if err := report.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, out := range [][]byte{text.Bytes(), report.JSON()} {
		if bytes.Contains(out, []byte("\u202e")) || bytes.Contains(out, []byte("\u200b")) || bytes.Contains(out, []byte("\x1b")) || !bytes.Contains(out, []byte("202e")) {
			t.Fatalf("%s", out)
		}
	}
	var back evidence.Report
	if err := json.Unmarshal(report.JSON(), &back); err != nil || !strings.Contains(back.Checks[0].Where.File, "\u202e0\u200b\x1b") {
		t.Fatalf("%v, %+v", err, back.Checks)
	}
}

func TestPINNED_theTrustFileInTheBundleIsNotBelieved(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	other := New(t, origin)
	want(t, verify(t, l.Evidence(SessionID(1)), other.Trust), evidence.ExitFailed, evidence.CheckCheckpoint, "")
	b := l.Evidence(SessionID(1))
	b.Trust = other.Trust.Marshal()
	report := verify(t, b, l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	if !strings.Contains(string(report.JSON()), "another one than was pinned") {
		t.Fatalf("%s", report.JSON())
	}
}

func TestProofIsStrict(t *testing.T) {
	p := evidence.Proof{Index: 12, Hashes: [][32]byte{sha256.Sum256(nil)}, Checkpoint: []byte("note\n")}
	good := string(p.Marshal())
	if _, err := evidence.ParseProof([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"@v1", "@v2"}, {"index 12", "index 012"}, {"index 12", "index +12"}, {"index 12", "index 12 "}, {"index 12", "extra AA==\nindex 12"},
		{"index 12", "index 9223372036854775808"}, {"=\n\n", "=\r\n\n"}, {"uFU=", "uFV="}, {"\n\n", "\n"}, {"index 12\n", "index 12\nAA==\n"},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%q is not in %q", c[0], good)
		}
		if _, err := evidence.ParseProof([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
