package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

// A recordPlan is what the flags of record ask for, checked before anything is touched.
type recordPlan struct {
	flags recordFlags
	join  *client.SessionRef // nil: open a session
	open  client.Opening
	track client.Joining
}

func (f recordFlags) plan(command []string) (*recordPlan, error) {
	if f.onFailure != string(mcp.Closed) && f.onFailure != string(mcp.Spool) {
		return nil, usage("--on-failure %q is neither closed nor spool", f.onFailure)
	}
	if f.source == "" {
		if f.source = filepath.Base(command[0]); entry.CheckID(f.source) != nil {
			f.source = mcp.DefaultSource
		}
	}
	p := &recordPlan{flags: f}
	// The environment decides over a command line that stands in some agent's configuration: what that says of a session to
	// open is then said already. Next to --session it would contradict it.
	if f.session == "" {
		if session := os.Getenv(client.EnvSession); session != "" {
			return p, p.planJoin(session)
		}
		return p, p.planOpen()
	}
	if f.privilege != "" || f.purpose != "" || f.principal != "" || f.onBehalfOf != "" || len(f.refs) > 0 {
		return nil, usage("--privilege, --purpose, --principal, --on-behalf-of and --ref are said by the session that is joined")
	}
	return p, p.planJoin(f.session)
}

func (p *recordPlan) planJoin(session string) error {
	f := p.flags
	ref, err := client.ParseSessionRef(session)
	if err != nil {
		return usage("%w", err)
	}
	if f.agent == "" {
		return usage("--agent is needed: whose track joins session %s", ref.Session)
	}
	if f.track == "" {
		var random [4]byte
		if _, err := rand.Read(random[:]); err != nil {
			return fmt.Errorf("naming a track: %w", err)
		}
		f.track = "mcp-" + hex.EncodeToString(random[:])
	}
	if err := entry.CheckTrack(f.track); err != nil {
		return usage("--track: %w", err)
	}
	p.join = &ref
	p.track = client.Joining{Track: f.track, Event: entry.TrackOpen{Recorder: f.recorder()}}
	return p.checkIDs()
}

func (p *recordPlan) planOpen() error {
	f := p.flags
	if f.agent == "" || f.privilege == "" || f.purpose == "" {
		return usage("--agent, --privilege and --purpose are needed to open a session, or --session to join one")
	}
	if f.track != "" {
		return usage("--track is for joining a session: the first track is %s", entry.MainTrack)
	}
	event := entry.SessionOpen{
		Recorder: f.recorder(), Privilege: entry.ID(f.privilege), Grant: entry.ID(f.grant),
		Tenant: entry.ID(f.tenant), Environment: entry.ID(f.environment), HeartbeatS: heartbeat,
		Retention: entry.Retention{Class: entry.ID(f.retention), Trigger: entry.ID(f.trigger)},
	}
	for _, s := range f.refs {
		ref, err := externalRef(s)
		if err != nil {
			return usage("--ref %w", err)
		}
		event.Refs = append(event.Refs, ref)
	}
	p.open = client.Opening{Event: event, Purpose: sealed(f.purpose), Principal: sealed(f.principal), OnBehalfOf: sealed(f.onBehalfOf)}
	return p.checkIDs()
}

// checkIDs tells which flag is not an id, rather than let an event be refused.
func (p *recordPlan) checkIDs() error {
	f := p.flags
	for _, id := range [][2]string{{"agent", f.agent}, {"agent-version", f.agentVersion}, {"privilege", f.privilege}, {"grant", f.grant},
		{"tenant", f.tenant}, {"environment", f.environment}, {"retention", f.retention}, {"source", f.source}} {
		if id[1] == "" {
			continue
		}
		if err := entry.CheckID(id[1]); err != nil {
			return usage("--%s: %w", id[0], err)
		}
	}
	return nil
}

func (f recordFlags) recorder() entry.Recorder {
	return entry.Recorder{
		Agent: entry.ID(f.agent), AgentVersion: entry.ID(f.agentVersion), Vantage: "observed", Capture: mcpCapture,
		OnFailure: entry.ID(f.onFailure),
	}
}

func sealed(s string) *client.Clear {
	if s == "" {
		return nil
	}
	return &client.Clear{Media: payload.Text, Bytes: []byte(s)}
}

func (p *recordPlan) begin(ctx context.Context, rec *client.Recorder) (*client.Track, error) {
	if p.join == nil {
		return rec.Open(ctx, p.open)
	}
	return rec.Join(ctx, *p.join, p.track)
}

func (p *recordPlan) gateway(t *client.Track, command []string, io streams, logger *slog.Logger) mcp.Config {
	f := p.flags
	cfg := mcp.Config{
		Command: command, Env: p.environment(t), Stdin: io.in, Stdout: io.out, Stderr: io.err, Recorder: trackRecorder{t},
		Source: entry.ID(f.source), Privileged: f.privileged, OnFailure: mcp.OnFailure(f.onFailure),
		SpoolTime: f.spoolTime, SpoolBytes: f.spoolBytes, DurableTimeout: f.callTimeout, Logger: logger,
	}
	if t.Name() != entry.MainTrack {
		cfg.ActionPrefix = t.Name() // of its own in the session
	}
	return cfg
}

// ref is what other recorders join the session with.
func (p *recordPlan) ref(t *client.Track) client.SessionRef {
	if p.join != nil {
		return *p.join
	}
	return t.Ref()
}

// environment is ours without what is for us alone, and names the session for recorders that the server starts.
func (p *recordPlan) environment(t *client.Track) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STENO_") })
	return append(env, client.EnvSession+"="+p.ref(t).String())
}

// A trackRecorder is a track as the gateway wants it.
type trackRecorder struct{ track *client.Track }

func (t trackRecorder) Record(ctx context.Context, events ...recorder.Event) (entry.Ref, error) {
	span, err := t.track.Record(ctx, events...)
	if errors.Is(err, client.ErrPending) {
		err = fmt.Errorf("%w: %w", mcp.ErrPending, err)
	}
	return t.at(span), err
}

func (t trackRecorder) Spool(events ...recorder.Event) (entry.Ref, error) {
	span, err := t.track.Spool(events...)
	return t.at(span), err
}

func (t trackRecorder) at(span client.Span) entry.Ref {
	return entry.Ref{Track: entry.ID(t.track.Name()), Seq: span.Seq}
}
