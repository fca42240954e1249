//go:build linux

package integration_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a running stenod.
type process struct {
	cmd    *exec.Cmd
	stderr buffer
	ready  chan struct{} // closed when it takes requests
	exited chan struct{} // closed when it has ended
	addrs  map[string]string
	err    error // how it ended
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

// launch starts stenod and waits for nothing.
func (d *deployment) launch() *process {
	d.t.Helper()
	p := &process{ready: make(chan struct{}), exited: make(chan struct{}), addrs: make(map[string]string)}
	p.cmd = exec.Command(stenod, "serve", "--config", d.path("stenod.yaml"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is cut off leaves nothing running
	p.cmd.Stderr = &p.stderr
	out := must(p.cmd.StdoutPipe())
	if err := p.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			name, addr, ok := strings.Cut(sc.Text(), " ")
			if ok {
				p.addrs[name] = addr
			} else {
				close(p.ready)
			}
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	d.t.Cleanup(p.kill)
	return p
}

// start starts stenod and waits until it takes requests.
func (d *deployment) start() *process {
	d.t.Helper()
	p := d.launch()
	select {
	case <-p.ready:
	case <-p.exited:
		d.t.Fatalf("stenod did not start: %v\n%s", p.err, p.stderr.String())
	case <-time.After(time.Minute):
		d.t.Fatalf("stenod is not ready after a minute\n%s", p.stderr.String())
	}
	d.running.Store(p)
	return p
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.exited
}

// stop ends it in good order.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		t.Fatalf("stenod does not end\n%s", p.stderr.String())
	}
	if p.err != nil {
		t.Errorf("stenod ended with %v\n%s", p.err, p.stderr.String())
	}
}
