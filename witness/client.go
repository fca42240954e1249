package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
)

const (
	// MaxSignatures bounds the answer to add-checkpoint.
	MaxSignatures = 16 << 10
	// MaxAhead is how far in the future a cosignature's time may be by our clock.
	MaxAhead = 5 * time.Minute
	// MaxBehind is how far in the past it may be: the witness makes it when it is asked.
	MaxBehind = time.Hour

	// maxRounds is how often a witness is asked anew because it names another size.
	maxRounds = 3
)

// ErrUnknownLog means that the witness does not know the log, or never cosigned a checkpoint of it.
var ErrUnknownLog = errors.New("witness has no checkpoint of this log")

// ClientConfig says of which witness a client asks for which log.
type ClientConfig struct {
	Name string // of the witness, for errors
	URL  string // submission prefix, which is taken for the monitoring prefix too
	// Verifiers are all keys of this witness that count. Signatures by others are ignored.
	Verifiers []*checkpoint.Verifier
	// Log are all keys of the log: what they signed, a witness may hold against us.
	Log    []*checkpoint.Verifier
	Origin string

	// HTTP makes the requests, but follows no redirects and keeps no cookies. By default it uses no proxy, whatever the
	// environment says: where cosignatures come from is for the configuration to say.
	HTTP *http.Client
	Now  func() time.Time
}

// A Client asks one witness for cosignatures on the checkpoints of one log, as https://c2sp.org/tlog-witness says. It
// believes nothing of what it hears but signatures. Its methods are safe for concurrent use.
type Client struct {
	name      string
	origin    string
	witness   note.Verifiers
	log       note.Verifiers
	transport *transport
	now       func() time.Time

	mu   sync.Mutex
	last uint64 // size that the witness last had; 0 if that is not known, which it then says
}

// NewClient checks the configuration, and asks nobody.
func NewClient(c ClientConfig) (*Client, error) {
	if c.Name == "" || c.Origin == "" {
		return nil, errors.New("client of a witness: needs the names of witness and log")
	}
	t, err := newTransport(c.URL, c.HTTP)
	if err != nil {
		return nil, fmt.Errorf("client of witness %s: %w", c.Name, err)
	}
	for _, v := range c.Verifiers {
		if v.Algorithm() == checkpoint.Ed25519 {
			return nil, fmt.Errorf("client of witness %s: %s+%08x is a log's key, whose signatures have no time", c.Name, v.Name(), v.KeyHash())
		}
	}
	cl := &Client{name: c.Name, origin: c.Origin, transport: t, now: c.Now}
	if cl.witness, err = verifierList(c.Verifiers); err != nil {
		return nil, fmt.Errorf("client of witness %s: keys: %w", c.Name, err)
	}
	if cl.log, err = verifierList(c.Log); err != nil {
		return nil, fmt.Errorf("client of witness %s: keys of the log: %w", c.Name, err)
	}
	if cl.now == nil {
		cl.now = time.Now
	}
	return cl, nil
}

// verifierList refuses keys that note.Open could not tell from one another.
func verifierList(vs []*checkpoint.Verifier) (note.Verifiers, error) {
	if len(vs) == 0 {
		return nil, errors.New("there are none")
	}
	var list []note.Verifier
	for _, v := range vs {
		list = append(list, v)
	}
	for i, v := range vs {
		if _, err := note.VerifierList(list...).Verifier(v.Name(), v.KeyHash()); err != nil {
			return nil, fmt.Errorf("%s+%08x, number %d, is there twice", v.Name(), v.KeyHash(), i+1)
		}
	}
	return note.VerifierList(list...), nil
}

// Name is that of the witness.
func (c *Client) Name() string { return c.name }

// An AheadError says that a witness has a checkpoint of this log that ours does not extend, as it claims (Note is nil) or as
// it shows: then Note bears the log's signature, and is larger than ours, or of another history.
type AheadError struct {
	Witness string
	Size    uint64
	Note    []byte
}

func (e *AheadError) Error() string {
	if e.Note == nil {
		return fmt.Sprintf("witness %s says, and does not show, that it has a checkpoint of size %d of this log, which is more than it was asked to cosign", e.Witness, e.Size)
	}
	return fmt.Sprintf("witness %s shows a checkpoint of size %d that this log signed, and that is not in the history of what it was asked to cosign", e.Witness, e.Size)
}

// AddCheckpoint asks for cosignatures of a checkpoint, which is sent as it is: give it the log's own signatures and no more.
// Proof is asked for consistency proofs from the size that the witness has. The answer is one signature line for each key
// of the witness that cosigned; every one of them verifies.
func (c *Client) AddCheckpoint(ctx context.Context, size uint64, msg []byte, proof func(ctx context.Context, from uint64) ([][32]byte, error)) (lines []byte, err error) {
	lines, err = c.add(ctx, size, msg, proof)
	if err != nil {
		return nil, fmt.Errorf("asking witness %s: %w", c.name, err)
	}
	return lines, nil
}

// An asked is one checkpoint that is to be cosigned.
type asked struct {
	checkpoint.Checkpoint
	text  string
	note  []byte
	prove func(ctx context.Context, from uint64) ([][32]byte, error)
}

func (a *asked) proof(ctx context.Context, from uint64) ([][32]byte, error) {
	// SPEC: tlog-witness: if the old size is zero, the consistency proof MUST be empty.
	if from == 0 || from == a.Size {
		return nil, nil
	}
	p, err := a.prove(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("proving consistency from size %d: %w", from, err)
	}
	return p, nil
}

func (c *Client) add(ctx context.Context, size uint64, msg []byte, proof func(ctx context.Context, from uint64) ([][32]byte, error)) ([]byte, error) {
	parsed, n, err := parseNote(msg)
	if err != nil {
		return nil, err
	}
	if parsed.Origin != c.origin || parsed.Size != size {
		return nil, fmt.Errorf("the checkpoint is not of %q at size %d", c.origin, size)
	}
	a := &asked{parsed, n.Text, msg, proof}
	// SPEC: tlog-witness: the old size MUST be equal to or lower than the checkpoint size.
	old := min(c.remembered(), size)
	for range maxRounds {
		p, err := a.proof(ctx, old)
		if err != nil {
			return nil, err
		}
		ans, err := c.transport.post(ctx, Request{Old: old, Proof: p, Note: msg}.Marshal())
		if err != nil {
			return nil, err
		}
		switch ans.status {
		case http.StatusOK:
			lines, err := c.cosignatures(a.text, ans.body)
			if err == nil {
				c.remember(size)
			}
			return lines, err
		case http.StatusConflict:
			has, err := ans.size()
			if err != nil {
				return nil, err
			}
			if has > size {
				return nil, c.ahead(ctx, a, &AheadError{Witness: c.name, Size: has})
			}
			if has == old { // it has what it was asked from, and refuses: older witnesses say so of another root of this size
				return nil, c.ahead(ctx, a, fmt.Errorf("it refuses the checkpoint because it has size %d, from which it was asked to go on", has))
			}
			old = has
		case http.StatusUnprocessableEntity:
			return nil, c.ahead(ctx, a, &StatusError{Status: ans.status})
		case http.StatusNotFound:
			return nil, ErrUnknownLog
		default:
			return nil, ans.failure()
		}
	}
	return nil, fmt.Errorf("it named another size %d times", maxRounds)
}

func (c *Client) remembered() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *Client) remember(size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = size
}

// ahead finds out whether a witness that did not go on from what it has holds a proof against us: a checkpoint that the log
// signed, and that the one to be cosigned does not extend. If it shows none, the error is the one given.
func (c *Client) ahead(ctx context.Context, a *asked, otherwise error) error {
	shown, err := c.latest(ctx, c.origin)
	if err != nil {
		return otherwise
	}
	theirs, err := c.openLog(shown)
	if err != nil {
		return otherwise
	}
	proven := &AheadError{Witness: c.name, Size: theirs.Size, Note: shown}
	if theirs.Size > a.Size {
		return proven
	}
	p, err := a.proof(ctx, theirs.Size)
	if err != nil {
		return errors.Join(otherwise, err)
	}
	if checkpoint.VerifyConsistency(theirs.Size, a.Size, p, theirs.Root, a.Root) != nil {
		return proven
	}
	return otherwise
}

// openLog reads a checkpoint that one of the log's keys signed.
func (c *Client) openLog(msg []byte) (checkpoint.Checkpoint, error) {
	n, err := note.Open(msg, c.log)
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	return checkpoint.Parse(n.Text)
}

// Latest fetches the checkpoint of a log that the witness cosigned last. It is one in form, and of this origin: whose
// signatures it bears is for the caller to look at. ErrUnknownLog if the witness has none.
func (c *Client) Latest(ctx context.Context, origin string) ([]byte, error) {
	msg, err := c.latest(ctx, origin)
	if err != nil {
		return nil, fmt.Errorf("asking witness %s for its latest checkpoint: %w", c.name, err)
	}
	return msg, nil
}

func (c *Client) latest(ctx context.Context, origin string) ([]byte, error) {
	ans, err := c.transport.get(ctx, checkpoint.OriginHash(origin))
	if err != nil {
		return nil, err
	}
	switch ans.status {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, ErrUnknownLog
	default:
		return nil, ans.failure()
	}
	parsed, _, err := parseNote(ans.body)
	if err != nil {
		return nil, escape(err)
	}
	if parsed.Origin != origin {
		return nil, errors.New("it shows a checkpoint of another log")
	}
	return bytes.Clone(ans.body), nil
}
