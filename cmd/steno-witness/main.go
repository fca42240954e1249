// Command steno-witness cosigns checkpoints of transparency logs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/internal/witnessd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal kills: only the first asks politely.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		// What an error quotes may be a stranger's: a file, a log's name. Joined errors have a line each.
		fmt.Fprintln(os.Stderr, "steno-witness:", safe.Text(strings.ReplaceAll(err.Error(), "\n", "; ")))
		os.Exit(1)
	}
}

// run is the whole program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	c := witnessd.Command("steno-witness")
	c.SilenceUsage, c.SilenceErrors = true, true
	c.CompletionOptions.DisableDefaultCmd = true
	c.SetArgs(args)
	c.SetIn(stdin)
	c.SetOut(stdout)
	c.SetErr(stderr)
	return c.ExecuteContext(ctx)
}
