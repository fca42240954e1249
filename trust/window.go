package trust

import (
	"errors"
	"fmt"
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

type windowed struct {
	role Role
	key  string
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

// loadWindows checks that each window is of a key that is here.
func (t *Trust) loadWindows() error {
	known := map[windowed]bool{}
	for _, v := range t.logs {
		known[windowed{RoleLog, v.String()}] = true
	}
	for _, w := range t.policy.Witnesses {
		known[windowed{RoleWitness, w.Verifier.String()}] = true
	}
	for role, keys := range map[Role][]string{RoleReceived: t.Received, RoleSystem: t.System, RoleEnroller: t.Enrollers} {
		for _, k := range keys {
			known[windowed{role, k}] = true
		}
	}
	t.windows = map[windowed]Window{}
	for i, w := range t.Windows {
		at := windowed{w.Role, w.Key}
		if w.Role == RoleRecorder {
			if _, err := entry.NewVerifier(w.Key); err != nil {
				return fmt.Errorf("window %d: %w", i+1, err)
			}
			known[at] = true
		}
		if _, twice := t.windows[at]; !known[at] || twice {
			return fmt.Errorf("window %d: it is of no %s key in this file, or of one that has a window", i+1, w.Role)
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

// A WindowError says that a signature is by a key that does not count in this place.
type WindowError struct {
	Window Window
	At     uint64 // the leaf or, of a log or witness, the size of the checkpoint
}

func (e *WindowError) Error() string {
	key := e.Window.Key[:strings.LastIndexByte(e.Window.Key, '+')]
	end := ""
	if e.Window.Until != NoEnd {
		end = fmt.Sprintf(" to %d", e.Window.Until)
	}
	s := fmt.Sprintf("the %s key %s counts from size %d%s, and this is at %d", e.Window.Role, key, e.Window.From, end, e.At)
	if e.Window.Compromised {
		s += "; it is compromised, and counts only for what witnesses saw"
	}
	return s
}

// counts tells whether a key counts for a leaf under a checkpoint that has the quorum or not.
func (t *Trust) counts(role Role, key string, index uint64, witnessed bool) error {
	if len(t.windows) == 0 {
		return nil
	}
	w, ok := t.windows[windowed{role, key}]
	if !ok || index >= w.From && index < w.Until && (!w.Compromised || witnessed && t.NeedsWitnesses()) {
		return nil
	}
	return &WindowError{w, index}
}

// countsFor tells whether a key of the log or of a witness counts for a checkpoint of a size, as long as it is not compromised.
func (t *Trust) countsFor(role Role, key string, size uint64) (compromised, ok bool) {
	w, windowed := t.windows[windowed{role, key}]
	if !windowed {
		return false, true
	}
	return w.Compromised, size >= w.From && size <= w.Until
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
		Enrollers: within{t.enrollers, t.keys(RoleEnroller, t.Enrollers), index, witnessed},
		System:    within{t.system, t.keys(RoleSystem, t.System), index, witnessed},
	}
}

// within are the keys of one role that count for a leaf.
type within struct {
	all       note.Verifiers
	keys      func(name string, hash uint32, index uint64, witnessed bool) error
	index     uint64
	witnessed bool
}

func (w within) Verifier(name string, hash uint32) (note.Verifier, error) {
	v, err := w.all.Verifier(name, hash)
	if err != nil {
		return nil, err
	}
	return v, w.keys(name, hash, w.index, w.witnessed)
}

func (t *Trust) keys(role Role, keys []string) func(string, uint32, uint64, bool) error {
	return func(name string, hash uint32, index uint64, witnessed bool) error {
		prefix := fmt.Sprintf("%s+%08x+", name, hash)
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) {
				return t.counts(role, k, index, witnessed)
			}
		}
		return nil
	}
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
	if err := t.VerifyReceived(e); err != nil || len(t.windows) == 0 {
		return err
	}
	return t.keys(RoleReceived, t.Received)(e.Received.Name, e.Received.Hash, index, witnessed)
}

// CheckRecorder tells why a recorder's key, a verifier key, does not count for a leaf, or nil.
func (t *Trust) CheckRecorder(vkey string, index uint64, witnessed bool) error {
	return t.counts(RoleRecorder, vkey, index, witnessed)
}
