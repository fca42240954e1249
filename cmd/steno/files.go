package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/stenolog/steno/internal/durable"
)

const maxSmallFile = 1 << 20 // keys, tokens, enrolments, configuration

// readSmall reads a file that is no larger than any that belongs where it is read.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(b) > maxSmallFile {
		return nil, fmt.Errorf("reading %s: larger than %d bytes", path, maxSmallFile)
	}
	return b, nil
}

// createSecret makes a file that nobody else may read, and never overwrites one.
func createSecret(path string, content []byte) error {
	if err := durable.CreateFile(path, content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// within resolves a path of a configuration file against the file's directory.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// quote makes a word of a shell command of a path.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
