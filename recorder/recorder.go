// Package recorder builds the entries of a track: it seals payloads, packs events, chains and signs. It does no input or
// output and keeps no secrets but the unit keys it was given. The Go client records with it in the agent's trust domain;
// the log uses it for its own system session and for managed recording.
//
// It is the one place where an event meets its sequence number, since that is part of the key that seals its payloads.
package recorder

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// DefaultTarget is the size, in bytes of text, to which events are packed into an entry. Larger entries cost more than they
// save: the log rewrites its last bundle of leaves at every flush.
const DefaultTarget = 4096

// Config is what a track is made of.
type Config struct {
	Origin  string
	Session string
	Track   string
	Signer  note.Signer
	Keys    payload.Keys // may be nil for a track that seals nothing
	Rand    io.Reader
	Next    uint64     // sequence number of the next event; 0 for a new track
	Head    entry.Hash // hash of the text of the last entry; zero for a new track
	Target  int        // DefaultTarget if 0
	Now     func() time.Time
}

// A Track makes one entry after the other. It is not safe for concurrent use.
type Track struct {
	cfg  Config
	next uint64
	head entry.Hash
}

// Seal turns bytes into what stands for them in the event that is being built. Slot is the path of the payload in the
// event: the member's name, or names joined by a slash.
type Seal func(slot string, media payload.Media, class payload.Class, b []byte) (*entry.Payload, error)

// An Event is one event to be recorded. Build returns the struct of its type, sealing the payloads with seal. It is called
// once for each attempt to build, with the sequence number known, so that it must not have effects of its own.
type Event struct {
	Type  entry.Type
	Time  entry.Time // zero for the time of building
	Build func(seal Seal) (any, error)
}

// Plain is an event without payloads.
func Plain(t entry.Type, v any) Event {
	return Event{Type: t, Build: func(Seal) (any, error) { return v, nil }}
}

// Built is an entry ready to be sent, with the blobs it names, in their order.
type Built struct {
	Submission []byte
	Text       []byte // the part of Submission that is signed
	Hash       entry.Hash
	Seq        uint64
	Count      uint64
	Blobs      [][]byte
}

// New begins, or with Next and Head continues, a track.
func New(cfg Config) (*Track, error) {
	if cfg.Signer == nil || cfg.Rand == nil {
		return nil, errors.New("recorder: signer and source of randomness are needed")
	}
	if (cfg.Next == 0) != cfg.Head.IsZero() {
		return nil, errors.New("recorder: next sequence number and head must be given together")
	}
	if cfg.Target == 0 {
		cfg.Target = DefaultTarget
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Track{cfg: cfg, next: cfg.Next, head: cfg.Head}, nil
}

// Next is the sequence number of the next event.
func (t *Track) Next() uint64 { return t.next }

// Head is the hash of the text of the last entry.
func (t *Track) Head() entry.Hash { return t.head }

// SetKeys changes the unit keys for the events after the session.roll that commits to them.
func (t *Track) SetKeys(keys payload.Keys) { t.cfg.Keys = keys }

// Build makes entries of events, each as full as the target allows, in order. On an error nothing has advanced; otherwise
// the track stands after the last entry, and what was built must reach the log or the track is broken.
func (t *Track) Build(events ...Event) ([]Built, error) {
	if len(events) == 0 {
		return nil, errors.New("recorder: no events")
	}
	next, head := t.next, t.head
	var built []Built
	p := packing{track: t, seq: next}
	flush := func() error {
		b, err := p.finish(head)
		if err != nil {
			return err
		}
		built = append(built, b)
		next, head = next+b.Count, b.Hash
		p = packing{track: t, seq: next}
		return nil
	}
	for i, ev := range events {
		line, blobs, err := t.line(ev, p.seq+uint64(len(p.lines)))
		if err != nil {
			return nil, fmt.Errorf("building event %d (%s): %w", i, ev.Type, err)
		}
		if len(p.lines) > 0 && (p.size+len(line) > t.cfg.Target || len(p.lines) == entry.MaxEvents) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		p.add(line, blobs)
	}
	if err := flush(); err != nil {
		return nil, err
	}
	t.next, t.head = next, head
	return built, nil
}

// line builds one event at its sequence number, which an entry that is full does not change.
func (t *Track) line(ev Event, seq uint64) ([]byte, [][]byte, error) {
	sealedBlobs := map[entry.Hash][]byte{}
	seal := func(slot string, media payload.Media, class payload.Class, b []byte) (*entry.Payload, error) {
		at := payload.Place{Origin: t.cfg.Origin, Session: t.cfg.Session, Track: t.cfg.Track, Seq: seq, Slot: slot}
		sealed, err := payload.SealBytes(t.cfg.Rand, t.cfg.Keys, at, media, class, b)
		if err != nil {
			return nil, fmt.Errorf("sealing %s: %w", slot, err)
		}
		for i, b := range sealed.Ref.All() {
			sealedBlobs[entry.Hash(b.SHA256)] = sealed.Blobs[i]
		}
		return sealed.Ref.Event(), nil
	}
	v, err := ev.Build(seal)
	if err != nil {
		return nil, nil, err
	}
	at := ev.Time
	if at == 0 {
		at = entry.TimeOf(t.cfg.Now())
	}
	line, err := entry.Marshal(ev.Type, at, v)
	if err != nil || len(sealedBlobs) == 0 {
		return line, nil, err
	}
	blobs, err := inOrder(line, sealedBlobs)
	return line, blobs, err
}

// inOrder puts blobs in the order in which the event names them, which need not be the one in which they were sealed.
func inOrder(line []byte, sealed map[entry.Hash][]byte) ([][]byte, error) {
	named, err := entry.Blobs(line)
	if err != nil {
		return nil, err
	}
	blobs := make([][]byte, len(named))
	for i, n := range named {
		if blobs[i] = sealed[n.SHA256]; blobs[i] == nil {
			return nil, fmt.Errorf("names a blob for %s that was not sealed for it", n.Slot)
		}
	}
	if len(named) != len(sealed) {
		return nil, fmt.Errorf("%d blobs were sealed, and the event names %d", len(sealed), len(named))
	}
	return blobs, nil
}

// packing is the entry that is being filled.
type packing struct {
	track *Track
	seq   uint64
	lines [][]byte
	blobs [][]byte
	size  int
}

const headerRoom = 300 // bytes, about: the header of an entry

func (p *packing) add(line []byte, blobs [][]byte) {
	if p.size == 0 {
		p.size = headerRoom
	}
	p.lines, p.blobs, p.size = append(p.lines, line), append(p.blobs, blobs...), p.size+len(line)+1
}

func (p *packing) finish(prev entry.Hash) (Built, error) {
	cfg := &p.track.cfg
	text, err := entry.Compose(entry.Header{
		Origin: cfg.Origin, Session: cfg.Session, Track: cfg.Track, Seq: p.seq, Prev: prev,
	}, p.lines...)
	if err != nil {
		return Built{}, err
	}
	sub, err := entry.Sign(text, cfg.Signer)
	if err != nil {
		return Built{}, err
	}
	return Built{
		Submission: sub, Text: sub[:len(text):len(text)], Hash: entry.HashOf(text),
		Seq: p.seq, Count: uint64(len(p.lines)), Blobs: p.blobs,
	}, nil
}
