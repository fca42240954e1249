package evidence

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// A Command is one run of "verify": the same for steno-verify and for steno.
type Command struct {
	Trust    string // path of the trust file
	Bundle   string // path of the bundle
	JSON     bool
	SignedBy []string // see Options
}

// Run verifies and writes the report to w. It returns the exit code.
func (c Command) Run(w io.Writer) int {
	r, err := c.verify()
	if err != nil {
		r = UnusableReport(err)
	}
	if err := c.write(w, r); err != nil {
		return ExitUnusable // nobody has been told, so nothing was verified
	}
	return r.Exit
}

func (c Command) write(w io.Writer, r Report) error {
	if !c.JSON {
		return r.Text(w)
	}
	if _, err := w.Write(r.JSON()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (c Command) verify() (Report, error) {
	opts, err := c.options()
	if err != nil {
		return Report{}, err
	}
	t, err := readTrust(c.Trust)
	if err != nil {
		return Report{}, err
	}
	f, err := os.Open(c.Bundle)
	if err != nil {
		return Report{}, fmt.Errorf("opening the bundle: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Report{}, fmt.Errorf("opening the bundle: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Report{}, fmt.Errorf("opening the bundle: %s is not a regular file", c.Bundle)
	}
	return VerifyReader(f, info.Size(), t, opts)
}

func (c Command) options() (Options, error) {
	var opts Options
	for _, word := range c.SignedBy {
		h := entry.Holder(word)
		if !slices.Contains([]entry.Holder{entry.HolderAgent, entry.HolderGateway, entry.HolderOperator}, h) {
			return opts, fmt.Errorf("signed-by: %q is none of agent, gateway, operator", word)
		}
		opts.SignedBy = append(opts.SignedBy, h)
	}
	return opts, nil
}

// readTrust reads a trust file, of which one byte more than it may have is enough to refuse it.
func readTrust(path string) (*trust.Trust, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the trust file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTrust+1))
	if err != nil {
		return nil, fmt.Errorf("reading the trust file: %w", err)
	}
	return trust.Parse(b)
}

// Usage is what --help says.
const Usage = `usage: steno-verify --trust FILE [--json] [--signed-by HOLDERS] BUNDLE

Verifies an evidence bundle against the keys that a trust file pins. No network is used.

  --trust FILE         the trust file, which you got from somebody you trust (not from the bundle)
  --json               write exactly one JSON object
  --signed-by HOLDERS  demand that every track is signed by a key of one of these holders,
                       separated by commas: agent, gateway, operator

exit codes: 0 verified, 1 a cryptographic or structural failure, 2 nothing to judge (usage, missing file,
unreadable trust file), 3 every signature holds but not what was demanded (by the trust file, a quorum of
witnesses or time-stamp authorities; by you, holders), 4 sound but incomplete
`

// Main is steno-verify: it reads arguments, verifies, and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	c, err := parseArgs(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		if _, err := io.WriteString(stdout, Usage); err != nil {
			return ExitUnusable
		}
		return ExitVerified
	case err != nil && c.JSON:
		if err := c.write(stdout, UnusableReport(err)); err != nil {
			fmt.Fprintf(stderr, "steno-verify: %v\n", err)
		}
		return ExitUnusable
	case err != nil:
		fmt.Fprintf(stderr, "steno-verify: %v\n\n%s", err, Usage)
		return ExitUnusable
	}
	return c.Run(stdout)
}

func asksForJSON(arg string) bool {
	name, value, given := strings.Cut(arg, "=")
	yes, err := strconv.ParseBool(value)
	return (name == "--json" || name == "-json") && (!given || err == nil && yes)
}

func parseArgs(args []string) (Command, error) {
	// Whether to speak JSON is known even where the rest is not understood.
	c := Command{JSON: slices.ContainsFunc(args, asksForJSON)}
	flags := flag.NewFlagSet("steno-verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.Trust, "trust", "", "")
	json := flags.Bool("json", false, "")
	signedBy := flags.String("signed-by", "", "")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.JSON = c.JSON || *json
	if *signedBy != "" {
		c.SignedBy = strings.Split(*signedBy, ",")
	}
	if c.Trust == "" {
		return c, errors.New("--trust is needed: nothing in a bundle can vouch for it")
	}
	if flags.NArg() != 1 {
		return c, fmt.Errorf("one bundle is needed, %d arguments were given", flags.NArg())
	}
	c.Bundle = flags.Arg(0)
	return c, nil
}
