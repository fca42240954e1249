package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/safe"
)

const (
	sizeType      = "text/x.tlog.size"
	maxSize       = 32        // bytes of an answer with a size
	maxFailure    = 4 << 10   // bytes that are read of an answer of which only the status counts
	maxError      = 300       // bytes of what somebody else wrote, in an error
	maxRetryAfter = time.Hour // what a witness may ask for
	maxHeader     = 16 << 10
	idleConn      = 90 * time.Second
)

// A StatusError is an answer by which a witness refuses.
type StatusError struct {
	Status     int
	RetryAfter time.Duration // what it asks for, at most an hour; 0 if it asks for nothing
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("it answers with status %d", e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " (" + text + ")"
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf(", to be asked again after %s", e.RetryAfter)
	}
	return s
}

// Transient tells whether the same request may get another answer later.
func (e *StatusError) Transient() bool {
	return e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// An escaped error is one whose text may hold what a peer wrote: a header line that is none, say.
type escaped struct{ err error }

func escape(err error) error { return &escaped{err} }

func (e *escaped) Error() string {
	s := safe.Text(e.err.Error())
	if len(s) > maxError {
		s = strings.ToValidUTF8(s[:maxError], "") + "…"
	}
	return s
}

func (e *escaped) Unwrap() error { return e.err }

// A transport speaks HTTP to one witness.
type transport struct {
	base   *url.URL
	client *http.Client
}

func newTransport(prefix string, client *http.Client) (*transport, error) {
	u, err := url.Parse(strings.TrimSuffix(prefix, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return nil, errors.New("its URL is not http(s)://HOST[/PATH]")
	}
	own := http.Client{}
	if client != nil {
		own = *client
	} else {
		own.Transport = NewTransport()
	}
	own.Jar = nil
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &transport{u, &own}, nil
}

// NewTransport is what clients use by default: no proxy, bounded headers, connections that are kept.
func NewTransport() *http.Transport {
	return &http.Transport{
		ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: idleConn,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxHeader,
	}
}

// An answer is read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (t *transport) post(ctx context.Context, body []byte) (*answer, error) {
	return t.do(ctx, http.MethodPost, t.base.JoinPath(PathAddCheckpoint), body, MaxSignatures)
}

func (t *transport) get(ctx context.Context, originHash string) (*answer, error) {
	return t.do(ctx, http.MethodGet, t.base.JoinPath(originHash, "checkpoint"), nil, checkpoint.MaxNote)
}

// do sends a request and reads the answer: all of it if the status is 200 or 409, up to a limit.
func (t *transport) do(ctx context.Context, method string, u *url.URL, body []byte, limit int64) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, escape(err)
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	switch a.status {
	case http.StatusOK:
	case http.StatusConflict:
		limit = maxSize
	default:
		// What it says is not read by anybody; the connection can be used again.
		io.CopyN(io.Discard, resp.Body, maxFailure) //nolint:errcheck
		return a, nil
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, fmt.Errorf("reading its answer: %w", escape(err))
	}
	if int64(len(a.body)) > limit {
		return nil, fmt.Errorf("its answer is longer than %d bytes", limit)
	}
	return a, nil
}

// failure is what an answer says that is none of those that the protocol has for us.
func (a *answer) failure() error {
	if a.status >= 300 && a.status < 400 {
		return fmt.Errorf("it redirects (status %d), which is not followed", a.status)
	}
	e := &StatusError{Status: a.status}
	// The other form, a date, would be judged by our clock against the witness's.
	if n, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	return e
}

// size reads the answer by which a witness says what it has.
func (a *answer) size() (uint64, error) {
	// SPEC: tlog-witness: the response MUST have a Content-Type of text/x.tlog.size, and its body MUST consist of the tree size
	// of the latest cosigned checkpoint in decimal, followed by a newline.
	media, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || media != sizeType {
		return 0, fmt.Errorf("it answers with status 409, and not of type %s", sizeType)
	}
	s, whole := strings.CutSuffix(string(a.body), "\n")
	n, err := checkpoint.ParseSize(s)
	if !whole || err != nil {
		return 0, errors.New("it answers with status 409, and no size")
	}
	return n, nil
}

// cosignatures checks the answer of a witness that cosigned, and returns the lines that are by its keys, written anew, so
// that nothing else of the answer gets anywhere.
func (c *Client) cosignatures(text string, body []byte) ([]byte, error) {
	// SPEC: tlog-witness: the response body MUST be a sequence of one or more note signature lines, each starting with the —
	// character (U+2014) and ending with a newline character (U+000A).
	if len(body) == 0 || !utf8.Valid(body) || body[len(body)-1] != '\n' {
		return nil, errors.New("its answer is no sequence of signature lines")
	}
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "— ") {
			return nil, errors.New("its answer has a line that is no signature")
		}
	}
	// SPEC: tlog-witness: the client MUST ignore any cosignatures from unknown keys.
	n, err := note.Open(append([]byte(text+"\n"), body...), c.witness)
	var bad *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &bad):
		return nil, fmt.Errorf("the signature by its key %s+%08x is not one of this checkpoint, or has no time", bad.Name, bad.Hash)
	case errors.As(err, &none):
		return nil, errors.New("its answer has no signature by a key of it that is known here")
	case err != nil:
		return nil, errors.New("its answer has a signature line that is malformed")
	}
	var lines []byte
	for _, s := range n.Sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64) // note.Open has read it
		if err != nil || len(raw) < 4 {
			return nil, errors.New("its answer has a signature line that is malformed")
		}
		if err := c.checkTime(checkpoint.Time(raw[4:])); err != nil {
			return nil, err
		}
		lines = append(lines, checkpoint.SignatureLine(s.Name, s.Hash, raw[4:])...)
	}
	return lines, nil
}

// checkTime refuses a cosignature whose time is not about now: published, it would date the checkpoint wrongly for good.
func (c *Client) checkTime(seconds uint64) error {
	now := c.now()
	// SPEC: tlog-cosignature: verifiers MAY reject cosignatures with timestamps in the future.
	if latest := now.Add(MaxAhead).Unix(); latest < 0 || seconds > uint64(latest) {
		return fmt.Errorf("its clock and ours differ: its cosignature is of %s, more than %s after our %s", dated(seconds), MaxAhead, dated(uint64(now.Unix())))
	}
	if earliest := now.Add(-MaxBehind).Unix(); earliest > 0 && seconds < uint64(earliest) {
		return fmt.Errorf("its clock and ours differ: its cosignature is of %s, more than %s before our %s", dated(seconds), MaxBehind, dated(uint64(now.Unix())))
	}
	return nil
}

// dated writes a time, however far off.
func dated(seconds uint64) string {
	const year9999 = 253402300799
	if seconds > year9999 {
		return fmt.Sprintf("second %d", seconds)
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}
