package witnessd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	opsConnections = 16 // of the ops listener, which has its own, so that an overloaded witness can still say so
	maxStreams     = 64 // requests of one HTTP/2 connection at a time
)

// A server is one listener with its HTTP server.
type server struct {
	name string
	http *http.Server
	ln   net.Listener
	tls  *certificates // nil: in clear
}

// open takes the address, but serves nothing yet: a witness that can't have all its listeners takes no request.
func open(name, address string, connections int, certs *certificates, h http.Handler, l Limits, logger *slog.Logger) (*server, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := &server{name: name, ln: limit(ln, connections), tls: certs, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Duration(l.HeaderTimeout),
		ReadTimeout:       time.Duration(l.BodyTimeout),
		WriteTimeout:      time.Duration(l.WriteTimeout),
		IdleTimeout:       time.Duration(l.IdleTimeout),
		MaxHeaderBytes:    int(l.MaxHeader),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // clients' mistakes, mostly
	}}
	if certs != nil {
		s.http.TLSConfig = certs.config()
	}
	return s, nil
}

func (s *server) serve() error {
	var err error
	if s.tls != nil {
		err = s.http.ServeTLS(s.ln, "", "")
	} else {
		err = s.http.Serve(s.ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// end lets requests in flight have their answers; when the time is over, the rest is cut off.
func (s *server) end(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("%s: requests were cut off: %w", s.name, err), s.http.Close())
	}
	s.ln.Close() //nolint:errcheck // closed by the server, unless it never began to serve
	return err
}

// limited takes so many connections at once; the others wait in the kernel's queue.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(ln net.Listener, connections int) *limited {
	return &limited{Listener: ln, slots: make(chan struct{}, connections), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, slots: l.slots}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type slotted struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

func (c *slotted) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}

// CloseWrite lets net/http end an answer without resetting the connection, which would take the answer with it.
func (c *slotted) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return nil
}

// certificates are the witness's own and the authorities of its clients', which can be read again while it serves.
type certificates struct {
	files TLS
	now   atomic.Pointer[tls.Config]
}

// loadCertificates reads the files; nil if there are none.
func loadCertificates(files TLS) (*certificates, error) {
	if files.Certificate == "" {
		return nil, nil
	}
	c := &certificates{files: files}
	return c, c.reload()
}

// reload reads the files again. If that fails, everything stays as it was.
func (c *certificates) reload() error {
	cert, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.files.ClientCA != "" {
		pem, err := os.ReadFile(c.files.ClientCA)
		if err != nil {
			return fmt.Errorf("tls.client_ca: %w", err)
		}
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls.client_ca: there is no certificate in %s", c.files.ClientCA)
		}
	}
	c.now.Store(conf)
	return nil
}

// config is that of a server: each connection begins with what is in force then.
func (c *certificates) config() *tls.Config {
	first := c.now.Load().Clone()
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now.Load(), nil }
	return first
}
