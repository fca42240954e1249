package client

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log/tiles"
)

// A State says how far a spooled entry got.
type State string

// The states of a spooled entry. What is verified is not kept.
const (
	Spooled State = "spooled" // fsynced here; the log has not acknowledged it, as far as this recorder knows
	Durable State = "durable" // acknowledged by a verified receipt; not yet proven to be in the tree
	// Integrated is proven to be in the tree of a checkpoint that the log has signed, and not yet in that of one that has
	// the quorum of witnesses. It is known to the recorder alone, not to ReadSpool.
	Integrated State = "integrated"
	Refused    State = "refused" // the server will not take it: see the track's Err
)

// A SpooledTrack is what a spool holds of a track.
type SpooledTrack struct {
	Session, Track string
	Next           uint64 // sequence number of the next event
	Head           entry.Hash
	Entries        []SpooledEntry // not yet proven to be in the log, in order
	Closed, Left   bool           // session.close was written, or the recorder is done with the track
	Torn           bool           // the last write had not ended when the recorder did
	Err            error          // why nothing is sent, or how the last attempt to send ended; nil offline
}

// A SpooledEntry is an entry in the spool.
type SpooledEntry struct {
	Seq, Count uint64
	Hash       entry.Hash
	Bytes      int64 // with blobs and wraps
	Since      time.Time
	State      State
	Index      uint64 // in the log, as the server says, from state durable on
}

// An item is an entry that the spool keeps.
type item struct {
	seq, count uint64
	hash, prev entry.Hash
	at         place
	since      entry.Time
	closes     bool // session.close
	acked      bool
	index      uint64
	leaf       tiles.Hash // hash of the leaf, once acked
	integrated uint64     // size of the signed checkpoint under which it was proven, or 0
	waited     int        // times that it was looked for under a published one that did not cover it
}

func (it *item) next() uint64 { return it.seq + it.count }

// parse reads the item's record. It was checked when it was written or scanned; the hash tells whether the disk gave it back.
func (it *item) parse(data []byte) (wire.Submitted, error) {
	subs, err := wire.Parse(data)
	if err != nil {
		return wire.Submitted{}, err
	}
	text, _, ok := bytes.Cut(subs[0].Entry, []byte("\n\n"))
	if len(subs) != 1 || !ok || entry.HashOf(subs[0].Entry[:len(text)+1]) != it.hash {
		return wire.Submitted{}, errors.New("the entry is not the one that was written")
	}
	return subs[0], nil
}

func (it *item) shown(refused bool) SpooledEntry {
	e := SpooledEntry{Seq: it.seq, Count: it.count, Hash: it.hash, Bytes: int64(it.at.length),
		Since: it.since.Time(), State: Spooled, Index: it.index}
	switch {
	case it.integrated > 0:
		e.State = Integrated
	case it.acked:
		e.State = Durable
	case refused:
		e.State = Refused
	}
	return e
}

// A scan is a track as its segments tell it.
type scan struct {
	dir    string
	id     string // SESSION/TRACK, by the names of the files
	state  trackState
	items  []*item
	closed bool
	left   bool
	segs   []segment
	torn   int64 // offset at which the last segment is cut, -1 if it is whole
	// onLeaf, if set, is given every acknowledged entry with its receipt.
	onLeaf func(seq uint64, leaf []byte)
}

// scanDir finds the segments of every track, in order.
func scanDir(dir string) (map[string][]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading spool: %w", err)
	}
	found := make(map[string][]segment)
	for _, e := range entries { // sorted by name, so by number
		if session, track, n, ok := parseSegmentName(e.Name()); ok && e.Type().IsRegular() {
			id := session + "/" + track
			found[id] = append(found[id], segment{n: n, path: filepath.Join(dir, e.Name())})
		}
	}
	return found, nil
}

// scanTrack reads a track's segments. It changes nothing.
func scanTrack(segs []segment) (*scan, error) {
	sc := &scan{torn: -1}
	return sc, sc.read(segs)
}

func (sc *scan) read(segs []segment) error {
	if len(segs) == 0 {
		return errors.New("reading spool: no segment")
	}
	sc.dir = filepath.Dir(segs[0].path)
	session, track, _, _ := parseSegmentName(filepath.Base(segs[0].path))
	sc.id = session + "/" + track
	for i, seg := range segs {
		if i > 0 && seg.n != segs[i-1].n+1 {
			return &SpoolError{seg.path, 0, errors.New("the segment before it is missing")}
		}
		b, err := os.ReadFile(seg.path)
		if err != nil {
			return fmt.Errorf("reading spool: %w", err)
		}
		if err := sc.segment(seg, b, i == len(segs)-1); err != nil {
			return err
		}
	}
	return nil
}

func (sc *scan) segment(seg segment, b []byte, last bool) error {
	if !strings.HasPrefix(string(b[:min(len(b), len(spoolMagic))]), spoolMagic) {
		return &SpoolError{seg.path, 0, fmt.Errorf("the first line is not %q", spoolMagic[:len(spoolMagic)-1])}
	}
	for at := len(spoolMagic); at < len(b); {
		r, n, err := nextRecord(b[at:])
		if err != nil {
			// A first record is created whole, and only the last segment is ever appended to.
			if !last || at == len(spoolMagic) {
				return &SpoolError{seg.path, int64(at), err}
			}
			sc.torn, seg.size = int64(at), int64(at)
			break
		}
		where := place{seg.n, int64(at) + recordHead, len(r.data)}
		if err := sc.record(r, where, at == len(spoolMagic)); err != nil {
			return &SpoolError{seg.path, int64(at), err}
		}
		at += n
		seg.size = int64(at)
	}
	if seg.size == 0 {
		return &SpoolError{seg.path, 0, errors.New("no record")}
	}
	seg.end = sc.state.Next
	sc.segs = append(sc.segs, seg)
	return nil
}

func (sc *scan) record(r record, at place, first bool) error {
	if first != (r.kind == kindTrack) {
		return fmt.Errorf("record %c is out of place", r.kind)
	}
	switch r.kind {
	case kindTrack:
		return sc.track(r)
	case kindEntry:
		return sc.entry(r, at)
	case kindReceipt:
		var n receiptNote
		if err := r.decode(&n); err != nil {
			return err
		}
		return sc.receipt(n)
	case kindVerified:
		var n verifiedNote
		if err := r.decode(&n); err != nil {
			return err
		}
		sc.items = slices.DeleteFunc(sc.items, func(it *item) bool { return it.next() <= n.Next })
	case kindWithdrawn:
		var n withdrawnNote
		if err := r.decode(&n); err != nil {
			return err
		}
		return sc.withdraw(n)
	case kindLeft:
		sc.left = true
	default:
		return fmt.Errorf("record of unknown kind %#02x", byte(r.kind))
	}
	return nil
}

func (sc *scan) track(r record) error {
	var s trackState
	if err := r.decode(&s); err != nil {
		return err
	}
	if s.Session+"/"+s.Track != sc.id {
		return errors.New("segment is of another track than its name says")
	}
	if sc.segs != nil && (s.Next != sc.state.Next || s.Head != sc.state.Head) {
		return errors.New("segment does not continue the one before")
	}
	acked, head := sc.state.Acked, sc.state.AckedHead
	if sc.state = s; acked > s.Acked {
		sc.state.Acked, sc.state.AckedHead = acked, head
	}
	return nil
}

func (sc *scan) entry(r record, at place) error {
	sub, err := parseEntryRecord(r.data)
	if err != nil {
		return err
	}
	e := sub.entry
	if e.Origin != sc.state.Origin || e.Session != sc.state.Session || e.Track != sc.state.Track ||
		e.Seq != sc.state.Next || e.Prev != sc.state.Head {
		return errors.New("record E: the entry does not follow the one before")
	}
	it := &item{seq: e.Seq, count: uint64(len(e.Events)), hash: e.Hash(), prev: e.Prev, at: at, since: r.time,
		closes: e.Events[len(e.Events)-1].Type.Ends()}
	if e.Seq == 0 {
		sc.state.First = it.hash
	}
	sc.state.Next, sc.state.Head, sc.closed = it.next(), it.hash, it.closes
	sc.items = append(sc.items, it)
	return nil
}

// receipt notes that an entry was acknowledged.
func (sc *scan) receipt(n receiptNote) error {
	for _, it := range sc.items {
		if it.seq == n.Seq {
			it.acked, it.index = true, n.Index
			sc.state.Acked, sc.state.AckedHead = it.next(), it.hash
			return sc.leafOf(it, n.Received)
		}
	}
	return nil // verified and dropped since
}

func (sc *scan) leafOf(it *item, received string) error {
	f, err := os.Open(filepath.Join(sc.dir, segmentName(sc.state.Session, sc.state.Track, it.at.segment)))
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, it.at.length)
	if _, err := f.ReadAt(b, it.at.offset); err != nil {
		return err
	}
	sub, err := parseEntryRecord(b)
	if err != nil {
		return err
	}
	leaf := append(slices.Clip(sub.Entry), received...)
	it.leaf = tiles.LeafHash(leaf)
	if sc.onLeaf != nil {
		sc.onLeaf(it.seq, leaf)
	}
	return nil
}

func (sc *scan) withdraw(n withdrawnNote) error {
	if len(sc.items) == 0 {
		return errors.New("record X: there is no entry to withdraw")
	}
	it := sc.items[len(sc.items)-1]
	if it.seq != n.Seq || it.hash != n.Hash || !it.closes || it.acked {
		return errors.New("record X: does not withdraw the closing entry before it")
	}
	sc.items = sc.items[:len(sc.items)-1]
	sc.state.Next, sc.state.Head, sc.closed = it.seq, it.prev, false
	return nil
}

func (sc *scan) shown() SpooledTrack {
	t := SpooledTrack{Session: sc.state.Session, Track: sc.state.Track, Next: sc.state.Next, Head: sc.state.Head,
		Closed: sc.closed, Left: sc.left, Torn: sc.torn >= 0}
	for _, it := range sc.items {
		t.Entries = append(t.Entries, it.shown(false))
	}
	return t
}

// ReadSpool tells what the spool in a directory holds, without a lock and without changing it: also while a recorder uses
// it, and after its last one was killed. Tracks are in order of session and name.
func ReadSpool(dir string) ([]SpooledTrack, error) {
	found, err := scanDir(dir)
	if err != nil {
		return nil, err
	}
	var out []SpooledTrack
	for _, id := range sortedKeys(found) {
		sc, err := scanTrack(found[id])
		if errors.Is(err, fs.ErrNotExist) {
			continue // a recorder was done with it meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, sc.shown())
	}
	return out, nil
}

// cut removes the torn tail of the last segment. What is cut was never acknowledged to anybody here, but it is kept aside:
// a disk that loses more than its tail should leave a trace.
func (sc *scan) cut() error {
	if sc.torn < 0 {
		return nil
	}
	path := sc.segs[len(sc.segs)-1].path
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cutting a torn spool: %w", err)
	}
	if err := durable.WriteFile(path+".torn", b[sc.torn:], 0o600); err != nil {
		return fmt.Errorf("cutting a torn spool: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cutting a torn spool: %w", err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(sc.torn), f.Sync()); err != nil {
		return fmt.Errorf("cutting a torn spool: %w", err)
	}
	return nil
}

// load opens the segments of a scan for writing. It syncs them first: an entry that was written and not synced when its
// process was killed is readable, and must not be sent before it is durable.
func (sc *scan) load(d *spoolDir) (*trackSpool, error) {
	if err := sc.cut(); err != nil {
		return nil, err
	}
	s := &trackSpool{dir: d, session: sc.state.Session, track: sc.state.Track, segs: sc.segs, files: make(map[int]*os.File)}
	for _, seg := range sc.segs {
		f, err := os.OpenFile(seg.path, os.O_RDWR, 0)
		if err == nil {
			s.files[seg.n] = f
			err = f.Sync()
		}
		if err != nil {
			s.close()
			return nil, fmt.Errorf("opening spool: %w", err)
		}
		d.used.Add(seg.size)
	}
	return s, nil
}
