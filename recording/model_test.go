package recording_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
)

// A modelled session is what a client knows of its own: every answer must follow from it.
type modelled struct {
	w      *world
	c      *client
	tracks []*track
	sent   map[string][]recording.Submitted // of each track, in order
	at     map[string][]recording.Receipt
	open   map[string]bool
	closed bool
	acts   int
}

func (m *modelled) deliver(t *rapid.T, tr *track, subs []recording.Submitted) {
	res, err := m.w.submit(m.c.session, subs...)
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, tr, res)
	for i, rc := range res.Receipts {
		if rc.Repeated {
			t.Fatalf("new entry %d of %s is called repeated", rc.Seq, tr.name)
		}
		m.sent[tr.name], m.at[tr.name] = append(m.sent[tr.name], subs[i]), append(m.at[tr.name], rc)
	}
}

func (m *modelled) check(t *rapid.T, tr *track, res recording.Result) {
	if res.Next != tr.Next() || res.Head != tr.Head() {
		t.Fatalf("%s stands at %d, the answer says %d", tr.name, tr.Next(), res.Next)
	}
}

// act extends a track.
func (m *modelled) act(t *rapid.T) {
	tr := rapid.SampledFrom(m.tracks).Draw(t, "track")
	if m.closed && tr.name == "main" {
		return
	}
	m.acts++
	name := fmt.Sprintf("a-%d", m.acts)
	if rapid.Bool().Draw(t, "ends") {
		m.deliver(t, tr, tr.build(intent(name), outcome(name)))
		return
	}
	if !m.closed {
		m.open[name] = true
	}
	m.deliver(t, tr, tr.build(intent(name)))
}

func (m *modelled) end(t *rapid.T) {
	for name := range m.open {
		delete(m.open, name)
		m.deliver(t, m.tracks[0], m.tracks[0].build(outcome(name)))
		return
	}
}

func (m *modelled) join(t *rapid.T) {
	tr := m.c.track(fmt.Sprintf("t-%d", len(m.tracks)))
	m.tracks = append(m.tracks, tr)
	m.deliver(t, tr, tr.build(tr.opening()))
}

// again sends entries that were taken.
func (m *modelled) again(t *rapid.T) {
	tr := rapid.SampledFrom(m.tracks).Draw(t, "track")
	from := rapid.IntRange(0, len(m.sent[tr.name])-1).Draw(t, "from")
	res, err := m.w.submit(m.c.session, m.sent[tr.name][from:]...)
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, tr, res)
	for i, rc := range res.Receipts {
		was := m.at[tr.name][from+i]
		if !rc.Repeated || rc.Index != was.Index || rc.Received != was.Received || rc.Hash != was.Hash {
			t.Fatalf("was %+v, now %+v", was, rc)
		}
	}
}

// fork sends another text for the track's last entry.
func (m *modelled) fork(t *rapid.T) {
	tr := rapid.SampledFrom(m.tracks).Draw(t, "track")
	sent := m.sent[tr.name]
	e := must(entry.ParseSubmission(sent[len(sent)-1].Entry))
	if e.Seq == 0 {
		return
	}
	line := must(entry.Marshal(entry.TypeReasoning, 1, entry.Reasoning{Form: "absent"}))
	sub := recording.Submitted{Entry: must(entry.Sign(must(entry.Compose(e.Header, line)), m.c.key.Signer))}
	if _, err := m.w.submit(m.c.session, sub); code(err) != recording.CodeEquivocation {
		t.Fatalf("a fork: %v", err)
	}
}

// hole leaves an entry out.
func (m *modelled) hole(t *rapid.T) {
	tr := rapid.SampledFrom(m.tracks).Draw(t, "track")
	if m.closed && tr.name == "main" {
		return
	}
	ahead := *tr.Track
	must(ahead.Build(intent("x")))
	b := must(ahead.Build(intent("y")))[0]
	if _, err := m.w.submit(m.c.session, recording.Submitted{Entry: b.Submission, Blobs: b.Blobs}); code(err) != entry.Hole {
		t.Fatalf("a hole: %v", err)
	}
}

func (m *modelled) close(t *rapid.T) {
	if m.closed {
		return
	}
	main := m.tracks[0]
	want := entry.ID("complete")
	if len(m.open) > 0 {
		want = "interrupted"
	}
	m.deliver(t, main, main.build(closing(m.tracks[1:]...)))
	m.closed = true
	head, err := m.w.rec.Head(t.Context(), alice, m.c.session)
	if err != nil || head.State != string(want) {
		t.Fatalf("%+v, %v, want %s", head, err, want)
	}
}

func TestEXACTLYONCE_everyAnswerFollowsFromWhatWasSent(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		c := w.client(fmt.Sprintf("bot-%d", rapid.IntRange(0, 2).Draw(rt, "agent")))
		main := c.track("main")
		m := &modelled{w: w, c: c, tracks: []*track{main}, sent: map[string][]recording.Submitted{}, at: map[string][]recording.Receipt{}, open: map[string]bool{}}
		m.deliver(rt, main, main.build(main.opening()))
		steps := []func(*rapid.T){m.act, m.act, m.again, m.fork, m.hole, m.join, m.end, m.close}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(steps)-1).Draw(rt, "step")
			if m.closed && i == 6 {
				continue
			}
			steps[i](rt)
		}
	})
	live := w.snapshotted()
	w.restart("heads")
	rebuilt := w.snapshotted()
	w.restart()
	for key, value := range live {
		if key != "system" && rebuilt[key] != value {
			t.Errorf("%s: live %s\nrebuilt %s", key, value, rebuilt[key])
		}
	}
	if len(live) != len(rebuilt) {
		t.Errorf("%d items live, %d rebuilt", len(live), len(rebuilt))
	}
}

// snapshotted stops the world and returns what its heads hold.
func (w *world) snapshotted() map[string]string {
	w.stop()
	w.openDisks()
	defer w.closeDisks()
	return w.items()
}
