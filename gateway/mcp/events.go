package mcp

import (
	"crypto/sha256"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

const (
	fromAgent entry.ID = "from-agent"
	toAgent   entry.ID = "to-agent"
	protocol  entry.ID = "mcp"

	// methodDropped stands in place of the method of a line that was recorded and not relayed. A method that a peer sends
	// under this prefix is not written in clear.
	methodDropped entry.ID = "steno/dropped"
)

// sealed is an event with one payload. Set puts it into the struct of the event's type.
func (r *relay) sealed(t entry.Type, slot string, media payload.Media, b []byte, set func(*entry.Payload) any) recorder.Event {
	return recorder.Event{Type: t, Time: entry.TimeOf(r.cfg.Now()), Build: func(seal recorder.Seal) (any, error) {
		p, err := seal(slot, media, payload.Content, b)
		if err != nil {
			return nil, err
		}
		return set(p), nil
	}}
}

func (r *relay) plain(t entry.Type, v any) recorder.Event {
	ev := recorder.Plain(t, v)
	ev.Time = entry.TimeOf(r.cfg.Now())
	return ev
}

func (r *relay) message(direction, method, action entry.ID, b []byte) recorder.Event {
	return r.sealed(entry.TypeMessage, "content", payload.JSON, b, func(p *entry.Payload) any {
		return entry.Message{Direction: direction, Protocol: protocol, Method: method, Action: action, Content: p}
	})
}

// dropped is a line that was not relayed.
func (r *relay) dropped(direction entry.ID, b []byte) recorder.Event {
	return r.sealed(entry.TypeMessage, "content", payload.Text, b, func(p *entry.Payload) any {
		return entry.Message{Direction: direction, Protocol: protocol, Method: methodDropped, Content: p}
	})
}

func (r *relay) intent(c *call, b []byte) recorder.Event {
	return r.sealed(entry.TypeActionIntent, "params", payload.JSON, b, func(p *entry.Payload) any {
		return entry.ActionIntent{Action: c.action, Tool: c.tool, Protocol: protocol, Method: methodID(c.method), Params: p}
	})
}

// rejectLine is for what was refused before there was an intent.
func (r *relay) rejectLine(bad *refusal, l line) recorder.Event {
	action := r.nextAction()
	b, why := l.text(), []byte(bad.text)
	return recorder.Event{Type: entry.TypeActionReject, Time: entry.TimeOf(r.cfg.Now()), Build: func(seal recorder.Seal) (any, error) {
		params, err := seal("params", payload.JSON, payload.Content, b)
		if err != nil {
			return nil, err
		}
		detail, err := seal("detail", payload.Text, payload.Content, why)
		return entry.ActionReject{Action: action, By: "gateway", Why: bad.why, Params: params, Detail: detail}, err
	}}
}

// rejectCall is for a call whose intent is there, and was not acknowledged.
func (r *relay) rejectCall(c *call) recorder.Event {
	return r.plain(entry.TypeActionReject, entry.ActionReject{Action: c.action, Tool: c.tool, By: "recorder", Why: "recording-unavailable"})
}

// rejectUnkept is for a call whose intent could not be kept: it has the parameters instead.
func (r *relay) rejectUnkept(c *call, b []byte) recorder.Event {
	return r.sealed(entry.TypeActionReject, "params", payload.JSON, b, func(p *entry.Payload) any {
		return entry.ActionReject{Action: c.action, Tool: c.tool, By: "recorder", Why: "recording-unavailable", Params: p}
	})
}

func (r *relay) result(c *call, m message, b []byte) recorder.Event {
	outcome, code := outcomeOf(m)
	took := r.since(c)
	return r.sealed(entry.TypeActionResult, "response", payload.JSON, b, func(p *entry.Payload) any {
		return entry.ActionResult{Action: c.action, Outcome: outcome, Code: code, Response: p, DurationUS: took}
	})
}

// settle is for an answer after the client had cancelled the call.
func (r *relay) settle(c *call, m message, b []byte) recorder.Event {
	outcome, _ := outcomeOf(m)
	return r.sealed(entry.TypeActionSettle, "response", payload.JSON, b, func(p *entry.Payload) any {
		return entry.ActionSettle{Action: c.action, Outcome: outcome, Known: "told", Response: p}
	})
}

// noResult is for a call that got no answer.
func (r *relay) noResult(c *call, outcome entry.Outcome) recorder.Event {
	return r.plain(entry.TypeActionResult, entry.ActionResult{Action: c.action, Outcome: outcome, DurationUS: r.since(c)})
}

func (r *relay) since(c *call) uint64 {
	return uint64(max(0, r.cfg.Now().Sub(c.started)/time.Microsecond))
}

func (r *relay) output(action entry.ID, n uint64, b []byte) recorder.Event {
	return r.sealed(entry.TypeActionOutput, "content", payload.JSON, b, func(p *entry.Payload) any {
		return entry.ActionOutput{Action: action, Stream: "progress", N: n, Content: p}
	})
}

func (r *relay) retrieval(b []byte) recorder.Event {
	at := entry.TimeOf(r.cfg.Now())
	return r.sealed(entry.TypeInput, "content", payload.JSON, b, func(p *entry.Payload) any {
		return entry.Input{Kind: "retrieval", Source: r.cfg.Source, Retrieved: at, Content: p}
	})
}

func (r *relay) failureMode(now OnFailure) recorder.Event {
	return r.plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "failure-mode", OnFailure: entry.ID(now)})
}

// maxCatalogs bounds how many different catalogues are remembered for same_as.
const maxCatalogs = 64

// putCatalog records an answer to tools/list: the exact bytes of its result, or where these stand already. Only a
// catalogue that is on disk is referred to.
func (r *relay) putCatalog(result []byte) {
	var tools uint64
	each(result, func(n string, v []byte) {
		if n == "tools" {
			tools = count(v)
		}
	})
	digest := sha256.Sum256(result)
	if earlier := r.catalogs[digest]; earlier != nil && earlier.wait() == nil {
		at := earlier.place
		r.journal.put(0, r.plain(entry.TypeCatalog, entry.Catalog{Source: r.cfg.Source, Count: tools, SameAs: &at}))
		return
	}
	if len(r.catalogs) == maxCatalogs {
		clear(r.catalogs)
	}
	r.catalogs[digest] = r.journal.put(len(result), r.sealed(entry.TypeCatalog, "content", payload.JSON, result, func(p *entry.Payload) any {
		return entry.Catalog{Source: r.cfg.Source, Count: tools, Content: p}
	}))
}
