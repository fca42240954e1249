//go:build linux

package integration_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// TestACKED_kills kills the server with signal 9 again and again, at any moment, also while it starts, under writers that do
// not stop.
func TestACKED_kills(t *testing.T) {
	n := rounds(t, 20)
	d := deploy(t, nil)
	l := newLedger()
	w := d.writing(l, 4, 3)
	for round := range n {
		if round%3 == 2 {
			p := d.launch()
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // the fault's own moment, not a wait for anything
			p.kill()
		}
		p := d.start()
		l.during(t, 50)
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond) // likewise
		p.kill()
	}
	for _, name := range []string{".lease.epoch", "state/.index.db", "keyring/.keyring.db", "archive/.1.notes", "log/.state/.x"} {
		// What a kill at the worst moment leaves.
		d.write(filepath.Join("data", name+".durable-tmp-1"), nil)
	}
	p := d.start()
	w.finish()
	d.holds(l)
	p.stop(t)
	d.tidy(t)
	if l.times(cut) == 0 {
		t.Error("no kill met a request: the test has shown nothing")
	}
}
