package evidence

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Between which times the sessions of a bundle were logged: by time-stamp tokens, and by the clocks of witnesses.

// covering lists the tokens that count over a leaf, one of each authority, the earliest first.
func (v *verification) covering(index uint64) (out []*stamped) {
	for _, s := range v.heard.stamped {
		named := func(o *stamped) bool { return o.Authority == s.Authority }
		heard := func(o *stamped) bool { return o.token.OneVoice(s.token) } // which takes longer to tell
		if s.Size > index && !slices.ContainsFunc(out, named) && !slices.ContainsFunc(out, heard) {
			out = append(out, s)
		}
	}
	return out
}

// below is the token that was made last before a leaf was logged, or nil.
func (v *verification) below(index uint64) (last *stamped) {
	for _, s := range v.stamped {
		if s.Counts && s.Index < index && (last == nil || s.token.NotBefore().After(last.token.NotBefore())) {
			last = s
		}
	}
	return last
}

// times says between which times sessions were logged, whether as many authorities say so as was demanded, and whether the clocks can all be
// right.
func (v *verification) times(r *Report) {
	h := head{size: v.cp.Size, index: noLeaf}
	h.cosigned(v.t, v.cp)
	v.heads = append(v.heads, h)
	v.hear()
	for i := range r.Sessions {
		s := &r.Sessions[i]
		s.Time.Stamps, s.Time.Authorities = v.t.Stamps(), []string{}
		if len(s.Tracks) == 0 {
			continue
		}
		first, last := uint64(math.MaxUint64), uint64(0)
		for _, t := range s.Tracks {
			first, last = min(first, t.FirstIndex), max(last, t.LastIndex)
		}
		v.sessionTime(s, first, last)
	}
}

// sessionTime judges the time of a session whose entries stand at leaves from first to last.
func (v *verification) sessionTime(s *SessionReport, first, last uint64) {
	b := v.bounds(first, last)
	if n := b.below; n != nil {
		s.Time.NotBefore = &TimeBound{Time: instant(n.token.NotBefore()), Authority: n.Authority, AnchorIndex: n.Index}
	}
	for _, c := range b.covering {
		s.Time.Authorities = append(s.Time.Authorities, c.Authority)
	}
	slices.Sort(s.Time.Authorities)
	s.Time.Witnessed = b.witnessed()
	s.Time.Contradiction = v.contradiction(b)
	why, early := "", false
	if k := max(1, v.t.Stamps()); len(b.covering) >= k {
		c := b.covering[k-1]
		s.Time.NotAfter = &TimeBound{Time: instant(c.token.NotAfter()), Authority: c.Authority, AnchorIndex: c.Index, Size: c.Size}
	} else if v.t.Stamps() > 0 {
		why, early = v.unbound(last, s.Time.Authorities), v.stampedBy(last) < v.t.Stamps()
	}
	if c := s.Time.Contradiction; c != nil { // whatever is demanded, and whatever the file waits for: nothing that comes later mends it
		why, early = strings.TrimSuffix(c.String()+"; "+why, "; "), false
	}
	switch {
	case why != "":
		v.unmet(CheckTime, Where{Session: s.Session, Index: &last}, why, early)
	case s.Time.NotAfter != nil:
		v.passed[CheckTime]++
	}
}

// bounds are what a session's brackets rest on.
type bounds struct {
	below         *stamped   // the token that was made last before, or nil
	covering      []*stamped // of each authority the first that covers it, the earliest first
	after, before *head      // by the clocks of witnesses, or nil
}

// bounds are those of leaves from first to last.
func (v *verification) bounds(first, last uint64) bounds {
	b := bounds{below: v.below(first), covering: v.covering(last)}
	// Witnesses signed the checkpoints that were stamped, and the anchors' leaves hold the hash of these signatures: so what stands above was
	// logged after them.
	for i := range v.heads {
		h := &v.heads[i]
		switch {
		case !h.witnessed:
		case h.index < first && (b.after == nil || h.since > b.after.since):
			b.after = h
		case h.size > last && (b.before == nil || h.quorum < b.before.quorum):
			b.before = h
		}
	}
	return b
}

// witnessed is the bracket by the clocks of witnesses.
func (b bounds) witnessed() *WitnessedBetween {
	if b.after == nil && b.before == nil {
		return nil
	}
	w := &WitnessedBetween{}
	if h := b.after; h != nil {
		w.NotBefore = &WitnessBound{Time: witnessTime(h.since), Size: h.size}
	}
	if h := b.before; h != nil {
		w.NotAfter = &WitnessBound{Time: witnessTime(h.quorum), Size: h.size}
	}
	return w
}

// stampedBy counts the pinned authorities of which a token over a leaf is here, whether it counts or not.
func (v *verification) stampedBy(index uint64) int {
	names := map[string]bool{}
	for _, s := range v.stamped {
		if s.authority.Name != "" && s.Size > index {
			names[s.authority.Name] = true
		}
	}
	return len(names)
}

// unbound says in words why the time of a leaf is not bound as was demanded.
func (v *verification) unbound(index uint64, bound []string) string {
	s := fmt.Sprintf("the session's last entry is bound by %d time-stamp authorities, and the trust file demands %d", len(bound), v.t.Stamps())
	for _, a := range v.t.Authorities() {
		if slices.Contains(bound, a.Name) {
			s += fmt.Sprintf("; %s: bound", a.Name)
			continue
		}
		why := "no token of it here covers the entry"
		for _, t := range v.stamped {
			if t.Authority == a.Name && t.Size > index && !t.Counts {
				why = fmt.Sprintf("its token at leaf %d does not count: %s", t.Index, t.Detail)
				break
			}
		}
		s += fmt.Sprintf("; %s: %s", a.Name, why)
	}
	return s
}

// instant writes a time in UTC, with as many digits as it has.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// timeNotChecked says what is not known of times.
func (v *verification) timeNotChecked(r *Report) (out []NotChecked) {
	bound, refused := 0, v.unlisted
	for _, s := range r.Sessions {
		if s.Time.NotAfter != nil {
			bound++
		}
	}
	for _, s := range v.stamped {
		if !s.Counts {
			refused++
		}
	}
	switch {
	case bound == 0:
		out = append(out, NotChecked{"external-time", "external time: every time here is the word of the log, of a recorder or of a witness"})
	case bound < len(r.Sessions):
		out = append(out, NotChecked{"external-time", fmt.Sprintf("external time of %d sessions: no time-stamp token that counts covers their end", len(r.Sessions)-bound)})
	}
	if refused > 0 {
		out = append(out, NotChecked{"tokens", fmt.Sprintf("%d time-stamp tokens, which do not count and prove nothing: see anchors", refused)})
	}
	if len(v.stamped)+v.unlisted > refused {
		out = append(out, NotChecked{"revocation", "whether certificates of time-stamp authorities had been revoked: windows and marks in the trust file decide whose word counts, and the data that anchors name is for others to judge"})
	}
	if v.absentPublic > 0 {
		out = append(out, NotChecked{"absent-public", fmt.Sprintf("%d pieces of public data that anchors name are not in the file", v.absentPublic)})
	}
	return out
}
