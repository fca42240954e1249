package trust

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// QuorumWords says in words whose cosignatures a checkpoint needs: "2 of auditor.example, bank.example, ngo.example".
func (t *Trust) QuorumWords() string {
	if !t.NeedsWitnesses() {
		return quorumNone
	}
	return t.quorumWords(t.policy.Quorum, true)
}

func (t *Trust) quorumWords(name string, top bool) string {
	i, ok := t.policy.groups[name]
	if !ok {
		return t.witnessWords(name)
	}
	g := t.policy.Groups[i]
	if o := t.operatorOf(g); o != "" && g.K == 1 {
		return plain(o)
	}
	var members []string
	for _, m := range g.Members {
		members = append(members, t.quorumWords(m, false))
	}
	s := members[0]
	if len(members) > 1 {
		k := strconv.Itoa(g.K)
		if g.K == len(members) {
			k = "all"
		}
		s = k + " of " + strings.Join(members, ", ")
		if !top {
			s = "(" + s + ")"
		}
	}
	return s
}

// witnessWords names a witness by its operator, if that has no other key.
func (t *Trust) witnessWords(name string) string {
	o := t.operators[name]
	for w, other := range t.operators {
		if other == o && w != name {
			return "key " + plain(name) + " of " + plain(o)
		}
	}
	return plain(o)
}

// operatorOf is the one whose keys the members of a group are, or "".
func (t *Trust) operatorOf(g Group) string {
	o := t.operators[g.Members[0]] // a group has none
	if slices.ContainsFunc(g.Members, func(m string) bool { return t.operators[m] != o }) {
		return ""
	}
	return o
}

// ClockTolerance is how far the clocks of witnesses and time-stamp authorities may be apart before one of them is said to be wrong. A
// cosignature states whole seconds, and not how exact its clock is (https://c2sp.org/tlog-cosignature); the accuracy of a token is taken off
// as it is.
const ClockTolerance = time.Minute

// QuorumTime is when the witnesses that policy demands had all cosigned a checkpoint, by their clocks in seconds since 1970:
// the earliest such time. It is not ok where they have not, or none are demanded. Fewer of them than it takes can't put it back.
func (t *Trust) QuorumTime(c Checkpoint) (seconds uint64, ok bool) {
	if !t.NeedsWitnesses() || !c.Witnessed {
		return 0, false
	}
	for _, at := range cosignedAt(c) {
		if t.met(c.Cosigned, func(s Cosignature) bool { return s.Time <= at }) {
			return at, true
		}
	}
	return 0, false
}

// QuorumSince is before when the cosignatures were not all there: the latest time at or after which witnesses cosigned whom policy demands,
// and QuorumTime at the latest. Fewer of them than it takes can't put it ahead.
func (t *Trust) QuorumSince(c Checkpoint) (seconds uint64, ok bool) {
	until, ok := t.QuorumTime(c)
	for _, at := range slices.Backward(cosignedAt(c)) {
		if ok && at <= until && t.met(c.Cosigned, func(s Cosignature) bool { return s.Time >= at }) {
			return at, true
		}
	}
	return 0, false
}

// cosignedAt are the times of cosignatures, the earliest first.
func cosignedAt(c Checkpoint) (times []uint64) {
	for _, s := range c.Cosigned {
		times = append(times, s.Time)
	}
	slices.Sort(times)
	return times
}

// plain quotes a name that could be taken for the words around it.
func plain(s string) string {
	if strings.ContainsAny(s, ",()\"") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// Overlap tells whether any two quorums have an operator in common. Where they have not, and where the quorum is none, the
// log can show two histories with a quorum each although no witness lies.
func (t *Trust) Overlap() bool {
	return t.NeedsWitnesses() && !t.splits(t.policy.Quorum)
}

// splits tells whether the operators below a name can be parted so that either part satisfies it. An operator is whole. Of n
// members, d of which can be parted themselves, the others go to one part each: there are n + d votes for two times K.
func (t *Trust) splits(name string) bool {
	i, ok := t.policy.groups[name]
	if !ok || t.operatorOf(t.policy.Groups[i]) != "" {
		return false
	}
	votes := 0
	for _, m := range t.policy.Groups[i].Members {
		if t.splits(m) {
			votes++
		}
		if t.canWitness(m) {
			votes++
		}
	}
	return votes >= 2*t.policy.Groups[i].K
}

// canWitness tells whether a witness or group can ever have cosigned by keys that are not compromised.
func (t *Trust) canWitness(name string) bool {
	return t.policy.witnessed(name, func(w string) bool {
		return !t.compromised(RoleWitness, t.policy.Witnesses[t.policy.witnesses[w]].Verifier)
	})
}
