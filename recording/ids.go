package recording

import (
	"context"
	"errors"
	"fmt"

	"github.com/stenolog/steno/storage"
)

// idAt says where the event with an event id is.
type idAt struct {
	index uint64
	seq   uint64
	track string
}

func (a idAt) encode() []byte { return fmt.Appendf(nil, "%d %d %s", a.index, a.seq, a.track) }

func decodeIDAt(b []byte) (a idAt, err error) {
	_, err = fmt.Sscanf(string(b), "%d %d %s", &a.index, &a.seq, &a.track)
	return a, err
}

// idSet is the event ids of a session that are in memory: all of them if complete, otherwise those since the last
// snapshot at least.
type idSet struct {
	at       map[string]idAt
	complete bool
}

func (s *idSet) add(id string, at idAt) {
	if s.at == nil {
		s.at = map[string]idAt{}
	}
	s.at[id] = at
}

// written lets go of an id that is in Heads now, when there are too many.
func (s *idSet) written(id string, limit int) {
	if len(s.at) > limit {
		delete(s.at, id)
		s.complete = false
	}
}

// eventAt finds an event of the session by its event id.
func (r *Recording) eventAt(ctx context.Context, s *session, id string) (at idAt, found bool, err error) {
	s.mu.Lock()
	at, found = s.ids.at[id]
	complete := s.ids.complete
	s.mu.Unlock()
	if found || complete {
		return at, found, nil
	}
	b, err := r.cfg.Heads.Get(ctx, keyEventID+s.id+"/"+id)
	if errors.Is(err, storage.ErrNotFound) {
		return idAt{}, false, nil
	}
	if err != nil {
		return idAt{}, false, r.notDurable("looking for the event id", err)
	}
	if at, err = decodeIDAt(b); err != nil {
		return idAt{}, false, fmt.Errorf("decoding the place of an event id: %w", err)
	}
	return at, true, nil
}
