package recorder_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

const (
	origin  = "log.example/test"
	session = "0198c7d2-5f00-7abc-8def-0123456789ab"
)

func newTrack(t *testing.T, keys payload.Keys) (*recorder.Track, note.Verifier) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "acme/bot")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	// Continued at 1, so that no opening event and enrolment are needed here.
	track, err := recorder.New(recorder.Config{
		Origin: origin, Session: session, Track: "main", Signer: signer, Keys: keys, Rand: rand.Reader, Next: 1, Head: entry.Hash{9},
	})
	if err != nil {
		t.Fatal(err)
	}
	return track, verifier
}

func intent(n int, params string) recorder.Event {
	return recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
		p, err := seal("params", payload.JSON, payload.Content, []byte(params))
		return entry.ActionIntent{Action: entry.ID(fmt.Sprintf("a-%d", n)), Tool: "t", Params: p}, err
	}}
}

func TestBuildPacksChainsAndSealsEachEventAtItsPlace(t *testing.T) {
	keys, err := payload.NewKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	track, verifier := newTrack(t, keys)
	var events []recorder.Event
	for i := range 40 {
		events = append(events, intent(i, fmt.Sprintf(`{"n":%d,"text":"exact   bytes"}`, i)))
	}
	built, err := track.Build(events...)
	if err != nil {
		t.Fatal(err)
	}
	if len(built) < 3 {
		t.Fatalf("40 events in %d entries", len(built))
	}
	next, head, n := uint64(1), entry.Hash{9}, 0
	for _, b := range built {
		e, err := entry.ParseSubmission(b.Submission)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.VerifyRecorder(verifier); err != nil {
			t.Fatal(err)
		}
		if e.Seq != next || e.Prev != head || b.Hash != e.Hash() || len(e.Text) > recorder.DefaultTarget+200 {
			t.Fatalf("entry at %d does not follow %d, or is %d bytes", e.Seq, next, len(e.Text))
		}
		for i, blob := range e.Blobs {
			ev := e.Events[blob.Event]
			var v entry.ActionIntent
			if err := ev.Decode(&v); err != nil {
				t.Fatal(err)
			}
			at := payload.Place{Origin: origin, Session: session, Track: "main", Seq: e.Seq + uint64(blob.Event), Slot: blob.Slot}
			opened, err := payload.Open(keys, at, payload.RefOf(v.Params), map[payload.Hash][]byte{payload.Hash(blob.SHA256): b.Blobs[i]})
			if err != nil {
				t.Fatal(err)
			}
			got, err := opened.Bytes()
			if want := fmt.Sprintf(`{"n":%d,"text":"exact   bytes"}`, n); err != nil || string(got) != want {
				t.Fatalf("EXACT-BYTES: %s, want %s (%v)", got, want, err)
			}
			n++
		}
		next, head = e.Next(), e.Hash()
	}
	if n != 40 || track.Next() != 41 || track.Head() != head {
		t.Fatalf("%d payloads, track at %d", n, track.Next())
	}
}

func TestBuildThatFailsAdvancesNothing(t *testing.T) {
	track, _ := newTrack(t, nil) // no keys: sealing fails
	head := track.Head()
	_, err := track.Build(recorder.Plain(entry.TypeAnnotation, entry.Annotation{Kind: "remark"}), intent(1, "{}"))
	if err == nil || track.Next() != 1 || track.Head() != head {
		t.Fatalf("track at %d after %v", track.Next(), err)
	}
	built, err := track.Build(recorder.Plain(entry.TypeAnnotation, entry.Annotation{Kind: "remark"}))
	if err != nil || len(built) != 1 || !bytes.HasPrefix(built[0].Submission, built[0].Text) {
		t.Fatal(err)
	}
}

// TestBlobsStandInTheOrderOfTheEvent seals the last member first.
func TestBlobsStandInTheOrderOfTheEvent(t *testing.T) {
	keys, err := payload.NewKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	track, _ := newTrack(t, keys)
	built, err := track.Build(recorder.Event{Type: entry.TypeStateChange, Build: func(seal recorder.Seal) (any, error) {
		after, err := seal("after", payload.JSON, payload.Content, []byte("2"))
		if err != nil {
			return nil, err
		}
		before, err := seal("before", payload.JSON, payload.Content, []byte("1"))
		return entry.StateChange{Known: "claimed", Before: before, After: after}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.ParseSubmission(built[0].Submission)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range e.Blobs {
		if entry.HashOf(built[0].Blobs[i]) != b.SHA256 {
			t.Errorf("blob %d is not the one that %s names", i, b.Slot)
		}
	}
	_, err = track.Build(recorder.Event{Type: entry.TypeAnnotation, Build: func(seal recorder.Seal) (any, error) {
		_, err := seal("content", payload.JSON, payload.Content, []byte("1"))
		return entry.Annotation{Kind: "remark"}, err // forgets what it sealed
	}})
	if err == nil {
		t.Error("a sealed payload that the event does not name was left behind silently")
	}
}
