//go:build linux

package peers

import (
	"bytes"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a peer that runs, until Stop or the end of the test.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	output buffer
	exited chan struct{}
}

// A buffer can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const (
	startTimeout = 30 * time.Second
	startTries   = 3
)

// serve starts a program that listens at an address it is given, and waits until it answers HTTP. The peers can't be told to let
// the system pick a port and say which: so a free one is found, and another if somebody was faster.
func serve(t testing.TB, command func(addr string) *exec.Cmd) (p *process, addr string) {
	t.Helper()
	for range startTries {
		addr = freeAddr(t)
		p = launch(t, command(addr))
		if p.answers(addr) {
			return p, addr
		}
		p.Stop()
	}
	t.Fatalf("%s does not start:\n%s", p.cmd.Path, p.output.String())
	return nil, ""
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func launch(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, exited: make(chan struct{})}
	if cmd.Stderr = &p.output; cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is cut off leaves nothing running
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait() //nolint:errcheck // it is killed
		close(p.exited)
	}()
	t.Cleanup(p.Stop)
	return p
}

// answers waits until there is an HTTP server at an address, whatever it says, and the process lives.
func (p *process) answers(addr string) bool {
	client := &http.Client{Timeout: time.Second}
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		select {
		case <-p.exited:
			return false
		case <-time.After(20 * time.Millisecond):
		}
		if resp, err := client.Get("http://" + addr + "/"); err == nil {
			resp.Body.Close()
			return true
		}
	}
	return false
}

// Stop ends the peer.
func (p *process) Stop() {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.exited
}

// Output is what it has said so far.
func (p *process) Output() string { return p.output.String() }
