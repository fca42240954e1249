package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A Span is where events came to stand on their track: sequence numbers from Seq to below Next.
type Span struct {
	Seq, Next uint64
}

// A Track records. It is safe for concurrent use: what is given to it while a write or a request is under way is packed
// together into the next.
type Track struct {
	r             *Recorder
	session, name string
	spool         *trackSpool
	write         chan struct{} // holds one token: the right to build and to append entries
	batch         int           // entries of one request; the sender's alone

	mu        sync.Mutex
	pending   []*call
	state     trackState
	items     []*item // in order, those that are acked first
	builder   *recorder.Track
	keys      payload.Keys
	closing   bool // a session.close is being written, or was
	ended     bool // it was acknowledged
	left      bool
	failed    error         // why nothing will be sent any more
	lastSend  error         // how the last attempt ended
	withdrawn *Problem      // why the last session.close was withdrawn
	changed   chan struct{} // closed, and replaced, when any of this changes
}

// call is a caller's events on their way into the spool.
type call struct {
	events  []recorder.Event
	reserve bool // may use the reserve of the spool
	done    bool
	span    Span
	err     error
}

func newTrack(r *Recorder, state trackState, spool *trackSpool) *Track {
	t := &Track{r: r, session: state.Session, name: state.Track, spool: spool, state: state,
		write: make(chan struct{}, 1), batch: maxSendEntries, changed: make(chan struct{})}
	t.write <- struct{}{}
	return t
}

func loadedTrack(r *Recorder, sc *scan, spool *trackSpool) *Track {
	t := newTrack(r, sc.state, spool)
	t.items, t.closing, t.left = sc.items, sc.closed, sc.left
	t.ended = sc.closed && sc.state.Acked == sc.state.Next
	return t
}

func (t *Track) id() string { return t.session + "/" + t.name }

// Session is the session's id.
func (t *Track) Session() string { return t.session }

// Name is the track's name.
func (t *Track) Name() string { return t.name }

// Next is the sequence number of the next event, and Head the hash of the last entry's text, as they stand here.
func (t *Track) Next() (next uint64, head entry.Hash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Next, t.state.Head
}

// Record returns when the events are durable in the log: fsynced here, sent, and acknowledged by a receipt that was
// verified. If ctx ends before, or the server cannot be reached until then, the error is ErrPending: the events are in the
// spool and will be sent. On every other error they were not recorded, or the track has ended (RefusedError and others).
func (t *Track) Record(ctx context.Context, events ...recorder.Event) (Span, error) {
	span, err := t.put(ctx, &call{events: events})
	if err != nil {
		return span, err
	}
	return span, t.acked(ctx, span)
}

// Spool returns when the events are fsynced here; they are sent in the order in which they were taken. It works while the
// server is away or distrusted, and takes room that Record leaves it: use it for what has happened and must not be lost.
func (t *Track) Spool(events ...recorder.Event) (Span, error) {
	return t.put(context.Background(), &call{events: events, reserve: true})
}

// put brings a call's events into the spool. Whoever gets the right to write does it for all that wait.
func (t *Track) put(ctx context.Context, c *call) (Span, error) {
	if len(c.events) == 0 {
		return Span{}, errors.New("client: no events")
	}
	// What has happened is kept also when the log is not trusted any more.
	if err := t.r.ok(); err != nil && !(c.reserve && errors.Is(err, ErrDistrusted)) {
		return Span{}, err
	}
	t.mu.Lock()
	t.pending = append(t.pending, c)
	t.mu.Unlock()
	select {
	case <-t.write:
	case <-ctx.Done():
		t.mu.Lock()
		for i, p := range t.pending {
			if p == c {
				t.pending = append(t.pending[:i:i], t.pending[i+1:]...)
				t.mu.Unlock()
				return Span{}, ctx.Err()
			}
		}
		t.mu.Unlock()
		<-t.write // somebody is writing it at this moment
	}
	defer func() { t.write <- struct{}{} }()
	if !c.done {
		t.writePending()
	}
	return c.span, c.err
}

// writePending builds, appends and syncs what is pending. The caller has the right to write.
func (t *Track) writePending() {
	t.mu.Lock()
	calls := t.pending
	t.pending = nil
	err := t.failed
	switch {
	case err != nil:
	case t.closing || t.left:
		err = ErrClosed
	case t.builder == nil:
		err = ErrNotResumed
	}
	t.mu.Unlock()
	var events []recorder.Event
	var taken []*call
	for _, c := range calls {
		c.done = true
		if c.err = err; c.err == nil {
			c.err = t.room(c.reserve)
		}
		if c.err == nil {
			taken, events = append(taken, c), append(events, c.events...)
		}
	}
	if len(taken) == 0 {
		return
	}
	before := t.builder.Next()
	if err := t.writeEvents(events, nil); err == nil {
		for _, c := range taken {
			c.span = Span{before, before + uint64(len(c.events))}
			before = c.span.Next
		}
		return
	}
	// One of them is at fault, or the disk: each alone.
	for _, c := range taken {
		before := t.builder.Next()
		if c.err = t.writeEvents(c.events, nil); c.err == nil {
			c.span = Span{before, t.builder.Next()}
		}
	}
}

// room tells whether the spool takes more. It is judged before building, so the bound can be exceeded by what one write
// holds.
func (t *Track) room(reserve bool) error {
	used, limit := t.r.dir.used.Load(), t.r.dir.max
	if reserve {
		limit += t.r.dir.reserve()
	}
	if used >= limit {
		return fmt.Errorf("%w: %d bytes of %d", ErrSpoolFull, used, limit)
	}
	if reserve {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, it := range t.items {
		if !it.acked {
			if age := t.r.cfg.Now().Sub(it.since.Time()); age > t.r.cfg.MaxAge {
				return fmt.Errorf("%w: its oldest entry has waited for %v, at most %v", ErrSpoolFull, age, t.r.cfg.MaxAge)
			}
			break
		}
	}
	return nil
}

// writeEvents builds entries of events and makes them durable in the spool. On an error the track stands where it stood.
func (t *Track) writeEvents(events []recorder.Event, wraps []wire.Wrap) error {
	if err := t.maybeRotate(); err != nil {
		return err
	}
	built, err := t.builder.Build(events...)
	if err != nil {
		return err
	}
	if err := t.writeBuilt(built, wraps); err != nil {
		return errors.Join(err, t.rewind())
	}
	return nil
}

func (t *Track) writeBuilt(built []recorder.Built, wraps []wire.Wrap) error {
	now := entry.TimeOf(t.r.cfg.Now())
	records := make([]record, len(built))
	for i, b := range built {
		sub := wire.Submitted{Entry: b.Submission, Blobs: b.Blobs}
		if i == 0 {
			sub.Wraps = wraps
		}
		data, err := wire.Append(make([]byte, 0, sizeOf(sub)), sub)
		if err != nil {
			return err
		}
		if len(data) > maxRecord {
			return fmt.Errorf("an entry with blobs of %d bytes, the spool takes %d", len(data), maxRecord)
		}
		records[i] = record{kindEntry, now, data}
	}
	last := built[len(built)-1]
	places, err := t.spool.append(last.Seq+last.Count, records...)
	if err != nil {
		return err
	}
	// Only what is synced is shown to the sender: an entry that the log has and a power cut took from here would be
	// followed by another one with its number.
	if err := t.spool.sync(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, b := range built {
		t.items = append(t.items, &item{seq: b.Seq, count: b.Count, hash: b.Hash, prev: t.state.Head, at: places[i], since: now,
			closes: t.closing && i == len(built)-1})
		if b.Seq == 0 {
			t.state.First = b.Hash
		}
		t.state.Next, t.state.Head = b.Seq+b.Count, b.Hash
	}
	t.wake()
	return nil
}

// sizeOf is about the length of a submission.
func sizeOf(s wire.Submitted) int {
	n := len(wire.Magic) + len(s.Entry) + 64
	for _, b := range s.Blobs {
		n += len(b) + 64
	}
	for _, w := range s.Wraps {
		n += len(w.File) + 64
	}
	return n
}

// rewind makes the builder stand where the spool stands.
func (t *Track) rewind() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, err := t.newBuilder(t.keys)
	if err != nil {
		return err
	}
	t.builder = b
	return nil
}

// newBuilder needs t.mu.
func (t *Track) newBuilder(keys payload.Keys) (*recorder.Track, error) {
	return recorder.New(recorder.Config{Origin: t.state.Origin, Session: t.session, Track: t.name, Signer: t.r.cfg.Signer,
		Keys: keys, Rand: t.r.cfg.Rand, Next: t.state.Next, Head: t.state.Head, Now: t.r.cfg.Now})
}

// maybeRotate begins a new segment when the active one is large. The caller has the right to write.
func (t *Track) maybeRotate() error {
	if t.spool.activeSize() < t.r.dir.segmentBytes() {
		return nil
	}
	t.mu.Lock()
	state := t.state
	t.mu.Unlock()
	return t.spool.rotate(state)
}

// wake needs t.mu.
func (t *Track) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// acked waits until the log has acknowledged a span. Of a log that is not trusted any more nothing is.
func (t *Track) acked(ctx context.Context, span Span) error {
	for {
		if err := t.r.trusted(); err != nil {
			return err
		}
		t.mu.Lock()
		acked, failed, lastSend, changed := t.state.Acked, t.failed, t.lastSend, t.changed
		t.mu.Unlock()
		if acked >= span.Next {
			return nil
		}
		if failed != nil {
			return failed
		}
		select {
		case <-changed:
		case <-t.r.distrusts:
			return t.r.ok()
		case <-ctx.Done():
			if err := t.r.trusted(); err != nil {
				return err // pending would mean that the spool may stand in for it
			}
			return &PendingError{t.session, t.name, span.Seq, ctx.Err(), lastSend}
		}
	}
}

// drain waits until all entries are proven to be in the log, if only under a checkpoint that the log alone has signed. What
// is acknowledged when ctx ends is good enough.
func (t *Track) drain(ctx context.Context) error {
	for {
		t.mu.Lock()
		left := slices.ContainsFunc(t.items, func(it *item) bool { return it.integrated == 0 })
		acked, next, failed, lastSend, changed := t.state.Acked, t.state.Next, t.failed, t.lastSend, t.changed
		t.mu.Unlock()
		if failed != nil && acked < next {
			return failed
		}
		if !left || failed != nil {
			return nil
		}
		select {
		case <-changed:
			continue
		case <-t.r.distrusts:
			return t.r.trusted()
		case <-ctx.Done():
		}
		if acked < next {
			return &PendingError{t.session, t.name, acked, ctx.Err(), lastSend}
		}
		return nil
	}
}

// end makes err what every call on the track returns from now on, unless there is a reason already.
func (t *Track) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = err
	}
	t.wake()
}

func (t *Track) shown() SpooledTrack {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := SpooledTrack{Session: t.session, Track: t.name, Next: t.state.Next, Head: t.state.Head, Closed: t.closing, Left: t.left, Err: t.failed}
	if s.Err == nil {
		s.Err = t.lastSend
	}
	for _, it := range t.items {
		s.Entries = append(s.Entries, it.shown(t.failed != nil))
	}
	return s
}
