package evidencetest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
	"github.com/stenolog/steno/trust"
)

// An Authority is a time-stamp authority with certificates of its own, whose clock is the test's.
type Authority struct {
	timestamp.Authority // as a trust file pins it
	Material            authority.Material
	t                   testing.TB
}

// NewAuthority makes an authority whose certificates, and whose window, are of [from, until).
func NewAuthority(t testing.TB, name string, from, until time.Time) *Authority {
	t.Helper()
	m := Must(authority.Make(name, authority.ECDSA, from, until))(t)
	return &Authority{timestamp.Authority{
		Name: name, Anchors: [][]byte{m.Anchor().Raw}, From: from, Until: until, Accuracy: time.Second,
	}, m, t}
}

// Token stamps bytes.
func (a *Authority) Token(data []byte, at time.Time) []byte {
	a.t.Helper()
	server := Must(authority.New(authority.Config{Material: a.Material, Now: func() time.Time { return at }}))(a.t)
	req := Must(timestamp.NewRequest(sha256.Sum256(data), rand.Reader))(a.t)
	return Must(req.Token(Must(server.Respond(req.DER))(a.t)))(a.t)
}

// Pin puts authorities into the log's trust file, and demands so many of them.
func (l *Log) Pin(stamps int, authorities ...*Authority) {
	l.t.Helper()
	l.Trust = l.TrustPinning(stamps, authorities...)
}

// Anchor has authorities stamp the log as it is, at a time by their clocks, and records the tokens: a leaf for each. Witnesses' clocks go
// with the latest of these.
func (l *Log) Anchor(at time.Time, authorities ...*Authority) (indexes []uint64) {
	l.t.Helper()
	if at.After(l.WitnessClock) {
		l.WitnessClock = at
	}
	note := l.Checkpoint()
	size := uint64(len(l.Leaves))
	for _, a := range authorities {
		indexes = append(indexes, l.Record(a.Name, size, note, a.Token(note, at)))
	}
	return indexes
}

// Record records any bytes as a token over any note.
func (l *Log) Record(authority string, size uint64, note, token []byte) (index uint64) {
	l.t.Helper()
	e := entry.Anchor{
		Authority: entry.ID(authority), Size: size, Checkpoint: entry.HashOf(note), Token: entry.Text(base64.StdEncoding.EncodeToString(token)),
		LongTerm: []entry.PublicBlob{{Kind: "checkpoint", SHA256: entry.HashOf(note), Size: uint64(len(note))}},
	}
	if l.TokensAside {
		e.Token, e.TokenBlob = "", &entry.PublicBlob{Kind: "rfc3161-token", SHA256: entry.HashOf(token), Size: uint64(len(token))}
		l.public = append(l.public, token)
	}
	index = l.Say(entry.TypeAnchor, e)
	l.notes = append(l.notes, stamped{index, size, note})
	return index
}

// A stamped is a checkpoint that a leaf anchors.
type stamped struct {
	index, size uint64
	note        []byte
}

// TrustPinning is the log's trust file with these authorities and no others.
func (l *Log) TrustPinning(stamps int, authorities ...*Authority) *trust.Trust {
	l.t.Helper()
	return l.TrustWith(func(c *trust.Config) {
		c.Stamps, c.Authorities = stamps, nil
		for _, a := range authorities {
			c.Authorities = append(c.Authorities, a.Authority)
		}
	})
}

// anchors adds all that was stamped to a bundle.
func (l *Log) anchors(b *evidence.Bundle) {
	for _, s := range l.notes {
		b.Anchors = append(b.Anchors, evidence.Anchor{Index: s.index, Note: s.note})
		if !slices.ContainsFunc(b.Leaves, func(x evidence.Leaf) bool { return x.Index == s.index }) {
			b.Leaves = append(b.Leaves, l.Leaf(s.index))
		}
	}
	slices.SortFunc(b.Leaves, func(x, y evidence.Leaf) int { return int(x.Index) - int(y.Index) })
	for _, p := range l.public {
		b.Public = append(b.Public, evidence.BlobOf(p))
	}
	slices.SortFunc(b.Public, func(x, y evidence.Blob) int { return slices.Compare(x.SHA256[:], y.SHA256[:]) })
}
