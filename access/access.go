// Package access says who may do what: it knows principals, their roles, and the bearer tokens by which the small
// deployment authenticates them.
//
// Authorisation and its audit entry are one call, Gate.Allow, that fails closed: a read of content is recorded, durably,
// before Allow returns nil, and where it cannot be recorded it is not allowed. Nobody who writes what is recorded, or runs
// the machine it is recorded on, may read it too: such a principal is refused when principals are loaded (AG-305 4.3).
//
// This package trusts whoever writes the list of principals, and imports nothing else of steno.
package access

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// A Role is what a principal is there for.
type Role string

// The roles.
const (
	Recorder Role = "recorder" // appends to its own sessions, and sees how they stand
	Auditor  Role = "auditor"  // finds sessions and reads content; every read is recorded
	Operator Role = "operator" // sees health and metrics, nothing of what is recorded
)

// Roles lists every role.
func Roles() []Role { return []Role{Recorder, Auditor, Operator} }

// An Action is what somebody wants to do.
type Action string

// The actions. Appending, heartbeats and closing are one action, because they come from the same hands; whether a session
// is the principal's own is for recording to say, which knows who opened it.
const (
	Append   Action = "append"   // open, extend and close sessions
	Status   Action = "status"   // see how one's own sessions stand
	Metadata Action = "metadata" // find sessions and see what can be searched of them
	Content  Action = "content"  // read entries, blobs and wrapped keys
	Prove    Action = "prove"    // get inclusion proofs: hashes, no content
	Disclose Action = "disclose" // have it recorded that evidence is handed out, which is for whoever could read it
	Health   Action = "health"   // see health and metrics
)

// may is the whole policy.
var may = map[Role][]Action{
	Recorder: {Append, Status, Prove},
	Auditor:  {Metadata, Content, Prove, Disclose},
	Operator: {Health},
}

// forbidden pairs of roles.
// SPEC: AG-305 4.3: those who are recorded, and those who run the recording, do not have access to recordings.
var forbidden = [][2]Role{{Recorder, Auditor}, {Operator, Auditor}}

// How somebody was authenticated.
const HowToken = "token"

// A Principal is somebody or something that was authenticated.
type Principal struct {
	Name string // an id: it stands in clear in the log, so it must not name a person
	Role Role   // the one that this request is made in
	How  string
}

// A Grant is what the configuration says of a principal. TokenSHA256 are digests of its tokens.
type Grant struct {
	Name        string
	Roles       []Role
	TokenSHA256 [][32]byte
}

// A PairError refuses a principal whose roles exclude each other.
type PairError struct {
	Name string
	A, B Role
}

func (e *PairError) Error() string {
	return fmt.Sprintf("principal %q is %s and %s: whoever records or operates may not read (AG-305 4.3); "+
		"give the reader a principal of its own", e.Name, e.A, e.B)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$`)

// check tells what is wrong with a grant by itself.
func (g *Grant) check() error {
	if !nameForm.MatchString(g.Name) {
		return fmt.Errorf("principal %q: a name is 1 to 128 of letters, digits and . _ : / + -, first a letter or digit", g.Name)
	}
	if len(g.Roles) == 0 {
		return fmt.Errorf("principal %q has no role", g.Name)
	}
	for i, r := range g.Roles {
		if may[r] == nil {
			return fmt.Errorf("principal %q has the unknown role %q", g.Name, r)
		}
		if slices.Contains(g.Roles[:i], r) {
			return fmt.Errorf("principal %q has the role %s twice", g.Name, r)
		}
	}
	for _, pair := range forbidden {
		if slices.Contains(g.Roles, pair[0]) && slices.Contains(g.Roles, pair[1]) {
			return &PairError{g.Name, pair[0], pair[1]}
		}
	}
	return nil
}

var (
	// ErrForbidden means that the principal's role does not allow the action.
	ErrForbidden = errors.New("the role does not allow it")
	// ErrUnrecorded means that a read was not allowed because it could not be recorded.
	ErrUnrecorded = errors.New("the read could not be recorded")
)

// A DeniedError says what was denied to whom. It is an ErrForbidden or an ErrUnrecorded.
type DeniedError struct {
	Principal Principal
	Action    Action
	Err       error
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%s (%s) may not %s: %v", e.Principal.Name, e.Principal.Role, e.Action, e.Err)
}

func (e *DeniedError) Unwrap() error { return e.Err }
