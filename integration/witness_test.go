//go:build linux

package integration_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/integration/peers"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/trust"
)

// A witnessed is a deployment whose log needs two of three witnesses: torchwood's, transparency-dev's and ours.
type witnessed struct {
	*deployment
	lite, omni *peers.Witness
	steno      *peers.StenoWitness
	theirs     torchwood.Policy
}

// deployWitnessed creates a log, tells the witnesses its key, and pins them in a second version of its trust file.
func deployWitnessed(t *testing.T) *witnessed {
	t.Helper()
	d := &witnessed{deployment: deploy(t, nil)}
	d.lite = peers.StartLitewitness(t, "lite.example.com", d.trust.Log)
	d.omni = peers.StartOmniwitness(t, "omni.example.com", d.trust.Log)
	d.steno = peers.StartSteno(t, peers.BuildSteno(t), "steno.example.com", []string{"ed25519"}, d.trust.Log)
	policy := fmt.Sprintf("log %s\n", d.trust.Log)
	for name, w := range map[string]*peers.Witness{"lite": d.lite, "omni": d.omni, "steno": &d.steno.Witness} {
		policy += fmt.Sprintf("witness %s %s %s\n", name, w.VKeys[0], w.URL) // their Ed25519 keys: torchwood reads no others
	}
	policy += "group two 2 lite omni steno\nquorum two\n"
	d.theirs = must(torchwood.ParsePolicy([]byte(policy)))
	d.pin(policy, func(c *trust.Config) {
		for _, name := range []string{"lite", "omni", "steno"} {
			c.Operators = append(c.Operators, trust.Operator{Name: name + ".example.com", Witnesses: []string{name}})
		}
	})
	return d
}

// pin makes the next version of the trust file.
func (d *deployment) pin(policy string, change func(*trust.Config)) {
	next := d.trust.Config
	next.Version, next.Previous, next.Policy = d.trust.Version+1, d.trust.Digest(), []byte(policy)
	change(&next)
	d.trust = must(trust.Make(next))
	d.write("trust", d.trust.Marshal())
}

// cosigners are the witnesses of the policy that cosigned what is published and covers an index. Whatever is published meets the
// policy, by torchwood's judgement and ours.
func (d *witnessed) cosigners(index uint64) (names []string, cp trust.Checkpoint) {
	d.t.Helper()
	cp = d.checkpoint(index)
	if !cp.Witnessed {
		d.t.Fatalf("published without a quorum: %s\n%s", cp.Missing, cp.Note)
	}
	theirs, n, err := torchwood.VerifyCheckpoint(cp.Note, d.theirs)
	if err != nil {
		d.t.Fatalf("torchwood: %v\n%s", err, cp.Note)
	}
	if uint64(theirs.N) != cp.Size || theirs.Hash != tlog.Hash(cp.Root) || len(n.Sigs) != 1+len(cp.Cosigned) {
		d.t.Fatalf("torchwood reads size %d and %d signatures, we %d and 1 + %d", theirs.N, len(n.Sigs), cp.Size, len(cp.Cosigned))
	}
	for _, c := range cp.Cosigned {
		names = append(names, c.Witness)
	}
	slices.Sort(names)
	return names, cp
}

// TestWitnesses_othersAndOurs has a log cosigned by three witnesses of which it needs two: all three while they run, and ours with
// each of the others.
func TestWitnesses_othersAndOurs(t *testing.T) {
	d := deployWitnessed(t)
	p := d.start()
	l := newLedger()
	write := func() (last uint64) {
		w := d.writing(l, 1, 1)
		l.during(t, 40)
		w.finish()
		for _, a := range l.acked {
			last = max(last, a.receipt.Index)
		}
		return last
	}
	last := write()
	eventually(t, "all three cosign", func() bool {
		names, _ := d.cosigners(last)
		return slices.Equal(names, []string{"lite", "omni", "steno"})
	})
	_, cp := d.cosigners(last)
	d.judges(cp)
	d.proofs(cp)
	d.holds(l)
	d.lite.Stop()
	for range 3 {
		if names, _ := d.cosigners(write()); !slices.Equal(names, []string{"omni", "steno"}) {
			t.Fatalf("with litewitness stopped, %s cosigned", strings.Join(names, ", "))
		}
	}
	p.stop(t)
}

// judges takes cosignatures away: of no fewer than two is a quorum, for torchwood and for us.
func (d *witnessed) judges(cp trust.Checkpoint) {
	d.t.Helper()
	text, sigs, _ := strings.Cut(string(cp.Note), "\n\n")
	lines := strings.SplitAfter(strings.TrimSuffix(sigs, "\n"), "\n")
	for without := range 1 << len(lines) {
		b, witnesses, log := text+"\n\n", 0, false
		for i, line := range lines {
			switch {
			case without>>i&1 == 1:
				continue
			case strings.HasPrefix(line, "— "+origin+" "):
				log = true
			default:
				witnesses++
			}
			b += strings.TrimSuffix(line, "\n") + "\n"
		}
		_, _, theirs := torchwood.VerifyCheckpoint([]byte(b), d.theirs)
		ours, err := d.trust.OpenCheckpoint([]byte(b))
		if want := log && witnesses >= 2; (theirs == nil) != want || (err == nil && ours.Witnessed) != want {
			d.t.Errorf("log %v, %d witnesses: torchwood says %v, we %v %q", log, witnesses, theirs, err, ours.Missing)
		}
	}
}

// proofs verifies what recorders and auditors get as proof with torchwood's reader and the witnesses' policy: a proof's checkpoint
// has the quorum too.
func (d *witnessed) proofs(cp trust.Checkpoint) {
	d.t.Helper()
	for i, e := range d.leaves(cp) {
		if i%7 != 0 {
			continue
		}
		a := d.get("ingest", fmt.Sprintf("/v1/entries/%d/proof", i), "recorder")
		if a.status != http.StatusOK {
			d.t.Fatalf("proof of %d: %d %s", i, a.status, a.body)
		}
		if err := torchwood.VerifyProof(d.theirs, tlog.RecordHash(leafOf(e)), a.body); err != nil {
			d.t.Errorf("proof of %d: %v\n%s", i, err, a.body)
		}
	}
}

// TestWitnesses_postQuantum has a log that signs with ML-DSA-44 too, under a trust file that requires such signatures, of the log and
// of a quorum. What is published verifies with transparency-dev's code, key by key.
func TestWitnesses_postQuantum(t *testing.T) {
	d := deploy(t, nil)
	logPQ := must(checkpoint.NewSigner(strings.TrimSpace(string(must(os.ReadFile(d.path("log-ml-dsa.key"))))))).Verifier().String()
	omni := peers.StartOmniwitness(t, "omni.example.com", d.trust.Log)
	steno := peers.StartSteno(t, peers.BuildSteno(t), "steno.example.com", []string{"ed25519", "ml-dsa-44"}, d.trust.Log, logPQ)
	policy := fmt.Sprintf("log %s\nlog %s\n", d.trust.Log, logPQ)
	vkeys := []string{d.trust.Log, logPQ}
	for name, w := range map[string]*peers.Witness{"omni": omni, "steno": &steno.Witness} {
		policy += fmt.Sprintf("witness %[1]s %[2]s %[4]s\nwitness %[1]s-pq %[3]s %[4]s\ngroup %[1]s-any any %[1]s %[1]s-pq\n", name, w.VKeys[0], w.VKeys[1], w.URL)
		vkeys = append(vkeys, w.VKeys...)
	}
	d.pin(policy+"group both all omni-any steno-any\nquorum both\n", func(c *trust.Config) {
		for _, name := range []string{"omni", "steno"} {
			c.Operators = append(c.Operators, trust.Operator{Name: name + ".example.com", Witnesses: []string{name, name + "-pq"}})
		}
		c.Require = []trust.Requirement{{Algorithm: "ml-dsa-44", From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	})
	d.config.Keys.LogMLDSA = daemon.Files{d.path("log-ml-dsa.key")}
	d.writeConfig()
	p := d.start()
	l := newLedger()
	w := d.writing(l, 1, 1)
	l.during(t, 40)
	w.finish()
	cp := d.checkpoint(l.acked[0].receipt.Index)
	if !cp.Witnessed || len(cp.Cosigned) != 4 {
		t.Errorf("%d cosignatures: %s\n%s", len(cp.Cosigned), cp.Missing, cp.Note)
	}
	for i, vkey := range vkeys {
		v := must(f_note.NewVerifierForCosignatureV1(vkey))
		if i == 0 {
			v = must(note.NewVerifier(vkey))
		}
		if _, err := note.Open(cp.Note, note.VerifierList(v)); err != nil {
			t.Errorf("by %s+%08x: %v\n%s", v.Name(), v.KeyHash(), err, cp.Note)
		}
	}
	d.holds(l)
	p.stop(t)
}
