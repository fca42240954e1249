package daemon_test

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// An agent records track main of a session, signed.
type agent struct {
	s       *server
	signer  note.Signer
	vkey    string
	session string
	keys    payload.Keys
	wraps   []wire.Wrap
	track   *recorder.Track
	enrol   entry.Enrolment
}

func (s *server) agent() *agent {
	s.t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "acme/agents/bot")
	if err != nil {
		s.t.Fatal(err)
	}
	a := &agent{s: s, signer: must(note.NewSigner(skey)), vkey: vkey, session: must(uuid.NewV7()).String(), keys: must(payload.NewKeys(rand.Reader))}
	for _, class := range payload.Classes() {
		k := a.keys[class]
		where := payload.WrapPlace{Origin: origin, Session: a.session, Track: "main", Class: class}
		a.wraps = append(a.wraps, wire.Wrap{Key: entry.Hash(k.Commitment()), File: must(payload.Wrap(k, where, s.vault.Recipient(), s.recovery.Recipient()))})
	}
	a.track = must(recorder.New(recorder.Config{Origin: origin, Session: a.session, Track: "main", Signer: a.signer, Keys: a.keys, Rand: rand.Reader}))
	a.enrol = entry.Enrolment{Origin: origin, RecorderKey: vkey, Holder: entry.HolderAgent,
		From: entry.TimeOf(time.Now().Add(-time.Hour)), Until: entry.TimeOf(time.Now().Add(time.Hour)), Agents: []string{"bot"}}
	return a
}

// opening is the first entry, with an enrolment by signer.
func (a *agent) opening(enroller note.Signer) wire.Submitted {
	a.s.t.Helper()
	open := entry.SessionOpen{Privilege: "financial", HeartbeatS: 30, Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}}
	open.Recorder = entry.Recorder{Agent: "bot", Vantage: "self-reported", Capture: "test", OnFailure: "closed",
		Enrolment: entry.Text(must(entry.SignEnrolment(a.enrol, enroller)))}
	for i, class := range payload.Classes() {
		open.Keys = append(open.Keys, entry.UnitKey{Class: entry.ID(class.String()), Commitment: a.wraps[i].Key})
	}
	sub := a.build(recorder.Plain(entry.TypeSessionOpen, open))
	sub.Wraps = a.wraps
	return sub
}

func (a *agent) build(ev recorder.Event) wire.Submitted {
	a.s.t.Helper()
	b := must(a.track.Build(ev))[0]
	return wire.Submitted{Entry: b.Submission, Blobs: b.Blobs}
}

func intent(action string) recorder.Event {
	return recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
		params, err := seal("params", payload.JSON, payload.Content, []byte(`{"amount":12}`))
		return entry.ActionIntent{Action: entry.ID(action), Tool: "ledger.post", Params: params}, err
	}}
}

// resign changes the text of a submission and signs it again with the recorder's key.
func (a *agent) resign(sub wire.Submitted, old, new string) wire.Submitted {
	end := bytes.Index(sub.Entry, []byte("\n\n")) + 1
	changed := strings.Replace(string(sub.Entry[:end]), old, new, 1)
	if changed == string(sub.Entry[:end]) {
		a.s.t.Fatalf("nothing was replaced: %s", old)
	}
	sub.Entry = must(entry.Sign([]byte(changed), a.signer))
	return sub
}

func (s *server) submit(path, principal string, subs ...wire.Submitted) *response {
	s.t.Helper()
	body, err := wire.Append(nil, subs...)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do("POST", s.addrs.Ingest, path, principal, bytes.NewReader(body), "Content-Type: "+wire.SubmissionType)
}

func (s *server) openSigned(a *agent) {
	s.t.Helper()
	if r := s.submit("/v1/sessions", "gw", a.opening(s.enroller)); r.StatusCode != http.StatusCreated {
		s.t.Fatalf("%d %s", r.StatusCode, r.body)
	}
}

// size is that of the log, when everything it holds is published.
func (s *server) size() uint64 {
	s.t.Helper()
	var last uint64
	eventually(s.t, "the log stands still", func() bool {
		h := s.health()
		same := h == last && h > 0
		last = h
		return same
	})
	return last
}

// Each line of what may be wrong with an entry: its code, its status, and nothing of it stored.
func TestBadInput_entries(t *testing.T) {
	s := start(t)
	a := s.agent()
	s.openSigned(a)
	fork := *a.track
	b := must(fork.Build(intent("a-1")))[0]
	good := wire.Submitted{Entry: b.Submission, Blobs: b.Blobs}
	raw := func(old, new string) wire.Submitted {
		sub := good
		if sub.Entry = bytes.Replace(good.Entry, []byte(old), []byte(new), 1); bytes.Equal(sub.Entry, good.Entry) {
			t.Fatalf("nothing was replaced: %s", old)
		}
		return sub
	}
	end := bytes.Index(good.Entry, []byte("\n\n"))
	deep := `"x":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40)
	for name, c := range map[string]struct {
		sub    wire.Submitted
		code   string
		status int
	}{
		"unknown version":   {raw("steno/entry/v1", "steno/entry/v2"), "unknown-version", 422},
		"other origin":      {a.resign(good, origin, "log.other.example"), "other-origin", 422},
		"duplicate name":    {a.resign(good, `"tool":"ledger.post"`, `"tool":"ledger.post","tool":"x"`), "duplicate-member", 422},
		"case variant":      {a.resign(good, `"tool":`, `"Tool":`), "case-variant-member", 422},
		"unknown member":    {a.resign(good, `"tool":`, `"code":1,"tool":`), "unknown-member", 422},
		"float":             {a.resign(good, `"size":`, `"size":0.5,"x":`), "float", 422},
		"big integer":       {a.resign(good, `"size":`, `"size":9007199254740992,"x":`), "integer-range", 422},
		"minus zero":        {a.resign(good, `"size":`, `"size":-0,"x":`), "negative-zero", 422},
		"lone surrogate":    {a.resign(good, `ledger.post`, `\ud800`), "lone-surrogate", 422},
		"invalid UTF-8":     {raw("ledger", "ledg\xff\xff"), "invalid-utf8", 422},
		"carriage return":   {raw("ledger", "ledg\r"), "carriage-return", 422},
		"trailing bytes":    {raw("}\n\n", "}x\n\n"), "trailing-bytes", 422},
		"oversize":          {raw("ledger", strings.Repeat("x", 8192-len(good.Entry)+200)), "oversize", 422},
		"depth":             {a.resign(good, `"tool":`, deep+`,"tool":`), "unknown-member", 422},
		"base64":            {a.resign(good, `"sha256":"`, `"sha256":"!`), "base64", 422},
		"third signature":   {wire.Submitted{Entry: append(bytes.Clone(good.Entry), good.Entry[end+2:]...), Blobs: good.Blobs}, "extra-signature", 422},
		"missing signature": {wire.Submitted{Entry: good.Entry[:end+2], Blobs: good.Blobs}, "missing-signature", 422},
		"bad signature":     {raw("ledger", "lodger"), "bad-signature", 403},
		"wrong prev":        {a.resign(good, a.track.Head().String(), entry.Hash{1}.String()), "wrong-prev", 409},
		"hole":              {a.resign(good, "\n1\n", "\n7\n"), "hole", 409},
		"another's key":     {s.stranger(good), "other-recorder", 403},
		"blob missing":      {wire.Submitted{Entry: good.Entry}, "blob-missing", 422},
		"blob superfluous":  {wire.Submitted{Entry: good.Entry, Blobs: append(good.Blobs[:1:1], []byte("steno/blob/v1\nx"))}, "blob-superfluous", 422},
		"blob not matching": {wire.Submitted{Entry: good.Entry, Blobs: [][]byte{append(bytes.Clone(good.Blobs[0]), 0)}}, "blob-mismatch", 422},
		"wrap superfluous":  {wire.Submitted{Entry: good.Entry, Blobs: good.Blobs, Wraps: a.wraps[:1]}, "wrap-superfluous", 422},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.size()
			r := s.submit("/v1/sessions/"+a.session+"/entries", "gw", c.sub)
			if p := r.problem(t); p.Code != c.code || p.Status != c.status || len(p.Receipts) > 0 {
				t.Errorf("got %d %s, want %d %s: %s", p.Status, p.Code, c.status, c.code, r.body)
			}
			if after := s.size(); after != before {
				t.Errorf("the log grew from %d to %d", before, after)
			}
		})
	}
	s.acceptsAfterwards(a, good)
}

// acceptsAfterwards: nothing of what was refused is left. The good one is taken, and its blob is not there already.
func (s *server) acceptsAfterwards(a *agent, good wire.Submitted) {
	s.t.Helper()
	path := "/v1/sessions/" + a.session + "/entries"
	if r := s.submit(path, "gw", wire.Submitted{Entry: good.Entry}); r.problem(s.t).Code != "blob-missing" {
		s.t.Errorf("a refused request left its blob: %s", r.body)
	}
	if r := s.submit(path, "gw", good); r.StatusCode != 200 {
		s.t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	// The same seq with another text is equivocation: refused with the head, and an alert in the log.
	r := s.submit(path, "gw", a.resign(good, "ledger.post", "ledger.pay"))
	if p := r.problem(s.t); p.Code != "equivocation" || p.Status != 409 || p.Next == nil && len(p.Heads) == 0 {
		s.t.Errorf("%s", r.body)
	}
}

// stranger signs a submission with a key of the same name that is not the track's.
func (s *server) stranger(sub wire.Submitted) wire.Submitted {
	s.t.Helper()
	end := bytes.Index(sub.Entry, []byte("\n\n")) + 1
	sub.Entry = must(entry.Sign(sub.Entry[:end], s.agent().signer))
	return sub
}

func TestBadInput_enrolmentsAndOwners(t *testing.T) {
	s := start(t)
	stranger := s.agent().signer
	for name, c := range map[string]struct {
		change   func(*agent)
		enroller note.Signer
		code     string
	}{
		"expired":   {func(a *agent) { a.enrol.Until = entry.TimeOf(time.Now().Add(-time.Minute)) }, s.enroller, "enrolment-expired"},
		"stranger":  {func(*agent) {}, stranger, "strange-enroller"},
		"other bot": {func(a *agent) { a.enrol.Agents = []string{"cat"} }, s.enroller, "enrolment-mismatch"},
	} {
		a := s.agent()
		c.change(a)
		before := s.size()
		r := s.submit("/v1/sessions", "gw", a.opening(c.enroller))
		if p := r.problem(t); p.Code != c.code || p.Status != 403 || s.size() != before {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	a := s.agent()
	s.openSigned(a)
	base := "/v1/sessions/" + a.session
	for path, r := range map[string]*response{
		"entries":   s.submit(base+"/entries", "other", a.build(intent("a-1"))),
		"head":      s.get(s.addrs.Ingest, base+"/head", "other"),
		"heartbeat": s.do("POST", s.addrs.Ingest, base+"/heartbeat", "other", nil),
		"close":     s.do("POST", s.addrs.Ingest, base+"/close", "other", strings.NewReader(`{"outcome":"completed"}`), "Content-Type: application/json"),
	} {
		if p := r.problem(t); p.Code != "other-principal" || p.Status != 403 {
			t.Errorf("%s of another principal's session: %s", path, r.body)
		}
	}
	var head wire.Head
	eventually(t, "the head says what the session begins with", func() bool {
		head = wire.Head{}
		s.get(s.addrs.Ingest, base+"/head", "gw").json(t, &head)
		return head.First != nil
	})
	if *head.First != head.Tracks[0].Head { // it has one entry
		t.Errorf("first %s, head %s", head.First, head.Tracks[0].Head)
	}
	if len(head.Tracks) != 1 || head.Tracks[0].Next != 1 || head.State != "open" {
		t.Errorf("head %+v", head)
	}
	var beat wire.Heartbeat
	s.do("POST", s.addrs.Ingest, base+"/heartbeat", "gw", nil).json(t, &beat)
	if beat.NextS == 0 || beat.NextS > 30 {
		t.Errorf("heartbeat %+v", beat)
	}
}
