package verifiertest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

// spanning adds to a bundle every leaf from one index up to another, and the claim that they are all there.
func spanning(l *evidencetest.Log, b *evidence.Bundle, from, to uint64) *evidence.Bundle {
	b.Range = &evidence.Range{From: from, To: to}
	for i := from; i < min(to, uint64(len(l.Leaves))); i++ {
		if !slices.ContainsFunc(b.Leaves, func(x evidence.Leaf) bool { return x.Index == i }) {
			b.Leaves = append(b.Leaves, l.Leaf(i))
		}
	}
	slices.SortFunc(b.Leaves, func(x, y evidence.Leaf) int { return int(x.Index) - int(y.Index) })
	return l.Prove(b)
}

// drop leaves out a leaf.
func drop(l *evidencetest.Log, b *evidence.Bundle, index uint64) *evidence.Bundle {
	b.Leaves = slices.DeleteFunc(b.Leaves, func(x evidence.Leaf) bool { return x.Index == index })
	return l.Prove(b)
}

func (m *maker) ranges() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, _ := Record(l, evidencetest.SessionID(1), 2)
	second, _ := Record(l, evidencetest.SessionID(2), 1)
	whole := func() *evidence.Bundle { return l.Evidence(main.ID, second.ID) }
	size := uint64(len(l.Leaves))
	m.add("range of all", spanning(l, whole(), 0, size), l.Trust)
	m.add("range of some", spanning(l, whole(), 3, 9), l.Trust)
	m.add("range of no session", spanning(l, &evidence.Bundle{Origin: origin, Checkpoint: l.Checkpoint()}, 0, 1), l.Trust)
	m.add("range of leaves of a session that is not named", spanning(l, l.Evidence(main.ID), 0, size), l.Trust)
	m.add("range with a hole", drop(l, spanning(l, whole(), 0, size), 0), l.Trust)
	m.add("range with two holes", drop(l, drop(l, spanning(l, whole(), 0, size), 0), size-1), l.Trust)
	m.add("range without its first leaf", drop(l, spanning(l, whole(), 5, size), 5), l.Trust)
	m.add("range without its last leaf", drop(l, spanning(l, whole(), 0, size), size-1), l.Trust)
	m.add("range beyond the tree", spanning(l, whole(), 3, size+1), l.Trust)
	m.add("range all of it beyond the tree", spanning(l, whole(), size+5, 1<<62), l.Trust)
	bad := spanning(l, whole(), 0, size)
	spoilLeaf(bad, 0, 30)
	m.add("range with a leaf changed", bad, l.Trust)
}

// pending has files that say that they were made too early, of what they lack and of what they don't.
func (m *maker) pending() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, _ := Record(l, evidencetest.SessionID(1), 1)
	open := l.Open(evidencetest.SessionID(2), "bot", enrol(l))
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	one := evidencetest.NewAuthority(m.t, "one.example", from, from.AddDate(9, 0, 0))
	all, size := l.Witnesses, uint64(len(l.Leaves))
	ended := func(f *trust.Config) { // of the first witness's key, before the checkpoint
		f.Windows = []trust.Window{{Role: trust.RoleWitness, Key: l.Witnesses[0].Verifier().String(), Until: size - 1}}
	}
	compromised := func(f *trust.Config) {
		f.Windows = []trust.Window{{Role: trust.RoleReceived, Key: l.Trust.Received[0], Until: size, Compromised: true}}
	}
	both := []evidence.CheckID{evidence.CheckTime, evidence.CheckWitnesses}
	for _, c := range []struct {
		name      string
		pending   []evidence.CheckID
		witnesses int
		trust     *trust.Trust
	}{
		{"witnesses, unmet", both[1:], 1, l.Trust},
		{"witnesses, met", both[1:], 3, l.Trust},
		{"time alone, witnesses unmet", both[:1], 1, l.Trust},
		{"time, unmet", both[:1], 3, l.TrustPinning(1, one)},
		{"time, not demanded", both[:1], 3, l.TrustPinning(0, one)},
		{"both, unmet", both, 0, l.TrustPinning(1, one)},
		{"both, time unmet", both, 3, l.TrustPinning(1, one)},
		{"witnesses alone, time unmet", both[1:], 1, l.TrustPinning(1, one)},
		{"both, with a compromised key that waits for the quorum", both, 1, l.TrustWith(compromised)},
		{"witnesses, one of whose keys had ended", both[1:], 2, l.TrustWith(ended)},
		{"witnesses, of whom the only key had ended", both[1:], 1, l.TrustWith(ended)},
	} {
		l.Witnesses = all[:c.witnesses]
		b := l.Evidence(main.ID)
		b.Pending = c.pending
		m.add("pending: "+c.name, b, c.trust)
	}
	l.Witnesses = all[:1]
	b := l.Evidence(main.ID, open.ID)
	b.Pending = both
	m.add("pending: and a session open", b, l.Trust)
	b = l.Evidence(main.ID)
	b.Pending = both
	b.Tree[0][0] ^= 1
	m.add("pending: and tampered", b, l.Trust)
	m.pendingAndStamped()
}

// pendingAndStamped has files that wait for time stamps which are all there, and count for nothing.
func (m *maker) pendingAndStamped() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{})
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	one := evidencetest.NewAuthority(m.t, "one.example", from, from.AddDate(9, 0, 0))
	two := evidencetest.NewAuthority(m.t, "two.example", from, from.AddDate(9, 0, 0))
	l.Pin(1, one)
	main, _ := Record(l, evidencetest.SessionID(1), 1)
	l.Anchor(from.AddDate(1, 0, 0), one)
	broken := *one
	broken.Compromised = from
	for _, stamps := range []int{1, 2} {
		b := l.Evidence(main.ID)
		b.Pending = []evidence.CheckID{evidence.CheckTime}
		m.add(fmt.Sprintf("pending: a token that does not count, of %d demanded", stamps), b, l.TrustPinning(stamps, &broken, two))
	}
}

// shown has recorders that were shown a root for a size that was stamped.
func (m *maker) shown() {
	for _, same := range []bool{true, false} {
		l := evidencetest.NewWith(m.t, origin, evidencetest.Options{})
		from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		one := evidencetest.NewAuthority(m.t, "one.example", from, from.AddDate(9, 0, 0))
		l.Pin(1, one)
		Record(l, evidencetest.SessionID(1), 1)
		shown := l.Checkpoint()
		if !same {
			head := checkpoint.Checkpoint{Origin: origin, Size: uint64(len(l.Leaves)), Root: [32]byte{1}}
			shown = evidencetest.Must(note.Sign(&note.Note{Text: head.Text()}, l.Signers...))(m.t)
		}
		l.Anchor(from.AddDate(1, 0, 0), one)
		main := l.Open(evidencetest.SessionID(2), "bot", enrol(l))
		main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(shown)}))
		main.Close()
		l.Anchor(from.AddDate(1, 0, 1), one)
		m.add(fmt.Sprintf("shown what was stamped: %v", same), l.Evidence(main.ID), l.Trust)
	}
}

// custody has files with a custody record.
func (m *maker) custody() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, gateway := Record(l, evidencetest.SessionID(1), 2)
	second, _ := Record(l, evidencetest.SessionID(2), 1)
	handed := func(change func(c *evidence.Custody)) *evidence.Bundle {
		b, c := l.Evidence(main.ID, second.ID), evidencetest.Custody()
		Disclose(l, b, gateway, nil)
		change(&c)
		return l.HandOver(b, c)
	}
	as := func(*evidence.Custody) {}
	m.add("custody", handed(as), l.Trust)
	m.add("custody of a range", spanning(l, handed(as), 0, uint64(len(l.Leaves))), l.Trust)
	m.add("custody in few words", handed(func(c *evidence.Custody) {
		c.Matter, c.Approver, c.Recipient, c.Basis, c.Withheld = "", "", "", "", nil
	}), l.Trust)
	m.add("custody in markup", handed(func(c *evidence.Custody) {
		c.Exporter, c.Recipient = `<script>window.stolen = 5</script><b>VERIFIED</b>`, "שלום 100 & \\u{202e} \ufeff\u200b e\u0301"
	}), l.Trust)
	m.add("custody discloses nothing", handed(func(c *evidence.Custody) { c.Disclosed = nil }), l.Trust)
	m.add("custody withholds what is shown", handed(func(c *evidence.Custody) {
		c.Disclosed, c.Withheld = nil, []evidence.Withheld{{Class: "content"}}
	}), l.Trust)
	m.custodyTampered(l, handed)
	m.custodyOfMany()
}

func (m *maker) custodyTampered(l *evidencetest.Log, handed func(func(*evidence.Custody)) *evidence.Bundle) {
	for _, c := range []struct {
		name  string
		spoil func(b *evidence.Bundle)
	}{
		{"without the log's word", func(b *evidence.Bundle) { b.Leaves = b.Leaves[:len(b.Leaves)-1] }},
		{"without an entry", func(b *evidence.Bundle) { b.Leaves, b.Disclosed = slices.Delete(b.Leaves, 4, 5), nil }},
		{"with another entry", func(b *evidence.Bundle) { spoilLeaf(b, 4, 200) }},
		{"with a session more", func(b *evidence.Bundle) { b.Sessions = append(b.Sessions, evidencetest.SessionID(7)) }},
		{"with a session less", func(b *evidence.Bundle) { b.Sessions = b.Sessions[:1] }},
		{"changed", func(b *evidence.Bundle) { b.Custody = bytes.Replace(b.Custody, []byte("Jane"), []byte("Joan"), 1) }},
		{"with another number of entries", func(b *evidence.Bundle) {
			b.Custody = bytes.Replace(b.Custody, []byte("entries "), []byte("entries 1"), 1)
		}},
		{"left out", func(b *evidence.Bundle) { b.Custody = nil }},
		{"with controls", func(b *evidence.Bundle) {
			b.Custody = bytes.Replace(b.Custody, []byte("Jane"), []byte("\x1b[31mJane\u202e\u2066 enaJ <script>window.stolen = 6</script><b>VERIFIED</b>\xff\r"), 1)
		}},
	} {
		b := handed(func(*evidence.Custody) {})
		c.spoil(b)
		m.add("tampered: custody "+c.name, l.Prove(b), l.Trust)
	}
	for i, text := range custodyTexts(string(handed(func(*evidence.Custody) {}).Custody)) {
		b := handed(func(*evidence.Custody) {})
		b.Custody = []byte(text)
		m.add(fmt.Sprint("tampered: custody in another form, ", i), b, l.Trust)
		m.all[len(m.all)-1].Form = true
	}
	for _, said := range []struct {
		what   string
		change func(d *entry.Disclosure)
	}{
		{"another exhibit", func(d *entry.Disclosure) { d.Exhibit = "A-8" }},
		{"another matter", func(d *entry.Disclosure) { d.Matter = "" }},
		{"other classes", func(d *entry.Disclosure) { d.Classes = []entry.ID{"personal", "content"} }},
		{"other sessions", func(d *entry.Disclosure) { d.Sessions[0] = entry.UUID(evidencetest.SessionID(99)) }},
		{"another hash", func(d *entry.Disclosure) { d.Digest[0] ^= 1 }},
	} {
		b := handed(func(*evidence.Custody) {})
		c, err := evidence.ParseCustody(b.Custody)
		if err != nil {
			m.t.Fatal(err)
		}
		d := evidencetest.DisclosureOf(*c, b.Sessions...)
		said.change(&d)
		b.Leaves[len(b.Leaves)-1] = l.Leaf(l.Say(entry.TypeDisclosure, d))
		b.Checkpoint = l.Checkpoint()
		m.add("tampered: custody, and the log says "+said.what, l.Prove(b), l.Trust)
		d = evidencetest.DisclosureOf(*c, b.Sessions...)
		b.Leaves = append(b.Leaves, l.Leaf(l.Say(entry.TypeDisclosure, d)))
		b.Checkpoint = l.Checkpoint()
		m.add("tampered: custody, and the log says "+said.what+", and says it right", l.Prove(b), l.Trust)
	}
}

// custodyTexts are records that no reader takes, and at the end one with all that is allowed.
func custodyTexts(good string) []string {
	line := func(from, to string) string {
		at := bytes.Index([]byte(good), []byte("\n"+from+" ")) + 1
		end := at + bytes.IndexByte([]byte(good[at:]), '\n') + 1
		return good[:at] + to + good[end:]
	}
	out := []string{"", "\n", "steno/custody/v2" + good[len("steno/custody/v1"):], good + "\n", good[:len(good)-1], good + "more 1\n", "\ufeff" + good,
		line("nonce", ""), line("nonce", "nonce AQIDAAAAAAAAAAAAAAAAAA=\n"), line("nonce", "nonce AQIDAAAAAAAAAAAAAAAAAB==\n"), line("exhibit", ""),
		line("matter", "matter \n"), line("exhibit", "exhibit A 7\n"), line("exhibit", "exhibit -7\n"), line("matter", "matter M-1\nmatter M-2\n"),
		line("disclosed", "disclosed personal\n"), line("disclosed", "disclosed content\ndisclosed content\n"), line("disclosed", "disclosed content and\n"),
		line("disclosed", "disclosed Content\n"), line("withheld", "withheld personal \n"), line("withheld", "withheld personal  x\n"),
		line("withheld", "withheld directory x\nwithheld content y\n"), line("exporter", ""), line("exporter", "exporter\n"),
		line("approver", "exporter A\n"),
	}
	for _, words := range []string{" A", "A ", "A\tB", "A\rB", "A\x00", "A\x1b[31m", "A\x7f", "A\u0085", "A\u009b", "A\u2028", "A\u2029", "A\u202e", "A\u2066", "A\u061c",
		"A\u200e", "A\xff", "A\xed\xa0\x80", string(bytes.Repeat([]byte("é"), 251))} {
		out = append(out, line("exporter", "exporter "+words+"\n"), line("withheld", "withheld personal "+words+"\n"))
	}
	for _, made := range []string{"2026-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T16:00:60Z", "2026-11-24T16:00:00.0Z", "2026-11-24T16:00:00+00:00",
		"2026-11-24 16:00:00Z", "26-11-24T16:00:00Z", "2026-11-24t16:00:00z", "02026-11-24T16:00:00Z"} {
		out = append(out, line("made", "made "+made+"\n"))
	}
	for _, entries := range []string{"01", "-1", "+1", "1.0", "200001", "", "1e1", "0x1"} {
		out = append(out, line("entries", "entries "+entries+" "+fmt.Sprintf("%064x", 1)+"\n"))
	}
	for _, digest := range []string{fmt.Sprintf("%064X", 0xab), fmt.Sprintf("%063x", 1), fmt.Sprintf("%064x", 1) + " ", ""} {
		out = append(out, line("entries", "entries 1 "+digest+"\n"))
	}
	return append(out, line("made", "made 0000-02-29T23:59:59Z\n"), line("exporter", "exporter "+string(bytes.Repeat([]byte("é"), 250))+"\n"),
		line("exporter", "exporter \u00a0\ufeff\u200b\u3000\n"), line("entries", "entries 200000 "+fmt.Sprintf("%064x", 1)+"\n"))
}

// custodyOfMany is of so many sessions that the log needs two events to say it.
func (m *maker) custodyOfMany() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	var ids []string
	for n := range 66 {
		main := l.Open(evidencetest.SessionID(n+1), "bot", enrol(l))
		main.Close()
		ids = append(ids, main.ID)
	}
	b := l.HandOver(l.Evidence(ids...), evidencetest.Custody())
	m.add("custody of many sessions", b, l.Trust)
	b.Leaves = b.Leaves[:len(b.Leaves)-1]
	m.add("tampered: custody of many sessions, of which the log says some", l.Prove(b), l.Trust)
	main := l.Open(evidencetest.SessionID(90), "bot", enrol(l))
	main.Add(Says(payload.Text, []byte("not handed over")))
	main.Close()
	m.add("custody of nothing", l.HandOver(spanning(l, &evidence.Bundle{Origin: origin, Checkpoint: l.Checkpoint()}, 0, 1), evidencetest.Custody()), l.Trust)
}

// forged has a log that has stamped checkpoints that are not its own.
func (m *maker) forged() {
	for _, c := range []struct {
		name string
		note func(l *evidencetest.Log) (note []byte, size uint64)
	}{
		{"of another root", func(l *evidencetest.Log) ([]byte, uint64) {
			return flipped(l.Checkpoint(), len(origin)+len("\n3\n")+4), uint64(len(l.Leaves))
		}},
		{"of another log", func(l *evidencetest.Log) ([]byte, uint64) {
			return evidencetest.New(m.t, "other.example/x").Checkpoint(), 1
		}},
		{"of another size", func(l *evidencetest.Log) ([]byte, uint64) { return l.Checkpoint(), uint64(len(l.Leaves)) - 1 }},
		{"of a size beyond its leaf", func(l *evidencetest.Log) ([]byte, uint64) {
			return bytes.Replace(l.Checkpoint(), []byte(fmt.Sprintf("\n%d\n", len(l.Leaves))), []byte("\n1000\n"), 1), 1000
		}},
		{"of size 0", func(l *evidencetest.Log) ([]byte, uint64) {
			return bytes.Replace(l.Checkpoint(), []byte(fmt.Sprintf("\n%d\n", len(l.Leaves))), []byte("\n0\n"), 1), 0
		}},
		{"that are no checkpoint", func(*evidencetest.Log) ([]byte, uint64) { return []byte("x\n\n— x AAAAAAA=\n"), 3 }},
	} {
		l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
		note, size := c.note(l)
		l.Record("one.example", size, note, []byte("no token"))
		main, _ := Record(l, evidencetest.SessionID(1), 1)
		l.Record("one.example", uint64(len(l.Leaves)), l.Checkpoint(), []byte("no token"))
		m.add("stamped "+c.name, l.Evidence(main.ID), l.Trust)
	}
}
