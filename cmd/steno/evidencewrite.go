package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/report"
)

// bundle puts together what the file is made of, but for what says how it was verified. also are the leaves with the events that
// say it was handed over.
func (x *export) bundle(ctx context.Context, c *evidence.Custody, also []uint64) (*evidence.Bundle, error) {
	anchors, err := newAnchorSource(x.r, x.cp, x.held)
	if err != nil {
		return nil, err
	}
	for _, index := range also {
		leaf, err := anchors.tree.Leaf(ctx, index)
		if err != nil {
			return nil, fmt.Errorf("reading leaf %d, in which the hand-over is recorded: %w", index, err)
		}
		if err := x.held.add(index, leaf, false); err != nil {
			return nil, err
		}
	}
	notes, err := anchors.find(ctx, x.held.spans)
	if err != nil {
		return nil, err
	}
	b := &evidence.Bundle{
		Origin: x.r.trust.Origin, Sessions: x.sessions, Range: x.leaves, Trust: x.r.trust.Marshal(), Checkpoint: x.cp.Verified(), Anchors: notes,
	}
	if c != nil {
		b.Custody = c.Marshal()
	}
	x.held.fill(b)
	b.Tree, err = treeOf(ctx, x.r.Fetch, x.cp, b)
	return b, err
}

// finish says in the bundle what it waits for, adds the report, and writes the file. It gets its name when it is whole and was
// verified, and never that of another.
func (x *export) finish(b *evidence.Bundle, c *evidence.Custody) (evidence.Report, error) {
	judged := evidence.Verify(b, x.r.trust, evidence.Options{})
	for _, check := range judged.Checks {
		if check.Outcome == evidence.Unmet && (check.ID == evidence.CheckTime || check.ID == evidence.CheckWitnesses && x.pending) {
			b.Pending = append(b.Pending, check.ID)
		}
	}
	if waits := len(b.Pending); waits > 0 {
		slices.Sort(b.Pending)
		judged = evidence.Verify(b, x.r.trust, evidence.Options{})
		// What nothing that comes later mends is not waited for.
		b.Pending = slices.DeleteFunc(b.Pending, func(id evidence.CheckID) bool { return judgedAs(judged, id) != evidence.Incomplete })
		if len(b.Pending) < waits {
			judged = evidence.Verify(b, x.r.trust, evidence.Options{})
		}
	}
	if err := sound(judged); err != nil {
		return judged, err
	}
	var page bytes.Buffer
	made := fmt.Sprintf("steno %s on %s", version(), x.custody.Made.Format(time.RFC3339))
	if err := report.HTML(&page, report.Case{Report: judged, Custody: c, Bundle: b, Trust: x.r.trust, Made: made}); err != nil {
		return judged, err
	}
	b.Report = page.Bytes()
	return x.write(b)
}

func judgedAs(r evidence.Report, id evidence.CheckID) evidence.Outcome {
	return r.Checks[slices.IndexFunc(r.Checks, func(c evidence.Check) bool { return c.ID == id })].Outcome
}

// sound refuses what is no evidence. That there is less than was demanded is said of the file that is made.
func sound(r evidence.Report) error {
	if r.Exit == evidence.ExitVerified || r.Exit == evidence.ExitPolicy || r.Exit == evidence.ExitIncomplete {
		return nil
	}
	for _, c := range r.Checks {
		if c.Outcome == evidence.Failed {
			f := evidence.Finding{Detail: c.Detail}
			if c.Where != nil {
				f.Where = *c.Where
			}
			return hint(fmt.Errorf("no file was made: verify would refuse it: %s: %s", c.ID, f), "the log, or what lies between it and here, is not to be trusted: steno audit")
		}
	}
	return fmt.Errorf("no file was made: verify would exit with %d: %s", r.Exit, r.Error)
}

func (x *export) write(b *evidence.Bundle) (r evidence.Report, err error) {
	dir := filepath.Dir(x.out)
	f, err := newUnfinished(dir)
	if err != nil {
		return r, fmt.Errorf("writing %s: %w", x.out, err)
	}
	defer func() { err = errors.Join(err, f.close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(evidence.Write(w, b), w.Flush(), f.Sync()); err != nil {
		return r, fmt.Errorf("writing %s: %w", x.out, err)
	}
	x.count = len(b.Leaves)
	*b = evidence.Bundle{} // the file has its own tables
	x.held.forget()
	info, err := f.Stat()
	if err != nil {
		return r, fmt.Errorf("writing %s: %w", x.out, err)
	}
	if r, err = evidence.VerifyReader(f, info.Size(), x.r.trust, evidence.Options{}); err != nil {
		return r, fmt.Errorf("verifying what was written: %w", err)
	}
	if err := sound(r); err != nil {
		return r, err
	}
	err = f.name(x.out)
	if errors.Is(err, fs.ErrExist) {
		return r, exists(x.out)
	}
	if err := errors.Join(err, durable.SyncDir(dir)); err != nil {
		return r, fmt.Errorf("writing %s: %w", x.out, err)
	}
	return r, nil
}

// say tells what was made.
func (x *export) say(w io.Writer, r evidence.Report, c *evidence.Custody, said wire.Disclosed) error {
	line := func(word, format string, args ...any) error {
		_, err := fmt.Fprintf(w, "%-9s %s\n", word, safe.Text(fmt.Sprintf(format, args...)))
		return err
	}
	err := errors.Join(
		line("file", "%s", x.out), line("sha256", "%s", r.Bundle),
		line("holds", "%s of %s, %s", count(len(x.sessions), "session"), x.r.trust.Origin, count(x.count, "leaf")),
	)
	if c != nil {
		err = errors.Join(err, line("exhibit", "%s, by %s; handed over as %s, says the log in leaf %s", c.Exhibit, c.Exporter, said.Principal, joinIndexes(said.Indexes)))
		err = errors.Join(err, line("shows", "%s", inClear(c)))
	} else {
		err = errors.Join(err, line("exhibit", "none: no session is in the file, and so there was no hand-over that the log could record"))
	}
	return errors.Join(err, line("verify", "%s (exit code %d)", exitMeans(r.Exit), r.Exit))
}

func count(n int, what string) string {
	switch {
	case n == 1:
	case what == "leaf":
		what = "leaves"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func joinIndexes(all []uint64) string {
	words := make([]string, len(all))
	for i, index := range all {
		words[i] = fmt.Sprint(index)
	}
	return strings.Join(words, ", ")
}

func inClear(c *evidence.Custody) string {
	said := "nothing of what is sealed in clear"
	if len(c.Disclosed) > 0 {
		said = "in clear, to whoever has the file: " + strings.Join(c.Disclosed, ", ")
	}
	if len(c.Withheld) > 0 {
		var classes []string
		for _, w := range c.Withheld {
			classes = append(classes, w.Class)
		}
		said += "; withheld: " + strings.Join(classes, ", ")
	}
	return said
}

func exitMeans(code int) string {
	switch code {
	case evidence.ExitVerified:
		return "verified with the trust file of this deployment"
	case evidence.ExitIncomplete:
		return "sound, and incomplete"
	}
	return "sound, and not all that the trust file demands"
}

// lacking tells what a file lacks, and what can be done about it.
func (x *export) lacking(w io.Writer, r evidence.Report) error {
	said := ""
	if n := len(x.closed); n > 0 {
		said = fmt.Sprintf("steno: of %s nothing is disclosed: %s opens none of its keys: %s\n", count(n, "session"), oneLine(x.identity), strings.Join(x.closed, ", "))
	}
	if n := len(x.missealed); n > 0 {
		said += fmt.Sprintf("steno: %s not disclosed, for the recorder sealed something else than it committed to: %s\n", count(n, "payload"), oneLine(x.missealed[0].Error()))
	}
	absent := 0
	for _, s := range r.Sessions {
		absent += s.Payloads.Blobs - s.Payloads.Included
	}
	if absent > 0 {
		said += fmt.Sprintf("steno: %s not in the file: erased, or the log did not send it\n", count(absent, "piece")+" of sealed content")
	}
	if r.Exit != evidence.ExitVerified {
		said += fmt.Sprintf("steno: %s: %s; verify says so, with exit code %d:\n", oneLine(x.out), exitMeans(r.Exit), r.Exit)
	}
	ways := map[evidence.CheckID]string{
		evidence.CheckWitnesses: "when the witnesses have cosigned, make another file",
		evidence.CheckTime:      "when the log was time-stamped, make another file; it is every hour, and steno anchor has it done now",
		evidence.CheckComplete:  "where a session is open or was not recorded to its end, another file has what comes until then",
	}
	way := ""
	for _, c := range r.Checks {
		if c.Outcome != evidence.Unmet && c.Outcome != evidence.Incomplete {
			continue
		}
		said += fmt.Sprintf("  %s: %s\n", c.ID, oneLine(c.Detail))
		if what := ways[c.ID]; what != "" && (c.ID != evidence.CheckTime || c.Outcome == evidence.Incomplete) { // else no later stamp mends it
			way += "  " + what + "\n"
		}
	}
	_, err := io.WriteString(w, said+way)
	return err
}
