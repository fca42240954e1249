// Command steno records privileged sessions of AI agents, shows them, and proves them.
//
// It is wiring: what it does is in the packages that it puts together. What agents, tools and servers wrote goes to a
// terminal through internal/safe alone.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal kills: only the first asks politely.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	os.Exit(code)
}
