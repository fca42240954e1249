package witnessd

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/internal/safe"
)

// defaultConfig is where the configuration is looked for.
const defaultConfig = "steno-witness.yaml"

// Command is the whole program, as a command of that name: steno-witness by itself, or witness beneath another.
func Command(use string) *cobra.Command {
	c := group(use, "Run a witness of transparency logs")
	c.Long = `Run a witness: a server that cosigns checkpoints of transparency logs, each only if it extends all that it cosigned before
(https://c2sp.org/tlog-witness). docs/witness.md says how, from keys to alarms.`
	c.AddCommand(initCommand(), serveCommand(), keyCommand(), logCommand(), evidenceCommand(), clockCommand(), configCommand(), versionCommand(use))
	return c
}

// group is a command that only has others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("there is no command %q; way out: %s --help", args[0], c.CommandPath())
		}
		return fmt.Errorf("a command is needed; way out: %s --help", c.CommandPath())
	}
	c.AddCommand(subs...)
	return c
}

func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", defaultConfig, "configuration `file`")
}

// withConfig makes a command that begins by reading the configuration.
func withConfig(c *cobra.Command, run func(c *cobra.Command, cfg Config, args []string) error) *cobra.Command {
	config := configFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := Load(*config)
		if err != nil {
			return err
		}
		return run(c, cfg, args)
	}
	return c
}

// say prints a line of words that may be a stranger's.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, safe.Text(fmt.Sprintf(format, args...)))
}

func initCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "init", Short: "Make the state of a new witness", Args: cobra.NoArgs,
		Long: `Makes the state and what belongs to it, in the two directories of the configuration. It refuses state that is there. A
witness that lost its state must not get a new one under the same keys: it could then cosign a second history.`,
	}
	return withConfig(c, func(c *cobra.Command, cfg Config, _ []string) error {
		if err := Init(cfg); err != nil {
			return err
		}
		say(c.OutOrStdout(), "made the state of %s in %s and %s", cfg.Name, cfg.Dir, cfg.Published)
		return nil
	})
}

func keyCommand() *cobra.Command {
	show := &cobra.Command{
		Use: "show", Short: "Print the verifier keys of the configuration's keys", Args: cobra.NoArgs,
		Long: `Prints the verifier keys, then the same as lines of a policy (https://c2sp.org/tlog-policy): names in a policy mean
nothing outside of it, and may be changed.`,
	}
	withConfig(show, func(c *cobra.Command, cfg Config, _ []string) error {
		signers, err := LoadKeys(cfg)
		if err != nil {
			return err
		}
		var names []string
		for _, s := range signers {
			say(c.OutOrStdout(), "%s", s.Verifier())
		}
		fmt.Fprintln(c.OutOrStdout())
		for _, s := range signers {
			name := cfg.Name
			if len(signers) > 1 {
				name += "/" + wordOf(s.Algorithm())
			}
			names = append(names, name)
			say(c.OutOrStdout(), "witness %s %s", name, s.Verifier())
		}
		if len(names) > 1 { // two keys of one operator must never count twice
			say(c.OutOrStdout(), "group %s any %s", cfg.Name, strings.Join(names, " "))
		}
		return nil
	})
	return group("key", "Make and show keys", keyGenerateCommand(), show)
}

func keyGenerateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "generate", Short: "Generate a witness's secret keys into files that only you can read", Args: cobra.NoArgs,
		Long: `Generates keys, DIR/ed25519.key and DIR/ml-dsa-44.key, mode 0600, and prints their verifier keys, which verifiers pin. It
never replaces a file.`,
	}
	name := c.Flags().String("name", "", "`name` of the witness: a domain and path of its operator, without https://")
	out := c.Flags().String("out", "keys", "`directory` for the files")
	words := c.Flags().StringSlice("algorithm", []string{"ed25519", "ml-dsa-44"}, "`algorithm` of a key; can be given again")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *name == "" {
			return fmt.Errorf("the witness needs a name; way out: --name witness.example.org/w1")
		}
		for _, word := range *words {
			file, vkey, err := GenerateKey(*name, word, *out)
			if err != nil {
				return err
			}
			say(c.OutOrStdout(), "%s %s", file, vkey)
		}
		return nil
	}
	return c
}

func configCommand() *cobra.Command {
	check := &cobra.Command{Use: "check", Short: "Check a configuration and the files that it names", Args: cobra.NoArgs}
	withConfig(check, func(c *cobra.Command, cfg Config, _ []string) error {
		if err := CheckFiles(cfg); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "ok")
		return nil
	})
	reference := &cobra.Command{Use: "reference", Short: "Print every setting with its default", Args: cobra.NoArgs}
	reference.RunE = func(c *cobra.Command, _ []string) error {
		fmt.Fprint(c.OutOrStdout(), Reference())
		return nil
	}
	return group("config", "Look at configuration", check, reference)
}

func versionCommand(use string) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		version := "devel" // built from a working tree
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		fmt.Fprintln(c.OutOrStdout(), use, version)
		return nil
	}}
}
