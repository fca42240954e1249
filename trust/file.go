package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/timestamp"
)

// dateLayout is how a requirement's day is written, in UTC.
const dateLayout = time.DateOnly

// marshal writes the file.
func (c Config) marshal() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nversion %d\n", formatLine, c.Version)
	if c.Version > 1 {
		fmt.Fprintf(&b, "previous %s\n", base64.StdEncoding.EncodeToString(c.Previous[:]))
	}
	if c.Threshold > 0 {
		fmt.Fprintf(&b, "threshold %d\n", c.Threshold)
	}
	writeKeys(&b, kind{"signer", c.Signers}, kind{"received", c.Received}, kind{"system", c.System}, kind{"enroller", c.Enrollers})
	for _, o := range c.Operators {
		fmt.Fprintf(&b, "operator %s %s\n", o.Name, strings.Join(o.Witnesses, " "))
	}
	for _, w := range c.Windows {
		b.WriteString(w.line() + "\n")
	}
	for _, r := range c.Require {
		b.WriteString(r.line() + "\n")
	}
	for _, a := range c.Authorities {
		b.WriteString(authorityLine(a) + "\n")
	}
	if c.Stamps > 0 {
		fmt.Fprintf(&b, "stamps %d\n", c.Stamps)
	}
	for _, a := range c.Algorithms {
		b.WriteString(algorithmLine(a) + "\n")
	}
	b.WriteString(policyLine + "\n")
	b.Write(c.Policy)
	return []byte(b.String())
}

type kind struct {
	word string
	keys []string
}

func writeKeys(b *strings.Builder, kinds ...kind) {
	for _, k := range kinds {
		for _, key := range k.keys {
			fmt.Fprintf(b, "%s %s\n", k.word, key)
		}
	}
}

func (r Requirement) line() string { return "require " + r.Algorithm + " " + r.From.Format(dateLayout) }

// read takes the lines as they come. Their order, and whether there are others, is seen by writing them again.
func read(text string) (Config, error) {
	c := Config{}
	head, policy, ok := strings.Cut(text, "\n"+policyLine+"\n")
	if !ok {
		return c, fmt.Errorf("no line %q", policyLine)
	}
	c.Policy = []byte(policy)
	for i, line := range strings.Split(head, "\n")[1:] {
		word, rest, _ := strings.Cut(line, " ")
		if err := c.take(word, rest); err != nil {
			return c, fmt.Errorf("line %d: %w", i+2, err)
		}
	}
	if c.Version == 0 {
		return c, errors.New("no line \"version\" from 1 on")
	}
	if string(c.marshal()) != text {
		return c, errors.New("lines are not in order, each once, each ended by one line feed")
	}
	return c, nil
}

func (c *Config) take(word, rest string) (err error) {
	switch word {
	case "version":
		if c.Version, err = strconv.ParseUint(rest, 10, 63); err != nil {
			err = errors.New("not a number in decimal below 2^63")
		}
	case "previous":
		c.Previous, err = checkpoint.ParseHash(rest)
	case "threshold":
		if c.Threshold, err = strconv.Atoi(rest); err != nil {
			err = errors.New("not a number in decimal")
		}
	case "signer":
		c.Signers, err = more(c.Signers, rest, maxKeys)
	case "received":
		c.Received, err = more(c.Received, rest, maxKeys)
	case "system":
		c.System, err = more(c.System, rest, maxKeys)
	case "enroller":
		c.Enrollers, err = more(c.Enrollers, rest, maxKeys)
	case "operator":
		name, witnesses, _ := strings.Cut(rest, " ")
		c.Operators, err = more(c.Operators, Operator{name, strings.Split(witnesses, " ")}, maxPolicyLines)
	case "window":
		var w Window
		if w, err = parseWindow(rest); err == nil {
			c.Windows, err = more(c.Windows, w, maxWindows)
		}
	case "require":
		err = c.takeRequirement(rest)
	case "authority":
		err = c.takeAuthority(rest)
	case "stamps":
		if c.Stamps, err = strconv.Atoi(rest); err != nil {
			err = errors.New("not a number in decimal")
		}
	case "algorithm":
		var a timestamp.AlgorithmEnd
		if a, err = parseAlgorithm(rest); err == nil {
			c.Algorithms, err = more(c.Algorithms, a, maxAlgorithms)
		}
	default:
		err = errors.New("begins with none of version, previous, threshold, signer, received, system, enroller, operator, window, require, authority, stamps, algorithm, policy")
	}
	return err
}

func (c *Config) takeRequirement(rest string) error {
	algorithm, day, _ := strings.Cut(rest, " ")
	from, err := time.Parse(dateLayout, day)
	if err != nil {
		return errors.New("not «require ALGORITHM YEAR-MONTH-DAY»")
	}
	c.Require, err = more(c.Require, Requirement{algorithm, from}, 1)
	return err
}

func (c *Config) takeAuthority(rest string) error {
	if len(c.Authorities) == maxAuthorities { // before certificates are read
		return fmt.Errorf("more than %d such lines", maxAuthorities)
	}
	a, err := parseAuthority(rest)
	c.Authorities = append(c.Authorities, a)
	return err
}

// more appends to a list that is bounded before anything is made of it.
func more[T any](list []T, one T, most int) ([]T, error) {
	if len(list) == most {
		return list, fmt.Errorf("more than %d such lines", most)
	}
	return append(list, one), nil
}

// readOld reads version 1 of the format: a log, receipts, system, enrollers.
func readOld(text string) (Config, error) {
	var c Config
	var log []string
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:] {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "log":
			log = append(log, rest)
		case "received", "system", "enroller":
			if err := c.take(word, rest); err != nil {
				return c, fmt.Errorf("line %d: %w", i+2, err)
			}
		default:
			return c, fmt.Errorf("line %d: begins with none of log, received, system, enroller", i+2)
		}
	}
	if len(log) != 1 {
		return c, fmt.Errorf("%d logs, 1 is needed", len(log))
	}
	var b strings.Builder
	b.WriteString(oldLine + "\n")
	writeKeys(&b, kind{"log", log}, kind{"received", c.Received}, kind{"system", c.System}, kind{"enroller", c.Enrollers})
	if b.String() != text {
		return c, errors.New("lines are not in order, each once, each ended by one line feed")
	}
	if v, err := checkpoint.NewVerifier(log[0]); err != nil || v.Algorithm() != checkpoint.Ed25519 {
		return c, errors.Join(errors.New("the log's key is not of plain Ed25519"), err)
	}
	c.Policy = []byte("log " + log[0] + "\nquorum none\n")
	return c, nil
}

// pointOf is the public key in an Ed25519 verifier key that was read before.
func pointOf(vkey string) (string, error) {
	parts := strings.SplitN(vkey, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) < ed25519.PublicKeySize {
		return "", errors.New("a key without a point")
	}
	return string(raw[len(raw)-ed25519.PublicKeySize:]), nil
}

// words splits at single spaces, and wants between least and most of them.
func words(s string, least, most int) ([]string, error) {
	w := strings.Split(s, " ")
	if len(w) < least || len(w) > most || slices.Contains(w, "") {
		return nil, fmt.Errorf("%d words, %d to %d are needed", len(w), least, most)
	}
	return w, nil
}
