package daemon

import "github.com/stenolog/steno/internal/yamlconf"

// Reference is the table of every setting, as docs/configuration.md has it.
func Reference() string {
	d := Default()
	d.Managed = new(Managed)
	d.Principals = []Principal{{}}
	d.Witnesses = []Witness{{}}
	d.Authorities = []Authority{{Accuracy: Duration(DefaultAccuracy)}}
	return yamlconf.Reference(d)
}
