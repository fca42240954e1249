package api

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// surplusShare of the limit more connections are accepted, so that they can be told to come back later; what comes beyond
// is closed at once. The process must keep descriptors for its files: without them the log's driver panics.
const surplusShare = 8

// Connections counts connections and marks those above a limit.
type Connections struct {
	max  int64
	open atomic.Int64
}

// NewConnections makes a counter for at most limit connections.
func NewConnections(limit int) *Connections { return &Connections{max: int64(limit)} }

// Open is how many there are.
func (c *Connections) Open() int64 { return c.open.Load() }

// Listen wraps a listener, below TLS.
func (c *Connections) Listen(l net.Listener) net.Listener { return &listener{l, c} }

type listener struct {
	net.Listener
	count *Connections
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		n := l.count.open.Add(1)
		if n > l.count.max+max(l.count.max/surplusShare, 1) {
			l.count.open.Add(-1)
			c.Close() //nolint:errcheck // nothing was written
			continue
		}
		return &counted{Conn: c, count: l.count, surplus: n > l.count.max}, nil
	}
}

type counted struct {
	net.Conn
	count   *Connections
	surplus bool
	once    sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.count.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer without resetting the connection, which would take the answer with it.
func (c *counted) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return nil
}

type surplusKey struct{}

// markConnection carries the mark of a connection over to its requests.
func markConnection(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if cc, ok := c.(*counted); ok && cc.surplus {
		return context.WithValue(ctx, surplusKey{}, true)
	}
	return ctx
}

func surplus(ctx context.Context) bool { return ctx.Value(surplusKey{}) != nil }
