package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log"
)

// defaultPort is that of ingest; public, audit, ops, the witnesses and the development authority follow.
const defaultPort = 7411

func newUp() *cobra.Command {
	var origin string
	var port int
	cmd := &cobra.Command{
		Use: "up", Short: "Run a complete local deployment; make it first, if there is none", Args: none(),
		Long: `Run a complete steno deployment on this machine's loopback addresses until it is interrupted: the server in this process,
and three witnesses in processes of their own, of which two must cosign a checkpoint. On the first run it makes keys, an
enroller, a vault, the trust file, tokens, the witnesses and the log; later runs use them.`,
	}
	dir := dirFlag(cmd)
	cmd.Flags().StringVar(&origin, "origin", "", "name of the log, on the first run (localhost/steno- and a random number)")
	cmd.Flags().IntVar(&port, "port", defaultPort, "first of eight ports, for ingest, public, audit, ops, three witnesses and time stamps; 0 for any that are free")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if port < 0 || port > 65528 {
			return usage("--port %d: 0, or up to 65528", port)
		}
		if origin != "" {
			if err := entry.CheckOrigin(origin); err != nil {
				return usage("--origin: %w", err)
			}
		}
		u := up{dir: dirOr(*dir), origin: origin, port: port, portGiven: cmd.Flags().Changed("port"), out: &sharedWriter{w: cmd.OutOrStdout()}, stderr: cmd.ErrOrStderr()}
		return u.run(cmd.Context())
	}
	return cmd
}

type up struct {
	dir, origin string
	port        int
	portGiven   bool
	out         io.Writer
	stderr      io.Writer
}

func (u up) run(ctx context.Context) (err error) {
	syscall.Umask(0o077) // whatever is made, by whichever part, is for its owner alone
	there, err := deploymentIn(u.dir)
	if err != nil {
		return err
	}
	if !there {
		if err := makeDeployment(ctx, u.dir, u.origin, u.port, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(u.out, "Made a new deployment in %s. Its README.txt says what is in it, and where that belongs in earnest.\n", u.dir)
	}
	cfg, err := daemon.Load(filepath.Join(u.dir, serverFile))
	if err != nil {
		return withWayOut(err, u.dir)
	}
	if there && u.origin != "" && u.origin != cfg.Origin {
		return usage("the log in %s is %s: --origin names a new one", u.dir, cfg.Origin)
	}
	if u.portGiven {
		a := addresses(u.port)
		cfg.Listen.Ingest.Address, cfg.Listen.Public.Address = a[0], a[1]
		cfg.Listen.Audit.Address, cfg.Listen.Ops.Address = a[2], a[3]
	}
	logger, err := daemon.NewLogger(u.stderr, cfg)
	if err != nil {
		return err
	}
	// What ready can't do ends the server: nobody would know where it is.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ws, err := u.startWitnesses(ctx, &cfg)
	if err != nil {
		return withWayOut(err, u.dir)
	}
	stopTSA, err := u.startTSA(&cfg)
	if err != nil {
		return withWayOut(errors.Join(err, ws.stop()), u.dir)
	}
	defer stopTSA()
	watching, unwatched := context.WithCancel(ctx)
	defer func() { // after the server, whose last checkpoint needs them
		unwatched()
		err = errors.Join(err, ws.stop())
	}()
	ws.watch(watching, u.out)
	ready := func(a daemon.Addrs) {
		if err := u.ready(a, cfg.Origin, ws); err != nil {
			cancel(err)
		}
	}
	err = daemon.Run(ctx, cfg, daemon.Options{Logger: logger, Ready: ready})
	if cause := context.Cause(ctx); err == nil && ctx.Err() != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return withWayOut(err, u.dir)
	}
	fmt.Fprintln(u.out, "Stopped. Everything acknowledged is in the log.")
	return nil
}

// ready tells the other commands, and the reader, where the server is.
func (u up) ready(a daemon.Addrs, origin string, ws witnesses) error {
	c, err := readClientConfig(u.dir)
	if err != nil {
		return err
	}
	c.Ingest, c.Public, c.Audit, c.Ops = "http://"+a.Ingest, "http://"+a.Public, "http://"+a.Audit, "http://"+a.Ops
	if err := c.write(); err != nil {
		return err
	}
	return writeNext(u.out, next{Program: program(), Dir: u.dir, Origin: origin, Ingest: c.Ingest, Audit: c.Audit, Ops: c.Ops, Witnesses: ws})
}

// withWayOut says what can be done about a server that does not start.
func withWayOut(err error, dir string) error {
	var refused *log.RefusedError
	switch {
	case errors.Is(err, log.ErrGuardMissing):
		return hint(err, "to rebuild it, start the witnesses by hand (steno witness serve -c %[1]s, likewise the others), then: stenod guard rebuild --witness-quorum -c %[2]s",
			quote(filepath.Join(dir, witnessName(1), witnessFile)), quote(filepath.Join(dir, serverFile)))
	case errors.As(err, &refused): // it says what can be done with the log, and this what with the deployment
		return hint(err, "nothing was changed; if there is nothing to put back: stenod log succeed, or another deployment with --dir")
	case errors.Is(err, syscall.EADDRINUSE):
		return hint(err, "another steno up may be running; --port N takes other ports, --port 0 any that are free")
	case errors.Is(err, fs.ErrNotExist):
		return hint(err, "restore the file from a backup of %s, or make another deployment with --dir", dir)
	case errors.Is(err, syscall.ENOSPC):
		return hint(err, "free some space: nothing that was acknowledged is lost")
	}
	return err
}
