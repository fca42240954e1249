package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/internal/safe"
)

const (
	anchorTimeout = 2 * time.Minute // the server waits for authorities
	anchorAnswer  = 1 << 20         // bytes of its answer
)

func newAnchor() *cobra.Command {
	var at, tokenFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "anchor [--json]", Short: "Have the log time-stamped now, by every authority that it has", Args: none(),
		Long: `Have the log's latest published checkpoint time-stamped now by every authority that the server is configured with, and
say what each answered. The log does so by itself every hour, and when a break-glass session ends. Where only its own events came since
the last time there is nothing to be stamped, and only those authorities are asked that failed before. What fails is asked again without
being told.

exit codes: 0 every authority's token is in the log, or nothing was there to be stamped; 1 one is missing, or failed; 2 usage`,
	}
	dir := dirFlag(cmd)
	cmd.Flags().StringVar(&at, "ops", "", "URL of the server's ops listener (that of the deployment)")
	cmd.Flags().StringVar(&tokenFile, "token", "", "file of an operator's token (that of the deployment)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		address, token, err := opsOf(dirOr(*dir), at, tokenFile)
		if err != nil {
			return err
		}
		got, err := anchorNow(cmd.Context(), address, token)
		if err != nil {
			return err
		}
		if asJSON {
			err = writeJSON(cmd.OutOrStdout(), got)
		} else {
			err = tellAnchors(cmd.OutOrStdout(), got)
		}
		if err == nil && missingAnchors(got) {
			err = &exitError{code: exitFailure}
		}
		return err
	}
	return cmd
}

// opsOf is where the ops listener is, and a token for it: from flags, else from the deployment.
func opsOf(dir, at, tokenFile string) (address, token string, err error) {
	c := &clientConfig{dir: dir}
	if at == "" || tokenFile == "" {
		if c, err = readClientConfig(dir); err != nil {
			return "", "", err
		}
	}
	if at == "" {
		if at, err = c.address("ops", c.Ops); err != nil {
			return "", "", err
		}
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", "", usage("--ops %q is not http(s)://HOST:PORT", at)
	}
	if tokenFile == "" {
		token, err = c.readToken(operatorToken)
	} else {
		token, err = (&clientConfig{}).readToken(tokenFile)
	}
	return strings.TrimSuffix(at, "/"), token, err
}

func anchorNow(ctx context.Context, address, token string) (got wire.Anchors, err error) {
	ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+wire.PathAnchors, nil)
	if err != nil {
		return got, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	// A redirect would take the token elsewhere.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return got, fmt.Errorf("asking the server: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, anchorAnswer))
	if err != nil {
		return got, fmt.Errorf("reading the server's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return got, anchorProblem(resp, b)
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return got, fmt.Errorf("reading the server's answer: %w", err)
	}
	return got, nil
}

func anchorProblem(resp *http.Response, b []byte) error {
	var p wire.Problem
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != wire.ProblemType || json.Unmarshal(b, &p) != nil {
		return fmt.Errorf("the server answers %d", resp.StatusCode)
	}
	err := fmt.Errorf("the server answers %d %s: %s", resp.StatusCode, p.Code, p.Title)
	switch p.Code {
	case "anchoring-off":
		return hint(err, "authorities stand in the server's configuration: docs/configuration.md")
	case "timeout":
		return hint(err, "the round is made as soon as a checkpoint is published: /healthz says what that waits for")
	}
	return err
}

func missingAnchors(got wire.Anchors) bool {
	for _, x := range got.Authorities {
		if !x.Anchored && x.Reason != "nothing-recorded" {
			return true
		}
	}
	return false
}

func tellAnchors(w io.Writer, got wire.Anchors) error {
	switch {
	case got.New:
		fmt.Fprintf(w, "Checkpoint of size %d:\n", got.Size)
	case got.Size == 0:
		fmt.Fprintln(w, "Nothing has been recorded yet that could be stamped.")
		return nil
	default:
		fmt.Fprintf(w, "Nothing but the log's own events came since the checkpoint of size %d was stamped:\n", got.Size)
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, x := range got.Authorities {
		said := fmt.Sprintf("FAILED (%s); it is asked again", safe.Text(x.Reason))
		if x.Anchored && x.Time != nil && x.AnchorIndex != nil {
			said = fmt.Sprintf("%s, in leaf %d", *x.Time, *x.AnchorIndex)
		}
		fmt.Fprintf(tab, "  %s\t%s\n", safe.Text(x.Authority), said)
	}
	return tab.Flush()
}
