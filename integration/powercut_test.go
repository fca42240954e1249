//go:build linux

package integration_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/need"
)

// An ext4 in a file can lose its power: what was not synced is gone. It is mounted without the heuristics that save the
// careless (noauto_da_alloc) and with a journal that is hardly ever written unasked (commit=300).
type ext4 struct {
	t          *testing.T
	image, dir string
}

func newExt4(t *testing.T) *ext4 {
	t.Helper()
	need.Root(t)
	x := &ext4{t, filepath.Join(t.TempDir(), "image"), t.TempDir()}
	f := must(os.Create(x.image))
	if err := f.Truncate(256 << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Program(t, "mkfs.ext4"), "-q", "-F", x.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	x.mount()
	t.Cleanup(func() { unix.Unmount(x.dir, 0) }) //nolint:errcheck // unless the last mount failed
	return x
}

func (x *ext4) mount() {
	x.t.Helper()
	out, err := exec.Command(need.Program(x.t, "mount"), "-o", "loop,noauto_da_alloc,commit=300", x.image, x.dir).CombinedOutput()
	if err != nil {
		need.Missing(x.t, "to be allowed to mount a file: "+strings.TrimSpace(string(out)))
	}
}

const (
	ext4Shutdown           = 0x8004587d // EXT4_IOC_SHUTDOWN
	ext4ShutdownNoLogFlush = 2
)

// cut takes the power away: nothing reaches the disk any more, not even the journal.
func (x *ext4) cut() {
	x.t.Helper()
	d := must(os.Open(x.dir))
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), ext4Shutdown, ext4ShutdownNoLogFlush); err != nil {
		need.Missing(x.t, "the ioctl EXT4_IOC_SHUTDOWN: "+err.Error())
	}
}

// restore gives it back. Nothing may have files open.
func (x *ext4) restore() {
	x.t.Helper()
	if err := unix.Unmount(x.dir, 0); err != nil {
		x.t.Fatalf("unmounting: %v", err)
	}
	x.mount()
}

// TestACKED_powerCuts cuts the power of the disk of log and guard, again and again, under writers that do not stop.
func TestACKED_powerCuts(t *testing.T) {
	n := rounds(t, 10)
	x := newExt4(t)
	d := deploy(t, func(c *daemon.Config) {
		c.Dir, c.Guard = filepath.Join(x.dir, "log"), filepath.Join(x.dir, "guard", "guard.db")
	})
	l := newLedger()
	w := d.writing(l, 3, 3)
	for range n {
		p := d.start()
		l.during(t, 40)
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // the fault's own moment, not a wait for anything
		x.cut()
		p.kill()
		x.restore()
	}
	p := d.start()
	w.finish()
	d.holds(l)
	p.stop(t)
	d.tidy(t)
	if l.times(cut)+l.times("not-durable")+l.times("stopped") == 0 {
		t.Error("no power cut met a request: the test has shown nothing")
	}
}

// TestPowerCutLosesWhatIsNotSynced holds the fault itself: were it none, the test above would show nothing.
func TestPowerCutLosesWhatIsNotSynced(t *testing.T) {
	x := newExt4(t)
	write := func(name string, sync bool) {
		f := must(os.Create(filepath.Join(x.dir, name)))
		defer f.Close()
		if _, err := f.WriteString("content"); err != nil {
			t.Fatal(err)
		}
		if sync {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("synced", true)
	write("careless", false)
	x.cut()
	x.restore()
	if b, err := os.ReadFile(filepath.Join(x.dir, "synced")); err != nil || string(b) != "content" {
		t.Errorf("a synced file is lost: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(x.dir, "careless")); err == nil && string(b) == "content" {
		t.Error("the power cut loses nothing")
	}
}
