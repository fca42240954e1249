package evidence_test

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	cp "github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

// checkZip opens a bundle with archive/zip and finds the leaves in it.
func checkZip(t *testing.T, path string, leaves [][]byte) {
	t.Helper()
	z := Must(zip.OpenReader(path))(t)
	defer z.Close()
	found := 0
	for _, f := range z.File {
		r := Must(f.Open())(t)
		b := Must(io.ReadAll(r))(t) // checks the CRC
		if strings.HasPrefix(f.Name, "leaf/") {
			found++
			if _, err := entry.Parse(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found == 0 || found > len(leaves) {
		t.Fatalf("%d leaves", found)
	}
}

// contents says of every byte of a bundle in which file's contents it lies.
func contents(t *testing.T, file []byte) map[int]string {
	t.Helper()
	out := map[int]string{}
	for _, f := range Must(zip.NewReader(bytes.NewReader(file), int64(len(file))))(t).File {
		start := int(Must(f.DataOffset())(t))
		for i := range int(f.UncompressedSize64) {
			out[start+i] = f.Name
		}
	}
	return out
}

// FuzzReadIsTheInverseOfWrite: what is read, written again, is the same file.
func FuzzReadIsTheInverseOfWrite(f *testing.F) {
	l, r := newLog(f)
	main := l.Open(SessionID(1), "bot", r)
	main.Add(Intent("a", "t", 1))
	f.Add(write(f, l.Evidence(SessionID(1))))
	stamped := newTimed(f, Options{})
	stamped.TokensAside = true
	stamped.Anchor(rounds[2].Add(time.Hour), stamped.one)
	f.Add(write(f, stamped.bundle()))
	f.Add([]byte("PK\x03\x04"))
	f.Add(write(f, &evidence.Bundle{Origin: "a", Sessions: []string{SessionID(1)}}))
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := evidence.Read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := evidence.Write(&again, b); err != nil || !bytes.Equal(again.Bytes(), file) {
			t.Fatalf("another file, %v", err)
		}
		evidence.Verify(b, l.Trust, evidence.Options{})
	})
}

// FuzzBundleContents reaches what the checksums of the archive keep the other fuzzing from: the contents of files.
func FuzzBundleContents(f *testing.F) {
	l, r := newLog(f)
	main := l.Open(SessionID(1), "bot", r)
	main.Add(Intent("a", "t", 1))
	c := Custody()
	for i, leaf := range l.Leaves {
		f.Add(uint64(i), leaf, l.Checkpoint(), "params", []byte("{}"), make([]byte, 96), c.Marshal())
	}
	f.Fuzz(func(t *testing.T, index uint64, leaf, checkpoint []byte, slot string, disclosure, tree, custody []byte) {
		b := &evidence.Bundle{Origin: origin, Sessions: []string{SessionID(1)}, Checkpoint: checkpoint, Custody: custody,
			Range:     &evidence.Range{From: index, To: index + 1},
			Leaves:    []evidence.Leaf{evidence.LeafOf(index, leaf)},
			Anchors:   []evidence.Anchor{{Index: index, Note: checkpoint}},
			Public:    []evidence.Blob{evidence.BlobOf(disclosure)},
			Disclosed: []evidence.Disclosed{{Index: index, Slot: slot, Content: evidence.ContentOf(disclosure)}}}
		for ; len(tree) >= 32; tree = tree[32:] {
			b.Tree = append(b.Tree, [32]byte(tree))
		}
		if r := evidence.Verify(b, l.Trust, evidence.Options{}); r.Exit == evidence.ExitVerified {
			t.Fatalf("verified: %s", r.JSON())
		}
		var file bytes.Buffer
		if evidence.Write(&file, b) != nil {
			return
		}
		if _, err := evidence.Read(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
			t.Fatalf("written and not read: %v", err)
		}
		if p, err := b.Proof(index); err == nil {
			text, _, _ := strings.Cut(string(checkpoint), "\n\n")
			if c, err := cp.Parse(text + "\n"); err != nil || p.Verify(leaf, c.Size, c.Root) != nil {
				t.Fatalf("a proof that does not prove: %v", err)
			}
		}
	})
}

func FuzzProofHasOneSpelling(f *testing.F) {
	f.Add(evidence.Proof{Index: 3, Hashes: make([][32]byte, 3), Checkpoint: []byte("x\n")}.Marshal())
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := evidence.ParseProof(b)
		if err == nil && !bytes.Equal(p.Marshal(), b) {
			t.Fatalf("%q is written %q", b, p.Marshal())
		}
	})
}
