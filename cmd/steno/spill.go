package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/stenolog/steno/evidence"
)

// A spill keeps bytes that may be more than fit into memory, in temporary files without names: nobody finds them, and they are gone
// when this process is.
type spill struct {
	dir   string
	files []*os.File         // of which all but the last are full
	last  *evidence.Contents // in the last
	at    int64              // its end
	size  int64              // bytes of all
	most  int64              // bytes; 0 for as many as the disk has
}

// newSpill makes one in a directory; in that for temporary files if it is "".
func newSpill(dir string) (*spill, error) {
	s := &spill{dir: dir}
	return s, s.begin()
}

// begin begins a file.
func (s *spill) begin() error {
	f, err := os.CreateTemp(s.dir, ".steno-spill-")
	if err != nil {
		return fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("making a temporary file: %w", err), f.Close())
	}
	s.files, s.last, s.at = append(s.files, f), evidence.ContentsIn(spilled{f}), 0
	return nil
}

func (s *spill) add(b []byte) (evidence.Content, error) {
	if s.most > 0 && s.size+int64(len(b)) > s.most {
		return evidence.Content{}, fmt.Errorf("more than %d bytes, which is what a file has at most", s.most)
	}
	if s.at+int64(len(b)) > evidence.MaxBundle { // which is as far as a Content reaches
		if err := s.begin(); err != nil {
			return evidence.Content{}, err
		}
	}
	if _, err := s.files[len(s.files)-1].WriteAt(b, s.at); err != nil {
		return evidence.Content{}, fmt.Errorf("writing a temporary file: %w", err)
	}
	at := s.last.At(uint32(s.at), uint32(len(b)))
	s.at, s.size = s.at+at.Size(), s.size+at.Size()
	return at, nil
}

func (s *spill) close() (err error) {
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// A spilled is a temporary file that is read.
type spilled struct{ f *os.File }

func (s spilled) ReadAt(b []byte, at int64) (int, error) {
	n, err := s.f.ReadAt(b, at)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("reading a temporary file: %w", err)
	}
	return n, err
}

// putInOrder puts rows[n:] in order, and among those before it, which are.
func putInOrder[R any](rows []R, n int, compare func(a, b R) int) {
	slices.SortFunc(rows[n:], compare)
	if n == 0 || n == len(rows) || compare(rows[n-1], rows[n]) < 0 {
		return
	}
	late := slices.Clone(rows[n:])
	for to := len(rows) - 1; len(late) > 0; to-- {
		if last := late[len(late)-1]; n > 0 && compare(rows[n-1], last) > 0 {
			rows[to], n = rows[n-1], n-1
		} else {
			rows[to], late = last, late[:len(late)-1]
		}
	}
}
