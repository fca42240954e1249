package entry_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

const (
	origin  = "log.example/test"
	session = "0198c7d2-5f00-7abc-8def-0123456789ab"
	noon    = entry.Time(1_795_000_000_000_000)
)

// A world is the keys that an entry needs.
type world struct {
	recorder    note.Signer
	vkey        string
	enrol       []byte
	stamper     *entry.Stamper
	received    note.Verifier
	receivedKey string
	anchors     entry.Anchors
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key := func(name string) (note.Signer, note.Verifier, string) {
		skey, vkey, err := note.GenerateKey(rand.Reader, name)
		if err != nil {
			t.Fatal(err)
		}
		return must(note.NewSigner(skey)), must(note.NewVerifier(vkey)), vkey
	}
	w := &world{}
	w.recorder, _, w.vkey = key("acme/agents/bot")
	enroller, enrollerV, _ := key("acme/enroller")
	skey, vkey, err := entry.GenerateReceivedKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	w.stamper, w.received = must(entry.NewStamper(skey)), must(entry.NewReceivedVerifier(vkey))
	w.enrol = must(entry.SignEnrolment(entry.Enrolment{
		Origin: origin, RecorderKey: w.vkey, Holder: entry.HolderAgent, From: noon - 1e12, Until: noon + 1e12,
		Agents: []string{"bot"},
	}, enroller))
	w.anchors = entry.Anchors{Origin: origin, Enrollers: note.VerifierList(enrollerV), System: note.VerifierList()}
	return w
}

func (w *world) open() entry.SessionOpen {
	return entry.SessionOpen{
		Recorder: entry.Recorder{
			Agent: "bot", Vantage: "self-reported", Capture: "test", OnFailure: "closed",
			Keys:      []entry.UnitKey{{Class: "content", Commitment: entry.Hash{1}}},
			Enrolment: entry.Text(w.enrol),
		},
		Privilege: "high-risk", Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}, HeartbeatS: 30,
	}
}

func payload() *entry.Payload {
	c := entry.Hash{2}
	return &entry.Payload{Media: "json", Commitment: &c, Blobs: []entry.Blob{{Class: "content", SHA256: entry.Hash{3}, Size: 100}}}
}

func (w *world) submission(t *testing.T, h entry.Header, events ...[]byte) []byte {
	t.Helper()
	text, err := entry.Compose(h, events...)
	if err != nil {
		t.Fatal(err)
	}
	return must(entry.Sign(text, w.recorder))
}

func TestSessionOfThreeEntriesFollowsItsChain(t *testing.T) {
	w := newWorld(t)
	h := entry.Header{Origin: origin, Session: session, Track: "main"}
	steps := [][][]byte{
		{must(entry.Marshal(entry.TypeSessionOpen, noon, w.open()))},
		{
			must(entry.Marshal(entry.TypeActionIntent, noon, &entry.ActionIntent{Action: "a-1", Tool: "ledger.post", Params: payload()})),
			must(entry.Marshal(entry.TypeActionResult, noon, entry.ActionResult{Action: "a-1", Response: payload(),
				Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}})),
		},
		{must(entry.Marshal(entry.TypeSessionClose, noon, entry.SessionClose{Outcome: "completed", Tracks: []entry.TrackEnd{}}))},
	}
	var track *entry.Track
	for i, events := range steps {
		sub := w.submission(t, h, events...)
		e, err := entry.ParseSubmission(sub)
		if err != nil {
			t.Fatalf("step %d: %v\n%s", i, err, sub)
		}
		leaf := w.stamper.Stamp(sub, e, noon)
		if e, err = entry.Parse(leaf); err != nil {
			t.Fatalf("step %d: %v\n%s", i, err, leaf)
		}
		if err := e.VerifyReceived(w.received); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if track, err = w.anchors.Open(e, e.Received.Time); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := errors.Join(track.Check(e), e.VerifyRecorder(track.Verifier)); err != nil {
				t.Fatal(err)
			}
			track.Extend(e)
		}
		if _, err := note.Open(leaf, note.VerifierList(track.Verifier, w.received)); err != nil {
			t.Fatalf("x/mod's note.Open: %v", err)
		}
		if i == 1 && (len(e.Blobs) != 2 || e.Blobs[0].Slot != "params" || e.Blobs[1].Slot != "response" || e.Blobs[1].Event != 1) {
			t.Fatalf("blobs: %+v", e.Blobs)
		}
		h.Seq, h.Prev = track.Next, track.Head
	}
	if !track.Closed || track.Next != 4 {
		t.Fatalf("track at the end: %+v", track)
	}
}

func TestEveryFlippedByteOfALeafIsRefusedOrFailsASignature(t *testing.T) {
	w := newWorld(t)
	sub := w.submission(t, entry.Header{Origin: origin, Session: session, Track: "main"},
		must(entry.Marshal(entry.TypeSessionOpen, noon, w.open())))
	leaf := w.stamper.Stamp(sub, must(entry.ParseSubmission(sub)), noon)
	for i := range leaf {
		for bit := range 8 {
			b := bytes.Clone(leaf)
			b[i] ^= 1 << bit
			e, err := entry.Parse(b)
			if err != nil {
				continue
			}
			if err := e.VerifyReceived(w.received); err != nil {
				continue
			}
			if _, err := w.anchors.Open(e, e.Received.Time); err == nil {
				t.Fatalf("byte %d bit %d flipped and accepted", i, bit)
			}
		}
	}
}

func TestStrictReadingNamesWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	good := string(must(entry.Marshal(entry.TypeActionIntent, noon, entry.ActionIntent{Action: "a-1", Tool: "t", Params: payload()})))
	result := string(must(entry.Marshal(entry.TypeActionResult, noon, entry.ActionResult{Action: "a", Code: 7,
		Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}})))
	open := string(must(entry.Marshal(entry.TypeSessionOpen, noon, w.open())))
	for _, c := range []struct {
		name, from, old, new string
		code                 entry.Code
	}{
		{"unknown event", good, "action.intent", "action.intend", entry.UnknownEvent},
		{"unknown member", good, `"tool":`, `"tolo":`, entry.UnknownMember},
		{"case variant", good, `"tool":`, `"Tool":`, entry.CaseVariant},
		{"kelvin sign", open, `"heartbeat_s":`, `"heartbeat_ſ":`, entry.CaseVariant},
		{"duplicate", good, `"tool":"t"`, `"tool":"t","tool":"t"`, entry.Duplicate},
		{"missing", good, `,"tool":"t"`, ``, entry.MissingMember},
		{"float", result, `"code":7`, `"code":7.0`, entry.Float},
		{"exponent", result, `"code":7`, `"code":7e0`, entry.Float},
		{"big", result, `"code":7`, `"code":9007199254740992`, entry.IntegerRange},
		{"minus zero", result, `"code":7`, `"code":-0`, entry.NegativeZero},
		{"leading zero", result, `"code":7`, `"code":07`, entry.BadValue},
		{"string for integer", result, `"code":7`, `"code":"7"`, entry.WrongType},
		{"space", good, `"tool":"t"`, `"tool": "t"`, entry.WhiteSpace},
		{"lone surrogate", good, `"tool":"t"`, `"tool":"\ud800"`, entry.LoneSurrogate},
		{"escape", good, `"tool":"t"`, `"tool":"\u0074"`, entry.Escape},
		{"pair", good, `"tool":"t"`, `"tool":"\ud83d\ude00"`, entry.Escape},
		{"non-canonical base64", good, "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", entry.Base64},
		{"trailing", good, `"tool":"t"`, `"tool":"t"`, ""},
		{"vocabulary", result, `"transport":"ok"`, `"transport":"fine"`, entry.BadValue},
		{"no heartbeat", open, `"heartbeat_s":30`, `"heartbeat_s":0`, entry.BadValue},
		{"empty optional list", open, `"retention":`, `"refs":[],"retention":`, entry.BadValue},
		{"payload without blobs", good, `,"blobs":[{"class":"content"`, `,"parts":[{"class":"content"`, entry.UnknownMember},
	} {
		line := strings.Replace(c.from, c.old, c.new, 1)
		if c.name != "trailing" && line == c.from {
			t.Fatalf("%s: nothing was replaced in %s", c.name, c.from)
		}
		if c.name == "trailing" {
			line, c.code = line+"x", entry.Trailing
		}
		_, err := entry.ParseEvent([]byte(line))
		var e *entry.Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: got %v, want %s", c.name, err, c.code)
		}
	}
}
