package evidence

import (
	"bytes"
	"io"
	"math"
)

// A Content is bytes that stand somewhere and are loaded when they are asked for, one after the other, so that a large bundle need not
// fit into memory. There may be a million of them: it is two words.
type Content struct {
	in       *Contents
	at, size uint32 // a bundle has no more bytes than that
}

// Contents are where the bytes of many stand.
type Contents struct{ r io.ReaderAt }

// ContentsIn are bytes in a file. Its errors are those of Load.
func ContentsIn(r io.ReaderAt) *Contents { return &Contents{r} }

// At is the content of a size at an offset.
func (c *Contents) At(offset, size uint32) Content { return Content{c, offset, size} }

// ContentOf is bytes in memory.
func ContentOf(b []byte) Content {
	return ContentsIn(bytes.NewReader(b)).At(0, uint32(min(len(b), math.MaxUint32))) // which nothing may have
}

// Size is how many bytes there are.
func (c Content) Size() int64 { return int64(c.size) }

// Load reads the bytes, which are the caller's.
func (c Content) Load() ([]byte, error) {
	b := make([]byte, c.size)
	if len(b) == 0 {
		return b, nil
	}
	n, err := c.in.r.ReadAt(b, int64(c.at))
	if n == len(b) {
		return b, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}
