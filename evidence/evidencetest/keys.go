package evidencetest

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// A Key is a signer of Ed25519 and its verifier key.
type Key struct {
	note.Signer
	Verifier string
}

// NewKey makes a key.
func NewKey(t testing.TB, name string) Key {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Must(note.NewSigner(skey))(t), vkey}
}

// NewStamper makes a key of receipts.
func NewStamper(t testing.TB, origin string) (*entry.Stamper, string) {
	t.Helper()
	skey, vkey, err := entry.GenerateReceivedKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	return Must(entry.NewStamper(skey))(t), vkey
}

// NewWitness makes a witness's key.
func NewWitness(t testing.TB, a checkpoint.Algorithm, name string) *checkpoint.Signer {
	t.Helper()
	skey, _, err := checkpoint.GenerateKey(a, name)
	if err != nil {
		t.Fatal(err)
	}
	return Must(checkpoint.NewSigner(skey))(t)
}

// Policy is a policy that demands cosignatures of so many of the witnesses, and their operators: w1 is witness1.example's,
// and so on.
func Policy(logs []string, witnesses []*checkpoint.Signer, quorum int) (policy []byte, operators []trust.Operator) {
	var b strings.Builder
	for _, l := range logs {
		fmt.Fprintf(&b, "log %s\n", l)
	}
	group := fmt.Sprintf("group g %d", quorum)
	for i, w := range witnesses {
		name := fmt.Sprintf("w%d", i+1)
		fmt.Fprintf(&b, "witness %s %s\n", name, w.Verifier())
		group += " " + name
		operators = append(operators, trust.Operator{Name: fmt.Sprintf("witness%d.example", i+1), Witnesses: []string{name}})
	}
	if quorum == 0 {
		b.WriteString("quorum none\n")
	} else {
		b.WriteString(group + "\nquorum g\n")
	}
	return []byte(b.String()), operators
}

// TrustWith is the log's trust file with a change.
func (l *Log) TrustWith(change func(c *trust.Config)) *trust.Trust {
	l.t.Helper()
	c := l.Trust.Config
	change(&c)
	return Must(trust.Make(c))(l.t)
}

// A Recorder is a key and its enrolment.
type Recorder struct {
	Signer    note.Signer
	Enrolment []byte
	Verifier  string // verifier key
}

// Enrol makes a recorder's key and has the log's enroller enrol it.
func (l *Log) Enrol(name string, holder entry.Holder, agents ...string) Recorder {
	l.t.Helper()
	return l.EnrolBy(l.Enroller, name, holder, agents...)
}

// EnrolBy has any enroller enrol a new key.
func (l *Log) EnrolBy(enroller note.Signer, name string, holder entry.Holder, agents ...string) Recorder {
	l.t.Helper()
	k := NewKey(l.t, name)
	return Recorder{k, Must(entry.SignEnrolment(entry.Enrolment{
		Origin: l.Origin, RecorderKey: k.Verifier, Holder: holder, From: Noon - 1e12, Until: Noon + 1e15, Agents: agents,
	}, enroller))(l.t), k.Verifier}
}

// Stranger is an enroller whom nobody has pinned.
func Stranger(t testing.TB, name string) note.Signer { return NewKey(t, name) }
