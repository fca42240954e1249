package posix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Files of a lease within its directory.
const (
	leaseFile = "lease"
	epochFile = "lease.epoch"
)

// epochMagic is the first line of the epoch file; the second is the epoch in decimal.
const epochMagic = "steno/lease-epoch/v1"

// A Lease is a file lock on "lease" in a directory; the kernel lets go of it when the process ends, however it ends. The
// epoch is counted in "lease.epoch", durably. It implements storage.Lease.
type Lease struct {
	dir  string
	mu   sync.Mutex
	lock *fileLock
}

var _ storage.Lease = (*Lease)(nil)

// NewLease returns the lease of a directory, which must exist when the lease is acquired.
func NewLease(dir string) *Lease { return &Lease{dir: dir} }

// Acquire implements storage.Lease. The epoch is durable before it is returned.
func (l *Lease) Acquire(context.Context) (epoch uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock != nil {
		return 0, fmt.Errorf("acquiring lease: %w (by this very lease)", storage.ErrLocked)
	}
	lock, err := lockFile(filepath.Join(l.dir, leaseFile))
	if err != nil {
		return 0, fmt.Errorf("acquiring lease: %w", err)
	}
	defer func() {
		if err != nil {
			lock.release()
		}
	}()
	epoch, err = nextEpoch(l.dir)
	if err != nil {
		return 0, fmt.Errorf("acquiring lease: %w", err)
	}
	if err := lock.write(holderText(epoch)); err != nil {
		return 0, fmt.Errorf("acquiring lease: %w", err)
	}
	l.lock = lock
	return epoch, nil
}

// Release implements storage.Lease. Releasing what is not held is no error.
func (l *Lease) Release(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return nil
	}
	lock := l.lock
	l.lock = nil
	// The lock goes even if the holder's text stays: it is only read by those who find the lock taken.
	writeErr := lock.write("")
	return errors.Join(writeErr, lock.release())
}

func holderText(epoch uint64) string {
	return fmt.Sprintf("epoch %d\npid %d\nsince %s\n", epoch, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
}

// nextEpoch counts up. Only the holder of the lock calls it.
func nextEpoch(dir string) (uint64, error) {
	name := filepath.Join(dir, epochFile)
	var last uint64
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, err
	default:
		if last, err = parseEpoch(string(b)); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	if last == 1<<64-1 {
		return 0, fmt.Errorf("%s: no epoch left", name)
	}
	text := epochMagic + "\n" + strconv.FormatUint(last+1, 10) + "\n"
	if err := durable.WriteFile(name, []byte(text), 0o600); err != nil {
		return 0, err
	}
	return last + 1, nil
}

func parseEpoch(s string) (uint64, error) {
	rest, ok := strings.CutPrefix(s, epochMagic+"\n")
	digits, ok2 := strings.CutSuffix(rest, "\n")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || !ok2 || err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, errors.New("not an epoch file")
	}
	return n, nil
}
