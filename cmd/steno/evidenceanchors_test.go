package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
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
	return &anchorSource{tree: tree, time: l.time, blob: l.blob, authorities: 2}
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
	return t, nil
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
	return b
}

func TestEvidence_timeStampsBoundTheSession(t *testing.T) {
	l, b, first, last := newStampedLog(t, 3, 3)
	if r := evidence.Verify(b, l.Trust, evidence.Options{}); r.Exit != evidence.ExitPolicy {
		t.Fatalf("without time stamps: exit %d", r.Exit)
	}
	if err := l.at(t).addAnchors(t.Context(), b, first, last); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := evidence.Write(&file, b); err != nil {
		t.Fatal(err)
	}
	r := et.Must(evidence.VerifyReader(bytes.NewReader(file.Bytes()), int64(file.Len()), l.Trust, evidence.Options{}))(t)
	bracket := r.Sessions[0].Time
	if r.Exit != evidence.ExitVerified || bracket.NotBefore == nil || bracket.NotBefore.Time != "2006-01-01T03:00:00Z" ||
		bracket.NotAfter == nil || bracket.NotAfter.Time != "2006-01-01T04:00:02Z" {
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
}

// TestEvidence_whatRenewsGoesAlong: of a log of years, some rounds up to the newest.
func TestEvidence_whatRenewsGoesAlong(t *testing.T) {
	l, b, first, last := newStampedLog(t, 1, 100)
	if err := l.at(t).addAnchors(t.Context(), b, first, last); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Anchors); n < 2*(1+1+renewals+samples/2) || n > 2*(1+1+renewals+samples) {
		t.Errorf("%d anchors", n)
	}
	if newest := b.Anchors[len(b.Anchors)-1].Index; newest != uint64(len(l.Leaves))-1 {
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
}

// TestEvidence_oneAuthorityIsAway: a server that waits for the second says nothing of the first, which somebody else may be content with.
func TestEvidence_oneAuthorityIsAway(t *testing.T) {
	for _, more := range []int{0, 1, 40} {
		l, _, first, last := newStampedLog(t, 1, 0)
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
		if err := s.addAnchors(t.Context(), b, first, last); err != nil {
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
}

func TestEvidence_withoutTimeStamps(t *testing.T) {
	l, b, first, last := newStampedLog(t, 0, 0)
	if err := l.at(t).addAnchors(t.Context(), b, first, last); err != nil || len(b.Anchors)+len(b.Public) > 0 {
		t.Fatalf("%v, %d anchors", err, len(b.Anchors))
	}
	// A server that makes things up sends us nowhere.
	l, b, first, last = newStampedLog(t, 1, 1)
	s := l.at(t)
	s.time = func(context.Context, uint64) (wire.Time, error) {
		return wire.Time{NotBefore: &wire.Bound{AnchorIndex: 1 << 52}, NotAfter: &wire.Bound{AnchorIndex: last + 1<<40}}, nil
	}
	if err := s.addAnchors(t.Context(), b, first, last); err != nil || len(b.Anchors) > 0 {
		t.Fatalf("%v, %d anchors", err, len(b.Anchors))
	}
	s = l.at(t)
	s.time = func(context.Context, uint64) (wire.Time, error) { return wire.Time{}, errors.New("away") }
	if err := s.addAnchors(t.Context(), b, first, last); err == nil {
		t.Error("a server that is away is taken for a log without time stamps")
	}
}
