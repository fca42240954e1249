package evidence

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
)

// The archive is a zip file of which every byte follows from names and contents: stored, dated 1980-01-01, no extra
// fields, no comments, no data descriptors, no gaps. archive/zip could write most of it, but what it writes is for it to
// change; and a reader of one spelling is shorter than one of all.

const (
	sigLocal     = 0x04034b50
	sigCentral   = 0x02014b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50
	sigEnd       = 0x06054b50
	localSize    = 30
	zipVersion   = 10        // 1.0: stored files
	zipMadeBy    = 0x031e    // Unix, so that extracted files can be read
	zipMode      = 0o100644  // regular file
	zipDate      = 1<<5 | 1  // 1980-01-01
	max16        = 1<<16 - 1 // from here on a count takes the 64-bit end record
)

// A member is one file of the archive.
type member struct {
	name   string
	crc    uint32
	size   uint32
	offset int64 // of its local header
}

// end is where the next one begins.
func (m member) end() int64 { return m.offset + int64(localSize+len(m.name)) + int64(m.size) }

func (m member) local() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, localSize+len(m.name)), sigLocal)
	b = le.AppendUint16(b, zipVersion)
	b = m.common(b)
	return append(b, m.name...)
}

// common is what local and central header share: flags, method, time, date, CRC-32, both sizes, lengths of name and extra.
func (m member) common(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, zipDate)
	b = le.AppendUint32(b, m.crc)
	b = le.AppendUint32(b, m.size)
	b = le.AppendUint32(b, m.size)
	b = le.AppendUint16(b, uint16(len(m.name)))
	return le.AppendUint16(b, 0)
}

func (m member) central() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, sigCentral)
	b = le.AppendUint16(b, zipMadeBy)
	b = le.AppendUint16(b, zipVersion)
	b = m.common(b)
	b = append(b, 0, 0, 0, 0, 0, 0) // length of comment, disk, internal attributes
	b = le.AppendUint32(b, zipMode<<16)
	b = le.AppendUint32(b, uint32(m.offset))
	return append(b, m.name...)
}

// writeEnding writes the central directory of all members and what closes the archive.
func writeEnding(w io.Writer, members iter.Seq[member]) error {
	count, at, size := 0, int64(0), int64(0)
	for m := range members {
		count, at = count+1, m.end()
		b := m.central()
		if size += int64(len(b)); at+size > MaxBundle {
			return fmt.Errorf("the bundle exceeds %d bytes", int64(MaxBundle))
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	le := binary.LittleEndian
	var b []byte
	short := uint16(min(count, max16))
	if count >= max16 {
		b = le.AppendUint32(b, sigEnd64)
		b = le.AppendUint64(b, 44) // of the rest of this record
		b = le.AppendUint16(b, zipMadeBy)
		b = le.AppendUint16(b, 45)
		b = le.AppendUint64(b, 0) // disks
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(size))
		b = le.AppendUint64(b, uint64(at))
		b = le.AppendUint32(b, sigLocator64)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(at)+uint64(size))
		b = le.AppendUint32(b, 1)
	}
	b = le.AppendUint32(b, sigEnd)
	b = le.AppendUint32(b, 0) // disks
	b = le.AppendUint16(b, short)
	b = le.AppendUint16(b, short)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(at))
	b = le.AppendUint16(b, 0) // length of comment
	if at+size+int64(len(b)) > MaxBundle {
		return fmt.Errorf("the bundle exceeds %d bytes", int64(MaxBundle))
	}
	_, err := w.Write(b)
	return err
}

// An archiver writes an archive. Of what it has written it keeps the checksums alone.
type archiver struct {
	w    *bufio.Writer
	sums []uint32
	at   int64
}

func newArchiver(w io.Writer) *archiver { return &archiver{w: bufio.NewWriterSize(w, 1<<16)} }

func (a *archiver) add(name string, content []byte) error {
	m := member{name: name, crc: crc32.ChecksumIEEE(content), size: uint32(len(content)), offset: a.at}
	if m.end() > MaxBundle {
		return fmt.Errorf("%s: the bundle exceeds %d bytes", name, int64(MaxBundle))
	}
	a.sums, a.at = append(a.sums, m.crc), m.end()
	for _, b := range [][]byte{m.local(), content} {
		if _, err := a.w.Write(b); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// finish closes an archive of these members.
func (a *archiver) finish(members iter.Seq[member]) error {
	if err := errors.Join(writeEnding(a.w, members), a.w.Flush()); err != nil {
		return fmt.Errorf("writing the directory: %w", err)
	}
	return nil
}

// A FormatError says that a file is no bundle, or not in the one spelling of its contents. File names the file in it, or
// is empty; Offset counts bytes from the start of the bundle.
type FormatError struct {
	File   string
	Offset int64
	Why    string
}

func (e *FormatError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("not an intact bundle: byte %d: %s", e.Offset, e.Why)
	}
	return fmt.Sprintf("not an intact bundle: byte %d, in %s: %s", e.Offset, e.File, e.Why)
}

// A section is a file of the archive that was found, and where its content lies.
type section struct {
	member
	start int64 // of its content
}

// sectionAt reads the local header at an offset, of which it checks every byte; nil says that no more files follow. Limit says how large
// a file may be by its name, and refuses names that have no place.
func sectionAt(r io.ReaderAt, size, at int64, limit func(string) (int64, bool)) (*section, error) {
	var buf [localSize + maxNameLength]byte
	head := buf[:min(int64(len(buf)), size-at)]
	if _, err := r.ReadAt(head, at); err != nil && err != io.EOF {
		return nil, err
	}
	le := binary.LittleEndian
	if len(head) >= 4 && le.Uint32(head) == sigCentral && at > 0 {
		return nil, nil
	}
	if len(head) < localSize {
		return nil, &FormatError{Offset: at, Why: "the file ends where a file's header should be"}
	}
	m := member{crc: le.Uint32(head[14:]), size: le.Uint32(head[18:]), offset: at}
	n := int(le.Uint16(head[26:]))
	if n == 0 || n > maxNameLength || localSize+n > len(head) {
		return nil, firstDifference(head, m.local(), at, "")
	}
	m.name = string(head[localSize : localSize+n])
	want := m.local()
	if !bytes.Equal(head[:len(want)], want) {
		return nil, firstDifference(head, want, at, "")
	}
	max, ok := limit(m.name)
	if !ok {
		return nil, &FormatError{Offset: at + localSize, Why: "a file's name that no bundle has"}
	}
	s := &section{member: m, start: at + int64(len(want))}
	if int64(m.size) > max || int64(m.size) > size-s.start {
		return nil, &FormatError{File: m.name, Offset: at + 18, Why: fmt.Sprintf("size of %d bytes, at most %d", m.size, min(max, size-s.start))}
	}
	return s, nil
}

func firstDifference(have, want []byte, at int64, file string) error {
	for i := range want {
		if i >= len(have) || have[i] != want[i] {
			return &FormatError{File: file, Offset: at + int64(i), Why: "not the byte that stands here in an intact bundle"}
		}
	}
	return &FormatError{File: file, Offset: at + int64(len(want)), Why: "bytes too many"}
}

// compareEnding checks every byte behind the files, where at is the end of the last.
func compareEnding(r io.ReaderAt, size int64, members iter.Seq[member], at int64) error {
	c := &comparer{r: bufio.NewReaderSize(io.NewSectionReader(r, at, size-at), 1<<16), at: at}
	err := writeEnding(c, members)
	if format, read := (*FormatError)(nil), (*ReadError)(nil); errors.As(err, &format) || errors.As(err, &read) {
		return err
	}
	if err != nil {
		return &FormatError{Offset: c.at, Why: err.Error()}
	}
	if c.at != size {
		return &FormatError{Offset: c.at, Why: "bytes after the end of the archive"}
	}
	return nil
}

// A comparer is a writer that compares what is written with what a reader has in its place.
type comparer struct {
	r   *bufio.Reader
	at  int64
	buf []byte
}

func (c *comparer) Write(want []byte) (int, error) {
	c.buf = append(c.buf[:0], make([]byte, len(want))...)
	n, err := io.ReadFull(c.r, c.buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	if !bytes.Equal(c.buf[:n], want) {
		return 0, firstDifference(c.buf[:n], want, c.at, "")
	}
	c.at += int64(len(want))
	return len(want), nil
}

// A ReadError says that the file could not be read, which tells nothing of what is in it.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "reading the bundle: " + e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// A readable is a file whose errors are those.
type readable struct{ r io.ReaderAt }

func (f readable) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.r.ReadAt(b, at)
	if err != nil && err != io.EOF {
		err = &ReadError{err}
	}
	return n, err
}
