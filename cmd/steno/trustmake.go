package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/trust"
)

// trustFlags say what stands in a trust file, or what changes in one.
type trustFlags struct {
	policy, require, out                 string
	received, system, enrollers, signers []string
	add, drop                            map[string]*[]string // by kind of key
	operators, windows, dropWindows      []string
	threshold                            int
	authorities                          authorityFlags
	algorithms                           algorithmFlags
	changed                              func(flag string) bool
}

func (f *trustFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.policy, "policy", "", "file of the policy (https://c2sp.org/tlog-policy): the log's keys, witnesses and quorum")
	flags.StringArrayVar(&f.received, "received", nil, "verifier key of the log's receipts")
	flags.StringArrayVar(&f.system, "system", nil, "verifier key of the log's system sessions")
	flags.StringArrayVar(&f.enrollers, "enroller", nil, "verifier key of an enroller; never the log operator's")
	flags.StringArrayVar(&f.signers, "signer", nil, "verifier key of one who may update the file; never the log operator's")
	flags.IntVar(&f.threshold, "threshold", 0, "how many signers an update needs")
	flags.StringArrayVar(&f.operators, "operator", nil, "NAME=WITNESS,…: an operator, and its witnesses in the policy")
	flags.StringArrayVar(&f.windows, "window", nil, `"ROLE KEY FROM UNTIL|- [compromised]": the part of the log for which a key counts; KEY may be NAME+KEYID`)
	flags.StringVar(&f.require, "require", "", `"ml-dsa-44 DAY": what checkpoints need from a day on`)
	f.authorities.define(flags)
	f.algorithms.define(flags)
	flags.StringVarP(&f.out, "out", "o", "", "file to make; it must not exist")
	f.changed = flags.Changed
}

// kinds are the keys that can be added and dropped one by one.
func (f *trustFlags) kinds(c *trust.Config) map[string]*[]string {
	return map[string]*[]string{"received": &c.Received, "system": &c.System, "enroller": &c.Enrollers, "signer": &c.Signers}
}

func (f *trustFlags) defineChanges(flags *pflag.FlagSet) {
	f.add, f.drop = map[string]*[]string{}, map[string]*[]string{}
	for kind := range f.kinds(&trust.Config{}) {
		f.add[kind] = flags.StringArray("add-"+kind, nil, "verifier key to add")
		f.drop[kind] = flags.StringArray("drop-"+kind, nil, "key to drop, or its NAME+KEYID; what it signed no longer counts (to end it, give it a --window)")
	}
	flags.StringArrayVar(&f.dropWindows, "drop-window", nil, `"ROLE KEY": a window to drop; the key then counts for all of the log`)
}

func newTrustNew() *cobra.Command {
	var f trustFlags
	var from string
	cmd := &cobra.Command{
		Use:   "new --policy FILE --received VKEY --system VKEY --enroller VKEY [--operator NAME=WITNESS,…]… [--signer VKEY]… [--threshold N] -o FILE",
		Short: "Make the first version of a trust file",
		Long: `Make the first version of a trust file. The policy has the log's keys, the witnesses and the quorum:

  log VKEY
  witness w1 VKEY https://…
  witness w2 VKEY https://…
  witness w3 VKEY https://…
  group two 2 w1 w2 w3
  quorum two

With --from everything that is not said is taken from another trust file, of any version: for one that has no signers, and so
can only be pinned anew.`,
		Args: none(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c trust.Config
			if from != "" {
				t, err := readTrust(from)
				if err != nil {
					return err
				}
				c = t.Config
			}
			c.Version, c.Previous = 1, [32]byte{}
			return f.write(cmd, c, nil)
		},
	}
	f.define(cmd.Flags())
	cmd.Flags().StringVar(&from, "from", "", "trust file to take what is not said from")
	return cmd
}

func newTrustNext() *cobra.Command {
	var f trustFlags
	var pinned string
	cmd := &cobra.Command{
		Use:   "next --trust OLD [flags] -o NEW",
		Short: "Make the next version of a trust file",
		Long: `Make the version that follows a trust file. What is not said stays; a flag of "new" replaces all that the file has of its kind,
but --window, --authority and --algorithm add to what is there, or replace what has the same key or name.

  a key goes        --window "enroller acme/enroller+712260ab 0 500000", with the size of the log now, and --add-enroller VKEY
  a key was stolen  --window "enroller acme/enroller+712260ab 0 480000 compromised", with the size of a checkpoint that had its
                    quorum before
  an authority goes --authority "NAME FROM UNTIL …", with another day; what it stamped until then counts
  …or was broken    --compromised-authority "NAME 2027-03-04T05:06:07Z", with the last time at which it was surely sound
  a hash gets old   --algorithm "sha-256 2040-01-01", with the day from which on its time stamps prove nothing
  …or was broken    --algorithm "rsa-2048 2031-01-01 broken", with the last day on which it was surely sound
  a witness joins   --policy FILE --operator …, all of them, and --window "witness KEY SIZE -", with the size of the log now`,
		Args: none(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if pinned == "" {
				return usage("--trust FILE is needed: the trust file that the new one follows")
			}
			t, err := readTrust(pinned)
			if err != nil {
				return err
			}
			if t.Threshold == 0 {
				return hint(fmt.Errorf("%s names no signers: nobody could stand for a next version", pinned),
					"make a new one, and have it pinned anew: steno trust new --from %s …", quote(pinned))
			}
			c := t.Config
			c.Version, c.Previous = c.Version+1, t.Digest()
			return f.write(cmd, c, t)
		},
	}
	f.define(cmd.Flags())
	f.defineChanges(cmd.Flags())
	cmd.Flags().StringVar(&pinned, "trust", "", "the trust file that is pinned")
	return cmd
}

// write applies the flags to a configuration, and makes the file. It says what changes against the one before, if there is one:
// whoever prepares a version should see what it takes away.
func (f *trustFlags) write(cmd *cobra.Command, c trust.Config, before *trust.Trust) error {
	if f.out == "" {
		return usage("-o FILE is needed: where the trust file goes")
	}
	if err := f.apply(&c); err != nil {
		return err
	}
	t, err := trust.Make(c)
	if err != nil {
		return &exitError{code: exitUsage, err: hint(fmt.Errorf("this makes no trust file: %w", err), "what must hold is in docs/spec/trust.md; see: %s --help", cmd.CommandPath())}
	}
	if err := durable.CreateFile(f.out, t.Marshal(), publicFileMode); err != nil {
		return fmt.Errorf("writing the trust file: %w", err)
	}
	lines := viewOf(t).lines()
	if before != nil {
		lines = append(append(lines, ""), diffTrust(before, t)...)
	}
	return write(cmd.OutOrStdout(), lines...)
}

func (f *trustFlags) apply(c *trust.Config) error {
	if f.policy != "" {
		b, err := readSmall(f.policy)
		if err != nil {
			return fmt.Errorf("reading the policy: %w", err)
		}
		c.Policy = b
	}
	if len(c.Policy) == 0 {
		return usage("--policy FILE is needed: the log's keys, witnesses and quorum")
	}
	given := map[string][]string{"received": f.received, "system": f.system, "enroller": f.enrollers, "signer": f.signers}
	for kind, keys := range f.kinds(c) {
		if f.changed(kind) {
			*keys = given[kind]
		}
		if err := f.applyChanges(kind, keys, c); err != nil {
			return err
		}
	}
	if f.changed("threshold") {
		c.Threshold = f.threshold
	}
	if c.Threshold == 0 && len(c.Signers) > 0 {
		return usage("--threshold is needed: how many of the %d signers an update needs", len(c.Signers))
	}
	for _, step := range []func(*trust.Config) error{f.applyOperators, f.applyWindows, f.applyRequire, f.applyAuthorities, f.applyAlgorithms} {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

// applyChanges adds and drops keys of a kind. A key's window goes with it.
func (f *trustFlags) applyChanges(kind string, keys *[]string, c *trust.Config) error {
	if f.add == nil {
		return nil
	}
	*keys = slices.Clone(*keys)
	for _, word := range *f.drop[kind] {
		k, err := pick(*keys, word)
		if err != nil {
			return usage("--drop-%s: %w", kind, err)
		}
		*keys = slices.DeleteFunc(*keys, func(o string) bool { return o == k })
		c.Windows = slices.DeleteFunc(slices.Clone(c.Windows), func(w trust.Window) bool { return string(w.Role) == kind && w.Key == k })
	}
	*keys = append(*keys, *f.add[kind]...)
	return nil
}

// pick finds the one key that is meant by itself or by NAME+KEYID.
func pick(keys []string, word string) (string, error) {
	var found []string
	for _, k := range keys {
		if k == word || strings.HasPrefix(k, word+"+") {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d keys are %q, and one should be: give it as trust show writes it", len(found), word)
	}
	return found[0], nil
}

func (f *trustFlags) applyOperators(c *trust.Config) error {
	if !f.changed("operator") {
		return nil
	}
	c.Operators = nil
	for _, s := range f.operators {
		name, witnesses, ok := strings.Cut(s, "=")
		if !ok {
			return usage("--operator %q is not NAME=WITNESS,…", s)
		}
		c.Operators = append(c.Operators, trust.Operator{Name: name, Witnesses: strings.Split(witnesses, ",")})
	}
	return nil
}

// applyWindows sets windows of keys that are in the configuration as it will be.
func (f *trustFlags) applyWindows(c *trust.Config) error {
	keys, err := keysByRole(c)
	if err != nil {
		return err
	}
	drop := func(role trust.Role, key string) (dropped bool) {
		before := len(c.Windows)
		c.Windows = slices.DeleteFunc(slices.Clone(c.Windows), func(w trust.Window) bool { return w.Role == role && w.Key == key })
		return len(c.Windows) < before
	}
	for _, s := range f.dropWindows {
		role, word, _ := strings.Cut(s, " ")
		var have []string
		for _, w := range c.Windows {
			if string(w.Role) == role {
				have = append(have, w.Key)
			}
		}
		key, err := pick(have, word)
		if err != nil || !drop(trust.Role(role), key) {
			return usage("--drop-window %q: no such window: %w", s, err)
		}
	}
	for _, s := range f.windows {
		w, err := windowOf(s, keys)
		if err != nil {
			return usage("--window %q: %w", s, err)
		}
		drop(w.Role, w.Key)
		c.Windows = append(c.Windows, w)
	}
	return nil
}

// keysByRole are the keys that a window can be of.
func keysByRole(c *trust.Config) (map[trust.Role][]string, error) {
	p, err := trust.ParsePolicy(c.Policy)
	if err != nil {
		return nil, usage("--policy: %w", err)
	}
	keys := map[trust.Role][]string{trust.RoleReceived: c.Received, trust.RoleSystem: c.System, trust.RoleEnroller: c.Enrollers}
	for _, l := range p.Logs {
		keys[trust.RoleLog] = append(keys[trust.RoleLog], l.Verifier.String())
	}
	for _, w := range p.Witnesses {
		keys[trust.RoleWitness] = append(keys[trust.RoleWitness], w.Verifier.String())
	}
	return keys, nil
}

func windowOf(s string, keys map[trust.Role][]string) (trust.Window, error) {
	words := strings.Fields(s)
	if len(words) < 4 || len(words) > 5 || len(words) == 5 && words[4] != "compromised" {
		return trust.Window{}, errors.New(`not "ROLE KEY FROM UNTIL|- [compromised]"`)
	}
	w := trust.Window{Role: trust.Role(words[0]), Key: words[1], Until: trust.NoEnd, Compromised: len(words) == 5}
	var err error
	if w.Role != trust.RoleRecorder { // whose keys are not in the file
		if w.Key, err = pick(keys[w.Role], words[1]); err != nil {
			return w, err
		}
	}
	if w.From, err = checkpoint.ParseSize(words[2]); err == nil && words[3] != "-" {
		w.Until, err = checkpoint.ParseSize(words[3])
	}
	return w, err
}

func (f *trustFlags) applyRequire(c *trust.Config) error {
	if !f.changed("require") {
		return nil
	}
	if f.require == "" || f.require == "none" {
		c.Require = nil
		return nil
	}
	algorithm, date, _ := strings.Cut(f.require, " ")
	from, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return usage(`--require %q is not "ml-dsa-44 DAY", with a day such as 2028-01-01`, f.require)
	}
	c.Require = []trust.Requirement{{Algorithm: algorithm, From: from}}
	return nil
}
