package recording

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
)

// Codes of refusals that package entry does not know. They are stable and listed in docs/spec/errors.md.
const (
	CodeUnknownSession  entry.Code = "unknown-session"
	CodeOtherPrincipal  entry.Code = "other-principal"
	CodePrincipal       entry.Code = "bad-principal"
	CodeEquivocation    entry.Code = "equivocation"
	CodeHeadsDiffer     entry.Code = "heads-differ"
	CodeSessionExists   entry.Code = "session-exists"
	CodeTrackExists     entry.Code = "track-exists"
	CodeBlobMissing     entry.Code = "blob-missing"
	CodeBlobSuperfluous entry.Code = "blob-superfluous"
	CodeBlobMismatch    entry.Code = "blob-mismatch"
	CodeBlobRepeated    entry.Code = "blob-repeated"
	CodeWrapMissing     entry.Code = "wrap-missing"
	CodeWrapSuperfluous entry.Code = "wrap-superfluous"
	CodeWrapInvalid     entry.Code = "wrap-invalid"
	CodeKeyDestroyed    entry.Code = "key-destroyed"
	CodeKeyWindow       entry.Code = "key-window"
	CodeEmbedded        entry.Code = "embedded-checkpoint"
	CodeTooManySessions entry.Code = "too-many-sessions"
	CodeTooManyTracks   entry.Code = "too-many-tracks"
	CodeTooManyEntries  entry.Code = "too-many-entries"
	CodeTooManyEvents   entry.Code = "too-many-events"
	CodeTooManyBlobs    entry.Code = "too-many-blobs"
	CodeRequestEmpty    entry.Code = "request-empty"
	CodeMixedTracks     entry.Code = "mixed-tracks"
	CodeReservedTrack   entry.Code = "reserved-track"
	CodeReservedMember  entry.Code = "reserved-member"
	CodeIdempotency     entry.Code = "idempotency-mismatch"
	CodeEventID         entry.Code = "event-id"
	CodeJSONDepth       entry.Code = "json-depth"
	CodeManagedOff      entry.Code = "managed-off"
	CodeNotManaged      entry.Code = "not-managed"
	CodeIndexBehind     entry.Code = "index-behind"
	CodeNotDurable      entry.Code = "not-durable"
	CodeOverloaded      entry.Code = "overloaded"
	CodeReadOnly        entry.Code = "read-only"
	CodeStopped         entry.Code = "stopped"
	CodeClosing         entry.Code = "closing"
	CodeGone            entry.Code = "client-gone"
	CodeInternal        entry.Code = "internal"
)

// statuses are the HTTP statuses of codes that are not 422.
var statuses = map[entry.Code]int{
	CodeUnknownSession: http.StatusNotFound, CodeManagedOff: http.StatusNotFound,
	CodeKeyWindow: http.StatusForbidden, CodeOtherPrincipal: http.StatusForbidden, CodePrincipal: http.StatusForbidden,
	entry.BadSignature: http.StatusForbidden, entry.OtherRecorder: http.StatusForbidden,
	entry.StrangeEnroller: http.StatusForbidden, entry.EnrolmentExpired: http.StatusForbidden,
	entry.EnrolmentMismatch: http.StatusForbidden, entry.BadEnrolment: http.StatusForbidden,
	CodeEquivocation: http.StatusConflict, CodeHeadsDiffer: http.StatusConflict, CodeSessionExists: http.StatusConflict,
	CodeTrackExists: http.StatusConflict, CodeIdempotency: http.StatusConflict, CodeNotManaged: http.StatusConflict,
	CodeKeyDestroyed: http.StatusConflict, entry.TrackClosed: http.StatusConflict, entry.WrongPrev: http.StatusConflict,
	entry.Hole: http.StatusConflict, entry.SeqBehind: http.StatusConflict, entry.OtherSession: http.StatusConflict,
	CodeTooManySessions: http.StatusTooManyRequests, CodeOverloaded: http.StatusTooManyRequests,
	CodeIndexBehind: http.StatusServiceUnavailable, CodeNotDurable: http.StatusServiceUnavailable,
	CodeReadOnly: http.StatusServiceUnavailable, CodeStopped: http.StatusServiceUnavailable,
	CodeClosing: http.StatusServiceUnavailable, CodeGone: http.StatusServiceUnavailable,
	CodeInternal: http.StatusInternalServerError,
}

// A Problem says why a request, or the rest of it, was not taken. Nothing of what was refused is stored.
type Problem struct {
	Code   entry.Code
	Detail string // for the client; quotes nothing that it chose
	Entry  int    // index of the entry in the request, -1 if it is about none
	Event  int    // index of the event in that entry or managed request, -1 likewise
	Offset int    // of the byte in the entry or event, -1 likewise
	Member string // path of the member of the event
	Heads  []Head // where the tracks stand, where that is what the client needs
	Err    error  // the cause: *entry.Error, an error of package log, …; not for the client
}

func (p *Problem) Error() string {
	s := fmt.Sprintf("%s: %s", p.Code, p.Detail)
	if p.Entry >= 0 {
		s = fmt.Sprintf("entry %d: %s", p.Entry, s)
	}
	return s
}

func (p *Problem) Unwrap() error { return p.Err }

// Status is the HTTP status of the problem.
func (p *Problem) Status() int {
	if s, ok := statuses[p.Code]; ok {
		return s
	}
	return http.StatusUnprocessableEntity
}

func problem(code entry.Code, format string, args ...any) *Problem {
	return &Problem{Code: code, Detail: fmt.Sprintf(format, args...), Entry: -1, Event: -1, Offset: -1}
}

// inEntry says which entry of the request a problem is about.
func (p *Problem) inEntry(i int) *Problem {
	p.Entry = i
	return p
}

// asProblem makes a Problem of any error. What is not known to be the client's to know becomes internal.
func asProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var ee *entry.Error
	if errors.As(err, &ee) {
		return &Problem{Code: ee.Code, Detail: ee.Detail(), Entry: -1, Event: ee.Event, Offset: ee.Offset, Member: ee.Member, Err: err}
	}
	code, detail := CodeInternal, "something is wrong inside the server; it is in its own log"
	switch {
	case errors.Is(err, log.ErrOverloaded):
		code, detail = CodeOverloaded, "the log is overloaded; nothing was taken; try again later"
	case errors.Is(err, log.ErrTooLarge): // several requests together: each by itself is within the limits
		code, detail = CodeOverloaded, "more came at once than the log takes; nothing was taken; try again later"
	case errors.Is(err, log.ErrReadOnly):
		code, detail = CodeReadOnly, "the log takes nothing for now; nothing was taken"
	case errors.Is(err, log.ErrStopped) && !errors.Is(err, log.ErrNotAppended):
		code, detail = CodeStopped, "the log has stopped; whether this was taken is known when it runs again: send the same again then"
	case errors.Is(err, log.ErrStopped):
		code, detail = CodeStopped, "the log has stopped; nothing was taken"
	case errors.Is(err, log.ErrClosed):
		code, detail = CodeClosing, "the log is closing; nothing was taken"
	case errors.Is(err, log.ErrNotAppended):
		code, detail = CodeNotDurable, "the log could not make it durable; it was not taken"
	}
	p = problem(code, "%s", detail)
	p.Err = err
	return p
}
