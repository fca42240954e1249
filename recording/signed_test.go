package recording_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
)

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal("in vain: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestACKED_sessionOfTwoTracksIsCompleteAndSurvivesEveryRestart(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	res := w.ok("", main.build(main.opening())...)
	if len(res.Receipts) != 1 || res.Next != 1 || res.Head != main.Head() {
		t.Fatalf("result of the open: %+v", res)
	}
	other := c.track("reasoning")
	w.ok(c.session, other.build(other.opening())...)
	first := main.build(intent("a-1"), intent("a-2"))
	receipt := w.ok(c.session, first...).Receipts[0]
	w.crash()
	w.restart()
	// The same again gets the receipt of the first time, from the leaf.
	again := w.ok(c.session, first...).Receipts[0]
	if !again.Repeated || again.Index != receipt.Index || again.Received != receipt.Received || again.Hash != receipt.Hash {
		t.Fatalf("first %+v, again %+v", receipt, again)
	}
	w.ok(c.session, main.build(outcome("a-1"))...)
	w.stop()
	w.restart("heads", "index")
	again = w.ok(c.session, first...).Receipts[0]
	if !again.Repeated || again.Index != receipt.Index || again.Received != receipt.Received {
		t.Fatalf("first %+v, again %+v", receipt, again)
	}
	w.ok(c.session, main.build(outcome("a-2"), closing(other))...)
	verdicts := system[entry.Verdict](w, entry.TypeVerdict)
	if len(verdicts) != 1 || verdicts[0].Verdict != "complete" || len(verdicts[0].Tracks) != 2 || verdicts[0].Tracks[0].Head != main.Head() {
		t.Fatalf("verdicts: %+v", verdicts)
	}
	eventually(t, "the index", func() bool { return w.rec.Indexed() == w.log.Size() })
	row := must(w.index.Session(context.Background(), c.session))
	if row.State != "complete" || row.Agent != "bot" || row.Principal != "alice" || row.Number != 1 || row.Events != 7 || row.Closed == 0 {
		t.Fatalf("row: %+v", row)
	}
	if len(must(w.index.Mentions(context.Background(), c.session))) != 3 { // admitted twice, verdict
		t.Fatal("mentions")
	}
}

func TestNAMEDGAPS_systemSessionsFormOneChainWithTheirPredecessors(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	w.crash()
	w.restart()
	w.stop()
	w.restart("heads")
	opens := system[entry.SystemOpen](w, entry.TypeSystemOpen)
	if len(opens) != 3 {
		t.Fatalf("%d system sessions", len(opens))
	}
	tracks := map[string]*entry.Track{}
	var order []*entry.Track
	for _, e := range w.leaves() {
		if e.Track != entry.SystemTrack {
			continue
		}
		tr := tracks[e.Session]
		if tr == nil {
			tr = must(w.anchors().Open(e, e.Received.Time))
			tracks[e.Session] = tr
			order = append(order, tr)
			continue
		}
		if err := errors.Join(tr.Check(e), e.VerifyRecorder(tr.Verifier)); err != nil {
			t.Fatal(err)
		}
		tr.Extend(e)
	}
	for i, o := range opens[1:] {
		if string(o.Predecessor) != order[i].Session || *o.PredecessorHead != order[i].Head {
			t.Fatalf("system session %d names %s as its predecessor", i+1, o.Predecessor)
		}
	}
	if opens[0].Predecessor != "" || order[0].Closed || !order[1].Closed {
		t.Fatal("the first names a predecessor, or closed after a crash, or the second did not close")
	}
}

func TestAgentsSessionsAreNumberedAndLinkedAcrossRestarts(t *testing.T) {
	w := newWorld(t)
	var opens []entry.Hash
	for i := range 6 {
		c := w.client("bot")
		main := c.track("main")
		w.ok("", main.build(main.opening())...)
		opens = append(opens, main.Head())
		switch i {
		case 1:
			w.crash()
			w.restart()
		case 3:
			w.stop()
			w.restart("heads")
		case 4:
			w.stop()
			w.restart()
		}
	}
	for i, a := range system[entry.Admitted](w, entry.TypeAdmitted) {
		if a.Number != uint64(i+1) || a.Open != opens[i] || i > 0 && *a.Previous != opens[i-1] || a.Principal != "alice" || a.How != "token" {
			t.Fatalf("admitted %d: %+v", i, a)
		}
	}
}

func TestOtherBytesForATakenSeqAreEquivocationAndRaiseOneAlert(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	fork := *main.Track
	w.ok(c.session, main.build(intent("a-1"))...)
	for range 3 {
		was := fork
		built, err := was.Build(intent("a-2"))
		if err != nil {
			t.Fatal(err)
		}
		w.refused(recording.CodeEquivocation, c.session, recording.Submitted{Entry: built[0].Submission, Blobs: built[0].Blobs})
	}
	eventually(t, "an alert", func() bool { return len(system[entry.Alert](w, entry.TypeAlert)) > 0 })
	w.stop()
	w.restart()
	alerts := system[entry.Alert](w, entry.TypeAlert)
	if len(alerts) != 1 || alerts[0].Alert != "equivocation" || string(alerts[0].Session) != c.session || alerts[0].Seq != 1 {
		t.Fatalf("alerts: %+v", alerts)
	}
}

func TestAPrefixIsTakenAndTheAnswerSaysHowFar(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	good, bad := main.build(intent("a-1"))[0], main.build(intent("a-2"))[0]
	after := main.build(intent("a-3"))[0]
	whole := bad.Blobs
	bad.Blobs = nil
	size := w.log.Size()
	res, err := w.submit(c.session, good, bad, after)
	var p *recording.Problem
	if !errors.As(err, &p) || p.Code != recording.CodeBlobMissing || p.Entry != 1 || p.Member != "params" || len(res.Receipts) != 1 || res.Next != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	w.unstored(size, bad, after)
	bad.Blobs = whole
	res = w.ok(c.session, good, bad, after)
	if len(res.Receipts) != 3 || !res.Receipts[0].Repeated || res.Receipts[1].Repeated || res.Next != 4 {
		t.Fatalf("%+v", res)
	}
}
