package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/trust"
)

const publicFileMode = 0o644

func newTrust() *cobra.Command {
	cmd := group("trust", "Make, show, compare and update trust files",
		newTrustShow(), newTrustNew(), newTrustNext(), newTrustDiff(), newTrustSign(), newTrustUpdate(), newTrustFork())
	cmd.Long = `A trust file holds the keys that a verifier pins: the log's, its witnesses', its enrollers'. People compare its digest over
another channel. Later versions are signed by as many of the earlier one's signers as that demands:

  steno trust next --trust trust … -o trust.new           whoever prepares it
  steno trust diff trust trust.new                        each signer, before signing
  steno trust sign --trust trust --key KEY trust.new      each signer
  steno trust update --trust trust trust.new trust.new.update   each verifier`
	return cmd
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

// readTwo reads the trust file that is pinned and the one that shall follow.
func readTwo(old, next string) (a, b *trust.Trust, err error) {
	if old == "" {
		return nil, nil, usage("--trust FILE is needed: the trust file that is pinned")
	}
	if a, err = readTrust(old); err != nil {
		return nil, nil, err
	}
	b, err = readTrust(next)
	return a, b, err
}

// write writes lines that may quote what others wrote.
func write(w io.Writer, lines ...string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, safe.Text(l)); err != nil {
			return err
		}
	}
	return nil
}

func newTrustDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff OLD NEW", Short: "Say in words what a trust file changes against another", Args: exactly(2, "two files are needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, next, err := readTwo(args[0], args[1])
			if err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), diffTrust(old, next)...)
		},
	}
}

func newTrustSign() *cobra.Command {
	var pinned, key, out string
	cmd := &cobra.Command{
		Use:   "sign --trust OLD --key FILE NEW [-o NEW.update]",
		Short: "Sign that a trust file may take the place of the one before it",
		Long: `Say what NEW changes against OLD, and sign with the key of one of OLD's signers that it may take its place. If there is an
update with signatures by others already, this one is added to it.`,
		Args: exactly(1, "one file is needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				out = args[0] + ".update"
			}
			return signTrust(cmd.OutOrStdout(), pinned, args[0], key, out)
		},
	}
	cmd.Flags().StringVar(&pinned, "trust", "", "the trust file that is pinned")
	cmd.Flags().StringVar(&key, "key", "", "file of a signer's key")
	cmd.Flags().StringVarP(&out, "out", "o", "", "file of the update; one that is there is added to (NEW.update)")
	return cmd
}

func signTrust(w io.Writer, pinned, path, key, out string) error {
	if key == "" {
		return usage("--key FILE is needed: the key of one of the signers")
	}
	old, next, err := readTwo(pinned, path)
	if err != nil {
		return err
	}
	signer, err := readSigner(key)
	if err != nil {
		return err
	}
	update, err := readSmall(out)
	if errors.Is(err, fs.ErrNotExist) {
		update, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("reading the update: %w", err)
	}
	signed, err := old.SignUpdate(next, update, signer)
	if err != nil {
		return hint(fmt.Errorf("signing that %s follows %s: %w", path, pinned, err), "see what is between them: steno trust diff %s %s", quote(pinned), quote(path))
	}
	if err := durable.WriteFile(out, signed, publicFileMode); err != nil {
		return fmt.Errorf("writing the update: %w", err)
	}
	state := "It has all the signatures that it needs."
	if err := old.VerifyUpdate(next, signed); err != nil {
		state = "Not enough yet: " + err.Error() + "."
	}
	return write(w, append(diffTrust(old, next), fmt.Sprintf("Signed by %s, in %s.", signer.Name(), out), state)...)
}

func newTrustUpdate() *cobra.Command {
	var pinned string
	cmd := &cobra.Command{
		Use:   "update --trust OLD NEW UPDATE",
		Short: "Put a trust file in the place of the one before it, if enough signers stand for it",
		Long: `Verify that NEW follows OLD and that enough of OLD's signers have signed UPDATE, and put NEW in OLD's place. OLD is kept
beside it, under its name with its version.`,
		Args: exactly(2, "the new trust file and its update are needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return updateTrust(cmd.OutOrStdout(), pinned, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&pinned, "trust", "", "the trust file that is pinned, which is replaced")
	return cmd
}

func updateTrust(w io.Writer, pinned, path, update string) error {
	old, next, err := readTwo(pinned, path)
	if err != nil {
		return err
	}
	signed, err := readSmall(update)
	if err != nil {
		return fmt.Errorf("reading the update: %w", err)
	}
	if err := old.VerifyUpdate(next, signed); err != nil {
		return hint(fmt.Errorf("%s does not follow %s: %w", path, pinned, err),
			"%s is as it was; versions are taken one after the other, and signers add to an update with: steno trust sign --help", pinned)
	}
	info, err := os.Stat(pinned)
	if err != nil {
		return err
	}
	// The old file is safe under its new name before its own is taken.
	kept := fmt.Sprintf("%s.%d", pinned, old.Version)
	if err := keep(kept, old.Marshal(), info.Mode().Perm()); err != nil {
		return err
	}
	if err := durable.WriteFile(pinned, next.Marshal(), info.Mode().Perm()); err != nil {
		return fmt.Errorf("writing %s: %w", pinned, err)
	}
	lines := append(diffTrust(old, next), fmt.Sprintf("%s is version %d now, and %s the one before.", pinned, next.Version, kept))
	return write(w, append(lines, fmt.Sprintf("sha256    %x", next.Digest()))...)
}

// keep makes a file, unless it is there with the same content: an update that was cut short.
func keep(path string, content []byte, mode fs.FileMode) error {
	err := durable.CreateFile(path, content, mode)
	if errors.Is(err, fs.ErrExist) {
		if b, readErr := readSmall(path); readErr == nil && bytes.Equal(b, content) {
			return nil
		}
		return hint(fmt.Errorf("keeping the old trust file: %w", err), "%s is another file: move it away", path)
	}
	if err != nil {
		return fmt.Errorf("keeping the old trust file: %w", err)
	}
	return nil
}
