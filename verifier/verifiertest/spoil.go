package verifiertest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/recorder"
)

// flipped is b with one bit of the byte at i changed.
func flipped(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

// spoilLeaf changes a bit of a byte in a leaf.
func spoilLeaf(b *evidence.Bundle, n, at int) {
	content, err := b.Leaves[n].Load()
	if err != nil {
		panic(err)
	}
	b.Leaves[n] = evidence.LeafOf(b.Leaves[n].Index, flipped(content, at))
}

func evidenceName(index uint64) string { return fmt.Sprintf("leaf/%020d", index) }

// spoilLine changes a letter inside the signature of the line that begins so.
func spoilLine(checkpoint []byte, prefix string) []byte {
	b := bytes.Clone(checkpoint)
	at := bytes.Index(b, []byte(prefix)) + len(prefix) + 40
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return b
}

func without(checkpoint []byte, prefix string) []byte {
	at := bytes.Index(checkpoint, []byte(prefix))
	end := at + bytes.IndexByte(checkpoint[at:], '\n') + 1
	return append(bytes.Clone(checkpoint[:at]), checkpoint[end:]...)
}

// onlyOf leaves out of a bundle what keep does not want, and what hangs on it.
func onlyOf(b *evidence.Bundle, keep func(e *entry.Entry) bool) {
	b.Disclosed, b.Blobs = nil, nil
	b.Leaves = slices.DeleteFunc(b.Leaves, func(l evidence.Leaf) bool {
		content, err := l.Load()
		if err != nil {
			panic(err)
		}
		e, err := entry.Parse(content)
		return err != nil || !keep(e)
	})
}

// cutTail leaves out the last entry of a track.
func cutTail(b *evidence.Bundle, track string) {
	last := uint64(0)
	onlyOf(b, func(e *entry.Entry) bool {
		if e.Track == track {
			last = max(last, e.Seq)
		}
		return true
	})
	onlyOf(b, func(e *entry.Entry) bool { return e.Track != track || e.Seq < last })
}

func spoilDisclosure(b *evidence.Bundle, from, to []byte) {
	raw, err := b.Disclosed[0].Load()
	if err != nil {
		panic(err)
	}
	b.Disclosed[0].Content = evidence.ContentOf(bytes.Replace(raw, from, to, 1))
}

// fork is what another holder of the track's name and place would submit next.
func fork(m *maker, tr *evidencetest.Track, signer note.Signer) recorder.Built {
	m.t.Helper()
	other := evidencetest.Must(recorder.New(recorder.Config{Origin: origin, Session: tr.ID, Track: tr.Name, Signer: signer, Keys: tr.Keys,
		Rand: rand.Reader, Next: tr.Next(), Head: tr.Head()}))(m.t)
	return evidencetest.Must(other.Build(evidencetest.Intent("b", "t", 2)))(m.t)[0]
}
