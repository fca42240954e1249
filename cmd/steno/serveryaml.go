package main

import (
	"strings"
	"text/template"

	"github.com/stenolog/steno/internal/daemon"
)

// serverTemplate is what a deployment sets; everything else is stenod's default.
const serverTemplate = `# stenod's configuration for this deployment, made by steno up. Every setting: docs/configuration.md
origin: {{.Origin}}
dir: log
guard: guard/guard
trust: trust
keys:
  log: stenod/log.key
  received: stenod/received.key
  system: stenod/system.key
witnesses:
{{- range .Witnesses}}
  - name: {{.Name}}
    url: {{.URL}}
{{- end}}
authorities: # for development: no external authority
  - name: {{.TSA}}
    url: {{.TSAURL}}
managed:
  key: stenod/managed.key
  enrolment: stenod/managed.enrolment
  secret: stenod/managed.key.secret
  recipients:
    default: # the vault, and recovery
{{- range .Recipients}}
      - {{.}}
{{- end}}
principals:
{{- range .Principals}}
  - name: {{.Name}}
    roles: [{{range .Roles}}{{.}}{{end}}]
    token_sha256: [{{range .TokenSHA256}}{{.}}{{end}}]
{{- end}}
listen:
  ingest:
    address: {{index .Addresses 0}}
  public:
    address: {{index .Addresses 1}}
  audit:
    address: {{index .Addresses 2}}
  ops:
    address: {{index .Addresses 3}}
logging:
  level: warn
  format: text
`

func (d *deployment) server(principals []daemon.Principal, recipients []string) {
	if d.err != nil {
		return
	}
	a := addresses(d.port)
	var ws []daemon.Witness
	for i, address := range a[serverPorts:tsaPort] {
		ws = append(ws, daemon.Witness{Name: witnessName(i + 1), URL: "http://" + address})
	}
	var b strings.Builder
	d.err = template.Must(template.New("").Parse(serverTemplate)).Execute(&b, struct {
		Origin     string
		Recipients []string
		Principals []daemon.Principal
		Addresses  []string
		Witnesses  []daemon.Witness
		TSA        string
		TSAURL     string
	}{d.origin, recipients, principals, a[:serverPorts], ws, localTSA, "http://" + a[tsaPort]})
	d.put(serverFile, b.String())
}
