//go:build linux

package integration_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/internal/need"
)

// injure makes system calls of a running process fail until the returned function is called. Fault is strace's: "error=EIO".
// Files, if there are any, are the only ones that are affected.
func injure(t *testing.T, p *process, calls, fault string, files ...string) (heal func()) {
	t.Helper()
	strace := need.Program(t, "strace")
	log := filepath.Join(t.TempDir(), "strace")
	args := []string{"-f", "-o", log, "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + fault, "-p", strconv.Itoa(p.cmd.Process.Pid)}
	for _, f := range files {
		args = append(args, "-P", f)
	}
	cmd := exec.Command(strace, args...)
	var said buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // it is interrupted, or its process is killed
		close(done)
	}()
	heal = func() {
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck // strace lets go of the process and ends, if it has not
		<-done
	}
	t.Cleanup(heal)
	for end := time.Now().Add(20 * time.Second); !strings.Contains(said.String(), "attached"); time.Sleep(5 * time.Millisecond) {
		select {
		case <-done:
			need.Missing(t, "to be allowed to trace a process: "+strings.TrimSpace(said.String()))
		default:
		}
		if time.Now().After(end) {
			t.Fatal("strace does not attach")
		}
	}
	return heal
}

// TestACKED_fsyncErrors has the disk refuse to sync, everywhere or in one of the stores. What was written before such an
// error may be lost though it can be read, so there is no way on but a restart: nothing is acknowledged or signed until
// then, though the disk is well again.
func TestACKED_fsyncErrors(t *testing.T) {
	for name, pattern := range map[string]string{
		"everywhere": "", "blobs": "data/blobs/*/*/*", "keyring": "data/keyring/keyring.db*", "guard": "guard/guard.db*",
		"archive": "data/archive/*",
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, nil)
			l := newLedger()
			p := d.start()
			w := d.writing(l, 2, 2)
			l.during(t, 30)
			var only []string
			if pattern != "" {
				if only = must(filepath.Glob(d.path(pattern))); len(only) == 0 {
					t.Fatalf("no file is called %s", pattern)
				}
			}
			heal := injure(t, p, "fsync,fdatasync", "error=EIO", only...)
			eventually(t, "requests are refused", func() bool { return l.times("stopped") > 20 })
			heal()
			d.terminal(t, l)
			p.kill()
			p = d.start()
			l.during(t, 10)
			w.finish()
			d.holds(l)
			p.stop(t)
			d.tidy(t)
		})
	}
}

// terminal checks that a server takes, acknowledges and signs nothing more, and says so.
func (d *deployment) terminal(t *testing.T, l *ledger) {
	t.Helper()
	signed := d.get("public", "/checkpoint", "").body
	acked := l.count()
	for range 20 {
		if _, code := d.attempt(); code != "stopped" {
			t.Fatalf("an open after an fsync that failed: %q", code)
		}
	}
	if a := d.get("ops", "/readyz", ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("ready after an fsync that failed: %d; %s", a.status, d.get("ops", "/healthz", "operator").body)
	}
	if n := l.count(); n != acked {
		t.Errorf("ACKED: %d acknowledgements after an fsync that failed", n-acked)
	}
	if got := d.get("public", "/checkpoint", "").body; string(got) != string(signed) {
		t.Errorf("signed after an fsync that failed:\n%s", got)
	}
}
