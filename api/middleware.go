package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/time/rate"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/recording"
)

// A trace is what is known of a request while it is served. Only its own goroutine touches it.
type trace struct {
	id        string
	code      string // of the problem, if it was answered with one
	principal access.Principal
}

type traceKey struct{}

func traceOf(r *http.Request) *trace {
	if t, ok := r.Context().Value(traceKey{}).(*trace); ok {
		return t
	}
	return &trace{}
}

func requestID(r *http.Request) string { return traceOf(r).id }

func note(r *http.Request, code string) { traceOf(r).code = code }

// ids numbers requests: eight random digits of the process, and a count.
type ids struct {
	prefix string
	n      *atomic.Uint64
}

func newIDs() ids {
	var b [4]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	return ids{hex.EncodeToString(b[:]), new(atomic.Uint64)}
}

func (i ids) next() string { return i.prefix + "-" + strconv.FormatUint(i.n.Add(1), 10) }

// observe gives a request its id, counts it, writes it to the server's log, and turns a panic into an answer. Of the
// request it logs method, route, principal and outcome: neither path nor query nor any byte of a body.
func (a *API) observe(listener string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := a.Now()
			t := &trace{id: a.ids.next()}
			r = r.WithContext(context.WithValue(r.Context(), traceKey{}, t))
			sw := &statusWriter{ResponseWriter: w}
			sw.Header().Set("X-Content-Type-Options", "nosniff")
			defer func() {
				a.recovered(recover(), sw, r)
				a.finished(listener, r, sw, t, a.Now().Sub(start))
			}()
			next.ServeHTTP(sw, r)
		})
	}
}

// recovered answers for a handler that panicked. The value is not logged, for it may quote what was read; its type and the
// stack say where to look.
func (a *API) recovered(v any, w *statusWriter, r *http.Request) {
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && err == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
		panic(v)
	}
	a.logger.ErrorContext(r.Context(), "handler panicked", "request", requestID(r), "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	if w.status == 0 {
		a.fail(w, r, fmt.Errorf("panic of type %T", v))
	}
}

func (a *API) finished(listener string, r *http.Request, w *statusWriter, t *trace, took time.Duration) {
	route := "unmatched"
	if c := chi.RouteContext(r.Context()); c != nil {
		route = c.RoutePattern()
	}
	if route == "" || w.status == http.StatusNotFound && t.code == codeNotFound && strings.HasSuffix(route, "*") && route != "/tile/*" {
		route = "unmatched"
	}
	a.metrics.served(listener, route, w.status, t.code, took)
	level := slog.LevelDebug
	if w.status >= http.StatusBadRequest {
		level = slog.LevelInfo
	}
	a.logger.LogAttrs(r.Context(), level, "request served", slog.String("request", t.id), slog.String("listener", listener),
		slog.String("method", knownMethod(r.Method)), slog.String("route", route), slog.Int("status", w.status), slog.String("code", t.code),
		slog.String("principal", t.principal.Name), slog.Duration("took", took), slog.Int64("bytes", w.bytes))
}

// knownMethod keeps what a client can choose freely out of the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return m
	}
	return "other"
}

// A statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hurry bounds the time that a body may take, whether a handler reads it or not: before it goes on with a connection, net/http
// reads what was not read, for as long as that takes.
func (a *API) hurry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			err := http.NewResponseController(w).SetReadDeadline(a.deadline(a.Limits.BodyTimeout))
			if err != nil && !errors.Is(err, http.ErrNotSupported) {
				w.Header().Set("Connection", "close")
				a.fail(w, r, &requestError{codeTruncatedBody, "", err})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// shed refuses requests on connections above the limit, before anything of them is read.
func (a *API) shed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if surplus(r.Context()) {
			w.Header().Set("Connection", "close")
			a.fail(w, r, refuse(codeConnections, ""))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writable refuses what the log would refuse anyway, before anything is read: at the disk's floor, blobs of requests that
// cannot be taken must not fill what is left.
func (a *API) writable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := a.Log.Health()
		if h.Stopped != nil || h.ReadOnly != "" {
			code := string(recording.CodeReadOnly)
			if h.Stopped != nil {
				code = string(recording.CodeStopped)
			}
			w.Header().Set("Connection", "close") // its body is still to come
			a.fail(w, r, refuse(code, "nothing was taken"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// as demands a bearer token whose role allows the action, and holds its principal to its rate. For content, the handler asks
// the gate itself, when it knows the scope; here only the role is looked at.
func (a *API) as(action access.Action) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, err := a.authenticate(r)
			if err != nil {
				w.Header().Set("WWW-Authenticate", `Bearer realm="steno"`)
				a.fail(w, r, refuse(codeUnauthenticated, ""))
				return
			}
			traceOf(r).principal = p
			if !a.rates.allow(p.Name) {
				a.fail(w, r, refuse(codeRateLimited, ""))
				return
			}
			if action != access.Content {
				if err := a.gate.Allow(r.Context(), p, action, access.Scope{}); err != nil {
					a.fail(w, r, err)
					return
				}
			} else if p.Role != access.Auditor {
				a.fail(w, r, &access.DeniedError{Principal: p, Action: action, Err: access.ErrForbidden})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (a *API) authenticate(r *http.Request) (access.Principal, error) {
	// SPEC: RFC 9110 11.6.2: Authorization is a single field; two of them could be read differently by a proxy and by us.
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return access.Principal{}, access.ErrUnknownToken
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return access.Principal{}, access.ErrUnknownToken
	}
	return a.Tokens.Authenticate(token)
}

// rates holds one token bucket for each principal. There are no more than principals in the configuration.
type rates struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu  sync.Mutex
	per map[string]*rate.Limiter
}

func newRates(perSecond float64, burst int, now func() time.Time) *rates {
	return &rates{limit: rate.Limit(perSecond), burst: burst, now: now, per: make(map[string]*rate.Limiter)}
}

func (l *rates) allow(principal string) bool {
	l.mu.Lock()
	lim := l.per[principal]
	if lim == nil {
		lim = rate.NewLimiter(l.limit, l.burst)
		l.per[principal] = lim
	}
	l.mu.Unlock()
	return lim.AllowN(l.now(), 1)
}
