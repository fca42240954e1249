package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// Read reads a bundle. Its error is a *FormatError that names the first place that is not as in an intact bundle, or a
// *ReadError if r fails. Leaves, blobs and disclosures are compared with their checksums, and read from r again when they are
// loaded.
//
// Names and contents determine every byte of the file: so every byte is accounted for, and no content has two spellings between
// which something could hide.
func Read(r io.ReaderAt, size int64) (*Bundle, error) {
	if size > MaxBundle {
		return nil, &FormatError{Offset: MaxBundle, Why: fmt.Sprintf("file of %d bytes, at most %d", size, int64(MaxBundle))}
	}
	r = readable{r}
	rd := reader{r: r, size: size, in: ContentsIn(r), b: &Bundle{}, slots: map[string]string{}, buf: make([]byte, 1<<16)}
	if err := rd.read(); err != nil {
		return nil, err
	}
	if err := compareEnding(r, size, rd.b.members(rd.sums), rd.at); err != nil {
		return nil, err
	}
	if err := rd.b.check(); err != nil {
		return nil, &FormatError{Why: err.Error()}
	}
	return rd.b, nil
}

// sizeLimit is how large a file may be, by its name.
func sizeLimit(name string) (int64, bool) {
	switch name {
	case fileManifest:
		return maxManifest, true
	case fileReadme:
		return maxReadme, true
	case fileReport:
		return maxReport, true
	case fileCustody:
		return maxCustody, true
	case fileTrust:
		return maxTrust, true
	case fileCheckpoint:
		return maxCheckpoint, true
	case fileTree:
		return maxTree * hashLine, true
	}
	for _, dir := range []struct {
		prefix string
		max    int64
	}{{dirLeaf, entry.MaxLeaf}, {dirAnchor, maxCheckpoint}, {dirPublic, int64(maxPublic)}, {dirBlob, int64(payload.MaxBlob)}, {dirDisclosed, maxDisclosure}} {
		if strings.HasPrefix(name, dir.prefix) {
			return dir.max, true
		}
	}
	return 0, false
}

// A reader takes files in the order in which Write has them.
type reader struct {
	r     io.ReaderAt
	size  int64
	in    *Contents
	b     *Bundle
	at    int64    // where here begins
	here  *section // the file whose turn it is, nil behind the last
	sums  []uint32 // of those before it
	slots map[string]string
	buf   []byte
}

// look finds the file whose turn it is.
func (rd *reader) look() (err error) {
	rd.here, err = sectionAt(rd.r, rd.size, rd.at, sizeLimit)
	return err
}

// pass goes on to the next file.
func (rd *reader) pass() error {
	rd.sums, rd.at = append(rd.sums, rd.here.crc), rd.here.end()
	return rd.look()
}

func (rd *reader) read() error {
	if err := rd.look(); err != nil {
		return err
	}
	if err := rd.fixed(); err != nil {
		return err
	}
	for _, part := range []struct {
		dir, what string
		most      int
		read      func(*section) error
	}{
		{dirLeaf, "leaves", MaxLeaves, rd.leaf}, {dirAnchor, "anchors", MaxAnchors, rd.anchor}, {dirPublic, "public blobs", MaxPublic, rd.public},
		{dirBlob, "blobs", MaxBlobs, rd.blob}, {dirDisclosed, "disclosures", MaxDisclosed, rd.disclosed},
	} {
		for n := 0; rd.next(part.dir); n++ {
			if n == part.most {
				return &FormatError{File: rd.here.name, Offset: rd.at, Why: fmt.Sprintf("more than %d %s", part.most, part.what)}
			}
			if err := part.read(rd.here); err != nil {
				return err
			}
			if err := rd.pass(); err != nil {
				return err
			}
		}
	}
	if rd.here != nil {
		return &FormatError{File: rd.here.name, Offset: rd.at, Why: "a file out of its place"}
	}
	return nil
}

// fixed takes the files that have names of their own.
func (rd *reader) fixed() error {
	at := int64(localSize + len(fileManifest))
	manifest, err := rd.take(fileManifest)
	if err != nil {
		return err
	}
	if err := rd.b.readManifest(manifest); err != nil {
		return &FormatError{File: fileManifest, Offset: at, Why: err.Error()}
	}
	if again := rd.b.manifest(); !bytes.Equal(again, manifest) {
		return firstDifference(manifest, again, at, fileManifest)
	}
	for _, f := range []struct {
		name     string
		to       *[]byte
		optional bool
	}{{fileReadme, &rd.b.Readme, false}, {fileReport, &rd.b.Report, true}, {fileCustody, &rd.b.Custody, true}, {fileTrust, &rd.b.Trust, true}, {fileCheckpoint, &rd.b.Checkpoint, false}} {
		if f.optional && !rd.next(f.name) {
			continue
		}
		if *f.to, err = rd.take(f.name); err != nil {
			return err
		}
	}
	return rd.tree()
}

func (rd *reader) next(prefix string) bool {
	return rd.here != nil && strings.HasPrefix(rd.here.name, prefix)
}

// named demands that the next file has this name.
func (rd *reader) named(name string) error {
	if rd.here == nil || rd.here.name != name {
		return &FormatError{Offset: rd.at, Why: fmt.Sprintf("file %s is missing here", name)}
	}
	return nil
}

// take reads the next file, which must have this name, and goes on.
func (rd *reader) take(name string) ([]byte, error) {
	if err := rd.named(name); err != nil {
		return nil, err
	}
	b, err := rd.here.content(rd.r)
	if err != nil {
		return nil, err
	}
	return b, rd.pass()
}

// content reads a file and compares its checksum, so that damage is named where it is and not where it tells.
func (s *section) content(r io.ReaderAt) ([]byte, error) {
	b := make([]byte, s.size)
	if _, err := r.ReadAt(b, s.start); err != nil && err != io.EOF {
		return nil, err
	}
	if crc32.ChecksumIEEE(b) != s.crc {
		return nil, s.damaged()
	}
	return b, nil
}

func (s *section) damaged() error {
	return &FormatError{File: s.name, Offset: s.start, Why: "the file does not match its checksum"}
}

// pieces hands over a file in pieces that are multiples of unit bytes, but for the last, and then compares its checksum.
func (rd *reader) pieces(s *section, unit int, f func(at int64, piece []byte) error) error {
	sum, buf := uint32(0), rd.buf[:len(rd.buf)/unit*unit]
	for at := int64(0); at < int64(s.size); {
		piece := buf[:min(int64(len(buf)), int64(s.size)-at)]
		if _, err := rd.r.ReadAt(piece, s.start+at); err != nil && err != io.EOF {
			return err
		}
		sum = crc32.Update(sum, crc32.IEEETable, piece)
		if err := f(at, piece); err != nil {
			return err
		}
		at += int64(len(piece))
	}
	if sum != s.crc {
		return s.damaged()
	}
	return nil
}

// leaveThere compares a file's checksum, and is what to load later.
func (rd *reader) leaveThere(s *section) (Content, error) {
	return rd.in.At(uint32(s.start), s.size), rd.pieces(s, 1, func(int64, []byte) error { return nil })
}

func (rd *reader) tree() error {
	if err := rd.named(fileTree); err != nil {
		return err
	}
	s := rd.here
	rd.b.Tree = make([][sha256.Size]byte, 0, s.size/hashLine)
	var bad error // told if the checksum is right
	err := rd.pieces(s, hashLine, func(at int64, piece []byte) error {
		for i := 0; i < len(piece) && bad == nil; i += hashLine {
			h, ok := parseHash(piece[i:min(i+hashLine, len(piece))])
			if !ok {
				bad = &FormatError{File: s.name, Offset: s.start + at + int64(i), Why: "not a hash of 32 bytes in canonical base64 and a line feed"}
			}
			rd.b.Tree = append(rd.b.Tree, h)
		}
		return nil
	})
	if err := cmp.Or(err, bad); err != nil {
		return err
	}
	return rd.pass()
}

// parseHash reads a line as marshalHashes writes it.
func parseHash(line []byte) (h [sha256.Size]byte, ok bool) {
	var raw [sha256.Size + 1]byte
	if len(line) != hashLine || line[hashLine-1] != '\n' || bytes.ContainsAny(line[:hashLine-1], "\r\n") {
		return h, false
	}
	n, err := base64.StdEncoding.Strict().Decode(raw[:], line[:hashLine-1])
	return [sha256.Size]byte(raw[:sha256.Size]), err == nil && n == sha256.Size
}

func (rd *reader) leaf(s *section) error {
	index, ok := parseIndex(s.name, dirLeaf)
	if !ok {
		return s.misnamed("leaf/ and an index of 20 digits")
	}
	content, err := rd.leaveThere(s)
	rd.b.Leaves = append(rd.b.Leaves, Leaf{index, content})
	return err
}

func (rd *reader) anchor(s *section) error {
	index, ok := parseIndex(s.name, dirAnchor)
	if !ok {
		return s.misnamed("anchor/ and an index of 20 digits")
	}
	stamped, err := s.content(rd.r)
	rd.b.Anchors = append(rd.b.Anchors, Anchor{Index: index, Note: stamped})
	return err
}

func (rd *reader) public(s *section) error {
	blob, err := rd.hashed(s, dirPublic)
	rd.b.Public = append(rd.b.Public, blob)
	return err
}

func (rd *reader) blob(s *section) error {
	blob, err := rd.hashed(s, dirBlob)
	rd.b.Blobs = append(rd.b.Blobs, blob)
	return err
}

// hashed takes a file that is named by a hash, and leaves it where it is.
func (rd *reader) hashed(s *section, dir string) (Blob, error) {
	digits := strings.TrimPrefix(s.name, dir)
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(entry.Hash{}) || hex.EncodeToString(raw) != digits {
		return Blob{}, s.misnamed(dir + " and 64 lower-case hexadecimal digits")
	}
	content, err := rd.leaveThere(s)
	return Blob{entry.Hash(raw), content}, err
}

func (rd *reader) disclosed(s *section) error {
	var d Disclosed
	rest, ok := strings.CutSuffix(strings.TrimPrefix(s.name, dirDisclosed), jsonSuffix)
	parts := strings.SplitN(rest, "-", 3)
	if ok = ok && len(parts) == 3; ok {
		event, err := strconv.ParseUint(parts[1], 10, 16)
		d.Event, d.Slot = int(event), rd.slot(parts[2])
		d.Index, ok = parseIndex(parts[0], "")
		ok = ok && err == nil && len(parts[1]) == 3 && d.name() == s.name
	}
	if !ok {
		return s.misnamed("disclosed/INDEX-EVENT-SLOT.json")
	}
	var err error
	d.Content, err = rd.leaveThere(s)
	rd.b.Disclosed = append(rd.b.Disclosed, d)
	return err
}

// slot is the slot in a file's name. There are few, which all files share.
func (rd *reader) slot(dotted string) string {
	s, known := rd.slots[dotted]
	if !known {
		s = strings.Clone(strings.ReplaceAll(dotted, ".", "/"))
		rd.slots[strings.Clone(dotted)] = s
	}
	return s
}

func (s *section) misnamed(want string) error {
	return &FormatError{File: s.name, Offset: s.offset + localSize, Why: "name is not " + want}
}

// parseIndex is the index in a file's name, behind a prefix.
func parseIndex(name, prefix string) (uint64, bool) {
	digits := strings.TrimPrefix(name, prefix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && len(digits) == 20 && n <= math.MaxInt64
}
