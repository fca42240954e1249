package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	et "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/log/tiles"
)

// A stampedLog is a log in memory with many rounds of two authorities, and says of times what a server says: of one authority.
type stampedLog struct {
	*et.Log
	one, two *et.Authority
	blobs    map[entry.Hash][]byte
	anchors  []indexed
	silent   bool // it lists no authorities
}

type indexed struct {
	index uint64
	entry.Anchor
}

func (l *stampedLog) at(t *testing.T) *anchorSource {
	t.Helper()
	all := l.Evidence(et.SessionID(1))
	l.blobs, l.anchors = map[entry.Hash][]byte{}, nil
	for _, a := range all.Anchors {
		l.blobs[entry.HashOf(a.Note)] = a.Note
		e := et.Must(entry.Parse(l.Leaves[a.Index]))(t)
		var v entry.Anchor
		if err := e.Events[0].Decode(&v); err != nil {
			t.Fatal(err)
		}
		l.anchors = append(l.anchors, indexed{a.Index, v})
	}
	for _, p := range all.Public {
		l.blobs[p.SHA256] = et.Must(p.Load())(t)
	}
	tree := et.Must(tiles.NewReader(l, uint64(len(l.Leaves)), l.Root()))(t)
	held := et.Must(newHolding(filepath.Join(t.TempDir(), "file")))(t)
	t.Cleanup(func() {
		if err := held.close(); err != nil {
			t.Error(err)
		}
	})
	return &anchorSource{tree: tree, time: l.time, blob: l.blob, authorities: 2, held: held, most: evidence.MaxAnchors, wanted: map[uint64]*foundAnchor{}}
}

// stamp puts the time stamps of a bracket into a bundle.
func (l *stampedLog) stamp(t *testing.T, s *anchorSource, b *evidence.Bundle, brackets ...bracket) error {
	t.Helper()
	for _, x := range b.Leaves {
		if err := s.held.add(x.Index, et.Must(x.Load())(t), false); err != nil {
			t.Fatal(err)
		}
	}
	anchors, err := s.find(t.Context(), brackets)
	if err != nil {
		return err
	}
	b.Anchors, b.Leaves, b.Public = anchors, nil, nil
	blobs, disclosed := b.Blobs, b.Disclosed
	s.held.fill(b)
	b.Blobs, b.Disclosed = blobs, disclosed
	fetch := func(ctx context.Context, path string) ([]byte, error) {
		p := et.Must(tiles.ParsePath(path))(t)
		return l.Tile(ctx, p.Level, p.Index, p.Width)
	}
	b.Tree = et.Must(treeOf(t.Context(), fetch, et.Must(l.Trust.OpenCheckpoint(b.Checkpoint))(t), b))(t)
	return nil
}

func (l *stampedLog) time(_ context.Context, index uint64) (t wire.Time, err error) {
	for _, a := range l.anchors {
		if a.index < index {
			t.NotBefore = &wire.Bound{AnchorIndex: a.index}
		}
		if a.Size > index && t.NotAfter == nil {
			t.NotAfter = &wire.Bound{AnchorIndex: a.index, Size: a.Size}
		}
	}
	for _, name := range []entry.ID{"one.example", "two.example"} {
		at := wire.AuthorityTime{Authority: string(name), Counts: true}
		for _, a := range l.anchors {
			if a.Authority == name && a.index < index {
				at.NotBefore = &wire.AnchorTime{AnchorIndex: a.index}
			}
			if a.Authority == name && a.Size > index && at.NotAfter == nil {
				at.NotAfter = &wire.AnchorTime{AnchorIndex: a.index, Size: a.Size}
			}
		}
		if !l.silent {
			t.Authorities = append(t.Authorities, at)
		}
	}
	return t, nil
}

// listed runs a test against a server that lists what each authority says, and against one that does not.
func listed(t *testing.T, f func(t *testing.T, silent bool)) {
	t.Helper()
	t.Run("listed", func(t *testing.T) { f(t, false) })
	t.Run("searched", func(t *testing.T) { f(t, true) })
}

func (l *stampedLog) blob(_ context.Context, index uint64, hash entry.Hash) ([]byte, error) {
	if b, ok := l.blobs[hash]; ok && l.Leaves[index] != nil {
		return b, nil
	}
	return nil, &client.Problem{Problem: wire.Problem{Status: 404}}
}

// newStampedLog has a session between rounds: so many before, and so many behind it, an hour apart.
func newStampedLog(t *testing.T, before, behind int) (l *stampedLog, b *evidence.Bundle, first, last uint64) {
	t.Helper()
	from, until := time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	l = &stampedLog{Log: et.New(t, "log.example/test")}
	l.one, l.two = et.NewAuthority(t, "one.example", from, until), et.NewAuthority(t, "two.example", from, until)
	l.Pin(2, l.one, l.two)
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	round := 0
	stamp := func(n int) {
		for range n {
			round++
			l.TokensAside = round%2 == 0
			l.Say(entry.TypeConfig, entry.Config{Digest: entry.Hash{1}})
			l.Anchor(from.Add(time.Duration(round)*time.Hour), l.one)
			l.Say(entry.TypeConfig, entry.Config{Digest: entry.Hash{1}})
			l.Anchor(from.Add(time.Duration(round)*time.Hour+time.Second), l.two)
		}
	}
	stamp(before)
	first = uint64(len(l.Leaves))
	l.Open(et.SessionID(1), "bot", r).CloseOnly()
	last = uint64(len(l.Leaves)) - 1
	stamp(behind)
	return l, l.unstamped(first, last), first, last
}

// unstamped is a bundle of the session without time stamps.
func (l *stampedLog) unstamped(first, last uint64) *evidence.Bundle {
	b := l.Evidence(et.SessionID(1))
	b.Anchors, b.Public = nil, nil
	b.Leaves = slices.DeleteFunc(b.Leaves, func(x evidence.Leaf) bool { return x.Index < first || x.Index > last })
	return l.Prove(b)
}

func TestEvidence_timeStampsBoundTheSession(t *testing.T) {
	listed(t, func(t *testing.T, silent bool) {
		l, b, first, last := newStampedLog(t, 3, 3)
		l.silent = silent
		if r := evidence.Verify(b, l.Trust, evidence.Options{}); r.Exit != evidence.ExitPolicy {
			t.Fatalf("without time stamps: exit %d", r.Exit)
		}
		if err := l.stamp(t, l.at(t), b, bracket{first, last}); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := evidence.Write(&file, b); err != nil {
			t.Fatal(err)
		}
		r := et.Must(evidence.VerifyReader(bytes.NewReader(file.Bytes()), int64(file.Len()), l.Trust, evidence.Options{}))(t)
		bound := r.Sessions[0].Time
		if r.Exit != evidence.ExitVerified || bound.NotBefore == nil || bound.NotBefore.Time != "2006-01-01T03:00:00Z" ||
			bound.NotAfter == nil || bound.NotAfter.Time != "2006-01-01T04:00:02Z" {
			t.Fatalf("exit %d, %s", r.Exit, r.JSON())
		}
		for _, a := range r.Anchors {
			if !a.Counts {
				t.Errorf("%+v", a)
			}
		}
		// Nothing from before the last round: it could not bound anything closer.
		if n := slices.IndexFunc(b.Anchors, func(a evidence.Anchor) bool { return a.Index < first-4 }); n >= 0 {
			t.Errorf("the anchor at %d, of a session at %d", b.Anchors[n].Index, first)
		}
	})
}

// TestEvidence_whatRenewsGoesAlong: of a log of years, some rounds up to the newest.
func TestEvidence_whatRenewsGoesAlong(t *testing.T) {
	listed(t, func(t *testing.T, silent bool) {
		l, b, first, last := newStampedLog(t, 1, 100)
		l.silent = silent
		if err := l.stamp(t, l.at(t), b, bracket{first, last}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.Anchors); n < 2*(1+1+renewals+samples/2) || n > 2*(1+1+renewals+samples) {
			t.Errorf("%d anchors", n)
		}
		if newest := b.Anchors[len(b.Anchors)-1].Index; newest < uint64(len(l.Leaves))-3 {
			t.Errorf("the newest is at %d of %d", newest, len(l.Leaves))
		}
		// One authority is found to have been broken at any later time: the other has stamped its tokens before.
		for _, days := range []int{1, 2, 3, 4} {
			marked := *l.one
			marked.Compromised = marked.From.AddDate(0, 0, days)
			if r := evidence.Verify(b, l.TrustPinning(2, &marked, l.two), evidence.Options{}); r.Exit != evidence.ExitVerified {
				t.Errorf("broken after %d days: exit %d", days, r.Exit)
			}
		}
	})
}

// TestEvidence_moreTimeStampsThanFit: what bounds all sessions together has precedence over what bounds each more closely.
func TestEvidence_moreTimeStampsThanFit(t *testing.T) {
	l, b, first, last := newStampedLog(t, 20, 20)
	brackets := []bracket{{first, last}}
	for index := range last {
		brackets = append(brackets, bracket{index, index})
	}
	s := l.at(t)
	s.most = 2 * (1 + renewals + samples)
	if err := l.stamp(t, s, b, brackets...); err != nil {
		t.Fatal(err)
	}
	if r := evidence.Verify(b, l.Trust, evidence.Options{}); r.Exit != evidence.ExitVerified || len(b.Anchors) != s.most {
		t.Errorf("exit %d with %d anchors", r.Exit, len(b.Anchors))
	}
}

// TestEvidence_oneAuthorityIsAway: a server that waits for the second says nothing of the first, which somebody else may be content with.
func TestEvidence_oneAuthorityIsAway(t *testing.T) {
	listed(t, func(t *testing.T, silent bool) {
		for _, more := range []int{0, 1, 40} {
			l, _, first, last := newStampedLog(t, 1, 0)
			l.silent = silent
			for n := range 1 + more {
				l.Anchor(l.one.From.Add(time.Duration(5+n)*time.Hour), l.one)
				l.Say(entry.TypeConfig, entry.Config{Digest: entry.Hash{1}})
			}
			b, s := l.unstamped(first, last), l.at(t)
			s.time = func(ctx context.Context, index uint64) (wire.Time, error) {
				t, err := l.time(ctx, index)
				if index >= uint64(len(l.Leaves)) {
					t = wire.Time{}
				}
				if index >= last {
					t.NotAfter = nil
				}
				return t, err
			}
			if err := l.stamp(t, s, b, bracket{first, last}); err != nil {
				t.Fatal(err)
			}
			if r := evidence.Verify(b, l.Trust, evidence.Options{}); r.Exit != evidence.ExitPolicy || len(r.Sessions[0].Time.Authorities) != 1 {
				t.Errorf("%d more: exit %d, %s", more, r.Exit, r.JSON())
			}
			r := evidence.Verify(b, l.TrustPinning(1, l.one), evidence.Options{})
			if r.Exit != evidence.ExitVerified || r.Sessions[0].Time.NotAfter.Time != "2006-01-01T05:00:01Z" {
				t.Errorf("%d more: exit %d, %+v", more, r.Exit, r.Sessions[0].Time.NotAfter)
			}
		}
	})
}

func TestEvidence_withoutTimeStamps(t *testing.T) {
	listed(t, func(t *testing.T, silent bool) {
		l, b, first, last := newStampedLog(t, 0, 0)
		l.silent = silent
		if err := l.stamp(t, l.at(t), b, bracket{first, last}); err != nil || len(b.Anchors)+len(b.Public) > 0 {
			t.Fatalf("%v, %d anchors", err, len(b.Anchors))
		}
		// A server that makes things up sends us nowhere: to leaves that are not there, or have no time stamp.
		l, b, first, last = newStampedLog(t, 1, 1)
		s := l.at(t)
		s.time = func(_ context.Context, index uint64) (t wire.Time, err error) {
			t.NotBefore, t.NotAfter = &wire.Bound{AnchorIndex: 1 << 52}, &wire.Bound{AnchorIndex: last + 1<<40}
			for _, at := range []uint64{0, 1, first, index, 1 << 52} {
				if n := (&wire.AnchorTime{AnchorIndex: at}); !silent {
					t.Authorities = append(t.Authorities, wire.AuthorityTime{NotBefore: n, NotAfter: n})
				}
			}
			return t, nil
		}
		if err := l.stamp(t, s, b, bracket{first, last}); err != nil {
			t.Fatal(err)
		}
		if r := evidence.Verify(b, l.TrustPinning(0), evidence.Options{}); r.Exit != evidence.ExitVerified {
			t.Errorf("exit %d, %s", r.Exit, r.JSON())
		}
		s = l.at(t)
		s.time = func(context.Context, uint64) (wire.Time, error) { return wire.Time{}, errors.New("away") }
		if err := l.stamp(t, s, b, bracket{first, last}); err == nil {
			t.Error("a server that is away is taken for a log without time stamps")
		}
	})
}

// TestEvidence_tooManySessions: what no file can hold is said before anything is read or recorded.
func TestEvidence_tooManySessions(t *testing.T) {
	var args []string
	for n := range evidence.MaxSessions + 1 {
		args = append(args, et.SessionID(n))
	}
	f := evidenceFlags{out: filepath.Join(t.TempDir(), "file")}
	if err := f.read(args, time.Now()); err == nil || !strings.Contains(err.Error(), "1025 sessions: a file has at most 1024") {
		t.Error(err)
	}
	f = evidenceFlags{out: f.out}
	if err := f.read(append(args[1:], args[1]), time.Now()); err != nil {
		t.Error(err)
	}
}
