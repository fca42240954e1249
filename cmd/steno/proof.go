package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/transparency-dev/formats/proof"

	"github.com/stenolog/steno/log/tiles"
)

func newProof() *cobra.Command {
	cmd := &cobra.Command{
		Use: "proof INDEX", Short: "Write the proof (c2sp.org/tlog-proof) that a leaf stands in the log",
		Args: exactly(1, "the index of one leaf is needed"),
		Long: `Write the proof that a leaf stands in the log, under the log's latest checkpoint, which was checked against the trust
file. It is made from hash tiles alone: the leaf itself is not read.`,
	}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		index, err := strconv.ParseUint(args[0], 10, 63)
		if err != nil {
			return usage("%q is no index", args[0])
		}
		r, err := newReader(dirOr(*dir))
		if err != nil {
			return err
		}
		b, err := proveLeaf(cmd.Context(), r, index)
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(b)
		return err
	}
	return cmd
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
	return proof.TLogProof{Index: index, Hashes: path, Checkpoint: c.Note}.Marshal(), nil
}
