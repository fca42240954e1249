//go:build unix

package mcp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Run starts the server and carries messages between it and the client until the server has ended, and nothing of its
// process group is left. It returns nil when the server exited with status 0, an error that wraps its *exec.ExitError when
// it did not, and one that wraps ErrStopped when the session had to be stopped because it could not be recorded.
//
// When the client closes its end, the server's standard input is closed; a server that is still there after Grace is sent
// SIGTERM, and SIGKILL after as long again. A signal to us is passed on to the server's group, SIGTERM when ctx ends.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if len(cfg.Command) == 0 {
		return errors.New("mcp gateway: no command")
	}
	p, err := startProcess(cfg)
	if err != nil {
		return fmt.Errorf("starting %s: %w", cfg.Command[0], err)
	}
	r := newRelay(cfg, p.stdin)
	signals := cfg.Signals
	if signals == nil {
		own := make(chan os.Signal, 4)
		signal.Notify(own, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(own)
		signals = own
	}
	// A client that went away must not end us while results are to be recorded: once asked for, SIGPIPE becomes an error of
	// the write. It is not ignored, since the server would inherit that.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx, r, signals)
	}()
	err = r.run(ctx, p.stdout)
	<-watched
	_ = p.stdout.Close() // watch may have closed it
	if state := p.wait(); state != nil {
		state = fmt.Errorf("server %s: %w", cfg.Command[0], state)
		return errors.Join(err, state)
	}
	return err
}

// ExitCode is the status with which a command that called Run should exit: that of the server, 128 and the signal's number
// if it died of one as a shell has it, or 1 for errors of our own.
func ExitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrStopped) || !errors.As(err, &exit):
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

// A process is the server, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	grace  time.Duration
	exited chan struct{} // the server itself has ended, its group was killed
	state  error         // of the server, before exited is closed
}

func startProcess(cfg Config) (*process, error) {
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdoutR, stdoutW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdinR.Close(), stdinW.Close())
	}
	p := &process{stdin: stdinW, stdout: stdoutR, grace: cfg.Grace, exited: make(chan struct{})}
	p.cmd = exec.Command(cfg.Command[0], cfg.Command[1:]...)
	p.cmd.Dir, p.cmd.Env = cfg.Dir, cfg.Env
	if p.cmd.Env == nil {
		p.cmd.Env = serverEnv(os.Environ())
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdinR, stdoutW, cfg.Stderr
	p.cmd.WaitDelay = cfg.Grace // for a copy of standard error that a grandchild keeps open
	p.cmd.SysProcAttr = processAttributes()
	started := make(chan error, 1)
	go p.live(started)
	err = <-started
	err = errors.Join(err, stdinR.Close(), stdoutW.Close()) // the server has its own
	if err != nil {
		return nil, errors.Join(err, stdinW.Close(), stdoutR.Close())
	}
	return p, nil
}

// live starts the server and waits for it on one thread: the parent-death signal is sent when the thread that started the
// process ends, not when our process does.
func (p *process) live(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.state = p.reap()
	close(p.exited)
}

// serverEnv leaves out what is for us: STENO_ variables carry tokens and keys. STENO_SESSION names the session that
// another recorder may join.
func serverEnv(env []string) (kept []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, "STENO_") || strings.HasPrefix(v, "STENO_SESSION=") {
			kept = append(kept, v)
		}
	}
	return kept
}

// kill signals the group; it may be gone.
func (p *process) kill(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

func (p *process) wait() error {
	<-p.exited
	return p.state
}

// watch ends the server when its time has come, and returns when it has ended.
func (p *process) watch(ctx context.Context, r *relay, signals <-chan os.Signal) {
	var after <-chan time.Time // when to use the next harder means
	next := syscall.SIGTERM
	ended, clientDone := ctx.Done(), r.clientDone
	for {
		select {
		case <-p.exited:
			p.drain(r)
			return
		case s := <-signals:
			if s, ok := s.(syscall.Signal); ok {
				p.kill(s)
			}
			after, next = time.After(p.grace), syscall.SIGKILL
		case <-ended:
			ended = nil
			p.kill(syscall.SIGTERM)
			after, next = time.After(p.grace), syscall.SIGKILL
		case <-clientDone: // its standard input is closed
			clientDone = nil
			if after == nil {
				after = time.After(p.grace)
			}
		case <-after:
			p.kill(next)
			after, next = time.After(p.grace), syscall.SIGKILL
		}
	}
}

// drain gives the relay time to read what the server wrote before it ended. A process that left the group may hold the pipe
// open for ever.
func (p *process) drain(r *relay) {
	timer := time.NewTimer(p.grace)
	defer timer.Stop()
	select {
	case <-r.serverDone:
	case <-timer.C:
		_ = p.stdout.Close() // ends the read
	}
}
