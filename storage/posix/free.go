package posix

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free returns what an unprivileged process can still use of the file system that dir is on. A file system without a
// fixed number of inodes reports none in all (btrfs): inodes is then the greatest number.
func Free(dir string) (bytes, inodes uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("asking for free space of %s: %w", dir, err)
	}
	bytes, inodes = st.Bavail*uint64(st.Bsize), st.Ffree
	if st.Files == 0 {
		inodes = 1<<64 - 1
	}
	return bytes, inodes, nil
}
