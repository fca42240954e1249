package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A spill keeps bytes that may be more than fit into memory, in a temporary file without a name: nobody finds it, and it is gone
// when this process is.
type spill struct {
	file *os.File
	size int64
	most int64 // bytes; 0 for as many as the disk has
}

type extent struct{ offset, size int64 }

// newSpill makes one in a directory; in that for temporary files if it is "".
func newSpill(dir string) (*spill, error) {
	f, err := os.CreateTemp(dir, ".steno-spill-")
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("making a temporary file: %w", err), f.Close())
	}
	return &spill{file: f}, nil
}

func (s *spill) add(b []byte) (extent, error) {
	at := extent{s.size, int64(len(b))}
	if s.most > 0 && s.size+at.size > s.most {
		return extent{}, fmt.Errorf("more than %d bytes, which is what a file has at most", s.most)
	}
	if _, err := s.file.WriteAt(b, at.offset); err != nil {
		return extent{}, fmt.Errorf("writing a temporary file: %w", err)
	}
	s.size += at.size
	return at, nil
}

func (s *spill) load(at extent) ([]byte, error) {
	b := make([]byte, at.size)
	if _, err := io.ReadFull(io.NewSectionReader(s.file, at.offset, at.size), b); err != nil {
		return nil, fmt.Errorf("reading a temporary file: %w", err)
	}
	return b, nil
}

func (s *spill) close() error { return s.file.Close() }
