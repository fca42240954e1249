package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/evidence"
)

// newVerify is steno-verify under another name: the same flags, read by the same code.
func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify --trust FILE [--json] [--signed-by HOLDERS] BUNDLE",
		Short: "Verify evidence, offline",
		Long:  strings.ReplaceAll(evidence.Usage, "steno-verify", "steno verify"),
		// The flags are the verifier's, also where they are wrong: --json answers that in JSON.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				_, err := io.WriteString(cmd.OutOrStdout(), cmd.Long)
				return err
			}
			if code := evidence.Main(args, cmd.OutOrStdout(), renamed{cmd.ErrOrStderr()}); code != evidence.ExitVerified {
				return &exitError{code: code}
			}
			return nil
		},
	}
}

// renamed lets messages of steno-verify name the command that was called.
type renamed struct{ w io.Writer }

func (r renamed) Write(p []byte) (int, error) {
	if _, err := fmt.Fprint(r.w, strings.ReplaceAll(string(p), "steno-verify", "steno verify")); err != nil {
		return 0, err
	}
	return len(p), nil
}
