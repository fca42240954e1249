// Package evidencetest makes small logs in memory, with real keys, signatures, sessions and trees, for tests of whatever
// reads a log. It is as honest as the caller: it appends what it is given.
package evidencetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// Noon is when the log's clock begins. Every receipt is a second later than the one before.
const Noon = entry.Time(1_795_000_000_000_000)

// A Log is a log in memory.
type Log struct {
	Origin  string
	Leaves  [][]byte
	Blobs   map[entry.Hash][]byte
	Trust   *trust.Trust
	Stamper *entry.Stamper

	t        testing.TB
	signer   note.Signer
	enroller note.Signer
	hashes   []tlog.Hash
	system   *recorder.Track
	systemID string

	systemKey note.Signer
	now       entry.Time
	numbers   map[string]uint64
	previous  map[string]*entry.Admitted
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

func key(t testing.TB, name string) (note.Signer, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return Must(note.NewSigner(skey))(t), vkey
}

// New makes a log with keys of its own, and begins its system session.
func New(t testing.TB, origin string) *Log {
	t.Helper()
	l := &Log{Origin: origin, Blobs: map[entry.Hash][]byte{}, t: t, now: Noon, numbers: map[string]uint64{}, previous: map[string]*entry.Admitted{}}
	var logKey, systemKey, enrollerKey string
	l.signer, logKey = key(t, origin)
	l.enroller, enrollerKey = key(t, "acme/enroller")
	skey, receivedKey, err := entry.GenerateReceivedKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	l.Stamper = Must(entry.NewStamper(skey))(t)
	l.systemKey, systemKey = key(t, origin+"/system")
	l.Trust = Must(trust.New(logKey, []string{receivedKey}, []string{systemKey}, []string{enrollerKey}))(t)
	l.startSystem(SessionID(0xffff))
	l.Say(entry.TypeSystemOpen, entry.SystemOpen{Version: "test", Key: entry.Text(systemKey), Epoch: 1})
	return l
}

// SystemSigner is the key of the log's own sessions, for tests in which the log lies.
func (l *Log) SystemSigner() note.Signer { return l.systemKey }

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

// Say appends an entry of the system session.
func (l *Log) Say(typ entry.Type, v any) (index uint64) {
	l.t.Helper()
	built := Must(l.system.Build(recorder.Event{Type: typ, Time: l.now, Build: func(recorder.Seal) (any, error) { return v, nil }}))(l.t)
	return l.Append(built[0].Submission)
}

// Checkpoint is the signed head of the log as it is.
func (l *Log) Checkpoint() []byte {
	l.t.Helper()
	size := int64(len(l.Leaves))
	root := Must(tlog.TreeHash(size, l.reader()))(l.t)
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Origin, size, root)
	return Must(note.Sign(&note.Note{Text: text}, l.signer))(l.t)
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

// Evidence is a bundle of sessions and of everything that system sessions say of them.
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
	return b
}

func (l *Log) concerns(e *entry.Entry, sessions []string) bool {
	if e.Track != entry.SystemTrack {
		return slices.Contains(sessions, e.Session)
	}
	return slices.ContainsFunc(e.Events, func(ev entry.Event) bool { return slices.Contains(sessions, evidence.Mentions(ev)) })
}

// Leaf is a leaf with its proof under the present checkpoint.
func (l *Log) Leaf(index uint64) evidence.Leaf {
	l.t.Helper()
	out := evidence.Leaf{Index: index, Bytes: l.Leaves[index]}
	for _, h := range Must(tlog.ProveRecord(int64(len(l.Leaves)), int64(index), l.reader()))(l.t) {
		out.Proof = append(out.Proof, h)
	}
	return out
}

// A Recorder is a key and its enrolment.
type Recorder struct {
	Signer    note.Signer
	Enrolment []byte
}

// Enrol makes a recorder's key and has the log's enroller enrol it.
func (l *Log) Enrol(name string, holder entry.Holder, agents ...string) Recorder {
	l.t.Helper()
	return l.EnrolBy(l.enroller, name, holder, agents...)
}

// EnrolBy has any enroller enrol a new key.
func (l *Log) EnrolBy(enroller note.Signer, name string, holder entry.Holder, agents ...string) Recorder {
	l.t.Helper()
	signer, vkey := key(l.t, name)
	return Recorder{signer, Must(entry.SignEnrolment(entry.Enrolment{
		Origin: l.Origin, RecorderKey: vkey, Holder: holder, From: Noon - 1e12, Until: Noon + 1e15, Agents: agents,
	}, enroller))(l.t)}
}

// Stranger is an enroller whom nobody has pinned.
func Stranger(t testing.TB, name string) note.Signer {
	s, _ := key(t, name)
	return s
}

// A Track is a recorder at work.
type Track struct {
	*recorder.Track
	Log   *Log
	ID    string // of the session
	Name  string
	Agent string
	First entry.Hash
	Keys  payload.Keys
}

// Open opens track main of a session; the log answers.
func (l *Log) Open(id, agent string, r Recorder) *Track {
	l.t.Helper()
	tr := l.track(id, entry.MainTrack, agent, r)
	tr.Add(recorder.Plain(entry.TypeSessionOpen, entry.SessionOpen{
		Recorder: tr.recorder(r), Privilege: "high-risk", HeartbeatS: 30,
		Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"},
	}))
	tr.First = tr.Head()
	a := &entry.Admitted{Session: entry.UUID(id), Track: entry.MainTrack, Open: tr.First, Principal: "token:ci", How: "token"}
	l.numbers[agent]++
	a.Number = l.numbers[agent]
	if p := l.previous[agent]; p != nil {
		a.PreviousSession, a.Previous = p.Session, &p.Open
	}
	l.previous[agent] = a
	l.Say(entry.TypeAdmitted, *a)
	return tr
}

// Join opens another track of main's session; the log answers.
func (l *Log) Join(main *Track, name, agent string, r Recorder) *Track {
	l.t.Helper()
	tr := l.track(main.ID, name, agent, r)
	tr.Add(recorder.Plain(entry.TypeTrackOpen, entry.TrackOpen{Recorder: tr.recorder(r), Main: main.First}))
	tr.First = tr.Head()
	l.Say(entry.TypeAdmitted, entry.Admitted{Session: entry.UUID(main.ID), Track: entry.ID(name), Open: tr.First, Principal: "token:ci", How: "token"})
	return tr
}

func (l *Log) track(id, name, agent string, r Recorder) *Track {
	keys := Must(payload.NewKeys(rand.Reader))(l.t)
	return &Track{Log: l, ID: id, Name: name, Agent: agent, Keys: keys, Track: Must(recorder.New(recorder.Config{
		Origin: l.Origin, Session: id, Track: name, Signer: r.Signer, Keys: keys, Rand: rand.Reader, Now: l.now.Time,
	}))(l.t)}
}

func (tr *Track) recorder(r Recorder) entry.Recorder {
	out := entry.Recorder{Agent: entry.ID(tr.Agent), Vantage: "self-reported", Capture: "test", OnFailure: "closed", Enrolment: entry.Text(r.Enrolment)}
	for _, c := range payload.Classes() {
		out.Keys = append(out.Keys, entry.UnitKey{Class: entry.ID(c.String()), Commitment: entry.Hash(tr.Keys[c].Commitment())})
	}
	return out
}

// Build makes entries without appending them, and keeps their blobs.
func (tr *Track) Build(events ...recorder.Event) []recorder.Built {
	tr.Log.t.Helper()
	built := Must(tr.Track.Build(events...))(tr.Log.t)
	for _, b := range built {
		for _, blob := range b.Blobs {
			tr.Log.Blobs[entry.HashOf(blob)] = blob
		}
	}
	return built
}

// Add appends events, in as few entries as they need, and returns the indexes.
func (tr *Track) Add(events ...recorder.Event) (indexes []uint64) {
	tr.Log.t.Helper()
	for _, b := range tr.Build(events...) {
		indexes = append(indexes, tr.Log.Append(b.Submission))
	}
	return indexes
}

// Intent and Result are an action's events with sealed content.
func Intent(action, tool string, params any) recorder.Event {
	return recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
		p, err := sealJSON(seal, "params", params)
		return entry.ActionIntent{Action: entry.ID(action), Tool: entry.ID(tool), Params: p}, err
	}}
}

// Result is how an action ended.
func Result(action string, response any) recorder.Event {
	return recorder.Event{Type: entry.TypeActionResult, Build: func(seal recorder.Seal) (any, error) {
		p, err := sealJSON(seal, "response", response)
		return entry.ActionResult{Action: entry.ID(action), Response: p, Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}}, err
	}}
}

func sealJSON(seal recorder.Seal, slot string, v any) (*entry.Payload, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return seal(slot, payload.JSON, payload.Content, b)
}

// Close closes the session, naming the other tracks where they stand; the log gives its verdict.
func (tr *Track) Close(others ...*Track) {
	tr.Log.t.Helper()
	tr.CloseOnly(others...)
	ends := []entry.TrackEnd{{Track: entry.MainTrack, Next: tr.Next(), Head: tr.Head()}}
	for _, o := range others {
		ends = append(ends, o.End())
	}
	tr.Log.Say(entry.TypeVerdict, entry.Verdict{Session: entry.UUID(tr.ID), Verdict: "complete", Why: "closed", Tracks: ends})
}

// CloseOnly closes the session, and the log says nothing.
func (tr *Track) CloseOnly(others ...*Track) {
	tr.Log.t.Helper()
	ends := []entry.TrackEnd{}
	for _, o := range others {
		ends = append(ends, o.End())
	}
	tr.Add(recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "completed", Tracks: ends}))
}

// End is where the track stands.
func (tr *Track) End() entry.TrackEnd {
	return entry.TrackEnd{Track: entry.ID(tr.Name), Next: tr.Next(), Head: tr.Head()}
}

// Truncate forgets what was appended after the first n leaves: the log of somebody who rolls back.
func (l *Log) Truncate(n int) {
	leaves := l.Leaves[:n]
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
	open := entry.SystemOpen{Version: "test", Key: entry.Text(l.Trust.System[0]), Epoch: epoch, Size: uint64(len(l.Leaves))}
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
		Origin: l.Origin, Session: id, Track: entry.SystemTrack, Signer: l.systemKey, Rand: rand.Reader, Now: l.now.Time,
	}))(l.t)
}
