package client

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"filippo.io/age"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// An Opener opens the payloads of one session.
type Opener struct {
	// Blob reads a sealed blob that the entry at an index names; the reader's Blob at first. ErrErased says that there is none any
	// more, as a *Problem of status 404 does. What it returns is checked.
	Blob func(ctx context.Context, index uint64, hash entry.Hash) ([]byte, error)

	sum  *SessionSummary
	keys map[string][]unlocked // by track, in order of from
}

// ErrErased means that there is no such blob any more.
var ErrErased = errors.New("the blob was erased")

// unlocked is the keys that count on a track from a sequence number on.
type unlocked struct {
	from uint64
	keys payload.Keys
}

// Unlock opens the session's unit keys with identities: a vault's, or recovery's. A key counts only if it is the one that
// the track's recorder committed to. Classes that no identity opens stay closed; if none is opened it is payload.ErrNoKey.
func (r *Reader) Unlock(ctx context.Context, rec *SessionRecord, ids ...age.Identity) (*Opener, error) {
	return r.UnlockSession(ctx, rec.Summary, ids...)
}

// UnlockSession is Unlock for a session that was read as a stream.
func (r *Reader) UnlockSession(ctx context.Context, s *SessionSummary, ids ...age.Identity) (*Opener, error) {
	wraps, err := r.Keys(ctx, s.Session)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	files := make(map[entry.Hash][][]byte)
	for _, w := range wraps {
		files[w.Key] = append(files[w.Key], w.File)
	}
	o := &Opener{Blob: r.Blob, sum: s, keys: make(map[string][]unlocked)}
	opened, err := o.unlockTracks(files, ids)
	if err != nil {
		return nil, err
	}
	if opened == 0 {
		return nil, fmt.Errorf("unlocking session %s: %w", s.Session, payload.ErrNoKey)
	}
	return o, nil
}

// unlockTracks follows the tracks' commitments and tells how many keys were opened.
func (o *Opener) unlockTracks(files map[entry.Hash][][]byte, ids []age.Identity) (opened int, err error) {
	current := make(map[string]payload.Keys)
	for _, x := range o.sum.commits { // each track's in order
		next := make(payload.Keys)
		maps.Copy(next, current[x.track]) // a roll may renew some classes only
		for _, c := range x.keys {
			n, err := unlock(o.sum.track(x.track), c, files[c.Commitment], next, ids)
			if err != nil {
				return 0, &RecordError{x.index, nil, err}
			}
			opened += n
		}
		current[x.track] = next
		o.keys[x.track] = append(o.keys[x.track], unlocked{x.seq, next})
	}
	return opened, nil
}

func commitments(ev entry.Event) ([]entry.UnitKey, error) {
	switch ev.Type {
	case entry.TypeSessionOpen, entry.TypeTrackOpen, entry.TypeSessionRoll:
	default:
		return nil, nil
	}
	v, err := ev.Value()
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *entry.SessionOpen:
		return v.Keys, nil
	case *entry.TrackOpen:
		return v.Keys, nil
	case *entry.SessionRoll:
		return v.Keys, nil
	}
	return nil, nil
}

// unlock puts the key of a commitment into keys, or takes the class out of them if no wrap of it opens: what follows is
// not sealed with the key before.
func unlock(t *TrackSummary, c entry.UnitKey, files [][]byte, keys payload.Keys, ids []age.Identity) (int, error) {
	class, err := payload.ParseClass(string(c.Class))
	if err != nil {
		return 0, err
	}
	delete(keys, class)
	where := payload.WrapPlace{Origin: t.Origin, Session: t.Session, Track: t.Name, Class: class}
	for _, f := range files {
		key, err := payload.Unwrap(f, where, payload.Hash(c.Commitment), ids...)
		if err == nil {
			keys[class] = key
			return 1, nil
		}
	}
	return 0, nil // none was sent, it was destroyed, or it is for other identities: they look alike from here
}

// keysAt are the keys that seal an event.
func (o *Opener) keysAt(track string, seq uint64) payload.Keys {
	var keys payload.Keys
	for _, u := range o.keys[track] {
		if u.from <= seq {
			keys = u.keys
		}
	}
	return keys
}

// Open opens the payload at a slot of an event (BlobAt.Slot without the number of a part), reading its blobs from the log,
// and proves it against the commitment. Classes without a key, and those whose blobs were erased, stay hidden.
func (o *Opener) Open(ctx context.Context, e *entry.Entry, event int, slot string) (*payload.Opened, error) {
	if event < 0 || event >= len(e.Events) {
		return nil, fmt.Errorf("opening a payload: the entry has no event %d", event)
	}
	ref, err := payloadAt(e.Events[event], slot)
	if err != nil {
		return nil, fmt.Errorf("opening a payload: %w", err)
	}
	t := o.sum.track(e.Track)
	if t == nil || e.Seq >= t.Next || t.row(e.Seq).hash != e.Hash() {
		return nil, errors.New("opening a payload: the entry is not of the record that was unlocked")
	}
	index, seq := t.row(e.Seq).index, e.Seq+uint64(event)
	all := o.keysAt(e.Track, seq)
	keys := make(payload.Keys)
	blobs := make(map[payload.Hash][]byte)
	for _, b := range ref.All() {
		key, ok := all[b.Class]
		if !ok {
			continue
		}
		blob, err := o.Blob(ctx, index, b.SHA256)
		var p *Problem
		if errors.Is(err, ErrErased) || errors.As(err, &p) && p.Status == http.StatusNotFound {
			continue
		}
		if err == nil && sha256.Sum256(blob) != b.SHA256 {
			err = fmt.Errorf("these are other bytes than those of blob %s", entry.Hash(b.SHA256))
		}
		if err != nil {
			return nil, fmt.Errorf("opening a payload: %w", err)
		}
		keys[b.Class], blobs[b.SHA256] = key, blob
	}
	at := payload.Place{Origin: e.Origin, Session: e.Session, Track: e.Track, Seq: seq, Slot: slot}
	return payload.Open(keys, at, ref, blobs)
}

// payloadAt finds the payload at a slot, a path of members. The event was read strictly by package entry.
func payloadAt(ev entry.Event, slot string) (payload.Ref, error) {
	raw := json.RawMessage(ev.Raw)
	for _, name := range strings.Split(slot, "/") {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil || members[name] == nil {
			return payload.Ref{}, fmt.Errorf("event %s has no payload %q", ev.Type, slot)
		}
		raw = members[name]
	}
	var p entry.Payload
	if err := json.Unmarshal(raw, &p); err != nil || p.Commitment == nil && len(p.Parts) == 0 {
		return payload.Ref{}, fmt.Errorf("event %s has no payload %q", ev.Type, slot)
	}
	return payload.RefOf(&p), nil
}
