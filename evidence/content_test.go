package evidence_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

// Contents stay where they are, and what stands of each in memory is a row. There may be half a million of these.
func TestTheTablesOfABundleAreSmall(t *testing.T) {
	const rows, most = 20_000, 250 // bytes of a leaf, two blobs and a disclosure: 24, 96 and 48, and what slices have to spare
	path := filepath.Join(t.TempDir(), "evidence")
	largeTables(t, path, rows)
	f := Must(os.Open(path))(t)
	defer f.Close()
	size := Must(f.Stat())(t).Size()
	before := heap()
	b := Must(evidence.Read(f, size))(t)
	if grown := (heap() - before) / rows; grown > most {
		t.Errorf("%d bytes for each event, at most %d", grown, most)
	}
	if len(b.Leaves) != rows || len(b.Blobs) != 2*rows || len(b.Disclosed) != rows {
		t.Error("not all is here")
	}
	for _, d := range []evidence.Disclosed{b.Disclosed[7], *b.DisclosedAt(rows-1, 0, "model/parameters")} {
		if got := Must(d.Load())(t); binary.BigEndian.Uint64(got) != d.Index || d.Size() != 8 {
			t.Errorf("the disclosure of leaf %d is another: %x", d.Index, got)
		}
	}
	if b.DisclosedAt(7, 0, "model") != nil || b.DisclosedAt(7, 1, "model/parameters") != nil || b.DisclosedAt(rows, 0, "model/parameters") != nil {
		t.Error("a disclosure that is not here")
	}
}

func largeTables(t *testing.T, path string, rows int) {
	t.Helper()
	b := &evidence.Bundle{Origin: origin, Range: &evidence.Range{From: 0, To: uint64(rows)}}
	for i := range uint64(rows) {
		content := binary.BigEndian.AppendUint64(nil, i)
		b.Leaves = append(b.Leaves, evidence.LeafOf(i, content))
		b.Blobs = append(b.Blobs, evidence.BlobOf(content), evidence.BlobOf(content[1:]))
		b.Disclosed = append(b.Disclosed, evidence.Disclosed{Index: i, Slot: "model/parameters", Content: evidence.ContentOf(content)})
	}
	slices.SortFunc(b.Blobs, func(a, b evidence.Blob) int { return slices.Compare(a.SHA256[:], b.SHA256[:]) })
	f := Must(os.Create(path))(t)
	if err := errors.Join(evidence.Write(f, b), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A content that has become shorter is not taken for one that is.
func TestAContentIsLoadedWholeOrNotAtAll(t *testing.T) {
	in := evidence.ContentsIn(strings.NewReader("evidence"))
	if got, err := in.At(3, 5).Load(); string(got) != "dence" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := in.At(3, 6).Load(); got != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := (evidence.Content{}).Load(); len(got) != 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if b := evidence.BlobOf([]byte("x")); b.SHA256 != sha256.Sum256([]byte("x")) || b.Size() != 1 {
		t.Error("a blob of another name or size")
	}
}
