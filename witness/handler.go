package witness

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

const noteType = "text/plain; charset=utf-8"

func (w *Witness) serve(rw http.ResponseWriter, r *http.Request) {
	if !w.enter() {
		(&problem{code: codeUnavailable, detail: "the witness is closing", retry: retryLater}).write(rw)
		return
	}
	defer w.inFlight.Done()
	if r.URL.Path == PathAddCheckpoint {
		w.metrics.request("add-checkpoint", w.serveAdd(rw, r))
		return
	}
	hash, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/checkpoint")
	if !ok || strings.Contains(hash, "/") {
		w.metrics.request("other", newProblem(codeNotFound, "").write(rw))
		return
	}
	w.metrics.request("checkpoint", w.serveCheckpoint(rw, r, hash))
}

// serveAdd answers add-checkpoint and returns the status.
func (w *Witness) serveAdd(rw http.ResponseWriter, r *http.Request) int {
	// SPEC: tlog-witness: the request MUST be an HTTP POST.
	if r.Method != http.MethodPost {
		return notAllowed(rw, http.MethodPost)
	}
	body, p := readBody(rw, r)
	var lines []byte
	if p == nil {
		lines, p = w.addCheckpoint(body)
	}
	if p != nil {
		if p.code == codeInternal {
			w.log.Error("request failed", "error", p.err)
		}
		return p.write(rw)
	}
	// SPEC: tlog-witness: the response body MUST be a sequence of one or more note signature lines.
	return writeNote(rw, lines)
}

func readBody(rw http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	if r.ContentLength > MaxBody {
		return nil, newProblem(codeTooLarge, "at most %d bytes", MaxBody)
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, newProblem(codeTooLarge, "at most %d bytes", MaxBody)
	}
	if err != nil {
		return nil, newProblem(codeMalformed, "the body did not arrive whole")
	}
	return body, nil
}

// serveCheckpoint answers the monitoring call and returns the status.
func (w *Witness) serveCheckpoint(rw http.ResponseWriter, r *http.Request, hash string) int {
	// SPEC: tlog-witness: the request MUST be an HTTP GET.
	if r.Method != http.MethodGet {
		return notAllowed(rw, http.MethodGet)
	}
	origin, ok := w.store.origin(hash)
	if !ok {
		return newProblem(codeUnknownLog, "").write(rw)
	}
	row, err := w.store.latest(r.Context(), origin)
	if err != nil {
		if r.Context().Err() == nil {
			w.log.Error("reading a published checkpoint", "log", origin, "error", err)
		}
		return (&problem{code: codeInternal, err: err}).write(rw)
	}
	if !row.cosigned() {
		return newProblem(codeNeverCosigned, "").write(rw)
	}
	// SPEC: tlog-witness: the response body MUST be a checkpoint for the log identified by the origin, and it MUST include the
	// cosignature(s) from the witness's key(s) that were returned from add-checkpoint and the cosignature from the log key(s)
	// that the witness verified.
	return writeNote(rw, row.note)
}

// latest is what has left of a log.
func (s *Store) latest(ctx context.Context, origin string) (logRow, error) {
	return scanLog(s.published.r.QueryRowContext(ctx, selectLog+" WHERE origin = ?", origin).Scan)
}

// writeNote answers with what the next minute may make old, so that nobody keeps it.
func writeNote(rw http.ResponseWriter, b []byte) int {
	h := rw.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", noteType)
	h.Set("X-Content-Type-Options", "nosniff")
	rw.Write(b) //nolint:errcheck // the client is gone
	return http.StatusOK
}

func notAllowed(rw http.ResponseWriter, method string) int {
	rw.Header().Set("Allow", method)
	return newProblem(codeMethod, "").write(rw)
}
