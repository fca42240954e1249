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

// A Covering gives a checkpoint that this reader has verified and that covers a tree of this size, as far as there is one: one that
// does not is taken as well, and what it does not cover stays unproven. Checkpoint and Signed are such; one that wants everything
// proven calls them until they are large enough. The size is what the session's own entries need, as far as they were read: what the
// log says of it may be younger than any checkpoint, as is the record of this very reading, and is not waited for.
type Covering func(ctx context.Context, size uint64) (trust.Checkpoint, error)

// A SessionSummary is what was found of a session that was read as a stream: all that a SessionRecord says but the entries. It
// keeps less than 100 bytes of each entry and ten of each blob, and nothing of what they say.
type SessionSummary struct {
	Session string
	// Checkpoint is the largest under which entries were proven. Those below its size were, all of them, under it or under one
	// that it extends; the others were not.
	Checkpoint trust.Checkpoint
	Tracks     []TrackSummary   // main first, the others by name
	Mentions   int              // entries of system sessions that speak of it
	Incomplete []entry.TrackEnd // as in SessionRecord

	pages   []blobsPage // of all leaves that were sent
	blobs   blobSet     // those that its entries name
	commits []committed
}

// A TrackSummary is one track, every link and signature of it checked.
type TrackSummary struct {
	entry.Track
	Entries               int
	FirstIndex, LastIndex uint64 // of its leaves

	rows   []entryRow // in order
	closes *entry.SessionClose
}

// An entryRow is an entry of a track.
type entryRow struct {
	seq, next, index uint64
	hash             entry.Hash
}

// committed are unit keys that a track's recorder committed to in an event.
type committed struct {
	track      string
	seq, index uint64
	keys       []entry.UnitKey
}

// Bounds are the indexes of the first and the last entry of its own that the log has. What the log says of it may stand above.
func (s *SessionSummary) Bounds() (first, last uint64) {
	for i, t := range s.Tracks {
		if i == 0 || t.FirstIndex < first {
			first = t.FirstIndex
		}
		last = max(last, t.LastIndex)
	}
	return first, last
}

// ReadStream reads a session as Read does, checks all that Read checks, and gives f each entry as soon as it was checked, in the
// order of the log, those of system sessions that speak of it among them (their track is entry.SystemTrack). A text that the log
// has twice is given once. The Recorded is f's to keep; memory does not grow with what is read, but for the summary.
//
// What f is given was proven and checked by itself, and against what came before it. That the session is whole follows only from
// the summary, which there is when all of it was read: with an error, what f was given is not to be used. f's own error is
// returned as it is, and ends the reading.
//
// Covering is asked whenever entries come that the last checkpoint does not cover; nil stands for Checkpoint. Where it gives none
// that does, a thousand wait for a later one; what comes then is given unproven, and so is everything above.
//
// Each page is an access on the log's record: there is one for 500 entries.
func (r *Reader) ReadStream(ctx context.Context, session string, covering Covering, f func(Recorded) error) (*SessionSummary, error) {
	if err := entry.CheckSession(session); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if covering == nil {
		covering = func(ctx context.Context, _ uint64) (trust.Checkpoint, error) { return r.Checkpoint(ctx) }
	}
	s := &stream{reader: r, covering: covering, give: f, sum: &SessionSummary{Session: session, blobs: newBlobSet()}}
	for from := uint64(0); ; {
		page, err := r.page(ctx, session, from, streamPage)
		if err != nil {
			return nil, err
		}
		if err := s.take(from, page.Entries); err != nil {
			return nil, err
		}
		if err := s.pass(ctx, page.Next == nil); err != nil {
			return nil, err
		}
		if page.Next == nil {
			return s.sum, s.sum.finish()
		}
		if len(page.Entries) == 0 || *page.Next <= s.last {
			return nil, errors.New("reading entries: the pages do not go on")
		}
		from = *page.Next
	}
}

const (
	streamPage = 500  // entries of a page: what the server gives at most
	maxHeld    = 1000 // entries that may wait for a checkpoint
)

// page reads one page of a session's entries, by index.
func (r *Reader) page(ctx context.Context, session string, from uint64, limit int) (page wire.Entries, err error) {
	q := url.Values{"from": {strconv.FormatUint(from, 10)}, "limit": {strconv.Itoa(limit)}}
	if _, err := r.http.getJSON(ctx, pathFor(wire.PathEntries, session), q, maxPage, &page); err != nil {
		return page, fmt.Errorf("reading entries: %w", err)
	}
	return page, nil
}

// A stream is a session that is being read.
type stream struct {
	reader   *Reader
	covering Covering
	give     func(Recorded) error
	sum      *SessionSummary
	taken    int        // leaves that were sent
	last     uint64     // the index of the last of them
	own      uint64     // size of the smallest tree that has the session's own entries so far
	held     []Recorded // by index, not checked yet
	unproven bool       // that given last was, so that no checkpoint is wanted any more
}

// take parses a page's leaves, in ascending order of index.
func (s *stream) take(from uint64, leaves []wire.Leaf) error {
	for _, l := range leaves {
		if s.taken == maxRecorded || l.Index < from || s.taken > 0 && l.Index <= s.last {
			return errors.New("reading entries: too many, or not in order")
		}
		s.taken, s.last = s.taken+1, l.Index
		x := Recorded{Index: l.Index, Leaf: []byte(l.Leaf)}
		var err error
		if x.Entry, err = entry.Parse(x.Leaf); err != nil {
			return &RecordError{x.Index, x.Leaf, err}
		}
		if x.Entry.Track != entry.SystemTrack {
			s.own = x.Index + 1
		}
		s.sum.plan(x)
		s.held = append(s.held, x)
	}
	return nil
}

// pass checks what is held and gives it on, in order: what a checkpoint covers, and what waits for none any more.
func (s *stream) pass(ctx context.Context, end bool) error {
	if len(s.held) == 0 {
		return nil
	}
	if s.last >= s.sum.Checkpoint.Size && !s.unproven {
		c, err := s.covering(ctx, s.own)
		if err != nil {
			return err
		}
		if c.Size > s.sum.Checkpoint.Size {
			s.sum.Checkpoint = c
		}
	}
	n := len(s.held)
	for n > 0 && s.held[n-1].Index >= s.sum.Checkpoint.Size {
		n--
	}
	if err := s.reader.prove(ctx, s.sum.Checkpoint, s.held[:n]); err != nil {
		return err
	}
	if end || len(s.held)-n > maxHeld {
		s.unproven = n < len(s.held)
		n = len(s.held)
	}
	if err := s.check(ctx, s.held[:n]); err != nil {
		return err
	}
	s.held = slices.Delete(s.held, 0, n)
	return nil
}

// prove checks that leaves are in the tree of a checkpoint that covers them.
func (r *Reader) prove(ctx context.Context, c trust.Checkpoint, leaves []Recorded) error {
	if len(leaves) == 0 {
		return nil
	}
	indexes := make([]uint64, len(leaves))
	for i, x := range leaves {
		indexes[i] = x.Index
	}
	hashes, err := r.keeper.leaves(ctx, c, indexes)
	if err != nil {
		return err
	}
	for i, h := range hashes {
		if h != tiles.LeafHash(leaves[i].Leaf) {
			return &RecordError{leaves[i].Index, leaves[i].Leaf, fmt.Errorf("another leaf stands there in the tree of size %d", c.Size)}
		}
		leaves[i].Proven = true
	}
	return nil
}

func (s *stream) check(ctx context.Context, leaves []Recorded) error {
	for _, x := range leaves {
		fresh, err := s.add(ctx, x)
		if err != nil {
			return &RecordError{x.Index, x.Leaf, err}
		}
		if !fresh {
			continue
		}
		if err := s.give(x); err != nil {
			return err
		}
	}
	return nil
}

// add checks one entry and takes it into the summary. It tells whether its text was not there already.
func (s *stream) add(ctx context.Context, x Recorded) (fresh bool, err error) {
	t := s.reader.trust
	witnessed := x.Proven && s.sum.Checkpoint.Witnessed // by a checkpoint with the quorum
	if err := t.VerifyReceivedAt(x.Entry, x.Index, witnessed); err != nil {
		return false, err
	}
	anchors := t.AnchorsAt(x.Index, witnessed)
	if x.Entry.Track == entry.SystemTrack {
		s.sum.Mentions++
		return true, checkMention(anchors, x.Entry)
	}
	if x.Entry.Session != s.sum.Session {
		return false, errors.New("it is of another session")
	}
	track := s.sum.track(x.Entry.Track)
	if track == nil {
		opened, err := anchors.Open(x.Entry, x.Entry.Received.Time)
		if err != nil {
			return false, err
		}
		s.sum.Tracks = append(s.sum.Tracks, TrackSummary{Track: *opened, FirstIndex: x.Index})
		if err := t.CheckRecorder(opened.Enrolment.RecorderKey, x.Index, witnessed); err != nil {
			return false, err
		}
		return true, s.sum.extend(s.sum.track(opened.Name), x)
	}
	if err := t.CheckRecorder(track.Enrolment.RecorderKey, x.Index, witnessed); err != nil {
		return false, err
	}
	if x.Entry.Seq < track.Next {
		return false, s.repeated(ctx, track, x)
	}
	if err := errors.Join(track.Check(x.Entry), x.Entry.VerifyRecorder(track.Verifier)); err != nil {
		return false, err
	}
	track.Extend(x.Entry)
	return true, s.sum.extend(track, x)
}

// checkMention checks an entry of a system session. Its chain is not followed: only the entries that speak of the session were sent.
func checkMention(a entry.Anchors, e *entry.Entry) error {
	if e.Origin != a.Origin {
		return errors.New("it was made for another log")
	}
	v, err := a.System.Verifier(e.Recorder.Name, e.Recorder.Hash)
	if err != nil {
		return fmt.Errorf("it is signed by no system key that counts here: %w", err)
	}
	return e.VerifyRecorder(v)
}

// repeated lets a text pass that the log has already, which counts once. It is equivocation only if the track's own key signed both.
func (s *stream) repeated(ctx context.Context, t *TrackSummary, x Recorded) error {
	have := t.row(x.Entry.Seq)
	if have.seq == x.Entry.Seq && have.hash == x.Entry.Hash() {
		return nil
	}
	if err := x.Entry.VerifyRecorder(t.Verifier); err != nil {
		return err
	}
	// It was checked, and is not held any more.
	first := Recorded{Index: have.index}
	page, err := s.reader.page(ctx, s.sum.Session, have.index, 1)
	if err == nil && len(page.Entries) > 0 && page.Entries[0].Index == have.index {
		first.Leaf = []byte(page.Entries[0].Leaf)
		if first.Entry, err = entry.Parse(first.Leaf); err == nil && first.Entry.Hash() != have.hash {
			first.Leaf, first.Entry = nil, nil
		}
	}
	return errors.Join(&EquivocationError{first, x}, err)
}

func (s *SessionSummary) track(name string) *TrackSummary {
	for i := range s.Tracks {
		if s.Tracks[i].Name == name {
			return &s.Tracks[i]
		}
	}
	return nil
}

// extend takes an entry in that the track was moved past.
func (s *SessionSummary) extend(t *TrackSummary, x Recorded) error {
	t.Entries++
	t.LastIndex = x.Index
	t.rows = append(t.rows, entryRow{x.Entry.Seq, x.Entry.Next(), x.Index, x.Entry.Hash()})
	for _, b := range x.Entry.Blobs {
		s.blobs.add(b.SHA256)
	}
	for i, ev := range x.Entry.Events {
		keys, err := commitments(ev)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			s.commits = append(s.commits, committed{t.Name, x.Entry.Seq + uint64(i), x.Index, keys})
		}
	}
	if t.Closed && t.Name == entry.MainTrack {
		t.closes = &entry.SessionClose{}
		return x.Entry.Events[len(x.Entry.Events)-1].Decode(t.closes)
	}
	return nil
}

// row is the entry that holds the event of a sequence number below Next.
func (t *TrackSummary) row(seq uint64) entryRow {
	i, _ := slices.BinarySearchFunc(t.rows, seq, func(r entryRow, seq uint64) int {
		switch {
		case r.next <= seq:
			return -1
		case r.seq > seq:
			return 1
		}
		return 0
	})
	return t.rows[i]
}

// finish puts the tracks in order and compares them with each other.
func (s *SessionSummary) finish() error {
	s.blobs.finish()
	slices.SortFunc(s.Tracks, func(a, b TrackSummary) int { return compareTracks(a.Name, b.Name) })
	if len(s.Tracks) == 0 || s.Tracks[0].Name != entry.MainTrack {
		return errors.New("the server sent no entry of track main")
	}
	main := &s.Tracks[0]
	for _, t := range s.Tracks[1:] {
		if err := t.Binds(main.First); err != nil {
			return &RecordError{t.FirstIndex, nil, err}
		}
	}
	if !main.Closed {
		return nil
	}
	for _, end := range main.closes.Tracks {
		if !end.Lost && !s.has(end) {
			s.Incomplete = append(s.Incomplete, end)
		}
	}
	return nil
}

// compareTracks orders track names: main first.
func compareTracks(a, b string) int {
	if (a == entry.MainTrack) != (b == entry.MainTrack) {
		if a == entry.MainTrack {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// has tells whether a track reaches to an end, at which one of its entries ends. It may go on: late entries are admitted.
func (s *SessionSummary) has(end entry.TrackEnd) bool {
	t := s.track(string(end.Track))
	if t == nil || end.Next == 0 || end.Next > t.Next {
		return false
	}
	r := t.row(end.Next - 1)
	return r.next == end.Next && r.hash == end.Head
}
