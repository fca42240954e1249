package verifiertest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/evidence/evidencetest"
)

// A file is one of an archive.
type file struct {
	name    string
	content []byte
}

// unpack lists the files of a bundle, and pack writes an archive of any files, in the spelling of bundles.
func unpack(t testing.TB, bundle []byte) (files []file) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{f.Name, content})
	}
	return files
}

func pack(files []file) []byte {
	var out, directory []byte
	le := binary.LittleEndian
	const date = 1<<5 | 1
	for _, f := range files {
		var common []byte
		for _, n := range []uint16{0, 0, 0, date} {
			common = le.AppendUint16(common, n)
		}
		for _, n := range []uint32{crc32.ChecksumIEEE(f.content), uint32(len(f.content)), uint32(len(f.content))} {
			common = le.AppendUint32(common, n)
		}
		common = le.AppendUint16(le.AppendUint16(common, uint16(len(f.name))), 0)
		directory = append(le.AppendUint16(le.AppendUint16(append(directory, "PK\x01\x02"...), 0x031e), 10), common...)
		directory = append(directory, 0, 0, 0, 0, 0, 0)
		directory = append(le.AppendUint32(le.AppendUint32(directory, 0o100644<<16), uint32(len(out))), f.name...)
		out = append(le.AppendUint16(append(out, "PK\x03\x04"...), 10), common...)[:len(out)+30]
		out = append(append(out, f.name...), f.content...)
	}
	at, n := len(out), uint16(len(files))
	out = append(append(out, directory...), "PK\x05\x06\x00\x00\x00\x00"...)
	out = le.AppendUint16(le.AppendUint16(out, n), n)
	return le.AppendUint16(le.AppendUint32(le.AppendUint32(out, uint32(len(directory))), uint32(at)), 0)
}

// forms has archives that are whole, with files that no bundle has.
func (m *maker) forms() {
	l := evidencetest.NewWith(m.t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
	l.Record("one.example", uint64(len(l.Leaves)), l.Checkpoint(), []byte("no token"))
	main, gateway := Record(l, evidencetest.SessionID(1), 1)
	b := l.Evidence(main.ID)
	Disclose(l, b, gateway, nil)
	b.Report = []byte("<h1>a report</h1>\n")
	whole := File(m.t, l.HandOver(b, evidencetest.Custody()))
	if !bytes.Equal(pack(unpack(m.t, whole)), whole) {
		m.t.Fatal("what was packed again is not what it was")
	}
	add := func(name string, files []file) {
		m.all = append(m.all, Case{Name: "form: " + name, Bundle: pack(files), Trust: l.Trust.Marshal(), Form: true})
	}
	add("as it is", unpack(m.t, whole))
	for i, text := range manifests(main.ID) {
		files := unpack(m.t, whole)
		files[0].content = []byte(text)
		add(fmt.Sprintf("manifest %d", i), files)
	}
	at := func(files []file, name string) int {
		return slices.IndexFunc(files, func(f file) bool { return strings.HasPrefix(f.name, name) })
	}
	for i, tree := range trees(unpack(m.t, whole)[at(unpack(m.t, whole), "tree")].content) {
		files := unpack(m.t, whole)
		files[at(files, "tree")].content = tree
		add(fmt.Sprintf("tree %d", i), files)
	}
	for _, name := range []string{"steno-evidence", "README.txt", "report.html", "custody", "trust", "checkpoint", "tree", "leaf/", "anchor/", "blob/", "disclosed/"} {
		files := unpack(m.t, whole)
		i := at(files, name)
		add("without "+name, slices.Delete(slices.Clone(files), i, i+1))
		add("twice "+name, slices.Insert(slices.Clone(files), i, files[i]))
		if i+1 < len(files) {
			swapped := slices.Clone(files)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			add("out of order "+name, swapped)
		}
		last := slices.Delete(slices.Clone(files), i, i+1)
		add("at the end "+name, append(last, files[i]))
	}
	for _, name := range []string{"leaf/1", "leaf/0000000000000000000x", "leaf/99999999999999999999", "leaf/00000000000000000001/x", "anchor/00000000000000000001/note",
		"proof/00000000000000000001.tlog-proof", "blob/" + strings.Repeat("A", 64), "blob/x", "disclosed/00000000000000000001-000-x.json", "disclosed/00000000000000000001-999-x.json",
		"disclosed/00000000000000000001-000-X.json", "disclosed/00000000000000000001-000-.json", "disclosed/00000000000000000001-000-a..b.json", "disclosed/x.json", "trust2", "custody/1",
		"disclosed/00000000000000000001-000-" + strings.Repeat("x", 101) + ".json", "disclosed/00000000000000000001-000-a/b.json", "disclosed/00000000000000000001--00-a.json", "disclosed/00000000000000000001-1000-a.json"} {
		files := unpack(m.t, whole)
		i := at(files, strings.SplitAfter(name, "/")[0])
		if i < 0 {
			i = len(files)
		}
		add("a file "+name, slices.Insert(files, i, file{name, []byte("x")}))
	}
}

func manifests(id string) []string {
	head := "steno/evidence/v3\n" + origin + "\n"
	session := "session " + id + "\n"
	other := "session " + evidencetest.SessionID(2) + "\n"
	all := []string{"", "\n", "x", "steno/evidence/v1\n" + origin + "\n" + id + "\n", "steno/evidence/v2\n" + origin + "\n" + id + "\n", "steno/evidence/v4\n", "steno/evidence/v3",
		"steno/evidence/v3\n", "steno/evidence/v3\n\n" + session, "steno/evidence/v3\nno origin\n" + session, head, (head + session)[:len(head+session)-1], head + session + "\n",
		"\n" + head + session, head + other + session, head + session + session, head + session + other, head + id + "\n", head + "session  " + id + "\n", head + "session\n", head + "session x\n",
		head + session + "more\n", head + "pending time\n" + session, head + session + "pending \n", head + session + "pending\n"}
	for _, r := range []string{"range 0 1", "range 0 5", "range 1 1", "range 2 1", "range 00 1", "range 0 01", "range 0", "range", "range 0 1 2", "range 0  1", "range -1 1", "range +0 1", "range 0x0 1",
		"range 0 9223372036854775807", "range 0 9223372036854775808", "range 0 18446744073709551616", "range 0 1\nrange 0 1", "range 0 1\nrange 0 2"} {
		all = append(all, head+session+r+"\n", head+r+"\n")
	}
	for _, p := range []string{"pending time", "pending witnesses", "pending time\npending witnesses", "pending witnesses\npending time", "pending time\npending time", "pending policy", "pending  time",
		"range 0 1\npending time", "pending time\nrange 0 1"} {
		all = append(all, head+session+p+"\n")
	}
	var many strings.Builder
	for n := range 1025 {
		fmt.Fprintf(&many, "session %s\n", evidencetest.SessionID(n+1))
	}
	return append(all, head+many.String())
}

func trees(good []byte) [][]byte {
	line := good[:45]
	return [][]byte{{}, []byte("\n"), good[:len(good)-1], append(bytes.Clone(good), '\n'), append(bytes.Clone(good), line...), append(bytes.Clone(good), line[:44]...),
		bytes.ReplaceAll(good, []byte("\n"), []byte("\r")), append([]byte(" "), good...), append([]byte("AAAA"), good...), append(bytes.Repeat([]byte("A"), 42), append([]byte("B="), good[44:]...)...),
		append(bytes.Repeat([]byte("A"), 44), good[44:]...), append(bytes.Repeat([]byte("-"), 43), append([]byte("="), good[44:]...)...), bytes.Repeat(line, 3)}
}
