// Package verifiertest makes bundles and trust files of every kind that a verifier must tell apart, for tests that hold one
// verifier against another.
package verifiertest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/trust"
)

const origin = "log.test.example/prod"

// A Case is a bundle and the trust file to judge it by.
type Case struct {
	Name   string
	Bundle []byte
	Trust  []byte
	// Form says that it differs in its form alone, which is read the same wherever a verifier runs.
	Form bool
	// Agree is how far a verifier that can't check ML-DSA-44 agrees with one that can.
	Agree Agreement
}

// An Agreement is what two verifiers have in common.
type Agreement int

// Agreements.
const (
	Reports  Agreement = iota // all of the report
	Verdicts                  // the verdict: one counts a cosignature that the other can't check
	Nothing                   // one can't come to a verdict, and says so
)

// A maker collects cases.
type maker struct {
	t   testing.TB
	all []Case
}

func (m *maker) add(name string, b *evidence.Bundle, t *trust.Trust) {
	m.t.Helper()
	m.all = append(m.all, Case{Name: name, Bundle: File(m.t, b), Trust: t.Marshal()})
}

// File writes a bundle.
func File(t testing.TB, b *evidence.Bundle) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := evidence.Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Cases are all of them, with keys of their own each time.
func Cases(t testing.TB) []Case {
	t.Helper()
	m := &maker{t: t}
	m.whole()
	m.verdicts()
	m.witnesses()
	m.windows()
	m.postQuantum()
	m.anchored()
	m.clocks()
	m.tampered()
	m.tamperedWords()
	m.ranges()
	m.pending()
	m.shown()
	m.custody()
	m.forms()
	m.forged()
	return m.all
}

func enrol(l *evidencetest.Log) evidencetest.Recorder {
	return l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
}

// Record records a session of two tracks with n actions.
func Record(l *evidencetest.Log, id string, n int) (main, gateway *evidencetest.Track) {
	main = l.Open(id, "bot", enrol(l))
	gateway = l.Join(main, "gateway-1", "bot", l.Enrol("acme/gateways/edge", entry.HolderGateway, "bot"))
	for i := range n {
		a := fmt.Sprintf("a-%d", i)
		gateway.Add(evidencetest.Intent(a, "ledger.post", map[string]any{"to": "Ada", "amount": 1200 + i}))
		gateway.Add(evidencetest.Result(a, []string{"posted", a}))
	}
	main.Close(gateway)
	return main, gateway
}

// Disclose adds to a bundle what show says of the segments of all payloads of a track; nil shows all.
func Disclose(l *evidencetest.Log, b *evidence.Bundle, tr *evidencetest.Track, show func(i int) bool) {
	blobs := map[payload.Hash][]byte{}
	for h, blob := range l.Blobs {
		blobs[h] = blob
	}
	for _, leaf := range b.Leaves {
		e, err := entry.Parse(evidencetest.Content(l.T(), leaf))
		if err != nil || e.Track != tr.Name || e.Session != tr.ID {
			continue
		}
		for i, ev := range e.Events {
			v, err := ev.Value()
			if err != nil {
				panic(err)
			}
			for slot, p := range payloads(v) {
				place := payload.Place{Origin: l.Origin, Session: tr.ID, Track: tr.Name, Seq: e.Seq + uint64(i), Slot: slot}
				opened, err := payload.Open(tr.Keys, place, payload.RefOf(p), blobs)
				if err != nil {
					panic(err)
				}
				d, err := evidence.DisclosedOf(leaf.Index, i, slot, opened.Disclose(show))
				if err != nil {
					panic(err)
				}
				b.Disclosed = append(b.Disclosed, d)
			}
		}
	}
	slices.SortFunc(b.Disclosed, func(x, y evidence.Disclosed) int {
		return bytes.Compare(fmt.Appendf(nil, "%020d-%03d-%s", x.Index, x.Event, x.Slot), fmt.Appendf(nil, "%020d-%03d-%s", y.Index, y.Event, y.Slot))
	})
}

func payloads(v any) map[string]*entry.Payload {
	all := map[string]*entry.Payload{}
	switch v := v.(type) {
	case *entry.ActionIntent:
		all["params"], all["target"] = v.Params, v.Target
	case *entry.ActionResult:
		all["response"] = v.Response
	case *entry.Reasoning:
		all["content"] = v.Content
	case *entry.Input:
		all["content"] = v.Content
	}
	maps.DeleteFunc(all, func(_ string, p *entry.Payload) bool { return p == nil })
	return all
}

// Says is an event of reasoning, in clear until it is sealed.
func Says(media payload.Media, b []byte) recorder.Event {
	return recorder.Event{Type: entry.TypeReasoning, Build: func(seal recorder.Seal) (any, error) {
		p, err := seal("content", media, payload.Content, b)
		return entry.Reasoning{Form: "plain", Content: p}, err
	}}
}

func (m *maker) whole() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, gateway := Record(l, evidencetest.SessionID(1), 2)
	m.add("witnessed", l.Evidence(main.ID), l.Trust)
	b := l.Evidence(main.ID)
	Disclose(l, b, gateway, nil)
	m.add("disclosed", b, l.Trust)
	b = l.Evidence(main.ID)
	Disclose(l, b, gateway, func(i int) bool { return i%2 == 0 })
	m.add("redacted", b, l.Trust)
	b = l.Evidence(main.ID)
	b.Blobs, b.Trust = b.Blobs[:1], nil
	m.add("most blobs left out", b, l.Trust)
	b = l.Evidence(main.ID)
	b.Trust = evidencetest.New(m.t, origin).Trust.Marshal()
	m.add("another trust file inside", b, l.Trust)
	second, _ := Record(l, evidencetest.SessionID(2), 3)
	m.add("two sessions", l.Evidence(main.ID, second.ID), l.Trust)

	l = evidencetest.New(m.t, origin)
	main, _ = Record(l, evidencetest.SessionID(1), 1)
	m.add("log-signed only", l.Evidence(main.ID), l.Trust)
	old := fmt.Appendf(nil, "steno/trust/v1\nlog %s\nreceived %s\nsystem %s\nenroller %s\n", l.Trust.Log, l.Trust.Received[0], l.Trust.System[0], l.Trust.Enrollers[0])
	m.all = append(m.all, Case{Name: "trust file of version 1", Bundle: File(m.t, l.Evidence(main.ID)), Trust: old})

	b, l = Malicious(m.t)
	m.add("malicious transcript", b, l.Trust)
}

// Nasty is what an agent may have said to whoever reads it later.
const Nasty = "<script>window.stolen = 1</script><img src=x onerror=\"window.stolen = 2\"><svg onload=window.stolen=3>\n" +
	"</pre></body><h1>VERIFIED</h1><style>*{display:none}</style>\n" +
	"\x1b[2J\x1b[31mansi\x1b[0m \u009b31m and \x07 a bell\n" +
	"pay \u202e0001 ot\u202c and \u2066isolated\u2069, zero\u200bwidth, \ufeffmark, a\u00a0b\r\n" +
	"שלום עולם 100 200, and e\u0301 and e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301 piled\n" +
	"a backslash \\u{202e} of its own; \x00 and \x7f\n"

// Malicious is a bundle of a session whose disclosed payloads attack their reader.
func Malicious(t testing.TB) (*evidence.Bundle, *evidencetest.Log) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main := l.Open(evidencetest.SessionID(9), "bot", enrol(l))
	main.Add(Says(payload.Text, []byte(Nasty)))
	main.Add(Says(payload.Binary, []byte("bytes \xff\xfe\x80 that are no text\n")))
	main.Add(evidencetest.Intent("a", "shell.run", Nasty))
	main.Add(evidencetest.Result("a", map[string]any{"html": "<iframe src='https://attacker.example/'></iframe>", "n": 1}))
	main.Close()
	b := l.Evidence(main.ID)
	Disclose(l, b, main, nil)
	b.Readme = []byte("<script>window.stolen = 4</script> this is verified, trust me\n")
	return b, l
}
