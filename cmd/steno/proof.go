package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/transparency-dev/formats/proof"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/log/tiles"
)

func newProof() *cobra.Command {
	var verify, trustFile, bundle string
	cmd := &cobra.Command{
		Use: "proof INDEX | proof --bundle FILE INDEX | proof --verify PROOF --trust FILE LEAF", Short: "Write, or verify, the proof (c2sp.org/tlog-proof) that a leaf stands in the log",
		Args: exactly(1, "the index of one leaf is needed, or with --verify the file of one"),
		Long: `Write the proof that a leaf stands in the log, under the log's latest checkpoint, which was checked against the trust
file. It is made from hash tiles alone: the leaf itself is not read.

With --bundle, write the proof of a leaf that stands in a file of evidence, under the checkpoint in it, from that file alone. Neither
is judged: that is what verify is for.

With --verify, verify such a proof of the leaf in a file, offline, by a trust file. What the leaf says is not looked at.

exit codes: 0 done, or verified; 1 failed; 2 usage, or a file that can't be read; 3 the signatures hold, but the checkpoint lacks
the quorum of witnesses that the trust file demands`,
	}
	dir := dirFlag(cmd)
	cmd.Flags().StringVar(&verify, "verify", "", "file of a proof")
	cmd.Flags().StringVar(&trustFile, "trust", "", "with --verify: the trust file, which you got from somebody you trust")
	cmd.Flags().StringVar(&bundle, "bundle", "", "file of evidence")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if bundle != "" && verify+trustFile != "" {
			return usage("--bundle writes a proof, and goes with neither --verify nor --trust")
		}
		if verify != "" {
			return verifyProof(verify, trustFile, args[0], cmd.OutOrStdout())
		}
		index, err := strconv.ParseUint(args[0], 10, 63)
		if err != nil {
			return usage("%q is no index", args[0])
		}
		if bundle != "" {
			return proofFrom(bundle, index, cmd.OutOrStdout())
		}
		r, err := newReader(dirOr(*dir))
		if err != nil {
			return err
		}
		b, err := proveLeaf(cmd.Context(), r, index)
		var quorum *client.QuorumError
		if errors.As(err, &quorum) {
			return &exitError{code: evidence.ExitPolicy, err: err}
		}
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(b)
		return err
	}
	return cmd
}

// proofFrom writes the proof of a leaf that stands in a file of evidence.
func proofFrom(file string, index uint64, w io.Writer) error {
	f, err := os.Open(file)
	if err != nil {
		return &exitError{code: evidence.ExitUnusable, err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return &exitError{code: evidence.ExitUnusable, err: err}
	}
	b, err := evidence.Read(f, info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	p, err := b.Proof(index)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	_, err = w.Write(p.Marshal())
	return err
}

// verifyProof tells whether a proof leads from a leaf to a checkpoint that counts.
func verifyProof(proofFile, trustFile, leafFile string, w io.Writer) error {
	if trustFile == "" {
		return usage("--trust is needed: nothing in a proof can vouch for it")
	}
	t, trustErr := readTrust(trustFile)
	raw, proofErr := readSmall(proofFile)
	leaf, leafErr := readSmall(leafFile)
	if err := errors.Join(trustErr, proofErr, leafErr); err != nil {
		return &exitError{code: evidence.ExitUnusable, err: err}
	}
	p, err := evidence.ParseProof(raw)
	if err != nil {
		return err
	}
	cp, unmet := t.OpenCheckpoint(p.Checkpoint)
	if unmet != nil && (evidence.Keys{Trust: t}).Outcome(unmet) == evidence.Failed {
		return unmet
	}
	if err := p.Verify(leaf, cp.Size, cp.Root); err != nil {
		return err
	}
	if unmet == nil && !cp.Witnessed {
		unmet = errors.New(cp.Missing)
	}
	if unmet != nil {
		return &exitError{code: evidence.ExitPolicy, err: fmt.Errorf("the proof holds, and its checkpoint lacks what the trust file demands: %w", unmet)}
	}
	seen := safe.Text(cmp.Or(evidence.CheckpointInfoOf(t, cp).Seen(), evidence.UnseenText))
	_, err = fmt.Fprintf(w, "VERIFIED. Leaf %d stands in the log %s, under its checkpoint of size %d, %s.\n", p.Index, safe.Text(t.Origin), cp.Size, seen)
	return err
}

func proveLeaf(ctx context.Context, r *reader, index uint64) ([]byte, error) {
	c, err := r.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if index >= c.Size {
		return nil, fmt.Errorf("the log's latest checkpoint covers %d leaves, leaf %d is not among them", c.Size, index)
	}
	tr, err := tiles.NewReader(tiles.FromFetch(r.Fetch), c.Size, c.Root)
	if err != nil {
		return nil, err
	}
	_, path, err := tr.Inclusion(ctx, index)
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d: %w", index, err)
	}
	return proof.TLogProof{Index: index, Hashes: path, Checkpoint: c.Verified()}.Marshal(), nil
}
