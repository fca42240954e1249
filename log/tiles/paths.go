package tiles

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Path is where tlog-tiles has a tile, such as "tile/0/x001/x234/067.p/8".
func Path(level, index uint64, width uint8) string {
	return "tile/" + strconv.FormatUint(level, 10) + "/" + indexPath(index, width)
}

// BundlePath is where tlog-tiles has an entry bundle, such as "tile/entries/000".
func BundlePath(index uint64, width uint8) string {
	return "tile/entries/" + indexPath(index, width)
}

func indexPath(index uint64, width uint8) string {
	s := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		s = fmt.Sprintf("x%03d/%s", index%1000, s)
	}
	if width != 0 {
		s += ".p/" + strconv.Itoa(int(width))
	}
	return s
}

// A Place is what a tlog-tiles path names. Level means nothing for a bundle.
type Place struct {
	Bundle bool
	Level  uint64
	Index  uint64
	Width  uint8
}

func (p Place) String() string {
	if p.Bundle {
		return BundlePath(p.Index, p.Width)
	}
	return Path(p.Level, p.Index, p.Width)
}

// ParsePath reads a path as Path and BundlePath write it, and no other spelling.
func ParsePath(path string) (Place, error) {
	p, ok := parsePath(path)
	// SPEC: tlog-tiles gives each tile one path; printing again finds every other spelling.
	if !ok || p.String() != path {
		return Place{}, fmt.Errorf("%q is no tlog-tiles path", path)
	}
	return p, nil
}

func parsePath(path string) (p Place, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok || len(path) > 64 {
		return p, false
	}
	level, rest, _ := strings.Cut(rest, "/")
	if p.Bundle = level == "entries"; !p.Bundle {
		n, err := strconv.ParseUint(level, 10, 6) // SPEC: tlog-tiles: the level is 0 to 63
		if err != nil {
			return p, false
		}
		p.Level = n
	}
	rest, width, partial := strings.Cut(rest, ".p/")
	if partial {
		n, err := strconv.ParseUint(width, 10, 8) // SPEC: tlog-tiles: the width of a partial tile is 1 to 255
		if err != nil || n == 0 {
			return p, false
		}
		p.Width = uint8(n)
	}
	n, err := strconv.ParseUint(strings.NewReplacer("x", "", "/", "").Replace(rest), 10, 64)
	p.Index = n
	return p, err == nil
}

// A Fetch returns the bytes at a tlog-tiles path, relative to the log's root. It must bound what it reads to MaxBundle.
type Fetch func(ctx context.Context, path string) ([]byte, error)

// FromFetch makes a Source of a Fetch.
func FromFetch(fetch Fetch) Source { return fetcher(fetch) }

type fetcher Fetch

func (f fetcher) Tile(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
	return f(ctx, Path(level, index, width))
}

func (f fetcher) Bundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	return f(ctx, BundlePath(index, width))
}
