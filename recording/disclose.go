package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/storage"
)

const (
	// MaxDisclosed is how many sessions one hand-over names.
	MaxDisclosed = 1024

	disclosurePart = 64 // sessions in one disclosure event
)

// Disclose records that evidence of sessions is about to be handed out, as a JSON body says: exhibit, digest, sessions and, where
// there are any, approver, matter and classes. The principal is the one that was authenticated, whatever anybody says. When it
// returns, all of it is durable, in the leaves of these indexes: the evidence may leave. Several events stand there for more than
// 64 sessions.
//
// The same body again is recorded again: whoever lost an answer sends it once more, and two events with one digest say no more
// than one. Every error is a *Problem, and then the evidence may not leave; some of it may have been recorded all the same.
func (r *Recording) Disclose(ctx context.Context, who Who, body []byte) (indexes []uint64, err error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	indexes, err = r.disclose(ctx, who, body)
	if err == nil {
		return indexes, nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		p := problem(CodeGone, "the client was gone, or out of time; it may have been recorded")
		p.Err = err
		return nil, p
	}
	return nil, asProblem(err)
}

func (r *Recording) disclose(ctx context.Context, who Who, body []byte) ([]uint64, error) {
	if err := who.check(); err != nil {
		return nil, err
	}
	v, err := readDisclosure(body)
	if err != nil {
		return nil, err
	}
	v.Principal = entry.ID(who.Principal)
	for _, s := range v.Sessions {
		switch known, err := r.registry.knows(ctx, string(s)); {
		case err != nil:
			return nil, err
		case !known:
			p := problem(CodeUnknownSession, "one of the sessions is none of this log's")
			p.Member = "sessions"
			return nil, p
		}
	}
	var events []noted
	for part := range slices.Chunk(v.Sessions, disclosurePart) {
		w := *v
		w.Sessions = part
		// Checked alone first, so that a value that cannot stand in the log spoils nobody else's.
		if _, err := entry.Marshal(entry.TypeDisclosure, r.stampTime(), w); err != nil {
			return nil, err
		}
		events = append(events, noted{entry.TypeDisclosure, w})
	}
	indexes, err := r.system.writeAt(ctx, events...)
	if err != nil {
		return nil, err
	}
	r.follower.poke()
	return indexes, nil
}

// knows tells whether a session has an entry in the log. Unlike acquire it takes none into memory: who asks is no recorder, and
// what is in memory counts against those who are.
func (g *registry) knows(ctx context.Context, id string) (known bool, err error) {
	if s, _ := g.use(id); s != nil {
		defer g.release(s)
		s.view(func(f *facts) { known = len(f.Tracks) > 0 })
		return known, nil
	}
	_, err = g.stored(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading session %s: %w", id, err)
	}
	return true, nil
}

// readDisclosure reads a body strictly: every member known, each once, each of its form. Sessions and classes come out ascending.
func readDisclosure(body []byte) (*entry.Disclosure, error) {
	doc, err := document(body)
	if err != nil {
		return nil, err
	}
	all, err := members(doc)
	if err != nil {
		return nil, err
	}
	v, seen := &entry.Disclosure{}, map[string]bool{}
	for _, m := range all {
		read := disclosureMember(v, m.name)
		if read == nil { // the name is the client's own, and not shown
			return nil, problem(entry.UnknownMember, "a disclosure has exhibit, digest, approver, matter, sessions and classes, and nothing else")
		}
		if err := read(m.value); err != nil {
			p := *asProblem(err)
			p.Offset, p.Member = -1, m.name // the offset is one in the member
			return nil, &p
		}
		seen[m.name] = true
	}
	for _, name := range []string{"exhibit", "digest", "sessions"} {
		if !seen[name] {
			p := problem(entry.MissingMember, "a member is missing: %s", name)
			p.Member = name
			return nil, p
		}
	}
	return v, nil
}

func disclosureMember(v *entry.Disclosure, name string) func([]byte) error {
	switch name {
	case "exhibit":
		return idMember(&v.Exhibit)
	case "approver":
		return idMember(&v.Approver)
	case "matter":
		return idMember(&v.Matter)
	case "digest":
		return func(raw []byte) error {
			s, err := stringMember(raw)
			if err != nil {
				return err
			}
			if err := v.Digest.UnmarshalText([]byte(s)); err != nil {
				return problem(entry.Base64, "a digest is SHA-256 in canonical base64")
			}
			return nil
		}
	case "sessions":
		return func(raw []byte) (err error) {
			v.Sessions, err = setMember[entry.UUID](raw, 1, MaxDisclosed, entry.CheckSession)
			return err
		}
	case "classes": // which there are, entry knows
		return func(raw []byte) (err error) {
			v.Classes, err = setMember[entry.ID](raw, 0, maxMembers, entry.CheckID)
			return err
		}
	}
	return nil
}

func idMember(dst *entry.ID) func([]byte) error {
	return func(raw []byte) error {
		s, err := stringMember(raw)
		if err != nil {
			return err
		}
		if entry.CheckID(s) != nil {
			return problem(entry.BadValue, "an id is 1 to 128 of letters, digits and . _ : / + -")
		}
		*dst = entry.ID(s)
		return nil
	}
}

func stringMember(raw []byte) (s string, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", problem(entry.WrongType, "a string is wanted")
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", problem(entry.Syntax, "a string is wanted")
	}
	return s, nil
}

// setMember reads an array of strings of which none stands twice.
func setMember[T ~string](raw []byte, least, most int, check func(string) error) ([]T, error) {
	items, err := elements(raw, len(raw))
	if err != nil {
		return nil, err
	}
	switch {
	case len(items) < least:
		return nil, problem(CodeRequestEmpty, "at least one is needed")
	case len(items) > most:
		return nil, problem(entry.TooMany, "%d elements, at most %d", len(items), most)
	}
	var all []T
	for _, raw := range items {
		s, err := stringMember(raw)
		if err != nil {
			return nil, err
		}
		if check(s) != nil {
			return nil, problem(entry.BadValue, "an element has not the form that it must have")
		}
		all = append(all, T(s))
	}
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		return nil, problem(entry.Duplicate, "an element stands twice")
	}
	return all, nil
}
