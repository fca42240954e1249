package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A deployment is what steno up made, as its clients see it.
type deployment struct {
	Ingest   string `yaml:"ingest"`
	Recorder struct {
		Token, Key, Enrolment string
		Recipients            []string
	} `yaml:"recorder"`

	token      string
	signer     note.Signer
	enrolment  []byte
	origin     string
	recipients []age.Recipient
	keys       payload.Keys
}

func readDeployment(dir string) (*deployment, error) {
	b, err := os.ReadFile(filepath.Join(dir, "client.yaml"))
	if err != nil {
		return nil, err
	}
	d := &deployment{}
	if err := yaml.Unmarshal(b, d); err != nil {
		return nil, err
	}
	read := func(path string) string {
		b, rerr := os.ReadFile(filepath.Join(dir, path))
		if rerr != nil {
			err = rerr
		}
		return strings.TrimSpace(string(b))
	}
	d.token, d.enrolment = read(d.Recorder.Token), []byte(read(d.Recorder.Enrolment)+"\n")
	key := read(d.Recorder.Key)
	if err != nil {
		return nil, err
	}
	d.origin = strings.Split(string(d.enrolment), "\n")[1]
	if d.signer, err = note.NewSigner(key); err != nil {
		return nil, err
	}
	for _, r := range d.Recorder.Recipients {
		parsed, err := age.ParseX25519Recipient(r)
		if err != nil {
			return nil, err
		}
		d.recipients = append(d.recipients, parsed)
	}
	d.Ingest = strings.TrimPrefix(d.Ingest, "http://")
	d.keys, err = payload.NewKeys(rand.Reader)
	return d, err
}

// A signed recorder is one session with its connection.
type signed struct {
	*connection
	d       *deployment
	session string
	track   *recorder.Track
	params  []byte
}

func (d *deployment) open() (*signed, error) {
	c, err := dial(d.Ingest)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	s := &signed{connection: c, d: d, session: id.String(), params: params(1024)}
	s.track, err = recorder.New(recorder.Config{
		Origin: d.origin, Session: s.session, Track: entry.MainTrack, Signer: d.signer, Keys: d.keys, Rand: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	var keys []entry.UnitKey
	var wraps []wire.Wrap
	for _, class := range payload.Classes() {
		key := entry.Hash(d.keys[class].Commitment())
		keys = append(keys, entry.UnitKey{Class: entry.ID(class.String()), Commitment: key})
		file, err := payload.Wrap(d.keys[class], payload.WrapPlace{Origin: d.origin, Session: s.session, Track: entry.MainTrack, Class: class}, d.recipients...)
		if err != nil {
			return nil, err
		}
		wraps = append(wraps, wire.Wrap{Key: key, File: file})
	}
	open := recorder.Plain(entry.TypeSessionOpen, entry.SessionOpen{
		Recorder:  entry.Recorder{Agent: "bench", Vantage: "observed", Capture: "bench", OnFailure: "closed", Keys: keys, Enrolment: entry.Text(d.enrolment)},
		Privilege: "production-write", Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}, HeartbeatS: 3600,
	})
	built, err := s.track.Build(open)
	if err != nil {
		return nil, err
	}
	body, err := wire.Append(nil, wire.Submitted{Entry: built[0].Submission, Wraps: wraps})
	if err != nil {
		return nil, err
	}
	_, err = s.post("/v1/sessions", wire.SubmissionType, d.token, body)
	return s, err
}

// params is a JSON object of 4 members and about n bytes.
func params(n int) []byte {
	b, err := json.Marshal(map[string]any{"account": "4711-0815", "amount": 1234567, "currency": "GBP", "memo": strings.Repeat("close ", n/6)[:n-80]})
	if err != nil {
		panic(err)
	}
	return b
}

// send records events of alternating intents and results, each with a sealed payload of 1 KiB, in one request.
func (s *signed) send(events int) (int, error) {
	evs := make([]recorder.Event, events)
	for i := range evs {
		action := entry.ID(fmt.Sprintf("a-%d", (s.track.Next()+uint64(i))/2))
		evs[i] = recorder.Event{Type: entry.TypeActionOutput, Build: func(seal recorder.Seal) (any, error) {
			p, err := seal("content", payload.JSON, payload.Content, s.params)
			return entry.ActionOutput{Action: action, Stream: "content", Content: p}, err
		}}
	}
	built, err := s.track.Build(evs...)
	if err != nil {
		return 0, err
	}
	subs := make([]wire.Submitted, len(built))
	for i, b := range built {
		subs[i] = wire.Submitted{Entry: b.Submission, Blobs: b.Blobs}
	}
	body, err := wire.Append(nil, subs...)
	if err != nil {
		return 0, err
	}
	_, err = s.post("/v1/sessions/"+s.session+"/entries", wire.SubmissionType, s.d.token, body)
	return events, err
}

// openManaged opens a managed session and returns a function that posts one event of 1 KiB to it, on a connection of its own.
func (d *deployment) openManaged() (session string, err error) {
	c, err := dial(d.Ingest)
	if err != nil {
		return "", err
	}
	defer c.Close()
	answer, err := c.post("/v1/sessions", wire.JSONType, d.token, []byte(`{"agent":"bench","privilege":"production-write","purpose":"measuring","heartbeat_s":3600}`))
	if err != nil {
		return "", err
	}
	var a wire.Answer
	return a.Session, json.Unmarshal(answer, &a)
}

func (d *deployment) managed(session string, worker int) (func() (int, error), error) {
	c, err := dial(d.Ingest)
	if err != nil {
		return nil, err
	}
	memo, n := params(1024), 0
	return func() (int, error) {
		n++
		body := fmt.Appendf(nil, `{"event_id":"w%d-%d","event":"action.output","action":"a-%d","stream":"content","n":%d,"content":%s}`, worker, n, worker, n, memo)
		_, err := c.post("/v1/sessions/"+session+"/events", wire.JSONType, d.token, body)
		return 1, err
	}, nil
}
