// witness_conformance asks a witness, over HTTP, everything that c2sp.org/tlog-witness says about add-checkpoint and what monitors
// get, and compares the answers with the text. It needs the signer keys of logs that the witness was told about and has not
// cosigned yet; it makes up their trees. `go run ./witness_conformance keygen ORIGIN FILE` makes such a key.
//
// A MUST that the witness fails makes the exit status 1, a case that could not be run 2. Where the text names no status, a request that breaks its rules may be
// refused with any, but must not be cosigned.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/stenolog/steno/checkpoint"
)

const usage = `usage:
	witness_conformance keygen ORIGIN FILE        adds a key for a made-up log to FILE, prints the verifier key for the witness
	witness_conformance --url URL --log-key FILE [--log-key FILE]… --witness-key VKEY…

FILE holds the keys of one log, one a line. Four logs that the witness has never cosigned, one of them with two keys, are enough
for every case; with fewer, some may not be run.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "witness_conformance:", err)
	if errors.Is(err, errFails) {
		os.Exit(1)
	}
	os.Exit(2)
}

var (
	errFails  = errors.New("the witness does not do what it MUST")
	errNotRun = errors.New("what was asked is as it should be, and not all was asked")
)

// A list is a flag that can be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 3 && args[0] == "keygen" {
		return keygen(args[1], args[2], stdout)
	}
	var logs, keys list
	fs := flag.NewFlagSet("witness_conformance", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage); fs.PrintDefaults() }
	url := fs.String("url", "", "submission `prefix` of the witness")
	monitoring := fs.String("monitoring-url", "", "monitoring `prefix`, if it is another")
	timeout := fs.Duration("timeout", 5*time.Minute, "for all of it")
	fs.Var(&logs, "log-key", "`file` with the signer keys of a log; may be repeated")
	fs.Var(&logs, "log-key2", "the same as another --log-key")
	fs.Var(&keys, "witness-key", "`vkey` of the witness; may be repeated")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *url == "" || len(logs) == 0 || len(keys) == 0 || fs.NArg() > 0 {
		fs.Usage()
		return errors.New("--url, --log-key and --witness-key are needed")
	}
	p, err := newProber(*url, *monitoring, keys, logs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	return report(stdout, p, p.run(ctx))
}

func newProber(url, monitoring string, keys, files []string) (*prober, error) {
	if monitoring == "" {
		monitoring = url
	}
	p := &prober{url: strings.TrimSuffix(url, "/"), monitoring: strings.TrimSuffix(monitoring, "/"), http: newClient()}
	for _, vkey := range keys {
		k, err := newWitnessKey(vkey)
		if err != nil {
			return nil, err
		}
		p.keys = append(p.keys, k)
	}
	for _, file := range files {
		s, err := readSubject(file)
		if err != nil {
			return nil, err
		}
		p.subjects = append(p.subjects, s)
	}
	return p, nil
}

// keygen adds an Ed25519 key to a file.
func keygen(origin, file string, stdout io.Writer) error {
	skey, vkey, err := checkpoint.GenerateKey(checkpoint.Ed25519, origin)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, skey); err != nil {
		return err
	}
	fmt.Fprintln(stdout, vkey)
	return f.Close()
}
