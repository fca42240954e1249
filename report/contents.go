package report

import (
	"fmt"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// Contents are where the events of a bundle stand.
type contents struct {
	bundle   *evidence.Bundle
	sessions map[string]*events
	others   events // of the log's own, that speak of no session that the bundle names
	leaf     cached
}

// Events are those of one session, with what the log says of it, by their place in the log.
type events struct {
	at   []place // the first maxEvents
	more int     // how many there are after those
}

// A place is an event: the position of its leaf in the bundle, and its own in the leaf; −1 for a leaf that can't be read.
type place struct{ leaf, event int32 }

// A slot is where a payload stands.
type slot struct {
	index uint64
	event int
	name  string
}

// A cached is the leaf that was loaded last: the events of one leaf follow one another.
type cached struct {
	at    int
	entry *entry.Entry
	err   error
}

func (e *events) add(p place) {
	if len(e.at) == maxEvents {
		e.more++
		return
	}
	e.at = append(e.at, p)
}

// read finds out which event belongs to which session.
func read(c *Case) (*contents, error) {
	all := &contents{bundle: c.Bundle, sessions: map[string]*events{}, leaf: cached{at: -1}}
	for _, id := range c.Bundle.Sessions {
		all.sessions[id] = &events{}
	}
	for i := range c.Bundle.Leaves {
		e, parseErr, err := all.load(i)
		if err != nil {
			return nil, err
		}
		if parseErr != nil {
			all.others.add(place{int32(i), -1})
			continue
		}
		for j, ev := range e.Events {
			of := e.Session
			if e.Track == entry.SystemTrack {
				of = evidence.Mentions(ev)
			}
			list := all.sessions[of]
			if list == nil {
				list = &all.others
			}
			list.add(place{int32(i), int32(j)})
		}
	}
	return all, nil
}

// load reads a leaf. That it is no entry is parseErr.
func (all *contents) load(at int) (e *entry.Entry, parseErr, err error) {
	if all.leaf.at != at {
		l := all.bundle.Leaves[at]
		b, err := l.Load()
		if err != nil {
			return nil, nil, fmt.Errorf("loading leaf %d: %w", l.Index, err)
		}
		e, parseErr := entry.Parse(b)
		all.leaf = cached{at, e, parseErr}
	}
	return all.leaf.entry, all.leaf.err, nil
}
