package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newKey() *cobra.Command {
	return group("key", "Make keys and show their public halves", newKeyGenerate(), newKeyShow())
}

func newKeyGenerate() *cobra.Command {
	var kind, name, out string
	cmd := &cobra.Command{
		Use:   "generate --name NAME -o FILE [--kind note|received|age]",
		Short: "Make a key: the secret half goes to a new file, the public half to standard output",
		Long: `Make a key. The secret half goes to a new file that only you can read, the public half to standard output.

  --kind note      signs: for recorders, enrollers, and a log's checkpoints and system sessions (Ed25519)
  --kind received  signs a log's receipts; --name is the log's origin
  --kind age       opens what is sealed: for a vault, or for recovery; it has no name`,
		Args: none(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := generate(kind, name)
			if err != nil {
				return err
			}
			if out == "" {
				return usage("-o FILE is needed: where the secret half goes")
			}
			if err := createSecret(out, []byte(k.secret+"\n")); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), k.public)
			return err
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "note", "note, received or age")
	cmd.Flags().StringVar(&name, "name", "", "name of the key, such as acme/agents/ledger-bot")
	cmd.Flags().StringVarP(&out, "out", "o", "", "file of the secret half; it must not exist")
	return cmd
}

func generate(kind, name string) (keyPair, error) {
	if kind == "age" {
		if name != "" {
			return keyPair{}, usage("an age key has no name")
		}
		return newAgeKey()
	}
	if name == "" {
		return keyPair{}, usage("--name is needed: it stands in every signature")
	}
	var k keyPair
	var err error
	switch kind {
	case "note":
		k, err = newNoteKey(name)
	case "received":
		k, err = newReceivedKey(name)
	default:
		return k, usage("--kind %q is none of note, received, age", kind)
	}
	if err != nil {
		return k, &exitError{code: exitUsage, err: err}
	}
	return k, nil
}

func newKeyShow() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Show the public half of the key in a file", Args: exactly(1, "one file is needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readSmall(args[0])
			if err != nil {
				return err
			}
			public, err := publicOf(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), public)
			return err
		},
	}
}
