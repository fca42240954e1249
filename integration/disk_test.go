//go:build linux

package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/log/tiles"
)

// mount mounts something on a new directory until the test ends. Args are those of mount(8) without the directory.
func mount(t *testing.T, args ...string) string {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	if out, err := exec.Command(need.Program(t, "mount"), append(args, dir)...).CombinedOutput(); err != nil {
		need.Missing(t, "to be allowed to mount: "+strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil && err != unix.EINVAL { // it may not be mounted any more
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// onDisk puts a log, but not its guard, into a directory.
func onDisk(dir string, floor daemon.Bytes) func(*daemon.Config) {
	return func(c *daemon.Config) {
		c.Dir = filepath.Join(dir, "data")
		c.Disk.FloorBytes = floor
	}
}

// fill leaves about so many bytes of a disk free, and returns what takes the ballast away again.
func fill(t *testing.T, dir string, leave int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := int64(1 << 20); size >= 4096; {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		if int64(st.Bavail)*st.Bsize-size < leave {
			size /= 2
			continue
		}
		if _, err := f.Write(make([]byte, size)); err != nil { // others fill it too
			break
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// check is one of the server's checks of itself.
func (d *deployment) check(name string) (status int, c api.Check) {
	d.t.Helper()
	a := d.get("ops", "/healthz", "operator")
	var h api.Health
	if err := json.Unmarshal(a.body, &h); err != nil {
		d.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	for _, c := range h.Checks {
		if c.Check == name {
			return a.status, c
		}
	}
	d.t.Fatalf("no check %q in %s", name, a.body)
	return 0, c
}

// attempt opens a session, once, and returns the code of the refusal, or "" with the session.
func (d *deployment) attempt() (session, code string) {
	d.t.Helper()
	a, err := d.do(d.t.Context(), "POST", "ingest", wire.PathSessions, "recorder",
		[]byte(`{"agent":"`+agent+`","privilege":"financial"}`), "Content-Type: "+wire.JSONType)
	if err != nil {
		d.t.Fatal(err)
	}
	var p wire.Problem
	if a.status >= 400 {
		if err := json.Unmarshal(a.body, &p); err != nil {
			d.t.Fatalf("%d %s: %v", a.status, a.body, err)
		}
		if p.Code == "" || p.Status != a.status {
			d.t.Errorf("%d %s", a.status, a.body)
		}
		return "", p.Code
	}
	var ok wire.Answer
	if err := json.Unmarshal(a.body, &ok); err != nil {
		d.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return ok.Session, ""
}

// TestFullDisk_floor fills a small disk to the floor. The log becomes read-only before anything breaks, says so, and takes
// up again when there is room, without a restart.
func TestFullDisk_floor(t *testing.T) {
	disk := mount(t, "-t", "tmpfs", "-o", "size=48m", "tmpfs")
	d := deploy(t, onDisk(disk, 16<<20))
	p := d.start()
	l := newLedger()
	w := d.writing(l, 2, 2)
	l.during(t, 50)
	empty := fill(t, disk, 12<<20)
	eventually(t, "a request is refused as read-only", func() bool { return l.times("read-only") > 0 })
	status, c := d.check("disk")
	if status != http.StatusServiceUnavailable || c.OK || !strings.Contains(c.Detail, "floor") {
		t.Errorf("health of a full disk: %d %+v", status, c)
	}
	if a := d.get("ops", "/readyz", ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("ready with a full disk: %d", a.status)
	}
	if _, code := d.attempt(); code != "read-only" {
		t.Errorf("an open while the log is read-only: %q", code)
	}
	d.proven(l)
	empty()
	l.during(t, 50)
	if status, c := d.check("disk"); !c.OK {
		t.Errorf("health with room again: %d %+v", status, c)
	}
	w.finish()
	d.holds(l)
	p.stop(t)
	d.tidy(t)
}

// proven reads what a log that takes nothing goes on to serve: checkpoint, tiles and proofs. Not content: that is not read
// without a record of it.
func (d *deployment) proven(l *ledger) {
	d.t.Helper()
	l.mu.Lock()
	index := l.acked[0].receipt.Index
	l.mu.Unlock()
	cp := d.checkpoint(index)
	if a := d.get("public", "/"+tiles.Path(0, 0, uint8(min(cp.Size, 256)%256)), ""); a.status != http.StatusOK {
		d.t.Errorf("a tile: %d %s", a.status, a.body)
	}
	if a := d.get("ingest", fmt.Sprintf("/v1/entries/%d/proof", index), "recorder"); a.status != http.StatusOK {
		d.t.Errorf("a proof: %d %s", a.status, a.body)
	}
	if a := d.get("audit", "/"+tiles.BundlePath(0, uint8(min(cp.Size, 256)%256)), "auditor"); a.status != http.StatusServiceUnavailable {
		d.t.Errorf("WATCHED-WATCHERS: content: %d", a.status)
	}
}

// TestFullDisk_filledBehindItsBack has no floor worth the name: every write of the server meets ENOSPC. What breaks then
// may stop; it may not lose or spoil anything.
func TestFullDisk_filledBehindItsBack(t *testing.T) {
	disk := mount(t, "-t", "tmpfs", "-o", "size=32m", "tmpfs")
	d := deploy(t, onDisk(disk, 1))
	l := newLedger()
	p := d.start()
	w := d.writing(l, 2, 2)
	for range 3 {
		l.during(t, 30)
		empty := fill(t, disk, 0)
		before := l.refusals()
		eventually(t, "requests are refused on a full disk", func() bool { return l.refusals() > before+20 })
		empty()
		// Healed or stopped: an operator who looks at it starts it again.
		if _, c := d.check("signing"); !c.OK {
			t.Log("the log stopped")
		}
		p.kill()
		p = d.start()
	}
	l.during(t, 30)
	w.finish()
	d.holds(l)
	p.stop(t)
	d.tidy(t)
}

// refusals is how often a server said no.
func (l *ledger) refusals() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for code, times := range l.refused {
		if code != away && code != cut {
			n += times
		}
	}
	return n
}
