package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log/tiles"
)

const (
	maxAnswer    = 4 << 20
	maxPage      = 32 << 20 // of a page of entries or keys
	maxRedirects = 3
	maxRetryWait = time.Minute // what a server may ask for with Retry-After
)

// A caller speaks HTTP to one listener.
type caller struct {
	base    *url.URL
	token   string
	client  *http.Client
	timeout time.Duration
	min     time.Duration // backoff
	max     time.Duration
}

func newCaller(base, token string, transport http.RoundTripper, timeout, minWait, maxWait time.Duration) (*caller, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil {
		return nil, fmt.Errorf("server's address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("server's address is not http(s)://HOST[/PATH]")
	}
	c := &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		// The token and the entries are for this server, and a redirect could send both elsewhere.
		if via[0].Method != http.MethodGet {
			return http.ErrUseLastResponse // a redirected POST would arrive as a GET
		}
		if req.URL.Host != u.Host || req.URL.Scheme != u.Scheme || len(via) > maxRedirects {
			return errors.New("redirected to another host, or too often")
		}
		return nil
	}}
	return &caller{base: u, token: token, client: c, timeout: timeout, min: minWait, max: maxWait}, nil
}

// A request is what do sends.
type request struct {
	method, path string
	query        url.Values
	mediaType    string
	body         []byte
	limit        int64 // bytes of the answer
}

// do sends a request once. An answer of status 400 and above is a *Problem if it says so itself, else a statusError.
func (c *caller) do(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer to %s %s: %w", r.method, r.path, err)
	}
	if int64(len(body)) > r.limit {
		return nil, fmt.Errorf("the answer to %s %s is longer than %d bytes", r.method, r.path, r.limit)
	}
	if !succeeded(resp) {
		return body, refusal(resp, body)
	}
	return body, nil
}

func succeeded(resp *http.Response) bool { return resp.StatusCode >= 200 && resp.StatusCode <= 299 }

// begin sends a request and returns the answer with its body to be read.
func (c *caller) begin(ctx context.Context, r request) (*http.Response, error) {
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	if r.mediaType != "" {
		req.Header.Set("Content-Type", r.mediaType)
	}
	req.Header.Set("Prefer", "return=minimal") // receipts without the leaf, which is made from them here
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.client.Do(req) // its error is a *url.Error, which names method and address
}

// A statusError is an answer that is not the server's own: a proxy's, say.
type statusError struct {
	status     int
	retryAfter time.Duration
}

func (e *statusError) Error() string { return fmt.Sprintf("answered with status %d", e.status) }

func refusal(resp *http.Response, body []byte) error {
	after := retryAfter(resp.Header.Get("Retry-After"))
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && media == wire.ProblemType {
		p := &Problem{RetryAfter: after}
		if json.Unmarshal(body, &p.Problem) == nil && p.Code != "" {
			p.Status = resp.StatusCode // the member is advisory
			return p
		}
	}
	return &statusError{resp.StatusCode, after}
}

// retryAfter reads seconds. The other form, a date, would be judged by our clock against the server's.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryWait)
}

// passing tells whether what err says may be otherwise after a while. The refusals that are not are what the server says
// of the request itself.
func passing(err error) bool {
	var p *Problem
	if !errors.As(err, &p) {
		return true
	}
	switch p.Status {
	case http.StatusUnauthorized: // credentials are renewed while a recorder runs
		return true
	case http.StatusForbidden: // so are roles; other codes speak of the entry
		return p.Code == "forbidden"
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return p.Status >= 500
}

// wait is how long to wait before attempt number n+1, after err: exponential with jitter, or what the server asked for.
func (c *caller) wait(n int, err error) time.Duration {
	d := c.max
	if n < 20 {
		d = min(c.min<<n, c.max)
	}
	d = d/2 + rand.N(d/2+1)
	var p *Problem
	var s *statusError
	if errors.As(err, &p) {
		d = max(d, p.RetryAfter)
	} else if errors.As(err, &s) {
		d = max(d, s.retryAfter)
	}
	return d
}

// get reads, and tries again a few times where that may help.
func (c *caller) get(ctx context.Context, path string, query url.Values, limit int64) ([]byte, error) {
	return c.again(ctx, request{method: http.MethodGet, path: path, query: query, limit: limit})
}

// again sends what may be sent more than once, and tries a few times where that may help.
func (c *caller) again(ctx context.Context, r request) (b []byte, err error) {
	err = c.retry(ctx, func() (err error) {
		b, err = c.do(ctx, r)
		return err
	})
	return b, err
}

// stream reads an answer as it comes. Where its bytes stop coming, it begins anew, and calls read anew; an error of read's own ends it.
func (c *caller) stream(ctx context.Context, path string, query url.Values, read func(io.Reader) error) error {
	var own error
	err := c.retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		resp, err := c.begin(ctx, request{method: http.MethodGet, path: path, query: query})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if !succeeded(resp) {
			body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
			return cmp.Or(err, refusal(resp, body))
		}
		body := &watchedReader{Reader: resp.Body}
		if err = read(body); err != nil && !body.failed {
			own, err = err, nil
		}
		return err
	})
	return cmp.Or(own, err)
}

// A watchedReader remembers whether it could not be read to its end.
type watchedReader struct {
	io.Reader
	failed bool
}

func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.failed = r.failed || err != nil && err != io.EOF //nolint:errorlint // readers return it bare
	return n, err
}

// retry calls f, and a few times again where that may help.
func (c *caller) retry(ctx context.Context, f func() error) error {
	const attempts = 4
	for n := 0; ; n++ {
		err := f()
		if err == nil || n == attempts-1 || !worthAgain(err) {
			return err
		}
		if err := sleep(ctx, c.wait(n, err)); err != nil {
			return err
		}
	}
}

func worthAgain(err error) bool {
	var p *Problem
	var s *statusError
	switch {
	case errors.As(err, &p):
		return p.Status == http.StatusTooManyRequests || p.Status >= 500
	case errors.As(err, &s):
		return s.status == http.StatusTooManyRequests || s.status >= 500
	}
	return true
}

func (c *caller) getJSON(ctx context.Context, path string, query url.Values, limit int64, v any) ([]byte, error) {
	b, err := c.get(ctx, path, query, limit)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return b, fmt.Errorf("reading the answer to GET %s: %w", path, err)
	}
	return b, nil
}

// tile fetches a tlog-tiles path.
func (c *caller) tile(ctx context.Context, path string) ([]byte, error) {
	limit := int64(tiles.Width * len(tiles.Hash{}))
	switch {
	case strings.HasPrefix(path, "tile/entries/"):
		limit = tiles.MaxBundle
	case path == "checkpoint":
		limit = checkpoint.MaxNote
	}
	return c.get(ctx, path, nil, limit)
}

func (c *caller) checkpoint(ctx context.Context) ([]byte, error) {
	return c.get(ctx, "checkpoint", nil, checkpoint.MaxNote)
}

// signedCheckpoint is the latest that the log has signed.
func (c *caller) signedCheckpoint(ctx context.Context) ([]byte, error) {
	return c.get(ctx, wire.PathCheckpoint, nil, checkpoint.MaxNote)
}

// pathFor fills {id}, {hash} or {index} into one of wire's paths.
func pathFor(pattern, value string) string {
	i, j := strings.IndexByte(pattern, '{'), strings.IndexByte(pattern, '}')
	return pattern[:i] + url.PathEscape(value) + pattern[j+1:]
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
