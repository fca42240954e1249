package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/internal/witnessd"
)

// Exit codes of all commands but verify and audit, which have more, and record, which ends as the command it ran did.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// An exitError ends the program with a code. What there is to say has been said if err is nil.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// A hintError is an error with a way out of it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func hint(err error, format string, args ...any) error {
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, io streams) int {
	root := newRoot(io, slices.Contains(args, "--json") || slices.Contains(args, "--json=true"))
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code
	}
	fmt.Fprintf(io.err, "steno: %s\n", oneLine(err.Error()))
	var h *hintError
	if errors.As(err, &h) {
		fmt.Fprintf(io.err, "  %s\n", oneLine(h.hint))
	}
	if exit == nil {
		return exitFailure
	}
	return exit.code
}

// oneLine keeps what may quote a server or a file from looking like lines of ours. Joined errors have a line each.
func oneLine(s string) string { return safe.Text(strings.ReplaceAll(s, "\n", "; ")) }

func newRoot(io streams, asked bool) *cobra.Command {
	root := group("steno", "A sworn stenographer for AI agents")
	root.Long = `steno writes down what a privileged agent session did, in an append-only transparency log, and proves it offline.

Begin with "steno up": it makes and runs a complete local deployment, and says what to do next.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{code: exitUsage, err: hint(err, "see: %s --help", cmd.CommandPath())}
	})
	root.AddCommand(
		newUp(), newRecord(), newSession(), newProof(), newEvidence(), newVerify(), newAudit(asked), newKey(), newEnrol(), newTrust(),
		newTSA(), newAnchor(),
		witnessd.Command("witness"),
		newVerifier(), newVersion(),
	)
	return root
}

// group is a command that is nothing without the one after it.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		what := "a command is needed"
		if len(args) > 0 {
			what = fmt.Sprintf("there is no command %q", args[0])
		}
		return &exitError{code: exitUsage, err: hint(errors.New(what), "see: %s --help", cmd.CommandPath())}
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.AddCommand(subs...)
	return cmd
}

// exactly demands n arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			err := fmt.Errorf("%s: %s, %d arguments were given", cmd.CommandPath(), what, len(args))
			return &exitError{code: exitUsage, err: hint(err, "see: %s --help", cmd.CommandPath())}
		}
		return nil
	}
}

func none() cobra.PositionalArgs { return exactly(0, "it takes none") }
