package posix

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/stenolog/steno/storage"
)

// Segment files, of blobs and of the archive, are sequences of records that tell of themselves. A record is a header of 64
// bytes and a body:
//
//	 0  8  "steno/r1"
//	 8  1  'L' live, 'E' erased
//	 9  3  zero
//	12  4  CRC-32C of the header without the bytes 8 to 15
//	16  8  tag, big endian: for a checkpoint its tree size, for a blob 0
//	24  8  length of the body, big endian
//	32 32  SHA-256 of the body
//	64     body; zeros if erased
//
// The state is one byte and outside the CRC, so that a record goes from live to erased in a write that can't be torn.
const (
	recordMagic  = "steno/r1"
	headerSize   = 64
	stateAt      = 8
	stateLive    = 'L'
	stateErased  = 'E'
	maxBody      = 256 << 10 // a greater length is garbage; it also bounds what a forged header in a torn body costs
	scanReadSize = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	erased bool
	tag    uint64
	length int64
	sum    storage.Hash
}

// end is the offset after a record that starts at off.
func (h header) end(off int64) int64 { return off + headerSize + h.length }

func (h header) append(b []byte) []byte {
	start := len(b)
	b = append(b, recordMagic...)
	state := byte(stateLive)
	if h.erased {
		state = stateErased
	}
	b = append(b, state, 0, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, h.tag)
	b = binary.BigEndian.AppendUint64(b, uint64(h.length))
	b = append(b, h.sum[:]...)
	binary.BigEndian.PutUint32(b[start+12:], headerCRC(b[start:]))
	return b
}

func headerCRC(b []byte) uint32 {
	crc := crc32.Update(0, castagnoli, b[:stateAt])
	return crc32.Update(crc, castagnoli, b[16:headerSize])
}

var errNoRecord = errors.New("not a record")

// parseHeader reads a header of exactly 64 bytes.
func parseHeader(b []byte) (header, error) {
	if len(b) != headerSize || string(b[:stateAt]) != recordMagic {
		return header{}, errNoRecord
	}
	state := b[stateAt]
	if state != stateLive && state != stateErased || b[9]|b[10]|b[11] != 0 {
		return header{}, errNoRecord
	}
	if binary.BigEndian.Uint32(b[12:]) != headerCRC(b) {
		return header{}, errNoRecord
	}
	length := binary.BigEndian.Uint64(b[24:])
	if length > maxBody {
		return header{}, errNoRecord
	}
	return header{
		erased: state == stateErased,
		tag:    binary.BigEndian.Uint64(b[16:]),
		length: int64(length),
		sum:    storage.Hash(b[32:64]),
	}, nil
}

// A scan is what is in a segment file.
type scan struct {
	records []scanned
	end     int64 // after the last record
	damaged int64 // bytes that belong to no record, with records after them
}

type scanned struct {
	header
	off    int64
	zeroed bool // of an erased record: its body is all zeros
}

// scanFile finds every sound record of a segment file, checking bodies. What follows the last one is the torn tail of a
// write that was never acknowledged. Bytes between records that are no record were once acknowledged, and damaged since:
// they are counted and left where they are.
//
// It begins at from, up to which the file is known.
func scanFile(f io.ReaderAt, from, size int64) (scan, error) {
	s := scan{end: from}
	buf := make([]byte, scanReadSize)
	for off := from; off < size; {
		rec, ok, err := readRecordAt(f, off, size, buf)
		if err != nil {
			return scan{}, err
		}
		if ok {
			s.damaged += off - s.end
			s.records = append(s.records, rec)
			s.end = rec.end(off)
			off = s.end
			continue
		}
		if off, err = findMagic(f, off+1, size, buf); err != nil {
			return scan{}, err
		}
	}
	return s, nil
}

// readRecordAt reports whether there is a sound record at off.
func readRecordAt(f io.ReaderAt, off, size int64, buf []byte) (scanned, bool, error) {
	if size-off < headerSize {
		return scanned{}, false, nil
	}
	if _, err := f.ReadAt(buf[:headerSize], off); err != nil {
		return scanned{}, false, fmt.Errorf("reading header at %d: %w", off, err)
	}
	h, err := parseHeader(buf[:headerSize])
	if err != nil || h.end(off) > size {
		return scanned{}, false, nil
	}
	sum := sha256.New()
	zeroed := true
	body := io.NewSectionReader(f, off+headerSize, h.length)
	for {
		n, err := body.Read(buf)
		sum.Write(buf[:n])
		zeroed = zeroed && allZero(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return scanned{}, false, fmt.Errorf("reading record at %d: %w", off, err)
		}
	}
	rec := scanned{header: h, off: off, zeroed: zeroed}
	return rec, h.erased || storage.Hash(sum.Sum(nil)) == h.sum, nil
}

// findMagic returns the offset of the next magic at or after off, size if there is none.
func findMagic(f io.ReaderAt, off, size int64, buf []byte) (int64, error) {
	for off < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && err != io.EOF {
			return 0, fmt.Errorf("reading at %d: %w", off, err)
		}
		if i := bytes.Index(buf[:n], []byte(recordMagic)); i >= 0 {
			return off + int64(i), nil
		}
		// The magic may straddle two reads.
		if n < len(recordMagic) {
			break
		}
		off += int64(n - len(recordMagic) + 1)
	}
	return size, nil
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
