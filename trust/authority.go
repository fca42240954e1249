package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/timestamp"
)

// Time-stamp authorities (RFC 3161), whose tokens bound the times of entries. What a token must be is said in package
// timestamp; here stands whose tokens, of which times, and how many authorities must agree.

const (
	maxAuthorities = 16
	maxTSAAnchors  = 4 // certificates of an authority
	maxPolicies    = 16
	// maxAccuracy is the most that an authority may be wrong by its own word: a day is no time at all.
	maxAccuracy = 24 * time.Hour
	// instantLayout is how the time of a compromise is written, in UTC.
	instantLayout = "2006-01-02T15:04:05Z"
	nothing       = "-"
)

// Authorities are the pinned time-stamp authorities, by name. The ends of algorithms are of each.
func (t *Trust) Authorities() []timestamp.Authority {
	out := slices.Clone(t.Config.Authorities)
	for i, a := range out {
		out[i].Policies = slices.Clone(a.Policies)
		out[i].Anchors = slices.Clone(a.Anchors)
		for j, der := range a.Anchors {
			out[i].Anchors[j] = bytes.Clone(der)
		}
		out[i].Algorithms = slices.Clone(t.Config.Algorithms)
	}
	return out
}

// Stamps is how many distinct authorities must bound a time; 0 if none is demanded.
func (t *Trust) Stamps() int { return t.Config.Stamps }

func authorityLine(a timestamp.Authority) string {
	policies, compromised := nothing, nothing
	if len(a.Policies) > 0 {
		policies = strings.Join(a.Policies, ",")
	}
	if !a.Compromised.IsZero() {
		compromised = a.Compromised.UTC().Format(instantLayout)
	}
	return fmt.Sprintf("authority %s %s %s %d %s %s %s", a.Name, a.From.UTC().Format(dateLayout), a.Until.UTC().Format(dateLayout),
		a.Accuracy/time.Second, policies, compromised, strings.Join(spelt(a.Anchors), " "))
}

func spelt(anchors [][]byte) (words []string) {
	for _, der := range anchors {
		words = append(words, base64.StdEncoding.EncodeToString(der))
	}
	return words
}

// parseAuthority takes what stands behind the word. What holds between its parts is for loadAuthorities to see.
func parseAuthority(s string) (a timestamp.Authority, err error) {
	f, err := words(s, 7, 6+maxTSAAnchors)
	if err != nil {
		return a, err
	}
	a.Name = f[0]
	var errs [4]error
	a.From, errs[0] = time.Parse(dateLayout, f[1])
	a.Until, errs[1] = time.Parse(dateLayout, f[2])
	if f[5] != nothing {
		a.Compromised, errs[2] = time.Parse(instantLayout, f[5])
	}
	seconds, err := strconv.ParseUint(f[3], 10, 32)
	a.Accuracy, errs[3] = time.Duration(seconds)*time.Second, err
	if errors.Join(errs[:]...) != nil {
		return a, errors.New("not «authority NAME YEAR-MONTH-DAY YEAR-MONTH-DAY SECONDS POLICIES|- YEAR-MONTH-DAYThh:mm:ssZ|- CERTIFICATE…»")
	}
	if f[4] != nothing {
		a.Policies = strings.Split(f[4], ",")
	}
	for _, word := range f[6:] {
		der, err := base64.StdEncoding.Strict().DecodeString(word)
		if err != nil {
			return a, fmt.Errorf("a certificate is not in base64: %w", err)
		}
		a.Anchors = append(a.Anchors, der)
	}
	return a, nil
}

// loadAuthorities checks each authority, that no two of them are one, and that there are enough.
func (t *Trust) loadAuthorities() error {
	var others []*x509.Certificate
	for i, a := range t.Config.Authorities {
		if err := entry.CheckID(a.Name); err != nil {
			return fmt.Errorf("authority %q: name: %w", a.Name, err)
		}
		if i > 0 && t.Config.Authorities[i-1].Name >= a.Name {
			return errors.New("authorities are not in ascending order, each once")
		}
		certs, err := checkAuthority(a)
		if err != nil {
			return fmt.Errorf("authority %q: %w", a.Name, err)
		}
		for _, c := range certs {
			if slices.ContainsFunc(others, func(o *x509.Certificate) bool { return oneAuthority(c, o) }) {
				return fmt.Errorf("authority %q: its certificate of %q is of the same authority as another's: its word would count twice", a.Name, c.Subject)
			}
		}
		others = append(others, certs...)
	}
	if t.Config.Stamps < 0 || t.Config.Stamps > len(t.Config.Authorities) {
		return fmt.Errorf("stamps of %d authorities are demanded, and there are %d", t.Config.Stamps, len(t.Config.Authorities))
	}
	return nil
}

func checkAuthority(a timestamp.Authority) (certs []*x509.Certificate, err error) {
	switch {
	case !a.From.Before(a.Until):
		return nil, errors.New("its window ends before it begins")
	case a.From.Unix() < 0:
		return nil, errors.New("its window begins before 1970-01-01")
	case a.Accuracy < time.Second || a.Accuracy > maxAccuracy:
		return nil, fmt.Errorf("accuracy of %d seconds, 1 to %d are allowed", a.Accuracy/time.Second, maxAccuracy/time.Second)
	case len(a.Policies) > maxPolicies:
		return nil, fmt.Errorf("more than %d policies", maxPolicies)
	}
	for i, p := range a.Policies {
		if !isOID(p) {
			return nil, fmt.Errorf("policy %q is no dotted object identifier", p)
		}
		if i > 0 && a.Policies[i-1] >= p {
			return nil, errors.New("its policies are not in ascending order, each once")
		}
	}
	if s := spelt(a.Anchors); len(s) == 0 || len(s) > maxTSAAnchors || !slices.IsSorted(s) || len(slices.Compact(s)) < len(a.Anchors) {
		return nil, fmt.Errorf("its certificates are not 1 to %d in ascending order, each once", maxTSAAnchors)
	}
	for _, der := range a.Anchors {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		// A signer's own certificate could be pinned too, but would have to be every year; and who pins it pins no chain to judge.
		if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("the certificate of %q is of no certification authority", c.Subject)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// oneAuthority tells whether two certificates are of one key, or one of them is issued by the other.
func oneAuthority(a, b *x509.Certificate) bool {
	issued := func(c, by *x509.Certificate) bool {
		return bytes.Equal(c.RawIssuer, by.RawSubject) && c.CheckSignatureFrom(by) == nil
	}
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo) || issued(a, b) || issued(b, a)
}

// isOID tells whether s is an object identifier in the one spelling with dots.
func isOID(s string) bool {
	arcs := strings.Split(s, ".")
	if len(arcs) < 2 || len(s) > 128 {
		return false
	}
	for i, arc := range arcs {
		n, err := strconv.ParseUint(arc, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != arc || i == 0 && n > 2 || i == 1 && arcs[0] != "2" && n > 39 {
			return false
		}
	}
	return true
}

// checkWhole refuses what the file can't say, and would cut.
func checkWhole(a timestamp.Authority) error {
	if !wholeDay(a.From) || !wholeDay(a.Until) {
		return fmt.Errorf("authority %q: its window is not of whole days in UTC", a.Name)
	}
	if len(a.Algorithms) > 0 {
		return fmt.Errorf("authority %q: it has ends of algorithms of its own, and the file says them of all authorities as a whole", a.Name)
	}
	if a.Accuracy%time.Second != 0 || !a.Compromised.Equal(a.Compromised.Truncate(time.Second)) {
		return fmt.Errorf("authority %q: accuracy and time of compromise are not of whole seconds", a.Name)
	}
	return nil
}

func wholeDay(t time.Time) bool { return t.Equal(t.UTC().Truncate(24 * time.Hour)) }
