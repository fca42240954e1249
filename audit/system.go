package audit

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/timestamp"
)

// system follows the log's own sessions: one per incarnation of the process that writes it, each naming the one before.
type system struct {
	f      *follower
	chain  *entry.Track
	epoch  uint64
	openAt uint64
	texts  [4096]text // of the latest entries, to know a repeat by
	n      int
	early  map[uint64]arrival // entries that a failed append has left ahead of their predecessors
	last   []byte
	lastAt uint64
	ended  []ending         // of incarnations that did not close in good order
	told   evidence.Outcome // what was found last of where this incarnation's key counts
	keys   keyWords
}

// An ending is where an incarnation of the log stopped: after its last entry, before the first of the next.
type ending struct{ after, before uint64 }

// cut tells whether an incarnation ended before it could say anything of leaves from first to last.
func (s *system) cut(first, last uint64) bool {
	return slices.ContainsFunc(s.ended, func(e ending) bool { return e.after < first && last < e.before })
}

type text struct {
	seq  uint64
	hash entry.Hash
}

// An arrival is kept as bytes of its own: the leaf that was read would hold on to its whole bundle.
type arrival struct {
	index uint64
	leaf  []byte
	hash  entry.Hash
}

const maxEarly = 1024

func (s *system) fail(r *read, format string, args ...any) {
	s.f.a.find(*failed(evidence.CheckSystem, r.index, r.entry, fmt.Errorf(format, args...)))
}

func (s *system) take(r *read) {
	if s.chain == nil || r.entry.Session != s.chain.Session {
		if r.entry.Seq == 0 {
			s.open(r)
			return
		}
		s.fail(r, "an entry of a system session that has not begun or was succeeded by another")
		return
	}
	switch {
	case r.entry.Seq < s.chain.Next:
		s.behind(r)
	case r.entry.Seq > s.chain.Next:
		s.ahead(r)
	default:
		s.extend(r)
	}
}

func (s *system) ahead(r *read) {
	e, taken := s.early[r.entry.Seq]
	switch {
	case taken && e.hash != r.hash:
		s.fail(r, "equivocation: the log has signed two texts for one sequence number of its own")
	case !taken && len(s.early) == maxEarly:
		s.fail(r, "more than %d entries of the log's own are out of order", maxEarly)
	case !taken:
		s.early[r.entry.Seq] = arrival{r.index, slices.Clone(r.leaf), r.hash}
	}
}

func (s *system) behind(r *read) {
	for i := range min(s.n, len(s.texts)) {
		if s.texts[i] == (text{r.entry.Seq, r.hash}) {
			s.f.a.counts.Repeats++
			return
		}
	}
	s.fail(r, "equivocation: the log has signed two texts for one sequence number of its own")
}

func (s *system) extend(r *read) {
	if err := s.chain.Check(r.entry); err != nil {
		s.f.a.find(*failed(evidence.CheckSystem, r.index, r.entry, err))
		return
	}
	if s.f.a.windowed {
		_, err := s.f.a.keys.System(r.entry, r.index)
		s.outside(r, err)
	}
	advance(s.chain, r)
	if s.f.a.cfg.Signatures == AllSignatures {
		s.f.pool.add(job{index: r.index, entry: r.entry, verifier: s.chain.Verifier})
	}
	s.accept(r)
	if e, ok := s.early[s.chain.Next]; ok {
		delete(s.early, s.chain.Next)
		s.extend(&s.f.a.parse(e.index, [][]byte{e.leaf})[0]) // it was read before, and so parses
	}
}

// outside notes that the log has signed with a key that does not count in this place, once. What it says is followed all the
// same, or the one finding would become many.
func (s *system) outside(r *read, err error) {
	if err == nil {
		return
	}
	if f := s.f.a.refused(evidence.CheckSystem, r.index, r.entry, err); f.Outcome != s.told {
		s.told = f.Outcome
		s.f.a.find(*f)
	}
}

func (s *system) accept(r *read) {
	s.texts[s.n%len(s.texts)] = text{r.entry.Seq, r.hash}
	s.n++
	s.lastAt = r.index
	if s.f.a.cfg.Signatures != AllSignatures {
		s.last = append(s.last[:0], r.leaf...)
	}
	for _, ev := range r.entry.Events {
		s.event(r, ev)
	}
}

func (s *system) event(r *read, ev entry.Event) {
	switch ev.Type {
	case entry.TypeAdmitted, entry.TypeVerdict, entry.TypeKeyAdd, entry.TypeKeyRetire, entry.TypeKeyCompromised, entry.TypeConfig, entry.TypeAnchor:
	default:
		return
	}
	v, err := ev.Value()
	if err != nil {
		s.fail(r, "%w", err)
		return
	}
	switch v := v.(type) {
	case *entry.Admitted:
		s.f.admitted(r, v)
	case *entry.Verdict:
		s.f.verdict(r, v)
	case *entry.Anchor:
		s.anchor(r, v)
	default:
		s.keys.take(r.index, v)
	}
}

// anchor judges what an anchor says as far as it says it itself: an audit reads no public blobs, and so knows neither the
// checkpoint that was stamped nor a token beside its leaf.
func (s *system) anchor(r *read, v *entry.Anchor) {
	if v.Size > r.index {
		s.fail(r, "an anchor of a checkpoint of size %d, which would cover the anchor itself", v.Size)
	}
	if v.TokenBlob != nil {
		return
	}
	der, err := base64.StdEncoding.Strict().DecodeString(string(v.Token))
	if err != nil {
		s.fail(r, "the anchor's token is not in base64")
		return
	}
	for _, a := range s.f.a.cfg.Trust.Authorities() {
		if a.Name != string(v.Authority) {
			continue
		}
		var refused *timestamp.Error
		if _, err := timestamp.Verify(der, v.Checkpoint, a); errors.As(err, &refused) && !evidence.ByPins(refused.Reason) {
			s.fail(r, "the anchor of %s: %w", a.Name, err)
		}
	}
}

// open begins a system session, which succeeds the one before.
func (s *system) open(r *read) {
	chain, outside := s.f.a.keys.Open(r.entry, r.index)
	if chain == nil {
		s.f.a.find(*failed(evidence.CheckSystem, r.index, r.entry, outside))
		return
	}
	var v entry.SystemOpen
	if err := r.entry.Events[0].Decode(&v); err != nil {
		s.fail(r, "%w", err)
		return
	}
	if err := s.succeeds(&v, chain, r.index); err != nil {
		s.fail(r, "%w", err)
	}
	s.leftover()
	s.lastSignature()
	if s.chain != nil && !s.chain.Closed {
		s.ended = append(s.ended, ending{s.lastAt, r.index})
	}
	s.told = ""
	if s.outside(r, outside); outside == nil {
		s.f.passed[evidence.CheckSystem]++
	}
	s.f.a.counts.SystemSessions++
	s.chain, s.epoch, s.openAt, s.n, s.early = chain, v.Epoch, r.index, 0, map[uint64]arrival{}
	s.accept(r)
}

func (s *system) succeeds(v *entry.SystemOpen, chain *entry.Track, index uint64) error {
	key, err := note.NewVerifier(string(v.Key))
	switch {
	case err != nil || key.Name() != chain.Verifier.Name() || key.KeyHash() != chain.Verifier.KeyHash():
		return errors.New("system session names another key than it is signed by")
	case v.Size > index:
		return fmt.Errorf("system session says to have begun at size %d", v.Size)
	case s.chain == nil && (v.Predecessor != "" || v.PredecessorHead != nil):
		return errors.New("the first system session names a predecessor")
	case s.chain == nil:
		return nil
	case string(v.Predecessor) != s.chain.Session || v.PredecessorHead == nil || *v.PredecessorHead != s.chain.Head:
		return errors.New("system session does not name the one before it and where that ended")
	case v.Epoch <= s.epoch:
		return fmt.Errorf("system session has epoch %d after %d", v.Epoch, s.epoch)
	}
	return nil
}

// leftover names what never found its place.
func (s *system) leftover() {
	for _, seq := range slices.Sorted(maps.Keys(s.early)) {
		e := s.early[seq]
		r := s.f.a.parse(e.index, [][]byte{e.leaf})[0]
		s.fail(&r, "hole: sequence number %d of the log's own session is missing before this one", s.chain.Next)
		return
	}
}

func (s *system) lastSignature() {
	if s.chain == nil || s.f.a.cfg.Signatures == AllSignatures {
		return
	}
	s.f.lastSignature(&track{chain: s.chain, last: s.last, lastAt: s.lastAt})
	s.last = nil // the pool reads it from now on
}

func (s *system) finish() {
	s.leftover()
	s.lastSignature()
}

func compareIDs(a, b sessionID) int { return cmp.Compare(string(a[:]), string(b[:])) }
