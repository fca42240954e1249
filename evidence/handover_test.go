package evidence_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// disclosed is a log with a session of two payloads, and a bundle that shows both: one of class content, one of class personal.
func disclosed(t testing.TB) (*Log, *evidence.Bundle) {
	t.Helper()
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	for _, class := range []payload.Class{payload.Content, payload.Personal} {
		main.Add(recorder.Event{Type: entry.TypeReasoning, Build: func(seal recorder.Seal) (any, error) {
			p, err := seal("content", payload.Text, class, []byte("because of "+class.String()))
			return entry.Reasoning{Form: "plain", Content: p}, err
		}})
	}
	main.Close()
	b := l.Evidence(main.ID)
	for _, leaf := range b.Leaves {
		e := EntryOf(t, leaf)
		for i, ev := range e.Events {
			if ev.Type != entry.TypeReasoning {
				continue
			}
			p := Must(ev.Value())(t).(*entry.Reasoning).Content
			place := payload.Place{Origin: origin, Session: main.ID, Track: "main", Seq: e.Seq + uint64(i), Slot: "content"}
			blobs := map[payload.Hash][]byte{}
			for h, blob := range l.Blobs {
				blobs[h] = blob
			}
			opened := Must(payload.Open(main.Keys, place, payload.RefOf(p), blobs))(t)
			b.Disclosed = append(b.Disclosed, Must(evidence.DisclosedOf(leaf.Index, i, "content", opened.Disclose(nil)))(t))
		}
	}
	if len(b.Disclosed) != 2 {
		t.Fatalf("%d disclosures", len(b.Disclosed))
	}
	return l, b
}

func TestCustodyRecordAgreesWithTheFileAndTheLog(t *testing.T) {
	l, b := disclosed(t)
	b.Disclosed = b.Disclosed[:1]
	b = l.HandOver(b, Custody())
	b.Report = []byte("<p>a report</p>")
	r := verify(t, b, l.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	c := r.Custody
	if c == nil || c.Exhibit != "A-7" || c.Matter != "M-2026-17" || c.Recipient != "Financial Regulator, Mr. X" || c.Index == nil || *c.Index != uint64(len(l.Leaves))-1 ||
		c.Principal != "token:auditor" || !slices.Equal(c.Disclosed, []string{"content"}) || len(c.Withheld) != 2 || c.Withheld[0].Reason != "privileged matter" || c.Entries != 4 {
		t.Errorf("%+v", c)
	}
	for _, id := range []string{"custody-words", "report"} {
		if !slices.ContainsFunc(r.NotChecked, func(n evidence.NotChecked) bool { return n.ID == id }) {
			t.Errorf("not_checked lacks %s", id)
		}
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "Exhibit A-7") || !strings.Contains(text.String(), "recorded by the log at leaf") {
		t.Errorf("%v\n%s", err, text.String())
	}
	// A file without a record fails nothing, and says so.
	l, b = disclosed(t)
	r = verify(t, b, l.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	if r.Custody != nil || !slices.ContainsFunc(r.NotChecked, func(n evidence.NotChecked) bool { return n.ID == "custody" }) {
		t.Errorf("%s", r.JSON())
	}
}

func TestCustodyRecordThatIsWrongFails(t *testing.T) {
	other := func(change func(c *evidence.Custody)) func(l *Log, b *evidence.Bundle) *evidence.Bundle {
		return func(l *Log, b *evidence.Bundle) *evidence.Bundle {
			c := *Must(evidence.ParseCustody(b.Custody))(l.T())
			change(&c)
			b.Custody = c.Marshal()
			return b
		}
	}
	// said has the log record other things of the same record.
	said := func(change func(d *entry.Disclosure)) func(l *Log, b *evidence.Bundle) *evidence.Bundle {
		return func(l *Log, b *evidence.Bundle) *evidence.Bundle {
			d := DisclosureOf(*Must(evidence.ParseCustody(b.Custody))(l.T()), b.Sessions...)
			change(&d)
			b.Leaves = append(b.Leaves[:len(b.Leaves)-1], l.Leaf(l.Say(entry.TypeDisclosure, d)))
			b.Checkpoint = l.Checkpoint()
			return l.Prove(b)
		}
	}
	for name, c := range map[string]struct {
		words string
		spoil func(l *Log, b *evidence.Bundle) *evidence.Bundle
	}{
		"another word in it": {"none names the hash", other(func(c *evidence.Custody) { c.Recipient = "somebody else" })},
		"another nonce":      {"none names the hash", other(func(c *evidence.Custody) { c.Nonce[0]++ })},
		"no record":          {"does not begin", func(_ *Log, b *evidence.Bundle) *evidence.Bundle { b.Custody = []byte("x"); return b }},
		"another spelling":   {"one spelling", func(_ *Log, b *evidence.Bundle) *evidence.Bundle { b.Custody = append(b.Custody, '\n'); return b }},
		"the log's word left out": {"none names the hash", func(l *Log, b *evidence.Bundle) *evidence.Bundle {
			b.Leaves = b.Leaves[:len(b.Leaves)-1]
			return l.Prove(b)
		}},
		"another exhibit":   {"another exhibit", said(func(d *entry.Disclosure) { d.Exhibit = "B-1" })},
		"another matter":    {"another matter", said(func(d *entry.Disclosure) { d.Matter = "" })},
		"other classes":     {"other classes", said(func(d *entry.Disclosure) { d.Classes = append(d.Classes, "personal") })},
		"no classes":        {"other classes", said(func(d *entry.Disclosure) { d.Classes = nil })},
		"another digest":    {"none names the hash", said(func(d *entry.Disclosure) { d.Digest[0] ^= 1 })},
		"a session more":    {"2 sessions were handed over, the file has 1, and 1", said(func(d *entry.Disclosure) { d.Sessions = append(d.Sessions, entry.UUID(SessionID(2))) })},
		"another session":   {"1 sessions were handed over, the file has 1, and 0", said(func(d *entry.Disclosure) { d.Sessions[0] = entry.UUID(SessionID(2)) })},
		"no session at all": {"0 sessions were handed over", said(func(d *entry.Disclosure) { d.Sessions = []entry.UUID{} })},
		"an entry left out": {"the file has 3 entries", func(l *Log, b *evidence.Bundle) *evidence.Bundle {
			n := slices.IndexFunc(b.Leaves, func(x evidence.Leaf) bool {
				e := EntryOf(l.T(), x)
				return e.Events[len(e.Events)-1].Type == entry.TypeSessionClose
			})
			b.Leaves = slices.Delete(b.Leaves, n, n+1)
			return l.Prove(b)
		}},
		"other entries than it says": {"the file has 4 entries of its sessions with the hash", func(l *Log, b *evidence.Bundle) *evidence.Bundle {
			c := *Must(evidence.ParseCustody(b.Custody))(l.T())
			c.EntriesHash[7] ^= 1
			b.Custody = c.Marshal()
			return said(func(*entry.Disclosure) {})(l, b)
		}},
		"content that is withheld": {"class personal, which the custody record does not disclose", func(_ *Log, b *evidence.Bundle) *evidence.Bundle { return b }},
	} {
		t.Run(name, func(t *testing.T) {
			l, b := disclosed(t)
			if name != "content that is withheld" {
				b.Disclosed = b.Disclosed[:1]
			}
			r := verify(t, c.spoil(l, l.HandOver(b, Custody())), l.Trust)
			if r.Exit != evidence.ExitFailed {
				t.Fatalf("exit %d\n%s", r.Exit, r.JSON())
			}
			n := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == evidence.CheckCustody })
			if got := r.Checks[n]; got.Outcome != evidence.Failed || got.Passed != 0 || !strings.Contains(got.Detail, c.words) || got.Where.String() == "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestCustodyOfManySessionsHasSeveralEvents: an event names 64 sessions at most. Each of them counts, and is needed.
func TestCustodyOfManySessionsHasSeveralEvents(t *testing.T) {
	l, r := newLog(t)
	var ids []string
	for n := range 70 {
		main := l.Open(SessionID(n), "bot", r)
		main.Close()
		ids = append(ids, main.ID)
	}
	b := l.HandOver(l.Evidence(ids...), Custody())
	report := verify(t, b, l.Trust)
	want(t, report, evidence.ExitVerified, "", "")
	if *report.Custody.Index != uint64(len(l.Leaves))-2 {
		t.Errorf("%+v", report.Custody)
	}
	for n, words := range []string{"6 sessions were handed over, the file has 70", "64 sessions were handed over, the file has 70"} {
		less := *b
		at := len(b.Leaves) - 2 + n
		less.Leaves = slices.Delete(slices.Clone(b.Leaves), at, at+1)
		want(t, verify(t, l.Prove(&less), l.Trust), evidence.ExitFailed, evidence.CheckCustody, words)
	}
	// Another event of the same record that says otherwise: one of the two is not what happened.
	d := DisclosureOf(*Must(evidence.ParseCustody(b.Custody))(t), ids[:3]...)
	d.Exhibit = "B-1"
	b.Leaves = append(b.Leaves, l.Leaf(l.Say(entry.TypeDisclosure, d)))
	b.Checkpoint = l.Checkpoint()
	want(t, verify(t, l.Prove(b), l.Trust), evidence.ExitFailed, evidence.CheckCustody, "another exhibit")
}

// TestCustodyEventOfAStrangerCountsForNothing: whoever makes the file can write what looks like the log's word.
func TestCustodyEventOfAStrangerCountsForNothing(t *testing.T) {
	l, b := disclosed(t)
	b.Disclosed = b.Disclosed[:1]
	pinned := l.Trust
	l.SystemKey = NewKey(t, origin+"/system")
	l.Restart(2, SessionID(0xfffe), l.SystemEnd())
	r := verify(t, l.HandOver(b, Custody()), pinned)
	want(t, r, evidence.ExitFailed, evidence.CheckSystem, "no pinned system key")
	n := slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == evidence.CheckCustody })
	if r.Checks[n].Outcome != evidence.Failed || r.Custody.Index != nil {
		t.Errorf("%+v", r.Checks[n])
	}
}
