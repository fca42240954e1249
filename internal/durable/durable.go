// Package durable does what package os does and returns only when a power cut would not undo it. It follows
// filippo.io/sunlight's package of the same name, whose reasoning in short:
//
//   - A new or renamed file is there after a power cut only if its directory was synced; the directory is held open
//     meanwhile, because evicting its inode from the kernel's cache could swallow the error of a failed write.
//   - After an fsync that failed nothing read back may be believed, and a second fsync that succeeds says nothing of the
//     first one's data. A caller to whom durability matters must therefore stop writing (storage.ErrReadOnly).
package durable

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tempMark is in the name of every temporary file of this package and of no other file in steno.
const tempMark = ".durable-tmp-"

// WriteFile puts data under name, atomically: a reader, or a process after a crash, finds the old content or the new.
func WriteFile(name string, data []byte, perm fs.FileMode) error {
	return inDir(filepath.Dir(name), func() error {
		tmp, err := writeTemp(name, perm, data)
		if err != nil {
			return err
		}
		if err := os.Rename(tmp, name); err != nil {
			os.Remove(tmp) // the rename's error says more, and Sweep finds the file
			return err
		}
		return nil
	})
}

// CreateFile is WriteFile for a name that must be new: fs.ErrExist if it is taken, and of several callers one succeeds.
func CreateFile(name string, data []byte, perm fs.FileMode) error {
	return inDir(filepath.Dir(name), func() error {
		tmp, err := writeTemp(name, perm, data)
		if err != nil {
			return err
		}
		err = os.Link(tmp, name)
		if rmErr := os.Remove(tmp); err == nil {
			err = rmErr
		}
		return err
	})
}

// writeTemp leaves no file behind when it fails, as far as the file system lets it.
func writeTemp(name string, perm fs.FileMode, data []byte) (tmp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+tempMark)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name()) // the first error says more, and Sweep finds the file
		}
	}()
	err = f.Chmod(perm)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		if err = f.Sync(); err != nil {
			err = &SyncError{Path: f.Name(), Err: err}
		}
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return f.Name(), err
}

// Remove removes a file; that it was not there is no error.
func Remove(name string) error {
	return inDir(filepath.Dir(name), func() error {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	})
}

// MkdirAll makes a directory and its missing parents.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case !os.IsNotExist(err):
		return err
	}
	parent := filepath.Dir(path)
	if err := MkdirAll(parent, perm); err != nil {
		return err
	}
	return inDir(parent, func() error {
		if err := os.Mkdir(path, perm); err != nil && !os.IsExist(err) {
			return err
		}
		return nil
	})
}

// SyncDir makes what was created, renamed or removed in a directory durable.
func SyncDir(dir string) error { return inDir(dir, func() error { return nil }) }

// inDir runs op with the directory held open, then syncs it.
func inDir(dir string, op func() error) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = op()
	if err == nil {
		if err = d.Sync(); err != nil {
			err = &SyncError{Path: dir, Err: err}
		}
	}
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// A SyncError is an fsync that failed: what was written before may be lost though it can be read.
type SyncError struct {
	Path string
	Err  error
}

func (e *SyncError) Error() string { return fmt.Sprintf("syncing %s: %v", e.Path, e.Err) }
func (e *SyncError) Unwrap() error { return e.Err }

// IsTemp reports whether the name is that of a temporary file of this package, left by a process that was killed.
func IsTemp(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.Contains(base, tempMark)
}

// Sweep removes the temporary files that a killed process left in a directory (not below it). Nobody may be writing there.
func Sweep(dir string) (removed int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && IsTemp(e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}
