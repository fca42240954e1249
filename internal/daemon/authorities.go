package daemon

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/anchoring"
	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/secretfile"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/ask"
	"github.com/stenolog/steno/trust"
)

// DefaultAccuracy is the most that a token may claim, of an authority that the trust file does not name.
const DefaultAccuracy = time.Minute

// requestTimeout bounds one request to a time-stamp authority.
const requestTimeout = 20 * time.Second

// checkAuthorities looks at their lines alone.
func (c *Config) checkAuthorities() (errs []error) {
	seen := make(map[string]bool)
	for _, a := range c.Authorities {
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("authorities: %q: "+format, append([]any{a.Name}, args...)...))
		}
		if entry.CheckID(a.Name) != nil || seen[a.Name] {
			wrong("is no name, or that of two")
		}
		seen[a.Name] = true
		u, err := url.Parse(a.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			wrong("url is not http(s)://HOST/PATH")
			continue
		}
		// Where it was asked stands in the server's log. What is wrong is not quoted here either.
		if u.User != nil || strings.ContainsAny(a.URL, "?#") {
			wrong("url has user info, a query or a fragment, and would be logged with it; credentials have settings of their own: authorization, tls")
		}
		if (a.TLS.Certificate == "") != (a.TLS.Key == "") {
			wrong("tls has one of certificate and key, and needs both")
		}
		if a.Authorization != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			wrong("its credentials would cross the network in clear: the url is not https")
		}
		if a.Accuracy < 0 {
			wrong("accuracy is negative")
		}
	}
	return errs
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newAuthorities brings the configuration and the trust file together: whom to ask, and what is believed of the answer.
func newAuthorities(c Config, t *trust.Trust) (all []anchoring.Authority, err error) {
	for _, a := range c.Authorities {
		x := anchoring.Authority{}
		if x.Pinned, err = a.pinned(t); err != nil {
			return nil, fmt.Errorf("authorities: %q: %w", a.Name, err)
		}
		asker, err := a.asker()
		if err != nil {
			return nil, fmt.Errorf("authorities: %q: %w", a.Name, err)
		}
		x.Asker = asker
		all = append(all, x)
	}
	return all, nil
}

// pinned is what the trust file says of the authority, or, where it does not name it, what stands here. A token that verifiers
// would refuse does not get into the log.
func (a *Authority) pinned(t *trust.Trust) (p timestamp.Authority, err error) {
	here, err := certificates(a.Certificates)
	if err != nil {
		return p, fmt.Errorf("certificates: %w", err)
	}
	authorities := t.Authorities()
	i := slices.IndexFunc(authorities, func(x timestamp.Authority) bool { return x.Name == a.Name })
	if i < 0 {
		if len(here) == 0 {
			return p, errors.New("certificates are missing: the trust file does not name it")
		}
		return timestamp.Authority{
			Name: a.Name, Anchors: here, Policies: a.Policies, Accuracy: cmp.Or(time.Duration(a.Accuracy), DefaultAccuracy),
			From: time.Unix(0, 0), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		}, nil
	}
	p = authorities[i]
	if len(a.Policies) > 0 || a.Accuracy > 0 {
		return p, errors.New("policies and accuracy are the trust file's to say, which names it")
	}
	if len(here) > 0 && !sameCertificates(here, p.Anchors) {
		return p, errors.New("certificates are not those of the trust file: verifiers would refuse its tokens, or the log would")
	}
	return p, nil
}

func sameCertificates(a, b [][]byte) bool {
	within := func(a, b [][]byte) bool {
		return !slices.ContainsFunc(a, func(x []byte) bool {
			return !slices.ContainsFunc(b, func(y []byte) bool { return bytes.Equal(x, y) })
		})
	}
	return within(a, b) && within(b, a)
}

// certificates reads PEM files of nothing but certificates.
func certificates(files Files) (ders [][]byte, err error) {
	for _, file := range files {
		rest, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for len(bytes.TrimSpace(rest)) > 0 {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("%s holds something that is no certificate in PEM", file)
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			ders = append(ders, block.Bytes)
		}
	}
	return ders, nil
}

func (a *Authority) asker() (x ask.Authority, err error) {
	// A token of another time than ours would stand in the log for ever and say something that is not so, or our clock is the
	// one that is wrong: either way somebody has to look.
	x = ask.Authority{Name: a.Name, URL: a.URL, RevocationHosts: a.RevocationHosts, Now: time.Now}
	if x.HTTP, err = (where{a.URL, a.CA, a.TLS.Certificate, a.TLS.Key}).client(); err != nil {
		return x, err
	}
	x.HTTP.Timeout = requestTimeout
	if a.Authorization != "" {
		text, err := secretfile.Read(a.Authorization)
		if err != nil {
			return x, fmt.Errorf("authorization: %w", err)
		}
		text = strings.TrimSuffix(text, "\n")
		if text == "" || strings.ContainsAny(text, "\r\n\x00") {
			return x, fmt.Errorf("authorization: %s is not one line", a.Authorization)
		}
		x.Header = http.Header{"Authorization": {text}}
	}
	if x.Chain, err = certificates(a.Chain); err != nil {
		return x, fmt.Errorf("chain: %w", err)
	}
	if a.PolicyDocument != "" {
		if x.PolicyDocument, err = os.ReadFile(a.PolicyDocument); err != nil {
			return x, fmt.Errorf("policy_document: %w", err)
		}
	}
	for _, h := range a.RevocationHosts {
		if host, _, err := net.SplitHostPort(h); err == nil && host == "" || h == "" || strings.Contains(h, "/") {
			return x, fmt.Errorf("revocation_hosts: %q is not HOST or HOST:PORT", h)
		}
	}
	return x, nil
}

// newAnchoring is nil where there are no authorities: neither to be asked, nor in the trust file to have been asked once.
func newAnchoring(c Config, k *keys, o observers) (*anchoring.Anchoring, error) {
	trusted := k.trust.Authorities()
	if len(k.authorities) == 0 && len(trusted) == 0 {
		return nil, nil
	}
	for i := range k.authorities {
		if x, ok := k.authorities[i].Asker.(ask.Authority); ok {
			x.Logger = o.logger
			k.authorities[i].Asker = x
		}
		if name := k.authorities[i].Pinned.Name; !slices.ContainsFunc(trusted, func(t timestamp.Authority) bool { return t.Name == name }) {
			o.logger.Warn("a time-stamp authority is not in the trust file: its tokens are recorded, and bound no time", "authority", name)
		}
	}
	return anchoring.New(anchoring.Config{
		Authorities: k.authorities, Trusted: trusted, Cosigned: k.cosigned, Every: time.Duration(c.Anchors.Every), Stamps: max(1, k.trust.Stamps()),
		Logger: o.logger, Registerer: o.registerer,
	})
}

// cosigned is before when a checkpoint had not all the cosignatures that are demanded, by the clocks of as many witnesses as it takes.
func (k *keys) cosigned(note []byte) (at time.Time, ok bool) {
	cp, err := k.trust.OpenCheckpoint(note)
	if err != nil {
		return time.Time{}, false
	}
	seconds, ok := k.trust.QuorumSince(cp)
	return time.Unix(int64(min(seconds, math.MaxInt64)), 0), ok
}

// stampers are told of checkpoints.
func stampers(a *anchoring.Anchoring) []log.Stamper {
	if a == nil {
		return nil
	}
	return []log.Stamper{a}
}

// authorityChecks say which authorities are late and since when, by their names, and by when time stamps must be renewed.
// Recording needs neither.
func authorityChecks(a *anchoring.Anchoring, now time.Time) (checks []api.Check) {
	if a == nil {
		return nil
	}
	health := a.Health()
	for _, h := range health.Authorities {
		detail := "nothing anchored yet"
		if h.Size > 0 {
			detail = fmt.Sprintf("the latest that it anchored has size %d, at %s", h.Size, at(h.Last))
		}
		if !h.Since.IsZero() {
			detail = fmt.Sprintf("%s since %s (%s); %s", word(h.Late, "late", "failing"), at(h.Since), cmp.Or(h.Reason, "no answer"), detail)
		}
		if !h.RenewBy.IsZero() {
			detail += "; renew_by " + at(h.RenewBy)
		}
		if !h.Counts {
			detail += "; not in the trust file, so that it bounds no time"
		}
		checks = append(checks, api.Check{Check: "authority " + h.Name, OK: !h.Late, Detail: detail})
	}
	if by := health.RenewBy; !by.IsZero() {
		detail := "renew_by " + at(by)
		if now.After(by.Add(-anchoring.RenewalNotice)) {
			detail += ": before that, an authority that counts for longer must have stamped this log"
		}
		checks = append(checks, api.Check{Check: "renewal", OK: now.Before(by), Detail: detail})
	}
	return checks
}

// cosigned says who signed a checkpoint, as the trust file judges it.
func cosigned(t *trust.Trust) func(note []byte) (uint64, []api.Cosigned) {
	return func(note []byte) (uint64, []api.Cosigned) {
		c, err := t.OpenCheckpoint(note)
		if err != nil {
			return 0, nil
		}
		var all []api.Cosigned
		for _, s := range c.Cosigned {
			all = append(all, api.Cosigned{Witness: s.Witness, Time: time.Unix(int64(s.Time), 0)})
		}
		return c.Size, all
	}
}
