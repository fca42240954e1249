package witnessd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

func evidenceCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "evidence", Short: "List, show and export what logs signed and should not have", Args: cobra.NoArgs,
		Long: `Lists the signed checkpoints that were refused, the witness running or not. Each is verified again, with the log's keys:

  fork      the log signed two histories. The exported file convicts it, with its public key alone
  unproven  it signed a checkpoint that was not shown to extend the one before. That may have been a wrong proof

Exported are ID.fork (docs/spec/fork.md), or ID.known and ID.request of what is unproven.`,
	}
	out := c.Flags().String("out", "", "`directory` to export all of it to")
	withConfig(c, func(c *cobra.Command, cfg Config, _ []string) error {
		return eachEvidence(c.Context(), cfg, func(e witness.Evidence, keys []note.Verifier) error {
			say(c.OutOrStdout(), "%d %s %s %s %s", e.ID, e.Time.UTC().Format(time.RFC3339), e.Kind, e.Origin, verified(e, keys))
			return export(e, *out)
		})
	})
	c.AddCommand(evidenceShowCommand())
	return c
}

func evidenceShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show one of them whole, and verify it", Args: cobra.ExactArgs(1)}
	out := c.Flags().String("out", "", "`directory` to export it to")
	withConfig(c, func(c *cobra.Command, cfg Config, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no number of evidence; way out: %s lists them", args[0], c.Parent().CommandPath())
		}
		found := false
		err = eachEvidence(c.Context(), cfg, func(e witness.Evidence, keys []note.Verifier) error {
			if e.ID != id {
				return nil
			}
			found = true
			show(c.OutOrStdout(), e, keys)
			return export(e, *out)
		})
		if err == nil && !found {
			err = fmt.Errorf("there is no evidence %d; way out: %s lists what there is", id, c.Parent().CommandPath())
		}
		return err
	})
	return c
}

// eachEvidence visits what is kept, with all keys of the log that it is about.
func eachEvidence(ctx context.Context, cfg Config, visit func(witness.Evidence, []note.Verifier) error) (err error) {
	r, err := witness.OpenReader(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	logs, err := r.Logs(ctx)
	if err != nil {
		return err
	}
	keys := make(map[string][]note.Verifier)
	for _, l := range logs {
		for _, k := range l.Keys {
			v, err := checkpoint.NewVerifier(k.Vkey)
			if err != nil {
				return err
			}
			keys[l.Origin] = append(keys[l.Origin], v)
		}
	}
	for e, err := range r.Evidence(ctx) {
		if err == nil {
			err = visit(e, keys[e.Origin])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verified says what the evidence is worth, judged anew: of a fork, as whoever gets the file will.
func verified(e witness.Evidence, keys []note.Verifier) string {
	switch e.Kind {
	case witness.KindFork:
		f, err := e.Fork()
		if err == nil {
			f, err = trust.ParseFork(f.Marshal())
		}
		if err == nil {
			err = f.Verify(keys...)
		}
		if err != nil {
			return "NOT VERIFIED: " + err.Error()
		}
		return "verified: the log signed two histories"
	case witness.KindUnproven:
		r, err := witness.ParseRequest(e.Request)
		if err == nil {
			_, err = note.Open(r.Note, note.VerifierList(keys...))
		}
		if err == nil && e.Known != nil {
			_, err = note.Open(e.Known, note.VerifierList(keys...))
		}
		if err != nil {
			return "NOT VERIFIED: " + err.Error()
		}
		return "signatures verified: what was signed may be a fork"
	}
	return "NOT VERIFIED: unknown kind"
}

func show(w io.Writer, e witness.Evidence, keys []note.Verifier) {
	say(w, "evidence %d: %s", e.ID, e.Kind)
	say(w, "log:      %s", e.Origin)
	say(w, "came:     %s", e.Time.UTC().Format(time.RFC3339))
	say(w, "verdict:  %s", verified(e, keys))
	if e.Known == nil {
		say(w, "known before: nothing")
	} else {
		say(w, "known before:")
		lines(w, e.Known)
	}
	say(w, "refused request:")
	lines(w, e.Request)
}

// lines prints a stranger's text line by line.
func lines(w io.Writer, b []byte) {
	for line := range bytes.Lines(b) {
		fmt.Fprintln(w, strings.TrimRight("    "+safe.Text(string(bytes.TrimSuffix(line, []byte("\n")))), " "))
	}
}

// export writes evidence into files of a directory, if one was given. Those that are there with the same content stay.
func export(e witness.Evidence, dir string) error {
	if dir == "" {
		return nil
	}
	files := map[string][]byte{}
	if e.Kind == witness.KindFork {
		f, err := e.Fork()
		if err != nil {
			return err
		}
		files["fork"] = f.Marshal()
	} else {
		files["request"] = e.Request
		if e.Known != nil {
			files["known"] = e.Known
		}
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("exporting evidence: %w", err)
	}
	for ext, content := range files {
		if err := create(filepath.Join(dir, fmt.Sprintf("%d.%s", e.ID, ext)), content); err != nil {
			return fmt.Errorf("exporting evidence: %w", err)
		}
	}
	return nil
}

func create(path string, content []byte) error {
	err := durable.CreateFile(path, content, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if there, readErr := os.ReadFile(path); readErr != nil || !bytes.Equal(there, content) {
		return fmt.Errorf("%w, and is another file; way out: another directory", err)
	}
	return nil
}
