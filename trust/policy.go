package trust

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stenolog/steno/checkpoint"
)

const (
	// quorumNone is the predefined name that demands no cosignature.
	quorumNone = "none"
	// maxPolicyLines bounds logs, witnesses and groups, each.
	// SPEC: tlog-policy: it is strongly recommended to support at least 32 logs, 32 witnesses, and 32 groups.
	maxPolicyLines = 256
)

// A Policy is a tlog-policy (https://c2sp.org/tlog-policy, 2026-07): which logs may sign a checkpoint, and which witnesses
// must have cosigned it. It is read strictly: other readers accept a threshold of 0, count one key twice, or demand all the
// logs where one suffices.
//
//	log log.acme.example/prod+d1c2b3a4+AQ…
//	witness w1 witness.example/w1+01020304+BA… https://witness.example/
//	witness w2 …
//	witness w3 …
//	group three 2 w1 w2 w3
//	quorum three
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness
	Groups    []Group
	Quorum    string // name of a witness or group, or none

	witnesses map[string]int // by name
	groups    map[string]int
}

// A PolicyLog is a log line.
type PolicyLog struct {
	Verifier *checkpoint.Verifier
	URL      string // opaque; empty if there is none
}

// A PolicyWitness is a witness line. Its name has no meaning outside of the policy.
type PolicyWitness struct {
	Name     string
	Verifier *checkpoint.Verifier
	URL      string
}

// A Group has witnessed a checkpoint if at least K of its members have.
type Group struct {
	Name    string
	K       int
	Members []string
}

// ParsePolicy reads a policy. Errors name the line.
func ParsePolicy(b []byte) (*Policy, error) {
	p := &policyParser{
		p:    &Policy{witnesses: map[string]int{}, groups: map[string]int{}},
		logs: map[string]bool{}, keys: map[string]bool{}, members: map[string]bool{},
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("policy of %d bytes, at most %d", len(b), maxFile)
	}
	// SPEC: tlog-policy: each line is terminated by ASCII newline.
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return nil, errors.New("policy: the last line does not end in a line feed")
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("policy, line %d: %w", i+1, err)
		}
	}
	// SPEC: tlog-policy: a policy file must include exactly one quorum line.
	if p.p.Quorum == "" {
		return nil, errors.New("policy: no quorum line")
	}
	return p.p, nil
}

type policyParser struct {
	p       *Policy
	logs    map[string]bool // public keys
	keys    map[string]bool // public keys of witnesses
	members map[string]bool // names that are in a group
}

func (p *policyParser) line(line []byte) error {
	for i, c := range line {
		// SPEC: tlog-policy: the allowed octet values are 0x09 (tab), 0x0A (newline), 0x20-0x7E, and 0x80-0xFF.
		if c != '\t' && c < ' ' || c == 0x7f {
			return fmt.Errorf("byte %d is 0x%02x, which is not allowed", i+1, c)
		}
	}
	// SPEC: tlog-policy: whitespace means sequences of ASCII space and tab characters only.
	words := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	switch words[0] {
	case "log":
		return p.log(words[1:])
	case "witness":
		return p.witness(words[1:])
	case "group":
		return p.group(words[1:])
	case "quorum":
		return p.quorum(words[1:])
	}
	return errors.New("begins with none of log, witness, group, quorum")
}

func (p *policyParser) log(words []string) error {
	if len(words) < 1 || len(words) > 2 {
		return errors.New("not «log VKEY [URL]»")
	}
	v, err := checkpoint.NewVerifier(words[0])
	if err != nil {
		return err
	}
	// SPEC: tlog-policy: log and witness keys must use a signature type appropriate to their function.
	if v.Algorithm() == checkpoint.CosignatureEd25519 {
		return fmt.Errorf("a key of %s is a witness's, not a log's", v.Algorithm())
	}
	// SPEC: tlog-policy: multiple log lines with the same public key are not allowed.
	if p.logs[string(v.PublicKey())] {
		return errors.New("the log's public key stands in an earlier line, under whatever name")
	}
	p.logs[string(v.PublicKey())] = true
	p.p.Logs = append(p.p.Logs, PolicyLog{v, last(words, 1)})
	return limit("logs", len(p.p.Logs))
}

func (p *policyParser) witness(words []string) error {
	if len(words) < 2 || len(words) > 3 {
		return errors.New("not «witness NAME VKEY [URL]»")
	}
	if err := p.define(words[0]); err != nil {
		return err
	}
	v, err := checkpoint.NewVerifier(words[1])
	if err != nil {
		return err
	}
	if v.Algorithm() == checkpoint.Ed25519 {
		return errors.New("a key of plain ed25519 makes no cosignatures: they have the type 0x04 or 0x06")
	}
	// SPEC: tlog-policy: multiple witness lines with the same public key are not allowed; two vkeys are duplicate if they wrap
	// the same underlying public key, even if they differ by key name and key id.
	if p.keys[string(v.PublicKey())] {
		return errors.New("the witness's public key stands in an earlier line, under whatever name")
	}
	p.keys[string(v.PublicKey())] = true
	p.p.witnesses[words[0]] = len(p.p.Witnesses)
	p.p.Witnesses = append(p.p.Witnesses, PolicyWitness{words[0], v, last(words, 2)})
	return limit("witnesses", len(p.p.Witnesses))
}

func (p *policyParser) group(words []string) error {
	if len(words) < 3 {
		return errors.New("not «group NAME all|any|K MEMBER…»")
	}
	g := Group{Name: words[0], Members: words[2:]}
	for _, m := range g.Members {
		// SPEC: tlog-policy: the name none is invalid as a group member; a group definition can only refer to names defined
		// on preceding lines.
		if !p.defined(m) {
			return fmt.Errorf("member %q is not defined on an earlier line", m)
		}
		// SPEC: tlog-policy: each defined name can be listed as a group member at most once.
		if p.members[m] {
			return fmt.Errorf("%q is a member already, of this or another group", m)
		}
		p.members[m] = true
	}
	if err := p.define(g.Name); err != nil {
		return err
	}
	switch words[1] {
	case "all":
		g.K = len(g.Members)
	case "any":
		g.K = 1
	default:
		k, err := strconv.Atoi(words[1])
		// SPEC: tlog-policy: it must be written in decimal, and it is required that 1 <= k <= n.
		if err != nil || strconv.Itoa(k) != words[1] || k < 1 || k > len(g.Members) {
			return fmt.Errorf("threshold %q is none of all, any, and 1 to %d", words[1], len(g.Members))
		}
		g.K = k
	}
	p.p.groups[g.Name] = len(p.p.Groups)
	p.p.Groups = append(p.p.Groups, g)
	return limit("groups", len(p.p.Groups))
}

func (p *policyParser) quorum(words []string) error {
	if len(words) != 1 {
		return errors.New("not «quorum NAME»")
	}
	if p.p.Quorum != "" {
		return errors.New("a second quorum line")
	}
	// SPEC: tlog-policy: the name must be properly defined on a line preceding the quorum definition.
	if words[0] != quorumNone && !p.defined(words[0]) {
		return fmt.Errorf("%q is not defined on an earlier line", words[0])
	}
	p.p.Quorum = words[0]
	return nil
}

func (p *policyParser) defined(name string) bool {
	_, witness := p.p.witnesses[name]
	_, group := p.p.groups[name]
	return witness || group
}

// define checks a new name. SPEC: tlog-policy: witnesses and groups share a single namespace; none is predefined.
func (p *policyParser) define(name string) error {
	if name == quorumNone {
		return errors.New("the name none is predefined")
	}
	if p.defined(name) {
		return fmt.Errorf("%q is defined on an earlier line", name)
	}
	return nil
}

func last(words []string, at int) string {
	if len(words) > at {
		return words[at]
	}
	return ""
}

func limit(what string, n int) error {
	if n > maxPolicyLines {
		return fmt.Errorf("more than %d %s", maxPolicyLines, what)
	}
	return nil
}

// Satisfied tells whether the quorum is met if exactly the witnesses for which cosigned is true have cosigned.
func (p *Policy) Satisfied(cosigned func(witness string) bool) bool {
	return p.Quorum == quorumNone || p.witnessed(p.Quorum, cosigned)
}

// witnessed follows names to earlier lines alone, so that it ends; and each name is a member once, so that it visits each once.
func (p *Policy) witnessed(name string, cosigned func(string) bool) bool {
	i, ok := p.groups[name]
	if !ok {
		return cosigned(name)
	}
	n := 0
	for _, m := range p.Groups[i].Members {
		if p.witnessed(m, cosigned) {
			n++
		}
	}
	return n >= p.Groups[i].K
}
