package witnessd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/witnessd"
	"github.com/stenolog/steno/internal/yamlconf"
	"github.com/stenolog/steno/witness"
)

const patience = 20 * time.Second

// newWitness makes a witness that never ran.
func newWitness(t *testing.T) witnessd.Config {
	t.Helper()
	dir := t.TempDir()
	if _, _, err := witnessd.GenerateKey("witness.acme.example/w1", "ed25519", filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	c, err := witnessd.Parse([]byte(strings.Replace(minimal, "0.0.0.0:7820", "127.0.0.1:0", 1)+"ops: {address: '127.0.0.1:0'}\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := witnessd.Init(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// run serves until the test ends.
func run(t *testing.T, c witnessd.Config) witnessd.Addrs {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan witnessd.Addrs, 1), make(chan error, 1)
	go func() {
		ended <- witnessd.Run(ctx, c, witnessd.Options{Ready: func(a witnessd.Addrs) { ready <- a }})
	}()
	select {
	case a := <-ready:
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return a
	case err := <-ended:
		cancel()
		t.Fatalf("it ended before it was ready: %v", err)
	}
	panic("unreachable")
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Whoever says nothing, or half of something, is cut off, on each listener.
func TestRun_timeouts(t *testing.T) {
	c := newWitness(t)
	short := yamlconf.Duration(200 * time.Millisecond)
	c.Limits.HeaderTimeout, c.Limits.BodyTimeout, c.Limits.IdleTimeout = short, short, short
	addrs := run(t, c)
	for _, addr := range []string{addrs.Witness, addrs.Ops} {
		for _, said := range []string{"", "GET /healthz HT", "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold 0\n",
			"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, said); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: after %q the connection stays open", addr, said)
			}
		}
	}
}

// Connections beyond the limit wait until another ends; the ops listener answers all the while.
func TestRun_connections(t *testing.T) {
	c := newWitness(t)
	c.Limits.Connections = 1
	addrs := run(t, c)
	ask := func(conn net.Conn) *bufio.Reader {
		t.Helper()
		if _, err := fmt.Fprint(conn, "GET /0/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn)
	}
	first := dial(t, addrs.Witness)
	if _, err := http.ReadResponse(ask(first), nil); err != nil {
		t.Fatal(err)
	}
	second := dial(t, addrs.Witness)
	answer := ask(second)
	if err := second.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := answer.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second connection is served beside the first: %v", err)
	}
	resp, err := http.Get("http://" + addrs.Ops + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	first.Close()
	if err := second.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := answer.Peek(1); err != nil {
		t.Errorf("a connection that waited is not served when its turn comes: %v", err)
	}
}

// A witness that can't have all its addresses takes none, and gives its state back.
func TestRun_addressInUse(t *testing.T) {
	c := newWitness(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := c
	taken.Ops.Address = ln.Addr().String()
	err = witnessd.Run(t.Context(), taken, witnessd.Options{Ready: func(witnessd.Addrs) { t.Error("it says that it is ready") }})
	if err == nil || !strings.Contains(err.Error(), "ops: ") {
		t.Errorf("got %v", err)
	}
	run(t, c)
}

// Evidence is not believed because it is stored: it must convict whoever looks at it later.
func TestVerified(t *testing.T) {
	skey, _, err := checkpoint.GenerateKey(checkpoint.Ed25519, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	log, err := checkpoint.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(root byte) []byte {
		text := checkpoint.Checkpoint{Origin: "log.example", Size: 3, Root: [32]byte{root}}.Text()
		b, err := note.Sign(&note.Note{Text: text}, log)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	forged := []byte(strings.Replace(string(sign(1)), "\n3\n", "\n4\n", 1))
	fork := func(known, shown []byte) witness.Evidence {
		return witness.Evidence{ID: 1, Origin: "log.example", Kind: witness.KindFork, Known: known, Request: witness.Request{Old: 3, Note: shown}.Marshal()}
	}
	unproven := fork(sign(1), sign(2))
	unproven.Kind = witness.KindUnproven
	badUnproven := fork(sign(1), forged)
	badUnproven.Kind = witness.KindUnproven
	keys := []note.Verifier{log.Verifier()}
	for name, c := range map[string]struct {
		e     witness.Evidence
		keys  []note.Verifier
		begin string
	}{
		"two roots of one size":     {fork(sign(1), sign(2)), keys, "verified"},
		"no fork":                   {fork(sign(1), sign(1)), keys, "NOT VERIFIED"},
		"forged":                    {fork(forged, sign(2)), keys, "NOT VERIFIED"},
		"no keys":                   {fork(sign(1), sign(2)), nil, "NOT VERIFIED"},
		"unproven":                  {unproven, keys, "signatures verified"},
		"unproven and not signed":   {badUnproven, keys, "NOT VERIFIED"},
		"a request that is garbage": {witness.Evidence{Kind: witness.KindFork, Request: []byte("x")}, keys, "NOT VERIFIED"},
		"of no kind":                {witness.Evidence{Kind: "hearsay"}, keys, "NOT VERIFIED"},
	} {
		if got := witnessd.Verified(c.e, c.keys); !strings.HasPrefix(got, c.begin) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
