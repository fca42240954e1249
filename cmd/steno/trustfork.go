package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

func newTrustFork() *cobra.Command {
	var pinned string
	var logs []string
	cmd := &cobra.Command{
		Use:   "fork FILE --trust FILE|--log VKEY",
		Short: "Verify proof that a log has shown two histories",
		Long: `Verify a fork file: two checkpoints that the log has signed and that can't both be true. Recorders and witnesses write one when
they meet such. Exit code 0: it is proof. 1: it proves nothing. 2: usage, or a file
that can't be read.`,
		Args: exactly(1, "one file is needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (pinned == "") == (len(logs) == 0) {
				return usage("either --trust FILE or --log VKEY is needed: whose signatures convict")
			}
			b, err := readSmall(args[0])
			if err != nil {
				return &exitError{code: exitUsage, err: fmt.Errorf("reading the fork file: %w", err)}
			}
			f, err := trust.ParseFork(b)
			if err != nil {
				return fmt.Errorf("reading %s: %w", args[0], err)
			}
			lines, err := judgeFork(f, pinned, logs)
			if err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), lines...)
		},
	}
	cmd.Flags().StringVar(&pinned, "trust", "", "trust file of the log")
	cmd.Flags().StringArrayVar(&logs, "log", nil, "verifier key of the log")
	return cmd
}

func judgeFork(f trust.Fork, pinned string, logs []string) ([]string, error) {
	var keys []note.Verifier
	verify := func() error { return f.Verify(keys...) }
	var t *trust.Trust
	if pinned != "" {
		var err error
		if t, err = readTrust(pinned); err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
		for _, v := range t.LogVerifiers() {
			keys = append(keys, v)
		}
		verify = func() error { return t.VerifyFork(f) }
	}
	for _, l := range logs {
		v, err := checkpoint.NewVerifier(l)
		if err != nil {
			return nil, usage("--log: %w", err)
		}
		keys = append(keys, v)
	}
	if err := verify(); err != nil {
		return nil, hint(fmt.Errorf("this proves no fork: %w", err), "docs/spec/fork.md says what does; the keys must be those of the log that is accused")
	}
	return forkLines(f, keys, t)
}

// forkLines says what a fork that was verified proves.
func forkLines(f trust.Fork, keys []note.Verifier, t *trust.Trust) ([]string, error) {
	var heads [2]checkpoint.Checkpoint
	var about [2]string
	for i, b := range [][]byte{f.Small, f.Large} {
		n, err := note.Open(b, note.VerifierList(keys...))
		if err == nil {
			heads[i], err = checkpoint.Parse(n.Text)
		}
		if err != nil {
			return nil, errors.Join(errors.New("it was verified, and can't be read"), err) // it was read before
		}
		var by []string
		for _, s := range n.Sigs {
			by = append(by, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
		}
		c := heads[i]
		about[i] = fmt.Sprintf("size %d, root %s, signed by %s%s", c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), strings.Join(by, ", "), cosignedWords(b, t))
	}
	lines := []string{
		fmt.Sprintf("The log %s has shown two histories.", heads[0].Origin),
		"one       " + about[0],
		"other     " + about[1],
	}
	if f.Prefix == nil {
		return append(lines, fmt.Sprintf("Both are of its first %d entries, and differ.", heads[0].Size)), nil
	}
	return append(lines, fmt.Sprintf("The first %d entries of the other have the root %s: it does not begin with the one.",
		heads[0].Size, base64.StdEncoding.EncodeToString(f.Prefix[:]))), nil
}

// cosignedWords names the witnesses of a trust file that have cosigned: if they are the same, they are convicted too.
func cosignedWords(b []byte, t *trust.Trust) string {
	if t == nil {
		return ""
	}
	cp, err := t.OpenCheckpoint(b)
	if err != nil || len(cp.Cosigned) == 0 {
		return ""
	}
	var names []string
	for _, c := range cp.Cosigned {
		names = append(names, c.Witness+" of "+c.Operator)
	}
	return ", cosigned by " + strings.Join(names, ", ")
}
