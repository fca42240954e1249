package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/trust"
)

// Addrs are the addresses that the server really listens on, HOST:PORT, "" for a listener that is off.
type Addrs struct{ Ingest, Public, Audit, Ops string }

// Options are what Run needs beside the configuration. All may be left out.
type Options struct {
	Logger *slog.Logger
	// Ready is called once, when all listeners are open and the server takes requests.
	Ready func(Addrs)
	// Free says what is free on the disk that a directory is on; nil asks the disk.
	Free func(dir string) (bytes, inodes uint64, err error)
}

// Run serves until ctx ends, then takes everything down in order: listeners, recording, log, stores, lease. Whoever waits for
// an answer gets it first. It returns nil if all of that went well.
func Run(ctx context.Context, c Config, o Options) (err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if o.Free == nil {
		o.Free = posix.Free
	}
	var down closers
	defer func() { err = errors.Join(err, down.closeAll(ctx, time.Duration(c.Shutdown))) }()
	s, err := start(ctx, c, o, &down)
	if err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(s.addrs)
	}
	o.Logger.Info("serving", "origin", c.Origin, "ingest", s.addrs.Ingest, "public", s.addrs.Public, "audit", s.addrs.Audit,
		"ops", s.addrs.Ops)
	select {
	case <-ctx.Done():
		o.Logger.Info("shutting down")
		return nil
	case err := <-s.failed:
		return err
	}
}

// start brings everything up, each thing after what it stands on, and leaves in down how to take it down.
func start(ctx context.Context, c Config, opts Options, down *closers) (*servers, error) {
	k, err := loadKeys(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Dir); errors.Is(err, os.ErrNotExist) {
		return nil, &NoLogError{c.Dir}
	}
	epoch, err := takeLease(ctx, c.Dir, down)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	alarms := newAlarms(opts.Logger)
	o := observers{opts.Logger, registry, opts.Free, alarms.raise}
	anchors, err := newAnchoring(c, k, o)
	if err != nil {
		return nil, err
	}
	l, tree, err := openLog(ctx, c, k, o, stampers(anchors), down)
	if err != nil {
		return nil, err
	}
	v, err := openViews(c, o, down)
	if err != nil {
		return nil, err
	}
	rec, err := openRecording(ctx, c, k, l, v, o, epoch)
	if err != nil {
		return nil, err
	}
	down.add("the recording", rec.Close)
	down.addPlain("the alarms", alarms.start(rec))
	if err := noteConfig(ctx, c, k.trust, rec); err != nil {
		return nil, err
	}
	if anchors != nil {
		down.add("the anchors", anchors.Start(l, rec, v.blobs))
	}
	tokens, err := c.tokens()
	if err != nil {
		return nil, err
	}
	ac := api.Config{
		Recording: rec, Log: l, Tree: tree, Index: v.index, Keyring: v.keyring, Blobs: v.blobs, Tokens: tokens,
		Witnessed: k.trust.NeedsWitnesses(), Cosigned: cosigned(k.trust),
		Health: newProbe(c, l, rec, anchors, k.trust.NeedsWitnesses()).health, Gatherer: registry, Limits: c.apiLimits(),
		OpsAnonymous: c.Listen.Ops.Anonymous, Logger: opts.Logger, Registerer: registry,
	}
	if anchors != nil {
		ac.Anchoring = anchors
	}
	a, err := api.New(ac)
	if err != nil {
		return nil, err
	}
	return listen(c, a, down)
}

func openRecording(ctx context.Context, c Config, k *keys, l *log.Log, v views, o observers, epoch uint64) (*recording.Recording, error) {
	var succeeds []byte
	if c.Succeeds != "" {
		var err error
		if succeeds, err = os.ReadFile(c.Succeeds); err != nil {
			return nil, fmt.Errorf("reading the predecessor's last checkpoint: %w", err)
		}
	}
	return recording.Open(ctx, recording.Config{
		Origin: c.Origin, Version: Version(), Log: l, Blobs: v.blobs, Keyring: v.keyring, Heads: v.heads, Index: v.index,
		Anchors: k.trust.Anchors(), Windows: k.trust, Embedded: embedded(k.trust), Stamper: k.stamper, System: k.system, SystemKey: k.systemKey, Managed: k.managed,
		Epoch: epoch, Succeeds: succeeds, Logger: o.logger, Registerer: o.registerer,
		Limits: recording.Limits{Sessions: c.Limits.Sessions},
	})
}

// embedded opens the checkpoints that recorders say they saw. One by a key that counts no more may have been kept for long: it
// is the verifiers' to judge.
func embedded(t *trust.Trust) func([]byte) (uint64, error) {
	return func(note []byte) (uint64, error) {
		cp, err := t.OpenCheckpoint(note)
		var window *trust.WindowError
		if errors.As(err, &window) {
			err = nil
		}
		return cp.Size, err
	}
}

// noteConfig commits in the log to the configuration and the trust file that are in force, and writes down what the latter
// says of keys that was not noted before.
func noteConfig(ctx context.Context, c Config, t *trust.Trust, rec *recording.Recording) error {
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	pinned := entry.Hash(t.Digest())
	if err := rec.NoteConfig(ctx, entry.Config{Digest: digest, Version: entry.ID(Version()), Trust: &pinned}); err != nil {
		return fmt.Errorf("recording the configuration: %w", err)
	}
	if err := rec.NoteKeys(ctx, keysOf(t)); err != nil {
		return fmt.Errorf("recording the keys of the trust file: %w", err)
	}
	return nil
}

// keysOf are all keys that a trust file speaks of.
func keysOf(t *trust.Trust) (all []recording.Key) {
	add := func(role trust.Role, key string) {
		all = append(all, recording.Key{Role: string(role), Key: key, Until: recording.NoEnd})
	}
	for _, v := range t.LogVerifiers() {
		add(trust.RoleLog, v.String())
	}
	for _, w := range t.Witnesses() {
		add(trust.RoleWitness, w.Verifier.String())
	}
	for _, of := range []struct {
		role trust.Role
		keys []string
	}{{trust.RoleReceived, t.Received}, {trust.RoleSystem, t.System}, {trust.RoleEnroller, t.Enrollers}} {
		for _, k := range of.keys {
			add(of.role, k)
		}
	}
	for _, w := range t.Windows {
		i := slices.IndexFunc(all, func(k recording.Key) bool { return k.Role == string(w.Role) && k.Key == w.Key })
		if i < 0 { // a recorder's, which stands in enrolments alone
			add(w.Role, w.Key)
			i = len(all) - 1
		}
		all[i].From, all[i].Compromised = w.From, w.Compromised
		if w.Until != trust.NoEnd {
			all[i].Until = w.Until
		}
	}
	return all
}

func (c *Config) apiLimits() api.Limits {
	l := c.Limits
	return api.Limits{
		MaxBody: int64(l.MaxBody), InFlight: int64(l.InFlight), Connections: l.Connections, Rate: l.Rate, Burst: l.Burst,
		HeaderTimeout: time.Duration(l.HeaderTimeout), BodyTimeout: time.Duration(l.BodyTimeout),
		WriteTimeout: time.Duration(l.WriteTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
		MaxHeader: int(l.MaxHeader), MaxWait: time.Duration(l.MaxWait),
	}
}

// Version is that of the module, as an id; devel where it was built from a working tree.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || entry.CheckID(info.Main.Version) != nil {
		return "devel"
	}
	return info.Main.Version
}
