package evidencetest

import (
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// Custody is a custody record of somebody who discloses content, without what depends on the bundle.
func Custody() evidence.Custody {
	return evidence.Custody{
		Exhibit: "A-7", Matter: "M-2026-17", Made: Noon.Time(), Exporter: "Jane Doe, internal audit", Approver: "John Roe, general counsel",
		Recipient: "Financial Regulator, Mr. X", Basis: "request of 2026-11-20", Disclosed: []string{"content"},
		Withheld: []evidence.Withheld{{Class: "personal", Reason: "privileged matter"}, {Class: "secret"}}, Nonce: [16]byte{1, 2, 3},
	}
}

// HandOver has the log record that a bundle is handed over, and puts the record and the log's word into the bundle.
func (l *Log) HandOver(b *evidence.Bundle, c evidence.Custody) *evidence.Bundle {
	l.t.Helper()
	var err error
	if c.Entries, c.EntriesHash, err = b.CountEntries(); err != nil {
		l.t.Fatal(err)
	}
	b.Custody = c.Marshal()
	for sessions := range slices.Chunk(b.Sessions, 64) {
		b.Leaves = append(b.Leaves, l.Leaf(l.Say(entry.TypeDisclosure, DisclosureOf(c, sessions...))))
	}
	b.Checkpoint = l.Checkpoint()
	return l.Prove(b)
}

// DisclosureOf is what the log says of a hand-over.
func DisclosureOf(c evidence.Custody, sessions ...string) entry.Disclosure {
	d := entry.Disclosure{Exhibit: entry.ID(c.Exhibit), Digest: c.Hash(), Principal: "token:auditor", Matter: entry.ID(c.Matter)}
	for _, s := range sessions {
		d.Sessions = append(d.Sessions, entry.UUID(s))
	}
	for _, class := range c.Disclosed {
		d.Classes = append(d.Classes, entry.ID(class))
	}
	return d
}
