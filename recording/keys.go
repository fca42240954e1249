package recording

import (
	"context"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
)

// A Key is what the trust file says of a key.
type Key struct {
	Role        string // as entry.KeyAdd has it
	Key         string // verifier key
	From        uint64 // size of the log from which on it counts
	Until       uint64 // from which on it does not; NoEnd if there is none
	Compromised bool   // before Until it counts only for what witnesses saw
}

// NoEnd is the Until of a key that counts for ever.
const NoEnd = 1<<64 - 1

// recorderRole is that of keys which stand in enrolments, and in the trust file only if they are limited.
const recorderRole = "recorder"

// keyFacts are what the log noted of a key.
type keyFacts struct {
	From        uint64 `json:"from"`
	Until       uint64 `json:"until"`
	Compromised bool   `json:"compromised,omitempty"`
}

// keyName is how a key's facts are found.
func keyName(role, key string) string { return role + " " + key }

// NoteKeys writes down how the keys of the trust file in force differ from what was noted last. A key that is in the file no
// more counts for nothing: its part of the log ends where it began.
func (r *Recording) NoteKeys(ctx context.Context, keys []Key) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	events := r.registry.keyChanges(keys)
	// Checked alone first, so that a value that cannot stand in the log spoils nobody else's.
	for _, n := range events {
		if _, err := entry.Marshal(n.typ, r.stampTime(), n.value); err != nil {
			return asProblem(err)
		}
	}
	if len(events) == 0 {
		return nil
	}
	if err := r.system.write(ctx, events...); err != nil {
		return asProblem(err)
	}
	r.follower.poke()
	return nil
}

// keyChanges are the events that bring what was noted to what is in force.
func (g *registry) keyChanges(keys []Key) (events []noted) {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := map[string]bool{}
	for _, k := range keys {
		want[keyName(k.Role, k.Key)] = true
		have, known := g.keys[keyName(k.Role, k.Key)]
		if !known && k.Role == recorderRole {
			have, known = keyFacts{Until: NoEnd}, true
		}
		events = append(events, k.since(have, known)...)
	}
	var gone []string
	for name := range g.keys {
		if !want[name] {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		role, key, _ := strings.Cut(name, " ")
		k := Key{Role: role, Key: key, From: g.keys[name].From, Until: g.keys[name].From}
		if role == recorderRole { // nothing limits it any more
			k.From, k.Until = 0, NoEnd
		}
		events = append(events, k.since(g.keys[name], true)...)
	}
	return events
}

// since are the events that bring a key from what was noted of it to k.
func (k Key) since(have keyFacts, known bool) (events []noted) {
	if known && have == (keyFacts{k.From, k.Until, k.Compromised}) {
		return nil
	}
	about := entry.KeyAdd{Role: entry.ID(k.Role), Key: entry.Text(k.Key), Size: k.From}
	// An end can come later and be moved; that there is none, or another beginning, only an addition says.
	if !known || have.From != k.From || have.Until != NoEnd && k.Until == NoEnd || have.Compromised && !k.Compromised {
		events = append(events, noted{entry.TypeKeyAdd, about})
	}
	if k.Until == NoEnd {
		return events
	}
	about.Size = k.Until
	if k.Compromised {
		return append(events, noted{entry.TypeKeyCompromised, entry.KeyCompromised(about)})
	}
	return append(events, noted{entry.TypeKeyRetire, entry.KeyRetire(about)})
}

// foldKey takes what the log says of a key in. The registry is locked.
func (g *registry) foldKey(value any) {
	end := func(v entry.KeyAdd, compromised bool) {
		name := keyName(string(v.Role), string(v.Key))
		g.keys[name] = keyFacts{g.keys[name].From, v.Size, compromised}
	}
	switch v := value.(type) {
	case *entry.KeyAdd:
		g.keys[keyName(string(v.Role), string(v.Key))] = keyFacts{From: v.Size, Until: NoEnd}
	case *entry.KeyRetire:
		end(entry.KeyAdd(*v), false)
	case *entry.KeyCompromised:
		end(entry.KeyAdd(*v), true)
	}
}
