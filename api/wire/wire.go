// Package wire is what goes over HTTP between a steno server and its clients: the framing of signed submissions, and the Go
// types of every JSON answer. It does no I/O, and both sides import it. docs/spec/submission.md is the specification.
//
// A submission is the body of a POST with the media type application/vnd.steno.submission. It begins with a line that
// names the format; frames follow until the end. A frame is a kind (one byte), the length of its data (four bytes, big
// endian) and the data:
//
//	steno/submission/v1\n
//	E 00 00 04 1f  steno/entry/v1\nlog.acme.example/prod\n…      an entry as its recorder signed it
//	B 00 00 01 3e  steno/blob/v1\n…                              a sealed blob that the entry names
//	W 00 00 02 4a  <32 bytes> age-encryption.org/v1\n…           a unit key that the entry commits to, wrapped
//
// Blobs belong to the entry before them and stand in the order in which it names them; wraps follow the blobs. A reader
// refuses every other order, so that one submission has one spelling. What the entries, blobs and wraps say is not judged
// here.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
)

// SubmissionType is the media type of a signed submission.
const SubmissionType = "application/vnd.steno.submission"

// Magic is the first line of a submission.
const Magic = "steno/submission/v1\n"

// Limits of the framing. They are part of the format.
const (
	MaxEntries = 256             // entries of a submission
	MaxWrap    = 64 << 10        // bytes of an age file
	MaxBlobs   = 1024            // blobs of a submission
	MaxWraps   = 256             // wraps of a submission
	MaxBlob    = payload.MaxBlob // bytes of a blob
	frameHead  = 5
	keyBytes   = len(entry.Hash{})
)

// Kinds of frames.
const (
	kindEntry = 'E'
	kindBlob  = 'B'
	kindWrap  = 'W'
)

// A Submitted is one entry of a submission with what belongs to it.
type Submitted struct {
	Entry []byte // text, empty line, the recorder's signature line
	// Blobs are the sealed blobs that the entry names, in its order; those that the server holds durably may be missing.
	Blobs [][]byte
	// Wraps are the unit keys that an opening or rolling entry commits to.
	Wraps []Wrap
}

// A Wrap is a unit key, encrypted to the recipients of its class.
type Wrap struct {
	Key  entry.Hash // the commitment to the key
	File []byte     // an age file (https://c2sp.org/age)
}

// A FramingError says what is wrong with the framing and at which byte of the body.
type FramingError struct {
	Code   string // one of the Code constants
	Offset int
	Detail string
}

func (e *FramingError) Error() string {
	return fmt.Sprintf("%s: %s (byte %d)", e.Code, e.Detail, e.Offset)
}

// Codes of framing errors, as they stand in problem responses.
const (
	CodeVersion   = "submission-version"
	CodeFraming   = "submission-framing"
	CodeTruncated = "submission-truncated"
	CodeTooMany   = "submission-too-many"
	CodeFrameSize = "submission-frame-size"
)

// Append appends a submission of subs to b. It refuses what Parse would refuse.
func Append(b []byte, subs ...Submitted) ([]byte, error) {
	start := len(b)
	b = append(b, Magic...)
	for _, s := range subs {
		if err := s.fits(); err != nil {
			return nil, fmt.Errorf("framing a submission: %w", err)
		}
		b = appendFrame(b, kindEntry, s.Entry)
		for _, blob := range s.Blobs {
			b = appendFrame(b, kindBlob, blob)
		}
		for _, w := range s.Wraps {
			b = append(b, kindWrap)
			b = binary.BigEndian.AppendUint32(b, uint32(keyBytes+len(w.File)))
			b = append(append(b, w.Key[:]...), w.File...)
		}
	}
	if _, err := Parse(b[start:]); err != nil {
		return nil, fmt.Errorf("framing a submission: %w", err)
	}
	return b, nil
}

// fits looks at sizes before they are written, for what does not fit into four bytes would make other frames.
func (s Submitted) fits() error {
	tooLarge := func(kind byte, n int) error {
		return &FramingError{CodeFrameSize, 0, fmt.Sprintf("frame %c of %d bytes, at most %d", kind, n, limitOf(kind))}
	}
	if uint64(len(s.Entry)) > limitOf(kindEntry) {
		return tooLarge(kindEntry, len(s.Entry))
	}
	for _, b := range s.Blobs {
		if uint64(len(b)) > limitOf(kindBlob) {
			return tooLarge(kindBlob, len(b))
		}
	}
	for _, w := range s.Wraps {
		if len(w.File) > MaxWrap {
			return tooLarge(kindWrap, keyBytes+len(w.File))
		}
	}
	return nil
}

func appendFrame(b []byte, kind byte, data []byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// Parse reads a whole submission: at least one entry, and nothing behind the last frame. The result aliases body. Every
// error is a *FramingError.
func Parse(body []byte) ([]Submitted, error) {
	if len(body) < len(Magic) || string(body[:len(Magic)]) != Magic {
		return nil, &FramingError{CodeVersion, 0, "the first line is not " + Magic[:len(Magic)-1]}
	}
	p := parser{body: body, at: len(Magic)}
	for p.at < len(body) {
		if err := p.frame(); err != nil {
			return nil, err
		}
	}
	if len(p.subs) == 0 {
		return nil, &FramingError{CodeFraming, p.at, "no entry"}
	}
	return p.subs, nil
}

// BlobsType is the media type of a page's blobs, and BlobsMagic its first line: frames B follow, as in a submission.
const (
	BlobsType  = "application/vnd.steno.blobs"
	BlobsMagic = "steno/blobs/v1\n"
)

// AppendBlob appends a frame to a page of blobs, which begins with BlobsMagic.
func AppendBlob(b, blob []byte) []byte { return appendFrame(b, kindBlob, blob) }

// ParseBlobs reads a page of blobs. Every error is a *FramingError.
func ParseBlobs(body []byte) ([][]byte, error) {
	var blobs [][]byte
	err := ReadBlobs(bytes.NewReader(body), func(b []byte) error {
		blobs = append(blobs, b)
		return nil
	})
	return blobs, err
}

// ReadBlobs reads a page of blobs as it comes, and gives f one after the other, to keep. Errors are *FramingError, or r's or f's own.
func ReadBlobs(r io.Reader, f func(blob []byte) error) error {
	head := make([]byte, len(BlobsMagic))
	if _, err := io.ReadFull(r, head); err != nil && !ended(err) {
		return err
	}
	if string(head) != BlobsMagic {
		return &FramingError{CodeVersion, 0, "the first line is not " + BlobsMagic[:len(BlobsMagic)-1]}
	}
	for at := len(BlobsMagic); ; {
		data, err := readBlob(r, at)
		if err == io.EOF { //nolint:errorlint // readBlob returns it bare
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(data); err != nil {
			return err
		}
		at += frameHead + len(data)
	}
}

// readBlob reads the frame at an offset, or returns io.EOF if nothing is there.
func readBlob(r io.Reader, at int) ([]byte, error) {
	var head [frameHead]byte
	switch n, err := io.ReadFull(r, head[:]); {
	case err == io.EOF: //nolint:errorlint // readers return it bare
		return nil, io.EOF
	case n > 0 && head[0] != kindBlob:
		return nil, &FramingError{CodeFraming, at, fmt.Sprintf("frame of unknown kind 0x%02x", head[0])}
	case ended(err):
		return nil, &FramingError{CodeTruncated, at, "the body ends inside the head of a frame"}
	case err != nil:
		return nil, err
	}
	n, limit := uint64(binary.BigEndian.Uint32(head[1:])), limitOf(kindBlob)
	switch {
	case n > limit:
		return nil, &FramingError{CodeFrameSize, at + 1, fmt.Sprintf("frame B of %d bytes, at most %d", n, limit)}
	case n == 0:
		return nil, &FramingError{CodeFraming, at, "frame B of 0 bytes is empty"}
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows as bytes come
	if err == nil && uint64(len(data)) < n || ended(err) {
		return nil, &FramingError{CodeTruncated, at, fmt.Sprintf("frame B of %d bytes, %d are there", n, len(data))}
	}
	return data, err
}

// ended tells whether a reader had no more.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// frameData returns the data of the frame at body[at:], whose kind is known.
func frameData(body []byte, at int) ([]byte, error) {
	if len(body)-at < frameHead {
		return nil, &FramingError{CodeTruncated, at, "the body ends inside the head of a frame"}
	}
	kind := body[at]
	n, limit := uint64(binary.BigEndian.Uint32(body[at+1:])), limitOf(kind)
	if n > limit {
		return nil, &FramingError{CodeFrameSize, at + 1, fmt.Sprintf("frame %c of %d bytes, at most %d", kind, n, limit)}
	}
	rest := body[at+frameHead:]
	if n > uint64(len(rest)) {
		return nil, &FramingError{CodeTruncated, at, fmt.Sprintf("frame %c of %d bytes, %d are there", kind, n, len(rest))}
	}
	if kind == kindWrap && n <= uint64(keyBytes) || n == 0 {
		return nil, &FramingError{CodeFraming, at, fmt.Sprintf("frame %c of %d bytes is empty", kind, n)}
	}
	return rest[:n:n], nil
}

type parser struct {
	body         []byte
	at           int
	subs         []Submitted
	blobs, wraps int
}

func (p *parser) frame() error {
	kind := p.body[p.at]
	if err := p.place(kind, p.at); err != nil {
		return err
	}
	data, err := frameData(p.body, p.at)
	if err != nil {
		return err
	}
	p.take(kind, data)
	p.at += frameHead + len(data)
	return nil
}

// place refuses a frame that may not stand where it stands.
func (p *parser) place(kind byte, at int) error {
	if kind != kindEntry && kind != kindBlob && kind != kindWrap {
		return &FramingError{CodeFraming, at, fmt.Sprintf("frame of unknown kind 0x%02x", kind)}
	}
	if kind == kindEntry {
		if len(p.subs) == MaxEntries {
			return &FramingError{CodeTooMany, at, fmt.Sprintf("more than %d entries", MaxEntries)}
		}
		return nil
	}
	if len(p.subs) == 0 {
		return &FramingError{CodeFraming, at, fmt.Sprintf("frame %c before any entry", kind)}
	}
	if kind == kindBlob && len(p.subs[len(p.subs)-1].Wraps) > 0 {
		return &FramingError{CodeFraming, at, "a blob after a wrap of the same entry"}
	}
	if p.blobs == MaxBlobs && kind == kindBlob || p.wraps == MaxWraps && kind == kindWrap {
		return &FramingError{CodeTooMany, at, fmt.Sprintf("too many frames %c", kind)}
	}
	return nil
}

func (p *parser) take(kind byte, data []byte) {
	if kind == kindEntry {
		p.subs = append(p.subs, Submitted{Entry: data})
		return
	}
	last := &p.subs[len(p.subs)-1]
	if kind == kindBlob {
		last.Blobs = append(last.Blobs, data)
		p.blobs++
		return
	}
	last.Wraps = append(last.Wraps, Wrap{Key: entry.Hash(data[:keyBytes]), File: data[keyBytes:]})
	p.wraps++
}

func limitOf(kind byte) uint64 {
	switch kind {
	case kindEntry:
		return entry.MaxLeaf
	case kindBlob:
		return uint64(MaxBlob)
	}
	return uint64(keyBytes) + MaxWrap
}
