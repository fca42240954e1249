package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
)

// Check tells everything that is wrong with a configuration by itself, without reading another file.
func (c *Config) Check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := entry.CheckOrigin(c.Origin); err != nil {
		wrong("origin: %w", err)
	}
	needed := map[string]string{"dir": c.Dir, "guard": c.Guard, "trust": c.Trust, "keys.log": strings.Join(c.Keys.Log, ""),
		"keys.received": c.Keys.Received, "keys.system": c.Keys.System}
	if m := c.Managed; m != nil {
		needed["managed.key"], needed["managed.enrolment"], needed["managed.secret"] = m.Key, m.Enrolment, m.Secret
	}
	for _, name := range sortedKeys(needed) {
		if needed[name] == "" {
			wrong("%s is missing", name)
		}
	}
	if c.Dir != "" && c.Guard != "" {
		if err := log.CheckGuardPath(c.Guard, c.Dir); err != nil {
			errs = append(errs, err)
		}
	}
	if _, err := c.tokens(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.checkWitnesses()...)
	errs = append(errs, c.checkAuthorities()...)
	errs = append(errs, c.checkListeners()...)
	errs = append(errs, c.checkNumbers()...)
	return errors.Join(errs...)
}

// checkWitnesses looks at their lines alone. Whether they fit the policy is seen when the trust file is read.
func (c *Config) checkWitnesses() (errs []error) {
	seen := make(map[string]bool)
	for _, w := range c.Witnesses {
		if w.Name == "" || seen[w.Name] {
			errs = append(errs, fmt.Errorf("witnesses: %q is no name, or that of two", w.Name))
		}
		seen[w.Name] = true
		if (w.TLS.Certificate == "") != (w.TLS.Key == "") {
			errs = append(errs, fmt.Errorf("witnesses: %q: tls has one of certificate and key, and needs both", w.Name))
		}
	}
	return errs
}

func (c *Config) checkListeners() (errs []error) {
	on := 0
	seen := make(map[string]string)
	listeners := c.listeners()
	for _, name := range sortedKeys(listeners) {
		l := listeners[name]
		if l.Address == "" {
			continue
		}
		on++
		if err := l.check(name); err != nil {
			errs = append(errs, fmt.Errorf("listen.%s: %w", name, err))
		}
		if other := seen[l.Address]; other != "" && !strings.HasSuffix(l.Address, ":0") {
			errs = append(errs, fmt.Errorf("listen.%s: has the address of listen.%s", name, other))
		}
		seen[l.Address] = name
	}
	if on == 0 {
		errs = append(errs, errors.New("listen: no listener has an address"))
	}
	return errs
}

func (l *Listener) check(name string) error {
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return fmt.Errorf("address is not HOST:PORT: %w", err)
	}
	if (l.TLS.Certificate == "") != (l.TLS.Key == "") {
		return errors.New("tls has one of certificate and key, and needs both")
	}
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && ip.IsLoopback()
	// The public listener takes no tokens and gives nothing that is secret.
	if name != api.ListenerPublic && !loopback && l.TLS.Certificate == "" && !l.Plaintext {
		return errors.New("tokens would cross the network in clear: configure tls, or plaintext: true behind a proxy that has it")
	}
	return nil
}

func (c *Config) checkNumbers() (errs []error) {
	positive := map[string]bool{
		"log.queue": c.Log.Queue > 0, "limits.connections": c.Limits.Connections > 0, "limits.rate": c.Limits.Rate > 0,
		"limits.burst": c.Limits.Burst > 0, "limits.sessions": c.Limits.Sessions > 0,
		"health.checkpoint_factor": c.Health.CheckpointFactor > 0, "health.index_lag": c.Health.IndexLag > 0,
		"log.queue_bytes": c.Log.QueueBytes > 0, "limits.max_body": c.Limits.MaxBody > 0, "shutdown": c.Shutdown > 0,
		"log.checkpoint_interval": c.Log.CheckpointInterval > 0, "anchors.every": c.Anchors.Every > 0,
	}
	for _, name := range sortedKeys(positive) {
		if !positive[name] {
			errs = append(errs, fmt.Errorf("%s is not positive", name))
		}
	}
	if c.Limits.InFlight < c.Limits.MaxBody {
		errs = append(errs, errors.New("limits.in_flight is below limits.max_body: the largest body would never be taken"))
	}
	if _, err := newLogger(nil, c.Logging); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// tokens makes the table of principals.
func (c *Config) tokens() (*access.Tokens, error) {
	var grants []access.Grant
	for _, p := range c.Principals {
		g := access.Grant{Name: p.Name}
		for _, r := range p.Roles {
			g.Roles = append(g.Roles, access.Role(r))
		}
		for _, s := range p.TokenSHA256 {
			d, err := access.ParseDigest(s)
			if err != nil {
				return nil, fmt.Errorf("principal %q: %w", p.Name, err)
			}
			g.TokenSHA256 = append(g.TokenSHA256, d)
		}
		grants = append(grants, g)
	}
	t, err := access.NewTokens(grants)
	if err != nil {
		return nil, fmt.Errorf("principals: %w", err)
	}
	return t, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
