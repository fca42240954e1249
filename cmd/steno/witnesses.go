package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/witnessd"
)

const (
	witnessFile     = "witness.yaml"   // in a witness's directory
	witnessPatience = 30 * time.Second // for a witness to start, and to end
)

// A localWitness is a witness of a deployment that runs as a child of steno up: a process, directory, key and listener of
// its own, as in earnest it has a machine and a master of its own.
type localWitness struct {
	name, config, address string
	cmd                   *exec.Cmd
	stdin                 io.Closer // whose end ends the witness, also when this process is killed
	ended                 chan struct{}
	err                   error // how it ended
}

// witnesses are those of a deployment, by the names that its server has for them.
type witnesses []*localWitness

// startWitnesses starts those that the server's configuration names and that have a directory here, and tells the server
// where they listen. Others, on other machines, are somebody else's to run.
func (u up) startWitnesses(ctx context.Context, cfg *daemon.Config) (ws witnesses, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, ws.stop())
			ws = nil
		}
	}()
	for i := range cfg.Witnesses {
		w := &localWitness{name: cfg.Witnesses[i].Name, ended: make(chan struct{})}
		w.config = filepath.Join(u.dir, w.name, witnessFile)
		wc, err := witnessd.Load(w.config)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return ws, err
		}
		w.address = wc.Listen.Address
		if u.portGiven {
			w.address = addresses(u.port)[serverPorts+i]
		}
		if err := w.start(u.stderr); err != nil {
			return ws, hint(fmt.Errorf("starting %s: %w", w.name, err),
				"what it says of itself stands above; if it is locked by another process, another steno up is running, or the witness by itself: end that first; if its address is in use: --port N takes other ports")
		}
		ws = append(ws, w)
		cfg.Witnesses[i].URL = "http://" + w.address
	}
	return ws, nil
}

// start runs the witness and waits until it listens.
func (w *localWitness) start(stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w.cmd = exec.Command(self, "witness", "serve", "--config", w.config, "--address", w.address, "--until-eof")
	// Ctrl-C is for steno up alone: the last checkpoint needs its witnesses.
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	w.cmd.Stderr = stderr
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.cmd.Start(); err != nil {
		return err
	}
	w.stdin = stdin
	listens := make(chan string, 1)
	go func() {
		defer close(w.ended)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			if address, ok := strings.CutPrefix(in.Text(), "witness "); ok {
				listens <- address
			}
		}
		w.err = w.cmd.Wait()
	}()
	select {
	case w.address = <-listens:
		return nil
	case <-w.ended:
		return fmt.Errorf("it has ended: %w", w.ending())
	case <-time.After(witnessPatience):
		return fmt.Errorf("it is not ready after %s", witnessPatience)
	}
}

func (w *localWitness) ending() error {
	if w.err == nil {
		return errors.New("exit status 0")
	}
	return w.err
}

// watch tells when a witness ends before it was asked to. The log goes on: that is what a quorum is for.
func (ws witnesses) watch(ctx context.Context, out io.Writer) {
	for _, w := range ws {
		go func() {
			select {
			case <-ctx.Done():
			case <-w.ended:
				if ctx.Err() != nil { // it was asked to, just now
					return
				}
				fmt.Fprintf(out, "%s has ended (%v). Recording goes on; checkpoints are published as long as a quorum cosigns. To start it again:\n  %s\n",
					w.name, w.ending(), w.Command())
			}
		}()
	}
}

// Command runs the witness by hand.
func (w *localWitness) Command() string {
	return fmt.Sprintf("%s witness serve --config %s --address %s", program(), quote(w.config), w.address)
}

// stop ends them all, those that do not end in time by force.
func (ws witnesses) stop() error {
	for _, w := range ws {
		w.stdin.Close() //nolint:errcheck // it has ended
	}
	var errs []error
	for _, w := range ws {
		select {
		case <-w.ended:
		case <-time.After(witnessPatience):
			errs = append(errs, fmt.Errorf("%s did not end in %s", w.name, witnessPatience), w.cmd.Process.Kill())
			<-w.ended
		}
	}
	return errors.Join(errs...)
}

// A sharedWriter lets several goroutines write whole messages.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// Address is where the witness listens.
func (w *localWitness) Address() string { return w.address }

// Name is the witness's in the policy.
func (w *localWitness) Name() string { return w.name }

// PID is the witness's process.
func (w *localWitness) PID() int { return w.cmd.Process.Pid }
