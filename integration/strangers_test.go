//go:build linux

package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// TestStrangers has other people's programs read the log. They know tlog-tiles, signed notes and verifier keys, and nothing
// of steno.
func TestStrangers(t *testing.T) {
	d := deploy(t, nil)
	p := d.start()
	l := newLedger()
	w := d.writing(l, 3, 3)
	l.during(t, 400)
	w.finish()
	d.holds(l)
	last := uint64(0)
	for _, a := range l.acked {
		last = max(last, a.receipt.Index)
	}
	cp := d.checkpoint(last)
	if cp.Size < 300 {
		t.Fatalf("%d leaves: not enough for a full tile beside a partial one", cp.Size)
	}
	all := d.leaves(cp)
	t.Run("fsck", func(t *testing.T) { d.fsck(t, p) })
	t.Run("torchwood", func(t *testing.T) { d.torchwood(t, p, cp, all) })
	t.Run("tlog-proof", func(t *testing.T) { d.tlogProofs(t, all) })
	t.Run("note", func(t *testing.T) { d.notes(t, all) })
	p.stop(t)
}

// fsck runs Tessera's own checker over HTTP. It exits 0 whatever it finds, so its words count; and they must change when the
// log is not what it was.
func (d *deployment) fsck(t *testing.T, p *process) {
	bin := filepath.Join(t.TempDir(), "fsck")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/transparency-dev/tessera/cmd/fsck").CombinedOutput(); err != nil {
		t.Fatalf("building fsck: %v\n%s", err, out)
	}
	d.write("log.vkey", []byte(d.trust.Log+"\n"))
	run := func(url string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, _ := exec.CommandContext(ctx, bin, "-N", "10", "--ui=false", "--storage_url="+url, "--public_key="+d.path("log.vkey"),
			"--bearer_token="+d.tokens["auditor"]).CombinedOutput() // its exit says nothing
		return string(out)
	}
	const good = "Successfully fsck'd"
	if out := run("http://" + p.addrs["audit"] + "/"); !strings.Contains(out, good) {
		t.Errorf("fsck:\n%s", out)
	}
	flipped := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := d.fetch(r.Context(), strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/tile/entries/000") {
			b[len(b)/2] ^= 1
		}
		w.Write(b) //nolint:errcheck // the client's loss
	}))
	defer flipped.Close()
	if out := run(flipped.URL + "/"); strings.Contains(out, good) {
		t.Errorf("fsck of a log with a flipped bit:\n%s", out)
	}
}

// A bearer gives every request a token.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (d *deployment) policy() torchwood.Policy {
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(d.trust.LogVerifiers()[0]))
}

// torchwood reads every entry with torchwood's client, which authenticates all of it against the checkpoint.
func (d *deployment) torchwood(t *testing.T, p *process, cp trust.Checkpoint, all []*entry.Entry) {
	theirs, _, err := torchwood.VerifyCheckpoint(cp.Note, d.policy())
	if err != nil {
		t.Fatal(err)
	}
	fetcher := must(torchwood.NewTileFetcher("http://"+p.addrs["audit"]+"/",
		torchwood.WithHTTPClient(&http.Client{Transport: bearer(d.tokens["auditor"]), Timeout: requestTimeout})))
	client := must(torchwood.NewClient(fetcher, torchwood.WithTimeout(requestTimeout)))
	n := 0
	for i, leaf := range client.AllEntries(t.Context(), theirs.Tree, 0) {
		e, err := entry.Parse(leaf)
		if err != nil || int(i) != n || e.Hash() != all[i].Hash() {
			t.Fatalf("entry %d, the %dth: %v", i, n, err)
		}
		n++
	}
	if err := client.Err(); err != nil || n != len(all) {
		t.Fatalf("%d of %d entries: %v", n, len(all), err)
	}
	leaf, proof, err := client.Entry(t.Context(), theirs.Tree, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(proof, theirs.N, theirs.Hash, 7, tlog.RecordHash(leaf)); err != nil {
		t.Error(err)
	}
}

// tlogProofs verifies the proofs that recorders and auditors get with torchwood's reader of c2sp.org/tlog-proof.
func (d *deployment) tlogProofs(t *testing.T, all []*entry.Entry) {
	for i := 0; i < len(all); i += 17 {
		a := d.get("ingest", fmt.Sprintf("/v1/entries/%d/proof", i), "recorder")
		if a.status != http.StatusOK {
			t.Fatalf("proof of %d: %d %s", i, a.status, a.body)
		}
		if err := torchwood.VerifyProof(d.policy(), tlog.RecordHash(leafOf(all[i])), a.body); err != nil {
			t.Errorf("proof of %d: %v\n%s", i, err, a.body)
		}
		if err := torchwood.VerifyProof(d.policy(), tlog.RecordHash(leafOf(all[(i+1)%len(all)])), a.body); err == nil {
			t.Errorf("the proof of %d proves another leaf", i)
		}
	}
}

// leafOf puts a leaf together again: its text, an empty line, and both signature lines.
func leafOf(e *entry.Entry) []byte {
	return []byte(string(e.Text) + "\n" + string(e.Recorder.Line) + string(e.Received.Line))
}

// notes opens every leaf with x/mod's note and the vkeys of its recorder.
func (d *deployment) notes(t *testing.T, all []*entry.Entry) {
	recorders := make(map[string]string) // vkey by session and track
	opened := 0
	for i, e := range all {
		vkey := d.recorderOf(t, e, recorders)
		if vkey == "" {
			continue
		}
		n, err := note.Open(leafOf(e), note.VerifierList(must(note.NewVerifier(vkey))))
		if err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
		if len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 || n.Text != string(e.Text) {
			t.Errorf("leaf %d: %d signatures verified, %d not", i, len(n.Sigs), len(n.UnverifiedSigs))
		}
		opened++
	}
	if opened < len(all)-10 {
		t.Errorf("%d of %d leaves opened", opened, len(all))
	}
}

// recorderOf finds the key of a track where its first event says it.
func (d *deployment) recorderOf(t *testing.T, e *entry.Entry, known map[string]string) string {
	t.Helper()
	at := e.Session + "/" + e.Track
	switch e.Events[0].Type {
	case entry.TypeSystemOpen:
		known[at] = d.trust.System[0]
	case entry.TypeSessionOpen, entry.TypeTrackOpen:
		v, err := e.Events[0].Value()
		if err != nil {
			t.Fatal(err)
		}
		var r entry.Recorder
		switch v := v.(type) {
		case *entry.SessionOpen:
			r = v.Recorder
		case *entry.TrackOpen:
			r = v.Recorder
		default:
			t.Fatalf("an opening event is %T", v)
		}
		enrolment, err := entry.OpenEnrolment([]byte(r.Enrolment), d.trust.Anchors().Enrollers)
		if err != nil {
			t.Fatal(err)
		}
		known[at] = enrolment.RecorderKey
	}
	return known[at]
}
