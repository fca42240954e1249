// Package secretfile reads files with secrets. A file that others than its owner can read holds no secret, so it is refused.
package secretfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

const maxFile = 16 << 10

// Read returns what is in a file that nobody but its owner may read.
func Read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if st.Mode()&fs.ModeType != 0 || st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it, and replace the key if others could", path, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(b), err
}
