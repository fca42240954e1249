package mcp

import "github.com/stenolog/steno/entry"

// Outcomes of calls that got no answer.
var (
	unknownOutcome = entry.Outcome{Transport: "unknown", Protocol: "unknown", Tool: "unknown"}
	unsentOutcome  = entry.Outcome{Transport: "failed", Protocol: "unknown", Tool: "unknown"}
)

// outcomeOf reads the three layers from the answer to a call, and the code of a JSON-RPC error. It is the server's word.
func outcomeOf(m message) (entry.Outcome, int64) {
	if m.fault != nil {
		var code int64
		each(m.fault, func(n string, v []byte) {
			if n == "code" {
				if c, ok := integer(v); ok {
					code = c
				}
			}
		})
		o := entry.Outcome{Transport: "ok", Protocol: "error", Tool: "unknown"}
		switch code {
		case -32600, -32601, -32602: // invalid request, no such method, invalid params or unknown tool: it did not run
			o.Tool = "rejected"
		}
		return o, code
	}
	return entry.Outcome{Transport: "ok", Protocol: "ok", Tool: toolOutcome(m.result)}, 0
}

// toolOutcome is success or failure by isError. It is unknown where the server has not done the work yet (MCP 2026-07-28:
// resultType input_required; 2025-11-25: a task) or says two things.
func toolOutcome(result []byte) entry.ID {
	if len(result) == 0 || result[0] != '{' {
		return "unknown"
	}
	outcome, flags := entry.ID("success"), 0
	pending, task, content := false, false, false
	each(result, func(n string, v []byte) {
		switch n {
		case "isError":
			flags++
			switch {
			case flags > 1 || string(v) != "true" && string(v) != "false":
				outcome = "unknown"
			case string(v) == "true":
				outcome = "failure"
			}
		case "resultType":
			kind, _ := text(v)
			pending = pending || kind != "complete"
		case "content":
			content = true
		case "task":
			task = true
		}
	})
	if pending || task && !content {
		return "unknown"
	}
	return outcome
}
