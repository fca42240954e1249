package posix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stenolog/steno/internal/durable"
)

// Tessera writes every file under its name followed by a random number below 2^31, then renames it. A process that is
// killed, or a full disk, leaves such files behind. They are told by their name alone, and only where Tessera puts them:
//
//	.state/treeState123456                a digit after a known name
//	tile/0/x001/067123456789              more than the three digits of a tile
//	tile/0/x001/067.p/12123456789         more than a width, which is 1 to 255 without leading zeros
//
// A temporary file of a partial tile whose random number has one or two digits can't be told from a tile; there is one in
// ten million, it does no harm to readers (who check hashes), and goes when its directory is collected.
//
// All that were left since the last sweep lie right of the size at that sweep, which is kept in .steno/swept, so that the
// sweep doesn't walk a whole tree of years.

// sweepTree removes them and returns how many. The caller holds the tree's lock.
func sweepTree(dir string) (removed int, err error) {
	state, err := readTreeState(dir)
	if err != nil {
		return 0, err
	}
	from := readSwept(dir)
	s := sweeper{dir: dir}
	s.flat(".", "checkpoint")
	s.flat(stateDir, "treeState", "gcState", "version")
	s.own(stateDir)
	s.own(ownDir)
	for level := uint64(0); level <= 7; level++ {
		s.first, s.last = from>>(8*(level+1)), (state.Size+maxAhead)>>(8*(level+1))
		if level == 0 {
			s.tiles(filepath.Join("tile", "entries"), 0)
		}
		s.tiles(filepath.Join("tile", strconv.FormatUint(level, 10)), 0)
	}
	if s.err != nil {
		return s.removed, s.err
	}
	if from != state.Size {
		err = durable.WriteFile(filepath.Join(dir, sweptPath), []byte(strconv.FormatUint(state.Size, 10)+"\n"), 0o600)
	}
	return s.removed, err
}

// readSwept returns the size at the last sweep; 0, so that all is swept, if that is not known.
func readSwept(dir string) uint64 {
	b, err := os.ReadFile(filepath.Join(dir, sweptPath))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(string(b), "\n"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

type sweeper struct {
	dir     string
	removed int
	err     error

	first, last uint64 // tiles of interest at the present level
}

// maxAhead is more leaves than can have been in a flush that the state does not have.
const maxAhead = 1 << 24

func (s *sweeper) list(rel string) []fs.DirEntry {
	if s.err != nil {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, rel))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.err = err
	}
	return entries
}

func (s *sweeper) remove(rel string) {
	if s.err != nil {
		return
	}
	if err := os.Remove(filepath.Join(s.dir, rel)); err != nil {
		s.err = fmt.Errorf("removing temporary file: %w", err)
		return
	}
	s.removed++
}

// flat removes files named after one of names.
func (s *sweeper) flat(rel string, names ...string) {
	for _, e := range s.list(rel) {
		for _, name := range names {
			digits, ok := strings.CutPrefix(e.Name(), name)
			if ok && e.Type().IsRegular() && isDigits(digits) {
				s.remove(filepath.Join(rel, e.Name()))
			}
		}
	}
}

// own removes temporary files of our own writing.
func (s *sweeper) own(rel string) {
	for _, e := range s.list(rel) {
		if e.Type().IsRegular() && durable.IsTemp(e.Name()) {
			s.remove(filepath.Join(rel, e.Name()))
		}
	}
}

// tiles walks a directory of tiles whose path so far stands for prefix.
func (s *sweeper) tiles(rel string, prefix uint64) {
	for _, e := range s.list(rel) {
		name := e.Name()
		path := filepath.Join(rel, name)
		switch {
		case e.Type().IsRegular():
			if len(name) > 3 && isDigits(name) {
				s.remove(path)
			}
		case !e.IsDir():
		case strings.HasPrefix(name, "x"):
			if n, ok := threeDigits(name[1:]); ok && reaches(prefix*1000+n, s.first, s.last) {
				s.tiles(path, prefix*1000+n)
			}
		case strings.HasSuffix(name, ".p"):
			if n, ok := threeDigits(strings.TrimSuffix(name, ".p")); ok && prefix*1000+n >= s.first {
				s.partials(path)
			}
		}
	}
}

// reaches reports whether the directories that stand for p can have a tile within first and last. How many levels are
// below is not known: x001/067 is tile 1067, and x001/x067/089 is tile 1067089.
func reaches(p, first, last uint64) bool {
	for scale := uint64(1000); p <= last/scale; scale *= 1000 {
		if p+1 > first/scale {
			return true
		}
		if scale > last/1000 {
			break
		}
	}
	return false
}

func (s *sweeper) partials(rel string) {
	for _, e := range s.list(rel) {
		name := e.Name()
		if !e.Type().IsRegular() || !isDigits(name) {
			continue
		}
		width, err := strconv.ParseUint(name, 10, 64)
		if err != nil || width == 0 || width > 255 || strconv.FormatUint(width, 10) != name {
			s.remove(filepath.Join(rel, name))
		}
	}
}

func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

func threeDigits(s string) (uint64, bool) {
	if len(s) != 3 || !isDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
