package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// Bounds of one request. The first entry goes whatever its size.
const (
	maxSendEntries = 64
	maxSendBytes   = 4 << 20
)

// send sends the track's entries in order, one request at a time, until the recorder closes or the track ends.
func (t *Track) send() {
	for attempt := 0; ; {
		items := t.unsent()
		if items == nil {
			return
		}
		err := t.sendOnce(items)
		if err == nil {
			attempt = 0
			continue
		}
		if t.r.ctx.Err() != nil {
			return
		}
		t.mu.Lock()
		t.lastSend = err
		t.wake()
		t.mu.Unlock()
		if t.definitive(err) {
			return
		}
		t.r.cfg.Logger.Warn("entries were not sent", "session", t.session, "track", t.name, "attempt", attempt+1, "err", err)
		if sleep(t.r.ctx, t.r.http.wait(attempt, err)) != nil {
			return
		}
		attempt++
	}
}

// definitive ends the track, or the trust in the log, if err is not one that passes.
func (t *Track) definitive(err error) bool {
	if kind, _ := evidence(err); kind != "" {
		// The track does not end: what has happened is still spooled.
		_ = t.r.distrusted(err)
		return true
	}
	var refused *RefusedError
	var conflict *ConflictError
	if errors.As(err, &refused) || errors.As(err, &conflict) || errors.Is(err, ErrSpoolBroken) {
		t.r.cfg.Logger.Error("the track has ended", "session", t.session, "track", t.name, "err", err)
		t.end(err)
		return true
	}
	return false
}

// unsent waits for entries that are not acknowledged and returns what the next request holds; nil when there will be none.
func (t *Track) unsent() []*item {
	for {
		t.mu.Lock()
		var items []*item
		size := 0
		for _, it := range t.items {
			if it.acked {
				continue
			}
			if len(items) == t.batch || len(items) > 0 && (size+it.at.length > maxSendBytes || it.closes) {
				break // session.close goes alone, so that it can be withdrawn
			}
			items, size = append(items, it), size+it.at.length
		}
		failed, changed := t.failed, t.changed
		t.mu.Unlock()
		if failed != nil {
			return nil
		}
		if len(items) > 0 {
			return items
		}
		select {
		case <-changed:
		case <-t.r.distrusts:
			return nil
		case <-t.r.ctx.Done():
			return nil
		}
	}
}

func (t *Track) sendOnce(items []*item) error {
	if err := t.r.trusted(); err != nil {
		return err
	}
	subs := make([]wire.Submitted, len(items))
	for i, it := range items {
		data, err := t.spool.read(it.at)
		if err != nil {
			return err
		}
		if subs[i], err = it.parse(data); err != nil {
			return &SpoolError{t.id(), it.at.offset, err}
		}
	}
	body, err := wire.Append(nil, subs...)
	if err != nil {
		return err
	}
	path := pathFor(wire.PathEntries, t.session)
	if items[0].seq == 0 {
		path = wire.PathSessions
		if t.name != entry.MainTrack {
			path = pathFor(wire.PathTracks, t.session)
		}
	}
	raw, err := t.r.http.do(t.r.ctx, request{method: http.MethodPost, path: path, mediaType: wire.SubmissionType, body: body, limit: maxAnswer})
	return t.answered(items, subs, raw, err)
}

// answered takes what the server said of a request: receipts for all of it, or for a prefix and why not for the rest.
func (t *Track) answered(items []*item, subs []wire.Submitted, raw []byte, err error) error {
	var p *Problem
	switch {
	case errors.As(err, &p):
		if err := t.receipts(items, subs, p.Receipts); err != nil {
			return err
		}
		if len(p.Receipts) == len(items) {
			return nil // every entry was taken: the problem is another, of waiting perhaps
		}
		return t.refused(items[len(p.Receipts)], len(items), p)
	case err != nil:
		return err
	}
	var a wire.Answer
	if err := json.Unmarshal(raw, &a); err != nil || a.Session != t.session || a.Track != t.name {
		// A proxy's or portal's page, perhaps: nobody has said anything about the entries.
		return errors.New("the answer to a submission is not one")
	}
	if len(a.Receipts) != len(items) {
		return fmt.Errorf("%d receipts for %d entries", len(a.Receipts), len(items))
	}
	return t.receipts(items, subs, a.Receipts)
}

// receipts verifies receipts of the first items and notes them.
func (t *Track) receipts(items []*item, subs []wire.Submitted, receipts []wire.Receipt) error {
	if len(receipts) > len(items) {
		return fmt.Errorf("%d receipts for %d entries", len(receipts), len(items))
	}
	now := entry.TimeOf(t.r.cfg.Now())
	var records []record
	leaves := make([]tiles.Hash, len(receipts))
	for i, rc := range receipts {
		leaf, err := t.checkReceipt(items[i], subs[i].Entry, rc)
		if window := new(trust.WindowError); errors.As(err, &window) {
			return fmt.Errorf("receipt for %s from %d: %w", t.id(), items[i].seq, err) // the log or we may have the older keys
		}
		if err != nil {
			answer, _ := json.Marshal(rc) // strings and numbers: it can't fail
			return &ReceiptError{t.session, t.name, items[i].seq, subs[i].Entry, answer, err}
		}
		leaves[i] = leaf
		r, err := jsonRecord(kindReceipt, now, receiptNote{rc.Seq, rc.Index, rc.Received})
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	if len(records) == 0 {
		return nil
	}
	// Not synced: if these are lost, the entries are sent again and the same receipts come back.
	if _, err := t.spool.append(0, records...); err != nil && !errors.Is(err, ErrSpoolFull) {
		return err
	}
	// Whoever waits for an intent's receipt acts on it: a fork that came with it is told before.
	if err := t.given(receipts); err != nil {
		_ = t.r.distrusted(err)
		return err
	}
	t.acknowledged(items, receipts, leaves)
	return nil
}

func (t *Track) acknowledged(items []*item, receipts []wire.Receipt, leaves []tiles.Hash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, rc := range receipts {
		it := items[i]
		it.acked, it.index, it.leaf = true, rc.Index, leaves[i]
		t.state.Acked, t.state.AckedHead = it.next(), it.hash
		t.ended = it.closes
	}
	t.lastSend = nil
	t.wake()
}

// given keeps the checkpoints that receipts of a higher level carry. That they cover the entries is not believed: verify
// proves it. One that can't be used makes no receipt worse than durable.
func (t *Track) given(receipts []wire.Receipt) error {
	last := ""
	for _, rc := range receipts {
		if rc.Checkpoint == last {
			continue
		}
		last = rc.Checkpoint
		var fork *ForkError
		if err := t.r.keeper.give([]byte(last)); errors.As(err, &fork) {
			return err
		} else if err != nil {
			t.r.cfg.Logger.Warn("a receipt's checkpoint was not kept", "session", t.session, "track", t.name, "err", err)
		}
	}
	return nil
}

// checkReceipt makes the leaf of a submission and its receipt, and verifies it as a verifier will.
func (t *Track) checkReceipt(it *item, submission []byte, rc wire.Receipt) (tiles.Hash, error) {
	if rc.Seq != it.seq || rc.Count != it.count || rc.Hash != it.hash {
		return tiles.Hash{}, errors.New("it is of another entry")
	}
	leaf := append(slices.Clip(submission), rc.Received...)
	e, err := entry.Parse(leaf)
	if err != nil {
		return tiles.Hash{}, err
	}
	// That witnesses see it is what it is kept for: here it counts as if they had.
	if err := t.r.cfg.Trust.VerifyReceivedAt(e, rc.Index, true); err != nil {
		return tiles.Hash{}, err
	}
	return tiles.LeafHash(leaf), nil
}

// refused judges a refusal, of which it is the entry that was not taken.
func (t *Track) refused(it *item, batch int, p *Problem) error {
	switch {
	case passing(p):
		return p
	case p.Status == http.StatusRequestEntityTooLarge && batch > 1:
		t.batch = batch / 2
		return p
	case p.Status == http.StatusConflict || p.Status == http.StatusNotFound && p.Code == "unknown-session":
		if err := t.compare(); err != nil {
			return err
		}
		if it.closes && p.Status == http.StatusConflict {
			return t.withdraw(it, p)
		}
	}
	return &RefusedError{t.session, t.name, it.seq, p}
}

// compare asks where the track stands for the server. A head behind what it acknowledged is a *BehindError, one ahead of it
// a *ConflictError.
func (t *Track) compare() error {
	head, raw, err := t.r.head(t.r.ctx, t.session)
	var p *Problem
	if err != nil && (!errors.As(err, &p) || p.Code != "unknown-session") {
		return err
	}
	theirs := wire.TrackHead{Track: t.name} // of a track that is not there
	for _, h := range head.Tracks {
		if h.Track == t.name {
			theirs = h
		}
	}
	if err := t.behind(theirs, raw); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if theirs.Next > t.state.Acked {
		return &ConflictError{t.session, t.name, t.state.Acked, t.state.AckedHead, theirs.Next, theirs.Head}
	}
	return nil
}

// behind is a *BehindError if the server's head is behind, or beside, what it acknowledged.
func (t *Track) behind(h wire.TrackHead, answer []byte) error {
	t.mu.Lock()
	acked, head := t.state.Acked, t.state.AckedHead
	var last *item
	for _, it := range t.items {
		if it.acked {
			last = it
		}
	}
	t.mu.Unlock()
	if h.Next > acked || h.Next == acked && h.Head == head {
		return nil
	}
	b := &BehindError{Session: t.session, Track: t.name, Next: acked, Head: head, TheirNext: h.Next, TheirHead: h.Head, Answer: answer}
	if last != nil {
		b.Leaf = t.leafOf(last)
	}
	return b
}

// withdraw takes the session.close back that the server refused, so that another can take its place. The refusal is kept:
// it is why two texts were signed for one sequence number.
func (t *Track) withdraw(it *item, p *Problem) error {
	r, err := jsonRecord(kindWithdrawn, entry.TimeOf(t.r.cfg.Now()), withdrawnNote{it.seq, it.hash, p.Problem})
	if err != nil {
		return err
	}
	if _, err := t.spool.append(0, r); err != nil {
		return err
	}
	if err := t.spool.sync(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items = slices.DeleteFunc(t.items, func(x *item) bool { return x == it })
	t.state.Next, t.state.Head = it.seq, it.prev
	t.closing, t.withdrawn = false, p
	if t.builder != nil {
		b, err := t.newBuilder(t.keys)
		if err != nil {
			return err
		}
		t.builder = b
	}
	t.wake()
	return nil
}
