package entry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// An Enrolment binds a recorder's key to the agents that it may record, for a log and a window of time. It is a note signed
// by an enroller, whom the trust file pins: the recorder's key is not the recorder's own word.
//
//	steno/enrolment/v1
//	log.acme.example/prod                                    origin of the log
//	acme/agents/ledger-bot+1a2b3c4d+AQ…                      the recorder's verifier key
//	agent                                                    who holds the key: agent, gateway or operator
//	2026-11-01T00:00:00.000000Z                              from, inclusive
//	2027-11-01T00:00:00.000000Z                              until, exclusive
//	acme/ledger-bot                                          the agents: 1 to 16, sorted; * alone for any, not for an agent
//
//	— acme/enroller …
type Enrolment struct {
	Origin      string
	RecorderKey string // verifier key, as golang.org/x/mod/sumdb/note writes it
	Holder      Holder
	From, Until Time
	Agents      []string
	Enroller    string // name of the key that signed
}

// A Holder says whose the recorder's key is, which is what a signature by it is worth.
type Holder string

// The holders. What an operator's key signs is the word of whoever runs the log: verdicts say so.
const (
	HolderAgent    Holder = "agent"
	HolderGateway  Holder = "gateway"
	HolderOperator Holder = "operator"
)

const (
	enrolmentLine = "steno/enrolment/v1"
	maxAgents     = 16
	maxEnrolment  = maxTextMember
	anyAgent      = "*"
)

// SignEnrolment writes and signs an enrolment.
func SignEnrolment(e Enrolment, enroller note.Signer) ([]byte, error) {
	from, err := e.From.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	until, err := e.Until.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	lines := []string{enrolmentLine, e.Origin, e.RecorderKey, string(e.Holder), string(from), string(until)}
	text := strings.Join(append(lines, e.Agents...), "\n") + "\n"
	if _, err := parseEnrolmentText(text); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	sig, err := enroller.Sign([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("signing an enrolment: %w", err)
	}
	return appendSignatureLine([]byte(text+"\n"), enroller.Name(), enroller.KeyHash(), sig), nil
}

// OpenEnrolment reads an enrolment and verifies that one of enrollers signed it. It has exactly one signature.
func OpenEnrolment(b []byte, enrollers note.Verifiers) (*Enrolment, error) {
	if len(b) > maxEnrolment {
		return nil, errorAt(BadEnrolment, 0, "enrolment of %d bytes, at most %d", len(b), maxEnrolment)
	}
	if err := checkBytes(b); err != nil {
		return nil, errorAt(BadEnrolment, 0, "enrolment: %w", err)
	}
	end := bytes.Index(b, []byte("\n\n"))
	if end < 0 || !bytes.HasSuffix(b, []byte("\n")) || bytes.Count(b[end+2:], []byte("\n")) != 1 {
		return nil, errorAt(BadEnrolment, 0, "an enrolment is a text, an empty line and one signature line")
	}
	text := b[:end+1]
	e, err := parseEnrolmentText(string(text))
	if err != nil {
		return nil, err
	}
	sig, err := parseSignatureLine(b[end+2:], 64, end+2)
	if err != nil {
		return nil, errorAt(BadEnrolment, end+2, "%w", err)
	}
	v, err := enrollers.Verifier(sig.Name, sig.Hash)
	if err != nil {
		return nil, errorAt(StrangeEnroller, end+2, "enrolment is signed by no known enroller")
	}
	if !v.Verify(text, sig.Sig) {
		return nil, errorAt(StrangeEnroller, end+2, "the enroller's signature does not verify")
	}
	e.Enroller = sig.Name
	return e, nil
}

func parseEnrolmentText(text string) (*Enrolment, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	bad := func(format string, args ...any) (*Enrolment, error) {
		return nil, errorAt(BadEnrolment, 0, format, args...)
	}
	if len(lines) < 7 || len(lines) > 6+maxAgents || lines[0] != enrolmentLine {
		return bad("an enrolment is %q, five lines and 1 to %d agents", enrolmentLine, maxAgents)
	}
	e := &Enrolment{Origin: lines[1], RecorderKey: lines[2], Holder: Holder(lines[3]), Agents: lines[6:]}
	if err := CheckOrigin(e.Origin); err != nil {
		return bad("origin: %w", err)
	}
	v, err := NewVerifier(e.RecorderKey)
	if err != nil {
		return bad("recorder's verifier key: %w", err)
	}
	if v.Name() == e.Origin || v.Name() == ReceivedName(e.Origin) {
		return bad("recorder's name is that of the log, or of its receipts")
	}
	if e.Holder != HolderAgent && e.Holder != HolderGateway && e.Holder != HolderOperator {
		return bad("holder is none of agent, gateway, operator")
	}
	var okFrom, okUntil bool
	e.From, okFrom = decodeTime([]byte(lines[4]))
	e.Until, okUntil = decodeTime([]byte(lines[5]))
	if !okFrom || !okUntil || e.From >= e.Until {
		return bad("window is not two times, the first before the second")
	}
	return e, e.checkAgents()
}

func (e *Enrolment) checkAgents() error {
	if e.Agents[0] == anyAgent {
		if len(e.Agents) > 1 || e.Holder == HolderAgent {
			return errorAt(BadEnrolment, 0, "* stands alone, and not for a key that an agent holds")
		}
		return nil
	}
	for i, a := range e.Agents {
		if err := CheckID(a); err != nil {
			return errorAt(BadEnrolment, 0, "agent %d: %w", i, err)
		}
	}
	if !slices.IsSorted(e.Agents) || len(slices.Compact(slices.Clone(e.Agents))) != len(e.Agents) {
		return errorAt(BadEnrolment, 0, "agents are not sorted, each once")
	}
	return nil
}

// Covers tells why the enrolment does not allow a recorder to open a track at a time, or nil.
func (e *Enrolment) Covers(origin string, r *Recorder, at Time) error {
	switch {
	case e.Origin != origin:
		return errorAt(EnrolmentMismatch, 0, "enrolment is for another log")
	case e.Agents[0] != anyAgent && !slices.Contains(e.Agents, string(r.Agent)):
		return errorAt(EnrolmentMismatch, 0, "enrolment is not for this agent")
	case r.Vantage == "observed" && e.Holder != HolderGateway:
		return errorAt(EnrolmentMismatch, 0, "only a gateway's recorder observes")
	case at < e.From:
		return errorAt(EnrolmentExpired, 0, "enrolment is valid from %s, received at %s", e.From, at)
	case at >= e.Until:
		return errorAt(EnrolmentExpired, 0, "enrolment was valid until %s, received at %s", e.Until, at)
	}
	return nil
}

// Verifier is the recorder's key.
func (e *Enrolment) Verifier() (note.Verifier, error) { return NewVerifier(e.RecorderKey) }
