package evidence_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

// A zipped is a file of an archive.
type zipped struct {
	zip.FileHeader
	content []byte
}

func unzip(t testing.TB, file []byte) (files []zipped) {
	t.Helper()
	for _, f := range Must(zip.NewReader(bytes.NewReader(file), int64(len(file))))(t).File {
		files = append(files, zipped{f.FileHeader, Must(io.ReadAll(Must(f.Open())(t)))(t)})
	}
	return files
}

// rezip writes an archive with archive/zip: by somebody else's hand, and with every checksum right.
func rezip(t testing.TB, files []zipped, change func(z *zip.Writer)) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	if change != nil {
		change(z)
	}
	for _, f := range files {
		h := f.FileHeader
		h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE(f.content), uint64(len(f.content)), uint64(len(f.content))
		w := Must(z.CreateRaw(&h))(t)
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// replaced is a bundle with other contents in a file of it.
func replaced(t testing.TB, bundle []byte, name string, content []byte) []byte {
	t.Helper()
	files := unzip(t, bundle)
	i := slices.IndexFunc(files, func(f zipped) bool { return f.Name == name })
	files[i].content = content
	return rezip(t, files, nil)
}

// everything is a bundle with a file of each kind, by a log of which both witnesses are needed.
func everything(t testing.TB) (*timed, []byte) {
	t.Helper()
	w := newTimed(t, Options{Witnesses: 2, Quorum: 2})
	w.TokensAside = true
	w.Anchor(day("2008-03-04"), w.two)
	b := w.HandOver(w.bundle(), Custody())
	b.Report = []byte("<p>a report</p>")
	// Whole sessions to show the payloads of are in verifiertest; here one payload is enough.
	return w, write(t, b)
}

func TestArchiveIsSpelledAsArchiveZipSpellsIt(t *testing.T) {
	_, file := everything(t)
	if !bytes.Equal(rezip(t, unzip(t, file), nil), file) {
		t.Error("other bytes")
	}
}

// TestZipTricks: what other programs read as the same files, or as others, is no bundle.
func TestZipTricks(t *testing.T) {
	w, file := everything(t)
	files := unzip(t, file)
	last := len(files) - 1
	changed := func(change func(f []zipped) []zipped) []byte { return rezip(t, change(slices.Clone(files)), nil) }
	one := func(change func(f *zipped)) []byte {
		return changed(func(f []zipped) []zipped { change(&f[3]); return f })
	}
	for name, bad := range map[string][]byte{
		"a comment":          rezip(t, files, func(z *zip.Writer) { _ = z.SetComment("x") }),
		"bytes in front":     rezip(t, files, func(z *zip.Writer) { z.SetOffset(0) })[1:],
		"a prefix":           append([]byte("#!/bin/sh\n"), file...),
		"a second archive":   append(bytes.Clone(file), file...),
		"a date":             one(func(f *zipped) { f.ModifiedDate++ }),
		"a flag":             one(func(f *zipped) { f.Flags |= 0x800 }),
		"a data descriptor":  one(func(f *zipped) { f.Flags |= 0x8 }),
		"encrypted":          one(func(f *zipped) { f.Flags |= 1 }),
		"a method":           one(func(f *zipped) { f.Method = zip.Deflate }),
		"an extra field":     one(func(f *zipped) { f.Extra = []byte{0xff, 0xff, 0, 0} }),
		"a file's comment":   one(func(f *zipped) { f.Comment = "x" }),
		"a link":             one(func(f *zipped) { f.ExternalAttrs = 0o120777 << 16 }),
		"made by DOS":        one(func(f *zipped) { f.CreatorVersion = 20 }),
		"another version":    one(func(f *zipped) { f.ReaderVersion = 45 }),
		"an absolute path":   one(func(f *zipped) { f.Name = "/" + f.Name }),
		"a path upwards":     one(func(f *zipped) { f.Name = "leaf/../" + f.Name }),
		"a backslash":        changed(func(f []zipped) []zipped { f[10].Name = strings.Replace(f[10].Name, "/", `\`, 1); return f }),
		"a name of a device": one(func(f *zipped) { f.Name = "CON" }),
		"a name with a zero": one(func(f *zipped) { f.Name += "\x00" }),
		"a long name":        one(func(f *zipped) { f.Name = "leaf/" + strings.Repeat("0", 250) }),
		"no name":            one(func(f *zipped) { f.Name = "" }),
		"a name in capitals": changed(func(f []zipped) []zipped { f[last].Name = strings.ToUpper(f[last].Name); return f }),
		"a directory": changed(func(f []zipped) []zipped {
			dir := zipped{f[1].FileHeader, nil}
			dir.Name = "leaf/"
			return slices.Insert(f, 7, dir)
		}),
		"a file twice":        changed(func(f []zipped) []zipped { return slices.Insert(f, 8, f[8]) }),
		"the manifest twice":  changed(func(f []zipped) []zipped { return slices.Insert(f, 1, f[0]) }),
		"a custody twice":     changed(func(f []zipped) []zipped { return slices.Insert(f, 4, f[3]) }),
		"two files changed":   changed(func(f []zipped) []zipped { f[8], f[9] = f[9], f[8]; return f }),
		"a file at the end":   changed(func(f []zipped) []zipped { return append(f, f[1]) }),
		"a file of ours more": changed(func(f []zipped) []zipped { n := f[1]; n.Name = "leaf/1"; return append(f, n) }),
		"an old proof": changed(func(f []zipped) []zipped {
			n := f[1]
			n.Name = "proof/00000000000000000001.tlog-proof"
			return append(f, n)
		}),
		"no manifest":          changed(func(f []zipped) []zipped { return f[1:] }),
		"no README":            changed(func(f []zipped) []zipped { return slices.Delete(f, 1, 2) }),
		"no checkpoint":        changed(func(f []zipped) []zipped { return slices.Delete(f, 5, 6) }),
		"no tree":              changed(func(f []zipped) []zipped { return slices.Delete(f, 6, 7) }),
		"the manifest alone":   rezip(t, files[:1], nil),
		"nothing":              rezip(t, nil, nil),
		"too long a report":    replaced(t, file, "report.html", make([]byte, 16<<20+1)),
		"too long a custody":   replaced(t, file, "custody", make([]byte, 16<<10+1)),
		"too long a leaf":      replaced(t, file, files[8].Name, make([]byte, entry.MaxLeaf+1)),
		"half a hash":          replaced(t, file, "tree", []byte("AAAA")),
		"a hash in two":        replaced(t, file, "tree", append(bytes.Repeat([]byte("A"), 40), "\nAA=\n"...)),
		"a hash in other bits": replaced(t, file, "tree", append(bytes.Repeat([]byte("A"), 42), "B=\n"...)),
		"no line feed":         replaced(t, file, "tree", append(bytes.Repeat([]byte("A"), 43), '=')),
	} {
		if bytes.Equal(bad, file) {
			t.Fatalf("%s: nothing was changed", name)
		}
		r := verifyBytes(t, bad, w.Trust)
		if r.Exit != evidence.ExitFailed || r.Checks[0].Outcome != evidence.Failed {
			t.Errorf("%s: exit %d, %s: %s", name, r.Exit, r.Checks[0].Outcome, r.Checks[0].Detail)
		}
	}
}

// TestBombs: what is said in a few bytes takes no memory and no time.
func TestBombs(t *testing.T) {
	w, file := everything(t)
	for name, size := range map[string]uint32{"tree": 1<<32 - 1, "report.html": 16<<20 - 1, "checkpoint": 60 << 10} {
		bad := bytes.Clone(file)
		at := bytes.Index(bad, []byte(name)) - 30
		for i := range 4 {
			bad[at+18+i], bad[at+22+i] = byte(size>>(8*i)), byte(size>>(8*i))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		want(t, verifyBytes(t, bad, w.Trust), evidence.ExitFailed, evidence.CheckBundle, "")
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
	files := unzip(t, file)
	anchor := slices.IndexFunc(files, func(f zipped) bool { return strings.HasPrefix(f.Name, "anchor/") })
	var many []zipped
	for i := range 1025 {
		f := files[anchor]
		f.Name = fmt.Sprintf("anchor/%020d", i)
		many = append(many, f)
	}
	bad := rezip(t, slices.Concat(files[:anchor], many), nil)
	want(t, verifyBytes(t, bad, w.Trust), evidence.ExitFailed, evidence.CheckBundle, "more than 1024 anchors")
}

// TestAForgerWhoRepairsTheChecksumsIsFound, whatever byte of whatever file is changed, but for what nobody reads.
func TestAForgerWhoRepairsTheChecksumsIsFound(t *testing.T) {
	w, file := everything(t)
	want(t, verifyBytes(t, file, w.Trust), evidence.ExitVerified, "", "")
	r := rand.New(rand.NewPCG(305, 4))
	for _, f := range unzip(t, file) {
		for range 60 {
			content := bytes.Clone(f.content)
			i, bit := r.IntN(len(content)), r.IntN(8)
			content[i] ^= 1 << bit
			report := verifyBytes(t, replaced(t, file, f.Name, content), w.Trust)
			switch f.Name {
			case "README.txt", "report.html", "trust":
				want(t, report, evidence.ExitVerified, "", "")
			default:
				if report.Exit == evidence.ExitVerified {
					t.Errorf("%s, byte %d, bit %d: verified", f.Name, i, bit)
				}
			}
		}
	}
}

// TestRandomFlipsOfALargeBundleAreFound: ten thousand of them, by a fixed seed.
func TestRandomFlipsOfALargeBundleAreFound(t *testing.T) {
	w, path := largeBundle(t, 400)
	file := Must(os.ReadFile(path))(t)
	want(t, verifyBytes(t, file, w.Trust), evidence.ExitVerified, "", "")
	if len(file) < 300<<10 {
		t.Fatalf("%d bytes", len(file))
	}
	r := rand.New(rand.NewPCG(305, 10_000))
	for range 10_000 {
		i, bit := r.IntN(len(file)), r.IntN(8)
		file[i] ^= 1 << bit
		if report := verifyBytes(t, file, w.Trust); report.Exit != evidence.ExitFailed {
			t.Fatalf("byte %d, bit %d: exit %d", i, bit, report.Exit)
		}
		file[i] ^= 1 << bit
	}
}
