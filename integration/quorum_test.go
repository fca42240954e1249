//go:build linux

package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/integration/peers"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// A quorate is a deployment whose log needs two of three witnesses, all of them steno-witness, each a process of its own.
type quorate struct {
	*deployment
	witnesses []*peers.StenoWitness
}

func deployQuorate(t *testing.T) *quorate {
	t.Helper()
	d := &quorate{deployment: deploy(t, nil)}
	bin := peers.BuildSteno(t)
	policy, names := fmt.Sprintf("log %s\n", d.trust.Log), []string{"w1", "w2", "w3"}
	for _, name := range names {
		w := peers.StartSteno(t, bin, name+".example.com", []string{"ed25519"}, d.trust.Log)
		d.witnesses = append(d.witnesses, w)
		policy += fmt.Sprintf("witness %s %s %s\n", name, w.VKeys[0], w.URL)
	}
	d.pin(policy+"group two 2 w1 w2 w3\nquorum two\n", func(c *trust.Config) {
		for _, name := range names {
			c.Operators = append(c.Operators, trust.Operator{Name: name + ".example.com", Witnesses: []string{name}})
		}
	})
	return d
}

// session records one whole session, asks for a level, and returns the receipt of its end.
func (d *deployment) session(level wire.Level) wire.Receipt {
	d.t.Helper()
	all := d.receipts(level)
	return all[len(all)-1]
}

// receipts records one whole session, asks for a level, and returns what came of each entry.
func (d *deployment) receipts(level wire.Level) []wire.Receipt {
	d.t.Helper()
	a, err := d.do(d.t.Context(), "POST", "ingest", wire.PathRecords+"?wait="+string(level), "recorder",
		[]byte(`{"session":{"agent":"`+agent+`","privilege":"financial"},"close":{"outcome":"completed"}}`), "Content-Type: "+wire.JSONType)
	if err != nil {
		d.t.Fatal(err)
	}
	var answer wire.Answer
	if err := json.Unmarshal(a.body, &answer); err != nil || a.status != http.StatusCreated || len(answer.Receipts) == 0 {
		d.t.Fatalf("recording: %d %s", a.status, a.body)
	}
	return answer.Receipts
}

// TestQuorum_lostAndFound stops two of three witnesses: agents record as before, what they are given is signed by the log alone and
// not published, and becomes witnessed when the witnesses are back, without anybody's help.
func TestQuorum_lostAndFound(t *testing.T) {
	d := deployQuorate(t)
	p := d.start()
	before := d.session(wire.Witnessed)
	if cp, err := d.trust.OpenCheckpoint([]byte(before.Checkpoint)); err != nil || !cp.Witnessed || before.Level != wire.Witnessed {
		t.Fatalf("with all witnesses: level %s, %v, %s", before.Level, err, cp.Missing)
	}
	shown := d.checkpoint(before.Index)
	d.witnesses[0].Stop()
	d.witnesses[1].Stop()

	l := newLedger()
	w := d.writing(l, 2, 2)
	l.during(t, 60)
	w.finish()
	alone := d.session(wire.Integrated)
	cp, err := d.trust.OpenCheckpoint([]byte(alone.Checkpoint))
	if err != nil || cp.Witnessed || alone.Level != wire.Integrated || cp.Size <= alone.Index {
		t.Fatalf("without a quorum: level %s, witnessed %v of size %d over %d, %v", alone.Level, cp.Witnessed, cp.Size, alone.Index, err)
	}
	if now := must(d.trust.OpenCheckpoint(d.get("public", "/checkpoint", "").body)); now.Size > alone.Index || !now.Witnessed || now.Size < shown.Size {
		t.Errorf("published without a quorum: size %d, witnessed %v", now.Size, now.Witnessed)
	}
	for name, missing := range map[string]bool{"w1": true, "w2": true, "w3": false} {
		eventually(t, "health tells of "+name, func() bool {
			_, c := d.check("witness " + name)
			return strings.Contains(c.Detail, "missing since") == missing
		})
	}
	eventually(t, "health tells of the quorum", func() bool { _, c := d.check("quorum"); return !c.OK && !c.Ready })

	d.witnesses[0].Start(t)
	d.witnesses[1].Start(t)
	healed := d.checkpoint(alone.Index)
	if !healed.Witnessed {
		t.Errorf("published without a quorum: %s", healed.Missing)
	}
	// The published history extends what only the log had signed.
	r := must(tiles.NewReader(tiles.FromFetch(d.fetch), healed.Size, healed.Root))
	if root, _, err := r.Consistency(t.Context(), cp.Size); err != nil || root != cp.Root {
		t.Errorf("ONE-HISTORY: the root at size %d is %x, the log had signed %x: %v", cp.Size, root, cp.Root, err)
	}
	if after := d.session(wire.Witnessed); after.Level != wire.Witnessed {
		t.Errorf("with all witnesses again: level %s", after.Level)
	}
	eventually(t, "health is well", func() bool { _, c := d.check("quorum"); return c.OK })
	l.sessions += 3 // before, alone, after
	d.holds(l)
	p.stop(t)
}

// TestONEHISTORY_oldMachine puts an old copy of the whole log in place, guard included. Nothing on the machine can tell; the
// witnesses can.
func TestONEHISTORY_oldMachine(t *testing.T) {
	d := deployQuorate(t)
	record := func() wire.Receipt {
		p := d.start()
		defer p.stop(t)
		rc := d.session(wire.Witnessed)
		if rc.Level != wire.Witnessed {
			t.Fatalf("level %s", rc.Level)
		}
		return rc
	}
	record()
	guard := filepath.Dir(d.config.Guard)
	copyTree(t, d.config.Dir, d.path("old"))
	copyTree(t, guard, d.path("old-guard"))
	last := record()
	copyTree(t, d.path("old"), d.config.Dir)
	copyTree(t, d.path("old-guard"), guard)
	d.refused(t, "a checkpoint that the log signed is newer than its guard")

	// With the witnesses away it can't know: it takes what agents record, and signs nothing until it has asked.
	for _, w := range d.witnesses {
		w.Stop()
	}
	p := d.start()
	if rc := d.session(wire.Durable); rc.Level != wire.Durable {
		t.Errorf("level %s", rc.Level)
	}
	waits := d.get("audit", wire.PathCheckpoint, "auditor")
	if cp, err := d.trust.OpenCheckpoint(waits.body); waits.status == http.StatusOK && (err != nil || cp.Size > last.Index) {
		t.Errorf("ONE-HISTORY: it signs size %d before it has asked its witnesses: %v", cp.Size, err)
	}
	d.witnesses[0].Start(t)
	d.witnesses[1].Start(t)
	eventually(t, "the log stops for good", func() bool { _, c := d.check("signing"); return !c.OK && c.Ready })
	p.kill()
	d.refused(t, "a checkpoint that the log signed is newer than its guard")
}

// TestONEHISTORY_forkIsNotCosigned plays an operator who has every key of the log, and every copy, and shows the witnesses a second
// history. They refuse it, and what they have then convicts the log.
func TestONEHISTORY_forkIsNotCosigned(t *testing.T) {
	d := deployQuorate(t)
	p := d.start()
	d.session(wire.Witnessed)
	p.stop(t)
	copyTree(t, d.config.Dir, d.path("old"))
	copyTree(t, filepath.Dir(d.config.Guard), d.path("old-guard"))

	// From a power of two a consistency proof does not hold the root that it begins with, so that no witness could tell.
	honest := uint64(0)
	for honest&(honest-1) == 0 {
		p = d.start()
		d.session(wire.Witnessed)
		p.stop(t)
		honest = d.seen(t)
	}

	// The second history: the same keys, the old copy, and a trust file that asks nobody.
	copyTree(t, d.path("old"), d.config.Dir)
	copyTree(t, d.path("old-guard"), filepath.Dir(d.config.Guard))
	pinned := d.trust
	d.pin("log "+d.trust.Log+"\nquorum none\n", func(c *trust.Config) { c.Operators = nil })
	p = d.start()
	forged := d.checkpoint(d.session(wire.Integrated).Index)
	for forged.Size <= honest {
		forged = d.checkpoint(d.session(wire.Integrated).Index)
	}
	for i, w := range d.witnesses {
		d.refusesFork(t, w, pinned.Witnesses()[i].Verifier, forged)
	}
	p.stop(t)
}

// refusesFork asks a witness to cosign a checkpoint whose tree does not extend the honest one.
func (d *quorate) refusesFork(t *testing.T, w *peers.StenoWitness, key *checkpoint.Verifier, forged trust.Checkpoint) {
	t.Helper()
	c := d.client(w, key)
	has := d.latest(t, c)
	r := must(tiles.NewReader(tiles.FromFetch(d.fetch), forged.Size, forged.Root))
	asked := uint64(0)
	lines, err := c.AddCheckpoint(t.Context(), forged.Size, forged.Note, func(ctx context.Context, from uint64) ([][32]byte, error) {
		asked = from
		_, proof, err := r.Consistency(ctx, from)
		return proof, err
	})
	if err == nil || len(lines) > 0 {
		t.Fatalf("ONE-HISTORY: %s cosigns a second history:\n%s", key.Name(), lines)
	}
	if asked != has {
		t.Errorf("%s was asked from size %d, and has cosigned %d", key.Name(), asked, has)
	}
	w.Stop()
	t.Logf("%s: %v", key.Name(), err)
	said := w.Command(t, "evidence")
	out := filepath.Join(w.Dir, "forks")
	w.Command(t, "evidence", "--out", out)
	files := must(filepath.Glob(filepath.Join(out, "*.fork")))
	if len(files) == 0 {
		t.Fatalf("%s has no evidence:\n%s", key.Name(), said)
	}
	for _, file := range files {
		f, err := trust.ParseFork(must(os.ReadFile(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Verify(must(note.NewVerifier(d.trust.Log))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	w.Start(t)
	if size := d.latest(t, c); size != has {
		t.Errorf("%s shows size %d after a restart, and has cosigned %d", key.Name(), size, has)
	}
}

func (d *quorate) client(w *peers.StenoWitness, key *checkpoint.Verifier) *witness.Client {
	return must(witness.NewClient(witness.ClientConfig{Name: key.Name(), URL: w.URL, Verifiers: []*checkpoint.Verifier{key},
		Log: d.trust.LogVerifiers(), Origin: origin, HTTP: http.DefaultClient, Now: time.Now}))
}

// latest is the size of the latest checkpoint that a witness cosigned.
func (d *quorate) latest(t *testing.T, c *witness.Client) uint64 {
	t.Helper()
	b, err := c.Latest(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := d.trust.OpenCheckpoint(b)
	if err != nil {
		t.Fatal(err)
	}
	return cp.Size
}

// seen is the largest size that any of the witnesses cosigned; 0 if one of them stands at a power of two.
func (d *quorate) seen(t *testing.T) (size uint64) {
	t.Helper()
	for i, w := range d.witnesses {
		has := d.latest(t, d.client(w, d.trust.Witnesses()[i].Verifier))
		if has&(has-1) == 0 {
			return 0
		}
		size = max(size, has)
	}
	return size
}
