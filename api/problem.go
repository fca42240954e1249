package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
)

// A requestError is what this package itself refuses.
type requestError struct {
	code   string
	detail string
	cause  error // for the server's log only
}

func (e *requestError) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.detail + ": " + e.cause.Error()
	}
	return e.code + ": " + e.detail
}

func (e *requestError) Unwrap() error { return e.cause }

func refuse(code, detail string) error { return &requestError{code: code, detail: detail} }

// problemOf is the one place where errors become answers. Nothing of an error's text leaves the server unless the error was
// made to be shown.
func problemOf(err error) wire.Problem {
	var (
		own     *requestError
		rec     *recording.Problem
		framing *wire.FramingError
		bad     *entry.Error
		covered *log.NotCoveredError
	)
	switch {
	case errors.As(err, &own):
		return newProblem(own.code, own.detail)
	case errors.Is(err, access.ErrForbidden):
		return newProblem(codeForbidden, "")
	case errors.Is(err, access.ErrUnrecorded): // before recording's: that is why, this is what
		return newProblem(codeUnrecorded, "")
	case errors.As(err, &rec):
		return recordingProblem(rec)
	case errors.As(err, &framing):
		p := newProblem(framing.Code, framing.Detail)
		p.Offset = &framing.Offset
		return p
	case errors.As(err, &bad):
		p := newProblem(string(bad.Code), bad.Detail())
		p.Offset, p.Event, p.Member = known(bad.Offset), known(bad.Event), bad.Member
		return p
	case errors.As(err, &covered):
		return newProblem(codeNotCovered, covered.Error())
	}
	return newProblem(codeOfSentinel(err), "")
}

func codeOfSentinel(err error) string {
	var outside *tiles.RangeError
	switch {
	case errors.As(err, &outside), errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrDestroyed):
		return codeNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return codeTimeout
	case errors.Is(err, log.ErrClosed):
		return string(recording.CodeClosing)
	}
	return string(recording.CodeInternal)
}

func recordingProblem(rec *recording.Problem) wire.Problem {
	p := newProblem(string(rec.Code), rec.Detail)
	p.Offset, p.Entry, p.Event, p.Member = known(rec.Offset), known(rec.Entry), known(rec.Event), rec.Member
	for _, h := range rec.Heads {
		p.Heads = append(p.Heads, wire.TrackHead{Track: h.Track, Next: h.Next, Head: h.Head, Closed: h.Closed})
	}
	return p
}

// known is nil for what is not known.
func known(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func newProblem(code, detail string) wire.Problem {
	k, ok := kinds[code]
	if !ok {
		// A code that is not in the table is a mistake of ours, and must not be sent.
		code, detail = string(recording.CodeInternal), ""
		k = kinds[code]
	}
	return wire.Problem{Type: wire.ProblemPrefix + code, Title: k.title, Status: k.status, Code: code, Detail: detail}
}

// retryAfter is how many seconds a client should wait before it tries again; of those that are not here it should change
// something first.
func retryAfter(code string, status int) int {
	switch {
	case code == codeNotCovered:
		return 1
	case code == string(recording.CodeStopped):
		return 60
	case status == http.StatusTooManyRequests:
		return 1
	case status == http.StatusServiceUnavailable:
		return 5
	}
	return 0
}

// fail answers with the problem that err is.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.failPrefix(w, r, err, nil)
}

// failPrefix answers with a problem and with how far the request was taken all the same.
func (a *API) failPrefix(w http.ResponseWriter, r *http.Request, err error, taken *wire.Answer) {
	p := problemOf(err)
	p.Request = requestID(r)
	if taken != nil && (len(taken.Receipts) > 0 || taken.Session != "") {
		p.Session, p.Track, p.Next, p.Head, p.Receipts = taken.Session, taken.Track, &taken.Next, &taken.Head, taken.Receipts
	}
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		a.logger.ErrorContext(r.Context(), "request failed", "request", p.Request, "code", p.Code, "error", err)
	}
	note(r, p.Code)
	writeProblem(w, p)
}

func writeProblem(w http.ResponseWriter, p wire.Problem) {
	b, err := json.Marshal(p)
	if err != nil { // its members are strings, numbers and hashes
		panic(err)
	}
	h := w.Header()
	for _, k := range []string{"Content-Disposition", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(k)
	}
	h.Set("Content-Type", wire.ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if n := retryAfter(p.Code, p.Status); n > 0 {
		h.Set("Retry-After", strconv.Itoa(n))
	}
	w.WriteHeader(p.Status)
	w.Write(b) //nolint:errcheck // the client is gone, and there is nobody left to tell
}
