package api

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stenolog/steno/api/wire"
)

// A budget bounds the bytes of all bodies that are held at once.
type budget struct {
	max  int64
	mu   sync.Mutex
	used int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.max {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// firstRead is what is allocated for a body on its own word; more only as bytes arrive.
const firstRead = 64 << 10

// A body is a request's, read whole. Its bytes count against the budget until release.
type body struct {
	bytes  []byte
	held   int64
	budget *budget
}

func (b *body) release() {
	b.budget.give(b.held)
	b.held = 0
}

// readBody reads the whole body, within its limit of size and within the budget, and within the time that hurry gave it. The
// caller releases it.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) (*body, error) {
	return a.readBodyOf(w, r, a.Limits.MaxBody)
}

// readBodyOf is readBody with a limit of its own.
func (a *API) readBodyOf(w http.ResponseWriter, r *http.Request, most int64) (*body, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, refuse(codeEncoding, "")
	}
	if r.ContentLength > most {
		w.Header().Set("Connection", "close")
		return nil, refuse(codeBodySize, "")
	}
	b := &body{budget: a.budget}
	if err := b.read(http.MaxBytesReader(w, r.Body, most), r.ContentLength, most); err != nil {
		b.release()
		w.Header().Set("Connection", "close") // the rest of the body is still to come
		return nil, err
	}
	// Without a body to read, net/http reads ahead to notice a client that hangs up; the deadline must not look like one.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		b.release()
		return nil, &requestError{codeTruncatedBody, "", err}
	}
	return b, nil
}

// deadline is by the system's clock, which the kernel's timers follow, whatever Now is.
func (a *API) deadline(d time.Duration) time.Time { return time.Now().Add(d) }

// read reads until the end, which must come after length bytes, or after most if the length is not known (-1).
func (b *body) read(r io.Reader, length, most int64) error {
	if length >= 0 {
		most = length
	}
	if err := b.grow(min(firstRead, most)); err != nil {
		return err
	}
	var beyond [1]byte
	for {
		room := b.bytes[len(b.bytes):cap(b.bytes)]
		if int64(len(b.bytes)) == most {
			room = beyond[:]
		}
		n, err := r.Read(room)
		if int64(len(b.bytes)) < most {
			b.bytes = b.bytes[:len(b.bytes)+n]
		}
		if err == io.EOF { //nolint:errorlint // readers return it bare
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
		if len(b.bytes) == cap(b.bytes) && int64(len(b.bytes)) < most {
			if err := b.grow(min(2*int64(cap(b.bytes)), most)); err != nil {
				return err
			}
		}
	}
}

func (b *body) grow(size int64) error {
	more := size - int64(cap(b.bytes))
	if more <= 0 {
		return nil
	}
	if !b.budget.take(more) {
		return refuse(codeBusy, "")
	}
	b.held += more
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return nil
}

func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return &requestError{codeBodySize, "", err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &requestError{codeSlowBody, "", err}
	}
	return &requestError{codeTruncatedBody, "", err}
}

// mediaType is the type of the body without parameters, "" if it is malformed, absent or repeated. A charset must be UTF-8.
func mediaType(r *http.Request) string {
	values := r.Header.Values("Content-Type")
	if len(values) != 1 {
		return ""
	}
	t, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return ""
	}
	for k, v := range params {
		if k != "charset" || !strings.EqualFold(v, "utf-8") {
			return ""
		}
	}
	return t
}

// accepts tells whether the client takes an answer of this type. No Accept header accepts all.
func accepts(r *http.Request, mediaType string) bool {
	values := r.Header.Values("Accept")
	if len(values) == 0 {
		return true
	}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	major, _, _ := strings.Cut(mediaType, "/")
	best, weight := -1, ""
	for _, part := range strings.Split(strings.Join(values, ","), ",") {
		t, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		specific := map[string]int{"*/*": 0, major + "/*": 1, mediaType: 2}
		if s, ok := specific[t]; ok && s > best {
			best, weight = s, params["q"]
		}
	}
	if weight == "" {
		return best >= 0
	}
	q, err := strconv.ParseFloat(weight, 64)
	return err == nil && q > 0
}

// accept refuses a request whose answer the client would not take.
func (a *API) accept(mediaType string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !accepts(r, mediaType) {
				a.fail(w, r, refuse(codeNotAcceptable, "the answer would be "+mediaType))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// bodyTypes are what appends take.
const bodyTypes = wire.SubmissionType + ", " + wire.JSONType
