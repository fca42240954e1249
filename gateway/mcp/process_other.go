//go:build unix && !linux

package mcp

import "syscall"

// processAttributes put the server into a group of its own, so that a signal reaches what it started too.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// reap waits for the server and ends what is left of its group. There is no portable way to see that a process has ended
// without reaping it, so that for a moment the group's number might be another's.
func (p *process) reap() error {
	err := p.cmd.Wait()
	p.kill(syscall.SIGKILL)
	return err
}
