package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
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
	A, B Recorded
}

func (e *EquivocationError) Error() string {
	return fmt.Sprintf("leaves %d and %d have different texts for %s/%s at %d",
		e.A.Index, e.B.Index, e.A.Entry.Session, e.A.Entry.Track, e.A.Entry.Seq)
}

// maxRecorded bounds the entries of one session.
const maxRecorded = 1 << 20

// Read reads a session whole and checks what it is sent: that each entry is well-formed, received by the log and, unless
// it is younger than the checkpoint, in its tree; that each track's first entry is enrolled by a pinned enroller and each
// next one follows and is signed by the same key; that the tracks belong to this session. What it cannot see is whether
// the server leaves out the end of a track of a session that is not closed.
func (r *Reader) Read(ctx context.Context, session string) (*SessionRecord, error) {
	if err := entry.CheckSession(session); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	rec := &SessionRecord{Session: session}
	leaves, err := r.pages(ctx, session)
	if err != nil {
		return nil, err
	}
	// After the entries, so that it covers all but the youngest.
	if rec.Checkpoint, err = r.Checkpoint(ctx); err != nil {
		return nil, err
	}
	if err := r.prove(ctx, rec.Checkpoint, leaves); err != nil {
		return nil, err
	}
	for _, x := range leaves {
		if err := rec.add(r.trust, x); err != nil {
			return nil, &RecordError{x.Index, x.Leaf, err}
		}
	}
	return rec, rec.finish()
}

// pages reads all entries of a session, in ascending order of index.
func (r *Reader) pages(ctx context.Context, session string) ([]Recorded, error) {
	var out []Recorded
	for from := uint64(0); ; {
		var page wire.Entries
		q := url.Values{"from": {strconv.FormatUint(from, 10)}}
		if _, err := r.http.getJSON(ctx, pathFor(wire.PathEntries, session), q, maxPage, &page); err != nil {
			return nil, fmt.Errorf("reading entries: %w", err)
		}
		for _, l := range page.Entries {
			x := Recorded{Index: l.Index, Leaf: []byte(l.Leaf)}
			if len(out) == maxRecorded || l.Index < from || len(out) > 0 && l.Index <= out[len(out)-1].Index {
				return nil, errors.New("reading entries: too many, or not in order")
			}
			var err error
			if x.Entry, err = entry.Parse(x.Leaf); err != nil {
				return nil, &RecordError{x.Index, x.Leaf, err}
			}
			out = append(out, x)
		}
		if page.Next == nil {
			return out, nil
		}
		if len(page.Entries) == 0 || *page.Next <= out[len(out)-1].Index {
			return nil, errors.New("reading entries: the pages do not go on")
		}
		from = *page.Next
	}
}

// prove checks that the leaves are in the tree, as far as the checkpoint reaches.
func (r *Reader) prove(ctx context.Context, c trust.Checkpoint, leaves []Recorded) error {
	var indexes []uint64
	for _, x := range leaves {
		if x.Index < c.Size {
			indexes = append(indexes, x.Index)
		}
	}
	if len(indexes) == 0 {
		return nil
	}
	hashes, err := r.keeper.leaves(ctx, c, indexes)
	if err != nil {
		return err
	}
	for i, h := range hashes { // the indexes are a prefix of the leaves
		if h != tiles.LeafHash(leaves[i].Leaf) {
			return &RecordError{leaves[i].Index, leaves[i].Leaf, fmt.Errorf("another leaf stands there in the tree of size %d", c.Size)}
		}
		leaves[i].Proven = true
	}
	return nil
}

func (s *SessionRecord) add(t *trust.Trust, x Recorded) error {
	// What is proven is proven under a checkpoint with the quorum.
	if err := t.VerifyReceivedAt(x.Entry, x.Index, x.Proven); err != nil {
		return err
	}
	anchors := t.AnchorsAt(x.Index, x.Proven)
	if x.Entry.Track == entry.SystemTrack {
		return s.addMention(anchors, x)
	}
	if x.Entry.Session != s.Session {
		return errors.New("it is of another session")
	}
	i := slices.IndexFunc(s.Tracks, func(t TrackRecord) bool { return t.Name == x.Entry.Track })
	if i < 0 {
		track, err := anchors.Open(x.Entry, x.Entry.Received.Time)
		if err != nil {
			return err
		}
		s.Tracks = append(s.Tracks, TrackRecord{*track, []Recorded{x}})
		return t.CheckRecorder(track.Enrolment.RecorderKey, x.Index, x.Proven)
	}
	track := &s.Tracks[i]
	if err := t.CheckRecorder(track.Enrolment.RecorderKey, x.Index, x.Proven); err != nil {
		return err
	}
	if x.Entry.Seq < track.Next {
		return track.repeated(x)
	}
	if err := errors.Join(track.Check(x.Entry), x.Entry.VerifyRecorder(track.Verifier)); err != nil {
		return err
	}
	track.Extend(x.Entry)
	track.Entries = append(track.Entries, x)
	return nil
}

// repeated lets a text pass that the log has already, and counts it once.
func (t *TrackRecord) repeated(x Recorded) error {
	for _, have := range t.Entries {
		if have.Entry.Seq == x.Entry.Seq && have.Entry.Hash() == x.Entry.Hash() {
			return nil
		}
		if have.Entry.Seq <= x.Entry.Seq && x.Entry.Seq < have.Entry.Next() {
			// It is equivocation only if the track's own key signed both.
			if err := x.Entry.VerifyRecorder(t.Verifier); err != nil {
				return err
			}
			return &EquivocationError{have, x}
		}
	}
	return fmt.Errorf("sequence number %d is taken", x.Entry.Seq)
}

// addMention takes an entry of a system session. Its chain is not followed: only the entries that speak of the session
// were sent.
func (s *SessionRecord) addMention(a entry.Anchors, x Recorded) error {
	if x.Entry.Origin != a.Origin {
		return errors.New("it was made for another log")
	}
	v, err := a.System.Verifier(x.Entry.Recorder.Name, x.Entry.Recorder.Hash)
	if err != nil {
		return fmt.Errorf("it is signed by no system key that counts here: %w", err)
	}
	if err := x.Entry.VerifyRecorder(v); err != nil {
		return err
	}
	s.Mentions = append(s.Mentions, x)
	return nil
}

// finish puts the tracks in order and compares them with each other.
func (s *SessionRecord) finish() error {
	slices.SortFunc(s.Tracks, func(a, b TrackRecord) int {
		if (a.Name == entry.MainTrack) != (b.Name == entry.MainTrack) {
			if a.Name == entry.MainTrack {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	if len(s.Tracks) == 0 || s.Tracks[0].Name != entry.MainTrack {
		return errors.New("the server sent no entry of track main")
	}
	main := &s.Tracks[0]
	for _, t := range s.Tracks[1:] {
		if err := t.Binds(main.First); err != nil {
			return &RecordError{t.Entries[0].Index, t.Entries[0].Leaf, err}
		}
	}
	if !main.Closed {
		return nil
	}
	last := main.Entries[len(main.Entries)-1].Entry
	var ev entry.SessionClose
	if err := last.Events[len(last.Events)-1].Decode(&ev); err != nil {
		return err
	}
	for _, end := range ev.Tracks {
		if !end.Lost && !s.has(end) {
			s.Incomplete = append(s.Incomplete, end)
		}
	}
	return nil
}

// has tells whether a track reaches to an end, at which one of its entries ends. It may go on: late entries are admitted.
func (s *SessionRecord) has(end entry.TrackEnd) bool {
	for _, t := range s.Tracks {
		if t.Name != string(end.Track) {
			continue
		}
		return slices.ContainsFunc(t.Entries, func(x Recorded) bool {
			return x.Entry.Next() == end.Next && x.Entry.Hash() == end.Head
		})
	}
	return false
}
