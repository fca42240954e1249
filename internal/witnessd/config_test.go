package witnessd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/internal/witnessd"
)

const minimal = `
name: witness.acme.example/w1
dir: state
published: published
keys: {ed25519: keys/ed25519.key}
listen: {address: "0.0.0.0:7820"}
`

func TestParse(t *testing.T) {
	c, err := witnessd.Parse([]byte(minimal+"logs: logs\nlimits: {rate: 3.5, body_timeout: 2m30s, max_header: 3KiB}\n"), "/etc/w")
	if err != nil {
		t.Fatal(err)
	}
	want := witnessd.Default()
	if c.Dir != "/etc/w/state" || c.Published != "/etc/w/published" || c.Keys.Ed25519 != "/etc/w/keys/ed25519.key" || c.Keys.MLDSA44 != "" ||
		c.Logs != "/etc/w/logs" || c.Limits.Rate != 3.5 || time.Duration(c.Limits.BodyTimeout) != 150*time.Second ||
		c.Limits.MaxHeader != 3<<10 || c.Limits.Burst != want.Limits.Burst || c.Logging != want.Logging {
		t.Errorf("got %+v", c)
	}
}

func TestParse_refuses(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(minimal, old) {
			t.Fatalf("nothing like %q", old)
		}
		return strings.Replace(minimal, old, new, 1)
	}
	for name, c := range map[string]struct{ text, says string }{
		"unknown setting":         {minimal + "colour: red\n", "colour"},
		"unknown inner setting":   {minimal + "ops: {token: x}\n", "token"},
		"setting twice":           {minimal + "dir: other\n", "already defined"},
		"two documents":           {minimal + "---\n" + minimal, "more than one"},
		"empty":                   {"", "EOF"},
		"duration without unit":   {minimal + "shutdown: 30\n", "unit"},
		"bytes without unit":      {minimal + "limits: {max_header: 100}\n", "KiB"},
		"no timeout":              {minimal + "limits: {idle_timeout: 0s}\n", "positive"},
		"no rate":                 {minimal + "limits: {rate: 0}\n", "limits.rate"},
		"rate that is no number":  {minimal + "limits: {rate: .nan}\n", "limits.rate"},
		"no burst":                {minimal + "limits: {burst: -1}\n", "limits.burst"},
		"no connections":          {minimal + "limits: {connections: 0}\n", "limits.connections"},
		"level":                   {minimal + "logging: {level: loud}\n", "logging.level"},
		"format":                  {minimal + "logging: {format: xml}\n", "logging.format"},
		"no name":                 {with("name: witness.acme.example/w1", ""), "name"},
		"name with a plus":        {with("w1", "w+1"), "name"},
		"no dir":                  {with("dir: state", ""), "dir is missing"},
		"no published":            {with("published: published", ""), "published is missing"},
		"no key":                  {with("{ed25519: keys/ed25519.key}", "{}"), "one is needed"},
		"no address":              {with(`{address: "0.0.0.0:7820"}`, "{}"), "address is missing"},
		"no port":                 {with("0.0.0.0:7820", "0.0.0.0"), "HOST:PORT"},
		"certificate, no key":     {with(`:7820"`, `:7820", tls: {certificate: x}`), "needs both"},
		"clients, no certificate": {with(`:7820"`, `:7820", tls: {client_ca: x}`), "client_ca is nothing"},
		"ops on a network":        {minimal + "ops: {address: '0.0.0.0:7821'}\n", "plaintext: true"},
		"one address twice":       {minimal + "ops: {address: '0.0.0.0:7820', plaintext: true}\n", "has the address"},
	} {
		if _, err := witnessd.Parse([]byte(c.text), t.TempDir()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", name, err, c.says)
		}
	}
	if _, err := witnessd.Parse([]byte(minimal+"ops: {address: '0.0.0.0:7821', plaintext: true}\n"), t.TempDir()); err != nil {
		t.Error(err)
	}
}

// One copy of both directories, restored later, would be two old states that agree.
func TestParse_ONEHISTORY_stateAndPublishedAreApart(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"a", "a"}, {"a", "a/b"}, {"a/b", "a"}, {"a", "b/../a/c"}, {"a", "./a"}, {"real", "link"}, {"real", "link/x/y"}, {"link/x", "real"},
		{"a", "."}, {filepath.Join(dir, "a"), "a"},
	} {
		text := strings.NewReplacer("dir: state", "dir: "+c[0], "published: published", "published: "+c[1]).Replace(minimal)
		if _, err := witnessd.Parse([]byte(text), dir); err == nil || !strings.Contains(err.Error(), "not apart") {
			t.Errorf("%q and %q: %v", c[0], c[1], err)
		}
	}
	for _, c := range [][2]string{{"a", "ab"}, {"a/b", "a/c"}, {"real", "link2"}, {"a", "..b"}} {
		text := strings.NewReplacer("dir: state", "dir: "+c[0], "published: published", "published: "+c[1]).Replace(minimal)
		if _, err := witnessd.Parse([]byte(text), dir); err != nil {
			t.Errorf("%q and %q: %v", c[0], c[1], err)
		}
	}
}

// docs/witness.md has the table that the code has.
func TestReference(t *testing.T) {
	doc, err := os.ReadFile("../../docs/witness.md")
	if err != nil || !strings.Contains(string(doc), witnessd.Reference()) {
		t.Errorf("%v: docs/witness.md does not have this table:\n%s", err, witnessd.Reference())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte(minimal + "shutdown: 3h\nlimits: {max_header: 2147483647GiB, rate: 1e300}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := witnessd.Parse(b, "/x")
		if err != nil {
			return
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := witnessd.Parse(text, "/x"); err != nil {
			t.Fatalf("%v in what was written:\n%s", err, text)
		}
	})
}
