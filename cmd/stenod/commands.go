package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/internal/daemon"
)

// defaultConfig is where the configuration is looked for.
const defaultConfig = "stenod.yaml"

func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", defaultConfig, "configuration `file`")
}

func serveCommand() *cobra.Command {
	c := &cobra.Command{Use: "serve", Short: "Serve the log until interrupted", Args: cobra.NoArgs}
	config := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := daemon.Load(*config)
		if err != nil {
			return err
		}
		logger, err := daemon.NewLogger(c.ErrOrStderr(), cfg)
		if err != nil {
			return err
		}
		ready := func(a daemon.Addrs) {
			for _, l := range [][2]string{{"ingest", a.Ingest}, {"public", a.Public}, {"audit", a.Audit}, {"ops", a.Ops}} {
				if l[1] != "" {
					fmt.Fprintf(c.OutOrStdout(), "%s %s\n", l[0], l[1])
				}
			}
			fmt.Fprintln(c.OutOrStdout(), "ready")
		}
		return daemon.Run(c.Context(), cfg, daemon.Options{Logger: logger, Ready: ready})
	}
	return c
}

func logCommand() *cobra.Command {
	c := group("log", "Create and retire logs")
	c.AddCommand(logInitCommand(), logSucceedCommand())
	return c
}

func logInitCommand() *cobra.Command {
	c := &cobra.Command{Use: "init", Short: "Create the log of a configuration, with its guard", Args: cobra.NoArgs}
	config := configFlag(c)
	keyringOnly := c.Flags().Bool("keyring-only", false, "make an empty keyring in place of one that is lost; what it could open stays sealed")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := daemon.Load(*config)
		if err != nil {
			return err
		}
		if *keyringOnly {
			return daemon.InitKeyring(c.Context(), cfg)
		}
		created, err := daemon.Init(c.Context(), cfg)
		if err != nil {
			return fmt.Errorf("creating the log: %w", err)
		}
		fmt.Fprintf(c.OutOrStdout(), "created %s\n\nVerifiers pin:\n\n%s", created.Origin, created.Trust)
		return nil
	}
	return c
}

func logSucceedCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "succeed",
		Short: "Retire a log that is lost or must not go on, for good",
		Long: "Retires the log of the configuration, for good: it never signs again. Its last checkpoint that is known is written to a\n" +
			"file, which the successor's configuration names under \"succeeds\", so that the successor's first entry names it.",
		Args: cobra.NoArgs,
	}
	config := configFlag(c)
	successor := c.Flags().String("successor", "", "`origin` of the log that goes on")
	out := c.Flags().StringP("output", "o", "", "new `file` for the last checkpoint known")
	known := c.Flags().StringArray("known", nil, "`file` with a checkpoint of the log that a witness or mirror has; can be given again")
	for _, name := range []string{"successor", "output"} {
		must(c.MarkFlagRequired(name))
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := daemon.Load(*config)
		if err != nil {
			return err
		}
		var notes [][]byte
		for _, file := range *known {
			b, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading a known checkpoint: %w", err)
			}
			notes = append(notes, b)
		}
		p, err := daemon.Succeed(c.Context(), cfg, *successor, *out, notes)
		if err != nil {
			return fmt.Errorf("retiring %s: %w", cfg.Origin, err)
		}
		fmt.Fprintf(c.OutOrStdout(), "retired %s at size %d\n\nIn the configuration of %s:\n\n    succeeds: %s\n", p.Origin, p.Size, *successor, *out)
		return nil
	}
	return c
}

func guardCommand() *cobra.Command {
	c := group("guard", "Rebuild a guard that is lost")
	rebuild := &cobra.Command{
		Use:   "rebuild",
		Short: "Make the guard of a log that lost it, of what others know",
		Long: "Asks all witnesses of the log for the latest checkpoint that they cosigned, and makes a guard of the largest that the log\n" +
			"signed, there or in its archive. It refuses if there is a guard, and if the witnesses that do not answer could have made\n" +
			"a quorum by themselves. What the log signed and nobody cosigned is forgotten.",
		Args: cobra.NoArgs,
	}
	config := configFlag(rebuild)
	quorum := rebuild.Flags().Bool("witness-quorum", false, "take it from the witnesses of the trust file")
	rebuild.RunE = func(c *cobra.Command, _ []string) error {
		if !*quorum {
			return errors.New("from whom? --witness-quorum takes it from the witnesses of the trust file")
		}
		cfg, err := daemon.Load(*config)
		if err != nil {
			return err
		}
		r, err := daemon.RebuildGuard(c.Context(), cfg)
		for _, line := range r.Lines {
			fmt.Fprintln(c.OutOrStdout(), line)
		}
		if err != nil {
			return fmt.Errorf("rebuilding the guard: %w", err)
		}
		fmt.Fprintf(c.OutOrStdout(), "rebuilt the guard of %s at size %d\n", cfg.Origin, r.Size)
		return nil
	}
	c.AddCommand(rebuild)
	return c
}

// must is for mistakes that the first run would show.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func keyCommand() *cobra.Command {
	c := group("key", "Make keys")
	gen := &cobra.Command{
		Use:   "generate",
		Short: "Generate a log's secret keys into files that only you can read",
		Long: "Generates the keys of a log, DIR/log.key and so on, mode 0600, and prints the lines that its trust file has for them. It\n" +
			"never replaces a file. The trust file needs an enroller's key besides, which is not the log operator's to make.",
		Args: cobra.NoArgs,
	}
	origin := gen.Flags().String("origin", "", "`name` of the log")
	dir := gen.Flags().String("dir", "keys", "`directory` for the files")
	kinds := gen.Flags().StringSlice("kind", daemon.KeyKinds()[:3], "`kinds` of keys: "+strings.Join(daemon.KeyKinds(), ", "))
	must(gen.MarkFlagRequired("origin"))
	gen.RunE = func(c *cobra.Command, _ []string) error {
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return fmt.Errorf("making the keys' directory: %w", err)
		}
		for _, kind := range *kinds {
			vkey, err := daemon.GenerateKey(kind, *origin, filepath.Join(*dir, kind+".key"))
			if err != nil {
				return fmt.Errorf("%s key: %w", kind, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s %s\n", kind, vkey)
		}
		return nil
	}
	c.AddCommand(gen)
	return c
}

func tokenCommand() *cobra.Command {
	c := group("token", "Make bearer tokens")
	n := &cobra.Command{
		Use:   "new",
		Short: "Make a token, and the line of the configuration that knows it",
		Long: "Prints a new token, once, and the line under \"principals\" that makes the server know\n" +
			"it. The server's configuration holds only its SHA-256.",
		Args: cobra.NoArgs,
	}
	role := n.Flags().String("role", "", "recorder, auditor or operator")
	name := n.Flags().String("name", "", "the principal's `name`: an id of a machine or a job, never of a person")
	must(n.MarkFlagRequired("role"))
	must(n.MarkFlagRequired("name"))
	n.RunE = func(c *cobra.Command, _ []string) error {
		token, err := access.NewToken(rand.Reader, access.Role(*role))
		if err != nil {
			return err
		}
		digest := access.TokenDigest(token)
		if _, err := access.NewTokens([]access.Grant{{Name: *name, Roles: []access.Role{access.Role(*role)}, TokenSHA256: [][32]byte{digest}}}); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "token: %s\n", token)
		fmt.Fprintf(c.OutOrStdout(), "principal: - {name: %q, roles: [%s], token_sha256: [%x]}\n", *name, *role, digest)
		return nil
	}
	c.AddCommand(n)
	return c
}

func configCommand() *cobra.Command {
	c := group("config", "Look at configuration")
	check := &cobra.Command{Use: "check", Short: "Check a configuration and the keys that it names", Args: cobra.NoArgs}
	config := configFlag(check)
	check.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := daemon.Load(*config)
		if err != nil {
			return err
		}
		if err := daemon.CheckFiles(cfg); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "ok")
		return nil
	}
	reference := &cobra.Command{Use: "reference", Short: "Print every setting with its default", Args: cobra.NoArgs}
	reference.RunE = func(c *cobra.Command, _ []string) error {
		fmt.Fprint(c.OutOrStdout(), daemon.Reference())
		return nil
	}
	c.AddCommand(check, reference)
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		fmt.Fprintln(c.OutOrStdout(), "stenod", daemon.Version())
		return nil
	}}
}
