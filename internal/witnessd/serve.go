package witnessd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/stenolog/steno/witness"
)

// Addrs are the addresses that a witness really listens on, HOST:PORT, "" for a listener that is off.
type Addrs struct{ Witness, Ops string }

// Options are what Run needs beside the configuration. All may be left out.
type Options struct {
	Logger *slog.Logger
	// Ready is called once, when all listeners are open and the witness takes requests.
	Ready func(Addrs)
	// Reload makes the witness read its list of logs and its certificates again.
	Reload <-chan os.Signal
}

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Cosign until interrupted", Args: cobra.NoArgs,
		Long: `Prints "witness ADDRESS", "ops ADDRESS" if there is one, and "ready" when it takes requests. SIGHUP makes it read the list of
logs and the certificates again. SIGINT and SIGTERM end it: what is under way is answered.`,
	}
	untilEOF := c.Flags().Bool("until-eof", false, "end when standard input ends, as it does when a parent process dies")
	address := c.Flags().String("address", "", "`HOST:PORT` in the place of the configuration's listen.address")
	return withConfig(c, func(c *cobra.Command, cfg Config, _ []string) error {
		if *address != "" {
			cfg.Listen.Address = *address
		}
		logger, err := cfg.Logging.Logger(c.ErrOrStderr())
		if err != nil {
			return err
		}
		reload := make(chan os.Signal, 1)
		signal.Notify(reload, syscall.SIGHUP)
		defer signal.Stop(reload)
		ctx, cancel := context.WithCancel(c.Context())
		defer cancel()
		if *untilEOF {
			go func() {
				io.Copy(io.Discard, c.InOrStdin()) //nolint:errcheck // an error is an end, too
				cancel()
			}()
		}
		ready := func(a Addrs) {
			for _, l := range [][2]string{{"witness", a.Witness}, {"ops", a.Ops}} {
				if l[1] != "" {
					fmt.Fprintf(c.OutOrStdout(), "%s %s\n", l[0], l[1])
				}
			}
			fmt.Fprintln(c.OutOrStdout(), "ready")
		}
		return Run(ctx, cfg, Options{Logger: logger, Ready: ready, Reload: reload})
	})
}

// Run serves until ctx ends, then takes everything down in order: listeners, witness, state. Whoever waits for an answer gets
// it first. It returns nil if all of that went well.
func Run(ctx context.Context, c Config, o Options) (err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	r := &running{config: c, logger: o.Logger}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	if err := r.open(ctx); err != nil {
		return err
	}
	failed := make(chan error, len(r.servers))
	for _, s := range r.servers {
		go func() { failed <- s.serve() }()
	}
	if o.Ready != nil {
		o.Ready(r.addrs)
	}
	o.Logger.Info("serving", "name", c.Name, "witness", r.addrs.Witness, "ops", r.addrs.Ops)
	for {
		select {
		case <-ctx.Done():
			o.Logger.Info("shutting down")
			return nil
		case err := <-failed:
			return err
		case <-o.Reload:
			r.reload(ctx)
		}
	}
}

// running is what Run has opened so far.
type running struct {
	config  Config
	logger  *slog.Logger
	certs   *certificates
	store   *witness.Store
	witness *witness.Witness
	servers []*server
	addrs   Addrs
}

// open brings everything up, each thing after what it stands on, and takes all addresses before any is served.
func (r *running) open(ctx context.Context) error {
	c := r.config
	signers, err := LoadKeys(c)
	if err != nil {
		return err
	}
	if r.certs, err = loadCertificates(c.Listen.TLS); err != nil {
		return fmt.Errorf("listen.%w", err)
	}
	if r.store, err = openState(c); err != nil {
		return whileRunning(err, "end the other process; a witness has one")
	}
	if c.Logs != "" {
		if err := addListed(ctx, r.store, c.Logs, r.logger); err != nil {
			return err
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.witness, err = witness.New(ctx, witness.Config{
		Signers: signers, State: r.store, Rate: c.Limits.Rate, Burst: c.Limits.Burst, Logger: r.logger, Registerer: registry,
	})
	if err != nil {
		return err
	}
	if err := r.witness.Health().Clock; err != nil {
		r.logger.Error("nothing is cosigned until the machine's clock is set; if it is right now and was wrong before, end the witness "+
			"and run: steno-witness clock accept", "error", err)
	}
	s, err := open("listen", c.Listen.Address, c.Limits.Connections, r.certs, r.witness.Handler(), c.Limits, r.logger)
	if err != nil {
		return err
	}
	r.servers, r.addrs.Witness = append(r.servers, s), s.ln.Addr().String()
	if c.Ops.Address == "" {
		return nil
	}
	s, err = open("ops", c.Ops.Address, opsConnections, nil, opsHandler(r.witness.Health, registry), c.Limits, r.logger)
	if err != nil {
		return err
	}
	r.servers, r.addrs.Ops = append(r.servers, s), s.ln.Addr().String()
	return nil
}

// reload reads again what may change. What can't be read leaves everything as it was: the witness cosigns on.
func (r *running) reload(ctx context.Context) {
	if r.config.Logs != "" {
		if err := addListed(ctx, r.store, r.config.Logs, r.logger); err != nil {
			r.logger.Error("the list of logs stays as it was", "error", err)
		}
	}
	if r.certs != nil {
		if err := r.certs.reload(); err != nil {
			r.logger.Error("the certificates stay as they were", "error", err)
		}
	}
	r.logger.Info("read the list of logs and the certificates again")
}

// close takes down what is open. Its time begins now, whatever became of the context that Run served under.
func (r *running) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(r.config.Shutdown))
	defer cancel()
	errs := make([]error, len(r.servers))
	var wg sync.WaitGroup
	for i, s := range r.servers {
		wg.Go(func() { errs[i] = s.end(ctx) })
	}
	wg.Wait()
	if r.witness != nil {
		errs = append(errs, r.witness.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}
