package evidence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// Write writes a bundle. It refuses what Read would refuse, but verifies no signature and no proof.
func Write(w io.Writer, b *Bundle) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("writing evidence: %w", err)
	}
	if err := b.write(&archiver{w: w}); err != nil {
		return fmt.Errorf("writing evidence: %w", err)
	}
	return nil
}

func (b *Bundle) write(a *archiver) error {
	readme := b.Readme
	if readme == nil {
		readme = []byte(ReadmeText)
	}
	if err := errors.Join(a.add(fileManifest, b.manifest()), a.add(fileReadme, readme)); err != nil {
		return err
	}
	if b.Trust != nil {
		if err := a.add(fileTrust, b.Trust); err != nil {
			return err
		}
	}
	if err := a.add(fileCheckpoint, b.Checkpoint); err != nil {
		return err
	}
	for _, l := range b.Leaves {
		proof := Proof{Index: l.Index, Hashes: l.Proof, Checkpoint: b.Checkpoint}.Marshal()
		if err := errors.Join(a.add(leafName(l.Index), l.Bytes), a.add(proofName(l.Index), proof)); err != nil {
			return err
		}
	}
	for _, x := range b.Anchors {
		if err := errors.Join(a.add(anchorName(x.Index, noteSuffix), x.Note), a.add(anchorName(x.Index, pathSuffix), marshalHashes(x.Consistency))); err != nil {
			return err
		}
	}
	for _, blob := range b.Public {
		if err := a.addLoaded(publicName(blob.SHA256), blob.Load, maxPublic); err != nil {
			return err
		}
	}
	for _, blob := range b.Blobs {
		if err := a.addLoaded(blobName(blob.SHA256), blob.Load, payload.MaxBlob); err != nil {
			return err
		}
	}
	for _, d := range b.Disclosed {
		if err := a.addLoaded(d.name(), d.Load, maxDisclosure); err != nil {
			return err
		}
	}
	return a.finish()
}

func (a *archiver) addLoaded(name string, load func() ([]byte, error), max int) error {
	content, err := load()
	if err != nil {
		return fmt.Errorf("loading %s: %w", name, err)
	}
	if len(content) > max {
		return fmt.Errorf("%s: %d bytes, at most %d", name, len(content), max)
	}
	return a.add(name, content)
}

// Read reads a bundle. Its error is a *FormatError that names the first place that is not as in an intact bundle, or a
// *ReadError if r fails. Leaves are held in memory; blobs and disclosures are read from r when they are loaded.
//
// What was read is written again and compared: so every byte of the file is accounted for, and no content has two
// spellings between which something could hide.
func Read(r io.ReaderAt, size int64) (*Bundle, error) {
	found, err := sections(r, size, sizeLimit)
	if err != nil {
		return nil, err
	}
	rd := reader{r: r, b: &Bundle{}, rest: found}
	if err := rd.read(); err != nil {
		return nil, err
	}
	if err := rd.b.check(); err != nil {
		return nil, &FormatError{Why: err.Error()}
	}
	a := &archiver{w: newComparer(r, size)}
	if err := rd.b.write(a); err != nil {
		var format *FormatError
		if errors.As(err, &format) && format.File == "" && len(a.members) > 0 {
			format.File = a.members[len(a.members)-1].name
		}
		if format != nil {
			return nil, format
		}
		return nil, err
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
	case fileTrust:
		return maxTrust, true
	case fileCheckpoint:
		return maxCheckpoint, true
	}
	for _, dir := range []struct {
		prefix string
		max    int64
	}{{dirLeaf, entry.MaxLeaf}, {dirProof, maxProof}, {dirAnchor, max(maxCheckpoint, maxConsistency)}, {dirPublic, int64(maxPublic)}, {dirBlob, int64(payload.MaxBlob)}, {dirDisclosed, maxDisclosure}} {
		if strings.HasPrefix(name, dir.prefix) {
			return dir.max, true
		}
	}
	return 0, false
}

// A reader takes files in the order in which Write has them. That names are spelt right it leaves to the comparison.
type reader struct {
	r    io.ReaderAt
	b    *Bundle
	rest []section
}

func (rd *reader) read() error {
	manifest, err := rd.take(fileManifest)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(manifest), "\n"), "\n")
	rd.b.old = lines[0] == oldLine
	if lines[0] != formatLine && !rd.b.old || len(lines) < 3 {
		return &FormatError{File: fileManifest, Offset: localSize + int64(len(fileManifest)), Why: fmt.Sprintf("not %q, an origin and sessions", formatLine)}
	}
	rd.b.Origin, rd.b.Sessions = lines[1], lines[2:]
	if rd.b.Readme, err = rd.take(fileReadme); err != nil {
		return err
	}
	if rd.next("trust") {
		if rd.b.Trust, err = rd.take(fileTrust); err != nil {
			return err
		}
	}
	if rd.b.Checkpoint, err = rd.take(fileCheckpoint); err != nil {
		return err
	}
	for rd.next(dirLeaf) {
		if err := rd.leaf(); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		dir  string
		read func() error
	}{{dirAnchor, rd.anchor}, {dirPublic, rd.public}, {dirBlob, rd.blob}, {dirDisclosed, rd.disclosed}} {
		for rd.next(part.dir) {
			if err := part.read(); err != nil {
				return err
			}
		}
	}
	if len(rd.rest) > 0 {
		return &FormatError{File: rd.rest[0].name, Offset: rd.rest[0].offset, Why: "a file out of its place"}
	}
	return nil
}

func (rd *reader) next(prefix string) bool {
	return len(rd.rest) > 0 && strings.HasPrefix(rd.rest[0].name, prefix)
}

// take reads the next file, which must have this name.
func (rd *reader) take(name string) ([]byte, error) {
	if len(rd.rest) == 0 || rd.rest[0].name != name {
		e := &FormatError{Why: fmt.Sprintf("file %s is missing here", name)}
		if len(rd.rest) > 0 {
			e.Offset = rd.rest[0].offset
		}
		return nil, e
	}
	s := rd.rest[0]
	rd.rest = rd.rest[1:]
	return rd.content(s)
}

// content reads a file and compares its checksum, so that damage is named where it is and not where it tells.
func (rd *reader) content(s section) ([]byte, error) {
	b := make([]byte, s.size)
	if _, err := rd.r.ReadAt(b, s.start); err != nil && err != io.EOF {
		return nil, &ReadError{err}
	}
	if crc32.ChecksumIEEE(b) != s.crc {
		return nil, &FormatError{File: s.name, Offset: s.start, Why: "the file does not match its checksum"}
	}
	return b, nil
}

func (rd *reader) leaf() error {
	s := rd.rest[0]
	index, ok := parseIndex(strings.TrimPrefix(s.name, dirLeaf))
	if !ok {
		return &FormatError{File: s.name, Offset: s.offset + localSize, Why: "name is not leaf/ and an index of 20 digits"}
	}
	if len(rd.b.Leaves) == MaxLeaves {
		return &FormatError{File: s.name, Offset: s.offset, Why: fmt.Sprintf("more than %d leaves", MaxLeaves)}
	}
	leaf, err := rd.take(leafName(index))
	if err != nil {
		return err
	}
	var at section
	if len(rd.rest) > 0 {
		at = rd.rest[0]
	}
	raw, err := rd.take(proofName(index))
	if err != nil {
		return err
	}
	p, err := ParseProof(raw)
	if err != nil {
		return &FormatError{File: at.name, Offset: at.start, Why: err.Error()}
	}
	// SPEC: evidence.md: every proof is under the bundle's one checkpoint.
	if p.Index != index || !bytes.Equal(p.Checkpoint, rd.b.Checkpoint) {
		return &FormatError{File: at.name, Offset: at.start, Why: "proof of another leaf, or under another checkpoint than the bundle's"}
	}
	rd.b.Leaves = append(rd.b.Leaves, Leaf{Index: index, Bytes: leaf, Proof: p.Hashes})
	return nil
}

// anchor reads the two files of an anchor.
func (rd *reader) anchor() error {
	s := rd.rest[0]
	digits, ok := strings.CutSuffix(strings.TrimPrefix(s.name, dirAnchor), noteSuffix)
	index, number := parseIndex(digits)
	if !ok || !number {
		return &FormatError{File: s.name, Offset: s.offset + localSize, Why: "name is not anchor/, an index of 20 digits and /note"}
	}
	if len(rd.b.Anchors) == MaxAnchors {
		return &FormatError{File: s.name, Offset: s.offset, Why: fmt.Sprintf("more than %d anchors", MaxAnchors)}
	}
	stamped, err := rd.take(s.name)
	if err != nil {
		return err
	}
	var at section
	if len(rd.rest) > 0 {
		at = rd.rest[0]
	}
	raw, err := rd.take(anchorName(index, pathSuffix))
	if err != nil {
		return err
	}
	a := Anchor{Index: index, Note: stamped}
	if len(raw) > 0 {
		if a.Consistency, err = parseHashes(strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")); err != nil {
			return &FormatError{File: at.name, Offset: at.start, Why: err.Error()}
		}
	}
	rd.b.Anchors = append(rd.b.Anchors, a)
	return nil
}

func (rd *reader) public() error {
	blob, err := rd.hashed(dirPublic)
	rd.b.Public = append(rd.b.Public, blob)
	return err
}

func (rd *reader) blob() error {
	blob, err := rd.hashed(dirBlob)
	rd.b.Blobs = append(rd.b.Blobs, blob)
	return err
}

// hashed takes a file that is named by a hash, and leaves it where it is.
func (rd *reader) hashed(dir string) (Blob, error) {
	s := rd.rest[0]
	raw, err := hex.DecodeString(strings.TrimPrefix(s.name, dir))
	if err != nil || len(raw) != len(entry.Hash{}) {
		return Blob{}, &FormatError{File: s.name, Offset: s.offset + localSize, Why: "name is not " + dir + " and 64 hexadecimal digits"}
	}
	rd.rest = rd.rest[1:]
	return Blob{SHA256: entry.Hash(raw), Size: int64(s.size), Load: func() ([]byte, error) { return rd.content(s) }}, nil
}

func (rd *reader) disclosed() error {
	s := rd.rest[0]
	bad := &FormatError{File: s.name, Offset: s.offset + localSize, Why: "name is not disclosed/INDEX-EVENT-SLOT.json"}
	rest, ok := strings.CutSuffix(strings.TrimPrefix(s.name, dirDisclosed), jsonSuffix)
	parts := strings.SplitN(rest, "-", 3)
	if !ok || len(parts) != 3 {
		return bad
	}
	index, ok := parseIndex(parts[0])
	event, err := strconv.ParseUint(parts[1], 10, 16)
	if !ok || err != nil || len(parts[1]) != 3 {
		return bad
	}
	load := func() ([]byte, error) { return rd.content(s) }
	rd.b.Disclosed = append(rd.b.Disclosed, Disclosed{Index: index, Event: int(event), Slot: strings.ReplaceAll(parts[2], ".", "/"), Load: load})
	rd.rest = rd.rest[1:]
	return nil
}

func parseIndex(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && len(s) == 20 && n <= math.MaxInt64
}

func marshalDisclosure(d payload.Disclosure) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing a disclosure: %w", err)
	}
	return b, nil
}
