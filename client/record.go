package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// A Recorded is a leaf that was read.
type Recorded struct {
	Index  uint64
	Leaf   []byte
	Entry  *entry.Entry
	Proven bool // in the tree of the record's checkpoint; false only of what is younger than it
}

// A TrackRecord is one track, every link and signature of it checked.
type TrackRecord struct {
	entry.Track
	Entries []Recorded
}

// A SessionRecord is what a log has of a session.
type SessionRecord struct {
	Session    string
	Checkpoint trust.Checkpoint
	Tracks     []TrackRecord // main first, the others by name
	Mentions   []Recorded    // entries of system sessions that speak of it
	// Incomplete are the tracks of which session.close names events that the server did not send: not those that it names
	// as lost.
	Incomplete []entry.TrackEnd
	Summary    *SessionSummary // says the same, without the entries
}

// Recorded are all entries of the record, by index.
func (s *SessionRecord) Recorded() []Recorded {
	all := slices.Clone(s.Mentions)
	for _, t := range s.Tracks {
		all = append(all, t.Entries...)
	}
	slices.SortFunc(all, func(a, b Recorded) int { return int(min(max(int64(a.Index)-int64(b.Index), -1), 1)) })
	return all
}

// A RecordError says which leaf of a record is not what it must be.
type RecordError struct {
	Index uint64
	Leaf  []byte
	Err   error
}

func (e *RecordError) Error() string { return fmt.Sprintf("leaf %d: %v", e.Index, e.Err) }
func (e *RecordError) Unwrap() error { return e.Err }

// An EquivocationError is proof that two texts were taken for one place of a track.
type EquivocationError struct {
	A, B Recorded // of A, which came first, Leaf and Entry are nil if the server did not send it again
}

func (e *EquivocationError) Error() string {
	return fmt.Sprintf("leaves %d and %d have different texts for %s/%s at %d",
		e.A.Index, e.B.Index, e.B.Entry.Session, e.B.Entry.Track, e.B.Entry.Seq)
}

// maxRecorded bounds the entries of one session.
const maxRecorded = 1 << 20

// Read reads a session whole and checks what it is sent: that each entry is well-formed, received by the log and, unless
// it is younger than the checkpoint, in its tree; that each track's first entry is enrolled by a pinned enroller and each
// next one follows and is signed by the same key; that the tracks belong to this session. What it cannot see is whether
// the server leaves out the end of a track of a session that is not closed. It holds all of it: ReadStream does not.
func (r *Reader) Read(ctx context.Context, session string) (*SessionRecord, error) {
	rec := &SessionRecord{Session: session}
	tracks := make(map[string][]Recorded)
	var err error
	rec.Summary, err = r.ReadStream(ctx, session, nil, func(x Recorded) error {
		if x.Entry.Track == entry.SystemTrack {
			rec.Mentions = append(rec.Mentions, x)
		} else {
			tracks[x.Entry.Track] = append(tracks[x.Entry.Track], x)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rec.Checkpoint, rec.Incomplete = rec.Summary.Checkpoint, rec.Summary.Incomplete
	for _, t := range rec.Summary.Tracks {
		rec.Tracks = append(rec.Tracks, TrackRecord{t.Track, tracks[t.Name]})
	}
	return rec, nil
}
