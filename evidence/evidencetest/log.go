// Package evidencetest makes small logs in memory, with real keys, signatures, sessions and trees, for tests of whatever
// reads a log. It is as honest as the caller: it appends what it is given.
package evidencetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// Noon is when the log's clock begins. Every receipt is a second later than the one before.
const Noon = entry.Time(1_795_000_000_000_000)

// A Log is a log in memory.
type Log struct {
	Origin    string
	Leaves    [][]byte
	Blobs     map[entry.Hash][]byte
	Trust     *trust.Trust
	Stamper   *entry.Stamper
	Signers   []note.Signer        // that sign checkpoints
	Witnesses []*checkpoint.Signer // that cosign checkpoints, each a second later than the one before
	Enroller  note.Signer
	SystemKey Key // of system sessions that begin from now on

	WitnessClock time.Time // if it is not zero, when all witnesses cosign from now on: Anchor sets it
	TokensAside  bool      // time-stamp tokens are public blobs, not in their leaves

	t        testing.TB
	hashes   []tlog.Hash
	system   *recorder.Track
	systemID string
	notes    []stamped
	public   [][]byte

	now      entry.Time
	numbers  map[string]uint64
	previous map[string]*entry.Admitted
}

// Must is v, or the end of the test.
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Options are what a log can have beside its keys.
type Options struct {
	Witnesses int // of Ed25519, each of an operator of its own: w1 is witness1.example's
	Quorum    int // of them; 0 demands none
}

// New makes a log with keys of its own and without witnesses, and begins its system session.
func New(t testing.TB, origin string) *Log {
	t.Helper()
	return NewWith(t, origin, Options{})
}

// NewWith makes a log with options.
func NewWith(t testing.TB, origin string, o Options) *Log {
	t.Helper()
	l := &Log{Origin: origin, Blobs: map[entry.Hash][]byte{}, t: t, now: Noon, numbers: map[string]uint64{}, previous: map[string]*entry.Admitted{}}
	logKey, enroller := NewKey(t, origin), NewKey(t, "acme/enroller")
	l.Signers, l.Enroller, l.SystemKey = []note.Signer{logKey}, enroller, NewKey(t, origin+"/system")
	var received string
	l.Stamper, received = NewStamper(t, origin)
	cfg := trust.Config{Version: 1, Received: []string{received}, System: []string{l.SystemKey.Verifier}, Enrollers: []string{enroller.Verifier}}
	for i := range o.Witnesses {
		l.Witnesses = append(l.Witnesses, NewWitness(t, checkpoint.CosignatureEd25519, fmt.Sprintf("witness%d.example/w", i+1)))
	}
	cfg.Policy, cfg.Operators = Policy([]string{logKey.Verifier}, l.Witnesses, o.Quorum)
	l.Trust = Must(trust.Make(cfg))(t)
	l.startSystem(SessionID(0xffff))
	l.Say(entry.TypeSystemOpen, entry.SystemOpen{Version: "test", Key: entry.Text(l.SystemKey.Verifier), Epoch: 1})
	return l
}

// SystemSigner is the key of the log's own sessions, for tests in which the log lies.
func (l *Log) SystemSigner() note.Signer { return l.SystemKey }

// T is the test that the log is of.
func (l *Log) T() testing.TB { return l.t }

// SessionID is the n-th of a row of session names.
func SessionID(n int) string { return fmt.Sprintf("0198c7d2-5f00-7abc-8def-%012x", n) }

// Append stamps a submission and appends it.
func (l *Log) Append(submission []byte) (index uint64) {
	l.t.Helper()
	e := Must(entry.ParseSubmission(submission))(l.t)
	l.now += 1_000_000
	return l.AppendLeaf(l.Stamper.Stamp(submission, e, l.now))
}

// AppendLeaf appends any bytes.
func (l *Log) AppendLeaf(leaf []byte) (index uint64) {
	l.t.Helper()
	index = uint64(len(l.Leaves))
	l.hashes = append(l.hashes, Must(tlog.StoredHashes(int64(index), leaf, l.reader()))(l.t)...)
	l.Leaves = append(l.Leaves, leaf)
	return index
}

func (l *Log) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = l.hashes[at]
		}
		return out, nil
	})
}

// Say appends an event of the system session.
func (l *Log) Say(typ entry.Type, v any) (index uint64) {
	l.t.Helper()
	return l.SayAll(recorder.Plain(typ, v))
}

// SayAll appends events of the system session, and returns the index of the last entry.
func (l *Log) SayAll(events ...recorder.Event) (index uint64) {
	l.t.Helper()
	for i := range events {
		events[i].Time = l.now
	}
	for _, b := range Must(l.system.Build(events...))(l.t) {
		index = l.Append(b.Submission)
	}
	return index
}

// Checkpoint is the head of the log as it is, signed and cosigned.
func (l *Log) Checkpoint() []byte {
	l.t.Helper()
	text := checkpoint.Checkpoint{Origin: l.Origin, Size: uint64(len(l.Leaves)), Root: l.Root()}.Text()
	b := Must(note.Sign(&note.Note{Text: text}, l.Signers...))(l.t)
	for i, w := range l.Witnesses {
		at := l.now.Time().Add(time.Duration(i+1) * time.Second)
		if !l.WitnessClock.IsZero() {
			at = l.WitnessClock
		}
		sig := Must(w.SignAt([]byte(text), at))(l.t)
		b = append(b, checkpoint.SignatureLine(w.Name(), w.KeyHash(), sig)...)
	}
	return b
}

// Root is the root of the log as it is.
func (l *Log) Root() [32]byte { return Must(tlog.TreeHash(int64(len(l.Leaves)), l.reader()))(l.t) }

// Tile and Bundle make the log a source of tiles.
func (l *Log) Tile(_ context.Context, level, index uint64, width uint8) ([]byte, error) {
	w := int(width)
	if w == 0 {
		w = 256
	}
	if (index<<8+uint64(w))<<(8*level) > uint64(len(l.Leaves)) {
		return nil, fmt.Errorf("no tile %d/%d of width %d", level, index, w)
	}
	return tlog.ReadTileData(tlog.Tile{H: 8, L: int(level), N: int64(index), W: w}, l.reader())
}

// Bundle is an entry bundle.
func (l *Log) Bundle(_ context.Context, index uint64, width uint8) ([]byte, error) {
	first, w := index*256, uint64(width)
	if w == 0 {
		w = 256
	}
	if first+w > uint64(len(l.Leaves)) {
		return nil, fmt.Errorf("no bundle %d of width %d", index, w)
	}
	var b []byte
	for _, leaf := range l.Leaves[first : first+w] {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
	}
	return b, nil
}

// Evidence is a bundle of sessions, of everything that system sessions say of them, and of all anchors.
func (l *Log) Evidence(sessions ...string) *evidence.Bundle {
	l.t.Helper()
	slices.Sort(sessions)
	b := &evidence.Bundle{Origin: l.Origin, Sessions: sessions, Checkpoint: l.Checkpoint(), Trust: l.Trust.Marshal()}
	for i, leaf := range l.Leaves {
		e, err := entry.Parse(leaf)
		if err != nil || !l.concerns(e, sessions) {
			continue
		}
		b.Leaves = append(b.Leaves, l.Leaf(uint64(i)))
		for _, at := range e.Blobs {
			if blob, ok := l.Blobs[at.SHA256]; ok {
				b.Blobs = append(b.Blobs, evidence.BlobOf(blob))
			}
		}
	}
	slices.SortFunc(b.Blobs, func(a, b evidence.Blob) int { return slices.Compare(a.SHA256[:], b.SHA256[:]) })
	b.Blobs = slices.CompactFunc(b.Blobs, func(a, b evidence.Blob) bool { return a.SHA256 == b.SHA256 })
	l.anchors(b)
	return l.Prove(b)
}

func (l *Log) concerns(e *entry.Entry, sessions []string) bool {
	if e.Track != entry.SystemTrack {
		return slices.Contains(sessions, e.Session)
	}
	return slices.ContainsFunc(e.Events, func(ev entry.Event) bool { return slices.Contains(sessions, evidence.Mentions(ev)) })
}

// Leaf is a leaf.
func (l *Log) Leaf(index uint64) evidence.Leaf { return evidence.LeafOf(index, l.Leaves[index]) }

// Prove puts the hashes into a bundle that its leaves and anchors need, once they are all there.
func (l *Log) Prove(b *evidence.Bundle) *evidence.Bundle {
	l.t.Helper()
	b.Tree = nil
	for level, index := range Must(b.Gaps())(l.t) {
		at := tlog.StoredHashIndex(level, int64(index))
		if at >= int64(len(l.hashes)) {
			l.t.Fatalf("the log has no subtree %d of level %d", index, level)
		}
		b.Tree = append(b.Tree, l.hashes[at])
	}
	return b
}

// Content is what a leaf loads.
func Content(t testing.TB, l evidence.Leaf) []byte {
	t.Helper()
	return Must(l.Load())(t)
}

// EntryOf is the entry in a leaf.
func EntryOf(t testing.TB, l evidence.Leaf) *entry.Entry {
	t.Helper()
	return Must(entry.Parse(Content(t, l)))(t)
}

// Truncate forgets what was appended after the first n leaves: the log of somebody who rolls back.
func (l *Log) Truncate(n int) {
	leaves := l.Leaves[:n]
	l.notes = slices.DeleteFunc(l.notes, func(s stamped) bool { return s.index >= uint64(n) })
	l.Leaves, l.hashes = nil, nil
	for _, leaf := range leaves {
		l.AppendLeaf(leaf)
	}
}

// Skip makes the log forget that it has counted a session of the agent's.
func (l *Log) Skip(agent string) { l.numbers[agent]++ }

// SystemEnd is where the system session stands.
func (l *Log) SystemEnd() *entry.TrackEnd {
	return &entry.TrackEnd{Track: entry.SystemTrack, Next: l.system.Next(), Head: l.system.Head()}
}

// Restart begins another system session, which names the one before as having ended where end says.
func (l *Log) Restart(epoch uint64, id string, end *entry.TrackEnd) (index uint64) {
	l.t.Helper()
	open := entry.SystemOpen{Version: "test", Key: entry.Text(l.SystemKey.Verifier), Epoch: epoch, Size: uint64(len(l.Leaves))}
	if end != nil {
		open.Predecessor, open.PredecessorHead = entry.UUID(l.systemID), &end.Head
	}
	l.startSystem(id)
	return l.Say(entry.TypeSystemOpen, open)
}

func (l *Log) startSystem(id string) {
	l.t.Helper()
	l.systemID = id
	l.system = Must(recorder.New(recorder.Config{
		Origin: l.Origin, Session: id, Track: entry.SystemTrack, Signer: l.SystemKey, Rand: rand.Reader, Now: l.now.Time,
	}))(l.t)
}
