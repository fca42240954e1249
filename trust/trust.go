// Package trust holds what a verifier pins: the keys of a log, of its witnesses and of the enrollers it believes, with the
// part of the log that each of them counts for, and time-stamp authorities, in one file that is itself pinned by its hash. A
// verdict follows from this file and the evidence, never from a server's word, a clock or the network.
//
//	steno/trust/v2
//	version 2
//	previous q0hY2CT34+N0/8rG+SS5VVmFP53+eGYSqBLWmPSIjMk=
//	threshold 2
//	signer acme/compliance/ada+…
//	signer acme/compliance/grace+…
//	received log.acme.example/prod/received+01020304+/3N0…
//	system log.acme.example/prod/system+aabbccdd+AQ…
//	enroller acme/enroller+99887766+AQ…
//	operator auditor.example w1 w1-pq
//	operator bank.example w2
//	window enroller acme/enroller+99887766+AQ… 0 500000
//	require ml-dsa-44 2028-01-01
//	authority tsa.example 2026-01-01 2031-01-01 1 1.2.3.4.1 - MIIB…
//	stamps 1
//	algorithm rsa-2048 2031-01-01
//	policy
//	log log.acme.example/prod+d1c2b3a4+AQ…
//	witness w1 auditor.example/w1+… https://witness.auditor.example/
//	witness w1-pq auditor.example/w1+…
//	witness w2 bank.example/witness+…
//	group auditor any w1 w1-pq
//	group two all auditor w2
//	quorum two
//
// What follows the line "policy" is a tlog-policy (https://c2sp.org/tlog-policy), byte for byte. docs/spec/trust.md is the
// specification. Version 1 of the format, which has no witnesses, is read too: what was pinned stays readable.
package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/timestamp"
)

const (
	formatLine = "steno/trust/v2"
	oldLine    = "steno/trust/v1"
	policyLine = "policy"
	// MaxFile is the greatest length of a trust file: an ML-DSA-44 key takes 1.8 kB.
	MaxFile = 256 << 10
	maxFile = MaxFile
	maxKeys = 64 // of a kind
	// maxWindows is more than that of all kinds together: recorders' keys have windows too, and they are many.
	maxWindows = 1024
)

// Config is what a trust file says.
type Config struct {
	Version   uint64            // from 1; 0 stands for a file of format version 1
	Previous  [sha256.Size]byte // digest of the file of Version − 1; zeros for version 1
	Threshold int               // how many of Signers an update needs; 0 if there are none
	Signers   []string          // verifier keys (Ed25519) of those who may update the file: never the log's operator
	Received  []string          // verifier keys of the log's receipts
	System    []string          // of its system sessions
	Enrollers []string
	Operators []Operator // of all the policy's witnesses
	Windows   []Window
	Require   []Requirement
	// Authorities are those whose time-stamp tokens bound times, and Stamps is how many of them must; 0 demands none.
	Authorities []timestamp.Authority
	Stamps      int
	// Algorithms are those that stop counting in time-stamp tokens, whosever they are.
	Algorithms []timestamp.AlgorithmEnd
	Policy     []byte // a tlog-policy; its logs are the keys of the one log
}

// An Operator runs witnesses. Cosignatures of one operator never count twice: if it has several keys, they are the members
// of one group of the policy.
type Operator struct {
	Name      string
	Witnesses []string // names in the policy, ascending
}

// A Requirement is a kind of signature that checkpoints need from a day on, in addition to Ed25519.
type Requirement struct {
	Algorithm string    // ml-dsa-44
	From      time.Time // midnight in UTC
}

// requireMLDSA is the one algorithm that can be required.
const requireMLDSA = "ml-dsa-44"

// Trust is a parsed trust file. It does not change.
type Trust struct {
	Config
	Origin string
	Log    string // the first Ed25519 verifier key of the log's

	raw       []byte
	policy    *Policy
	logs      []*checkpoint.Verifier
	received  note.Verifiers
	system    note.Verifiers
	enrollers note.Verifiers
	signers   note.Verifiers
	operators map[string]string // operator by witness
	windows   map[windowed]Window

	checkpointKeys note.Verifiers // of the log and its witnesses
}

// New makes the trust in a log without witnesses. Its keys are verifier keys.
func New(log string, received, system, enrollers []string) (*Trust, error) {
	return Make(Config{Version: 1, Received: received, System: system, Enrollers: enrollers, Policy: []byte("log " + log + "\nquorum none\n")})
}

// Make checks a configuration and writes the file of it.
func Make(c Config) (*Trust, error) {
	c.order()
	// A word with a space or a line feed in it would be read as others.
	for _, w := range c.words() {
		if w == "" || strings.ContainsAny(w, " \n") {
			return nil, fmt.Errorf("making a trust file: %q is not a word", w)
		}
	}
	for _, a := range c.Authorities {
		if err := checkWhole(a); err != nil {
			return nil, fmt.Errorf("making a trust file: %w", err)
		}
	}
	for _, a := range c.Algorithms {
		if !wholeDay(a.End) {
			return nil, fmt.Errorf("making a trust file: algorithm %s: its end is no whole day in UTC", a.Name)
		}
	}
	return Parse(c.marshal())
}

// words are those of the lines before the policy.
func (c *Config) words() (w []string) {
	w = slices.Concat(c.Signers, c.Received, c.System, c.Enrollers)
	for _, o := range c.Operators {
		w = append(append(w, o.Name), o.Witnesses...)
	}
	for _, win := range c.Windows {
		w = append(w, string(win.Role), win.Key)
	}
	for _, r := range c.Require {
		w = append(w, r.Algorithm)
	}
	for _, a := range c.Authorities {
		w = append(append(w, a.Name), a.Policies...)
	}
	for _, a := range c.Algorithms {
		w = append(w, a.Name)
	}
	return w
}

// order puts what has no order of its own into the one that the file has.
func (c *Config) order() {
	for _, keys := range []*[]string{&c.Signers, &c.Received, &c.System, &c.Enrollers} {
		*keys = slices.Sorted(slices.Values(*keys))
	}
	c.Operators = slices.Clone(c.Operators)
	for i, o := range c.Operators {
		c.Operators[i].Witnesses = slices.Sorted(slices.Values(o.Witnesses))
	}
	slices.SortFunc(c.Operators, func(a, b Operator) int { return strings.Compare(a.Name, b.Name) })
	c.Windows = slices.Clone(c.Windows)
	slices.SortFunc(c.Windows, func(a, b Window) int { return strings.Compare(a.line(), b.line()) })
	c.Require = slices.Clone(c.Require)
	slices.SortFunc(c.Require, func(a, b Requirement) int { return strings.Compare(a.line(), b.line()) })
	c.Authorities = slices.Clone(c.Authorities)
	for i, a := range c.Authorities {
		c.Authorities[i].Policies = slices.Sorted(slices.Values(a.Policies))
		c.Authorities[i].Anchors = slices.SortedFunc(slices.Values(a.Anchors), func(a, b []byte) int {
			return strings.Compare(base64.StdEncoding.EncodeToString(a), base64.StdEncoding.EncodeToString(b))
		})
	}
	slices.SortFunc(c.Authorities, func(a, b timestamp.Authority) int { return strings.Compare(a.Name, b.Name) })
	c.Algorithms = slices.SortedFunc(slices.Values(c.Algorithms), func(a, b timestamp.AlgorithmEnd) int {
		return strings.Compare(algorithmLine(a), algorithmLine(b))
	})
}

// Parse reads a trust file in its one spelling.
func Parse(b []byte) (*Trust, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("trust file of %d bytes, at most %d", len(b), maxFile)
	}
	var c Config
	var err error
	first, _, _ := strings.Cut(string(b), "\n")
	switch first {
	case formatLine:
		c, err = read(string(b))
	case oldLine:
		c, err = readOld(string(b))
	default:
		err = fmt.Errorf("line 1: not %q", formatLine)
	}
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	t := &Trust{Config: c, raw: slices.Clone(b)}
	if err := t.load(); err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return t, nil
}

// load makes the keys of their spellings, and checks what must hold between them.
func (t *Trust) load() error {
	var err error
	if t.policy, err = ParsePolicy(t.Policy); err != nil {
		return err
	}
	if err := t.loadLogs(); err != nil {
		return err
	}
	if t.received, err = verifiers("received", 1, t.Received, entry.NewReceivedVerifier, entry.ReceivedName(t.Origin)); err != nil {
		return err
	}
	if t.system, err = verifiers("system", 1, t.System, entry.NewVerifier, ""); err != nil {
		return err
	}
	if t.enrollers, err = verifiers("enroller", 1, t.Enrollers, entry.NewVerifier, ""); err != nil {
		return err
	}
	if t.signers, err = verifiers("signer", 0, t.Signers, entry.NewVerifier, ""); err != nil {
		return err
	}
	if t.Threshold > len(t.Signers) || (t.Threshold == 0) != (len(t.Signers) == 0) {
		return fmt.Errorf("threshold %d of %d signers", t.Threshold, len(t.Signers))
	}
	for _, check := range []func() error{
		t.checkPoints, t.loadCheckpointKeys, t.checkOperators, t.loadWindows, t.checkReachable, t.checkRequirements, t.loadAuthorities, t.checkAlgorithms,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// loadLogs takes the policy's logs. To the policy any of them suffices, of whatever log; here they are the keys of one.
func (t *Trust) loadLogs() error {
	for i, l := range t.policy.Logs {
		v := l.Verifier
		if i == 0 {
			t.Origin = v.Name()
		}
		// SPEC: tlog-policy: the log's key name MUST correspond to the log's origin line.
		if v.Name() != t.Origin {
			return fmt.Errorf("keys of two logs, %q and %q: a trust file is of one", t.Origin, v.Name())
		}
		if t.Log == "" && v.Algorithm() == checkpoint.Ed25519 {
			t.Log = v.String()
		}
		t.logs = append(t.logs, v)
	}
	if t.Log == "" {
		return errors.New("the policy has no Ed25519 key of the log")
	}
	if err := entry.CheckOrigin(t.Origin); err != nil {
		return fmt.Errorf("the log key's name is no origin: %w", err)
	}
	return nil
}

func verifiers(kind string, least int, keys []string, read func(string) (note.Verifier, error), name string) (note.Verifiers, error) {
	if len(keys) < least || len(keys) > maxKeys {
		return nil, fmt.Errorf("%d %s keys, %d to %d are needed", len(keys), kind, least, maxKeys)
	}
	var vs []note.Verifier
	for i, k := range keys {
		v, err := read(k)
		if err != nil {
			return nil, fmt.Errorf("%s key %d: %w", kind, i+1, err)
		}
		if name != "" && v.Name() != name {
			return nil, fmt.Errorf("%s key %d is not named %s", kind, i+1, name)
		}
		if i > 0 && keys[i-1] >= k {
			return nil, fmt.Errorf("%s keys are not in ascending order, each once", kind)
		}
		vs = append(vs, v)
	}
	list := note.VerifierList(vs...)
	for i, v := range vs { // two keys under one name and key ID would make every signature ambiguous
		if _, err := list.Verifier(v.Name(), v.KeyHash()); err != nil {
			return nil, fmt.Errorf("%s key %d: %w", kind, i+1, err)
		}
	}
	return list, nil
}

// Marshal is the file.
func (t *Trust) Marshal() []byte { return slices.Clone(t.raw) }

// Digest is the SHA-256 of the file, as sha256sum prints it: what is read out over the telephone.
func (t *Trust) Digest() [sha256.Size]byte { return sha256.Sum256(t.raw) }

// LogVerifiers are the log's keys, in the policy's order, whatever their windows.
func (t *Trust) LogVerifiers() []*checkpoint.Verifier { return slices.Clone(t.logs) }

// A Witness is one of the policy's.
type Witness struct {
	Name     string // in the policy
	Operator string
	URL      string // of the policy; may be empty
	Verifier *checkpoint.Verifier
}

// Witnesses are the policy's, in its order.
func (t *Trust) Witnesses() []Witness {
	var out []Witness
	for _, w := range t.policy.Witnesses {
		out = append(out, Witness{w.Name, t.operators[w.Name], w.URL, w.Verifier})
	}
	return out
}

// NeedsWitnesses tells whether checkpoints need cosignatures.
func (t *Trust) NeedsWitnesses() bool { return t.policy.Quorum != quorumNone }

// CanReach tells whether cosignatures of the named witnesses would make the quorum.
func (t *Trust) CanReach(names []string) bool {
	return t.policy.Satisfied(func(w string) bool { return slices.Contains(names, w) })
}
