package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// A deployment on one machine has so many witnesses, of which so many must cosign.
const (
	localWitnesses = 3
	localQuorum    = 2
)

func witnessName(n int) string { return fmt.Sprintf("witness-%d", n) }

// witnessTemplate is a witness's configuration: name, key file, address.
const witnessTemplate = `# A witness's configuration, made by steno up. Every setting: docs/witness.md
name: %s
dir: state
published: published
keys:
  ed25519: %s
logs: logs
listen:
  address: %s
logging:
  level: warn
  format: text
`

// witnesses makes the local witnesses, each of which knows the log from the start, and returns names and verifier keys.
func (d *deployment) witnesses(logKey string) (names, vkeys []string) {
	all := addresses(d.port)
	for i, address := range all[serverPorts:tsaPort] {
		name := witnessName(i + 1)
		skey, vkey, err := checkpoint.GenerateKey(checkpoint.CosignatureEd25519, "local/"+name)
		if d.err == nil {
			d.err = err
		}
		const keyFile = "ed25519.key"
		d.put(name+"/"+keyFile, skey+"\n")
		d.put(name+"/README.txt", witnessReadme)
		d.put(name+"/logs", "log "+logKey+"\n")
		d.put(name+"/"+witnessFile, fmt.Sprintf(witnessTemplate, "local/"+name, keyFile, address))
		state, published := d.path(name+"/state"), d.path(name+"/published")
		for _, dir := range []string{state, published} {
			if d.err == nil {
				d.err = durable.MkdirAll(dir, privateDirMode)
			}
		}
		if d.err == nil {
			d.err = witness.Create(state, published)
		}
		names, vkeys = append(names, name), append(vkeys, vkey)
	}
	return names, vkeys
}

// localTSA is the development authority of a deployment, in the trust file and in a directory of this name.
const localTSA = "local-tsa"

const tsaReadme = `A time-stamp authority for development. Its clock and key are yours, so its word proves nothing to others. In earnest there are two
or more, each somebody else's, under a policy that a court knows: docs/configuration.md, authorities.
`

// authority makes the development authority, and returns how the trust file pins it.
func (d *deployment) authority() (pinned timestamp.Authority) {
	if d.err != nil {
		return pinned
	}
	day := d.now.UTC().Truncate(24 * time.Hour)
	var m authority.Material
	if m, d.err = authority.Make(localTSA, authority.ECDSA, day, day.AddDate(tsaYears, 0, 0)); d.err != nil {
		return pinned
	}
	d.err = m.Write(d.path(localTSA))
	d.put(localTSA+"/README.txt", tsaReadme)
	return pinnedAuthority(localTSA, m)
}

// operatorsOf says that each witness has a master of its own, which in earnest is so.
func operatorsOf(names []string) (out []trust.Operator) {
	for _, n := range names {
		out = append(out, trust.Operator{Name: "local/" + n, Witnesses: []string{n}})
	}
	return out
}

// policyOf is the tlog-policy of a deployment.
func policyOf(logKey string, names, vkeys []string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "log %s\n", logKey)
	for i, n := range names {
		fmt.Fprintf(&b, "witness %s %s\n", n, vkeys[i])
	}
	fmt.Fprintf(&b, "group witnesses %d %s\nquorum witnesses\n", localQuorum, strings.Join(names, " "))
	return []byte(b.String())
}
