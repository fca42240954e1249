package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/authority"
)

const (
	tsaYears        = 10
	tsaReadTimeout  = 10 * time.Second
	tsaWriteTimeout = 10 * time.Second
	tsaIdleTimeout  = time.Minute
	tsaMaxHeader    = 8 << 10
	tsaShutdown     = 5 * time.Second
)

// tsaWarning is said wherever the authority is made or run.
const tsaWarning = "This is a time-stamp authority for development. It is no external authority: its clock and key are yours, and so its word proves nothing to others."

func newTSA() *cobra.Command {
	cmd := group("tsa", "Make and run a time-stamp authority for development (no external authority)", newTSAInit(), newTSAServe())
	cmd.Long = "Make and run a time-stamp authority (RFC 3161) for development.\n\n" + tsaWarning
	return cmd
}

func newTSAInit() *cobra.Command {
	var name, kind string
	cmd := &cobra.Command{
		Use: "init DIR --name NAME [--kind ecdsa|rsa]", Short: "Make the key and certificates of a development authority in a new directory",
		Args: exactly(1, "one directory is needed"),
		Long: `Make the key and certificates of a time-stamp authority for development, and print the line by which a trust file pins it.
The key of the certification authority that is made for it is thrown away.

` + tsaWarning,
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the authority, such as dev-tsa")
	cmd.Flags().StringVar(&kind, "kind", authority.ECDSA, "of the keys: "+authority.ECDSA+" or "+authority.RSA)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if name == "" {
			return usage("--name is needed: it stands in the certificates, and in the trust file")
		}
		if err := entry.CheckID(name); err != nil {
			return usage("--name: %w", err)
		}
		if kind != authority.ECDSA && kind != authority.RSA {
			return usage("--kind %q is neither %s nor %s", kind, authority.ECDSA, authority.RSA)
		}
		day := time.Now().UTC().Truncate(24 * time.Hour)
		m, err := authority.Make(name, kind, day, day.AddDate(tsaYears, 0, 0))
		if err != nil {
			return err
		}
		if err := m.Write(args[0]); err != nil {
			return err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), tsaWarning)
		_, err = fmt.Fprintln(cmd.OutOrStdout(), authorityLine(name, m))
		return err
	}
	return cmd
}

// authorityLine is how a trust file pins a development authority.
func authorityLine(name string, m authority.Material) string {
	a := pinnedAuthority(name, m)
	return fmt.Sprintf("authority %s %s %s %d %s - %s", name, a.From.Format(time.DateOnly), a.Until.Format(time.DateOnly),
		int(a.Accuracy/time.Second), strings.Join(a.Policies, ","), base64.StdEncoding.EncodeToString(a.Anchors[0]))
}

// pinnedAuthority is a development authority as a trust file pins it.
func pinnedAuthority(name string, m authority.Material) timestamp.Authority {
	anchor := m.Anchor()
	return timestamp.Authority{
		Name: name, Anchors: [][]byte{anchor.Raw}, From: anchor.NotBefore, Until: anchor.NotAfter,
		Policies: []string{authority.PolicyOID}, Accuracy: authority.Accuracy,
	}
}

func newTSAServe() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "serve DIR [--listen ADDRESS]", Short: "Answer requests for time stamps until interrupted", Args: exactly(1, "one directory is needed"),
		Long: "Answer requests for time stamps (RFC 3161) over HTTP until interrupted.\n\n" + tsaWarning,
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address; port 0 takes any that is free")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, err := authority.Load(args[0])
		if err != nil {
			return hint(err, "make one: steno tsa init %s --name NAME", filepath.Clean(args[0]))
		}
		a, err := authority.New(authority.Config{Material: m})
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		return serveTSA(cmd.Context(), l, a, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func serveTSA(ctx context.Context, l net.Listener, h http.Handler, out, stderr io.Writer) error {
	server := tsaServer(h)
	fmt.Fprintln(stderr, tsaWarning)
	fmt.Fprintf(out, "Time stamps at http://%s. Stop with Ctrl-C.\n", l.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), tsaShutdown)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
