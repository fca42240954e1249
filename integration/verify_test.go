//go:build linux

package integration_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stenolog/steno/audit"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// checkpoint waits for one that covers an index.
func (d *deployment) checkpoint(index uint64) trust.Checkpoint {
	d.t.Helper()
	var cp trust.Checkpoint
	eventually(d.t, fmt.Sprintf("a checkpoint that covers %d", index), func() bool {
		var err error
		if cp, err = d.trust.OpenCheckpoint(d.get("public", "/checkpoint", "").body); err != nil {
			d.t.Fatal(err)
		}
		return cp.Size > index
	})
	return cp
}

// leaves reads all leaves under a checkpoint, proven.
func (d *deployment) leaves(cp trust.Checkpoint) []*entry.Entry {
	d.t.Helper()
	r := must(tiles.NewReader(tiles.FromFetch(d.fetch), cp.Size, cp.Root))
	var all []*entry.Entry
	err := r.Leaves(d.t.Context(), 0, cp.Size, func(i uint64, leaf []byte) error {
		e, err := entry.Parse(leaf)
		if err != nil {
			return fmt.Errorf("leaf %d: %w", i, err)
		}
		all = append(all, e)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// holds checks that the log that is served now has everything that was acknowledged, once, and that an audit is clean.
func (d *deployment) holds(l *ledger) {
	d.t.Helper()
	last := uint64(0)
	for _, a := range l.acked {
		last = max(last, a.receipt.Index)
	}
	cp := d.checkpoint(last)
	all := d.leaves(cp)
	for _, a := range l.acked {
		d.holdsOne(all, a)
	}
	d.once(all, l)
	d.audited()
	d.t.Logf("%d acknowledgements of %d leaves kept; not acknowledged: %v", len(l.acked), len(all), l.refused)
}

func (d *deployment) holdsOne(all []*entry.Entry, a acked) {
	d.t.Helper()
	rc := a.receipt
	if rc.Index >= uint64(len(all)) {
		d.t.Errorf("ACKED: index %d was acknowledged, the log has %d leaves", rc.Index, len(all))
		return
	}
	e := all[rc.Index]
	switch err := d.trust.VerifyReceived(e); {
	case e.Hash() != rc.Hash || e.Session != a.session || e.Track != a.track || e.Seq != rc.Seq:
		d.t.Errorf("ACKED: leaf %d is %s/%s %d %s, acknowledged was %s/%s %d %s", rc.Index, e.Session, e.Track, e.Seq, e.Hash(),
			a.session, a.track, rc.Seq, rc.Hash)
	case string(e.Received.Line) != rc.Received:
		d.t.Errorf("leaf %d has another receipt than the client", rc.Index)
	case err != nil:
		d.t.Errorf("the receipt of leaf %d: %v", rc.Index, err)
	}
}

// once checks that no sequence number has two texts, that every managed event stands once, and that no session was opened
// twice.
func (d *deployment) once(all []*entry.Entry, l *ledger) {
	d.t.Helper()
	texts := make(map[string]entry.Hash)
	ids, events, sessions := make(map[string]bool), make(map[string]int), 0
	for i, e := range all {
		at := fmt.Sprintf("%s/%s %d", e.Session, e.Track, e.Seq)
		if h, ok := texts[at]; ok && h != e.Hash() {
			d.t.Errorf("ONE-HISTORY: leaf %d is a second text for %s", i, at)
		} else if ok {
			continue // word for word: benign
		}
		texts[at] = e.Hash()
		for _, ev := range e.Events {
			if ev.Type == entry.TypeSessionOpen {
				sessions++
			}
			var m entry.Managed
			if err := json.Unmarshal(ev.Raw, &m); err != nil {
				d.t.Fatal(err)
			}
			if m.EventID == "" {
				continue
			}
			id := fmt.Sprintf("%s %s", e.Session, m.EventID)
			if ids[id] {
				d.t.Errorf("event %s stands twice, again in leaf %d", id, i)
			}
			ids[id] = true
			if ev.Type == entry.TypeCalculation {
				events[e.Session]++
			}
		}
	}
	for session, n := range l.events {
		if events[session] != n {
			d.t.Errorf("session %s has %d events, %d were acknowledged and nothing was left open", session, events[session], n)
		}
	}
	if sessions != l.sessions {
		d.t.Errorf("%d sessions in the log, %d were opened", sessions, l.sessions)
	}
}

// audited replays the whole log.
func (d *deployment) audited() *audit.Report {
	d.t.Helper()
	cfg, err := audit.Open(d.t.Context(), d.trust, d.fetch)
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := audit.Run(d.t.Context(), cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	if r.Exit != 0 {
		var b strings.Builder
		r.Text(&b) //nolint:errcheck // a strings.Builder takes everything
		d.t.Errorf("the audit is not clean:\n%s", b.String())
	}
	return r
}

// Tessera's temporary files have a number behind the name.
var tesseraTemp = regexp.MustCompile(`^(checkpoint|treeState|gcState|version)\d+$|^(\d{3}|x\d{3})\d+$`)

// tidy checks that nothing half-made lies about in the log's directories.
func (d *deployment) tidy(t *testing.T) {
	t.Helper()
	for _, dir := range []string{d.config.Dir, filepath.Dir(d.config.Guard)} {
		err := filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
			if err == nil && !f.IsDir() && (durable.IsTemp(path) || tesseraTemp.MatchString(f.Name())) {
				t.Errorf("stray temporary file %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
