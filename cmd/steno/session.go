package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/internal/safe"
	"github.com/stenolog/steno/trust"
)

func newSession() *cobra.Command {
	return group("session", "Find recorded sessions and look at them", newSessionList(), newSessionShow())
}

// A reader reads with the auditor's token.
type reader struct {
	*client.Reader
	trust *trust.Trust
}

// newReader keeps the latest checkpoint that was verified, so that a log that shows another history later is caught.
func newReader(dir string) (*reader, error) {
	c, err := readClientConfig(dir)
	if err != nil {
		return nil, err
	}
	token, err := c.readToken(c.Auditor.Token)
	if err != nil {
		return nil, err
	}
	t, err := c.readTrust()
	if err != nil {
		return nil, err
	}
	url, err := c.address("audit", c.Audit)
	if err != nil {
		return nil, err
	}
	r, err := client.NewReader(client.ReaderConfig{URL: url, Token: token, Trust: t, Dir: c.path("auditor/reader")})
	if err != nil {
		return nil, err
	}
	return &reader{r, t}, nil
}

// newTileReader reads a whole log, to which it brings nothing but a trust file.
func newTileReader(url, token string, t *trust.Trust) (*client.Reader, error) {
	return client.NewReader(client.ReaderConfig{URL: url, Token: token, Trust: t})
}

type listFlags struct {
	agent, privilege, state, ref, from, to string
	limit                                  int
	json                                   bool
}

func newSessionList() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List sessions, newest first", Args: none(),
		Long: `List sessions. What is listed is the server's word; "session show" proves what it shows.`,
	}
	dir := dirFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.agent, "agent", "", "of this agent")
	flags.StringVar(&f.privilege, "privilege", "", "with this privilege")
	flags.StringVar(&f.state, "state", "", "in this state: open, complete, interrupted, abandoned or late")
	flags.StringVar(&f.ref, "ref", "", "that refer to SYSTEM:ID")
	flags.StringVar(&f.from, "from", "", "opened at this time or date, or later")
	flags.StringVar(&f.to, "to", "", "opened before this time or date")
	flags.IntVar(&f.limit, "limit", 100, "at most so many")
	flags.BoolVar(&f.json, "json", false, "write one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return listSessions(cmd, dirOr(*dir), f) }
	return cmd
}

func (f listFlags) query() (client.Query, error) {
	q := client.Query{Agent: f.agent, Privilege: f.privilege, State: f.state, Ref: f.ref}
	for _, t := range []struct {
		flag, value string
		to          *time.Time
	}{{"from", f.from, &q.From}, {"to", f.to, &q.To}} {
		if t.value == "" {
			continue
		}
		var err error
		if *t.to, err = timeOr(t.value, time.Time{}); err != nil {
			return q, usage("--%s: %w", t.flag, err)
		}
	}
	if f.limit < 1 {
		return q, usage("--limit %d: at least one", f.limit)
	}
	return q, nil
}

const pageSize = 100

func listSessions(cmd *cobra.Command, dir string, f listFlags) error {
	q, err := f.query()
	if err != nil {
		return err
	}
	r, err := newReader(dir)
	if err != nil {
		return err
	}
	found := wire.Sessions{Sessions: []wire.Session{}}
	for len(found.Sessions) < f.limit {
		q.Limit = min(f.limit-len(found.Sessions), pageSize)
		page, err := r.Sessions(cmd.Context(), q)
		if err != nil {
			return fmt.Errorf("listing sessions: %w", err)
		}
		found.Sessions = append(found.Sessions, page.Sessions...)
		found.Next, found.Indexed = page.Next, page.Indexed
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), found)
	}
	return tableOf(cmd.OutOrStdout(), found)
}

func tableOf(w io.Writer, found wire.Sessions) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "SESSION\tOPENED\tAGENT\tPRIVILEGE\tSTATE\tEVENTS\tBY")
	for _, s := range found.Sessions {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", safe.Text(s.Session), s.Opened.Time().Format("2006-01-02 15:04:05"),
			safe.Text(s.Agent), safe.Text(s.Privilege), safe.Text(s.State), s.Events, safe.Text(s.Principal))
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if found.Next != "" {
		fmt.Fprintln(w, "There are more: see --limit.")
	}
	return nil
}

// writeJSON writes one object, in printable ASCII.
func writeJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	if _, err := w.Write(append(safe.JSON(b), '\n')); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
