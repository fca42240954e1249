package evidencetest

import (
	"crypto/rand"
	"encoding/json"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A Track is a recorder at work.
type Track struct {
	*recorder.Track
	Log   *Log
	ID    string // of the session
	Name  string
	Agent string
	First entry.Hash
	Keys  payload.Keys
}

// Open opens track main of a session; the log answers.
func (l *Log) Open(id, agent string, r Recorder) *Track {
	l.t.Helper()
	tr := l.track(id, entry.MainTrack, agent, r)
	tr.Add(recorder.Plain(entry.TypeSessionOpen, entry.SessionOpen{
		Recorder: tr.recorder(r), Privilege: "high-risk", HeartbeatS: 30,
		Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"},
	}))
	tr.First = tr.Head()
	a := &entry.Admitted{Session: entry.UUID(id), Track: entry.MainTrack, Open: tr.First, Principal: "token:ci", How: "token"}
	l.numbers[agent]++
	a.Number = l.numbers[agent]
	if p := l.previous[agent]; p != nil {
		a.PreviousSession, a.Previous = p.Session, &p.Open
	}
	l.previous[agent] = a
	l.Say(entry.TypeAdmitted, *a)
	return tr
}

// Join opens another track of main's session; the log answers.
func (l *Log) Join(main *Track, name, agent string, r Recorder) *Track {
	l.t.Helper()
	tr := l.track(main.ID, name, agent, r)
	tr.Add(recorder.Plain(entry.TypeTrackOpen, entry.TrackOpen{Recorder: tr.recorder(r), Main: main.First}))
	tr.First = tr.Head()
	l.Say(entry.TypeAdmitted, entry.Admitted{Session: entry.UUID(main.ID), Track: entry.ID(name), Open: tr.First, Principal: "token:ci", How: "token"})
	return tr
}

func (l *Log) track(id, name, agent string, r Recorder) *Track {
	keys := Must(payload.NewKeys(rand.Reader))(l.t)
	return &Track{Log: l, ID: id, Name: name, Agent: agent, Keys: keys, Track: Must(recorder.New(recorder.Config{
		Origin: l.Origin, Session: id, Track: name, Signer: r.Signer, Keys: keys, Rand: rand.Reader, Now: l.now.Time,
	}))(l.t)}
}

func (tr *Track) recorder(r Recorder) entry.Recorder {
	out := entry.Recorder{Agent: entry.ID(tr.Agent), Vantage: "self-reported", Capture: "test", OnFailure: "closed", Enrolment: entry.Text(r.Enrolment)}
	for _, c := range payload.Classes() {
		out.Keys = append(out.Keys, entry.UnitKey{Class: entry.ID(c.String()), Commitment: entry.Hash(tr.Keys[c].Commitment())})
	}
	return out
}

// Build makes entries without appending them, and keeps their blobs.
func (tr *Track) Build(events ...recorder.Event) []recorder.Built {
	tr.Log.t.Helper()
	built := Must(tr.Track.Build(events...))(tr.Log.t)
	for _, b := range built {
		for _, blob := range b.Blobs {
			tr.Log.Blobs[entry.HashOf(blob)] = blob
		}
	}
	return built
}

// Add appends events, in as few entries as they need, and returns the indexes.
func (tr *Track) Add(events ...recorder.Event) (indexes []uint64) {
	tr.Log.t.Helper()
	for _, b := range tr.Build(events...) {
		indexes = append(indexes, tr.Log.Append(b.Submission))
	}
	return indexes
}

// Intent and Result are an action's events with sealed content.
func Intent(action, tool string, params any) recorder.Event {
	return recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
		p, err := sealJSON(seal, "params", params)
		return entry.ActionIntent{Action: entry.ID(action), Tool: entry.ID(tool), Params: p}, err
	}}
}

// Result is how an action ended.
func Result(action string, response any) recorder.Event {
	return recorder.Event{Type: entry.TypeActionResult, Build: func(seal recorder.Seal) (any, error) {
		p, err := sealJSON(seal, "response", response)
		return entry.ActionResult{Action: entry.ID(action), Response: p, Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}}, err
	}}
}

func sealJSON(seal recorder.Seal, slot string, v any) (*entry.Payload, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return seal(slot, payload.JSON, payload.Content, b)
}

// Close closes the session, naming the other tracks where they stand; the log gives its verdict.
func (tr *Track) Close(others ...*Track) {
	tr.Log.t.Helper()
	tr.CloseOnly(others...)
	ends := []entry.TrackEnd{{Track: entry.MainTrack, Next: tr.Next(), Head: tr.Head()}}
	for _, o := range others {
		ends = append(ends, o.End())
	}
	tr.Log.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(tr.ID), Verdict: "complete", Why: "closed", Tracks: ends})
}

// CloseOnly closes the session, and the log says nothing.
func (tr *Track) CloseOnly(others ...*Track) {
	tr.Log.t.Helper()
	ends := []entry.TrackEnd{}
	for _, o := range others {
		ends = append(ends, o.End())
	}
	tr.Add(recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "completed", Tracks: ends}))
}

// End is where the track stands.
func (tr *Track) End() entry.TrackEnd {
	return entry.TrackEnd{Track: entry.ID(tr.Name), Next: tr.Next(), Head: tr.Head()}
}
