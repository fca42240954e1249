package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/stenolog/steno/api"
)

// opsConnections is the limit of the ops listener, which has its own, so that an overloaded server can still say so.
const opsConnections = 64

type servers struct {
	addrs  Addrs
	failed chan error // the first listener that ended by itself
	opened []opened
}

type opened struct {
	name   string
	server *http.Server
	ln     net.Listener
}

// listen opens all listeners before any serves, so that a server that cannot have them all takes nothing.
func listen(c Config, a *api.API, down *closers) (*servers, error) {
	s := &servers{failed: make(chan error, 1)}
	down.add("the listeners", s.end)
	ops := api.NewConnections(opsConnections)
	for _, l := range []struct {
		name    string
		config  Listener
		handler http.Handler
		count   *api.Connections
		addr    *string
	}{
		{api.ListenerOps, c.Listen.Ops.Listener, a.Ops(), ops, &s.addrs.Ops},
		{api.ListenerPublic, c.Listen.Public, a.Public(), a.Connections(), &s.addrs.Public},
		{api.ListenerAudit, c.Listen.Audit, a.Audit(), a.Connections(), &s.addrs.Audit},
		{api.ListenerIngest, c.Listen.Ingest, a.Ingest(), a.Connections(), &s.addrs.Ingest},
	} {
		if l.config.Address == "" {
			continue
		}
		ln, err := open(l.config, l.count)
		if err != nil {
			return nil, fmt.Errorf("listen.%s: %w", l.name, err)
		}
		*l.addr = ln.Addr().String()
		srv := a.Server(l.handler)
		s.opened = append(s.opened, opened{l.name, srv, ln})
	}
	for _, o := range s.opened {
		go s.serve(o)
	}
	return s, nil
}

func (s *servers) serve(o opened) {
	err := o.server.Serve(o.ln)
	if errors.Is(err, http.ErrServerClosed) {
		return
	}
	select {
	case s.failed <- fmt.Errorf("listener %s: %w", o.name, err):
	default:
	}
}

// end takes all listeners down at once: nothing new, what is under way is answered; when the time is over, the rest is cut
// off.
func (s *servers) end(ctx context.Context) error {
	errs := make([]error, len(s.opened))
	var wg sync.WaitGroup
	for i, o := range s.opened {
		wg.Go(func() {
			err := o.server.Shutdown(ctx)
			if err != nil {
				err = errors.Join(fmt.Errorf("requests of listener %s were cut off: %w", o.name, err), o.server.Close())
			}
			o.ln.Close() //nolint:errcheck // closed by the server, unless it never began to serve
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func open(c Listener, count *api.Connections) (net.Listener, error) {
	var tc *tls.Config
	if c.TLS.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
		if err != nil {
			return nil, err
		}
		tc = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	ln, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, err
	}
	ln = count.Listen(ln)
	if tc != nil {
		ln = tls.NewListener(ln, tc)
	}
	return ln, nil
}
