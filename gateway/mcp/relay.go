package mcp

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/stenolog/steno/entry"
)

// A relay carries lines both ways. Each direction has a goroutine that reads lines into a bounded queue and one that takes
// what has come, records it and passes it on, in order.
type relay struct {
	cfg        Config
	journal    *journal
	table      *table
	privileged map[string]bool
	client     *writer // shared: answers of the server, and refusals
	server     *server
	fromClient *queue[line]
	fromServer *queue[line]
	actions    atomic.Uint64
	catalogs   map[[32]byte]*ticket // of the goroutine that serves the server
	mode       failureMode          // of the goroutine that serves the client
	clientDone chan struct{}        // closed when nothing more will be sent to the server
	serverDone chan struct{}        // closed when nothing more will come from the server
}

// Relay carries messages between the client of cfg and a server that reads toServer and writes fromServer. It returns when
// fromServer has ended and everything is spooled; it closes toServer when the client has ended or the session can't go on.
// While ctx is done, no call goes through. Run does the same with a child process.
func Relay(ctx context.Context, cfg Config, toServer io.WriteCloser, fromServer io.Reader) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	return newRelay(cfg, toServer).run(ctx, fromServer)
}

func newRelay(cfg Config, toServer io.WriteCloser) *relay {
	r := &relay{
		cfg:        cfg,
		journal:    newJournal(cfg.Recorder, cfg.QueueBytes),
		table:      newTable(cfg.MaxInFlight),
		privileged: map[string]bool{"tools/call": true},
		client:     &writer{w: cfg.Stdout},
		server:     &server{w: toServer},
		fromClient: newQueue[line](cfg.QueueBytes),
		fromServer: newQueue[line](cfg.QueueBytes),
		catalogs:   map[[32]byte]*ticket{},
		clientDone: make(chan struct{}),
		serverDone: make(chan struct{}),
	}
	for _, m := range cfg.Privileged {
		r.privileged[m] = true
	}
	return r
}

func (r *relay) run(ctx context.Context, fromServer io.Reader) error {
	go func() { r.logReadError("client", readLines(r.cfg.Stdin, r.cfg.MaxLine, r.fromClient)) }()
	go func() { r.logReadError("server", readLines(fromServer, r.cfg.MaxLine, r.fromServer)) }()
	stopWatching := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { // a session that can't be recorded ends; a client may be silent for ever
		select {
		case <-r.journal.broken:
			r.fromClient.close()
		case <-stopWatching:
		}
	})
	go r.serveClient(ctx)
	r.serveServer()
	close(r.serverDone)
	r.endCalls()
	r.fromClient.close()
	<-r.clientDone
	close(stopWatching)
	watching.Wait()
	return r.journal.close()
}

func (r *relay) logReadError(side string, err error) {
	if err != nil {
		r.cfg.Logger.Warn("reading ended", "side", side, "error", err.Error())
	}
}

// endCalls says of every call that the server will not answer that its outcome is unknown, to the record and the client.
func (r *relay) endCalls() {
	for _, c := range r.table.end() {
		r.abandon(c, unknownOutcome)
	}
}

// abandon ends a call that was taken out of the table without an answer.
func (r *relay) abandon(c *call, outcome entry.Outcome) {
	if c.privileged() {
		if err := r.journal.put(0, r.noResult(c, outcome)).wait(); err != nil {
			r.cfg.Logger.Error("result not recorded", "action", string(c.action), "error", err.Error())
		}
	}
	r.answer(&refusal{code: codeServerEnded, text: "the server ended before it answered: whether it acted is unknown", why: "other", id: c.id}, c.action)
}

func (r *relay) nextAction() entry.ID {
	return entry.ID(fmt.Sprintf("%s-%d", r.cfg.ActionPrefix, r.actions.Add(1)))
}

// answer writes a JSON-RPC error to the client. Every text is fixed and the id is JSON that was read strictly.
func (r *relay) answer(bad *refusal, action entry.ID) {
	id := bad.id
	if id == nil {
		id = []byte("null")
	}
	data := fmt.Sprintf(`{"steno":{"why":%q`, bad.why)
	if action != "" {
		data += fmt.Sprintf(`,"action":%q`, action)
	}
	r.client.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q,"data":%s}}}}`+"\n", id, bad.code, "steno: "+bad.text, data))
}

// A writer writes whole lines, from several goroutines, until the other end fails.
type writer struct {
	mu     sync.Mutex
	w      io.Writer
	failed atomic.Bool
}

func (w *writer) write(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed.Load() {
		return
	}
	if _, err := w.w.Write(line); err != nil {
		w.failed.Store(true)
	}
}

// A server is where lines for the server go, from one goroutine.
type server struct {
	w      io.WriteCloser
	failed bool
}

// write tells how far it came. After a failure nothing is written any more: what the server holds may be half a line, and
// the next would become its other half.
func (s *server) write(line []byte) (sent int, ok bool) {
	if s.failed {
		return 0, false
	}
	n, err := s.w.Write(line)
	s.failed = err != nil
	return n, err == nil
}
