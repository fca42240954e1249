package audit

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/log/tiles"
)

// secondReading judges the sessions that left the regular course, exactly.
func (a *auditor) secondReading(ctx context.Context) error {
	again := a.follower.again
	if len(again) == 0 {
		return nil
	}
	a.of = 2 * a.size
	sessions := make(map[sessionID]*evidence.Session, len(again))
	parse := func(first uint64, leaves [][]byte) ([]read, error) { return a.parseAgain(first, leaves, again), nil }
	err := tiles.Each(ctx, a.reader, 0, a.size, parse, func(first uint64, reads []read) error {
		for i := range reads {
			a.takeAgain(&reads[i], sessions)
		}
		a.progress(a.size + first)
		return nil
	})
	if err != nil {
		return err
	}
	a.progress(a.of)
	for _, id := range slices.SortedFunc(maps.Keys(sessions), compareIDs) {
		report, findings := sessions[id].Judge()
		a.counts.Revisited++
		a.counts.add(report.Verdict)
		for _, t := range report.Tracks {
			a.counts.Repeats += uint64(t.Repeats)
			if t.Admitted == nil {
				a.follower.unanswered(evidence.Where{Index: &t.FirstIndex, Session: report.Session, Track: t.Track}, t.LastIndex)
			}
		}
		if where, ok := sessions[id].Overrated(report); ok {
			a.find(evidence.Finding{Check: CheckVerdicts, Outcome: evidence.Failed, Where: where, Detail: overrated(report.Verdict)})
		}
		for _, f := range findings {
			if f.Outcome != evidence.Incomplete {
				a.find(f)
			}
		}
	}
	return nil
}

// parseAgain picks the entries of sessions that are judged again, and all of the log's own.
func (a *auditor) parseAgain(first uint64, leaves [][]byte, again map[sessionID]struct{}) []read {
	var reads []read
	for i, leaf := range leaves {
		session, track, ok := headerOf(leaf)
		_, wanted := again[session]
		if !ok || !wanted && track != entry.SystemTrack {
			continue
		}
		if wanted {
			leaf = bytes.Clone(leaf) // an entry that waits for its predecessor would hold on to its whole bundle
		}
		e, err := entry.Parse(leaf)
		if err != nil || e.Origin != a.cfg.Trust.Origin {
			continue // the first reading has told
		}
		r := read{index: first + uint64(i), entry: e, session: session}
		if err := a.keys.Received(e, r.index); err != nil {
			r.finding = a.refused(evidence.CheckReceived, r.index, e, err)
		}
		reads = append(reads, r)
	}
	return reads
}

func (a *auditor) takeAgain(r *read, sessions map[sessionID]*evidence.Session) {
	session := func(id sessionID, name string) *evidence.Session {
		if _, wanted := a.follower.again[id]; !wanted {
			return nil
		}
		if sessions[id] == nil {
			sessions[id] = a.keys.Session(name)
		}
		return sessions[id]
	}
	if r.finding != nil && (r.failed() || a.cfg.Signatures != AllSignatures) { // the first reading has told what is only unmet
		a.find(*r.finding)
	}
	if r.failed() {
		return
	}
	if r.entry.Track != entry.SystemTrack {
		a.follower.views(r)
		session(r.session, r.entry.Session).Add(r.index, r.entry)
		return
	}
	for i, ev := range r.entry.Events {
		name := evidence.Mentions(ev)
		if name == "" {
			continue
		}
		if s := session(idOf(name), name); s != nil {
			if err := s.Say(r.index, r.entry, i); err != nil {
				a.find(*failed(evidence.CheckSystem, r.index, r.entry, err))
			}
		}
	}
}

// headerOf reads session and track from a leaf's third line, as far as it has one.
func headerOf(leaf []byte) (id sessionID, track string, ok bool) {
	lines := bytes.SplitN(leaf, []byte("\n"), 4)
	if len(lines) < 4 {
		return id, "", false
	}
	session, name, ok := bytes.Cut(lines[2], []byte("/"))
	if !ok || entry.CheckSession(string(session)) != nil {
		return id, "", false
	}
	return idOf(string(session)), string(name), true
}
