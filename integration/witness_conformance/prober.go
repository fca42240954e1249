package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A prober speaks to one witness.
type prober struct {
	url        string // submission prefix
	monitoring string // monitoring prefix
	keys       []witnessKey
	subjects   []*subject
	http       *http.Client
	throttled  int // answers 429 after which it asked again
}

const (
	requestTimeout = 20 * time.Second
	maxAnswer      = 1 << 20
	maxThrottled   = 20
)

func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = racers
	return &http.Client{Transport: t, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// An answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends one request, once.
func (p *prober) do(ctx context.Context, method, url, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer{resp.StatusCode, resp.Header, b}, err
}

// patient is do that waits while the witness says that it is asked too much.
func (p *prober) patient(ctx context.Context, method, url, body string) (a answer, err error) {
	for range maxThrottled {
		a, err = p.do(ctx, method, url, body)
		if err != nil || a.status != http.StatusTooManyRequests {
			return a, err
		}
		p.throttled++
		if err := pause(ctx, a); err != nil {
			return a, err
		}
	}
	return a, err
}

// pause waits as long as an answer asks.
func pause(ctx context.Context, a answer) error {
	wait := 200 * time.Millisecond
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil && s > 0 && s <= 10 {
		wait = time.Duration(s) * time.Second
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *prober) add(ctx context.Context, body string) (answer, error) {
	return p.patient(ctx, http.MethodPost, p.url+"/add-checkpoint", body)
}

// latest asks for the checkpoint that monitors get. Hash is the hex of the origin's SHA-256.
func (p *prober) latest(ctx context.Context, hash string) (answer, error) {
	return p.patient(ctx, http.MethodGet, p.monitoring+"/"+hash+"/checkpoint", "")
}

func originHash(origin string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(origin))) }

// conflict reads what a 409 says, strictly.
func conflict(a answer) (size int64, err error) {
	if a.status != http.StatusConflict {
		return 0, fmt.Errorf("%d instead of 409", a.status)
	}
	if ct := a.header.Values("Content-Type"); len(ct) != 1 || ct[0] != "text/x.tlog.size" {
		return 0, fmt.Errorf("409 with Content-Type %q", ct)
	}
	digits, ok := strings.CutSuffix(string(a.body), "\n")
	size, err = strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || size < 0 || strconv.FormatInt(size, 10) != digits {
		return 0, fmt.Errorf("409 with body %.40q", a.body)
	}
	return size, nil
}

// holds compares the witness's state with what it is believed to be, by a request that must meet a 409. It needs a state other
// than zero.
func (p *prober) holds(ctx context.Context, s *subject) error {
	r := s.to(s.history, s.size, s.size)
	r.old = "old 0"
	a, err := p.add(ctx, r.body())
	if err != nil {
		return err
	}
	size, err := conflict(a)
	if err != nil {
		return fmt.Errorf("afterwards, to an old size of 0: %w", err)
	}
	if was := s.size; size != was {
		s.told(size)
		return fmt.Errorf("afterwards the witness is at size %d, not %d", size, was)
	}
	return nil
}

var errNoSubject = errors.New("no log in the state that this needs")

// grow moves the witness to so many leaves of a log, if it is below.
func (p *prober) grow(ctx context.Context, s *subject, size int64) error {
	if s.size >= size {
		return nil
	}
	r := s.to(s.history, s.size, size)
	a, err := p.add(ctx, r.body())
	if err != nil {
		return err
	}
	if a.status == http.StatusConflict { // somebody was here before
		at, err := conflict(a)
		if err != nil {
			return err
		}
		if s.told(at); s.lost != "" {
			return errors.New(s.lost)
		}
		r = s.next(size)
		if a, err = p.add(ctx, r.body()); err != nil {
			return err
		}
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("a good request for %s from %d to %d was answered %d", s.origin, s.size, r.size, a.status)
	}
	s.moved(r, a.body)
	return nil
}
