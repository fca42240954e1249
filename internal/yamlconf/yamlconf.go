// Package yamlconf reads the configuration files of steno's servers: one YAML document, strictly, over defaults, with units
// on everything that has one.
package yamlconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20 // bytes of a configuration file

// Decode reads a configuration over what c points to, which has the defaults.
func Decode(b []byte, c any) error {
	if len(b) > maxFile {
		return fmt.Errorf("configuration of %d bytes, at most %d", len(b), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return errors.New("reading the configuration: more than one YAML document")
	}
	return nil
}

// ReadFile reads a file that Decode may take; of one that is too long, only so much that Decode refuses it.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return b, nil
}

// A Duration is written as Go writes it: 1s, 2m30s. It has a unit always.
type Duration time.Duration

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v <= 0 {
		return fmt.Errorf("line %d: %q is not a positive duration with a unit, such as 30s", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes a duration.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Bytes is a number of bytes, written with a unit: 512MiB, 16KiB, 9216B.
type Bytes int64

var units = []struct {
	name string
	size Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalYAML reads bytes with their unit.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(n.Value, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || v <= 0 {
			break
		}
		*b = Bytes(v) * u.size
		return nil
	}
	return fmt.Errorf("line %d: %q is not a positive number of B, KiB, MiB or GiB", n.Line, n.Value)
}

// MarshalYAML writes bytes.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

func (b Bytes) String() string {
	for _, u := range units {
		if b%u.size == 0 && (b != 0 || u.size == 1) {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}
