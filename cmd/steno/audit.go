package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

type auditFlags struct {
	trust, token string
	json, quick  bool
}

// newAudit knows whether JSON was asked for even where the rest of the arguments is not understood.
func newAudit(asked bool) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit URL|DIR --trust FILE",
		Short: "Check a whole log: every hash, chain, signature, enrolment, number and verdict",
		Long: `Check a whole log, from the URL of an audit listener, or from a directory: a deployment's, a server's, or a mirror in
the shape of tlog-tiles. With --quick the signatures between the first and the last of a track are left to the chain that
carries the last one over them.

exit codes: 0 nothing is wrong, 1 something is, 2 nothing could be judged, 3 nothing is wrong, but the log's checkpoint lacks
the quorum of witnesses that the trust file demands`,
		Args: func(cmd *cobra.Command, args []string) error {
			return f.unusable(cmd, exactly(1, "one URL or directory is needed")(cmd, args))
		},
	}
	dir := dirFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.trust, "trust", "", "the trust file, which you got from somebody you trust (not from the log)")
	flags.StringVar(&f.token, "token", "", "file of a reader's token for a URL (that of the deployment, if the URL is its own)")
	flags.BoolVar(&f.json, "json", false, "write exactly one JSON object")
	flags.BoolVar(&f.quick, "quick", false, "verify the first and last signatures of each track, and every link between them")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		f.json = f.json || asked // also where it stands behind what was not understood
		return f.unusable(cmd, err)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := f.run(cmd.Context(), dirOr(*dir), args[0], cmd.ErrOrStderr())
		if err != nil {
			return f.unusable(cmd, err)
		}
		if err := f.write(cmd.OutOrStdout(), r); err != nil {
			return &exitError{code: evidence.ExitUnusable, err: err} // nobody has been told
		}
		if r.Exit != exitOK {
			return &exitError{code: r.Exit}
		}
		return nil
	}
	return cmd
}

// unusable is exit code 2 of an audit that could not be done, with the one object that --json promises.
func (f auditFlags) unusable(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	if !f.json {
		return &exitError{code: evidence.ExitUnusable, err: err}
	}
	object := struct {
		Format  string `json:"format"`
		Exit    int    `json:"exit"`
		Verdict string `json:"verdict"`
		Error   string `json:"error"`
	}{"steno/audit/v1", evidence.ExitUnusable, "unusable", err.Error()}
	if err := writeJSON(cmd.OutOrStdout(), object); err != nil {
		return &exitError{code: evidence.ExitUnusable, err: err}
	}
	return &exitError{code: evidence.ExitUnusable}
}

func (f auditFlags) write(w io.Writer, r *audit.Report) error {
	if !f.json {
		return r.Text(w)
	}
	_, err := w.Write(r.JSON())
	return err
}

func (f auditFlags) run(ctx context.Context, dir, where string, stderr io.Writer) (*audit.Report, error) {
	if f.trust == "" {
		return nil, errors.New("--trust is needed: nothing in a log can vouch for it")
	}
	t, err := readTrust(f.trust)
	if err != nil {
		return nil, err
	}
	cfg, done, err := f.source(ctx, t, dir, where)
	if err != nil {
		return nil, err
	}
	if f.quick {
		cfg.Signatures = audit.LastSignatures
	}
	var bar *progressbar.ProgressBar
	if file, ok := stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		cfg.Progress = func(n, of uint64) {
			if bar == nil || bar.GetMax64() != int64(of) {
				bar = progressbar.NewOptions64(int64(of), progressbar.OptionSetWriter(stderr), progressbar.OptionShowCount(),
					progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
			}
			_ = bar.Set64(int64(n)) // a terminal that can't show it
		}
	}
	r, err := audit.Run(ctx, cfg)
	if bar != nil {
		_ = bar.Finish()
	}
	return r, errors.Join(err, done())
}

// source finds the log.
func (f auditFlags) source(ctx context.Context, t *trust.Trust, dir, where string) (audit.Config, func() error, error) {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return auditDir(ctx, t, where)
	}
	cfg, err := f.overHTTP(ctx, t, dir, strings.TrimRight(where, "/"))
	return cfg, func() error { return nil }, err
}

func (f auditFlags) overHTTP(ctx context.Context, t *trust.Trust, dir, where string) (audit.Config, error) {
	token, err := f.tokenFor(dir, where)
	if err != nil {
		return audit.Config{}, err
	}
	r, err := newTileReader(where, token, t)
	if err != nil {
		return audit.Config{}, err
	}
	// What is wrong with the checkpoint, or missing, has its place in the report.
	cfg, err := audit.Open(ctx, t, r.Fetch)
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", where, err)
	}
	return cfg, nil
}

// tokenFor gives the deployment's token to the deployment alone.
func (f auditFlags) tokenFor(dir, where string) (string, error) {
	c, err := readClientConfig(dir)
	if f.token == "" && (err != nil || c.Audit != where) {
		return "", nil
	}
	if f.token == "" {
		return c.readToken(c.Auditor.Token)
	}
	return (&clientConfig{dir: "."}).readToken(f.token)
}
