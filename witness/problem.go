package witness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Codes of what is not done. They are listed in docs/spec/witness.md.
const (
	codeNotFound      = "not-found"
	codeMethod        = "method-not-allowed"
	codeMalformed     = "malformed-request"
	codeTooLarge      = "body-too-large"
	codeUnknownLog    = "unknown-log"
	codeBadSignature  = "bad-signature"
	codeOldTooLarge   = "old-too-large"
	codeExtensions    = "extension-lines"
	codeRate          = "rate-limited"
	codeConflict      = "conflict"
	codeInconsistent  = "inconsistent"
	codeNeverCosigned = "never-cosigned"
	codeClock         = "clock"
	codeUnavailable   = "unavailable"
	codeInternal      = "internal"
)

// retryLater is what a client is told to wait when nobody knows how long it takes.
const retryLater = time.Minute

// problems is the one table of statuses and titles.
func problems(code string) (status int, title string) {
	switch code {
	case codeNotFound:
		return http.StatusNotFound, "There is no such thing"
	case codeMethod:
		return http.StatusMethodNotAllowed, "The path has no such method"
	case codeMalformed:
		return http.StatusBadRequest, "The request is malformed"
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge, "The body is too large"
	// SPEC: tlog-witness: if the checkpoint origin is unknown, the witness MUST respond with a "404 Not Found".
	case codeUnknownLog:
		return http.StatusNotFound, "The witness does not know this log"
	// SPEC: tlog-witness: the witness MUST respond with a "403 Forbidden" if either no signature from a trusted key for the
	// origin is present, or a signature line's key name and ID match a trusted key but the signature itself fails to verify.
	case codeBadSignature:
		return http.StatusForbidden, "The checkpoint is not signed by the log"
	// SPEC: tlog-witness: the old size MUST be equal to or lower than the checkpoint size. Otherwise, 400.
	case codeOldTooLarge:
		return http.StatusBadRequest, "The old size is larger than the checkpoint's"
	case codeExtensions:
		return http.StatusBadRequest, "The checkpoint has extension lines, which no key of this witness cosigns"
	case codeRate:
		return http.StatusTooManyRequests, "There are too many requests for this log"
	// SPEC: tlog-witness: if the old size doesn't match, the witness MUST respond with a "409 Conflict".
	case codeConflict:
		return http.StatusConflict, "The old size is not that of the latest cosigned checkpoint"
	// SPEC: tlog-witness: the witness MUST respond with a "422 Unprocessable Entity" (to a wrong root, or a wrong proof).
	case codeInconsistent:
		return http.StatusUnprocessableEntity, "The checkpoint is not shown to be consistent with the latest cosigned one"
	// SPEC: tlog-witness: if the witness has never cosigned a checkpoint for that log, it MUST respond with a "404 Not Found".
	case codeNeverCosigned:
		return http.StatusNotFound, "The witness has not cosigned a checkpoint of this log"
	case codeClock:
		return http.StatusServiceUnavailable, "The witness's clock can't be believed, so it cosigns nothing"
	case codeUnavailable:
		return http.StatusServiceUnavailable, "The witness can't make anything durable for now"
	}
	return http.StatusInternalServerError, "Something is wrong inside the witness; it is in its own log"
}

// A problem is what a request ends with that is not cosigned. It is an error that a client may see: nothing in it is the
// server's own to know.
type problem struct {
	code   string
	detail string
	size   uint64        // code conflict: of the latest cosigned checkpoint
	retry  time.Duration // 0: none is named
	err    error         // the cause, for the server's log
}

func (p *problem) Error() string { return p.code + ": " + p.detail }

func (p *problem) Unwrap() error { return p.err }

func newProblem(code, format string, args ...any) *problem {
	return &problem{code: code, detail: fmt.Sprintf(format, args...)}
}

// write answers a request.
func (p *problem) write(w http.ResponseWriter) int {
	status, title := problems(p.code)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.retry+time.Second-1)/time.Second), 10))
	}
	if p.code == codeConflict {
		// SPEC: tlog-witness: the response body MUST consist of the tree size of the latest cosigned checkpoint in decimal,
		// followed by a newline (U+000A). The response MUST have a Content-Type of text/x.tlog.size.
		h.Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(status)
		fmt.Fprintf(w, "%d\n", p.size)
		return status
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct { //nolint:errcheck // the client is gone
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail,omitempty"`
	}{"urn:steno:problem:" + p.code, title, status, p.code, p.detail})
	return status
}
