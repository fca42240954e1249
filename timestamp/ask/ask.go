// Package ask asks time-stamp authorities for tokens over HTTP (RFC 3161, section 3.4), and collects what a judge will want beside a
// token when its authority is long gone: certificates, revocation data, the policy.
package ask

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stenolog/steno/timestamp"
)

const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"

	// DefaultTimeout is how long an authority may take where the HTTP client says nothing.
	DefaultTimeout = 30 * time.Second
	// MaxClockError is how far a token's time may be from the local clock, where one is given.
	MaxClockError = 10 * time.Minute
)

// ErrClock says that an authority's clock and the local one are too far apart. Which of them is wrong is not known.
var ErrClock = errors.New("the authority's clock and the local one are far apart")

// An Authority is where tokens are asked for.
type Authority struct {
	Name string
	URL  string       // http(s)://HOST/PATH, and no more: where somebody was asked stands in logs and errors. Credentials go into Header
	HTTP *http.Client // nil: one with DefaultTimeout. Redirects are not followed, whatever it says
	// Header is sent with every request for a token, and with nothing else: credentials.
	Header http.Header

	// Chain are DER certificates that the authority's tokens may lack: those above the signer's.
	Chain [][]byte
	// PolicyDocument is the text of the policy that its tokens are made under.
	PolicyDocument []byte
	// RevocationHosts are where certificates may send us for revocation data, as host or host:port, beside the host of URL. A
	// certificate names any address it likes, on networks that only we can reach.
	RevocationHosts []string

	Now    func() time.Time // if not nil, tokens of another time than this are refused
	Logger *slog.Logger     // is told what long-term data is missing, and why; nil: nobody is
}

// CheckURL says what is wrong with the address of an authority. It is not quoted: what must not be logged stands in it.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("its URL is not http(s)://HOST/PATH")
	case u.User != nil || strings.ContainsAny(address, "?#"):
		return errors.New("its URL has user info, a query or a fragment, and would be logged with it")
	}
	return nil
}

// Ask asks for a token over a digest. The token is well formed and answers this very request; what it is worth is for
// timestamp.Verify to say. The long-term data is as much of it as could be had: none of it is missing from the token.
func (a Authority) Ask(ctx context.Context, digest [sha256.Size]byte) (token []byte, longTerm []Blob, err error) {
	if err := CheckURL(a.URL); err != nil {
		return nil, nil, fmt.Errorf("asking %s for a time stamp: %w", a.Name, err)
	}
	req, err := timestamp.NewRequest(digest, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	response, err := a.post(ctx, req.DER)
	if err != nil {
		return nil, nil, fmt.Errorf("asking %s for a time stamp: %w", a.Name, err)
	}
	if token, err = req.Token(response); err != nil {
		return nil, nil, fmt.Errorf("asking %s for a time stamp: %w", a.Name, err)
	}
	p, err := timestamp.Peek(token)
	if err != nil {
		return nil, nil, fmt.Errorf("asking %s for a time stamp: %w", a.Name, err)
	}
	if a.Now != nil {
		if d := p.Time.Sub(a.Now()); d.Abs() > MaxClockError {
			return nil, nil, fmt.Errorf("asking %s for a time stamp: the token says %s: %w", a.Name, p.Time.Format(time.RFC3339), ErrClock)
		}
	}
	return token, a.LongTerm(ctx, token), nil
}

// client is the caller's, which does not follow redirects: another address was not configured.
func (a Authority) client() *http.Client {
	c := http.Client{Timeout: DefaultTimeout}
	if a.HTTP != nil {
		c = *a.HTTP
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func (a Authority) post(ctx context.Context, query []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	if a.Header != nil {
		req.Header = a.Header.Clone()
	}
	req.Header.Set("Content-Type", queryType)
	req.Header.Set("Accept", replyType)
	return a.do(req, replyType, timestamp.MaxToken)
}

// do sends a request, and reads an answer of a type and a greatest length.
func (a Authority) do(req *http.Request, contentType string, limit int64) (body []byte, err error) {
	resp, err := a.client().Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	// SPEC: RFC 3161 3.4: Content-Type: application/timestamp-reply.
	if got, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); contentType != "" && (err != nil || got != contentType) {
		return nil, fmt.Errorf("it answers with content of type %.100q, want %s", resp.Header.Get("Content-Type"), contentType)
	}
	if body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("its answer has more than %d bytes", limit)
	}
	return body, nil
}
