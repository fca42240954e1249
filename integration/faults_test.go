//go:build linux

package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log/tiles"
)

// flip turns one bit of a file, in the middle of it, and returns what turns it back.
func flip(t *testing.T, path string, at int64) (back func()) {
	t.Helper()
	turn := func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	return turn
}

// only is the one file that a pattern names.
func only(t *testing.T, pattern string) string {
	t.Helper()
	names := must(filepath.Glob(pattern))
	if len(names) != 1 {
		t.Fatalf("%d files are called %s: %v", len(names), pattern, names)
	}
	return names[0]
}

// newest is the partial tile or bundle of a directory that the newest tree has.
func (d *deployment) newest(dir string, size uint64) string {
	return filepath.Join(d.config.Dir, "log", "tile", dir, fmt.Sprintf("%03d.p", size>>8), fmt.Sprint(size&255))
}

// TestBitFlips_beforeSigning turns a bit, at rest, of what the next checkpoint rests on: it is found before anything is
// signed over it.
func TestBitFlips_beforeSigning(t *testing.T) {
	d := deploy(t, nil)
	l := newLedger()
	d.record(t, l, 30)
	p := d.start()
	size := d.checkpoint(l.acked[len(l.acked)-1].receipt.Index).Size
	p.stop(t)
	size = max(size, d.treeSize(t))
	for name, path := range map[string]string{
		"hash tile": d.newest("0", size), "treeState": filepath.Join(d.config.Dir, "log", ".state", "treeState"),
		"archive": only(t, filepath.Join(d.config.Dir, "archive", "*.notes")),
	} {
		t.Run(name, func(t *testing.T) {
			st := must(os.Stat(path))
			back := flip(t, path, st.Size()/2)
			d.refused(t)
			back()
		})
	}
	d.start()
	d.holds(l)
}

// TestBitFlips_whileRunning turns a bit of a leaf in the newest bundle, which the next flush reads and writes again with more
// leaves. Unnoticed, the leaf would be gone with the older bundle.
func TestBitFlips_whileRunning(t *testing.T) {
	d := deploy(t, nil)
	l := newLedger()
	p := d.start()
	w := d.writing(l, 2, 1)
	l.during(t, 30)
	w.finish()
	size := d.treeSize(t)
	signed := d.checkpoint(size - 1)
	path := d.newest("entries", size)
	flip(t, path, 1000)
	if _, code := d.attempt(); code == "" {
		eventually(t, "the log stops", func() bool {
			_, c := d.check("signing")
			return !c.OK
		})
	}
	if cp := d.checkpoint(0); cp.Size != signed.Size {
		t.Errorf("signed size %d over a bit that was turned below size %d", cp.Size, signed.Size)
	}
	p.kill()
	d.refused(t, "damaged")
}

func (d *deployment) treeSize(t *testing.T) uint64 {
	t.Helper()
	var s struct {
		Size uint64 `json:"size"`
	}
	b, err := os.ReadFile(filepath.Join(d.config.Dir, "log", ".state", "treeState"))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Size
}

// TestBitFlips_atRead turns a bit in a bundle and in a blob of a running server: nobody is given the wrong bytes as right
// ones, and an audit names the place.
func TestBitFlips_atRead(t *testing.T) {
	d := deploy(t, nil)
	l := newLedger()
	d.start()
	w := d.writing(l, 2, 2)
	l.during(t, 300) // a whole bundle
	w.finish()
	all := d.leaves(d.checkpoint(256))
	t.Run("bundle", func(t *testing.T) { d.flippedBundle(t, all) })
	t.Run("blob", func(t *testing.T) { d.flippedBlob(t, all) })
	d.holds(l)
}

func (d *deployment) flippedBundle(t *testing.T, all []*entry.Entry) {
	path := filepath.Join(d.config.Dir, "log", "tile", "entries", "000")
	leaf := slices.IndexFunc(all, func(e *entry.Entry) bool { return e.Events[0].Type == entry.TypeActionIntent })
	at := 0
	for i := range leaf {
		at += 2 + len(leafOf(all[i]))
	}
	back := flip(t, path, int64(at+2+len(leafOf(all[leaf]))/2))
	defer back()
	if a := d.get("audit", "/tile/entries/000", "auditor"); a.status != http.StatusInternalServerError {
		t.Errorf("the server gives out a bundle that has changed: %d", a.status)
	}
	d.namesThePlace(t, "tile/entries/000")
	s := all[leaf].Session
	a := d.get("audit", "/v1/sessions/"+s+"/entries", "auditor")
	if a.status < 500 {
		t.Errorf("the server gives out a leaf that has changed: %d", a.status)
	}
}

// namesThePlace audits the log's directory, as whoever has only a copy of it does.
func (d *deployment) namesThePlace(t *testing.T, place string) {
	t.Helper()
	root := must(os.OpenRoot(filepath.Join(d.config.Dir, "log")))
	defer root.Close()
	cfg := must(audit.Open(t.Context(), d.trust, d.fetch))
	cfg.Source = tiles.FromFetch(audit.Dir(root))
	r, err := audit.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r.Text(&b) //nolint:errcheck // a strings.Builder takes everything
	if r.Exit != 1 || !strings.Contains(b.String(), place) {
		t.Errorf("an audit over a flipped bit: exit %d\n%s", r.Exit, b.String())
	}
}

func (d *deployment) flippedBlob(t *testing.T, all []*entry.Entry) {
	for i, e := range all {
		if len(e.Blobs) == 0 {
			continue
		}
		blob := e.Blobs[0]
		url := "/v1/blobs/" + base64.RawURLEncoding.EncodeToString(blob.SHA256[:]) + fmt.Sprintf("?entry=%d", i)
		right := d.get("audit", url, "auditor")
		if right.status != http.StatusOK || entry.HashOf(right.body) != blob.SHA256 {
			t.Fatalf("blob of leaf %d: %d %s", i, right.status, right.body)
		}
		path := only(t, filepath.Join(d.config.Dir, "blobs", "*", "*", "*.seg"))
		at := strings.Index(string(must(os.ReadFile(path))), string(right.body))
		if at < 0 {
			t.Fatalf("the blob of leaf %d is not in %s", i, path)
		}
		back := flip(t, path, int64(at+len(right.body)/2))
		a, err := d.do(t.Context(), "GET", "audit", url, "auditor", nil)
		if err == nil && a.status == http.StatusOK && len(a.body) == len(right.body) {
			t.Errorf("the server gives out a blob that has changed as if it were whole: %d bytes", len(a.body))
		}
		back()
		if a := d.get("audit", url, "auditor"); a.status != http.StatusOK || entry.HashOf(a.body) != blob.SHA256 {
			t.Errorf("the blob is right again: %d", a.status)
		}
		return
	}
	t.Fatal("no leaf has a blob")
}

// TestACKED_overload asks for more than the server takes. It sheds before it acknowledges, and says when to come again.
func TestACKED_overload(t *testing.T) {
	for code, change := range map[string]func(*daemon.Config){
		"overloaded":   func(c *daemon.Config) { c.Log.Queue = 8 },
		"rate-limited": func(c *daemon.Config) { c.Limits.Rate, c.Limits.Burst = 300, 20 },
	} {
		t.Run(code, func(t *testing.T) {
			d := deploy(t, change)
			l := newLedger()
			p := d.start()
			w := d.writing(l, 12, 12)
			l.during(t, 200)
			eventually(t, "requests are shed", func() bool { return l.times(code) > 20 })
			w.finish()
			d.holds(l)
			if l.retryIn != l.refusals() {
				t.Errorf("%d of %d refusals said when to come again", l.retryIn, l.refusals())
			}
			p.stop(t)
		})
	}
}

// TestACKED_outOfDescriptors takes the server's file descriptors away. Go's libraries may panic over that; what was
// acknowledged stays.
func TestACKED_outOfDescriptors(t *testing.T) {
	d := deploy(t, nil)
	l := newLedger()
	p := d.start()
	w := d.writing(l, 2, 2)
	l.during(t, 30)
	pid := p.cmd.Process.Pid
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 8, Max: was.Max} // fewer than are open: not one more
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "requests are refused or cut off", func() bool { return l.refusals()+l.times(cut)+l.times(away) > 0 })
	p.kill()
	p = d.start()
	l.during(t, 10)
	w.finish()
	d.holds(l)
	p.stop(t)
	d.tidy(t)
}
