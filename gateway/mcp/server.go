package mcp

// incoming is a line of the server on its way to the client.
type incoming struct {
	line line
	// result of an action must be on disk before it is handed over
	result *ticket
}

// serveServer takes what the server has sent since it last looked, until it ends.
func (r *relay) serveServer() {
	for {
		batch, ok := r.fromServer.takeAll()
		if !ok {
			return
		}
		var in []incoming
		for _, l := range batch {
			if i, ok := r.receive(l); ok {
				in = append(in, i)
			}
		}
		for _, i := range in {
			r.hand(i)
		}
		if r.client.failed.Load() { // nobody is there for whom the server should do more
			r.fromClient.close()
		}
	}
}

// hand passes a line on to the client. A result that could not be kept goes too: withholding it would make the agent do
// things twice. The session then takes no more calls, see journal.broken.
func (r *relay) hand(i incoming) {
	if i.result != nil {
		if err := i.result.wait(); err != nil {
			r.cfg.Logger.Error("result handed over unrecorded", "error", err.Error())
		}
	}
	r.client.write(i.line.raw)
}

// receive reads a line and records it. It is false if the line goes no further: what is no message, or answers nothing
// that was sent. A client could take such an answer for that of a call which the server has not even seen.
func (r *relay) receive(l line) (incoming, bool) {
	if l.blank() {
		return incoming{}, false
	}
	m, bad := message{}, (*refusal)(nil)
	if !l.tooLong {
		m, bad = parse(l.text(), false)
	}
	if l.tooLong || bad != nil {
		return r.drop(l)
	}
	switch m.kind {
	case request:
		r.table.ask(m.key)
		r.journal.put(len(l.raw), r.message(toAgent, methodID(m.method), "", l.text()))
		return incoming{line: l}, true
	case notification:
		r.receiveNotification(l, m)
		return incoming{line: l}, true
	}
	return r.receiveResponse(l, m)
}

func (r *relay) drop(l line) (incoming, bool) {
	r.journal.put(len(l.raw), r.dropped(toAgent, l.text()))
	return incoming{}, false
}

func (r *relay) receiveNotification(l line, m message) {
	if m.method == "notifications/progress" {
		if action, n, ok := r.table.progress(memberKey(m.params, "progressToken")); ok {
			r.journal.put(len(l.raw), r.output(action, n, l.text()))
			return
		}
	}
	r.journal.put(len(l.raw), r.message(toAgent, methodID(m.method), "", l.text()))
}

func (r *relay) receiveResponse(l line, m message) (incoming, bool) {
	if m.id == nil || m.id[0] == 'n' { // an error about a line whose id the server could not read
		r.journal.put(len(l.raw), r.message(toAgent, "", "", l.text()))
		return incoming{line: l}, true
	}
	c, late := r.table.answered(m.key)
	switch {
	case c == nil:
		return r.drop(l)
	case c.privileged() && late:
		return incoming{line: l, result: r.journal.put(len(l.raw), r.settle(c, m, l.text()))}, true
	case c.privileged():
		return incoming{line: l, result: r.journal.put(len(l.raw), r.result(c, m, l.text()))}, true
	case c.method == "tools/list" && m.result != nil:
		r.putCatalog(m.result)
	case c.method == "resources/read" && m.result != nil:
		r.journal.put(len(l.raw), r.retrieval(l.text()))
	default:
		r.journal.put(len(l.raw), r.message(toAgent, methodID(c.method), "", l.text()))
	}
	return incoming{line: l}, true
}
