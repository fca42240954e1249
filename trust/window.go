package trust

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
)

// A Role is what a key is used for.
type Role string

// The roles whose keys can have a window.
const (
	RoleLog      Role = "log"
	RoleReceived Role = "received"
	RoleSystem   Role = "system"
	RoleEnroller Role = "enroller"
	RoleWitness  Role = "witness"
	RoleRecorder Role = "recorder" // whose key stands in enrolments, and in the trust file only here
)

// A Window is the part of the log that a key counts for: leaves From to Until−1, and checkpoints of the sizes From to Until.
// It is counted in leaves and not in time, because no clock decides anything. A key without a window counts for all.
type Window struct {
	Role  Role
	Key   string // verifier key
	From  uint64
	Until uint64 // NoEnd if it has none
	// Compromised says that somebody else may have the key, who could use it for what lies before Until: so it counts only
	// for what witnesses saw, and a witness's own for nothing.
	Compromised bool
}

// NoEnd is the Until of a window that has none.
const NoEnd = 1<<64 - 1

// A windowed is a key in a role.
type windowed struct {
	role Role
	name string // of a recorder's key the public key: that it has another name somewhere else is no excuse
	id   uint32
}

func (w Window) line() string {
	until := "-"
	if w.Until != NoEnd {
		until = strconv.FormatUint(w.Until, 10)
	}
	s := fmt.Sprintf("window %s %s %d %s", w.Role, w.Key, w.From, until)
	if w.Compromised {
		s += " compromised"
	}
	return s
}

func parseWindow(s string) (Window, error) {
	f, err := words(s, 4, 5)
	if err != nil {
		return Window{}, err
	}
	w := Window{Role: Role(f[0]), Key: f[1], Until: NoEnd, Compromised: len(f) == 5}
	if w.Compromised && f[4] != "compromised" {
		return w, errors.New("the last word is not compromised")
	}
	if w.From, err = checkpoint.ParseSize(f[2]); err == nil && f[3] != "-" {
		w.Until, err = checkpoint.ParseSize(f[3])
	}
	return w, err
}

// pinned are the keys of the file that can have a window.
func (t *Trust) pinned() map[Role][]string {
	keys := map[Role][]string{RoleReceived: t.Received, RoleSystem: t.System, RoleEnroller: t.Enrollers}
	for _, v := range t.logs {
		keys[RoleLog] = append(keys[RoleLog], v.String())
	}
	for _, w := range t.policy.Witnesses {
		keys[RoleWitness] = append(keys[RoleWitness], w.Verifier.String())
	}
	return keys
}

// loadWindows checks that each window is of a key that is here.
func (t *Trust) loadWindows() error {
	pinned := t.pinned()
	t.windows = map[windowed]Window{}
	for i, w := range t.Windows {
		at, err := w.of(pinned)
		if err != nil {
			return fmt.Errorf("window %d: %w", i+1, err)
		}
		if i > 0 && t.Windows[i-1].line() >= w.line() {
			return errors.New("windows are not in ascending order, each once")
		}
		if _, twice := t.windows[at]; twice {
			return fmt.Errorf("window %d: its key has another", i+1)
		}
		if w.From > w.Until {
			return fmt.Errorf("window %d ends before it begins", i+1)
		}
		if w.Compromised && w.Until == NoEnd {
			return fmt.Errorf("window %d: a compromised key has an end", i+1)
		}
		t.windows[at] = w
	}
	return nil
}

// of finds the key of a window. Recorders' keys are not pinned, but enrolled in the log.
func (w Window) of(pinned map[Role][]string) (windowed, error) {
	if w.Role == RoleRecorder {
		if _, err := entry.NewVerifier(w.Key); err != nil {
			return windowed{}, err
		}
		point, err := pointOf(w.Key)
		return windowed{role: RoleRecorder, name: point}, err
	}
	if !slices.Contains(pinned[w.Role], w.Key) {
		return windowed{}, fmt.Errorf("it is of no %s key of this file", w.Role)
	}
	name, id := nameAndID(w.Key)
	return windowed{w.Role, name, id}, nil
}

// nameAndID are those of a verifier key that was read before.
func nameAndID(vkey string) (name string, id uint32) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, _, _ := strings.Cut(rest, "+")
	n, _ := strconv.ParseUint(hash, 16, 32) // it has been read: this is no error
	return name, uint32(n)
}

// A WindowError says that a signature is by a key that does not count in this place.
type WindowError struct {
	Window Window
	At     uint64 // the leaf or, of a log or witness, the size of the checkpoint
}

func (e *WindowError) Error() string {
	name, id := nameAndID(e.Window.Key)
	end := ""
	if e.Window.Until != NoEnd {
		end = fmt.Sprintf(" to %d", e.Window.Until)
	}
	s := fmt.Sprintf("the %s key %s+%08x counts from size %d%s, and this is at %d", e.Window.Role, name, id, e.Window.From, end, e.At)
	switch {
	case e.Window.Compromised && e.Window.Role == RoleWitness:
		s += "; it is compromised, and counts for nothing"
	case e.Window.Compromised:
		s += "; it is compromised, and counts only for what witnesses saw"
	}
	return s
}

// counts tells why a key does not count for a leaf, under a checkpoint that has the quorum or not, or nil.
func (t *Trust) counts(key windowed, index uint64, witnessed bool) error {
	w, ok := t.windows[key]
	if !ok || index >= w.From && index < w.Until && (!w.Compromised || witnessed && t.NeedsWitnesses()) {
		return nil
	}
	return &WindowError{w, index}
}

// countsFor tells why a key of the log or of a witness does not count for a checkpoint of a size, or nil. Whether a
// compromised key of the log's does is the caller's to see; a witness's never does.
func (t *Trust) countsFor(role Role, v *checkpoint.Verifier, size uint64) (compromised bool, err error) {
	w, ok := t.windows[windowed{role, v.Name(), v.KeyHash()}]
	if !ok || size >= w.From && size <= w.Until && !(w.Compromised && role == RoleWitness) {
		return w.Compromised, nil
	}
	return w.Compromised, &WindowError{w, size}
}

// compromised tells whether a pinned key is marked so.
func (t *Trust) compromised(role Role, v *checkpoint.Verifier) bool {
	return t.windows[windowed{role, v.Name(), v.KeyHash()}].Compromised
}

// Anchors are the keys by which entries are judged, whatever their windows.
func (t *Trust) Anchors() entry.Anchors {
	return entry.Anchors{Origin: t.Origin, Enrollers: t.enrollers, System: t.system}
}

// AnchorsAt are the keys by which the entry of a leaf is judged. Witnessed says whether the leaf is proven under a
// checkpoint that has the quorum.
func (t *Trust) AnchorsAt(index uint64, witnessed bool) entry.Anchors {
	if len(t.windows) == 0 {
		return t.Anchors()
	}
	return entry.Anchors{
		Origin:    t.Origin,
		Enrollers: within{t, t.enrollers, RoleEnroller, index, witnessed},
		System:    within{t, t.system, RoleSystem, index, witnessed},
	}
}

// within are the keys of one role that count for a leaf.
type within struct {
	t         *Trust
	all       note.Verifiers
	role      Role
	index     uint64
	witnessed bool
}

func (w within) Verifier(name string, hash uint32) (note.Verifier, error) {
	v, err := w.all.Verifier(name, hash)
	if err != nil {
		return nil, err
	}
	if err := w.t.counts(windowed{w.role, name, hash}, w.index, w.witnessed); err != nil {
		return nil, err
	}
	return v, nil
}

// VerifyReceived checks an entry's receipt with the pinned key that it names, whatever its window.
func (t *Trust) VerifyReceived(e *entry.Entry) error {
	v := note.Verifier(nil)
	if e.Received != nil {
		v, _ = t.received.Verifier(e.Received.Name, e.Received.Hash)
	}
	if v == nil { // let the entry say which: no receipt, or one by a stranger
		v, _ = entry.NewReceivedVerifier(t.Received[0])
	}
	return e.VerifyReceived(v)
}

// VerifyReceivedAt checks the receipt of a leaf with a pinned key that counts for it.
func (t *Trust) VerifyReceivedAt(e *entry.Entry, index uint64, witnessed bool) error {
	if err := t.VerifyReceived(e); err != nil {
		return err
	}
	return t.counts(windowed{RoleReceived, e.Received.Name, e.Received.Hash}, index, witnessed)
}

// CheckRecorder tells why a recorder's key, a verifier key, does not count for a leaf, or nil. A window is of the public key,
// under whatever name.
func (t *Trust) CheckRecorder(vkey string, index uint64, witnessed bool) error {
	if len(t.windows) == 0 {
		return nil
	}
	point, err := pointOf(vkey)
	if err != nil {
		return fmt.Errorf("recorder's key: %w", err)
	}
	return t.counts(windowed{role: RoleRecorder, name: point}, index, witnessed)
}
