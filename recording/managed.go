package recording

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

const (
	defaultHeartbeatS = `60` // of a managed session whose client says nothing
	defaultRetention  = `{"class":"ag-305","trigger":"session-close"}`
	minSecret         = 32 // bytes
	managedGroup      = 64 // requests of one append
)

// check refuses what would fail, or protect nothing, only when the first session comes.
func (m *ManagedConfig) check() error {
	if m.Signer == nil || len(m.Enrolment) == 0 {
		return errors.New("a signer and its enrolment are needed")
	}
	if len(m.Secret) < minSecret {
		return fmt.Errorf("secret of %d bytes, at least %d are needed", len(m.Secret), minSecret)
	}
	for _, c := range payload.Classes() {
		if len(m.Recipients[c]) < 2 {
			return fmt.Errorf("class %s has %d recipients, a vault and a recovery recipient are needed", c, len(m.Recipients[c]))
		}
	}
	return nil
}

// managedTrack is what the server's own recorder holds of a track: its unit keys, and the requests that wait.
type managedTrack struct {
	jobs *combiner[*managedJob]

	mu   sync.Mutex
	keys payload.Keys // nil before the first use in this process, and after a while without
	used time.Time
}

// forgetKeys lets go of the unit keys of managed tracks that are idle.
func (s *session) forgetKeys(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, m := range s.managed {
		if !m.mu.TryLock() {
			continue // in use
		}
		if m.keys != nil && now.Sub(m.used) > managedIdle {
			m.keys = nil
			delete(s.managed, name)
		}
		m.mu.Unlock()
	}
}

// managedTrack returns the track's recorder, a new one if there is none.
func (r *Recording) managedTrack(s *session, track string) *managedTrack {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.managed[track]
	if m == nil {
		m = &managedTrack{}
		m.jobs = newCombiner(managedGroup, func(group []*managedJob) { r.runManaged(s, track, m, group) })
		s.managed[track] = m
	}
	return m
}

// unitKeys draws keys for a track and wraps them.
func (r *Recording) unitKeys(session, track string) (payload.Keys, []entry.UnitKey, []Wrap, error) {
	keys, err := payload.NewKeys(r.cfg.Rand)
	if err != nil {
		return nil, nil, nil, err
	}
	var commitments []entry.UnitKey
	var wraps []Wrap
	for _, c := range payload.Classes() {
		where := payload.WrapPlace{Origin: r.cfg.Origin, Session: session, Track: track, Class: c}
		file, err := payload.Wrap(keys[c], where, r.cfg.Managed.Recipients[c]...)
		if err != nil {
			return nil, nil, nil, err
		}
		commitment := entry.Hash(keys[c].Commitment())
		commitments = append(commitments, entry.UnitKey{Class: entry.ID(c.String()), Commitment: commitment})
		wraps = append(wraps, Wrap{Key: commitment, File: file})
	}
	return keys, commitments, wraps, nil
}

// recorder continues a track where it stands.
func (r *Recording) recorder(s *session, track string, keys payload.Keys) (*recorder.Track, error) {
	cfg := recorder.Config{
		Origin: r.cfg.Origin, Session: s.id, Track: track, Signer: r.cfg.Managed.Signer, Keys: keys, Rand: r.cfg.Rand,
		Now: r.cfg.Now,
	}
	s.view(func(f *facts) {
		if t := f.Tracks[track]; t != nil {
			cfg.Next, cfg.Head = t.Next, t.Head
		}
	})
	return recorder.New(cfg)
}

// arrivalsOf makes built entries a request like any other: what the server records itself is checked as what others send.
func arrivalsOf(built []recorder.Built, wraps []Wrap) ([]arrival, error) {
	arrivals := make([]arrival, len(built))
	for i, b := range built {
		sub := Submitted{Entry: b.Submission, Blobs: b.Blobs}
		if i == 0 {
			sub.Wraps = wraps
		}
		var err error
		if arrivals[i], err = readArrival(i, sub); err != nil {
			return nil, fmt.Errorf("reading an own entry: %w", err)
		}
	}
	return arrivals, nil
}

// retryKey is the key of the MACs of a session's requests.
func (r *Recording) retryKey(session string) []byte {
	key, err := hkdf.Key(sha256.New, r.cfg.Managed.Secret, nil, "steno/managed-retry/v1\x00"+r.cfg.Origin+"\x00"+session, 32)
	if err != nil {
		panic(err) // only for lengths that are not 32
	}
	return key
}

// mac says, to whoever has the secret, which request an event was made of, and nothing to anybody else.
func (r *Recording) mac(session, track string, request []byte) entry.Hash {
	h := hmac.New(sha256.New, r.retryKey(session))
	fmt.Fprintf(h, "steno/managed/v1\n%s\n", track)
	h.Write(request)
	return entry.Hash(h.Sum(nil))
}

// sessionFor names the session that a request with an event id opens. Its random bits are derived, so that the same
// request, sent again today or tomorrow, finds it.
func (r *Recording) sessionFor(who Who, id string, day time.Time) string {
	h := hmac.New(sha256.New, r.retryKey(""))
	fmt.Fprintf(h, "steno/managed-session/v1\n%s\n%s\n", who.Principal, id)
	var u uuid.UUID
	copy(u[:], h.Sum(nil))
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(day.UTC().Truncate(24*time.Hour).UnixMilli()))
	copy(u[:6], ms[2:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}

// quote writes a note as entry has it: nothing is escaped but line feeds, quotes and backslashes.
func quote(b []byte) string {
	return `"` + strings.NewReplacer("\n", `\n`, `"`, `\"`, `\`, `\\`).Replace(string(b)) + `"`
}

// opened are the members of an opening event that the server writes.
func (r *Recording) openMembers(keys []entry.UnitKey, main *entry.Hash) (string, error) {
	k, err := json.Marshal(keys)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `,"vantage":"self-reported","capture":"managed","on_failure":"closed","keys":%s,"enrolment":%s`,
		k, quote(r.cfg.Managed.Enrolment))
	_, note := r.cfg.Log.Checkpoint()
	if c := recorder.Embed(note); c != "" {
		fmt.Fprintf(&b, `,"checkpoint":%s`, quote([]byte(c)))
	}
	if main != nil {
		fmt.Fprintf(&b, `,"main":"%s"`, main)
	}
	return b.String(), nil
}

// managedKey tells whether the server's own recorder writes the track.
func (r *Recording) managedKey(t *trackFacts) bool {
	v, err := note.NewVerifier(t.Key)
	return err == nil && keyOf(v.Name(), v.KeyHash()) == keyOf(r.cfg.Managed.Signer.Name(), r.cfg.Managed.Signer.KeyHash())
}

// original finds what was recorded of an event id, if anything, and says whether it was the same request.
func (r *Recording) original(ctx context.Context, s *session, p *plainEvent) (rc Receipt, found bool, err error) {
	if !p.given {
		return rc, false, nil
	}
	at, found, err := r.eventAt(ctx, s, p.id)
	if err != nil || !found {
		return rc, false, err
	}
	leaf, err := r.cfg.Log.Leaf(ctx, at.index)
	if err != nil {
		return rc, false, r.notDurable("reading the leaf", err)
	}
	e, err := entry.Parse(leaf)
	if err != nil || at.seq < e.Seq || at.seq >= e.Next() {
		return rc, false, fmt.Errorf("leaf %d does not hold event %d: %w", at.index, at.seq, err)
	}
	var m entry.Managed
	if err := e.Events[at.seq-e.Seq].Decode(&m); err != nil {
		return rc, false, err
	}
	if m.MAC == nil || !hmac.Equal(m.MAC[:], p.mac[:]) {
		pr := problem(CodeIdempotency, "the event id was used for another request")
		pr.Event = p.at
		return rc, true, pr
	}
	r.metrics.repeats.Inc()
	return Receipt{
		Session: e.Session, Track: e.Track, Seq: e.Seq, Count: uint64(len(e.Events)), Index: at.index, Hash: e.Hash(),
		Received: string(e.Received.Line), Leaf: leaf, Repeated: true,
	}, true, nil
}
