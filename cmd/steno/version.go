package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/verifier"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is, and the digest of its verifier.html", Args: none(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "steno %s\nverifier.html sha256 %s\n", version(), verifier.Digest())
			return err
		},
	}
}

// version is the module's version, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value
		}
	}
	return "devel"
}

// newVerifier writes the page with which others verify in a browser. It is in the program, so that it needs no download.
func newVerifier() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "verifier -o FILE", Short: "Write verifier.html, the page that verifies evidence in a browser", Args: none(),
		Long: `Write verifier.html: one page, the same for everybody, that verifies evidence in a browser, offline. Its SHA-256 is what
"steno version" says, and what sha256sum says of the file. Whoever is given evidence should have the page from somebody else.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usage("-o FILE is needed")
			}
			if err := durable.CreateFile(out, verifier.Page(), 0o644); err != nil {
				return fmt.Errorf("writing the page: %w", err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "sha256 %s\n", verifier.Digest())
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the file; it must not exist")
	return cmd
}
