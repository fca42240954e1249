package evidence_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/trust"
)

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// A timed is a log of 2008 with a session between two rounds of two authorities, and a third round. All certificates are of 2006
// to 2010: whenever this is run, they have expired.
type timed struct {
	*Log
	one, two, three *Authority
	session         string
	first, last     uint64 // leaves of the session
	rounds          [3][]uint64
}

var rounds = [3]time.Time{day("2008-03-01"), day("2008-03-02"), day("2008-03-03")}

func newTimed(t testing.TB, o Options) *timed {
	t.Helper()
	l := NewWith(t, origin, o)
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	w := &timed{Log: l, session: SessionID(1)}
	from, until := day("2006-01-01"), day("2010-01-01")
	w.one, w.two, w.three = NewAuthority(t, "one.example", from, until), NewAuthority(t, "two.example", from, until), NewAuthority(t, "three.example", from, until)
	w.Pin(2, w.one, w.two)
	w.rounds[0] = l.Anchor(rounds[0], w.one, w.two)
	w.first = uint64(len(l.Leaves))
	main := l.Open(w.session, "bot", r)
	main.Add(Intent("a", "t", 1), Result("a", 2))
	main.CloseOnly()
	w.last = uint64(len(l.Leaves)) - 1
	w.rounds[1] = append(l.Anchor(rounds[1], w.one), l.Anchor(rounds[1].Add(time.Hour), w.two)...)
	w.rounds[2] = l.Anchor(rounds[2], w.one, w.two)
	return w
}

func (w *timed) bundle() *evidence.Bundle { return w.Evidence(w.session) }

// without leaves out the anchors of leaves: their checkpoints, not their entries.
func (w *timed) without(indexes ...uint64) *evidence.Bundle {
	b := w.bundle()
	b.Anchors = slices.DeleteFunc(b.Anchors, func(a evidence.Anchor) bool { return slices.Contains(indexes, a.Index) })
	return w.Prove(b)
}

func report(r evidence.Report, index uint64) evidence.AnchorReport {
	i := slices.IndexFunc(r.Anchors, func(a evidence.AnchorReport) bool { return a.Index == index })
	if i < 0 {
		return evidence.AnchorReport{}
	}
	return r.Anchors[i]
}

func TestPINNED_everyCertificateHasExpiredAndTheWindowsDecide(t *testing.T) {
	w := newTimed(t, Options{})
	r := verify(t, w.bundle(), w.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	got := r.Sessions[0].Time
	after, before := got.NotBefore, got.NotAfter
	if after == nil || after.Time != "2008-02-29T23:59:59Z" || after.Authority != "one.example" || after.AnchorIndex != w.rounds[0][0] {
		t.Errorf("not before: %+v", after)
	}
	// Two are demanded: it is the second who decides.
	if before == nil || before.Time != "2008-03-02T01:00:01Z" || before.Authority != "two.example" || before.AnchorIndex != w.rounds[1][1] || before.Size <= w.last {
		t.Errorf("not after: %+v", before)
	}
	if got.Stamps != 2 || !slices.Equal(got.Authorities, []string{"one.example", "two.example"}) || got.Witnessed != nil {
		t.Errorf("%+v", got)
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(),
		"logged after 2008-02-29T23:59:59Z (one.example, log index 1) and before 2008-03-02T01:00:01Z (two.example, log index") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if slices.ContainsFunc(r.NotChecked, func(n evidence.NotChecked) bool { return n.ID == "external-time" }) {
		t.Error("external time is said not to be checked")
	}
	one := verify(t, w.bundle(), w.TrustPinning(1, w.one, w.two))
	want(t, one, evidence.ExitVerified, "", "")
	if b := one.Sessions[0].Time.NotAfter; b.Time != "2008-03-02T00:00:01Z" || b.Authority != "one.example" {
		t.Errorf("of one: %+v", b)
	}
}

func TestTokensMayStandBesideTheirLeaves(t *testing.T) {
	w := newTimed(t, Options{})
	w.TokensAside = true
	w.Anchor(day("2008-03-04"), w.three)
	w.Pin(3, w.one, w.two, w.three)
	r := verify(t, w.bundle(), w.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	if b := r.Sessions[0].Time.NotAfter; b.Time != "2008-03-04T00:00:01Z" || b.Authority != "three.example" {
		t.Errorf("%+v", b)
	}
}

// TestATokenIsTheOneThatItsLeafNames, also where the file changes under the verifier: the authority has signed both, and what covers the
// leaf proves the age of one.
func TestATokenIsTheOneThatItsLeafNames(t *testing.T) {
	w := newTimed(t, Options{})
	w.TokensAside = true
	note, size := w.Checkpoint(), uint64(len(w.Leaves))
	honest, backdated := w.three.Token(note, day("2008-03-04")), w.three.Token(note, day("2008-02-01"))
	for len(backdated) != len(honest) { // a signature is a byte longer or shorter
		backdated = w.three.Token(note, day("2008-02-01"))
	}
	w.Record("three.example", size, note, honest)
	w.Pin(3, w.one, w.two, w.three)
	b := w.bundle()
	b.Public[0].Content = evidence.ContentsIn(&changing{honest, backdated}).At(0, uint32(len(honest)))
	want(t, evidence.Verify(b, w.Trust, evidence.Options{}), evidence.ExitFailed, evidence.CheckAnchors, "changed while it was judged")
}

// A changing file is another each time that it is read.
type changing [][]byte

func (c *changing) ReadAt(b []byte, at int64) (int, error) {
	now := (*c)[0]
	if len(*c) > 1 {
		*c = (*c)[1:]
	}
	return bytes.NewReader(now).ReadAt(b, at)
}

// TestWhatCannotBeReadAgainIsNotJudged: a file that a disk gives up in the middle is no forgery.
func TestWhatCannotBeReadAgainIsNotJudged(t *testing.T) {
	w := newTimed(t, Options{})
	w.TokensAside = true
	w.Anchor(day("2008-03-04"), w.three)
	w.Pin(3, w.one, w.two, w.three)
	b := w.bundle()
	public := Must(b.Public[0].Load())(t)
	file := write(t, b)
	for times := range 5 { // for the file's digest, with its header, for its checksum, its name, and the token
		r := &dyingReader{Reader: bytes.NewReader(file), at: int64(bytes.Index(file, public)), times: times}
		_, err := evidence.VerifyReader(r, int64(len(file)), w.Trust, evidence.Options{})
		if read := (*evidence.ReadError)(nil); !errors.As(err, &read) {
			t.Errorf("after %d times: %v", times, err)
		}
	}
}

// A dyingReader reads the bytes at an offset a few times.
type dyingReader struct {
	*bytes.Reader
	at    int64
	mu    sync.Mutex
	times int
}

func (r *dyingReader) ReadAt(b []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off <= r.at && r.at < off+int64(len(b)) {
		if r.times--; r.times < 0 {
			return 0, os.ErrPermission
		}
	}
	return r.Reader.ReadAt(b, off)
}

func TestWithoutACoveringAnchorTheTimeIsUnmet(t *testing.T) {
	w := newTimed(t, Options{})
	later := slices.Concat(w.rounds[1], w.rounds[2])
	none := w.TrustWith(func(c *trust.Config) { c.Stamps, c.Authorities = 0, nil })
	undemanding := w.TrustPinning(0, w.one, w.two)
	for _, c := range []struct {
		name  string
		b     *evidence.Bundle
		trust *trust.Trust
		exit  int
		check evidence.CheckID
		words string
	}{
		{"none after it", w.without(later...), w.Trust, evidence.ExitPolicy, evidence.CheckTime, "bound by 0 time-stamp authorities, and the trust file demands 2"},
		{"one of two", w.without(w.rounds[1][1], w.rounds[2][1]), w.Trust, evidence.ExitPolicy, evidence.CheckTime,
			"bound by 1 time-stamp authorities, and the trust file demands 2; one.example: bound; two.example: its token at leaf"},
		{"one twice", w.without(w.rounds[1][1], w.rounds[2][1]), w.TrustPinning(2, w.one, w.two), evidence.ExitPolicy, evidence.CheckTime, "demands 2"},
		{"another than are pinned", w.bundle(), w.TrustPinning(1, w.three), evidence.ExitPolicy, evidence.CheckTime, "three.example: no token of it here"},
		{"nobody demands any", w.without(later...), undemanding, evidence.ExitVerified, "", ""},
		{"nobody is pinned", w.bundle(), none, evidence.ExitVerified, "", ""},
	} {
		r := verify(t, c.b, c.trust)
		want(t, r, c.exit, c.check, c.words)
		if s := r.Sessions[0]; s.Time.NotAfter != nil || s.Verdict == evidence.VerdictUnproven {
			t.Errorf("%s: %+v", c.name, s)
		}
		if !slices.ContainsFunc(r.NotChecked, func(n evidence.NotChecked) bool { return n.ID == "external-time" }) {
			t.Errorf("%s: not_checked lacks external-time", c.name)
		}
	}
	r := verify(t, w.bundle(), none)
	if a := report(r, w.rounds[1][0]); a.Counts || a.Reason != "unpinned" {
		t.Errorf("%+v", a)
	}
}

// TestTamperedAnchorsFail: what nobody could accept, whatever they pin.
func TestTamperedAnchorsFail(t *testing.T) {
	w := newTimed(t, Options{})
	w.TokensAside = true
	aside := w.Anchor(day("2008-03-04"), w.three)[0]
	w.TokensAside = false
	w.Pin(1, w.one, w.two, w.three)
	at := func(b *evidence.Bundle, index uint64) *evidence.Anchor {
		return &b.Anchors[slices.IndexFunc(b.Anchors, func(a evidence.Anchor) bool { return a.Index == index })]
	}
	target := w.rounds[1][0]
	for name, c := range map[string]struct {
		words  string
		tamper func(b *evidence.Bundle)
	}{
		"the note of another checkpoint": {"not the checkpoint that the anchor names", func(b *evidence.Bundle) { at(b, target).Note = at(b, w.rounds[2][0]).Note }},
		"a note with a line more": {"not the checkpoint", func(b *evidence.Bundle) {
			at(b, target).Note = append(bytes.Clone(at(b, target).Note), "— x AAAAAAAA\n"...)
		}},
		"no note": {"no signed note", func(b *evidence.Bundle) { at(b, target).Note = nil }},
		"no anchor leaf": {"no anchor of the log", func(b *evidence.Bundle) {
			b.Leaves = slices.DeleteFunc(b.Leaves, func(l evidence.Leaf) bool { return l.Index == target })
		}},
		"another leaf": {"no anchor of the log", func(b *evidence.Bundle) {
			at(b, target).Index = w.last
			slices.SortFunc(b.Anchors, func(x, y evidence.Anchor) int { return int(x.Index) - int(y.Index) })
		}},
		"other public bytes": {"not the bytes that the anchor names", func(b *evidence.Bundle) {
			raw := Must(b.Public[0].Load())(t)
			raw[100] ^= 1
			b.Public[0].Content = evidence.ContentOf(raw)
		}},
		"public bytes that nobody names": {"no anchor here names", func(b *evidence.Bundle) {
			b.Public = append(b.Public, evidence.BlobOf([]byte("x")))
			slices.SortFunc(b.Public, func(x, y evidence.Blob) int { return slices.Compare(x.SHA256[:], y.SHA256[:]) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.bundle()
			want(t, verify(t, b, w.Trust), evidence.ExitVerified, "", "")
			c.tamper(b)
			r := verify(t, w.Prove(b), w.Trust)
			want(t, r, evidence.ExitFailed, evidence.CheckAnchors, c.words)
			if r.Sessions[0].Verdict != evidence.VerdictUnproven {
				t.Errorf("the session is %s", r.Sessions[0].Verdict)
			}
		})
	}
	b := w.bundle()
	b.Public = nil
	r := verify(t, b, w.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	if a := report(r, aside); a.Counts || a.Reason != "absent" {
		t.Errorf("a token that is not here: %+v", a)
	}
	want(t, verify(t, b, w.TrustPinning(3, w.one, w.two, w.three)), evidence.ExitPolicy, evidence.CheckTime, "three.example: its token at leaf")
}

// TestWhatTheLogAnchorsIsJudged: the log itself records what is no token of the authority it names.
func TestWhatTheLogAnchorsIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		anchor func(w *timed) uint64
		exit   int
		reason string
		words  string
	}{
		"a token over another note": {func(w *timed) uint64 {
			return w.Record("one.example", uint64(len(w.Leaves)), w.Checkpoint(), w.one.Token([]byte("x"), rounds[2]))
		}, evidence.ExitFailed, "imprint", "imprint"},
		"no token": {func(w *timed) uint64 {
			return w.Record("one.example", uint64(len(w.Leaves)), w.Checkpoint(), []byte("x"))
		}, evidence.ExitFailed, "", "the token of one.example"},
		"a size that is not the checkpoint's": {func(w *timed) uint64 {
			note := w.Checkpoint()
			return w.Record("one.example", uint64(len(w.Leaves))-1, note, w.one.Token(note, rounds[2]))
		}, evidence.ExitFailed, "absent", "says size"},
		"a checkpoint of another log": {func(w *timed) uint64 {
			other := New(w.T(), "log.example/other")
			note := other.Checkpoint()
			return w.Record("one.example", 1, note, w.one.Token(note, rounds[2]))
		}, evidence.ExitFailed, "absent", "another log"},
		"a checkpoint of another history": {func(w *timed) uint64 {
			other := New(w.T(), origin)
			note := other.Checkpoint()
			return w.Record("one.example", 1, note, w.one.Token(note, rounds[2]))
		}, evidence.ExitFailed, "absent", "does not extend"},
		"a token by another authority": {func(w *timed) uint64 {
			note := w.Checkpoint()
			return w.Record("one.example", uint64(len(w.Leaves)), note, w.three.Token(note, rounds[2]))
		}, evidence.ExitPolicy, "chain", "counts"},
		"an authority that is not pinned": {func(w *timed) uint64 {
			note := w.Checkpoint()
			return w.Record("three.example", uint64(len(w.Leaves)), note, w.three.Token(note, rounds[2]))
		}, evidence.ExitPolicy, "unpinned", "no token of it here"},
		"a token before the window": {func(w *timed) uint64 { return w.Log.Anchor(day("2006-02-01"), w.one)[0] },
			evidence.ExitPolicy, "window", "window"},
		"a token after the window": {func(w *timed) uint64 { return w.Log.Anchor(day("2009-02-01"), w.one)[0] },
			evidence.ExitPolicy, "window", "window"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTimed(t, Options{})
			w.Truncate(int(w.last) + 1) // no round has covered the session
			pin := *w.one
			pin.From, pin.Until = day("2007-01-01"), day("2009-01-01")
			w.Pin(1, &pin, w.two)
			index := c.anchor(w)
			r := verify(t, w.bundle(), w.Trust)
			check := evidence.CheckTime
			words := ""
			if c.exit == evidence.ExitFailed {
				check, words = evidence.CheckAnchors, c.words
			}
			want(t, r, c.exit, check, words)
			if a := report(r, index); a.Counts || c.reason != "" && a.Reason != c.reason {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestCompromisedAuthority: whoever has the key can write any time into a token, but not have it covered in the past.
func TestCompromisedAuthority(t *testing.T) {
	w := newTimed(t, Options{})
	// The thief backdates: the log, which helps, stamps the session's end anew, with a time that lies before its beginning.
	note := w.Checkpoint()
	backdated := w.Record("one.example", uint64(len(w.Leaves)), note, w.one.Token(note, rounds[0].Add(time.Minute)))
	honest := w.Anchor(day("2008-06-01"), w.two)[0]
	mark := func(since time.Time, stamps int) *trust.Trust {
		marked := *w.one
		marked.Compromised = since
		return w.TrustPinning(stamps, &marked, w.two)
	}
	// Unmarked, the token contradicts those that it covers, and nobody can tell who lies.
	r := verify(t, w.bundle(), w.TrustPinning(1, w.one, w.two))
	want(t, r, evidence.ExitFailed, evidence.CheckAnchors, "one of the authorities is wrong")
	// Marked: older tokens stand where two.example proves that they existed before.
	r = verify(t, w.bundle(), mark(day("2008-04-01"), 2))
	want(t, r, evidence.ExitVerified, "", "")
	if a := report(r, backdated); a.Counts || a.Reason != "compromised" {
		t.Errorf("the backdated token: %+v", a)
	}
	for _, index := range []uint64{w.rounds[0][0], w.rounds[1][0], honest} {
		if a := report(r, index); !a.Counts {
			t.Errorf("an honest token: %+v", a)
		}
	}
	// The last round's is proven by nobody before the key was lost.
	if a := report(r, w.rounds[2][0]); a.Counts || a.Reason != "compromised" {
		t.Errorf("a token without a successor in time: %+v", a)
	}
	if b := r.Sessions[0].Time.NotAfter; b.Time != "2008-03-02T01:00:01Z" || b.Authority != "two.example" {
		t.Errorf("%+v", b)
	}
	// Lost before the round over the session: its own tokens say later times, and never count.
	r = verify(t, w.bundle(), mark(rounds[1], 2))
	want(t, r, evidence.ExitPolicy, evidence.CheckTime, "one.example: its token at leaf")
	if a := report(r, w.rounds[1][0]); a.Counts || a.Reason != "compromised" {
		t.Errorf("a token of the time of the compromise: %+v", a)
	}
	// A successor at the very time proves nothing.
	r = verify(t, w.bundle(), mark(rounds[1].Add(time.Hour+time.Second), 1))
	if a := report(r, w.rounds[0][0]); a.Counts {
		t.Errorf("proven at the time of the compromise: %+v", a)
	}
	r = verify(t, w.bundle(), mark(rounds[1].Add(time.Hour+2*time.Second), 1))
	if a := report(r, w.rounds[0][0]); !a.Counts {
		t.Errorf("proven before the compromise: %+v", a)
	}
	// A compromised authority proves nothing of itself.
	both := *w.two
	marked := *w.one
	marked.Compromised, both.Compromised = day("2008-04-01"), day("2008-04-01")
	r = verify(t, w.bundle(), w.TrustPinning(1, &marked, &both))
	want(t, r, evidence.ExitPolicy, evidence.CheckTime, "compromised since")
	if n := slices.IndexFunc(r.Anchors, func(a evidence.AnchorReport) bool { return a.Counts }); n >= 0 {
		t.Errorf("counts: %+v", r.Anchors[n])
	}
	// A third one, later, who is sound, does: of the second, and through it of the first.
	w.Anchor(day("2008-03-20"), w.three)
	r = verify(t, w.without(backdated, honest), w.TrustPinning(2, &marked, &both, w.three))
	want(t, r, evidence.ExitVerified, "", "")
	if b := r.Sessions[0].Time.NotAfter; b.Time != "2008-03-02T01:00:01Z" || b.Authority != "two.example" {
		t.Errorf("%+v", b)
	}
}

// TestARangeHasAnyNumberOfAnchors: those whose checkpoints are not in the file prove nothing, and are no fault.
func TestARangeHasAnyNumberOfAnchors(t *testing.T) {
	w := newTimed(t, Options{})
	elsewhere := entry.Anchor{Authority: "one.example", Size: 3, Checkpoint: entry.Hash{1}, Token: "AAAA", LongTerm: []entry.PublicBlob{{Kind: "checkpoint", SHA256: entry.Hash{1}, Size: 100}}}
	for range 4200 {
		w.Say(entry.TypeAnchor, elsewhere)
	}
	newest := w.Anchor(day("2008-03-04"), w.three)[0]
	w.Pin(3, w.one, w.two, w.three)
	b := w.bundle()
	b.Range = &evidence.Range{From: 1, To: uint64(len(w.Leaves))}
	b.Leaves = nil
	for i := range w.Leaves {
		b.Leaves = append(b.Leaves, w.Leaf(uint64(i)))
	}
	r := verify(t, w.Prove(b), w.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	if a := report(r, newest); !a.Counts {
		t.Errorf("%+v", a)
	}
	i := slices.IndexFunc(r.NotChecked, func(n evidence.NotChecked) bool { return n.ID == "tokens" })
	if len(r.Anchors) != 4096+7 || i < 0 || !strings.HasPrefix(r.NotChecked[i].Why, "4200 time-stamp tokens") {
		t.Errorf("%d anchors, %+v", len(r.Anchors), r.NotChecked)
	}
}

// TestPendingIsNotHeardWhereAllHaveStamped: where as many tokens are here as are demanded, none of which counts, none was to come.
func TestPendingIsNotHeardWhereAllHaveStamped(t *testing.T) {
	w := newTimed(t, Options{})
	one, two := *w.one, *w.two
	one.Compromised, two.Compromised = day("2007-01-01"), day("2007-01-01")
	for stamps, exit := range map[int]int{2: evidence.ExitPolicy, 3: evidence.ExitIncomplete} {
		b := w.bundle()
		b.Pending = []evidence.CheckID{evidence.CheckTime}
		want(t, verify(t, b, w.TrustPinning(stamps, &one, &two, w.three)), exit, evidence.CheckTime, "is compromised since")
	}
	b := w.without(w.rounds[1][1], w.rounds[2][1]) // with nothing over the session of two.example's
	b.Pending = []evidence.CheckID{evidence.CheckTime}
	want(t, verify(t, b, w.TrustPinning(2, &one, &two)), evidence.ExitIncomplete, evidence.CheckTime, "ask for a later one")
}

// TestACheckpointCoversWhatIsBelowItsSize and nothing more, neither of the session nor of earlier tokens.
func TestACheckpointCoversWhatIsBelowItsSize(t *testing.T) {
	for _, after := range []bool{true, false} {
		l, r := newLog(t)
		one := NewAuthority(t, "one.example", day("2006-01-01"), day("2010-01-01"))
		l.Pin(1, one)
		main := l.Open(SessionID(1), "bot", r)
		note, size := l.Checkpoint(), uint64(len(l.Leaves))
		main.CloseOnly()
		exit, check := evidence.ExitPolicy, evidence.CheckTime
		if after {
			note, size = l.Checkpoint(), size+1
			exit, check = evidence.ExitVerified, ""
		}
		l.Record("one.example", size, note, one.Token(note, rounds[1]))
		want(t, verify(t, l.Evidence(main.ID), l.Trust), exit, check, "")
	}
	for _, after := range []bool{true, false} {
		w := newTimed(t, Options{})
		note, size := w.Checkpoint(), uint64(len(w.Leaves))
		early := w.Anchor(day("2008-03-10"), w.one)[0]
		if after {
			note, size = w.Checkpoint(), size+1
		}
		w.Record("two.example", size, note, w.two.Token(note, day("2008-03-11")))
		marked := *w.one
		marked.Compromised = day("2008-04-01")
		if a := report(verify(t, w.bundle(), w.TrustPinning(1, &marked, w.two)), early); a.Counts != after {
			t.Errorf("a token at leaf %d, and one of size %d: %+v", early, size, a)
		}
	}
}

func TestASuccessorThatIsEarlierFails(t *testing.T) {
	w := newTimed(t, Options{})
	w.Anchor(rounds[2].Add(-10*time.Second), w.two)
	r := verify(t, w.bundle(), w.Trust)
	c := want(t, r, evidence.ExitFailed, evidence.CheckAnchors, "one of the authorities is wrong")
	if !strings.Contains(c.Detail, "2008-03-03T00:00:00Z") || *c.Where.Index != w.rounds[2][1] {
		t.Errorf("%s at %s", c.Detail, c.Where)
	}
	w = newTimed(t, Options{})
	w.Anchor(rounds[2].Add(-2*time.Second), w.two) // as exact as they are, both can be right
	want(t, verify(t, w.bundle(), w.Trust), evidence.ExitVerified, "", "")
}
