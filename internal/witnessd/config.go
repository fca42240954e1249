// Package witnessd makes a running witness of a configuration, and is the command steno-witness. It is wiring: what a
// witness does, and why, stands in package witness.
//
//	DIR         the state: what was promised. Never restored from a copy.
//	PUBLISHED   what left the witness, against which the state is checked at every start; never in or around DIR
//	LOGS        a file with a verifier key of a log on each line, to which lines are only added
package witnessd

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/stenolog/steno/internal/yamlconf"
	"github.com/stenolog/steno/witness"
)

// Defaults that belong to no package beneath.
const (
	DefaultConnections   = 1024             // at once
	DefaultHeaderTimeout = 5 * time.Second  // until a request's header is there
	DefaultBodyTimeout   = 15 * time.Second // until all of a request is there: 64 KiB at most
	DefaultWriteTimeout  = 30 * time.Second // from the header until the answer is sent
	DefaultIdleTimeout   = 2 * time.Minute  // between requests of a connection: logs keep theirs
	DefaultMaxHeader     = 8 << 10          // bytes of a request's header
	DefaultShutdown      = 10 * time.Second // for requests in flight
	DefaultLogLevel      = "info"
	DefaultLogFormat     = "json"
)

// Config is a witness's configuration, as its YAML file has it. The tag doc says what docs/witness.md says.
type Config struct {
	Name      string            `yaml:"name" doc:"name of the witness, which its keys have"`
	Dir       string            `yaml:"dir" doc:"directory of the state: what the witness promised; never restored from a copy"`
	Published string            `yaml:"published" doc:"directory of what left the witness; not in dir nor around it, best on another disk"`
	Keys      Keys              `yaml:"keys"`
	Logs      string            `yaml:"logs" doc:"file with the logs' keys, one a line, read at the start and on SIGHUP; adds only; absent: logs are added by command alone"`
	Listen    Listen            `yaml:"listen"`
	Ops       Ops               `yaml:"ops"`
	Limits    Limits            `yaml:"limits"`
	Logging   Logging           `yaml:"logging"`
	Shutdown  yamlconf.Duration `yaml:"shutdown" doc:"time for requests in flight when the witness ends"`
}

// Keys are files with secret keys, which nobody but the witness's user can read. One at least is there.
type Keys struct {
	Ed25519 string `yaml:"ed25519" doc:"cosigns with Ed25519"`
	MLDSA44 string `yaml:"ml_dsa_44" doc:"cosigns with ML-DSA-44"`
}

// Listen says where logs and monitors ask. Nothing that is said there is secret, and every answer is signed or a mere claim:
// so it needs no TLS on any address. With TLS nobody on the way can claim sizes in the witness's place; with client_ca
// only the logs that hold a certificate can load it.
type Listen struct {
	Address string `yaml:"address" doc:"HOST:PORT; for logs and monitors"`
	TLS     TLS    `yaml:"tls"`
}

// TLS names PEM files: certificate and key, or none. They are read again on SIGHUP.
type TLS struct {
	Certificate string `yaml:"certificate" doc:"PEM file of the chain; absent: HTTP in clear, which carries nothing secret"`
	Key         string `yaml:"key" doc:"PEM file of the key"`
	ClientCA    string `yaml:"client_ca" doc:"PEM file of the authorities of client certificates; absent: clients need none"`
}

// Ops is the listener for operators: /healthz and /metrics.
type Ops struct {
	Address   string `yaml:"address" doc:"HOST:PORT of /healthz and /metrics; absent: off"`
	Plaintext bool   `yaml:"plaintext" doc:"allows an address that is not loopback: whoever reaches it sees the counts, and what is wrong"`
}

// Limits bound what strangers can make the witness do.
type Limits struct {
	Rate          float64           `yaml:"rate" doc:"signed requests per second of a log"`
	Burst         int               `yaml:"burst" doc:"signed requests of a log at once"`
	Connections   int               `yaml:"connections" doc:"at once; the others wait"`
	HeaderTimeout yamlconf.Duration `yaml:"header_timeout" doc:"until a request's header is there"`
	BodyTimeout   yamlconf.Duration `yaml:"body_timeout" doc:"until all of it is there"`
	WriteTimeout  yamlconf.Duration `yaml:"write_timeout" doc:"from the header until the answer is sent"`
	IdleTimeout   yamlconf.Duration `yaml:"idle_timeout" doc:"between requests of a connection"`
	MaxHeader     yamlconf.Bytes    `yaml:"max_header" doc:"of a request's header"`
}

// Logging is the witness's own log, on stderr.
type Logging struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error"`
	Format string `yaml:"format" doc:"json or text"`
}

// Default is a configuration with every default, and nothing else.
func Default() Config {
	return Config{
		Limits: Limits{
			Rate: witness.DefaultRate, Burst: witness.DefaultBurst, Connections: DefaultConnections,
			HeaderTimeout: yamlconf.Duration(DefaultHeaderTimeout), BodyTimeout: yamlconf.Duration(DefaultBodyTimeout),
			WriteTimeout: yamlconf.Duration(DefaultWriteTimeout), IdleTimeout: yamlconf.Duration(DefaultIdleTimeout),
			MaxHeader: DefaultMaxHeader,
		},
		Logging:  Logging{DefaultLogLevel, DefaultLogFormat},
		Shutdown: yamlconf.Duration(DefaultShutdown),
	}
}

// Reference is the table of every setting, as docs/witness.md has it.
func Reference() string { return yamlconf.Reference(Default()) }

// Parse reads a configuration strictly, over the defaults, and checks it. Paths are taken relative to base.
func Parse(b []byte, base string) (Config, error) {
	c := Default()
	if err := yamlconf.Decode(b, &c); err != nil {
		return c, err
	}
	for _, p := range []*string{&c.Dir, &c.Published, &c.Logs, &c.Keys.Ed25519, &c.Keys.MLDSA44,
		&c.Listen.TLS.Certificate, &c.Listen.TLS.Key, &c.Listen.TLS.ClientCA} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	return c, c.Check()
}

// Load reads the configuration in a file. Paths in it are relative to the file.
func Load(path string) (Config, error) {
	b, err := yamlconf.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	c, err := Parse(b, filepath.Dir(path))
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
