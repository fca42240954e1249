package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// A next is what steno up knows when it says what to do next.
type next struct {
	Program, Dir, Origin, Ingest, Audit, Ops string
	Witnesses                                witnesses
}

func (n next) RecorderToken() string { return filepath.Join(n.Dir, recorderToken) }
func (n next) OperatorToken() string { return filepath.Join(n.Dir, operatorToken) }
func (n next) VaultKey() string      { return filepath.Join(n.Dir, vaultKey) }
func (n next) TrustFile() string     { return filepath.Join(n.Dir, trustFile) }

// DirFlag is what the other commands need to find the deployment.
func (n next) DirFlag() string {
	if n.Dir == defaultDir {
		return ""
	}
	return " --dir " + quote(n.Dir)
}

// nextTemplate holds commands that can be copied as they are into another shell in the same directory. A test does so.
const nextTemplate = `
The log {{.Origin}} takes recordings at {{.Ingest}} and is read at {{.Audit}}.
{{- range .Witnesses}}
{{.Name}}, process {{.PID}}, cosigns at http://{{.Address}}
{{- end}}
In another shell, in this directory:

# Record a whole small session in one request.
curl -sS {{.Ingest}}/v1/records -H "Authorization: Bearer $(cat {{quote .RecorderToken}})" -H 'Content-Type: application/json' -d '{
  "session": {"agent": "acme/ledger-bot", "privilege": "financial", "purpose": "post the rent of November", "principal": "ops@acme.example"},
  "events": [
    {"event": "input", "kind": "user", "content": "Please post the rent."},
    {"event": "action.intent", "action": "a-1", "tool": "ledger.post", "params": {"account": "rent", "amount": "1200.00"}},
    {"event": "action.result", "action": "a-1", "outcome": {"transport": "ok", "protocol": "ok", "tool": "success"}, "response": {"journal": 4711}}
  ],
  "close": {"outcome": "completed"}}'

# Or event by event, as it happens: open a session, record what is about to be done, do it, record what came of it, close.
SESSION=$(curl -sS {{.Ingest}}/v1/sessions -H "Authorization: Bearer $(cat {{quote .RecorderToken}})" -H 'Content-Type: application/json' -H 'Prefer: return=minimal' -d '{"agent": "acme/ledger-bot", "privilege": "financial", "purpose": "post the rent of December"}' | sed -E 's/.*"session": ?"([^"]*)".*/\1/')
curl -sS {{.Ingest}}/v1/sessions/$SESSION/events -H "Authorization: Bearer $(cat {{quote .RecorderToken}})" -H 'Content-Type: application/json' -d '{"event": "action.intent", "action": "a-1", "tool": "ledger.post", "params": {"account": "rent", "amount": "1200.00"}}'
curl -sS {{.Ingest}}/v1/sessions/$SESSION/events -H "Authorization: Bearer $(cat {{quote .RecorderToken}})" -H 'Content-Type: application/json' -d '{"event": "action.result", "action": "a-1", "outcome": {"transport": "ok", "protocol": "ok", "tool": "failure"}, "response": "no such account"}'
curl -sS {{.Ingest}}/v1/sessions/$SESSION/close -H "Authorization: Bearer $(cat {{quote .RecorderToken}})" -H 'Content-Type: application/json' -d '{"outcome": "failed"}'

# See what was recorded, with the vault's key to open it; take it away; prove it, without the server.
{{.Program}} session list{{.DirFlag}}
{{.Program}} session show{{.DirFlag}} $SESSION --identity {{quote .VaultKey}}
{{.Program}} evidence{{.DirFlag}} $SESSION -o december.steno --identity {{quote .VaultKey}}
{{.Program}} verify --trust {{quote .TrustFile}} december.steno

# An MCP server, recorded: put this where your agent's configuration starts the server.
#   {{.Program}} record mcp{{.DirFlag}} --agent acme/coder --privilege production-write --purpose 'tidy up' -- npx -y @modelcontextprotocol/server-filesystem .

# The witnesses are processes of their own, and two of three must cosign. What happens when they don't: stop two (kill PID),
# record something, see what the server says of itself, and start them again.
#   curl -sS '{{.Ingest}}/v1/records?wait=witnessed' …
#   curl -sS {{.Ops}}/healthz -H "Authorization: Bearer $(cat {{quote .OperatorToken}})"
{{- range .Witnesses}}
#   {{.Command}}
{{- end}}

Stop with Ctrl-C.
`

// program is how this program was called, for others to call it.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return "steno"
	}
	if strings.Contains(path, string(filepath.Separator)+"go-build") { // go run
		return "go run ./cmd/steno"
	}
	if found, err := exec.LookPath("steno"); err == nil && found == path {
		return "steno"
	}
	return quote(path)
}

func writeNext(w io.Writer, n next) error {
	t := template.Must(template.New("").Funcs(template.FuncMap{"quote": quote}).Parse(nextTemplate))
	return t.Execute(w, n)
}
