package log

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// A treeHead is what the text of a checkpoint note says.
type treeHead struct {
	Origin string
	Size   uint64
	Root   storage.Hash
}

// text is the checkpoint as c2sp.org/tlog-checkpoint has it, with no extension lines: ML-DSA cosigners refuse those.
func (h treeHead) text() string {
	return checkpoint.Checkpoint{Origin: h.Origin, Size: h.Size, Root: h.Root}.Text()
}

// parseHead reads what text wrote: less than what others may write into a checkpoint.
func parseHead(text string) (treeHead, error) {
	c, err := checkpoint.Parse(text)
	if err != nil {
		return treeHead{}, fmt.Errorf("reading a checkpoint: %w", err)
	}
	if len(c.Extensions) > 0 {
		return treeHead{}, fmt.Errorf("checkpoint has %d extension lines, and this log writes none", len(c.Extensions))
	}
	if c.Size > tiles.MaxSize {
		return treeHead{}, fmt.Errorf("checkpoint size %d is larger than can be", c.Size)
	}
	return treeHead{c.Origin, c.Size, c.Root}, checkOrigin(c.Origin)
}

func checkOrigin(origin string) error {
	// SPEC: signed-note: a key name is not empty and has neither spaces nor plus signs.
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' }
	if origin == "" || len(origin) > 255 || !utf8.ValidString(origin) || strings.ContainsFunc(origin, bad) {
		return fmt.Errorf("%q cannot be the origin of a log", origin)
	}
	return nil
}
