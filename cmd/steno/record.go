package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
	"github.com/stenolog/steno/internal/safe"
)

const (
	heartbeat  = 60 // seconds
	maxSpools  = 64 // recorders at the same time
	mcpCapture = "mcp-stdio"
)

type recordFlags struct {
	session                                         string
	agent, agentVersion, privilege, grant           string
	purpose, principal, onBehalfOf                  string
	refs                                            []string
	tenant, environment, retention, trigger, source string
	track, onFailure                                string
	openTimeout, callTimeout, closeTimeout          time.Duration
	spoolTime                                       time.Duration
	spoolBytes                                      int64
	privileged                                      []string
}

func newRecord() *cobra.Command {
	return group("record", "Record what passes between an agent and its tools", newRecordMCP())
}

func newRecordMCP() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "mcp [--session ID | --agent ID --privilege LEVEL --purpose TEXT] [flags] -- COMMAND [ARG…]",
		Short: "Run an MCP server and record what its client does with it",
		Long: `Run COMMAND, an MCP server that speaks over standard input and output, and record what passes between it and the
client that started this command. A tool is called only when the call is durable in the log: while nothing can be recorded,
nothing is done. Standard output belongs to the protocol; what there is to say goes to standard error.

Without --session, and without $` + client.EnvSession + `, a session is opened, and closed when COMMAND ends. With either a track joins that
session; what the flags say of a session to open is then not used. The exit code is that of COMMAND.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("a command is needed: steno record mcp … -- COMMAND [ARG…]")
			}
			return nil
		},
	}
	dir := dirFlag(cmd)
	f.define(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		io := streams{in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
		return recordMCP(cmd.Context(), dirOr(*dir), f, args, io)
	}
	return cmd
}

func (f *recordFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&f.session, "session", "", "session to join, as SESSION or SESSION@HASH ($"+client.EnvSession+")")
	flags.StringVar(&f.agent, "agent", "", "the agent, such as acme/ledger-bot")
	flags.StringVar(&f.agentVersion, "agent-version", "", "its version")
	flags.StringVar(&f.privilege, "privilege", "", "production-write, administrative, sensitive-data, cross-workspace, break-glass, personal-data, financial or high-risk")
	flags.StringVar(&f.grant, "grant", "", "id of the grant by which it has the privilege")
	flags.StringVar(&f.purpose, "purpose", "", "what for (sealed)")
	flags.StringVar(&f.principal, "principal", "", "who started the agent (sealed)")
	flags.StringVar(&f.onBehalfOf, "on-behalf-of", "", "for whom it acts (sealed)")
	flags.StringSliceVar(&f.refs, "ref", nil, "ticket or other reference, as SYSTEM:TYPE:ID")
	flags.StringVar(&f.tenant, "tenant", "", "tenant")
	flags.StringVar(&f.environment, "environment", "", "environment, such as production")
	flags.StringVar(&f.retention, "retention", "ag-305", "retention class")
	flags.StringVar(&f.trigger, "retention-trigger", "session-close", "event from which the period of retention counts")
	flags.StringVar(&f.source, "source", "", "name of the MCP server in the record (the name of COMMAND)")
	flags.StringVar(&f.track, "track", "", "name of the track that joins a session (mcp- and a random number)")
	flags.StringVar(&f.onFailure, "on-failure", string(mcp.Closed), "closed: no privileged call without the log; spool: go on for a while, on the strength of the local spool")
	flags.DurationVar(&f.openTimeout, "open-timeout", 30*time.Second, "how long to wait for the log to acknowledge the session, before nothing is started")
	flags.DurationVar(&f.callTimeout, "call-timeout", mcp.DefaultDurableTimeout, "how long a call waits for the log to acknowledge it, before it is refused")
	flags.DurationVar(&f.closeTimeout, "close-timeout", 30*time.Second, "how long to wait at the end for the log to have everything; the rest is sent by the next recorder")
	flags.DurationVar(&f.spoolTime, "spool-time", mcp.DefaultSpoolTime, "how long calls go on without the log, with --on-failure=spool")
	flags.Int64Var(&f.spoolBytes, "spool-bytes", mcp.DefaultSpoolBytes, "how many bytes of calls go on without the log, with --on-failure=spool")
	flags.StringSliceVar(&f.privileged, "privileged", nil, "methods that are held until they are recorded, besides tools/call")
}

// recordMCP opens, runs and closes. Nothing is started unless the log has acknowledged that it is recording (FAIL-CLOSED).
func recordMCP(ctx context.Context, dir string, f recordFlags, command []string, io streams) error {
	plan, err := f.plan(command)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	rec, err := newRecorder(dir, logger)
	if err != nil {
		return nothingStarted(err)
	}
	opening, cancel := context.WithTimeout(ctx, f.openTimeout)
	defer cancel()
	track, err := plan.begin(opening, rec)
	if err != nil {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return nothingStarted(andClosing(err, rec.Close(soon)))
	}
	say(io.err, "recording session %s, track %s; others join it with %s=%s", track.Session(), track.Name(), client.EnvSession, plan.ref(track))
	// Signals go to the command, which says when it ends; we end after it.
	ended := mcp.Run(context.WithoutCancel(ctx), plan.gateway(track, command, io, logger))
	code := mcp.ExitCode(ended)
	if err := finish(context.WithoutCancel(ctx), f.closeTimeout, rec, track, code, ended); err != nil {
		say(io.err, "%s", err)
		code = max(code, exitFailure)
	} else {
		say(io.err, "session %s: %s", track.Session(), inTheLog(rec.Unsent()))
	}
	if ended != nil {
		say(io.err, "%s", ended)
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

func nothingStarted(err error) error {
	err = fmt.Errorf("nothing was started, because it can't be recorded: %w", err)
	var bad *entry.Error
	if errors.As(err, &bad) { // a flag's value that no event can have
		return &exitError{code: exitUsage, err: err}
	}
	return err
}

// say writes a line of ours to standard error, which the server's messages share.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "steno: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// finish closes the session, or leaves the one that was joined, and waits until the log has it all.
func finish(ctx context.Context, limit time.Duration, rec *client.Recorder, track *client.Track, code int, ended error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	switch {
	case track.Name() != entry.MainTrack:
		err = track.Leave(ctx)
	case errors.Is(ended, mcp.ErrStopped):
		err = errors.New("the session can't be closed: it can no longer be recorded")
	default:
		err = track.CloseSession(ctx, client.Closing{Outcome: outcomeOf(code)})
	}
	if err != nil {
		err = fmt.Errorf("closing session %s: %w", track.Session(), err)
	}
	return andClosing(err, rec.Close(ctx))
}

// inTheLog says how far a session got that the log has acknowledged.
func inTheLog(left []client.SpooledTrack) string {
	for _, t := range left {
		if len(t.Entries) > 0 {
			return "everything is in the log, and its witnesses have not seen all of it yet; the next steno record looks again"
		}
	}
	return "everything is in the log"
}

// andClosing says once that something waits in the spool.
func andClosing(err, closing error) error {
	if errors.Is(err, client.ErrPending) && errors.Is(closing, client.ErrPending) {
		closing = nil
	}
	if err = errors.Join(err, closing); errors.Is(err, client.ErrPending) {
		return fmt.Errorf("%w; the next steno record sends what is in the spool", err)
	}
	return err
}

func outcomeOf(code int) entry.ID {
	switch {
	case code == 0:
		return "completed"
	case code > 128: // a signal ended it
		return "aborted"
	}
	return "failed"
}

// newRecorder takes the first spool that no other recorder uses. What an earlier one left in it is sent on the way. What any
// of them caught the log at counts for all.
func newRecorder(dir string, logger *slog.Logger) (*client.Recorder, error) {
	c, err := readClientConfig(dir)
	if err != nil {
		return nil, err
	}
	cfg, err := c.recorderConfig(logger)
	if err != nil {
		return nil, err
	}
	spool := func(i int) string { return filepath.Join(c.path(c.Recorder.Spool), fmt.Sprintf("%02d", i)) }
	for i := range maxSpools {
		if err := client.Distrusted(spool(i)); err != nil {
			return nil, err
		}
	}
	for i := range maxSpools {
		cfg.Dir = spool(i)
		rec, err := client.New(cfg)
		if !errors.Is(err, client.ErrSpoolLocked) {
			return rec, err
		}
	}
	return nil, fmt.Errorf("%d recorders run with the spools in %s, no more are possible", maxSpools, c.path(c.Recorder.Spool))
}

func (c *clientConfig) recorderConfig(logger *slog.Logger) (client.Config, error) {
	cfg := client.Config{Logger: logger}
	cfg.Alarm = func(err error) { logger.Error("the log is no longer trusted", "err", safe.Text(err.Error())) }
	var errs [6]error
	cfg.Trust, errs[0] = c.readTrust()
	cfg.Token, errs[1] = c.readToken(c.Recorder.Token)
	cfg.Signer, errs[2] = readSigner(c.path(c.Recorder.Key))
	cfg.Enrolment, errs[3] = readSmall(c.path(c.Recorder.Enrolment))
	cfg.Recipients, errs[4] = c.Recorder.recipients()
	cfg.URL, errs[5] = c.address("ingest", c.Ingest)
	return cfg, errors.Join(errs[:]...)
}

func externalRef(s string) (entry.ExternalRef, error) {
	parts := strings.SplitN(s, ":", 3)
	if len(parts) != 3 {
		return entry.ExternalRef{}, fmt.Errorf("%q is not SYSTEM:TYPE:ID", s)
	}
	for _, p := range parts {
		if err := entry.CheckID(p); err != nil {
			return entry.ExternalRef{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	return entry.ExternalRef{System: entry.ID(parts[0]), Type: entry.ID(parts[1]), ID: entry.ID(parts[2])}, nil
}
