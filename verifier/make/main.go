// Command make writes verifier.html anew, in the directory verifier, where "go generate" runs it.
package main

import (
	"fmt"
	"os"

	"github.com/stenolog/steno/verifier"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run() error {
	page, err := verifier.Build(os.DirFS(".."))
	if err != nil {
		return err
	}
	if err := os.WriteFile("verifier.html", page, 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
