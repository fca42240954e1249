package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// nameless makes a file without a name, which link can give it. Whether it can is tried with another, which is empty: when all is
// written, and the log has recorded what is handed over, is too late to find out.
func nameless(dir string) (f *os.File, err error) {
	probe, err := openNameless(dir)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, unfinishedPrefix+rand.Text())
	if err := link(probe, name); err != nil {
		return nil, errors.Join(err, probe.Close())
	}
	if err := errors.Join(os.Remove(name), probe.Close()); err != nil {
		return nil, err
	}
	return openNameless(dir)
}

func openNameless(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a file without a name: %w", err)
	}
	return f, nil
}

// link gives a file without a name one, unless another has it.
func link(f *os.File, name string) error {
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "linkat", Old: f.Name(), New: name, Err: err}
	}
	return nil
}
