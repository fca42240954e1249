package mcp

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttributes put the server into a group of its own, so that a signal reaches what it started too, and end it when
// this process is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// reap waits for the server and ends what is left of its group. The group is killed while the server is gone but not yet
// reaped, so that its number still stands for this group and no other.
func (p *process) reap() error {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.kill(syscall.SIGKILL)
	return p.cmd.Wait()
}
