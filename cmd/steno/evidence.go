package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

func newEvidence() *cobra.Command {
	var f evidenceFlags
	cmd := &cobra.Command{
		Use: "evidence SESSION -o FILE", Short: "Put a session and its proofs into one file that verify reads", Args: exactly(1, "one session is needed"),
		Long: `Put a session, its proofs and its sealed content into one file, which anybody who has the trust file can verify
offline. With --identity everything that the identity opens is disclosed in it, in clear: whoever has the file can read it.

The proofs are under the checkpoint that the log publishes, which has the quorum of witnesses. While that does not cover the
session, --pending takes the one that only the log has signed: verify then says what is missing, with exit code 3.

The time stamps go along that bound the session's time, and later ones that renew them, as far as there are any yet: they are made
every hour. Make another later to have them.`,
	}
	dir := dirFlag(cmd)
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "the file; it must not exist")
	cmd.Flags().StringVar(&f.identity, "identity", "", "file of an age identity; what it opens is disclosed to whoever has the file")
	cmd.Flags().BoolVar(&f.pending, "pending", false, "do not wait for the witnesses")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := sessionArg(args[0])
		if err != nil {
			return err
		}
		if f.out == "" {
			return usage("-o FILE is needed")
		}
		return f.export(cmd.Context(), dirOr(*dir), id, cmd.ErrOrStderr())
	}
	return cmd
}

type evidenceFlags struct {
	out, identity string
	pending   bool
}

func (f evidenceFlags) export(ctx context.Context, dir, id string, stderr io.Writer) (err error) {
	r, err := newReader(dir)
	if err != nil {
		return err
	}
	rec, cp, err := readSession(ctx, r, id, f.pending)
	if err != nil {
		return err
	}
	b := &evidence.Bundle{Origin: r.trust.Origin, Sessions: []string{id}, Trust: r.trust.Marshal(), Checkpoint: cp.Verified()}
	if b.Leaves, err = provenLeaves(ctx, r, rec, cp); err != nil {
		return err
	}
	anchors, err := newAnchorSource(r, cp)
	if err != nil {
		return err
	}
	first, last := bounds(rec)
	if err := anchors.addAnchors(ctx, b, first, last); err != nil {
		return err
	}
	blobs, err := fetchBlobs(ctx, r, rec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blobs.close()) }()
	b.Blobs = blobs.forBundle()
	if f.identity != "" {
		o, err := unlock(ctx, r, rec, f.identity)
		if err != nil {
			return err
		}
		b.Disclosed = disclosures(ctx, rec, o)
	}
	if err := writeBundle(f.out, b); err != nil || cp.Witnessed {
		return err
	}
	fmt.Fprintf(stderr, "steno: %s is proven by the log's word alone: %s\n  verify will say so, with exit code 3; make another when the witnesses have seen it\n",
		oneLine(f.out), oneLine(cp.Missing))
	return nil
}

// provenLeaves are the session's entries and what the log said of it, each with its proof under one checkpoint. What is
// younger than the checkpoint, such as the record of this very read, is left out.
func provenLeaves(ctx context.Context, r *reader, rec *client.SessionRecord, cp trust.Checkpoint) ([]evidence.Leaf, error) {
	var leaves []evidence.Leaf
	for _, x := range rec.Recorded() {
		if x.Index >= cp.Size || !belongs(rec.Session, x.Entry) {
			continue
		}
		p, err := r.Prove(ctx, cp, x.Index, x.Leaf)
		if err != nil {
			return nil, fmt.Errorf("proving leaf %d: %w", x.Index, err)
		}
		leaves = append(leaves, evidence.Leaf{Index: x.Index, Bytes: x.Leaf, Proof: p.Hashes})
	}
	return leaves, nil
}

// bounds are the indexes of a session's first and last entry in the log.
func bounds(rec *client.SessionRecord) (first, last uint64) {
	first = math.MaxUint64
	for _, t := range rec.Tracks {
		for _, x := range t.Entries {
			first, last = min(first, x.Index), max(last, x.Index)
		}
	}
	return first, last
}

// belongs tells whether a leaf is evidence about a session. Who else has read it is not.
func belongs(session string, e *entry.Entry) bool {
	if e.Track != entry.SystemTrack {
		return true
	}
	return slices.ContainsFunc(e.Events, func(ev entry.Event) bool { return evidence.Mentions(ev) == session })
}

// disclosures open every payload as far as the keys reach.
func disclosures(ctx context.Context, rec *client.SessionRecord, o *client.Opener) []evidence.Disclosed {
	var all []evidence.Disclosed
	for _, x := range rec.Recorded() {
		done := map[string]bool{}
		for _, b := range x.Entry.Blobs {
			slot := slotOf(b)
			key := fmt.Sprintf("%d %s", b.Event, slot)
			if done[key] || x.Entry.Track == entry.SystemTrack {
				continue
			}
			done[key] = true
			if opened, err := o.Open(ctx, x.Entry, b.Event, slot); err == nil { // an erased or foreign payload stays closed
				all = append(all, evidence.DisclosedOf(x.Index, b.Event, slot, opened.Disclose(nil)))
			}
		}
	}
	slices.SortFunc(all, func(a, b evidence.Disclosed) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Slot, b.Slot))
	})
	return all
}

// writeBundle gives the file its name only when it is whole, and never takes that of another.
func writeBundle(out string, b *evidence.Bundle) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(out), ".steno-evidence-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", out, err)
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	if err := errors.Join(evidence.Write(tmp, b), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", out, err)
	}
	err = os.Link(tmp.Name(), out)
	if errors.Is(err, fs.ErrExist) {
		return hint(fmt.Errorf("%s exists", out), "choose another name: evidence is never overwritten")
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", out, err)
	}
	return nil
}
