// Package mcp stands between an MCP client and an MCP server that speak over stdio, relays what they say byte for byte, and
// records it.
//
// MCP over stdio is one JSON-RPC 2.0 message a line. A line is read here only to know what it is; what goes on to the other
// side, and what is sealed into the record, are the bytes that came:
//
//	client ─► {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"write_file","arguments":{…}}}
//	          action.intent mcp-1 spooled, acknowledged by the log                        then ─► server
//	server ─► {"result":{"content":[…],"isError":false},"jsonrpc":"2.0","id":3}
//	          action.result mcp-1 spooled                                                 then ─► client
//
// INTENT-FIRST: a tools/call is not written to the server before its intent is durable in the log. Whoever reads a line
// differently from this package could smuggle one past it, so that lines which two readers may take for different things
// (a repeated or case-variant member, a bare carriage return, invalid UTF-8, a batch, anything that is not strict JSON) are
// refused and not forwarded. FAIL-CLOSED: while the log does not acknowledge, a call is answered with a JSON-RPC error and
// the server sees nothing of it. A result that has been obtained is fsynced to the spool and handed over in any case.
//
// docs/spec/mcp-capture.md says which message becomes which event, and what is refused. Nothing that client or server says
// is trusted; the Recorder is.
package mcp
