package evidence_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/trust"
)

// TestPendingIsWhatALaterFileCanMend: made while witnesses and authorities were away, it says so and is incomplete; a file that does
// not say so is not what was demanded; a later one of the same session is verified, whatever it says.
func TestPendingIsWhatALaterFileCanMend(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	one := NewAuthority(t, "one.example", day("2006-01-01"), day("2010-01-01"))
	l.Pin(1, one)
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	all := l.Witnesses
	l.Witnesses = all[:1]
	both := []evidence.CheckID{evidence.CheckTime, evidence.CheckWitnesses}
	early := func(pending ...evidence.CheckID) *evidence.Bundle {
		b := l.Evidence(SessionID(1))
		b.Pending = pending
		return b
	}
	r := verify(t, early(both...), l.Trust)
	want(t, r, evidence.ExitIncomplete, evidence.CheckWitnesses, "made before the witnesses had seen what it holds: ask for a later one")
	if r.Checkpoint.Witnessed || !slices.Equal(r.Pending, both) || r.Sessions[0].Verdict != evidence.VerdictComplete {
		t.Errorf("%s", r.JSON())
	}
	n := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == evidence.CheckTime })
	if c := r.Checks[n]; c.Outcome != evidence.Incomplete || !strings.Contains(c.Detail, "made before the time stamps were there: ask for a later one") {
		t.Errorf("%+v", c)
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "INCOMPLETE: the quorum") {
		t.Errorf("%v\n%s", err, text.String())
	}
	want(t, verify(t, early(), l.Trust), evidence.ExitPolicy, evidence.CheckWitnesses, "is not met")
	want(t, verify(t, early(evidence.CheckTime), l.Trust), evidence.ExitPolicy, evidence.CheckWitnesses, "is not met")
	want(t, verify(t, early(evidence.CheckWitnesses), l.Trust), evidence.ExitPolicy, evidence.CheckWitnesses, "ask for a later one")
	// Nothing else hangs on the words.
	spoilt := early(both...)
	spoilt.Leaves[2] = evidence.LeafOf(spoilt.Leaves[2].Index, append(Content(t, spoilt.Leaves[2]), 'x'))
	if r := verify(t, spoilt, l.Trust); r.Exit != evidence.ExitFailed {
		t.Errorf("a wrong leaf in a file that is pending: exit %d", r.Exit)
	}
	l.Witnesses = all
	want(t, verify(t, early(both...), l.Trust), evidence.ExitIncomplete, evidence.CheckTime, "")
	want(t, verify(t, early(), l.Trust), evidence.ExitPolicy, evidence.CheckTime, "")
	l.Anchor(day("2008-01-01"), one)
	for _, b := range []*evidence.Bundle{early(both...), early()} {
		want(t, verify(t, b, l.Trust), evidence.ExitVerified, "", "")
	}
}

// TestPendingDoesNotAnswerForACompromisedKey: that waits for the quorum because the trust file asks for more since.
func TestPendingDoesNotAnswerForACompromisedKey(t *testing.T) {
	l := NewWith(t, origin, Options{Witnesses: 3, Quorum: 2})
	session(l, 1, l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	l.Witnesses = l.Witnesses[:1]
	b := l.Evidence(SessionID(1))
	b.Pending = []evidence.CheckID{evidence.CheckWitnesses}
	marked := l.TrustWith(func(c *trust.Config) {
		c.Windows = []trust.Window{{Role: trust.RoleReceived, Key: l.Trust.Received[0], Until: uint64(len(l.Leaves)), Compromised: true}}
	})
	r := verify(t, b, marked)
	if n := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == evidence.CheckReceived }); r.Exit != evidence.ExitPolicy || r.Checks[n].Outcome != evidence.Unmet {
		t.Errorf("exit %d\n%s", r.Exit, r.JSON())
	}
}

// ranged is a log of three sessions side by side, with a bundle of the leaves from 3 to 12.
func ranged(t testing.TB) (*Log, *evidence.Bundle) {
	t.Helper()
	l, r := newLog(t)
	one, two := l.Open(SessionID(1), "bot", r), l.Open(SessionID(2), "bot", r)
	one.Add(Intent("a", "t", 1))
	two.Add(Intent("a", "t", 1))
	one.Add(Result("a", 1))
	two.Add(Result("a", 1))
	one.Close()
	two.Close()
	session(l, 3, r)
	b := l.Evidence(SessionID(1), SessionID(2))
	b.Range = &evidence.Range{From: 3, To: 12}
	for i := b.Range.From; i < b.Range.To; i++ {
		if !slices.ContainsFunc(b.Leaves, func(x evidence.Leaf) bool { return x.Index == i }) {
			b.Leaves = append(b.Leaves, l.Leaf(i))
		}
	}
	slices.SortFunc(b.Leaves, func(x, y evidence.Leaf) int { return int(x.Index) - int(y.Index) })
	return l, l.Prove(b)
}

func TestRangeHasEveryLeaf(t *testing.T) {
	l, b := ranged(t)
	r := verify(t, b, l.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	n := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == evidence.CheckRange })
	if r.Checks[n].Passed != 9 {
		t.Errorf("%+v", r.Checks[n])
	}
	for _, hole := range []uint64{3, 6, 11} {
		less := *b
		less.Leaves = slices.DeleteFunc(slices.Clone(b.Leaves), func(x evidence.Leaf) bool { return x.Index == hole })
		less.Blobs = nil
		c := want(t, verify(t, l.Prove(&less), l.Trust), evidence.ExitFailed, evidence.CheckRange, "the leaf is not here")
		if *c.Where.Index != hole || c.Passed != 8 {
			t.Errorf("hole at %d: %+v", hole, c)
		}
	}
	beyond := *b
	beyond.Range = &evidence.Range{From: 3, To: uint64(len(l.Leaves)) + 1}
	want(t, verify(t, &beyond, l.Trust), evidence.ExitFailed, evidence.CheckRange, "in a tree of size")
	// A session that has an entry in the range and is not named.
	unnamed := *b
	unnamed.Sessions = unnamed.Sessions[:1]
	want(t, verify(t, &unnamed, l.Trust), evidence.ExitFailed, evidence.CheckTracks, "does not name")
	// Or is not whole: what follows the range was left out.
	cut := *b
	cut.Leaves = slices.DeleteFunc(slices.Clone(b.Leaves), func(x evidence.Leaf) bool { return x.Index >= 12 })
	want(t, verify(t, l.Prove(&cut), l.Trust), evidence.ExitVerified, "", "") // all of both sessions lies below
	cut.Leaves = slices.DeleteFunc(slices.Clone(b.Leaves), func(x evidence.Leaf) bool { return x.Index < 3 })
	cut.Blobs = nil
	want(t, verify(t, l.Prove(&cut), l.Trust), evidence.ExitFailed, evidence.CheckChain, "hole")
}

// TestRangeOfTheLogsOwnEntries has no session at all.
func TestRangeOfTheLogsOwnEntries(t *testing.T) {
	l, _ := newLog(t)
	for range 5 {
		l.Say(entry.TypeConfig, entry.Config{Digest: entry.Hash{1}})
	}
	b := l.Evidence()
	b.Range = &evidence.Range{From: 1, To: 4}
	for i := b.Range.From; i < b.Range.To; i++ {
		b.Leaves = append(b.Leaves, l.Leaf(i))
	}
	r := verify(t, l.Prove(b), l.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	if len(r.Sessions) != 0 {
		t.Errorf("%+v", r.Sessions)
	}
}

func TestManifestHasOneSpelling(t *testing.T) {
	l, b := ranged(t)
	b.Pending = []evidence.CheckID{evidence.CheckTime, evidence.CheckWitnesses}
	file := write(t, b)
	want(t, verifyBytes(t, file, l.Trust), evidence.ExitVerified, "", "")
	manifest := "steno/evidence/v3\n" + origin + "\nsession " + SessionID(1) + "\nsession " + SessionID(2) + "\nrange 3 12\npending time\npending witnesses\n"
	if !bytes.Contains(file, []byte(manifest)) {
		t.Fatalf("%.300q", file)
	}
	for _, x := range [][2]string{
		{"range 3 12", "range 03 12"}, {"range 3 12", "range 3 012"}, {"range 3 12", "range +3 12"}, {"range 3 12", "range 3  12"}, {"range 3 12", "range 12 3"},
		{"range 3 12", "range 3 3"}, {"range 3 12", "range 3"}, {"range 3 12", "range -1 12"}, {"range 3 12", "range 3 9223372036854775808"}, {"range 3 12", "range 3 12\nrange 3 12"},
		{"pending time\npending witnesses", "pending witnesses\npending time"}, {"pending time", "pending time\npending time"}, {"pending time", "pending policy"},
		{"pending time", "pending  time"}, {"pending", "Pending"}, {"session", ""}, {"session ", "session  "}, {"session ", "sessions "}, {"witnesses\n", "witnesses"},
		{"witnesses\n", "witnesses\n\n"}, {"\n", "\r\n"}, {"range 3 12\npending time", "pending time\nrange 3 12"}, {"v3\n", "v3 \n"}, {"v3\n" + origin, "v3"},
		{SessionID(2), SessionID(1)}, {SessionID(2), strings.ToUpper(SessionID(2))},
	} {
		bad := strings.Replace(manifest, x[0], x[1], 1)
		if bad == manifest {
			t.Fatalf("%q is not there", x[0])
		}
		want(t, verifyBytes(t, replaced(t, file, "steno-evidence", []byte(bad)), l.Trust), evidence.ExitFailed, evidence.CheckBundle, "")
	}
}

// TestEntriesAheadOfTheirPredecessorsAreLoadedAgain, so that none is held, and must then be what they were.
func TestEntriesAheadOfTheirPredecessorsAreLoadedAgain(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	var built [][]byte
	for i := range 50 {
		for _, b := range main.Build(Intent("a", "t", i), Result("a", i)) {
			built = append(built, b.Submission)
		}
	}
	slices.Reverse(built)
	for _, s := range built {
		l.Append(s)
	}
	main.Close()
	want(t, verify(t, l.Evidence(main.ID), l.Trust), evidence.ExitVerified, "", "")
	b := l.Evidence(main.ID)
	for i, leaf := range b.Leaves {
		content := Content(t, leaf)
		other := bytes.Replace(content, []byte("0"), []byte("1"), 1)
		b.Leaves[i].Content = evidence.ContentsIn(&changing{content, other}).At(0, uint32(len(content)))
	}
	want(t, evidence.Verify(b, l.Trust, evidence.Options{}), evidence.ExitFailed, evidence.CheckBundle, "changed while it was judged")
}
