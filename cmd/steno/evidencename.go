package main

import (
	"errors"
	"io/fs"
	"os"
)

const unfinishedPrefix = ".steno-evidence-"

// An unfinished file gets its name when it is whole. Until then it has none, so that nothing of it is left by a process that is killed:
// it may hold in clear what was sealed. Where files can't be without one it has another.
type unfinished struct {
	*os.File
	temporary string // its other name, if it has one
}

func newUnfinished(dir string) (*unfinished, error) {
	if f, err := nameless(dir); err == nil {
		return &unfinished{File: f}, nil
	}
	f, err := os.CreateTemp(dir, unfinishedPrefix)
	if err != nil {
		return nil, err
	}
	return &unfinished{f, f.Name()}, nil
}

// name gives the file its name, and never takes that of another.
func (u *unfinished) name(out string) error {
	if u.temporary == "" {
		return link(u.File, out)
	}
	return giveName(u.temporary, out)
}

func (u *unfinished) close() error {
	err := u.Close()
	if u.temporary == "" {
		return err
	}
	gone := os.Remove(u.temporary)
	if errors.Is(gone, fs.ErrNotExist) { // it has its name
		gone = nil
	}
	return errors.Join(err, gone)
}

// giveName names a finished file, and never takes the name of another. A stick has a file system without links: there the name is
// taken first, by an empty file, which nobody takes for evidence if the power goes now.
func giveName(tmp, out string) error {
	err := os.Link(tmp, out)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), os.Rename(tmp, out)); err != nil {
		return errors.Join(err, os.Remove(out)) // it is ours, and empty: whoever tries again finds the name free
	}
	return nil
}
