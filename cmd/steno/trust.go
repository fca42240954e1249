package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/trust"
)

func newTrust() *cobra.Command {
	show := &cobra.Command{
		Use: "show FILE", Short: "Show what a trust file pins, and the digest to compare", Args: exactly(1, "one file is needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := readTrust(args[0])
			if err != nil {
				return err
			}
			return showTrust(cmd, t)
		},
	}
	return group("trust", "Look at trust files", show)
}

func readTrust(path string) (*trust.Trust, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading the trust file: %w", err)
	}
	t, err := trust.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("reading the trust file %s: %w", path, err)
	}
	return t, nil
}

func showTrust(cmd *cobra.Command, t *trust.Trust) error {
	lines := [][2]string{{"sha256", fmt.Sprintf("%x", t.Digest())}, {"origin", t.Origin}, {"log", t.Log}}
	for _, kind := range []struct {
		name string
		keys []string
	}{{"received", t.Received}, {"system", t.System}, {"enroller", t.Enrollers}} {
		for _, key := range kind.keys {
			lines = append(lines, [2]string{kind.name, key})
		}
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-9s %s\n", l[0], safe.Text(l[1])); err != nil {
			return err
		}
	}
	return nil
}
