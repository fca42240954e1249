package recording

import (
	"context"
	"errors"
	"fmt"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/storage"
)

// fold takes an entry of a recorder, which is in the log at d.index, into the session's facts. It is the only way that
// they change, live and after a restart.
func (r *Recording) fold(s *session, d *digest) folded {
	r.registry.folding.RLock()
	defer r.registry.folding.RUnlock()
	s.mu.Lock()
	what := s.facts.fold(d, r.cfg.Limits.OpenActions)
	var items []storage.Item
	if what == foldedNew && r.isManaged(d) {
		for _, id := range d.ids {
			at := idAt{index: d.index, seq: id.seq, track: d.track}
			s.ids.add(id.id, at)
			items = append(items, storage.Item{Key: keyEventID + s.id + "/" + id.id, Value: at.encode()})
		}
	}
	urgent := s.facts.BreakGlass && s.facts.Closed
	s.mu.Unlock()
	r.registry.anchors.entry(d.index+1, urgent)
	if what == foldedNew || what == foldedHole {
		r.registry.changed(s, items)
	}
	return what
}

// foldSystem takes an entry of a system session in.
func (r *Recording) foldSystem(ctx context.Context, d *digest) error {
	r.registry.folding.RLock()
	defer r.registry.folding.RUnlock()
	if !r.registry.foldSystem(d) {
		return nil
	}
	var errs []error
	for _, m := range d.system {
		if err := r.foldMark(ctx, m); err != nil {
			errs = append(errs, fmt.Errorf("folding %s of session %s: %w", m.typ, m.session, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Recording) foldMark(ctx context.Context, m systemMark) error {
	switch m.value.(type) {
	case *entry.Admitted, *entry.Verdict:
	default:
		return nil
	}
	s, err := r.registry.acquire(ctx, m.session, false)
	var p *Problem
	if errors.As(err, &p) {
		return nil // about a session whose open is not in the log
	}
	if err != nil {
		return err
	}
	defer r.registry.release(s)
	counts, agent, count := false, "", agentFacts{}
	s.view(func(f *facts) {
		switch v := m.value.(type) {
		case *entry.Admitted:
			if counts = f.admit(v); counts {
				agent, count = f.Agent, agentFacts{Count: v.Number, Session: f.Session, Open: v.Open}
			}
		case *entry.Verdict:
			f.judged(v)
			if f.BreakGlass && v.Verdict == stateAbandoned {
				r.registry.anchors.entry(f.end(), true)
			}
			s.returned = false
		}
	})
	if counts {
		r.registry.counted(agent, count)
	}
	r.registry.changed(s, nil)
	return nil
}

// isManaged tells whether the server's own recorder signed the entry.
func (r *Recording) isManaged(d *digest) bool {
	m := r.cfg.Managed
	return m != nil && d.key == keyOf(m.Signer.Name(), m.Signer.KeyHash())
}

// A stamped is a leaf ready to be appended.
type stamped struct {
	leaf []byte
	d    *digest
}

// stamp reads a submission once more, as everybody will, and makes the leaf of it.
func (r *Recording) stamp(submission []byte) (*digest, []byte, error) {
	e, err := entry.ParseSubmission(submission)
	if err != nil {
		return nil, nil, fmt.Errorf("reading an own entry: %w", err)
	}
	return r.stampParsed(submission, e)
}

func (r *Recording) stampParsed(submission []byte, e *entry.Entry) (*digest, []byte, error) {
	d, err := digestOf(e)
	if err != nil {
		return nil, nil, fmt.Errorf("digesting an entry: %w", err)
	}
	d.received = r.stampTime()
	leaf := r.cfg.Stamper.Stamp(submission, e, d.received)
	d.line = string(leaf[len(submission):])
	return d, leaf, nil
}
