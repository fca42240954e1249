package recording_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/storage/sqlite"
)

const origin = "log.example/test"

var alice = recording.Who{Principal: "alice", How: "token"}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type key struct {
	note.Signer
	note.Verifier
	vkey string
}

func newKey(name string) key {
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		panic(err)
	}
	return key{must(note.NewSigner(skey)), must(note.NewVerifier(vkey)), vkey}
}

// A world is a log on real disks, which can be stopped, crashed and started again, and the keys of everybody.
type world struct {
	t   testing.TB
	dir string

	logKey, system, managed, enroller key
	stamper                           *entry.Stamper
	received                          note.Verifier
	identity                          *age.X25519Identity
	recipients                        []age.Recipient
	secret                            []byte
	limits                            recording.Limits
	now                               func() time.Time
	windows                           recording.Windows
	embedded                          func([]byte) (uint64, error)

	tree     *posix.Tree
	blobs    *posix.Blobs
	keyring  *sqlite.Keyring
	guard    *sqlite.Guard
	archive  *posix.Archive
	heads    *sqlite.Heads
	index    *sqlite.Index
	log      *log.Log
	faulty   *faulty
	interval time.Duration
	rec      *recording.Recording
}

func newWorld(t testing.TB) *world { return newWorldAt(t, 20*time.Millisecond) }

// newWorldAt has a checkpoint at every interval.
func newWorldAt(t testing.TB, interval time.Duration) *world {
	t.Helper()
	w := &world{t: t, interval: interval, dir: t.TempDir(), now: time.Now, secret: make([]byte, 32)}
	w.logKey, w.system, w.managed, w.enroller = newKey(origin), newKey(origin+"/system"), newKey(origin+"/managed"), newKey("acme/enroller")
	skey, vkey, err := entry.GenerateReceivedKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	w.stamper, w.received = must(entry.NewStamper(skey)), must(entry.NewReceivedVerifier(vkey))
	w.identity = must(age.GenerateX25519Identity())
	w.recipients = []age.Recipient{w.identity.Recipient(), must(age.GenerateX25519Identity()).Recipient()}
	for _, d := range []string{"state", "guard"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	if err := posix.CreateTree(ctx, w.path("tree")); err != nil {
		t.Fatal(err)
	}
	w.openDisks()
	if err := log.Create(ctx, log.CreateConfig{Origin: origin, Signers: []note.Signer{w.logKey.Signer}, Verifiers: []note.Verifier{w.logKey.Verifier}, Tree: w.tree, Guard: w.guard, Archive: w.archive}); err != nil {
		t.Fatal(err)
	}
	w.openLog()
	w.start()
	t.Cleanup(func() {
		if w.rec != nil {
			w.stop()
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) openDisks() {
	ctx := context.Background()
	w.tree = must(posix.OpenTree(ctx, posix.TreeConfig{Dir: w.path("tree"), CheckpointInterval: 100 * time.Millisecond}))
	w.blobs = must(posix.OpenBlobs(posix.BlobsConfig{Dir: w.path("blobs")}))
	w.archive = must(posix.OpenArchive(w.path("archive")))
	open := func(name string) bool { _, err := os.Stat(w.path(name)); return err == nil }
	if open("guard/guard.db") {
		w.guard, w.keyring = must(sqlite.OpenGuard(w.path("guard/guard.db"))), must(sqlite.OpenKeyring(w.path("state/keyring.db")))
	} else {
		w.guard, w.keyring = must(sqlite.CreateGuard(w.path("guard/guard.db"))), must(sqlite.CreateKeyring(w.path("state/keyring.db")))
	}
	w.heads = must(sqlite.OpenHeads(w.path("state/heads.db")))
	w.index = must(sqlite.OpenIndex(w.path("state/index.db")))
}

func (w *world) openLog() {
	w.log = must(log.Open(context.Background(), log.Config{
		Origin: origin, Signers: []note.Signer{w.logKey.Signer}, Verifiers: []note.Verifier{w.logKey.Verifier}, Sequencer: w.tree, Tree: w.tree, Guard: w.guard,
		Archive: w.archive, Interval: w.interval,
	}))
}

func (w *world) anchors() entry.Anchors {
	return entry.Anchors{Origin: origin, Enrollers: note.VerifierList(w.enroller.Verifier), System: note.VerifierList(w.system.Verifier)}
}

func (w *world) enrolment(k key, holder entry.Holder, agents ...string) []byte {
	now := entry.TimeOf(w.now())
	return must(entry.SignEnrolment(entry.Enrolment{
		Origin: origin, RecorderKey: k.vkey, Holder: holder, From: now - 1e12, Until: now + 1e13, Agents: agents,
	}, w.enroller.Signer))
}

func (w *world) start() {
	w.faulty = &faulty{Appender: w.log, Blobs: w.blobs, Heads: w.heads}
	recipients := map[payload.Class][]age.Recipient{}
	for _, c := range payload.Classes() {
		recipients[c] = w.recipients
	}
	w.rec = must(recording.Open(context.Background(), recording.Config{
		Origin: origin, Version: "test", Log: w.faulty, Blobs: faultyBlobs{w.blobs, w.faulty}, Keyring: w.keyring,
		Heads: faultyHeads{w.heads, w.faulty}, Index: w.index, Anchors: w.anchors(), Stamper: w.stamper,
		System: w.system.Signer, SystemKey: w.system.vkey, Epoch: 1, Now: w.now, Limits: w.limits,
		Managed: &recording.ManagedConfig{Signer: w.managed.Signer, Recipients: recipients, Secret: w.secret,
			Enrolment: w.enrolment(w.managed, entry.HolderOperator, "*")},
		Windows: w.windows, Embedded: w.embedded,
		Logger: slog.New(slog.NewTextHandler(testWriter{w.t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) { w.t.Log(string(b)); return len(b), nil }

// stop ends everything in good order.
func (w *world) stop() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.rec.Close(ctx); err != nil && !w.faulty.cut {
		w.t.Error(err)
	}
	w.rec = nil
	err := errors.Join(w.log.Close(ctx), w.blobs.Close(), w.archive.Close(), w.guard.Close(), w.keyring.Close(), w.heads.Close(), w.index.Close())
	if err != nil {
		w.t.Error(err)
	}
}

// crash stops as a killed process would: nothing more is written, neither leaves nor heads.
func (w *world) crash() {
	w.faulty.set(func(f *faulty) { f.cut = true })
	w.stop()
}

func (w *world) restart(views ...string) {
	w.t.Helper()
	for _, v := range views {
		if err := sqlite.RemoveView(w.path("state/" + v + ".db")); err != nil {
			w.t.Fatal(err)
		}
	}
	w.openDisks()
	w.openLog()
	w.start()
}

// leaves are all entries of the log, verified as to receipt.
func (w *world) leaves() []*entry.Entry {
	w.t.Helper()
	var all []*entry.Entry
	err := w.log.Leaves(context.Background(), 0, w.log.Size(), func(i uint64, leaf []byte) error {
		e, err := entry.Parse(leaf)
		if err != nil {
			return err
		}
		all = append(all, e)
		return e.VerifyReceived(w.received)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// system are the events of a type on system sessions.
func system[T any](w *world, typ entry.Type) []T {
	w.t.Helper()
	var all []T
	for _, e := range w.leaves() {
		for _, ev := range e.Events {
			if ev.Type == typ {
				var v T
				if err := ev.Decode(&v); err != nil {
					w.t.Fatal(err)
				}
				all = append(all, v)
			}
		}
	}
	return all
}

var errFault = errors.New("fault")

// faulty fails on demand.
type faulty struct {
	recording.Appender
	Blobs storage.Blobs
	Heads storage.Heads

	mu     sync.Mutex
	cut    bool
	append func(n int, do func() ([]log.Placed, error)) ([]log.Placed, error)
	blob   error
	apply  func(puts []storage.Item)
	get    func(key string)
	take   func(leaves [][]byte) ([]log.Placed, error)
}

func (f *faulty) set(g func(*faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g(f)
}

func (f *faulty) Append(ctx context.Context, leaves [][]byte) ([]log.Placed, error) {
	f.mu.Lock()
	hook, cut, take := f.append, f.cut, f.take
	f.mu.Unlock()
	do := func() ([]log.Placed, error) { return f.Appender.Append(ctx, leaves) }
	switch {
	case cut:
		return nil, &log.NotAppendedError{Err: errFault}
	case take != nil:
		return take(leaves)
	case hook != nil:
		return hook(len(leaves), do)
	}
	return do()
}

type faultyBlobs struct {
	storage.Blobs
	f *faulty
}

func (b faultyBlobs) Put(ctx context.Context, at storage.Segment, blobs []storage.Blob) error {
	b.f.mu.Lock()
	err := b.f.blob
	b.f.mu.Unlock()
	if err != nil {
		return err
	}
	return b.Blobs.Put(ctx, at, blobs)
}

type faultyHeads struct {
	storage.Heads
	f *faulty
}

func (h faultyHeads) Apply(ctx context.Context, size uint64, puts []storage.Item, deletes []string) error {
	h.f.mu.Lock()
	cut, hook := h.f.cut, h.f.apply
	h.f.mu.Unlock()
	if cut {
		return errFault
	}
	if hook != nil {
		hook(puts)
	}
	return h.Heads.Apply(ctx, size, puts, deletes)
}

func (h faultyHeads) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := h.Heads.Get(ctx, key)
	h.f.mu.Lock()
	hook := h.f.get
	h.f.mu.Unlock()
	if hook != nil {
		hook(key)
	}
	return b, err
}

// A client records signed tracks.
type client struct {
	w       *world
	key     key
	session string
	main    entry.Hash
	agent   string
	beat    uint64
}

func (w *world) client(agent string) *client {
	return &client{w: w, key: newKey("acme/agents/" + agent), session: must(uuid.NewV7()).String(), agent: agent, beat: 30}
}

type track struct {
	*recorder.Track
	c     *client
	name  string
	keys  payload.Keys
	wraps []recording.Wrap
	ks    []entry.UnitKey
}

func (c *client) track(name string) *track {
	t := &track{c: c, name: name, keys: must(payload.NewKeys(rand.Reader))}
	for _, class := range payload.Classes() {
		k := t.keys[class]
		commitment := entry.Hash(k.Commitment())
		where := payload.WrapPlace{Origin: origin, Session: c.session, Track: name, Class: class}
		t.wraps = append(t.wraps, recording.Wrap{Key: commitment, File: must(payload.Wrap(k, where, c.w.recipients...))})
		t.ks = append(t.ks, entry.UnitKey{Class: entry.ID(class.String()), Commitment: commitment})
	}
	t.Track = must(recorder.New(recorder.Config{
		Origin: origin, Session: c.session, Track: name, Signer: c.key.Signer, Keys: t.keys, Rand: rand.Reader, Now: c.w.now,
	}))
	return t
}

func (t *track) recorder() entry.Recorder {
	return entry.Recorder{
		Agent: entry.ID(t.c.agent), Vantage: "self-reported", Capture: "test", OnFailure: "closed", Keys: t.ks,
		Enrolment: entry.Text(t.c.w.enrolment(t.c.key, entry.HolderAgent, t.c.agent)),
	}
}

// opening is the track's first event.
func (t *track) opening() recorder.Event {
	if t.name == "main" {
		return recorder.Event{Type: entry.TypeSessionOpen, Build: func(seal recorder.Seal) (any, error) {
			purpose, err := seal("purpose", payload.Text, payload.Directory, []byte("to test"))
			return entry.SessionOpen{Recorder: t.recorder(), Privilege: "financial", HeartbeatS: t.c.beat, Purpose: purpose,
				Retention: entry.Retention{Class: "ag-305", Trigger: "session-close"}}, err
		}}
	}
	return recorder.Plain(entry.TypeTrackOpen, entry.TrackOpen{Recorder: t.recorder(), Main: t.c.main})
}

func (t *track) build(events ...recorder.Event) []recording.Submitted {
	t.c.w.t.Helper()
	opens := t.Next() == 0
	built, err := t.Build(events...)
	if err != nil {
		t.c.w.t.Fatal(err)
	}
	subs := make([]recording.Submitted, len(built))
	for i, b := range built {
		subs[i] = recording.Submitted{Entry: b.Submission, Blobs: b.Blobs}
		if i == 0 && opens {
			subs[i].Wraps = t.wraps
			if t.name == "main" {
				t.c.main = b.Hash
			}
		}
	}
	return subs
}

func intent(action string) recorder.Event {
	return recorder.Event{Type: entry.TypeActionIntent, Build: func(seal recorder.Seal) (any, error) {
		params, err := seal("params", payload.JSON, payload.Content, []byte(`{"amount":12,"to":"ACME"}`))
		return entry.ActionIntent{Action: entry.ID(action), Tool: "ledger.post", Params: params}, err
	}}
}

func outcome(action string) recorder.Event {
	return recorder.Plain(entry.TypeActionResult, entry.ActionResult{
		Action: entry.ID(action), Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"},
	})
}

func closing(others ...*track) recorder.Event {
	ends := []entry.TrackEnd{}
	for _, t := range others {
		ends = append(ends, entry.TrackEnd{Track: entry.ID(t.name), Next: t.Next(), Head: t.Head()})
	}
	return recorder.Plain(entry.TypeSessionClose, entry.SessionClose{Outcome: "completed", Tracks: ends})
}

func (w *world) submit(session string, subs ...recording.Submitted) (recording.Result, error) {
	return w.rec.Submit(context.Background(), alice, session, subs)
}

func (w *world) ok(session string, subs ...recording.Submitted) recording.Result {
	w.t.Helper()
	res, err := w.submit(session, subs...)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func code(err error) entry.Code {
	var p *recording.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// refused checks that a request is refused with the code, and that nothing of it was stored: neither leaf nor blob nor wrap.
func (w *world) refused(want entry.Code, session string, subs ...recording.Submitted) {
	w.t.Helper()
	size := w.log.Size()
	res, err := w.submit(session, subs...)
	if code(err) != want {
		w.t.Fatalf("got %v, want %s", err, want)
	}
	if len(res.Receipts) > 0 {
		w.t.Fatalf("%s: receipts were given: %+v", want, res.Receipts)
	}
	w.unstored(size, subs...)
}

func (w *world) unstored(size uint64, subs ...recording.Submitted) {
	w.t.Helper()
	for _, sub := range subs {
		hash := entry.HashOf(sub.Entry[:max(0, textEnd(sub.Entry))])
		for _, e := range w.leaves()[size:] {
			if e.Hash() == hash {
				w.t.Fatal("the refused entry is in the log")
			}
		}
		for _, b := range sub.Blobs {
			if must(w.blobs.Has(context.Background(), []storage.Ref{{SHA256: entry.HashOf(b), Size: int64(len(b))}}))[0] {
				w.t.Fatal("a blob of the refused entry is stored")
			}
		}
		if e, err := entry.ParseSubmission(sub.Entry); err == nil {
			held := must(w.keyring.List(context.Background(), e.Session))
			for _, x := range sub.Wraps {
				if slices.ContainsFunc(held, func(h storage.Wrap) bool { return h.Key == x.Key }) {
					w.t.Fatal("a wrap of the refused entry is stored")
				}
			}
		}
	}
}

func textEnd(b []byte) int {
	for i := range len(b) - 1 {
		if b[i] == '\n' && b[i+1] == '\n' {
			return i + 1
		}
	}
	return 0
}

func plain(typ entry.Type, v any) recorder.Event { return recorder.Plain(typ, v) }
