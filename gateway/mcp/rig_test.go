package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A recorded is one event as it reached the recorder: its struct, and its payloads by slot.
type recorded struct {
	typ   entry.Type
	value any
	said  map[string]string
}

// fake is a Recorder that can fail, and that holds every event against the real grammar of entries.
type fake struct {
	mu      sync.Mutex
	events  []recorded
	acked   int // events that the log has
	spool   func(n int) error
	full    bool // for Record
	durable func(ctx context.Context) error
	happen  func(what string) // told of everything, in order
}

func (f *fake) Spool(events ...recorder.Event) (entry.Ref, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := entry.Ref{Track: "gateway-1", Seq: uint64(len(f.events)) + 1}
	if f.spool != nil {
		if err := f.spool(len(f.events)); err != nil {
			return entry.Ref{}, err
		}
	}
	var built []recorded
	for _, ev := range events {
		r := recorded{typ: ev.Type, said: map[string]string{}}
		v, err := ev.Build(func(slot string, media payload.Media, class payload.Class, b []byte) (*entry.Payload, error) {
			r.said[slot] = string(b)
			return &entry.Payload{Media: entry.ID(media), Commitment: new(entry.Hash), Blobs: []entry.Blob{{Class: entry.ID(class.String()), Size: 318}}}, nil
		})
		if err == nil {
			_, err = entry.Marshal(ev.Type, ev.Time, v)
		}
		if err != nil {
			return entry.Ref{}, fmt.Errorf("event is not well-formed: %w", err)
		}
		r.value = v
		built = append(built, r)
	}
	f.events = append(f.events, built...)
	for _, r := range built {
		f.tell("spool " + string(r.typ))
	}
	return first, nil
}

func (f *fake) Record(ctx context.Context, events ...recorder.Event) (entry.Ref, error) {
	f.mu.Lock()
	full := f.full
	f.mu.Unlock()
	if full {
		return entry.Ref{}, errors.New("spool is full")
	}
	first, err := f.Spool(events...)
	if err != nil {
		return first, err
	}
	f.mu.Lock()
	n, wait := len(f.events), f.durable
	f.mu.Unlock()
	if wait != nil {
		if err := wait(ctx); err != nil {
			return first, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = max(f.acked, n)
	f.tell("durable")
	return first, nil
}

func (f *fake) tell(what string) {
	if f.happen != nil {
		f.happen(what)
	}
}

func (f *fake) setDurable(wait func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable = wait
}

func (f *fake) all() []recorded {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]recorded(nil), f.events...)
}

// of are the events of one type.
func (f *fake) of(typ entry.Type) (found []recorded) {
	for _, r := range f.all() {
		if r.typ == typ {
			found = append(found, r)
		}
	}
	return found
}

// story is the types of all events, in order.
func (f *fake) story() string {
	var types []string
	for _, r := range f.all() {
		types = append(types, string(r.typ))
	}
	return strings.Join(types, " ")
}

// A sink keeps what is written.
type sink struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	err    error
	part   int // bytes that are taken before err
	closed bool
	change sync.Cond
	happen func(string)
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Contains(b, []byte(`"data":{"steno":`)) && !json.Valid(b) {
		return 0, fmt.Errorf("the gateway wrote what is not JSON: %q", b)
	}
	if s.err != nil {
		return s.part, s.err
	}
	if s.happen != nil {
		s.happen("write")
	}
	return s.buf.Write(b)
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.change.Broadcast()
	return nil
}

func (s *sink) untilClosed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change.L = &s.mu
	for !s.closed {
		s.change.Wait()
	}
}

// take is what was written since the last take.
func (s *sink) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.buf.String()
	s.buf.Reset()
	return got
}

func (s *sink) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// A rig is a gateway between a client and a server that the test plays. It lives in a synctest bubble.
type rig struct {
	t        *testing.T
	rec      *fake
	client   *io.PipeWriter // what the client says
	toClient *sink
	server   *io.PipeWriter // what the server says
	toServer *sink
	cancel   context.CancelFunc
	done     chan error
}

func inBubble(t *testing.T, cfg mcp.Config, f func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, cfg)
		f(r)
		r.end()
	})
}

func newRig(t *testing.T, cfg mcp.Config) *rig {
	r := &rig{t: t, rec: &fake{}, toClient: &sink{}, toServer: &sink{}, done: make(chan error, 1)}
	if cfg.Recorder == nil {
		cfg.Recorder = r.rec
	}
	var in, out *io.PipeReader
	in, r.client = io.Pipe()
	out, r.server = io.Pipe()
	cfg.Stdin, cfg.Stdout = in, r.toClient
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(t.Context())
	go func() { r.done <- mcp.Relay(ctx, cfg, r.toServer, out) }()
	return r
}

// end closes both sides and returns what Relay said.
func (r *rig) end() error {
	_ = r.client.Close()
	_ = r.server.Close()
	defer r.cancel()
	err := <-r.done
	r.done <- err
	return err
}

// says writes lines for a side and waits until the gateway has nothing left to do.
func (r *rig) says(w io.Writer, lines ...string) {
	r.t.Helper()
	if _, err := io.WriteString(w, strings.Join(lines, "")); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) want(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Fatalf("%s: got\n%q\nwant\n%q", what, got, want)
	}
}

const (
	callLine   = `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"write_file","arguments":{"path":"/tmp/a"}}}` + "\n"
	resultLine = `{"result":{"content":[{"type":"text","text":"ok"}],"isError":false},"jsonrpc":"2.0","id":3}` + "\n"
	pingLine   = `{"jsonrpc":"2.0","id":"p","method":"ping"}` + "\n"
	pongLine   = `{"jsonrpc":"2.0","id":"p","result":{}}` + "\n"
)

var errDown = errors.New("log is down")

func down(context.Context) error { return fmt.Errorf("%w: %w", mcp.ErrPending, errDown) }

// hangs is a log that never answers.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", mcp.ErrPending, ctx.Err())
}

func result(t *testing.T, r recorded) entry.ActionResult {
	t.Helper()
	v, ok := r.value.(entry.ActionResult)
	if !ok {
		t.Fatalf("%s, want action.result", r.typ)
	}
	return v
}

func mustContain(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Fatalf("%s: %q lacks %q", what, got, p)
		}
	}
}

const second = time.Second

func after(d time.Duration) <-chan time.Time { return time.After(d) }
