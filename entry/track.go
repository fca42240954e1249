package entry

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// A Track is the state of one chain of entries, as far as it was followed: by the log when it admits, and by everybody who
// checks it afterwards, in the same code.
type Track struct {
	Origin, Session, Name string

	Next      uint64 // sequence number that the next entry begins with
	Head      Hash   // hash of the text of the last entry
	First     Hash   // hash of the text of the first entry
	Main      Hash   // for other tracks than main: the session's first entry, by the track's own word
	Agent     string
	Closed    bool // session.close or system.close was read
	Enrolment *Enrolment
	Verifier  note.Verifier
}

// Anchors are the keys from which trust in an entry follows: the log's origin, the enrollers, and the verifier of system
// sessions. Everything else is in the entries.
type Anchors struct {
	Origin    string
	Enrollers note.Verifiers
	System    note.Verifiers
}

// Open begins a track with its first entry: it checks origin, place, enrolment and the recorder's signature. The enrolment
// must be valid at the time of receipt, which is the caller's for a submission.
func (a Anchors) Open(e *Entry, received Time) (*Track, error) {
	t := &Track{Origin: a.Origin, Session: e.Session, Name: e.Track}
	if e.Origin != a.Origin {
		return nil, errorAt(OtherOrigin, 0, "made for another log")
	}
	if e.Seq != 0 {
		return nil, errorAt(Hole, 0, "the track is not open: its first entry has sequence number 0, this one %d", e.Seq)
	}
	if !e.Prev.IsZero() {
		return nil, errorAt(WrongPrev, 0, "the first entry of a track has a previous hash of zeros")
	}
	var err error
	if e.Track == SystemTrack {
		t.Verifier, err = a.System.Verifier(e.Recorder.Name, e.Recorder.Hash)
		if err != nil {
			return nil, errorAt(OtherRecorder, len(e.Text), "system session is signed by no known system key")
		}
	} else if err = t.enrol(a, e, received); err != nil {
		return nil, err
	}
	if err := e.VerifyRecorder(t.Verifier); err != nil {
		return nil, err
	}
	t.First = e.Hash()
	t.Extend(e)
	return t, nil
}

// enrol takes agent, verifier and enrolment from the opening event.
func (t *Track) enrol(a Anchors, e *Entry, received Time) error {
	var open TrackOpen // session.open has all its members but main
	if err := e.Events[0].Decode(&open); err != nil {
		return errorAt(BadEnrolment, 0, "%w", err)
	}
	en, err := OpenEnrolment([]byte(open.Enrolment), a.Enrollers)
	if err != nil {
		return inEvent(err)
	}
	if err := en.Covers(a.Origin, &open.Recorder, received); err != nil {
		return inEvent(err)
	}
	v, err := en.Verifier()
	if err != nil {
		return errorAt(BadEnrolment, 0, "recorder's verifier key: %w", err)
	}
	t.Agent, t.Main, t.Enrolment, t.Verifier = string(open.Agent), open.Main, en, v
	return nil
}

func inEvent(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Event, e.Member = 0, "enrolment"
	}
	return err
}

// Check tells whether e is the track's next entry by session, number, hash and key. It does not verify the signature; a
// caller that must calls e.VerifyRecorder(t.Verifier) too.
func (t *Track) Check(e *Entry) error {
	switch {
	case e.Origin != t.Origin:
		return errorAt(OtherOrigin, 0, "made for another log")
	case e.Session != t.Session || e.Track != t.Name:
		return errorAt(OtherSession, 0, "entry of another session or track")
	case t.Closed:
		return errorAt(TrackClosed, 0, "nothing follows the event that closed the track")
	case e.Seq > t.Next:
		return errorAt(Hole, 0, "sequence number %d, expected %d", e.Seq, t.Next)
	case e.Seq < t.Next:
		return errorAt(SeqBehind, 0, "sequence number %d is taken, expected %d", e.Seq, t.Next)
	case e.Prev != t.Head:
		return errorAt(WrongPrev, 0, "previous hash is not that of the track's last entry")
	case e.Recorder.Name != t.Verifier.Name() || e.Recorder.Hash != t.Verifier.KeyHash():
		return errorAt(OtherRecorder, len(e.Text), "signed by another key than the track's recorder")
	}
	return nil
}

// Extend moves the track past e, which Check has accepted.
func (t *Track) Extend(e *Entry) {
	t.Next, t.Head = e.Next(), e.Hash()
	t.Closed = e.Events[len(e.Events)-1].Type.Ends()
}

// End is where the track stands, as session.close names it.
func (t *Track) End() TrackEnd { return TrackEnd{Track: ID(t.Name), Next: t.Next, Head: t.Head} }

// Binds tells why a track does not belong to the session whose first entry's text hashes to first, or nil.
func (t *Track) Binds(first Hash) error {
	if t.Name != MainTrack && t.Name != SystemTrack && t.Main != first {
		return errorAt(OtherSession, 0, "%w", fmt.Errorf("track was opened for a session that begins otherwise"))
	}
	return nil
}
