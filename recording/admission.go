package recording

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/stenolog/steno/entry"
)

// An admission is one request that is being verified and appended. It holds its track, or all of the session.
type admission struct {
	r     *Recording
	who   Who
	s     *session
	track string

	places int64               // held at the session's gate
	locked *semaphore.Weighted // of the track; nil when all of the gate is held

	chain    *entry.Track // where the track stands behind the verified entries; nil: not open
	key      string       // verifier key of its recorder
	fresh    []arrival    // verified, not in the log
	again    bool         // the track's open is in the log and who was admitted is not
	receipts []Receipt
}

// enter waits for the track, or, when an entry opens or closes it or the session is not alive, for all of the session. A
// client that hangs up while it waits has sent nothing.
func (a *admission) enter(ctx context.Context, arrivals []arrival) error {
	all := arrivals[0].e.Seq == 0
	for _, x := range arrivals {
		all = all || x.closes != nil
	}
	return a.enterAs(ctx, all)
}

func (a *admission) enterAs(ctx context.Context, all bool) error {
	for {
		if !all {
			a.s.view(func(f *facts) { all = !f.live() })
		}
		a.places = 1
		if all {
			a.places = gateAll
		}
		if err := a.s.gate.Acquire(ctx, a.places); err != nil {
			return gone(err)
		}
		if all {
			return nil
		}
		alive := false
		a.s.view(func(f *facts) { alive = f.live() })
		if alive {
			break
		}
		// It was given up or closed while we waited. From here on that cannot happen: both take all of the gate.
		a.s.gate.Release(a.places)
	}
	a.locked = a.s.lock(a.track)
	if err := a.locked.Acquire(ctx, 1); err != nil {
		a.s.gate.Release(a.places)
		return gone(err)
	}
	return nil
}

func gone(err error) error {
	p := problem(CodeGone, "the client was gone, or out of time, before its turn came; nothing was taken")
	p.Err = err
	return p
}

func (a *admission) leave() {
	if a.locked != nil {
		a.locked.Release(1)
	}
	a.s.gate.Release(a.places)
}

// own checks that the session is the principal's: it belongs to whoever opened it.
func (a *admission) own(arrivals []arrival) (err error) {
	a.s.view(func(f *facts) {
		main := f.Tracks[entry.MainTrack]
		switch {
		case main == nil && (a.track != entry.MainTrack || arrivals[0].e.Seq != 0):
			err = problem(CodeUnknownSession, "there is no such session")
		case main == nil || f.Principal == a.who.Principal:
		case f.Principal == "" && a.track == entry.MainTrack && arrivals[0].hash == main.First:
			// The open is in the log, but its answer and who was admitted were lost. Whoever has the very same text is
			// its author.
		default:
			err = problem(CodeOtherPrincipal, "the session belongs to another principal")
		}
		if t := f.Tracks[a.track]; err == nil && t != nil {
			a.again = !t.Admitted
			a.key = t.Key
			a.chain, err = t.chain(a.r.cfg.Origin, a.s.id)
		}
	})
	return err
}

// admit verifies the entries in order and appends those that are new, up to the first that is refused.
func (a *admission) admit(ctx context.Context, arrivals []arrival) error {
	var refused error
	for _, x := range arrivals {
		if refused = a.verify(ctx, x); refused != nil {
			refused = asProblem(refused).inEntry(x.at)
			break
		}
	}
	if len(a.fresh) > 0 || a.again && len(a.receipts) > 0 {
		if err := a.append(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return refused
}

// verify says why an entry cannot be the next of its track, or takes it into fresh, or, if it is in the log already, its
// receipt into receipts.
func (a *admission) verify(ctx context.Context, x arrival) error {
	if a.chain != nil && x.e.Origin == a.chain.Origin && x.e.Seq < a.chain.Next {
		return a.repeat(ctx, x)
	}
	var err error
	chain := a.chain
	if chain == nil {
		if chain, err = a.open(x); err != nil {
			return err
		}
	} else {
		if err := chain.Check(x.e); err != nil {
			return a.withHeads(asProblem(err))
		}
		if err := a.counts(a.key); err != nil {
			return err
		}
		if err := x.e.VerifyRecorder(chain.Verifier); err != nil {
			return err
		}
	}
	if err := a.checkEmbedded(x); err != nil {
		return err
	}
	if x.closes != nil {
		if err := a.checkClose(x); err != nil {
			return err
		}
	}
	if err := a.r.checkBlobs(ctx, x); err != nil {
		return err
	}
	if err := a.r.checkWraps(ctx, a.s.id, x); err != nil {
		return err
	}
	if a.chain == nil {
		a.chain = chain
	} else {
		chain.Extend(x.e)
	}
	a.fresh = append(a.fresh, x)
	return nil
}

// open checks the first entry of a track.
func (a *admission) open(x arrival) (*entry.Track, error) {
	anchors := a.r.cfg.Anchors
	if a.r.cfg.Windows != nil {
		anchors = a.r.cfg.Windows.AnchorsAt(a.r.cfg.Log.Size(), true)
	}
	chain, err := anchors.Open(x.e, a.r.stampTime())
	if err != nil {
		return nil, err
	}
	if chain.Enrolment != nil {
		a.key = chain.Enrolment.RecorderKey
	}
	if err := a.counts(a.key); err != nil {
		return nil, err
	}
	a.s.view(func(f *facts) {
		switch main := f.Tracks[entry.MainTrack]; {
		case main == nil:
		case len(f.Tracks) >= a.r.cfg.Limits.Tracks:
			err = problem(CodeTooManyTracks, "a session has at most %d tracks", a.r.cfg.Limits.Tracks)
		default:
			err = chain.Binds(main.First)
		}
	})
	return chain, err
}

// counts refuses a recorder's key that counts no more, or not yet, where its entry would stand: verifiers would refuse it. The
// entry comes to stand at the log's size or above; a key that ends in between is the verifiers' to find.
func (a *admission) counts(vkey string) error {
	if a.r.cfg.Windows == nil {
		return nil
	}
	if err := a.r.cfg.Windows.CheckRecorder(vkey, a.r.cfg.Log.Size(), true); err != nil {
		p := problem(CodeKeyWindow, "the recorder's key does not count at the log's present size: it was retired, or marked as compromised")
		p.Err = err
		return p
	}
	return nil
}

// checkEmbedded refuses a checkpoint that the log never signed, or that would cover the entry which embeds it: every audit after
// it would find the log at fault. One that the log did sign is taken whatever it says, for it may be the proof of a fork.
func (a *admission) checkEmbedded(x arrival) error {
	if a.r.cfg.Embedded == nil {
		return nil
	}
	for i, ev := range x.e.Events {
		switch ev.Type {
		case entry.TypeSessionOpen, entry.TypeTrackOpen, entry.TypeSessionRoll:
		default:
			continue
		}
		var v entry.SessionRoll // of all these events the member has one name
		if err := ev.Decode(&v); err != nil || v.Checkpoint == "" {
			continue // an opening is decoded whole elsewhere
		}
		size, err := a.r.cfg.Embedded([]byte(v.Checkpoint))
		if err == nil && size <= a.r.cfg.Log.Size() {
			continue
		}
		p := problem(CodeEmbedded, "the checkpoint in the event is none that this log has signed")
		p.Event, p.Member, p.Err = i, "checkpoint", err
		return p
	}
	return nil
}

// checkClose compares what session.close says of the other tracks with where they stand. All of the gate is held.
func (a *admission) checkClose(x arrival) error {
	said := map[string]entry.TrackEnd{}
	for _, t := range x.closes.Tracks {
		said[string(t.Track)] = t
	}
	ok := len(said) == len(x.closes.Tracks)
	a.s.view(func(f *facts) {
		for name, t := range f.Tracks {
			if name == entry.MainTrack {
				continue
			}
			end, named := said[name]
			ok = ok && named && end.Next == t.Next && end.Head == t.Head
			delete(said, name)
		}
	})
	if ok && len(said) == 0 {
		return nil
	}
	return a.withHeads(problem(CodeHeadsDiffer, "session.close does not name every other track where it stands"))
}

func (a *admission) withHeads(p *Problem) error {
	a.s.view(func(f *facts) { p.Heads = f.heads() })
	return p
}

// append makes what was verified durable and takes it into the state. From here on the client's presence does not matter.
func (a *admission) append(ctx context.Context) error {
	if err := a.r.keep(ctx, a.s, a.fresh); err != nil {
		return err
	}
	leaves := make([]stamped, len(a.fresh))
	for i, x := range a.fresh {
		d, leaf, err := a.r.stampParsed(x.Entry, x.e)
		if err != nil {
			return err
		}
		leaves[i] = stamped{leaf, d}
	}
	job := &systemJob{leaves: leaves, done: make(chan error, 1)}
	job.fold = func(i int, index uint64) {
		d := leaves[i].d
		d.index = index
		if a.r.fold(a.s, d) == foldedNew {
			a.remember(leaves[i])
		}
	}
	opens := a.again || a.fresh[0].e.Seq == 0
	job.note = func(d *draft) ([]noted, error) { return a.notes(d, opens, leaves) }
	var err error
	if opens || a.judged() {
		a.r.system.jobs.add(job)
		err = <-job.done
	} else {
		err = a.r.appendOnly(ctx, job)
	}
	a.s.view(func(*facts) { a.s.heard = a.r.cfg.Now() })
	a.r.follower.poke()
	return err
}

// judged tells whether a verdict is due with the append.
func (a *admission) judged() (yes bool) {
	a.s.view(func(f *facts) { yes = !f.live() })
	return yes || slices.ContainsFunc(a.fresh, func(x arrival) bool { return x.closes != nil })
}

// notes are what the log says about the entries: who was admitted, and the verdict, if one is due.
func (a *admission) notes(d *draft, opens bool, leaves []stamped) (notes []noted, err error) {
	var after facts
	a.s.view(func(f *facts) { after = f.clone() })
	for _, l := range leaves {
		after.fold(l.d, a.r.cfg.Limits.OpenActions)
	}
	if opens {
		n := entry.Admitted{
			Session: entry.UUID(a.s.id), Track: entry.ID(a.track), Open: after.Tracks[a.track].First,
			Principal: entry.ID(a.who.Principal), How: entry.ID(a.who.How),
		}
		if a.track == entry.MainTrack {
			number, before, err := d.next(after.Agent, a.s.id, n.Open)
			if err != nil {
				return nil, err
			}
			if n.Number = number; before.Count > 0 {
				n.PreviousSession, n.Previous = entry.UUID(before.Session), &before.Open
			}
		}
		notes = append(notes, noted{entry.TypeAdmitted, n})
	}
	if after.Pending != "" {
		notes = append(notes, noted{entry.TypeVerdict, after.judge(after.Pending)})
	}
	return notes, nil
}

// clone is a deep copy.
func (f *facts) clone() facts {
	c := *f
	c.Open = slices.Clone(f.Open)
	c.Tracks = make(map[string]*trackFacts, len(f.Tracks))
	for name, t := range maps.All(f.Tracks) {
		copied := *t
		c.Tracks[name] = &copied
	}
	return c
}

// appendOnly appends leaves about which the log has nothing to say.
func (r *Recording) appendOnly(ctx context.Context, job *systemJob) error {
	leaves := make([][]byte, len(job.leaves))
	for i, l := range job.leaves {
		leaves[i] = l.leaf
	}
	end := r.flight.begin()
	placed, err := r.cfg.Log.Append(ctx, leaves)
	at, known := places(placed, err, len(leaves))
	if !known {
		return fmt.Errorf("appending: %w", err) // the flight never ends: see system.append
	}
	defer end()
	for i, p := range at {
		if p != nil {
			job.fold(i, p.Index)
		}
	}
	return err
}

// remember keeps the receipt of an entry that is in the log now.
func (a *admission) remember(l stamped) {
	rc := receiptOf(l.d)
	if a.r.isManaged(l.d) {
		rc.Leaf = l.leaf
	}
	a.receipts = append(a.receipts, rc)
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	ring := append(a.s.recent[a.track], rc)
	if len(ring) > recentEntries {
		ring = slices.Clone(ring[len(ring)-recentEntries:])
	}
	a.s.recent[a.track] = ring
	a.r.metrics.entries.Inc()
	a.r.metrics.events.Add(float64(rc.Count))
}

func receiptOf(d *digest) Receipt {
	return Receipt{
		Session: d.session, Track: d.track, Seq: d.seq, Count: d.next - d.seq, Index: d.index, Hash: d.hash, Received: d.line,
	}
}

// result says how far the request came.
func (a *admission) result() Result {
	res := Result{Session: a.s.id, Track: a.track, Receipts: a.receipts}
	a.s.view(func(f *facts) {
		if t := f.Tracks[a.track]; t != nil {
			res.Next, res.Head = t.Next, t.Head
		}
	})
	return res
}
