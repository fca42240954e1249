package recording

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/stenolog/steno/entry"
)

// endsOf is the member tracks of session.close.
func endsOf(s *session) (string, error) {
	ends := []entry.TrackEnd{}
	s.view(func(f *facts) {
		for _, end := range f.ends() {
			if end.Track != entry.MainTrack {
				ends = append(ends, end)
			}
		}
	})
	b, err := json.Marshal(ends)
	if err != nil {
		return "", fmt.Errorf("naming the tracks: %w", err)
	}
	return `,"tracks":` + string(b), nil
}

// CloseManaged ends a session whose track main the server records. The body has the members of session.close, without the
// tracks, which the server knows.
func (r *Recording) CloseManaged(ctx context.Context, who Who, session string, req Request) (Result, error) {
	return r.managed(who, func() (Result, error) {
		ms, raw, err := r.single(req)
		if err != nil {
			return Result{}, err
		}
		return r.closeManaged(ctx, who, session, managedOpen{ms, raw, req.Key})
	})
}

func (r *Recording) closeManaged(ctx context.Context, who Who, session string, o managedOpen) (Result, error) {
	s, err := r.registry.acquire(ctx, session, false)
	if err != nil {
		return Result{}, err
	}
	defer r.registry.release(s)
	if err := r.ownManaged(s, who, entry.MainTrack); err != nil {
		return Result{}, err
	}
	a := &admission{r: r, who: who, s: s, track: entry.MainTrack}
	if err := a.enterAs(ctx, true); err != nil {
		return Result{}, err
	}
	defer a.leave()
	extra, err := endsOf(s)
	if err != nil {
		return Result{}, err
	}
	p, err := translate(entry.TypeSessionClose, o.ms, extra)
	if err != nil {
		return Result{}, err
	}
	if err := r.name(p, o.key); err != nil {
		return Result{}, err
	}
	p.mac = r.mac(s.id, entry.MainTrack, o.raw)
	m := r.managedTrack(s, entry.MainTrack)
	job := &managedJob{who: who, events: []*plainEvent{p}}
	g := &managedRun{r: r, s: s, m: m, a: a, group: []*managedJob{job}}
	err = g.runOne(ctx, job)
	return job.result, err
}

// runOne is run for a job that waits for nobody.
func (g *managedRun) runOne(ctx context.Context, job *managedJob) error {
	if err := g.run(ctx); err != nil {
		return err
	}
	return job.err
}

// Record records a whole small session: {"session":{…},"events":[…],"close":{…}}. It is open, events and close one after
// the other; the same request, sent again, goes on where the first ended.
func (r *Recording) Record(ctx context.Context, who Who, req Request) (Result, error) {
	return r.managed(who, func() (Result, error) {
		raw, err := document(req.Body)
		if err != nil {
			return Result{}, err
		}
		rec, err := r.readRecord(raw, req.Key)
		if err != nil {
			return Result{}, err
		}
		return r.record(ctx, who, rec)
	})
}

// A wholeRecord is a one-shot request.
type wholeRecord struct {
	open, end managedOpen
	events    [][]byte
	key       string
}

func (r *Recording) readRecord(raw []byte, key string) (rec wholeRecord, err error) {
	ms, err := members(raw)
	if err != nil {
		return rec, err
	}
	rec.end = managedOpen{ms: []jsonMember{{"outcome", []byte(`"unknown"`)}}}
	for _, m := range ms {
		switch m.name {
		case "session":
			rec.open.ms, err = members(m.value)
		case "events":
			rec.events, err = elements(m.value, r.cfg.Limits.Events)
		case "close":
			rec.end.ms, err = members(m.value)
		default:
			err = problem(entry.UnknownMember, "a record has the members session, events and close")
		}
		if err != nil {
			return rec, err
		}
	}
	if rec.open.ms == nil {
		return rec, badMember("session", entry.MissingMember, "a member is missing")
	}
	if key == "" {
		p, err := translate(entry.TypeAnnotation, idOnly(rec.open.ms), `,"kind":"remark"`)
		if err != nil {
			return rec, err
		}
		if key = p.id; key == "" {
			id, err := uuid.NewV7FromReader(r.cfg.Rand)
			if err != nil {
				return rec, err
			}
			key = id.String()
		}
	}
	// All of the request is what the MAC of the open is over, and with it of every part.
	rec.key, rec.open.key, rec.open.raw = key, key, raw
	rec.end.key, rec.end.raw = partID(key, "close"), raw
	return rec, nil
}

// partID is the event id of a part of a record that has none of its own.
func partID(key, part string) string {
	id := key + ":" + part
	if entry.CheckID(id) != nil {
		id = fmt.Sprintf("r%x:%s", sha256.Sum256([]byte(key)), part)
	}
	return id
}

func (r *Recording) record(ctx context.Context, who Who, rec wholeRecord) (Result, error) {
	if err := r.tryParts(rec); err != nil {
		return Result{}, err
	}
	res, err := r.openManaged(ctx, who, rec.open)
	if err != nil {
		return res, err
	}
	receipts := res.Receipts
	if len(rec.events) > 0 {
		key := func(i int) string { return eventKey(rec.key, rec.events, i) }
		res, err = r.managedEvents(ctx, who, res.Session, entry.MainTrack, rec.events, key)
		receipts = append(receipts, res.Receipts...)
	}
	if err == nil {
		res, err = r.closeManaged(ctx, who, receipts[0].Session, rec.end)
		receipts = append(receipts, res.Receipts...)
	}
	res.Session, res.Track, res.Receipts = receipts[0].Session, entry.MainTrack, receipts
	return res, err
}

// eventKey names those of several events that have no id of their own.
func eventKey(key string, events [][]byte, i int) string {
	ms, err := members(events[i])
	if err != nil || idOnly(ms) != nil {
		return ""
	}
	return partID(key, fmt.Sprint(i))
}

// tryParts reads events and close before anything is opened, so that nothing of a record that is refused is stored.
func (r *Recording) tryParts(rec wholeRecord) error {
	for i, raw := range rec.events {
		if _, err := r.plain("", entry.MainTrack, raw, eventKey(rec.key, rec.events, i)); err != nil {
			p := asProblem(err)
			p.Event = i
			return p
		}
	}
	p, err := translate(entry.TypeSessionClose, rec.end.ms, `,"tracks":[]`)
	if err != nil {
		return err
	}
	return r.name(p, rec.end.key)
}
