package recording

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

const (
	indexBatch = 2048                   // leaves of one batch
	indexCache = 10_000                 // sessions whose rows are held between batches
	indexPause = 100 * time.Millisecond // between batches when the log is quiet: more leaves gather
	readerWait = 2 * time.Second        // that a reader waits for it
	indexRetry = time.Second            // after an error
)

// A follower keeps the index behind the log: one goroutine, in batches. It needs nothing but the leaves and the index, so
// that a restart goes on where it was, and a dropped index is built anew.
type follower struct {
	r     *Recording
	wake  chan struct{}
	rows  map[string]*indexed
	touch map[string]bool // sessions of the batch
	batch storage.IndexBatch

	mu    sync.Mutex
	size  uint64
	moved chan struct{} // closed and replaced when size changes
}

// indexed is a session's row, and where its tracks stand in the index: a leaf that does not continue its track is one that
// the log holds twice or that lost its place, and has no row.
type indexed struct {
	row  storage.SessionRow
	next map[string]uint64
}

func newFollower(r *Recording) *follower {
	return &follower{r: r, wake: make(chan struct{}, 1), moved: make(chan struct{}), rows: map[string]*indexed{}}
}

// Indexed is the number of leaves that the index reflects.
func (r *Recording) Indexed() uint64 {
	r.follower.mu.Lock()
	defer r.follower.mu.Unlock()
	return r.follower.size
}

// CatchUp waits, for a short while, until the index reflects every leaf that is in the log now, so that a reader finds what
// was acknowledged before they asked. It returns what the index reflects then; whether that is all, the reader is told.
func (r *Recording) CatchUp(ctx context.Context) uint64 {
	if size := r.cfg.Log.Size(); size > 0 {
		ctx, cancel := context.WithTimeout(ctx, readerWait)
		defer cancel()
		_ = r.follower.wait(ctx, size-1) // behind is no error for a reader
	}
	return r.Indexed()
}

func (f *follower) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// wait returns when the index reflects the leaf, or after a while with a Problem.
func (f *follower) wait(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, indexWait)
	defer cancel()
	for {
		f.mu.Lock()
		size, moved := f.size, f.moved
		f.mu.Unlock()
		if size > index {
			return nil
		}
		f.poke()
		select {
		case <-moved:
		case <-ctx.Done():
			p := problem(CodeIndexBehind, "it was in the log before, and the index is behind: try again later")
			p.Err = ctx.Err()
			return p
		}
	}
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := f.step(ctx)
		pause := time.Duration(0)
		switch {
		case err != nil && ctx.Err() == nil:
			f.r.cfg.Logger.Error("indexing", "error", err)
			clear(f.rows) // the index may be at the old size or the new
			pause = indexRetry
		case n < indexBatch:
			pause = indexPause
		}
		if n == 0 && err == nil {
			select {
			case <-f.wake:
			case <-ctx.Done():
			}
			continue
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// step indexes the next batch of leaves and tells how many there were.
func (f *follower) step(ctx context.Context) (int, error) {
	size, err := f.r.cfg.Index.Size(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the index's size: %w", err)
	}
	f.reached(size)
	end := f.r.cfg.Log.Size()
	if size > end {
		f.r.cfg.Logger.Warn("the index reflects more than the log holds; building it anew", "index", size, "log", end)
		return 0, f.r.cfg.Index.Drop(ctx)
	}
	if end = min(end, size+indexBatch); end == size {
		return 0, nil
	}
	reader, err := f.r.cfg.Log.Reader()
	if err != nil {
		return 0, err
	}
	f.batch, f.touch = storage.IndexBatch{}, map[string]bool{}
	err = tiles.Each(ctx, reader, size, end, summaries, func(_ uint64, all []*summary) error {
		for _, s := range all {
			if err := f.take(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for session := range f.touch {
		f.batch.Sessions = append(f.batch.Sessions, f.rows[session].row)
	}
	if err := f.r.cfg.Index.Apply(ctx, end, f.batch); err != nil {
		return 0, err
	}
	f.reached(end)
	if len(f.rows) > indexCache {
		clear(f.rows)
	}
	return int(end - size), nil
}

func (f *follower) reached(size uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size == size {
		return
	}
	f.size = size
	close(f.moved)
	f.moved = make(chan struct{})
}

// A summary is what the index needs of a leaf.
type summary struct {
	*digest
	opens *entry.SessionOpen // a session, if it does
	refs  []entry.ExternalRef
}

func summaries(first uint64, leaves [][]byte) ([]*summary, error) {
	all := make([]*summary, len(leaves))
	for i, leaf := range leaves {
		e, err := entry.Parse(leaf)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", first+uint64(i), err)
		}
		d, err := digestOf(e)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", first+uint64(i), err)
		}
		d.index = first + uint64(i)
		s := &summary{digest: d}
		if err := s.more(e); err != nil {
			return nil, fmt.Errorf("leaf %d: %w", d.index, err)
		}
		all[i] = s
	}
	return all, nil
}

func (s *summary) more(e *entry.Entry) error {
	for _, ev := range e.Events {
		if ev.Type == entry.TypeSessionOpen {
			s.opens = &entry.SessionOpen{}
			if err := ev.Decode(s.opens); err != nil {
				return err
			}
		}
		if bytes.Contains(ev.Raw, []byte(`"refs":[`)) { // quotes in strings are escaped: it can't stand in one
			var v struct {
				Refs []entry.ExternalRef `json:"refs"`
			}
			if err := ev.Decode(&v); err != nil {
				return err
			}
			s.refs = append(s.refs, v.Refs...)
		}
	}
	return nil
}

// row returns a session's row as the batch has made it so far, nil if nobody knows it.
func (f *follower) row(ctx context.Context, session string) (*indexed, error) {
	if x := f.rows[session]; x != nil {
		return x, nil
	}
	row, err := f.r.cfg.Index.Session(ctx, session)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the row of a session: %w", err)
	}
	f.rows[session] = &indexed{row: row, next: map[string]uint64{}}
	return f.rows[session], nil
}

func (f *follower) take(ctx context.Context, s *summary) error {
	if s.track == entry.SystemTrack {
		return f.takeSystem(ctx, s)
	}
	x, err := f.row(ctx, s.session)
	if err != nil {
		return err
	}
	if x == nil {
		if s.opens == nil {
			return nil
		}
		x = f.opened(s)
	}
	if fits, err := f.fits(ctx, x, s); err != nil || !fits {
		return err
	}
	x.next[s.track] = s.next
	x.row.Events += s.next - s.seq
	if s.close != nil {
		x.row.Closed = int64(s.received)
	}
	f.touch[s.session] = true
	f.batch.Entries = append(f.batch.Entries, storage.EntryRow{
		Index: s.index, Session: s.session, Track: s.track, Seq: s.seq, Count: s.next - s.seq, Received: int64(s.received),
	})
	for _, ref := range s.refs {
		f.batch.Refs = append(f.batch.Refs, storage.RefRow{
			Session: s.session, System: string(ref.System), Type: string(ref.Type), ID: string(ref.ID), Index: s.index,
		})
	}
	return nil
}

func (f *follower) opened(s *summary) *indexed {
	x := &indexed{next: map[string]uint64{}, row: storage.SessionRow{
		Session: s.session, Agent: string(s.opens.Agent), Privilege: string(s.opens.Privilege),
		Tenant: string(s.opens.Tenant), Environment: string(s.opens.Environment), State: stateOpen,
		Opened: int64(s.received), OpenIndex: s.index, Managed: f.r.isManaged(s.digest),
	}}
	f.rows[s.session] = x
	return x
}

// fits tells whether the entry continues its track.
func (f *follower) fits(ctx context.Context, x *indexed, s *summary) (bool, error) {
	if next, ok := x.next[s.track]; ok || s.seq == 0 && s.index == x.row.OpenIndex {
		return s.seq == next, nil
	}
	// The rows were let go of, or another process made them.
	_, err := f.r.cfg.Index.EntryAt(ctx, s.session, s.track, s.seq)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return false, fmt.Errorf("looking for an entry's row: %w", err)
	}
	if s.seq == 0 {
		return true, nil
	}
	_, err = f.r.cfg.Index.EntryAt(ctx, s.session, s.track, s.seq-1)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (f *follower) takeSystem(ctx context.Context, s *summary) error {
	f.batch.Entries = append(f.batch.Entries, storage.EntryRow{
		Index: s.index, Session: s.session, Track: s.track, Seq: s.seq, Count: s.next - s.seq, Received: int64(s.received),
	})
	about := map[string]bool{}
	for _, m := range s.system {
		for _, session := range mentions(m) {
			about[session] = true
		}
		if m.session == "" {
			continue
		}
		x, err := f.row(ctx, m.session)
		if err != nil {
			return err
		}
		if x == nil {
			continue
		}
		switch v := m.value.(type) {
		case *entry.Admitted:
			if v.Track == entry.MainTrack {
				x.row.Principal, x.row.Number = string(v.Principal), v.Number
			}
		case *entry.Verdict:
			// What came after the close makes a session no more whole than it was.
			if x.row.State != stateInterrupted || v.Why != "after-close" {
				x.row.State = string(v.Verdict)
			}
		default:
			continue
		}
		f.touch[m.session] = true
	}
	for session := range maps.Keys(about) {
		f.batch.Mentions = append(f.batch.Mentions, storage.MentionRow{Session: session, Index: s.index})
	}
	return nil
}
