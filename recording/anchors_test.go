package recording_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/recording"
)

func (w *world) anchor(authority, token string, size uint64) recording.Anchored {
	w.t.Helper()
	x, err := w.rec.Anchor(context.Background(), entry.Anchor{
		Authority: entry.ID(authority), Size: size, Checkpoint: entry.HashOf([]byte("note")),
		Token: entry.Text(base64.StdEncoding.EncodeToString([]byte(token))),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

// at opens a session with a privilege.
func (c *client) at(privilege entry.ID) (*track, uint64) {
	t := c.track("main")
	open := recorder.Plain(entry.TypeSessionOpen, entry.SessionOpen{Recorder: t.recorder(), Privilege: privilege, HeartbeatS: c.beat,
		Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}})
	return t, c.w.ok("", t.build(open)...).Receipts[0].Index
}

// What was stamped, and what there is to be stamped, follows from the log alone: after a restart, a crash, and without views.
func TestAnchorState_followsFromTheLog(t *testing.T) {
	w := newWorld(t)
	if s := w.rec.AnchorState(); s.Recorded != 0 || s.Urgent != 0 || len(s.Last) != 0 {
		t.Fatalf("the log's own entries count: %+v", s)
	}
	_, first := w.client("a").at("financial")
	w.anchor("x", "t1", first+1)
	w.anchor("y", "t2", first+1)
	c := w.client("b")
	glass, _ := c.at("break-glass")
	x := w.anchor("x", "t3", w.log.Size())
	last := w.ok(c.session, glass.build(closing())...).Receipts[0].Index
	w.anchor("y", "t4", last+1)
	want := w.rec.AnchorState()
	if want.Recorded != last+1 || want.Urgent != last+1 || want.Last["x"] != x || want.Last["y"].Size != last+1 {
		t.Fatalf("%+v, and the last entry is %d", want, last)
	}
	before, after := w.rec.Around(first)
	if len(before) != 0 || len(after) != 2 || after[0].Size != first+1 || after[1].Authority != "y" {
		t.Fatalf("around the first entry: %+v %+v", before, after)
	}
	b2, a2 := w.rec.Around(last)
	if len(b2) != 2 || b2[1] != x || len(a2) != 1 || a2[0].Size != last+1 {
		t.Fatalf("around the last entry: %+v %+v", b2, a2)
	}
	for _, again := range []func(){
		func() { w.stop(); w.restart() }, func() { w.crash(); w.restart() }, func() { w.stop(); w.restart("heads") },
		func() { w.crash(); w.restart("heads", "index") },
	} {
		again()
		if d := cmp.Diff(want, w.rec.AnchorState()); d != "" {
			t.Fatal(d)
		}
		_, got := w.rec.Around(first)
		if d := cmp.Diff(after, got); d != "" {
			t.Fatal(d)
		}
	}
}

// Break glass hurries: whether a session was opened so or came to it, and whether it was closed or given up.
func TestAnchorState_urgent(t *testing.T) {
	w, clock := newClockWorld(t)
	open := w.client("a")
	main, _ := open.at("financial")
	w.ok(open.session, main.build(closing())...)
	if s := w.rec.AnchorState(); s.Urgent != 0 || s.Recorded == 0 {
		t.Fatalf("an ordinary session hurries: %+v", s)
	}
	raised := w.client("b")
	main, _ = raised.at("financial")
	change := func(p, direction entry.ID) recorder.Event {
		return plain(entry.TypePrivilegeChange, entry.PrivilegeChange{Privilege: p, Direction: direction})
	}
	w.ok(raised.session, main.build(change("break-glass", "raise"))...)
	w.ok(raised.session, main.build(change("routine", "lower"))...)
	if s := w.rec.AnchorState(); s.Urgent != 0 {
		t.Fatalf("a session that goes on hurries: %+v", s)
	}
	end := w.ok(raised.session, main.build(closing())...).Receipts[0].Index + 1
	if s := w.rec.AnchorState(); s.Urgent != end {
		t.Fatalf("a session that was raised to break glass does not hurry: %+v, closed below %d", s, end)
	}
	silent := w.client("c")
	_, opened := silent.at("break-glass")
	before := len(w.verdicts())
	clock.forward(4 * time.Duration(silent.beat) * time.Second)
	eventually(t, "it is given up", func() bool { return len(w.verdicts()) > before })
	eventually(t, "that hurries", func() bool { return w.rec.AnchorState().Urgent == opened+1 })
}

// A token renews the latest that the stamped checkpoint covers, of another authority if there is one.
func TestRenews(t *testing.T) {
	w := newWorld(t)
	if _, ok := w.rec.Renews("x", 1<<40); ok {
		t.Fatal("there is none")
	}
	hash := func(token string) entry.Hash { return entry.HashOf([]byte(token)) }
	x1 := w.anchor("x", "x1", 1)
	if got, ok := w.rec.Renews("x", x1.Index+1); !ok || got != hash("x1") {
		t.Error("the own token is renewed where there is no other")
	}
	if _, ok := w.rec.Renews("y", x1.Index); ok {
		t.Error("a checkpoint does not cover a leaf at its size")
	}
	y1 := w.anchor("y", "y1", 2)
	z1 := w.anchor("z", "z1", 3)
	x2 := w.anchor("x", "x2", 4)
	for _, c := range []struct {
		authority string
		size      uint64
		want      string
	}{
		{"x", x2.Index + 1, "z1"}, {"y", x2.Index + 1, "x2"}, {"x", z1.Index, "y1"}, {"w", z1.Index + 1, "z1"}, {"x", y1.Index, "x1"},
	} {
		if got, ok := w.rec.Renews(c.authority, c.size); !ok || got != hash(c.want) {
			t.Errorf("%s at %d does not renew %s", c.authority, c.size, c.want)
		}
	}
}
