package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// authorityFlags are those about time-stamp authorities.
type authorityFlags struct {
	set, drop, compromised []string
	stamps                 int
}

func (f *authorityFlags) define(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.set, "authority", nil,
		`"NAME FROM UNTIL ACCURACY POLICIES|- FILE[,FILE]": a time-stamp authority, added or in the place of the one of its name; days in UTC, seconds, and PEM files of the roots of its chains`)
	flags.StringArrayVar(&f.compromised, "compromised-authority", nil,
		`"NAME TIME|-": since when an authority's word is worth nothing, such as 2027-03-04T05:06:07Z; - takes the mark away`)
	flags.StringArrayVar(&f.drop, "drop-authority", nil, "name of a time-stamp authority to drop; its tokens then count no more")
	flags.IntVar(&f.stamps, "stamps", 0, "how many time-stamp authorities must bound a session's end; 0 demands none")
}

func (f *trustFlags) applyAuthorities(c *trust.Config) error {
	c.Authorities = slices.Clone(c.Authorities)
	find := func(name string) int {
		return slices.IndexFunc(c.Authorities, func(a timestamp.Authority) bool { return a.Name == name })
	}
	for _, name := range f.authorities.drop {
		i := find(name)
		if i < 0 {
			return usage("--drop-authority: the file has no authority %q", name)
		}
		c.Authorities = slices.Delete(c.Authorities, i, i+1)
	}
	for _, s := range f.authorities.set {
		a, err := authorityOf(s)
		if err != nil {
			return usage("--authority %q: %w", s, err)
		}
		if i := find(a.Name); i >= 0 { // a mark goes only where that is said
			a.Compromised = c.Authorities[i].Compromised
			c.Authorities[i] = a
		} else {
			c.Authorities = append(c.Authorities, a)
		}
	}
	for _, s := range f.authorities.compromised {
		name, at, _ := strings.Cut(s, " ")
		i := find(name)
		if i < 0 {
			return usage("--compromised-authority: the file has no authority %q", name)
		}
		var since time.Time
		if at != "-" {
			var err error
			if since, err = time.Parse(time.RFC3339, at); err != nil {
				return usage(`--compromised-authority %q is not "NAME TIME", with a time such as 2027-03-04T05:06:07Z`, s)
			}
		}
		c.Authorities[i].Compromised = since.UTC()
	}
	if f.changed("stamps") {
		c.Stamps = f.authorities.stamps
	}
	return nil
}

func authorityOf(s string) (a timestamp.Authority, err error) {
	w := strings.Fields(s)
	if len(w) != 6 {
		return a, errors.New(`not "NAME FROM UNTIL ACCURACY POLICIES|- FILE[,FILE]"`)
	}
	a.Name = w[0]
	if a.From, err = time.Parse(time.DateOnly, w[1]); err != nil {
		return a, errors.New("the window does not begin on a day such as 2026-11-24")
	}
	if a.Until, err = time.Parse(time.DateOnly, w[2]); err != nil {
		return a, errors.New("the window does not end on a day such as 2031-11-24")
	}
	seconds, err := strconv.ParseUint(w[3], 10, 20)
	if err != nil {
		return a, errors.New("the accuracy is not a number of seconds")
	}
	a.Accuracy = time.Duration(seconds) * time.Second
	if w[4] != "-" {
		a.Policies = strings.Split(w[4], ",")
	}
	for path := range strings.SplitSeq(w[5], ",") {
		certs, err := readCertificates(path)
		if err != nil {
			return a, err
		}
		a.Anchors = append(a.Anchors, certs...)
	}
	return a, nil
}

// readCertificates reads all that a PEM file holds.
func readCertificates(path string) (certs [][]byte, err error) {
	rest, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: a PEM block %q, which is no certificate", path, block.Type)
		}
		certs = append(certs, block.Bytes)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM", path)
	}
	return certs, nil
}

type authorityView struct {
	Name        string            `json:"name"`
	From        string            `json:"from"`
	Until       string            `json:"until"`
	AccuracyS   int64             `json:"accuracy_s"`
	Policies    []string          `json:"policies"`
	Compromised string            `json:"compromised,omitempty"`
	Anchors     []certificateView `json:"anchors"`
}

type certificateView struct {
	Subject string `json:"subject"`
	SHA256  string `json:"sha256"`
}

func (c certificateView) String() string { return fmt.Sprintf("%s, sha256 %s", c.Subject, c.SHA256) }

func authoritiesOf(t *trust.Trust) []authorityView {
	out := []authorityView{}
	for _, a := range t.Authorities() {
		v := authorityView{
			Name: a.Name, From: a.From.Format(time.DateOnly), Until: a.Until.Format(time.DateOnly), AccuracyS: int64(a.Accuracy / time.Second),
			Policies: append([]string{}, a.Policies...), Anchors: []certificateView{},
		}
		if !a.Compromised.IsZero() {
			v.Compromised = a.Compromised.Format(time.RFC3339)
		}
		for _, der := range a.Anchors {
			c := certificateView{SHA256: fmt.Sprintf("%x", sha256.Sum256(der))}
			if cert, err := x509.ParseCertificate(der); err == nil { // the file would not be read else
				c.Subject = cert.Subject.String()
			}
			v.Anchors = append(v.Anchors, c)
		}
		out = append(out, v)
	}
	return out
}

// terms says when an authority's word counts, and how exact it is.
func (a authorityView) terms() string {
	s := fmt.Sprintf("from %s until %s, exact to %d s", a.From, a.Until, a.AccuracyS)
	if len(a.Policies) > 0 {
		s += ", under " + strings.Join(a.Policies, ", ")
	}
	if a.Compromised != "" {
		s += ", COMPROMISED since " + a.Compromised
	}
	return s
}

func stampWords(stamps, of int) string {
	switch {
	case of == 0:
		return "no time-stamp authority is pinned"
	case stamps == 0:
		return fmt.Sprintf("none of %d authorities is demanded", of)
	}
	return fmt.Sprintf("%d of %d authorities must bound a session's end", stamps, of)
}

func (d *trustDiff) authorities() {
	by := func(in []authorityView, name string) *authorityView {
		if i := slices.IndexFunc(in, func(a authorityView) bool { return a.Name == name }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for _, a := range d.old.Authorities {
		if by(d.next.Authorities, a.Name) == nil {
			d.say("time-stamp authority removed, and its tokens count no more: %s", a.Name)
		}
	}
	for _, a := range d.next.Authorities {
		o := by(d.old.Authorities, a.Name)
		if o == nil {
			d.say("time-stamp authority added: %s  %s", a.Name, a.terms())
			for _, c := range a.Anchors {
				d.say("  its chains end by %s", c)
			}
			continue
		}
		d.authority(*o, a)
	}
	if d.old.Stamps != d.next.Stamps {
		d.say("times: %s; it was %d", stampWords(d.next.Stamps, len(d.next.Authorities)), d.old.Stamps)
	}
	if d.next.Stamps < d.old.Stamps {
		d.say("WEAKER: fewer authorities must agree on a time")
	}
}

// authority says how one changes.
func (d *trustDiff) authority(old, next authorityView) {
	switch {
	case next.Compromised != "" && old.Compromised == "":
		d.say("time-stamp authority marked COMPROMISED since %s: %s", next.Compromised, next.Name)
	case next.Compromised == "" && old.Compromised != "":
		d.say("time-stamp authority NO LONGER marked compromised: %s", next.Name)
	case next.Compromised != old.Compromised:
		d.say("time-stamp authority compromised since %s, and it was since %s: %s", next.Compromised, old.Compromised, next.Name)
	}
	unmarked := func(a authorityView) string { a.Compromised = ""; return a.terms() }
	if a, b := unmarked(old), unmarked(next); a != b {
		d.say("time-stamp authority %s counts %s; it did %s", next.Name, b, a)
	}
	for _, c := range old.Anchors {
		if !slices.Contains(next.Anchors, c) {
			d.say("time-stamp authority %s loses %s: tokens with such a chain count no more", next.Name, c)
		}
	}
	for _, c := range next.Anchors {
		if !slices.Contains(old.Anchors, c) {
			d.say("time-stamp authority %s gains %s", next.Name, c)
		}
	}
}
