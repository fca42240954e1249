//go:build linux

package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused checks that the server does not start, ends with status 1, and says why and what can be done.
func (d *deployment) refused(t *testing.T, says ...string) {
	t.Helper()
	p := d.launch()
	select {
	case <-p.exited:
	case <-p.ready:
		p.kill()
		t.Fatalf("ONE-HISTORY: stenod serves; it was to be refused, saying %q", says)
	case <-time.After(time.Minute):
		t.Fatal("stenod neither serves nor ends")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit %d", code)
	}
	out := p.stderr.String()
	for _, s := range append(says, "way out: ") {
		if !strings.Contains(out, s) {
			t.Errorf("stenod does not say %q:\n%s", s, out)
		}
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copying %s: %v\n%s", from, err, out)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// record runs the server for n more acknowledgements.
func (d *deployment) record(t *testing.T, l *ledger, n int) {
	t.Helper()
	p := d.start()
	w := d.writing(l, 2, 1)
	l.during(t, n)
	w.finish()
	d.checkpoint(l.acked[len(l.acked)-1].receipt.Index)
	p.stop(t)
}

// TestONEHISTORY_refused brings a log into every state in which going on would make a second history, and puts it right
// again: then it goes on, with all that was acknowledged.
func TestONEHISTORY_refused(t *testing.T) {
	d := deploy(t, nil)
	l := newLedger()
	d.record(t, l, 20)
	old, oldGuard := d.path("old"), d.path("old-guard")
	copyTree(t, d.config.Dir, old)
	copyTree(t, filepath.Dir(d.config.Guard), oldGuard)
	d.record(t, l, 20)
	now, nowGuard := d.path("now"), d.path("now-guard")
	copyTree(t, d.config.Dir, now)
	copyTree(t, filepath.Dir(d.config.Guard), nowGuard)
	treeState := filepath.Join(d.config.Dir, "log", ".state", "treeState")
	for _, c := range []struct {
		name   string
		wrong  func(t *testing.T)
		reason string
	}{
		{"old copy of the log", func(t *testing.T) { copyTree(t, old, d.config.Dir) }, "the tree is smaller than what the log signed"},
		{"old tree alone", func(t *testing.T) { copyTree(t, filepath.Join(old, "log"), filepath.Join(d.config.Dir, "log")) },
			"the tree is smaller than what the log signed"},
		{"no archive", func(t *testing.T) {
			if err := os.RemoveAll(filepath.Join(d.config.Dir, "archive")); err != nil {
				t.Fatal(err)
			}
		}, "the archive of checkpoints does not fit the guard"},
		{"old guard", func(t *testing.T) { copyTree(t, oldGuard, filepath.Dir(d.config.Guard)) }, "is newer than its guard"},
		{"no guard", func(t *testing.T) { remove(t, d.config.Guard) }, "the guard is missing"},
		{"no treeState", func(t *testing.T) { remove(t, treeState) }, "the tree is missing"},
		{"empty treeState", func(t *testing.T) {
			if err := os.Truncate(treeState, 0); err != nil {
				t.Fatal(err)
			}
		}, "the stored tree is damaged"},
		{"no keyring", func(t *testing.T) { remove(t, filepath.Join(d.config.Dir, "keyring", "keyring.db")) }, "keyring"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.wrong(t)
			d.refused(t, c.reason)
			d.refused(t, c.reason) // nothing of the first attempt has made it right
			copyTree(t, now, d.config.Dir)
			copyTree(t, nowGuard, filepath.Dir(d.config.Guard))
		})
	}
	d.start()
	d.holds(l)
}

// TestONEHISTORY_twoProcesses starts a second server on the log of a running one.
func TestONEHISTORY_twoProcesses(t *testing.T) {
	d := deploy(t, nil)
	l := newLedger()
	p := d.start()
	w := d.writing(l, 2, 1)
	l.during(t, 10)
	d.refused(t, "another process has the log")
	if out, err := d.command("log", "init"); err == nil {
		t.Errorf("log init on a running log: %s", out)
	}
	l.during(t, 10)
	w.finish()
	p.kill()
	d.start() // a killed process holds nothing
	d.holds(l)
}

// TestONEHISTORY_otherOrigin points the configuration of one log to another's data, with and without its guard.
func TestONEHISTORY_otherOrigin(t *testing.T) {
	d, other := deploy(t, nil), deploy(t, nil)
	l := newLedger()
	d.record(t, l, 10)
	mine := other.config
	other.config.Dir, other.config.Guard = d.config.Dir, d.config.Guard
	other.writeConfig()
	other.refused(t, "the guard's checkpoint is not what the log signed") // the same name, another key
	other.config.Guard = mine.Guard
	other.writeConfig()
	other.refused(t, "the archive of checkpoints does not fit the guard")
	inside := d.config
	d.config.Guard = filepath.Join(d.config.Dir, "guard.db")
	d.writeConfig()
	d.refused(t, "the guard lies inside what it guards")
	d.config = inside
	d.writeConfig()
	d.start()
	d.holds(l)
}
