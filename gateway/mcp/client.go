package mcp

import (
	"context"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
)

// outgoing is a line of the client on its way to the server.
type outgoing struct {
	line    line
	event   recorder.Event
	call    *call  // of a request
	cancels string // key of the request that a notification cancels
}

func (o outgoing) privileged() bool { return o.call != nil && o.call.privileged() }

// held are lines from the first privileged call on, in order, with their events.
type held struct {
	lines  []outgoing
	events []recorder.Event
	bytes  int64 // of privileged calls
}

func (h *held) add(o outgoing) {
	h.lines, h.events = append(h.lines, o), append(h.events, o.event)
	if o.privileged() {
		h.bytes += int64(len(o.line.raw))
	}
}

// serveClient takes what the client has sent since it last looked, until the client ends or can't be answered any more.
func (r *relay) serveClient(ctx context.Context) {
	defer close(r.clientDone)
	defer func() { _ = r.server.w.Close() }() // the server may have closed its end
	for {
		batch, ok := r.fromClient.takeAll()
		if !ok {
			return
		}
		r.clientBatch(ctx, batch)
		if r.client.failed.Load() || r.journal.stopped() != nil {
			r.fromClient.close()
		}
	}
}

// clientBatch passes lines on in the order in which they came. A call waits for the log, and what came after it waits with
// it: a later line must not overtake the call on which it may depend. All calls of a batch wait together, so that a burst
// of parallel calls costs one acknowledgement.
func (r *relay) clientBatch(ctx context.Context, batch []line) {
	var waiting held
	for _, l := range batch {
		o, ok := r.admit(l)
		switch {
		case !ok:
		case o.privileged() || len(waiting.lines) > 0:
			waiting.add(o)
		default:
			r.journal.put(len(l.raw), o.event)
			r.forward(o)
		}
	}
	if len(waiting.lines) == 0 {
		return
	}
	kept, bad := r.permit(ctx, waiting)
	for _, o := range waiting.lines {
		if !kept && !o.privileged() {
			r.journal.put(len(o.line.raw), o.event)
		}
		if o.privileged() && bad != nil {
			r.refuseCall(o, bad, kept)
		} else {
			r.forward(o)
		}
	}
}

// admit reads a line and records it. It is false if the line goes no further.
func (r *relay) admit(l line) (outgoing, bool) {
	if l.blank() {
		return outgoing{}, false
	}
	if l.tooLong {
		return r.refuseLine(l, &refusal{why: "too-large", code: codeInvalidRequest, text: "line is too long"})
	}
	m, bad := parse(l.text(), true)
	if bad != nil {
		return r.refuseLine(l, bad)
	}
	if r.journal.stopped() != nil || r.client.failed.Load() {
		r.refuseStopped(m)
		return outgoing{}, false
	}
	if m.kind != response && r.mistakable(m.method) {
		return r.refuseLine(l, malformed(codeInvalidRequest, "method may be taken for a privileged one, which it is not", m.id))
	}
	switch m.kind {
	case request:
		return r.admitRequest(l, m)
	case notification:
		return r.admitNotification(l, m)
	}
	if !r.table.replied(m.key) {
		r.journal.put(len(l.raw), r.dropped(fromAgent, l.text()))
		return outgoing{}, false
	}
	return outgoing{line: l, event: r.message(fromAgent, "", "", l.text())}, true
}

// mistakable tells whether a lenient server may take a method for a privileged one.
func (r *relay) mistakable(method string) bool {
	for known := range r.privileged {
		if variantMethod(method, known) && !r.privileged[method] {
			return true
		}
	}
	return false
}

func (r *relay) admitRequest(l line, m message) (outgoing, bool) {
	c := &call{id: m.id, key: m.key, method: m.method, token: progressToken(m.params)}
	privileged := r.privileged[m.method]
	if privileged {
		c.action = r.nextAction()
		c.tool = methodID(m.method)
		if m.method == "tools/call" {
			c.tool = toolName(m.params)
		} else if c.tool == "" {
			c.tool = "unnamed"
		}
	}
	if bad := r.table.begin(c); bad != nil {
		return r.refuseLine(l, bad)
	}
	o := outgoing{line: l, call: c}
	if privileged {
		o.event = r.intent(c, l.text())
	} else {
		o.event = r.message(fromAgent, methodID(m.method), "", l.text())
	}
	return o, true
}

func (r *relay) admitNotification(l line, m message) (outgoing, bool) {
	if r.privileged[m.method] {
		// Some servers would carry it out all the same, and nobody would ever learn how it went.
		return r.refuseLine(l, malformed(codeInvalidRequest, "a call needs an id", nil))
	}
	o := outgoing{line: l}
	action := entry.ID("")
	if m.method == "notifications/cancelled" {
		o.cancels = memberKey(m.params, "requestId")
		action = r.table.actionOf(o.cancels)
	}
	o.event = r.message(fromAgent, methodID(m.method), action, l.text())
	return o, true
}

// refuseLine records and answers what is not forwarded.
func (r *relay) refuseLine(l line, bad *refusal) (outgoing, bool) {
	r.journal.put(len(l.raw), r.rejectLine(bad, l))
	r.answer(bad, "")
	return outgoing{}, false
}

func (r *relay) refuseStopped(m message) {
	if m.kind == request {
		r.answer(&refusal{why: "recording-unavailable", code: codeStopped, text: "the session can no longer be recorded and has been stopped", id: m.id}, "")
	}
}

// refuseCall ends a call that was not let through. The server has seen nothing of it.
func (r *relay) refuseCall(o outgoing, bad *refusal, kept bool) {
	r.table.take(o.call)
	if kept {
		r.journal.put(0, r.rejectCall(o.call))
	} else {
		r.journal.put(len(o.line.raw), r.rejectUnkept(o.call, o.line.text()))
	}
	r.answer(&refusal{why: bad.why, code: bad.code, text: bad.text, id: o.call.id}, o.call.action)
}

// forward writes a line to the server as it came.
func (r *relay) forward(o outgoing) {
	if o.cancels != "" {
		if c := r.table.cancel(o.cancels); c != nil && c.privileged() {
			// The server need not answer any more. If it does, the answer settles the action.
			r.journal.put(0, r.noResult(c, unknownOutcome))
		}
	}
	if o.call == nil {
		r.server.write(o.line.raw)
		return
	}
	outcome := unsentOutcome
	if r.table.send(o.call, r.cfg.Now()) {
		sent, ok := r.server.write(o.line.raw)
		if ok {
			return
		}
		if sent > 0 {
			outcome = unknownOutcome
		}
	}
	if r.table.take(o.call) {
		r.abandon(o.call, outcome)
	}
}
