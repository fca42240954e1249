package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A line is what one side sent up to and with a line feed; the last may have none.
type line struct {
	raw     []byte
	tooLong bool // raw is its beginning
}

// text is the line without its line feed: what is recorded.
func (l line) text() []byte { return bytes.TrimSuffix(l.raw, []byte("\n")) }

// blank lines say nothing and are not relayed.
func (l line) blank() bool { return len(bytes.Trim(l.raw, " \t\r\n")) == 0 }

const (
	longPrefix = 64 << 10 // bytes that are recorded of a line that is too long
	lineCost   = 64       // weight of a line besides its bytes
)

// readLines puts the lines of r into q until r ends, and closes q.
func readLines(r io.Reader, limit int, q *queue[line]) error {
	defer q.close()
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		l, err := readLine(in, limit)
		if len(l.raw) > 0 && !q.put(l, len(l.raw)+lineCost) {
			return nil // the other end closed the queue: nobody reads on
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func readLine(in *bufio.Reader, limit int) (line, error) {
	var l line
	for {
		piece, err := in.ReadSlice('\n')
		switch {
		case l.tooLong: // the rest is not kept
		case len(l.raw)+len(piece) > limit:
			l.raw, l.tooLong = append(l.raw, piece...), true
			l.raw = bytes.Clone(l.raw[:min(len(l.raw), longPrefix)])
		default:
			l.raw = append(l.raw, piece...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}
