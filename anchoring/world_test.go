package anchoring_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
	"github.com/stenolog/steno/timestamp/authority"
)

// A book is log, recording and blobs as far as anchoring sees them: it outlives the process that stamps.
type book struct {
	mu                                sync.Mutex
	size, published, recorded, urgent uint64
	at                                []recording.Anchored
	events                            []entry.Anchor
	alerts                            []alertAt
	blobs                             map[[32]byte][]byte
	refuse                            error // of Anchor
	lost                              bool  // what was written can't be read
}

// An alertAt is an alert, where it stands and since when.
type alertAt struct {
	entry.Alert
	index uint64
	at    time.Time
}

func (b *book) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func noteOf(size uint64) []byte { return fmt.Appendf(nil, "log.example/test\n%d\n…\n", size) }

func (b *book) Checkpoint() (uint64, []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.published == 0 {
		return 0, nil
	}
	return b.published, noteOf(b.published)
}

// Leaf returns the leaves of anchors and alerts: the others are nobody's business.
func (b *book) Leaf(_ context.Context, index uint64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.alerts, func(x alertAt) bool { return x.index == index }); i >= 0 && !b.lost {
		return leafOf(entry.TypeAlert, b.alerts[i].Alert, b.alerts[i].at)
	}
	i := slices.IndexFunc(b.at, func(x recording.Anchored) bool { return x.Index == index })
	if i < 0 || b.lost || index >= b.published {
		return nil, errors.New("neither anchor nor alert, or lost")
	}
	return leafOf(entry.TypeAnchor, b.events[i], b.at[i].Received.Time())
}

// leafOf is a leaf with an event, signed by keys that nobody asks for.
func leafOf(kind entry.Type, v any, at time.Time) ([]byte, error) {
	const origin = "log.example/test"
	skey, _, err := note.GenerateKey(rand.Reader, origin+"/system")
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	rkey, _, err := entry.GenerateReceivedKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	stamper, err := entry.NewStamper(rkey)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	track, err := recorder.New(recorder.Config{Origin: origin, Session: id.String(), Track: entry.SystemTrack, Signer: signer, Rand: rand.Reader})
	if err != nil {
		return nil, err
	}
	built, err := track.Build(recorder.Plain(entry.TypeSystemOpen, entry.SystemOpen{Version: "v", Key: "k"}), recorder.Plain(kind, v))
	if err != nil {
		return nil, err
	}
	e, err := entry.ParseSubmission(built[0].Submission)
	if err != nil {
		return nil, err
	}
	return stamper.Stamp(built[0].Submission, e, entry.TimeOf(at)), nil
}

func (b *book) Anchor(_ context.Context, v entry.Anchor) (recording.Anchored, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return recording.Anchored{}, b.refuse
	}
	if _, err := entry.Marshal(entry.TypeAnchor, entry.TimeOf(time.Now()), v); err != nil {
		return recording.Anchored{}, err
	}
	for _, p := range v.LongTerm {
		if _, ok := b.blobs[p.SHA256]; !ok {
			return recording.Anchored{}, errors.New("a blob of the event is not durable")
		}
	}
	x := recording.Anchored{Authority: string(v.Authority), Index: b.size, Size: v.Size, Received: entry.TimeOf(time.Now())}
	x.Token = sha256.Sum256(token(v))
	b.at, b.events, b.size = append(b.at, x), append(b.events, v), b.size+1
	return x, nil
}

func (b *book) Alert(_ context.Context, v entry.Alert) error {
	b.do(func() { b.alerts, b.size = append(b.alerts, alertAt{v, b.size, time.Now()}), b.size+1 })
	return nil
}

func (b *book) AnchorState() recording.AnchorState {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := recording.AnchorState{Recorded: b.recorded, Urgent: b.urgent, Last: map[string]recording.Anchored{}}
	for _, x := range b.at {
		s.Last[x.Authority] = x
	}
	return s
}

func (b *book) Renews(authority string, size uint64) (h entry.Hash, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.at {
		if x.Index < size && x.Authority != authority {
			h, ok = x.Token, true
		}
	}
	return h, ok
}

func (b *book) Around(index uint64) (before, after []recording.Anchored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := map[string]recording.Anchored{}
	for _, x := range b.at {
		if x.Index < index {
			last[x.Authority] = x
		}
	}
	for _, x := range last {
		before = append(before, x)
	}
	seen := map[string]bool{}
	for _, x := range b.at {
		if x.Size > index && !seen[x.Authority] {
			seen[x.Authority] = true
			after = append(after, x)
		}
	}
	return before, after
}

func (b *book) Put(_ context.Context, s storage.Segment, blobs []storage.Blob) error {
	if s.Class != "anchors" || !s.Day.Equal(s.Day.Truncate(24*time.Hour)) {
		return fmt.Errorf("segment %v", s)
	}
	b.do(func() {
		for _, x := range blobs {
			b.blobs[x.SHA256] = x.Bytes
		}
	})
	return nil
}

func (b *book) Open(_ context.Context, r storage.Ref) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, ok := b.blobs[r.SHA256]
	if !ok || int64(len(x)) != r.Size {
		return nil, storage.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(x)), nil
}
func (b *book) Has(context.Context, []storage.Ref) ([]bool, error) { return nil, nil }
func (b *book) Erase(context.Context, []storage.Ref) error         { return nil }

func token(v entry.Anchor) []byte {
	der, err := base64.StdEncoding.DecodeString(string(v.Token))
	if err != nil {
		panic(err)
	}
	return der
}

// A peer is a real authority, reached without a network, that can be made to fail.
type peer struct {
	name   string
	real   http.Handler
	pinned timestamp.Authority
	mu     sync.Mutex
	asked  []time.Time
	fault  http.HandlerFunc // instead of it
	fast   time.Duration    // its clock
}

func newPeer(t *testing.T, name string) *peer {
	t.Helper()
	m, err := authority.Make(name, authority.ECDSA, time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{name: name}
	p.real, err = authority.New(authority.Config{Material: m, Now: func() time.Time {
		p.mu.Lock()
		defer p.mu.Unlock()
		return time.Now().Add(p.fast)
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.pinned = timestamp.Authority{Name: name, Anchors: [][]byte{m.Anchor().Raw},
		From: time.Now().AddDate(-1, 0, 0), Until: time.Now().AddDate(1, 0, 0), Accuracy: authority.Accuracy}
	return p
}

func (p *peer) set(fault http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

func (p *peer) times() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *peer) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	h := p.real
	p.asked = append(p.asked, time.Now())
	if p.fault != nil {
		h = p.fault
	}
	p.mu.Unlock()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// A world is a book, and one process after the other that stamps.
type world struct {
	*book
	t      *testing.T
	peers  []*peer
	trusts []timestamp.Authority // what the trust file names; nil: the peers as they are pinned
	demand int                   // of authorities for a bound
	when   map[string]time.Time  // checkpoints were published
	ahead  *time.Duration        // of the clocks of witnesses; nil: none are demanded
	a      *anchoring.Anchoring
	stop   func(context.Context) error
}

// in runs a test by a clock that only moves while everything waits.
func in(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{book: &book{blobs: map[[32]byte][]byte{}}, t: t, when: map[string]time.Time{}, peers: []*peer{newPeer(t, "a"), newPeer(t, "b")}}
		w.start()
		t.Cleanup(w.halt)
		f(t, w)
	})
}

func (w *world) start() {
	w.t.Helper()
	c := anchoring.Config{Stamps: w.demand, Trusted: w.trusts}
	for _, p := range w.peers {
		c.Authorities = append(c.Authorities, anchoring.Authority{Pinned: p.pinned, Asker: ask.Authority{
			Name: p.name, URL: "http://" + p.name + ".example/", HTTP: &http.Client{Transport: p, Timeout: 20 * time.Second}, Now: time.Now,
		}})
	}
	if w.trusts == nil {
		for _, p := range w.peers {
			c.Trusted = append(c.Trusted, p.pinned)
		}
	}
	c.Cosigned = w.cosigned
	var err error
	if w.a, err = anchoring.New(c); err != nil {
		w.t.Fatal(err)
	}
	w.stop = w.a.Start(w.book, w.book, w.book)
}

func (w *world) halt() {
	w.t.Helper()
	if w.stop == nil {
		return
	}
	if err := w.stop(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.stop = nil
}

// record adds an entry of a recorder, and publishes it a second later.
func (w *world) record(urgent bool) {
	w.do(func() {
		w.size++
		w.recorded = w.size
		if urgent {
			w.urgent = w.size
		}
	})
	w.sleep(time.Second)
	w.publish()
}

func (w *world) publish() {
	w.do(func() {
		w.published = w.size
		if note := string(noteOf(w.size)); w.when[note].IsZero() {
			w.when[note] = time.Now()
		}
	})
	if err := w.a.Stamp(w.t.Context(), 0, nil); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// cosigned is when witnesses have cosigned a checkpoint, by their clocks.
func (w *world) cosigned(note []byte) (at time.Time, ok bool) {
	w.do(func() {
		if ok = w.ahead != nil; ok {
			at = w.when[string(note)].Add(*w.ahead)
		}
	})
	return at, ok
}

// anchored are the sizes that an authority has anchored.
func (w *world) anchored(name string) (sizes []uint64) {
	w.do(func() {
		for _, v := range w.events {
			if string(v.Authority) == name {
				sizes = append(sizes, v.Size)
			}
		}
	})
	return sizes
}

func (w *world) want(name string, sizes ...uint64) {
	w.t.Helper()
	if got := w.anchored(name); !slices.Equal(got, sizes) {
		w.t.Fatalf("%s anchored %v, want %v", name, got, sizes)
	}
}

func (w *world) health(name string) anchoring.AuthorityHealth {
	for _, h := range w.a.Health().Authorities {
		if h.Name == name {
			return h
		}
	}
	w.t.Fatalf("health knows no %s", name)
	return anchoring.AuthorityHealth{}
}

// sleep moves the clock, and waits until what that began waits again.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// raised are the alerts so far.
func (w *world) raised() (all []entry.ID) {
	w.do(func() {
		for _, v := range w.alerts {
			all = append(all, v.Alert.Alert)
		}
	})
	return all
}
