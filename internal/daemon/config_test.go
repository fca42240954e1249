package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log"
)

const digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

const minimal = `
origin: log.acme.example/prod
dir: data
guard: guard/guard.db
trust: trust
keys: {log: keys/log.key, received: keys/received.key, system: keys/system.key}
listen: {ingest: {address: "127.0.0.1:0"}}
`

func TestParse(t *testing.T) {
	c, err := daemon.Parse([]byte(minimal+`
principals:
  - {name: gw, roles: [recorder, operator], token_sha256: [`+digest+`]}
log: {checkpoint_interval: 2m30s, queue_bytes: 3MiB}
witnesses:
  - {name: w1, url: "https://w1.example/", ca: ca.pem, tls: {certificate: c.pem, key: /k.pem}}
  - {name: bank.example}
`), "/etc/steno")
	if err != nil {
		t.Fatal(err)
	}
	want := daemon.Default()
	if c.Dir != "/etc/steno/data" || !slices.Equal(c.Keys.Log, daemon.Files{"/etc/steno/keys/log.key"}) || c.Log.CheckpointInterval.String() != "2m30s" ||
		c.Log.QueueBytes != 3<<20 || c.Limits != want.Limits || c.Log.Queue != want.Log.Queue || c.Managed != nil {
		t.Errorf("got %+v", c)
	}
	if w := (daemon.Witness{Name: "w1", URL: "https://w1.example/", CA: "/etc/steno/ca.pem", TLS: daemon.TLS{Certificate: "/etc/steno/c.pem", Key: "/k.pem"}}); len(c.Witnesses) != 2 || c.Witnesses[0] != w {
		t.Errorf("got %+v", c.Witnesses)
	}
	again, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	c2, err := daemon.Parse(again, "/elsewhere")
	if err != nil {
		t.Fatalf("%v in\n%s", err, again)
	}
	d1, err1 := c.Digest()
	d2, err2 := c2.Digest()
	if d1 != d2 || err1 != nil || err2 != nil {
		t.Errorf("read again it is another configuration:\n%s", again)
	}
}

func TestParse_refuses(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"unknown setting":       {minimal + "colour: red\n", "colour"},
		"unknown inner setting": {minimal + "log: {size: 3}\n", "size"},
		"setting twice":         {minimal + "dir: other\n", "already defined"},
		"two documents":         {minimal + "---\n" + minimal, "more than one"},
		"empty":                 {"", "EOF"},
		"duration without unit": {minimal + "shutdown: 30\n", "unit"},
		"negative duration":     {minimal + "shutdown: -3s\n", "positive"},
		"bytes without unit":    {minimal + "limits: {max_body: 100}\n", "KiB"},
		"bytes of 1000":         {minimal + "limits: {max_body: 1MB}\n", "KiB"},
		"no queue":              {minimal + "log: {queue: 0}\n", "log.queue"},
		"body over budget":      {minimal + "limits: {max_body: 1GiB}\n", "in_flight"},
		"level":                 {minimal + "logging: {level: loud}\n", "logging.level"},
		"digest of a token":     {minimal + "principals: [{name: a, roles: [recorder], token_sha256: [steno_recorder_abc]}]\n", "hexadecimal"},
		"guard inside":          {strings.Replace(minimal, "guard/guard.db", "data/guard.db", 1), "inside"},
		"guard inside, dotted":  {strings.Replace(minimal, "guard/guard.db", "guard/../data/x/guard.db", 1), "inside"},
		"no origin":             {strings.Replace(minimal, "origin: log.acme.example/prod", "", 1), "origin"},
		"no dir":                {strings.Replace(minimal, "dir: data", "", 1), "dir is missing"},
		"no listener":           {strings.Replace(minimal, `{address: "127.0.0.1:0"}`, "{}", 1), "no listener"},
		"clear over a network":  {strings.Replace(minimal, "127.0.0.1:0", "0.0.0.0:7801", 1), "in clear"},
		"one address twice":     {strings.Replace(minimal, "ingest:", `ops: {address: "127.0.0.1:9"}, ingest:`, 1) + "", ""},
		"certificate, no key":   {strings.Replace(minimal, `"127.0.0.1:0"`, `"127.0.0.1:0", tls: {certificate: x}`, 1), "both"},
		"no log key":            {strings.Replace(minimal, "log: keys/log.key", `log: ""`, 1), "file"},
		"empty list of keys":    {strings.Replace(minimal, "log: keys/log.key", "log: []", 1), "keys.log is missing"},
		"map of keys":           {strings.Replace(minimal, "log: keys/log.key", "log: {a: b}", 1), "list of files"},
		"witness without name":  {minimal + "witnesses: [{url: \"https://w.example\"}]\n", "no name"},
		"witness twice":         {minimal + "witnesses: [{name: w}, {name: w}]\n", "of two"},
		"witness, half of tls":  {minimal + "witnesses: [{name: w, tls: {key: k}}]\n", "both"},
		"managed without files": {minimal + "managed: {key: k}\n", "managed.enrolment is missing"},
	} {
		if name == "one address twice" {
			c.text, c.says = strings.Replace(c.text, "127.0.0.1:0", "127.0.0.1:9", 1), "has the address"
		}
		if _, err := daemon.Parse([]byte(c.text), t.TempDir()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", name, err, c.says)
		}
	}
}

// AG-305 4.3: who records or operates does not read.
func TestParse_forbiddenPairs(t *testing.T) {
	for _, roles := range []string{"recorder, auditor", "auditor, operator", "operator, recorder, auditor"} {
		_, err := daemon.Parse([]byte(minimal+"principals: [{name: a, roles: ["+roles+"]}]\n"), t.TempDir())
		var pair *access.PairError
		if !errors.As(err, &pair) {
			t.Errorf("%s: %v", roles, err)
		}
	}
}

func TestParse_guardBehindALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("data", filepath.Join(dir, "guard")); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Parse([]byte(minimal), dir); !errors.Is(err, log.ErrGuardInside) {
		t.Errorf("got %v", err)
	}
}

// docs/configuration.md has the table that the code has.
func TestReference(t *testing.T) {
	if doc := readFile(t, "../../docs/configuration.md"); !strings.Contains(doc, daemon.Reference()) {
		t.Errorf("docs/configuration.md does not have this table:\n%s", daemon.Reference())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte(minimal + "shutdown: 3h\nlimits: {max_body: 2147483647GiB}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := daemon.Parse(b, "/x")
		if err != nil {
			return
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := daemon.Parse(text, "/x"); err != nil {
			t.Fatalf("%v in what was written:\n%s", err, text)
		}
	})
}
