package evidence

import (
	"cmp"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// Keys are the pinned keys as they count for the leaves under one checkpoint: each within its window, and a compromised one
// where witnesses bear it out. Methods that judge a key return a *trust.WindowError together with what the key, wherever it
// counted, has proven; Outcome says what the error is worth.
type Keys struct {
	Trust     *trust.Trust
	Witnessed bool // the checkpoint has all that the policy demands
}

// awaitsQuorum tells whether a key does not count for this alone, that it is compromised and no quorum bears it out.
func awaitsQuorum(e *trust.WindowError) bool {
	w := e.Window
	within := e.At >= w.From && (e.At < w.Until || w.Role == trust.RoleLog && e.At == w.Until)
	return w.Compromised && within && w.Role != trust.RoleWitness
}

// Outcome is how a check ends that met err: Unmet if a key is compromised and would count if only the quorum were met, for
// the same leaf under another note of the same checkpoint can have it; Failed otherwise.
func (k Keys) Outcome(err error) Outcome {
	var w *trust.WindowError
	if errors.As(err, &w) && k.Trust.NeedsWitnesses() && awaitsQuorum(w) {
		return Unmet
	}
	return Failed
}

// Windowed tells whether any key has a window. If none has, an entry need not be judged by its place.
func (k Keys) Windowed() bool { return len(k.Trust.Windows) > 0 }

// Received checks the receipt of the entry at index.
func (k Keys) Received(e *entry.Entry, index uint64) error {
	return k.Trust.VerifyReceivedAt(e, index, k.Witnessed)
}

// Open begins a track with its first entry, which stands at index. Its receipt has been verified.
func (k Keys) Open(e *entry.Entry, index uint64) (*entry.Track, error) {
	anchors := k.Trust.Anchors()
	if !k.Windowed() {
		return anchors.Open(e, e.Received.Time)
	}
	at := k.Trust.AnchorsAt(index, k.Witnessed)
	enrollers := &windows{all: anchors.Enrollers, at: at.Enrollers}
	system := &windows{all: anchors.System, at: at.System}
	anchors.Enrollers, anchors.System = enrollers, system
	chain, err := anchors.Open(e, e.Received.Time)
	if err != nil {
		return nil, err
	}
	if w := cmp.Or(enrollers.outside, system.outside); w != nil {
		return chain, w
	}
	return chain, nil
}

// windows gives keys out, and remembers one that does not count: who asks makes another error of it.
type windows struct {
	all, at note.Verifiers
	outside *trust.WindowError
}

func (w *windows) Verifier(name string, hash uint32) (note.Verifier, error) {
	v, err := w.at.Verifier(name, hash)
	if errors.As(err, &w.outside) {
		return w.all.Verifier(name, hash)
	}
	return v, err
}

// System is the key that has signed the log's own entry at index.
func (k Keys) System(e *entry.Entry, index uint64) (note.Verifier, error) {
	name, hash := e.Recorder.Name, e.Recorder.Hash
	v, err := k.Trust.Anchors().System.Verifier(name, hash)
	if err != nil || !k.Windowed() {
		return v, err
	}
	_, err = k.Trust.AnchorsAt(index, k.Witnessed).System.Verifier(name, hash)
	return v, err
}

// Recorder checks that the key of a recorder's track counts for the entry at index.
func (k Keys) Recorder(t *entry.Track, index uint64) error {
	if !k.Windowed() {
		return nil
	}
	return k.Trust.CheckRecorder(t.Enrolment.RecorderKey, index, k.Witnessed)
}

// Embedded judges a checkpoint that the entry at index embeds, and what Trust said of it. It was made before the
// entry. So a key of the log that is compromised counts for it if the entry stands where witnesses saw it before that.
func (k Keys) Embedded(cp trust.Checkpoint, err error, index uint64) error {
	var w *trust.WindowError
	switch held := k.Outcome(err) == Unmet; {
	case err != nil && !held:
		return fmt.Errorf("embedded %w", err)
	case cp.Size > index:
		return fmt.Errorf("the entry embeds a checkpoint of size %d, which would cover the entry itself", cp.Size)
	case held && !(k.Witnessed && errors.As(err, &w) && index < w.Window.Until):
		return fmt.Errorf("embedded %w", err)
	}
	return nil
}

// Session begins to judge a session.
func (k Keys) Session(id string) *Session {
	return &Session{ID: id, keys: k, tracks: map[string]*track{}, actions: map[string]openAction{}, passed: map[CheckID]int{},
		open: func(note []byte) seenCheckpoint { return seen{}.open(k.Trust, note) }}
}
