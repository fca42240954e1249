package posix

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/stenolog/steno/storage"
)

// lockName is the lock of a store's directory; the dot keeps it apart from retention classes.
const lockName = ".lock"

// held has the lock files that this process holds. It is the one global of this package: flock excludes a second open
// within the process on local file systems, but where it is emulated by fcntl locks (NFS) it does not, and two drivers
// on one directory in one process lose acknowledged entries without a word.
var held sync.Map // inode → struct{}

type inode struct{ dev, ino uint64 }

// A fileLock is an exclusive lock on a file, held until it is closed or the process ends, however it ends.
type fileLock struct {
	f  *os.File
	id inode
}

// lockFile takes the lock on path without waiting. The error, if another holds it, wraps storage.ErrLocked and says what
// the holder wrote into the file.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l, err := lockOpen(f)
	if err != nil {
		holder := readHolder(f)
		f.Close()
		if errors.Is(err, storage.ErrLocked) && holder != "" {
			return nil, fmt.Errorf("%s: %w (%s)", path, err, holder)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func lockOpen(f *os.File) (*fileLock, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("no inode number on this platform")
	}
	id := inode{dev: uint64(st.Dev), ino: st.Ino}
	if _, taken := held.LoadOrStore(id, struct{}{}); taken {
		return nil, storage.ErrLocked
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		held.Delete(id)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, storage.ErrLocked
		}
		return nil, fmt.Errorf("locking: %w", err)
	}
	return &fileLock{f: f, id: id}, nil
}

// write replaces the file's content: it informs whoever finds the lock taken. It is not durable, the lock isn't either.
func (l *fileLock) write(content string) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(content), 0)
	return err
}

func (l *fileLock) release() error {
	err := l.f.Close()
	held.Delete(l.id)
	return err
}

// readHolder returns what the holder says of itself, on one line, or "".
func readHolder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 512))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(b), "?")), "\n")
	return strings.Join(lines, ", ")
}

// resolve returns the absolute path of a directory with symbolic links followed.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
