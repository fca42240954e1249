package verifiertest

import (
	"bytes"
	"crypto/rand"
	"slices"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/recorder"
)

// tampered has one bundle that was changed in many ways, most of them with the archive repaired afterwards.
func (m *maker) tampered() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, gateway := Record(l, evidencetest.SessionID(1), 2)
	whole := func() *evidence.Bundle {
		b := l.Evidence(main.ID)
		Disclose(l, b, gateway, nil)
		return b
	}
	file := File(m.t, whole())
	raw := func(name string, bundle []byte) {
		m.all = append(m.all, Case{Name: "tampered: " + name, Bundle: bundle, Trust: l.Trust.Marshal()})
	}
	raw("a byte in a leaf", flipped(file, bytes.Index(file, []byte("ledger.post"))))
	raw("a byte in a header", flipped(file, 10))
	raw("a byte in the directory", flipped(file, len(file)-40))
	raw("a byte more", append(bytes.Clone(file), 0))
	raw("cut", file[:len(file)/2])
	raw("empty", nil)
	raw("a path", bytes.ReplaceAll(file, []byte("leaf/0000000000"), []byte("leaf/../../../x")))
	raw("a name with controls", bytes.ReplaceAll(file, []byte("leaf/00000000"), []byte("leaf/\u202e0\u200b\x1b")))
	raw("one leaf twice", bytes.ReplaceAll(file, []byte(evidenceName(whole().Leaves[1].Index)), []byte(evidenceName(whole().Leaves[0].Index))))
	for _, c := range spoiltProofs() {
		b := whole()
		c.spoil(b)
		m.add("tampered: "+c.name, b, l.Trust)
	}
	for _, c := range m.spoiltContents(gateway.Name) {
		b := whole()
		c.spoil(b)
		m.add("tampered: "+c.name, l.Prove(b), l.Trust)
	}
	m.add("tampered: judged by another log's trust file", whole(), evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2}).Trust)
	m.all = append(m.all, Case{Name: "trust file unusable", Bundle: file, Trust: append(l.Trust.Marshal(), "witness\n"...)})
}

// A change is what was done to a bundle.
type change struct {
	name  string
	spoil func(b *evidence.Bundle)
}

func spoiltProofs() []change {
	return []change{
		{"a leaf, with the archive repaired", func(b *evidence.Bundle) { spoilLeaf(b, 2, 100) }},
		{"a hash of the tree", func(b *evidence.Bundle) { b.Tree[0][0] ^= 1 }},
		{"a tree too short", func(b *evidence.Bundle) { b.Tree = b.Tree[1:] }},
		{"a tree too long", func(b *evidence.Bundle) { b.Tree = append(b.Tree, b.Tree[0]) }},
		{"another index", func(b *evidence.Bundle) { b.Leaves[len(b.Leaves)-1].Index += 1000 }},
		{"the root in the checkpoint", func(b *evidence.Bundle) { b.Checkpoint = flipped(b.Checkpoint, len(origin)+8) }},
		{"the log's signature", func(b *evidence.Bundle) { b.Checkpoint = spoilLine(b.Checkpoint, "— "+origin+" ") }},
		{"a cosignature", func(b *evidence.Bundle) { b.Checkpoint = spoilLine(b.Checkpoint, "— witness2.example/w ") }},
		{"no signature of the log", func(b *evidence.Bundle) { b.Checkpoint = without(b.Checkpoint, "— "+origin+" ") }},
		{"a checkpoint that is none", func(b *evidence.Bundle) { b.Checkpoint = []byte("nothing\n") }},
		{"another log's origin", func(b *evidence.Bundle) { b.Origin = "log.other.example/x" }},
	}
}

func (m *maker) spoiltContents(gateway string) []change {
	return []change{
		{"an entry left out", func(b *evidence.Bundle) { b.Leaves = slices.Delete(b.Leaves, 4, 5); b.Disclosed = nil }},
		{"the tail cut", func(b *evidence.Bundle) { cutTail(b, gateway) }},
		{"the log's answers left out", func(b *evidence.Bundle) { onlyOf(b, func(e *entry.Entry) bool { return e.Track != entry.SystemTrack }) }},
		{"the main track left out", func(b *evidence.Bundle) { onlyOf(b, func(e *entry.Entry) bool { return e.Track != entry.MainTrack }) }},
		{"an entry of another session", func(b *evidence.Bundle) { b.Sessions = []string{evidencetest.SessionID(5)} }},
		{"a disclosed value", func(b *evidence.Bundle) { spoilDisclosure(b, []byte(`"bytes":"`), []byte(`"bytes":"AAAA`)) }},
		{"a disclosure's class", func(b *evidence.Bundle) { spoilDisclosure(b, []byte(`"content"`), []byte(`"personal"`)) }},
		{"a disclosure's form", func(b *evidence.Bundle) { spoilDisclosure(b, []byte(`{"format"`), []byte(`{ "format"`)) }},
		{"a disclosure of another event", func(b *evidence.Bundle) { b.Disclosed = b.Disclosed[:1]; b.Disclosed[0].Index++ }},
		{"a disclosure of no payload", func(b *evidence.Bundle) { b.Disclosed = b.Disclosed[:1]; b.Disclosed[0].Slot = "target" }},
		{"a sealed blob", func(b *evidence.Bundle) {
			content, err := b.Blobs[0].Load()
			if err != nil {
				m.t.Fatal(err)
			}
			b.Blobs[0].Content = evidence.ContentOf(flipped(content, len(content)-1))
		}},
		{"a blob that nobody names", func(b *evidence.Bundle) {
			b.Blobs = append(b.Blobs, evidence.BlobOf([]byte("x")))
			slices.SortFunc(b.Blobs, func(x, y evidence.Blob) int { return bytes.Compare(x.SHA256[:], y.SHA256[:]) })
		}},
	}
}

// A story is what happens to a session.
type story struct {
	name   string
	record func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder)
}

// tamperedWords has logs whose leaves were wrong when they were appended: the tree vouches for them, and their signatures don't.
func (m *maker) tamperedWords() {
	for _, c := range slices.Concat(m.wrongSignatures(), m.wrongChains()) {
		l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
		r := enrol(l)
		c.record(l, l.Open(evidencetest.SessionID(1), "bot", r), r)
		b := l.Evidence(evidencetest.SessionID(1))
		if c.name == "no entry at all" {
			for i, leaf := range l.Leaves {
				if string(leaf) == "not an entry" {
					b.Leaves = append(b.Leaves, l.Leaf(uint64(i)))
				}
			}
			slices.SortFunc(b.Leaves, func(x, y evidence.Leaf) int { return int(x.Index) - int(y.Index) })
		}
		m.add("tampered: "+c.name, l.Prove(b), l.Trust)
	}
}

func (m *maker) wrongSignatures() []story {
	return []story{
		{"a stranger's receipt", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			ours := l.Stamper
			l.Stamper, _ = evidencetest.NewStamper(m.t, origin)
			main.Add(evidencetest.Intent("a", "t", 1))
			l.Stamper = ours
			main.Close()
		}},
		{"a strange enroller", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.Join(main, "side", "bot", l.EnrolBy(evidencetest.Stranger(m.t, "acme/enroller"), "acme/agents/bot", entry.HolderAgent, "bot"))
			main.CloseOnly()
		}},
		{"another agent's enrolment", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.Join(main, "side", "bot", l.Enrol("acme/agents/cat", entry.HolderAgent, "cat"))
			main.CloseOnly()
		}},
		{"another recorder's signature", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			thief := fork(m, main, evidencetest.NewKey(m.t, "acme/agents/bot"))
			l.Append(thief.Submission)
			main.CloseOnly()
		}},
		{"a wrong signature of the recorder", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.Append(spoilLine(main.Build(evidencetest.Intent("a", "t", 1))[0].Submission, "— acme/agents/bot "))
			main.CloseOnly()
		}},
		{"a wrong receipt", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			submission := main.Build(evidencetest.Intent("a", "t", 1))[0].Submission
			leaf := l.Stamper.Stamp(submission, evidencetest.Must(entry.ParseSubmission(submission))(m.t), evidencetest.Noon)
			l.AppendLeaf(spoilLine(leaf, "— "+origin+"/received "))
			main.CloseOnly()
		}},
		{"a wrong signature under an enrolment", func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder) {
			r.Enrolment = spoilLine(r.Enrolment, "— acme/enroller ")
			l.Join(main, "side", "bot", r)
			main.CloseOnly()
		}},
		{"a wrong signature of the log's own", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Close()
			last := len(l.Leaves) - 1
			leaf := spoilLine(l.Leaves[last], "— "+origin+"/system ")
			l.Truncate(last)
			l.AppendLeaf(leaf)
		}},
	}
}

func (m *maker) wrongChains() []story {
	return []story{
		{"equivocation", func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder) {
			other := fork(m, main, r.Signer)
			main.Add(evidencetest.Intent("a", "t", 1), evidencetest.Result("a", 1))
			l.Append(other.Submission)
			main.Close()
		}},
		{"a broken chain", func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder) {
			broken := evidencetest.Must(recorder.New(recorder.Config{Origin: origin, Session: main.ID, Track: "main", Signer: r.Signer, Keys: main.Keys,
				Rand: rand.Reader, Next: main.Next(), Head: entry.Hash{1}}))(m.t)
			l.Append(evidencetest.Must(broken.Build(evidencetest.Intent("b", "t", 2)))(m.t)[0].Submission)
		}},
		{"a track of another session", func(l *evidencetest.Log, main *evidencetest.Track, r evidencetest.Recorder) {
			main.First = entry.Hash{1}
			l.Join(main, "side", "bot", r)
			main.CloseOnly()
		}},
		{"another opening admitted", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.Say(entry.TypeAdmitted, entry.Admitted{Session: entry.UUID(main.ID), Track: "main", Open: entry.Hash{1}, Principal: "x", How: "token"})
			main.Close()
		}},
		{"a system entry of a stranger", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.SystemKey = evidencetest.NewKey(m.t, origin+"/system")
			l.Restart(2, evidencetest.SessionID(0xfffe), l.SystemEnd())
			main.Close()
		}},
		{"another log's checkpoint embedded", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			main.Add(recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: entry.Text(evidencetest.New(m.t, "other.example/x").Checkpoint())}))
			main.CloseOnly()
		}},
		{"no entry at all", func(l *evidencetest.Log, main *evidencetest.Track, _ evidencetest.Recorder) {
			l.AppendLeaf([]byte("not an entry"))
			main.CloseOnly()
		}},
	}
}
