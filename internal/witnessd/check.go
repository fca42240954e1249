package witnessd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/stenolog/steno/checkpoint"
)

// Check tells everything that is wrong with a configuration by itself, without reading another file.
func (c *Config) Check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := checkpoint.CheckName(c.Name); err != nil {
		wrong("name: %w", err)
	}
	for _, n := range [][2]string{{"dir", c.Dir}, {"published", c.Published}} {
		if n[1] == "" {
			wrong("%s is missing", n[0])
		}
	}
	if c.Dir != "" && c.Published != "" {
		if err := checkApart(c.Dir, c.Published); err != nil {
			wrong("published: %w", err)
		}
	}
	if c.Keys.Ed25519 == "" && c.Keys.MLDSA44 == "" {
		wrong("keys: there is none, and one is needed: ed25519, ml_dsa_44 or both")
	}
	if err := c.Listen.check(); err != nil {
		wrong("listen: %w", err)
	}
	if err := c.Ops.check(); err != nil {
		wrong("ops: %w", err)
	}
	if c.Ops.Address != "" && c.Ops.Address == c.Listen.Address && !strings.HasSuffix(c.Ops.Address, ":0") {
		wrong("ops has the address of listen")
	}
	if err := c.Limits.check(); err != nil {
		errs = append(errs, err)
	}
	if c.Shutdown <= 0 {
		wrong("shutdown is not positive")
	}
	if _, err := c.Logging.Logger(io.Discard); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkApart refuses two directories of which one is, or lies in, the other, however they are spelled or linked: one copy of
// both, restored later, would be two old states that agree.
func checkApart(dir, other string) error {
	a, err := resolve(dir)
	if err != nil {
		return err
	}
	b, err := resolve(other)
	if err != nil {
		return err
	}
	if inside(a, b) || inside(b, a) {
		return fmt.Errorf("%s and %s are not apart: one copy of both, restored, would go unnoticed; way out: give what was published a directory of its own", a, b)
	}
	return nil
}

func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err != nil || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolve makes a path absolute and follows links as far as the path exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	parent := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || parent == path {
		return "", err
	}
	if parent, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}

func (l *Listen) check() error {
	if l.Address == "" {
		return errors.New("address is missing")
	}
	if _, _, err := net.SplitHostPort(l.Address); err != nil {
		return fmt.Errorf("address is not HOST:PORT: %w", err)
	}
	if (l.TLS.Certificate == "") != (l.TLS.Key == "") {
		return errors.New("tls has one of certificate and key, and needs both")
	}
	if l.TLS.ClientCA != "" && l.TLS.Certificate == "" {
		return errors.New("tls.client_ca is nothing without tls.certificate: in clear nobody has to show a certificate")
	}
	return nil
}

func (o *Ops) check() error {
	if o.Address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return fmt.Errorf("address is not HOST:PORT: %w", err)
	}
	ip, err := netip.ParseAddr(host)
	if loopback := host == "localhost" || err == nil && ip.IsLoopback(); !loopback && !o.Plaintext {
		return errors.New("whoever reaches the address sees the counts, and what is wrong: take a loopback address, or say plaintext: true")
	}
	return nil
}

func (l *Limits) check() error {
	var errs []error
	for _, n := range []struct {
		name string
		ok   bool
	}{
		{"rate", l.Rate > 0}, {"burst", l.Burst > 0}, {"connections", l.Connections > 0},
		{"header_timeout", l.HeaderTimeout > 0}, {"body_timeout", l.BodyTimeout > 0},
		{"write_timeout", l.WriteTimeout > 0}, {"idle_timeout", l.IdleTimeout > 0}, {"max_header", l.MaxHeader > 0},
	} {
		if !n.ok {
			errs = append(errs, fmt.Errorf("limits.%s is not positive", n.name))
		}
	}
	return errors.Join(errs...)
}

// Logger makes the logger that is asked for.
func (l Logging) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, errors.New("logging.level is none of debug, info, warn, error")
	}
	opts := &slog.HandlerOptions{Level: level}
	switch l.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, errors.New("logging.format is none of json, text")
}
