package trust

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stenolog/steno/checkpoint"
)

// What must hold between the lines of a trust file, each of which is right.

// checkPoints refuses a public key that stands twice, under whatever names: an enroller that is the log would be the
// operator vouching for itself, and a key for two purposes can be made to sign for the other.
func (t *Trust) checkPoints() error {
	seen := map[string]bool{}
	take := func(public string) error {
		if seen[public] {
			return errors.New("one public key stands in two lines")
		}
		seen[public] = true
		return nil
	}
	for _, v := range t.logs {
		if err := take(string(v.PublicKey())); err != nil {
			return err
		}
	}
	for _, w := range t.policy.Witnesses {
		if err := take(string(w.Verifier.PublicKey())); err != nil {
			return err
		}
	}
	for _, k := range slices.Concat(t.Received, t.System, t.Enrollers, t.Signers) {
		point, err := pointOf(k)
		if err == nil {
			err = take(point)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkOperators makes sure that every witness has an operator, and that none has two votes.
func (t *Trust) checkOperators() error {
	t.operators = map[string]string{}
	for i, o := range t.Operators {
		if err := checkpoint.CheckName(o.Name); err != nil {
			return fmt.Errorf("operator %q: %w", o.Name, err)
		}
		if i > 0 && t.Operators[i-1].Name >= o.Name || !slices.IsSorted(o.Witnesses) || len(o.Witnesses) == 0 {
			return errors.New("operators and their witnesses are not in ascending order, each once")
		}
		for _, w := range o.Witnesses {
			if _, ok := t.policy.witnesses[w]; !ok || t.operators[w] != "" {
				return fmt.Errorf("operator %q: %q is no witness of the policy, or has an operator already", o.Name, w)
			}
			t.operators[w] = o.Name
		}
		if len(o.Witnesses) > 1 && !t.policy.oneGroup(o.Witnesses) {
			return fmt.Errorf("operator %q has several witnesses, and they are not the members of one group: its word would count twice", o.Name)
		}
	}
	for _, w := range t.policy.Witnesses {
		if t.operators[w.Name] == "" {
			return fmt.Errorf("witness %q has no operator", w.Name)
		}
	}
	return nil
}

// oneGroup tells whether names are exactly the members of one group.
func (p *Policy) oneGroup(names []string) bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool {
		return slices.Equal(slices.Sorted(slices.Values(g.Members)), names)
	})
}

// checkReachable refuses a policy that no checkpoint can meet any more.
func (t *Trust) checkReachable() error {
	if !t.reachable(func(*checkpoint.Verifier) bool { return true }) {
		return errors.New("the witnesses whose keys are not compromised can't make the quorum: give their operators new keys, or change it")
	}
	return nil
}

// reachable tells whether the witnesses of some keys could make the quorum.
func (t *Trust) reachable(counts func(*checkpoint.Verifier) bool) bool {
	return t.policy.Satisfied(func(w string) bool {
		v := t.policy.Witnesses[t.policy.witnesses[w]].Verifier
		return counts(v) && !t.compromised(RoleWitness, v)
	})
}

func (t *Trust) checkRequirements() error {
	pq := func(v *checkpoint.Verifier) bool { return v.Algorithm().PostQuantum() }
	for i, r := range t.Require {
		if r.Algorithm != requireMLDSA || i > 0 {
			return fmt.Errorf("only %s can be required, once", requireMLDSA)
		}
		if r.From.Unix() < 0 { // times of cosignatures are not negative
			return fmt.Errorf("%s is required from a day before 1970-01-01, which stands for always", r.Algorithm)
		}
		if !slices.ContainsFunc(t.logs, pq) {
			return fmt.Errorf("%s is required, and the log has no such key", r.Algorithm)
		}
		if !t.reachable(pq) {
			return fmt.Errorf("%s is required, and the witnesses that have such keys can't make the quorum", r.Algorithm)
		}
	}
	return nil
}
