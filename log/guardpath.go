package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// CheckGuardPath refuses (ErrGuardInside) a guard whose file lies inside one of the guarded directories, however it is
// spelled or linked: a copy of the directory that is restored later would bring an old guard with the old tree, and the
// two would agree. The wiring calls it before it opens either. Nothing of the paths needs to exist.
func CheckGuardPath(guard string, guarded ...string) error {
	g, err := resolve(guard)
	if err != nil {
		return fmt.Errorf("resolving the guard's path: %w", err)
	}
	for _, dir := range guarded {
		d, err := resolve(dir)
		if err != nil {
			return fmt.Errorf("resolving a guarded path: %w", err)
		}
		rel, err := filepath.Rel(d, g)
		if err != nil {
			return fmt.Errorf("comparing %s with %s: %w", g, d, err)
		}
		if rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return &RefusedError{Reason: ErrGuardInside, Origin: guard, Err: fmt.Errorf("%s lies inside %s", g, d)}
		}
	}
	return nil
}

// resolve makes a path absolute and follows links as far as the path exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	parent := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || parent == path {
		return "", err
	}
	if parent, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}
