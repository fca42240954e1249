package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/storage/sqlite"
	"github.com/stenolog/steno/trust"
)

// Rebuilt says of what a guard was rebuilt.
type Rebuilt struct {
	Size  uint64   // of the checkpoint in it
	Lines []string // what each witness had, and what was made of it
}

// RebuildGuard makes the guard of a log that lost it, of what the log's witnesses and its archive have. It refuses where there
// is a guard, and where those witnesses who do not answer could have made a quorum with a larger checkpoint.
func RebuildGuard(ctx context.Context, c Config) (out Rebuilt, err error) {
	t, err := loadTrust(c)
	if err != nil {
		return out, err
	}
	if !t.NeedsWitnesses() {
		return out, errors.New("the trust file's policy has no quorum, so no witness must have seen what the log signed; way out: " +
			"put the guard back, or retire the log with \"stenod log succeed\"")
	}
	ps, err := newPeers(c, t)
	if err != nil {
		return out, err
	}
	if err := log.CheckGuardPath(c.Guard, c.Dir); err != nil {
		return out, err
	}
	if _, err := os.Stat(c.Dir); errors.Is(err, os.ErrNotExist) {
		return out, &NoLogError{c.Dir}
	}
	var down closers
	defer func() { err = errors.Join(err, down.closeAll(ctx, DefaultShutdown)) }()
	if _, err := takeLease(ctx, c.Dir, &down); err != nil {
		return out, err
	}
	if err := refuseGuard(ctx, c.Guard); err != nil {
		return out, err
	}
	known, lines, err := ps.known(ctx)
	out.Lines = lines
	if err != nil {
		return out, err
	}
	out.Size, err = rebuildGuard(ctx, c, t, known, &down)
	return out, err
}

// refuseGuard refuses a guard that says something. An empty one was left by an attempt that did not come to its end.
func refuseGuard(ctx context.Context, path string) error {
	g, err := sqlite.OpenGuard(path)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	state, err := g.Load(ctx)
	err = errors.Join(err, g.Close())
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is the guard of %q at size %d: %w; a guard that is there knows best", path, state.Origin, state.Size, storage.ErrExists)
}

func rebuildGuard(ctx context.Context, c Config, t *trust.Trust, known [][]byte, down *closers) (uint64, error) {
	rc := log.RebuildConfig{Origin: c.Origin, Verifiers: logVerifiers(t), Tree: lookAtTree{c.treeDir()}, Known: known}
	if _, err := os.Lstat(c.archiveDir()); err == nil {
		archive, err := posix.OpenArchive(c.archiveDir())
		if err != nil {
			return 0, err
		}
		down.addPlain("the archive", archive.Close)
		rc.Archive = archive
	}
	guard, err := openOrCreateGuard(c.Guard)
	if err != nil {
		return 0, err
	}
	down.addPlain("the guard", guard.Close)
	rc.Guard = guard
	return log.RebuildGuard(ctx, rc)
}

// known asks all witnesses. Each checkpoint that is returned bears the log's signature and that of the witness that shows it.
func (ps peers) known(ctx context.Context) (notes [][]byte, lines []string, err error) {
	answered := map[string]bool{}
	for _, s := range ps.latest(ctx) {
		line, ok := "it has none", s.err == nil
		if s.err != nil {
			line = "no answer: " + s.err.Error()
		} else if s.note != nil {
			var msg []byte
			if msg, line, ok = s.show(ps.trust); ok {
				notes = append(notes, msg)
			}
		}
		lines = append(lines, fmt.Sprintf("%s: %s", s.peer.name(), line))
		if ok {
			for _, n := range s.peer.names {
				answered[n] = true
			}
		}
	}
	if !ps.enough(answered) {
		return nil, lines, fmt.Errorf("the witnesses that did not answer (%s) could have made a quorum with a larger checkpoint than "+
			"the others know; way out: ask again when they are back", strings.Join(ps.except(answered), ", "))
	}
	merged, err := ps.largest(notes)
	if err == nil && merged != "" {
		lines = append(lines, merged)
	}
	return notes, lines, err
}

// show judges what a witness shows by itself, and keeps the signatures of the log and of this witness.
func (s sighting) show(t *trust.Trust) (msg []byte, line string, ok bool) {
	n, err := note.Open(s.note, note.VerifierList(slices.Concat(logVerifiers(t), s.peer.keys)...))
	if err != nil {
		return nil, "no answer: it shows a checkpoint that the log did not sign", false
	}
	// SPEC: tlog-witness: the checkpoint MUST include the cosignature(s) from the witness's key(s) and the cosignature from the
	// log key(s) that the witness verified.
	own := slices.ContainsFunc(n.Sigs, func(sig note.Signature) bool { return sig.Name == t.Origin })
	if !own {
		return nil, "no answer: it shows a checkpoint that the log did not sign", false
	}
	if !slices.ContainsFunc(n.Sigs, func(sig note.Signature) bool { return sig.Name != t.Origin }) {
		return nil, "no answer: it shows a checkpoint without its own cosignature", false
	}
	n.UnverifiedSigs = nil
	c, err := checkpoint.Parse(n.Text)
	if err == nil {
		msg, err = note.Sign(n)
	}
	if err != nil {
		return nil, "no answer: it shows something that is no checkpoint", false
	}
	return msg, fmt.Sprintf("size %d, signed by the log and cosigned by it", c.Size), true
}

// largest puts together the cosignatures under the largest checkpoint that is shown, and says whether they are a quorum. They
// need not be: not all witnesses are equally far, and going on from a larger checkpoint is always safe.
func (ps peers) largest(notes [][]byte) (line string, err error) {
	var merged []byte
	var size uint64
	for _, msg := range notes {
		text, lines, _ := bytes.Cut(msg, []byte("\n\n"))
		c, err := checkpoint.Parse(string(text) + "\n")
		if err != nil {
			return "", err
		}
		switch {
		case merged == nil || c.Size > size:
			merged, size = bytes.Clone(msg), c.Size
		case bytes.HasPrefix(merged, msg[:len(text)+2]):
			for line := range bytes.Lines(lines) {
				if !bytes.Contains(merged, line) {
					merged = append(merged, line...)
				}
			}
		}
	}
	if merged == nil {
		return "", nil
	}
	c, err := ps.trust.OpenCheckpoint(merged)
	if err != nil {
		return "", fmt.Errorf("the largest checkpoint that is shown, of size %d: %w", size, err)
	}
	if c.Witnessed {
		return fmt.Sprintf("size %d has the quorum", size), nil
	}
	return fmt.Sprintf("size %d, the largest, is not shown with all that policy demands: %s", size, c.Missing), nil
}
