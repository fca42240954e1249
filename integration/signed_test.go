//go:build linux

package integration_test

import (
	"crypto/rand"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A session is one that its recorder signs.
type session struct {
	d      *deployment
	id     string
	signer note.Signer
	vkey   string
	main   entry.Hash // of the first entry
}

func newSession(d *deployment) *session {
	skey, vkey, err := note.GenerateKey(rand.Reader, "test.example/agents/"+agent)
	if err != nil {
		panic(err)
	}
	return &session{d: d, id: must(uuid.NewV7()).String(), signer: must(note.NewSigner(skey)), vkey: vkey}
}

// A track builds its entries; whether they reach the log is its user's business.
type track struct {
	*recorder.Track
	s     *session
	name  string
	keys  []entry.UnitKey
	wraps []wire.Wrap
}

func (s *session) track(name string) *track {
	t := &track{s: s, name: name}
	keys := must(payload.NewKeys(rand.Reader))
	for _, class := range payload.Classes() {
		key := keys[class]
		commitment := entry.Hash(key.Commitment())
		where := payload.WrapPlace{Origin: origin, Session: s.id, Track: name, Class: class}
		t.wraps = append(t.wraps, wire.Wrap{Key: commitment, File: must(payload.Wrap(key, where, s.d.recipients...))})
		t.keys = append(t.keys, entry.UnitKey{Class: entry.ID(class.String()), Commitment: commitment})
	}
	t.Track = must(recorder.New(recorder.Config{Origin: origin, Session: s.id, Track: name, Signer: s.signer, Keys: keys, Rand: rand.Reader}))
	return t
}

// build makes the next entries, ready to be sent.
func (t *track) build(events ...recorder.Event) []wire.Submitted {
	opens := t.Next() == 0
	var subs []wire.Submitted
	for _, b := range must(t.Build(events...)) {
		subs = append(subs, wire.Submitted{Entry: b.Submission, Blobs: b.Blobs})
	}
	if opens {
		subs[0].Wraps = t.wraps
	}
	if opens && t.name == "main" {
		t.s.main = must(entry.ParseSubmission(subs[0].Entry)).Hash()
	}
	return subs
}

func (t *track) opening() recorder.Event {
	r := entry.Recorder{Agent: agent, Vantage: "self-reported", Capture: "test", OnFailure: "closed", Keys: t.keys,
		Enrolment: entry.Text(t.s.d.enrol(t.s.vkey, entry.HolderAgent, agent))}
	if t.name != "main" {
		return recorder.Plain(entry.TypeTrackOpen, entry.TrackOpen{Recorder: r, Main: t.s.main})
	}
	return recorder.Event{Type: entry.TypeSessionOpen, Build: func(seal recorder.Seal) (any, error) {
		purpose, err := seal("purpose", payload.Text, payload.Directory, []byte("to test"))
		return entry.SessionOpen{Recorder: r, Privilege: "financial", HeartbeatS: 3600, Purpose: purpose,
			Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}}, err
	}}
}

func intent(action string) recorder.Event {
	return recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
		params, err := seal("params", payload.JSON, payload.Content, []byte(`{"amount":12,"to":"ACME"}`))
		return entry.ActionIntent{Action: entry.ID(action), Tool: "ledger.post", Params: params}, err
	}}
}

func outcome(action string) recorder.Event {
	return recorder.Plain(entry.TypeActionResult, entry.ActionResult{Action: entry.ID(action),
		Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}})
}

func closing(others ...*track) recorder.Event {
	ends := []entry.TrackEnd{}
	for _, t := range others {
		ends = append(ends, entry.TrackEnd{Track: entry.ID(t.name), Next: t.Next(), Head: t.Head()})
	}
	return recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "completed", Tracks: ends})
}
