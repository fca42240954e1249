package mcp

import (
	"sync"
	"time"

	"github.com/stenolog/steno/entry"
)

// A call is a request of the client.
type call struct {
	id      []byte // as the client wrote it
	key     string
	method  string
	token   string // for progress, or empty
	action  entry.ID
	tool    entry.ID
	sent    bool // to the server
	started time.Time
	outputs uint64 // pieces of output so far
}

// privileged calls are recorded as actions.
func (c *call) privileged() bool { return c.action != "" }

// A table knows the requests that wait for an answer, in both directions. Whoever takes a call out of it says how it ended,
// so that every call ends once.
type table struct {
	mu     sync.Mutex
	limit  int
	open   map[string]*call
	tokens map[string]*call
	late   recent[*call]    // cancelled by the client: an answer may still come
	asked  recent[struct{}] // ids of the server's requests
	closed bool             // the server has ended
}

const (
	maxLate  = 256
	maxAsked = 1024
)

func newTable(limit int) *table {
	return &table{limit: limit, open: map[string]*call{}, tokens: map[string]*call{}, late: newRecent[*call](maxLate), asked: newRecent[struct{}](maxAsked)}
}

// begin enters a request, unless its id still stands for another.
func (t *table) begin(c *call) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, cancelled := t.late.get(c.key)
	switch {
	case t.open[c.key] != nil || cancelled:
		return malformed(codeInvalidRequest, "id is in use by a request in flight", c.id)
	case len(t.open) >= t.limit:
		return &refusal{why: "other", code: codeBusy, text: "too many requests in flight", id: c.id}
	}
	t.open[c.key] = c
	if c.token != "" && t.tokens[c.token] == nil {
		t.tokens[c.token] = c
	}
	return nil
}

// send marks a call as sent, before its bytes are. It is false if the server has ended.
func (t *table) send(c *call, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.sent, c.started = true, at
	return !t.closed
}

// take removes a call. It is false if somebody else has taken it.
func (t *table) take(c *call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drop(c)
}

func (t *table) drop(c *call) bool {
	if t.open[c.key] != c {
		return false
	}
	delete(t.open, c.key)
	if t.tokens[c.token] == c {
		delete(t.tokens, c.token)
	}
	return true
}

// answered takes the call that an answer of the server is for: nil if there is none. An answer to what was never sent is
// for nothing, whatever id it bears.
func (t *table) answered(key string) (c *call, late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.open[key]; c != nil && c.sent {
		t.drop(c)
		return c, false
	}
	c, late = t.late.take(key)
	return c, late
}

// cancel takes the call that the client no longer wants: nil if there is none.
func (t *table) cancel(key string) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.open[key]
	if c == nil || !c.sent {
		return nil
	}
	t.drop(c)
	t.late.add(key, c)
	return c
}

// actionOf is the action of the call with an id, empty if there is none.
func (t *table) actionOf(key string) entry.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.open[key]; c != nil {
		return c.action
	}
	return ""
}

// progress is the action that progress is told of, and the number of the piece. ok is false if there is none.
func (t *table) progress(token string) (action entry.ID, n uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.tokens[token]
	if c == nil || !c.sent || !c.privileged() {
		return "", 0, false
	}
	n, c.outputs = c.outputs, c.outputs+1
	return c.action, n, true
}

// end takes all calls that were sent, when no answer can come any more.
func (t *table) end() (calls []*call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, c := range t.open {
		if c.sent {
			calls = append(calls, c)
		}
	}
	for _, c := range calls {
		t.drop(c)
	}
	return calls
}

func (t *table) ask(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked.add(key, struct{}{})
}

// replied tells whether the client's answer is to something that the server asked.
func (t *table) replied(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.asked.take(key)
	return ok
}

// recent is a map that forgets the oldest when it is full.
type recent[V any] struct {
	limit  int
	values map[string]V
	order  []string
}

func newRecent[V any](limit int) recent[V] {
	return recent[V]{limit: limit, values: map[string]V{}}
}

func (r *recent[V]) add(key string, v V) {
	if _, ok := r.values[key]; !ok {
		r.order = append(r.order, key)
	}
	r.values[key] = v
	if len(r.order) > r.limit {
		delete(r.values, r.order[0])
		r.order = append(r.order[:0], r.order[1:]...)
	}
}

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) take(key string) (V, bool) {
	v, ok := r.values[key]
	if ok {
		delete(r.values, key)
		for i, k := range r.order {
			if k == key {
				r.order = append(r.order[:i], r.order[i+1:]...)
				break
			}
		}
	}
	return v, ok
}
