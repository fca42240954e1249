package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

func newEvidence() *cobra.Command {
	var f evidenceFlags
	cmd := &cobra.Command{
		Use: "evidence [SESSION…] [--range FROM-TO] -o FILE", Short: "Put sessions and their proofs into one file that verify reads",
		Long: `Put sessions, their proofs, their sealed content and a readable report into one file, which anybody who has the trust file can
verify offline: sessions by name, every one that has an entry among the leaves from FROM up to TO of the log, or both. With --identity
everything that the identity opens is disclosed in the file, in clear: whoever has the file can read it. --withhold leaves a class of it
out: content, personal, secret or directory.

The log records the hand-over before the file is made, by the hash of a custody record that stands in the file. It says who makes the file
(--exporter, else the name of this machine's user), what it is called (--exhibit, else a name made of the time) and, if they are given,
the matter, who approved it, for whom it is, on what legal basis, and why something is withheld. These words stand in the file alone, but
for exhibit and matter, which stand in the log in clear. Without the log's answer there is no file.

The proofs are under the checkpoint that the log publishes, which has the quorum of witnesses. While that does not cover what is
to be proven, --pending takes the one that only the log has signed. The time stamps go along that bound the sessions' time, and later ones
that renew them, as far as there are any yet: they are made every hour. A file that lacks witnesses or time stamps says that it waits for
them, and verify exits with 4; make another later to have them.

The file is verified with the trust file of the deployment before it gets its name. Its SHA-256 is printed.`,
		Args: cobra.ArbitraryArgs,
	}
	dir := dirFlag(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "out", "o", "", "the file; it must not exist")
	flags.StringVar(&f.span, "range", "", "FROM-TO: leaves of the log, from 0, up to but without TO; all of them go along, and every session among them, whole")
	flags.StringVar(&f.identity, "identity", "", "file of an age identity; what it opens is disclosed to whoever has the file")
	flags.StringArrayVar(&f.withhold, "withhold", nil, "CLASS or CLASS=REASON: do not disclose what is of this class (may be given several times)")
	flags.StringVar(&f.custody.Exhibit, "exhibit", "", "id of the file as evidence (E- and the time)")
	flags.StringVar(&f.custody.Matter, "matter", "", "id of the matter that it is for")
	flags.StringVar(&f.custody.Exporter, "exporter", "", "who makes the file (this machine's user)")
	flags.StringVar(&f.custody.Approver, "approver", "", "who approved it")
	flags.StringVar(&f.custody.Recipient, "recipient", "", "whom it is for")
	flags.StringVar(&f.custody.Basis, "basis", "", "on what legal basis")
	flags.BoolVar(&f.pending, "pending", false, "do not wait for the witnesses")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.read(args, time.Now()); err != nil {
			return err
		}
		r, err := newReader(dirOr(*dir))
		if err != nil {
			return err
		}
		x := &export{evidenceFlags: f, r: r}
		return x.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// evidenceFlags are what was asked for.
type evidenceFlags struct {
	out, span, identity string
	withhold            []string
	pending             bool

	sessions []string // ascending
	leaves   *evidence.Range
	custody  evidence.Custody // as far as flags say it
}

// read refuses what no file could be made of, before anything is read or recorded.
func (f *evidenceFlags) read(args []string, now time.Time) (err error) {
	for _, arg := range args {
		id, err := sessionArg(arg)
		if err != nil {
			return err
		}
		f.sessions = append(f.sessions, id)
	}
	slices.Sort(f.sessions)
	f.sessions = slices.Compact(f.sessions)
	if f.leaves, err = parseRange(f.span); err != nil {
		return err
	}
	if len(f.sessions) == 0 && f.leaves == nil {
		return usage("a session is needed, or --range")
	}
	if err := f.tooMany(); err != nil {
		return err
	}
	if f.out == "" {
		return usage("-o FILE is needed")
	}
	if _, err := os.Lstat(f.out); !errors.Is(err, fs.ErrNotExist) {
		return exists(f.out)
	}
	return f.readCustody(now)
}

// tooMany refuses more sessions than a file can have.
func (f *evidenceFlags) tooMany() error {
	if n := len(f.sessions); n > evidence.MaxSessions {
		return hint(fmt.Errorf("%d sessions: a file has at most %d", n, evidence.MaxSessions), "make several files, of fewer sessions or of a shorter --range")
	}
	return nil
}

func parseRange(s string) (*evidence.Range, error) {
	if s == "" {
		return nil, nil
	}
	from, to, _ := strings.Cut(s, "-")
	a, fromErr := strconv.ParseUint(from, 10, 63)
	b, toErr := strconv.ParseUint(to, 10, 63)
	switch {
	case fromErr != nil || toErr != nil || a >= b:
		return nil, usage("--range %q is not FROM-TO, two numbers of which the second is the larger", s)
	case b-a > evidence.MaxLeaves:
		return nil, hint(usage("--range %s: %d leaves, and a file has at most %d", s, b-a, evidence.MaxLeaves), "make several files")
	}
	return &evidence.Range{From: a, To: b}, nil
}

func exists(file string) error {
	return hint(fmt.Errorf("%s exists", file), "choose another name: evidence is never overwritten")
}

// An export is one file in the making.
type export struct {
	evidenceFlags
	r         *reader
	held      *holding
	closed    []string         // sessions of which the identity opens nothing
	missealed []error          // payloads that are not what their entries commit to
	cp        trust.Checkpoint // that everything is proven under
	count     int              // leaves of the file
}

func (x *export) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if x.held, err = newHolding(x.out); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.held.close()) }()
	if err := x.gather(ctx); err != nil {
		return err
	}
	record, said, err := x.handOver(ctx)
	if err != nil {
		return err
	}
	report, err := x.make(ctx, record, said.Indexes)
	if err != nil && record != nil {
		return fmt.Errorf("exhibit %s, whose hand-over stands in the log in leaf %s, was not made: %w", record.Exhibit, joinIndexes(said.Indexes), err)
	}
	if err != nil {
		return err
	}
	if err := x.say(stdout, report, record, said); err != nil {
		return err
	}
	return x.lacking(stderr, report)
}

// make makes the file of all that was gathered, and of the leaves that say that it is handed over.
func (x *export) make(ctx context.Context, record *evidence.Custody, also []uint64) (r evidence.Report, err error) {
	if x.cp, err = x.covered(ctx, also); err != nil {
		return r, err
	}
	b, err := x.bundle(ctx, record, also)
	if err != nil {
		return r, err
	}
	return x.finish(b, record)
}
