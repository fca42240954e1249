// Package daemon makes a running steno server of a configuration, and takes it down again in order. It is wiring: what the
// parts do, and why, stands in the parts.
//
// Everything of one log lies in one directory, but the guard:
//
//	DIR/lease, lease.epoch   one process at a time
//	DIR/log                  Tessera's tree
//	DIR/archive              every published checkpoint
//	DIR/blobs                sealed payloads
//	DIR/keyring/keyring.db   wrapped keys: not to be kept in backups that outlive them
//	DIR/state                heads.db and index.db, derived: deleting them costs a rebuild
//	GUARD                    the last checkpoint that was signed; never inside DIR
package daemon

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/internal/yamlconf"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recording"
)

// Defaults that belong to no package beneath.
const (
	DefaultFloorBytes       = 512 << 20        // free on the disks of log and guard, below which the log takes nothing
	DefaultFloorInodes      = 4096             // likewise
	DefaultCheckpointFactor = 10               // intervals until a leaf that no checkpoint covers makes the server unhealthy
	DefaultIndexLag         = 100_000          // entries that the index may be behind
	DefaultShutdown         = 30 * time.Second // for requests in flight, and for the last checkpoint
	DefaultLogLevel         = "info"
	DefaultLogFormat        = "json"
)

// Config is a server's configuration, as its YAML file has it. The tag doc says what docs/configuration.md says.
type Config struct {
	Origin      string      `yaml:"origin" doc:"name of the log: first line of its checkpoints and name of its key"`
	Dir         string      `yaml:"dir" doc:"directory of the log"`
	Guard       string      `yaml:"guard" doc:"file of the guard; never inside dir, best on another disk"`
	Trust       string      `yaml:"trust" doc:"file of the keys that verifiers of this log pin (docs/spec/trust.md)"`
	Succeeds    string      `yaml:"succeeds" doc:"file with the last known checkpoint of the log that this one succeeds"`
	Keys        Keys        `yaml:"keys"`
	Witnesses   []Witness   `yaml:"witnesses" doc:"where the witnesses of the trust file's policy are asked; absent: where the policy says"`
	Authorities []Authority `yaml:"authorities" doc:"time-stamp authorities (RFC 3161) that stamp the log's checkpoints; absent: none"`
	Anchors     Anchors     `yaml:"anchors"`
	Managed     *Managed    `yaml:"managed" doc:"absent: no managed recording"`
	Principals  []Principal `yaml:"principals" doc:"who may do what"`
	Listen      Listen      `yaml:"listen"`
	Log         LogConfig   `yaml:"log"`
	Limits      Limits      `yaml:"limits"`
	Disk        Disk        `yaml:"disk"`
	Health      Health      `yaml:"health"`
	Logging     Logging     `yaml:"logging"`
	Shutdown    Duration    `yaml:"shutdown" doc:"time for requests in flight when the server ends"`
}

// Keys are files with secret keys, which nobody but the server's user can read.
type Keys struct {
	Log      Files  `yaml:"log" doc:"signs checkpoints; a list while a key rotates: all of them sign"`
	LogMLDSA Files  `yaml:"log_ml_dsa" doc:"signs checkpoints too, with ML-DSA-44; absent: none does"`
	Received string `yaml:"received" doc:"signs receipts"`
	System   string `yaml:"system" doc:"signs the log's own entries"`
}

// Files are one file or a list of them.
type Files []string

// UnmarshalYAML reads a name or a list of names.
func (f *Files) UnmarshalYAML(n *yaml.Node) error {
	var list []string
	err := n.Decode(&list)
	if err != nil {
		list = make([]string, 1)
		err = n.Decode(&list[0])
	}
	if err != nil || slices.Contains(list, "") {
		return fmt.Errorf("line %d: neither a file nor a list of files", n.Line)
	}
	*f = list
	return nil
}

// MarshalYAML writes one file as its name.
func (f Files) MarshalYAML() (any, error) {
	if len(f) == 1 {
		return f[0], nil
	}
	return []string(f), nil
}

// Witness is where one is asked for cosignatures.
type Witness struct {
	Name string `yaml:"name" doc:"of the witness in the policy; or of its operator, for those of its keys that have no line of their own"`
	URL  string `yaml:"url" doc:"its submission prefix, and monitoring prefix; absent: the policy's"`
	CA   string `yaml:"ca" doc:"PEM file of the authorities that its certificate may be of; absent: the system's"`
	TLS  TLS    `yaml:"tls" doc:"certificate that is shown to it; absent: none"`
}

// Authority is a time-stamp authority: where it is asked, and what is believed of its answer.
type Authority struct {
	Name            string   `yaml:"name" doc:"its name in the trust file, and in the log; an id"`
	URL             string   `yaml:"url" doc:"where it is asked, http(s)://HOST/PATH: it can stand in logs, so that it has no user info, query or fragment"`
	Authorization   string   `yaml:"authorization" doc:"file with the value of the Authorization header that it wants (Basic …, Bearer …), which nobody but the server's user can read; absent: none"`
	CA              string   `yaml:"ca" doc:"PEM file of the authorities that its TLS certificate may be of; absent: the system's"`
	TLS             TLS      `yaml:"tls" doc:"certificate that is shown to it; absent: none"`
	Certificates    Files    `yaml:"certificates" doc:"PEM file, or a list of them, of the certificates by which its chains end; absent: those of the trust file"`
	Policies        []string `yaml:"policies" doc:"identifiers of the policies that its tokens may be made under, if the trust file does not name it; absent: any"`
	Accuracy        Duration `yaml:"accuracy,omitempty" doc:"the most that its tokens may claim, if the trust file does not name it"`
	Chain           Files    `yaml:"chain" doc:"PEM files of certificates that its tokens lack, those above the signer's"`
	PolicyDocument  string   `yaml:"policy_document" doc:"file with the policy that its tokens are made under, which is kept with them"`
	RevocationHosts []string `yaml:"revocation_hosts" doc:"HOST or HOST:PORT where its certificates may send the server for revocation data, beside that of url"`
}

// Anchors says when the log is time-stamped.
type Anchors struct {
	Every Duration `yaml:"every" doc:"time between rounds; a break-glass session that ends does not wait for it"`
}

// Managed makes the server record for clients that do not sign themselves.
type Managed struct {
	Key        string              `yaml:"key" doc:"file of the key that signs managed tracks"`
	Enrolment  string              `yaml:"enrolment" doc:"file of that key's enrolment, held by the operator, for any agent"`
	Secret     string              `yaml:"secret" doc:"file of the secret that recognises retries; never changes"`
	Recipients map[string][]string `yaml:"recipients" doc:"age recipients by class (content, personal, secret, directory, or default for the others): vault and recovery"`
}

// Principal is somebody with tokens.
type Principal struct {
	Name        string   `yaml:"name" doc:"an id; stands in the log, so it must not name a person"`
	Roles       []string `yaml:"roles" doc:"recorder, auditor, operator; auditor goes with neither of the others"`
	TokenSHA256 []string `yaml:"token_sha256" doc:"digests of the principal's tokens (stenod token new)"`
}

// Listen says where the server listens. A listener without address is off.
type Listen struct {
	Ingest Listener    `yaml:"ingest"`
	Public Listener    `yaml:"public"`
	Audit  Listener    `yaml:"audit"`
	Ops    OpsListener `yaml:"ops"`
}

// Listener is one listener.
type Listener struct {
	Address   string `yaml:"address" doc:"HOST:PORT; absent: off"`
	TLS       TLS    `yaml:"tls"`
	Plaintext bool   `yaml:"plaintext" doc:"allows an address that is not loopback without TLS, behind a proxy that has it"`
}

// OpsListener is the one for operators.
type OpsListener struct {
	Listener  `yaml:",inline"`
	Anonymous bool `yaml:"anonymous" doc:"detail and metrics without a token"`
}

// TLS names PEM files; both or none.
type TLS struct {
	Certificate string `yaml:"certificate" doc:"PEM file of the chain"`
	Key         string `yaml:"key" doc:"PEM file of the key"`
}

// LogConfig tunes the log.
type LogConfig struct {
	CheckpointInterval Duration `yaml:"checkpoint_interval" doc:"time between checkpoints"`
	Queue              int      `yaml:"queue" doc:"entries that wait for their place before the server sheds"`
	QueueBytes         Bytes    `yaml:"queue_bytes" doc:"bytes that wait"`
}

// Limits bound what clients can make the server do.
type Limits struct {
	MaxBody       Bytes    `yaml:"max_body" doc:"of a request"`
	InFlight      Bytes    `yaml:"in_flight" doc:"of the bodies of all requests at once; above it the server sheds"`
	Connections   int      `yaml:"connections" doc:"of all listeners but ops at once; above it the server sheds"`
	Rate          float64  `yaml:"rate" doc:"requests per second of a principal"`
	Burst         int      `yaml:"burst" doc:"requests of a principal at once"`
	HeaderTimeout Duration `yaml:"header_timeout" doc:"until a request's header is there"`
	BodyTimeout   Duration `yaml:"body_timeout" doc:"until its body is there"`
	WriteTimeout  Duration `yaml:"write_timeout" doc:"from the header until the answer is sent"`
	IdleTimeout   Duration `yaml:"idle_timeout" doc:"between requests of a connection"`
	MaxHeader     Bytes    `yaml:"max_header" doc:"of a request's header"`
	MaxWait       Duration `yaml:"max_wait" doc:"that ?wait= waits at most"`
	Sessions      int      `yaml:"sessions" doc:"sessions alive at once"`
}

// Disk is the floor.
type Disk struct {
	FloorBytes  Bytes  `yaml:"floor_bytes" doc:"free space below which the log takes nothing, on the disks of dir and guard"`
	FloorInodes uint64 `yaml:"floor_inodes" doc:"likewise, in inodes"`
}

// Health says from when on the server is unhealthy.
type Health struct {
	CheckpointFactor int    `yaml:"checkpoint_factor" doc:"intervals that an entry may wait for a checkpoint"`
	IndexLag         uint64 `yaml:"index_lag" doc:"entries that the index may be behind"`
}

// Logging is the server's own log, on stderr.
type Logging struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error"`
	Format string `yaml:"format" doc:"json or text"`
}

// Default is a configuration with every default, and nothing else.
func Default() Config {
	return Config{
		Anchors: Anchors{Duration(anchoring.DefaultEvery)},
		Log:     LogConfig{Duration(log.DefaultInterval), log.DefaultQueue, log.DefaultQueueBytes},
		Limits: Limits{
			MaxBody: api.DefaultMaxBody, InFlight: api.DefaultInFlight, Connections: api.DefaultConnections,
			Rate: api.DefaultRate, Burst: api.DefaultBurst, HeaderTimeout: Duration(api.DefaultHeaderTimeout),
			BodyTimeout: Duration(api.DefaultBodyTimeout), WriteTimeout: Duration(api.DefaultWriteTimeout),
			IdleTimeout: Duration(api.DefaultIdleTimeout), MaxHeader: api.DefaultMaxHeader,
			MaxWait: Duration(api.DefaultMaxWait), Sessions: recording.DefaultSessions,
		},
		Disk:     Disk{DefaultFloorBytes, DefaultFloorInodes},
		Health:   Health{DefaultCheckpointFactor, DefaultIndexLag},
		Logging:  Logging{DefaultLogLevel, DefaultLogFormat},
		Shutdown: Duration(DefaultShutdown),
	}
}

// Parse reads a configuration strictly, over the defaults, and checks it. Paths are taken relative to base.
func Parse(b []byte, base string) (Config, error) {
	c := Default()
	if err := yamlconf.Decode(b, &c); err != nil {
		return c, err
	}
	c.resolve(base)
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

func (c *Config) resolve(base string) {
	paths := []*string{&c.Dir, &c.Guard, &c.Trust, &c.Succeeds, &c.Keys.Received, &c.Keys.System}
	for _, list := range []Files{c.Keys.Log, c.Keys.LogMLDSA} {
		for i := range list {
			paths = append(paths, &list[i])
		}
	}
	for i := range c.Witnesses {
		w := &c.Witnesses[i]
		paths = append(paths, &w.CA, &w.TLS.Certificate, &w.TLS.Key)
	}
	for i := range c.Authorities {
		a := &c.Authorities[i]
		paths = append(paths, &a.Authorization, &a.CA, &a.TLS.Certificate, &a.TLS.Key, &a.PolicyDocument)
		for _, list := range []Files{a.Certificates, a.Chain} {
			for j := range list {
				paths = append(paths, &list[j])
			}
		}
	}
	if c.Managed != nil {
		paths = append(paths, &c.Managed.Key, &c.Managed.Enrolment, &c.Managed.Secret)
	}
	for _, l := range c.listeners() {
		paths = append(paths, &l.TLS.Certificate, &l.TLS.Key)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
}

func (c *Config) listeners() map[string]*Listener {
	return map[string]*Listener{
		api.ListenerIngest: &c.Listen.Ingest, api.ListenerPublic: &c.Listen.Public,
		api.ListenerAudit: &c.Listen.Audit, api.ListenerOps: &c.Listen.Ops.Listener,
	}
}

// Digest commits to the configuration: the SHA-256 of its one YAML form.
func (c Config) Digest() ([32]byte, error) {
	b, err := yaml.Marshal(c)
	if err != nil {
		return [32]byte{}, fmt.Errorf("writing the configuration: %w", err)
	}
	return sha256.Sum256(b), nil
}

// A Duration has a unit always.
type Duration = yamlconf.Duration

// Bytes is a number of bytes, written with a unit.
type Bytes = yamlconf.Bytes
