// Command steno-verify verifies an evidence bundle offline. It is steno's verify alone, with few dependencies.
package main

import (
	"os"

	"github.com/stenolog/steno/evidence"
)

func main() { os.Exit(evidence.Main(os.Args[1:], os.Stdout, os.Stderr)) }
