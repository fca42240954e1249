package evidence

import (
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// An embedded is a checkpoint in an event.
type embedded struct {
	where Where
	size  uint64
	root  entry.Hash
	err   error // what is wrong with it
}

// embed judges a checkpoint that an event embeds, which is not kept.
func (s *Session) embed(where Where, index uint64, note entry.Text) {
	if note == "" {
		return
	}
	cp := s.open([]byte(note))
	m := embedded{where: where, size: cp.Size, root: cp.Root}
	m.err = s.keys.Embedded(trust.Checkpoint{Size: cp.Size, Root: cp.Root}, cp.err, index)
	s.embedded = append(s.embedded, m)
}

// A seenCheckpoint is what a recorder was shown, and what is wrong with it.
type seenCheckpoint struct {
	Size uint64
	Root entry.Hash
	err  error
}

// seen opens each checkpoint once: many recorders are shown the same.
type seen map[entry.Hash]seenCheckpoint

func (s seen) open(t *trust.Trust, note []byte) seenCheckpoint {
	digest := entry.HashOf(note)
	if c, known := s[digest]; known {
		return c
	}
	cp, err := t.OpenCheckpoint(note)
	s[digest] = seenCheckpoint{cp.Size, cp.Root, err}
	return s[digest]
}
