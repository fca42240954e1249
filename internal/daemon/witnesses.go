package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// latestTimeout bounds how long a witness is waited for that is asked for its latest checkpoint. A log that starts waits.
const latestTimeout = 4 * time.Second

// A peer is one witness server: one client for all keys that the policy has at its URL.
type peer struct {
	client *witness.Client
	names  []string // of the keys in the policy
	keys   []note.Verifier
}

// peers are all witness servers of a log.
type peers struct {
	trust *trust.Trust
	all   []*peer
}

// where is how a witness server is reached. Witnesses of the policy with the same are one server.
type where struct{ url, ca, certificate, key string }

// newPeers brings the configuration and the policy together: it says where each witness of the policy is asked.
func newPeers(c Config, t *trust.Trust) (peers, error) {
	ps := peers{trust: t}
	at, err := c.places(t)
	if err != nil {
		return ps, err
	}
	byPlace := map[where][]trust.Witness{}
	var order []where
	for _, w := range t.Witnesses() {
		place, ok := at[w.Name]
		if !ok {
			continue
		}
		if byPlace[place] == nil {
			order = append(order, place)
		}
		byPlace[place] = append(byPlace[place], w)
	}
	for _, place := range order {
		p, err := newPeer(c.Origin, t, place, byPlace[place])
		if err != nil {
			return ps, err
		}
		ps.all = append(ps.all, p)
	}
	return ps, ps.check()
}

// places finds where each witness of the policy is: under its own name in the configuration, else under its operator's, else
// in the policy. Those that are nowhere are left out.
func (c *Config) places(t *trust.Trust) (map[string]where, error) {
	entries := map[string]Witness{}
	used := map[string]bool{}
	for _, w := range c.Witnesses {
		entries[w.Name] = w
	}
	at := map[string]where{}
	for _, w := range t.Witnesses() {
		name := w.Name
		if _, ok := entries[name]; !ok {
			name = w.Operator
		}
		e := entries[name]
		used[name] = true
		if url := strings.TrimSuffix(cmp.Or(e.URL, w.URL), "/"); url != "" {
			at[w.Name] = where{url, e.CA, e.TLS.Certificate, e.TLS.Key}
		}
	}
	for _, w := range c.Witnesses {
		if !used[w.Name] {
			return nil, fmt.Errorf("witnesses: %q is neither a witness of the trust file's policy nor an operator that has one without a line of its own", w.Name)
		}
	}
	return at, nil
}

func newPeer(origin string, t *trust.Trust, at where, ws []trust.Witness) (*peer, error) {
	p := new(peer)
	var keys []*checkpoint.Verifier
	for _, w := range ws {
		p.names = append(p.names, w.Name)
		keys, p.keys = append(keys, w.Verifier), append(p.keys, w.Verifier)
	}
	client, err := at.client()
	if err != nil {
		return nil, fmt.Errorf("witness %s: %w", p.name(), err)
	}
	p.client, err = witness.NewClient(witness.ClientConfig{
		Name: p.name(), URL: at.url, Verifiers: keys, Log: t.LogVerifiers(), Origin: origin, HTTP: client,
	})
	return p, err
}

// name is how health, metrics and the server's log call it.
func (p *peer) name() string { return strings.Join(p.names, ",") }

// client speaks TLS as the configuration says: by default with the system's authorities and without a certificate.
func (w where) client() (*http.Client, error) {
	transport := witness.NewTransport()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if w.ca != "" {
		pem, err := os.ReadFile(w.ca)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s has no certificate", w.ca)
		}
	}
	if w.certificate != "" {
		cert, err := tls.LoadX509KeyPair(w.certificate, w.key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{cert}
	}
	if u, err := url.Parse(w.url); err == nil && u.Scheme == "http" && (w.ca != "" || w.certificate != "") {
		return nil, fmt.Errorf("ca and tls are nothing without TLS, and the url %s is in clear", w.url)
	}
	return &http.Client{Transport: transport}, nil
}

// check makes sure that the witnesses which can be asked are enough: to make the quorum, and to know of every checkpoint that
// ever had it.
func (ps peers) check() error {
	if !ps.trust.NeedsWitnesses() {
		return nil
	}
	asked := map[string]bool{}
	for _, p := range ps.all {
		for _, n := range p.names {
			asked[n] = true
		}
	}
	without := ps.except(asked)
	if missing := strings.Join(without, ", "); !ps.trust.CanReach(ps.except(nil, without...)) || ps.trust.CanReach(without) {
		return fmt.Errorf("witnesses: %s of the trust file's policy has no url, here or there, and the quorum may need it", missing)
	}
	return nil
}

// except lists the policy's witnesses but some.
func (ps peers) except(some map[string]bool, more ...string) (rest []string) {
	for _, w := range ps.trust.Witnesses() {
		if !some[w.Name] && !slices.Contains(more, w.Name) {
			rest = append(rest, w.Name)
		}
	}
	return rest
}

// cosigners are what the log asks.
func (ps peers) cosigners() (all []log.Cosigner) {
	for _, p := range ps.all {
		all = append(all, cosigner{p})
	}
	return all
}

// A cosigner makes a log.Cosigner of a witness server.
type cosigner struct{ peer *peer }

func (c cosigner) Name() string { return c.peer.name() }

func (c cosigner) Cosign(ctx context.Context, req log.CosignRequest) ([]byte, error) {
	lines, err := c.peer.client.AddCheckpoint(ctx, req.Size, req.Note, req.Consistency)
	var ahead *witness.AheadError
	if errors.As(err, &ahead) {
		return nil, &log.AheadError{Size: ahead.Size, Note: ahead.Note}
	}
	return lines, err
}

// A sighting is what a witness server shows as its latest checkpoint of the log.
type sighting struct {
	peer *peer
	note []byte // nil if it has none, or err says why there is no answer
	err  error
}

// latest asks all of them at once.
func (ps peers) latest(ctx context.Context) []sighting {
	ctx, cancel := context.WithTimeout(ctx, latestTimeout)
	defer cancel()
	all := make([]sighting, len(ps.all))
	var wg sync.WaitGroup
	for i, p := range ps.all {
		wg.Go(func() {
			msg, err := p.client.Latest(ctx, ps.trust.Origin)
			if errors.Is(err, witness.ErrUnknownLog) {
				err = nil
			}
			all[i] = sighting{p, msg, err}
		})
	}
	wg.Wait()
	return all
}

// elsewhere is log.Config.Elsewhere. An answer is a checkpoint of the log's, or that there is none. What the log did not sign
// goes with the others, for the log to say so, and counts as silence.
func (ps peers) elsewhere(ctx context.Context, logger *slog.Logger) (notes [][]byte, enough bool) {
	answered := map[string]bool{}
	for _, s := range ps.latest(ctx) {
		if s.note != nil {
			notes = append(notes, s.note)
			_, s.err = note.Open(s.note, note.VerifierList(logVerifiers(ps.trust)...))
		}
		if s.err != nil {
			logger.Warn("witness does not say what it saw of this log", "witness", s.peer.name(), "error", s.err)
			continue
		}
		for _, n := range s.peer.names {
			answered[n] = true
		}
	}
	return notes, ps.enough(answered)
}

// enough tells whether those who did not answer could not have made a quorum by themselves: then every checkpoint that had
// one was seen by somebody who answered.
func (ps peers) enough(answered map[string]bool) bool {
	return !ps.trust.NeedsWitnesses() || !ps.trust.CanReach(ps.except(answered))
}
