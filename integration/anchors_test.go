//go:build linux

package integration_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/integration/peers"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// A stamping is an authority of other people's, as the trust file pins it, and where the server asks it.
type stamping struct {
	peers.TimeAuthority
	name, url string
}

func (s stamping) pinned() timestamp.Authority {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	return timestamp.Authority{Name: s.name, Anchors: s.DER(), From: day.AddDate(0, 0, -1), Until: day.AddDate(1, 0, 0),
		Policies: []string{s.Policy}, Accuracy: 2 * time.Second}
}

// stampedBy pins authorities, of which all must bound a time, and has the server ask them.
func (d *deployment) stampedBy(all ...stamping) {
	d.t.Helper()
	d.pin(fmt.Sprintf("log %s\nquorum none\n", d.trust.Log), func(c *trust.Config) {
		for _, s := range all {
			c.Authorities = append(c.Authorities, s.pinned())
		}
		slices.SortFunc(c.Authorities, func(a, b timestamp.Authority) int { return strings.Compare(a.Name, b.Name) })
		c.Stamps = len(all)
	})
	for _, s := range all {
		d.config.Authorities = append(d.config.Authorities, daemon.Authority{Name: s.name, URL: s.url})
	}
	d.writeConfig()
}

func (d *deployment) timeOf(index uint64) (t wire.Time) {
	d.t.Helper()
	a := d.get("audit", fmt.Sprintf("/v1/entries/%d/time", index), "auditor")
	if err := json.Unmarshal(a.body, &t); err != nil || a.status != http.StatusOK {
		d.t.Fatalf("time of %d: %d %s", index, a.status, a.body)
	}
	return t
}

// anchored waits until all authorities bound an entry.
func (d *deployment) anchored(index uint64) wire.Time {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("entry %d is anchored", index), func() bool { return d.timeOf(index).Level == wire.Anchored })
	return d.timeOf(index)
}

// round has one made now.
func (d *deployment) round() (made wire.Anchors) {
	d.t.Helper()
	a, err := d.do(d.t.Context(), "POST", "ops", wire.PathAnchors, "operator", nil)
	if err == nil {
		err = json.Unmarshal(a.body, &made)
	}
	if err != nil || a.status != http.StatusOK {
		d.t.Fatalf("a round: %d %s, %v", a.status, a.body, err)
	}
	return made
}

func (d *deployment) publicBlob(p entry.PublicBlob, index int) []byte {
	d.t.Helper()
	a := d.get("audit", fmt.Sprintf("/v1/blobs/%s?entry=%d", base64.RawURLEncoding.EncodeToString(p.SHA256[:]), index), "auditor")
	if a.status != http.StatusOK || entry.HashOf(a.body) != p.SHA256 {
		d.t.Fatalf("public blob %s of leaf %d: %d", p.Kind, index, a.status)
	}
	return a.body
}

// anchors has openssl judge every token in the log over the note that the log keeps of it, and returns how many there are by
// authority.
func (d *deployment) anchors(all []stamping) map[string]int {
	d.t.Helper()
	found := map[string]int{}
	for i, e := range d.leaves(d.checkpoint(0)) {
		for _, ev := range e.Events {
			if ev.Type != entry.TypeAnchor {
				continue
			}
			var v entry.Anchor
			if err := ev.Decode(&v); err != nil {
				d.t.Fatal(err)
			}
			token := must(base64.StdEncoding.DecodeString(string(v.Token)))
			if v.TokenBlob != nil {
				token = d.publicBlob(*v.TokenBlob, i)
			}
			note := d.publicBlob(v.LongTerm[0], i)
			if cp, err := d.trust.OpenCheckpoint(note); err != nil || cp.Size != v.Size || v.LongTerm[0].SHA256 != v.Checkpoint {
				d.t.Errorf("leaf %d stamps no checkpoint: %v", i, err)
			}
			s := all[slices.IndexFunc(all, func(s stamping) bool { return s.name == string(v.Authority) })]
			got, err := timestamp.Verify(token, v.Checkpoint, s.pinned())
			if err != nil {
				d.t.Error(err)
			}
			opensslJudges(d.t, s, note, token, got.Time)
			found[s.name]++
		}
	}
	return found
}

func opensslJudges(t *testing.T, s stamping, note, token []byte, at time.Time) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"note": note, "token.tst": token, "anchor.pem": s.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(need.Program(t, "openssl"), "ts", "-verify", "-data", "note", "-in", "token.tst", "-token_in", "-CAfile", "anchor.pem",
		"-attime", fmt.Sprint(at.Unix()))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Verification: OK") {
		t.Errorf("openssl refuses a token of %s: %v\n%s", s.name, err, out)
	}
}

// TestAnchors_otherPeoplesAuthorities has a log stamped by sigstore's timestamp-server and by openssl: openssl accepts what the log
// stores and hands out.
func TestAnchors_otherPeoplesAuthorities(t *testing.T) {
	sigstore, openssl := peers.StartSigstoreAuthority(t), peers.StartOpenSSLAuthority(t)
	all := []stamping{{openssl, "openssl", openssl.URL}, {sigstore, "sigstore", sigstore.URL}}
	d := deploy(t, nil)
	d.stampedBy(all...)
	p := d.start()
	begun := time.Now()
	// The first round is due as soon as anything is recorded: it covers a session's first entry, and perhaps no other.
	first := d.receipts(wire.Integrated)[0]
	bracket := d.anchored(first.Index)
	if bracket.NotAfter.Time.Time().Before(begun) || bracket.NotBefore != nil {
		t.Errorf("the first session: %+v", bracket)
	}
	second := d.session(wire.Integrated)
	if got := d.timeOf(second.Index); got.NotBefore == nil || got.NotAfter != nil || got.NotBefore.AnchorIndex >= second.Index {
		t.Errorf("the second session: %+v", got)
	}
	made := d.round()
	if !made.New || len(made.Authorities) != 2 || !made.Authorities[0].Anchored || !made.Authorities[1].Anchored {
		t.Fatalf("a round: %+v", made)
	}
	bracket = d.anchored(second.Index)
	if !bracket.NotBefore.Time.Time().Before(bracket.NotAfter.Time.Time()) {
		t.Errorf("the second session: %+v", bracket)
	}
	d.checkpoint(max(*made.Authorities[0].AnchorIndex, *made.Authorities[1].AnchorIndex))
	if found := d.anchors(all); found["openssl"] != 2 || found["sigstore"] != 2 {
		t.Errorf("anchors: %v", found)
	}
	d.audited()
	p.stop(t)
}

// TestACKED_killedBetweenTokenAndEvent kills the server the moment a token has left its authority: the next one asks again, and
// nothing else is amiss.
func TestACKED_killedBetweenTokenAndEvent(t *testing.T) {
	openssl := peers.StartOpenSSLAuthority(t)
	var given atomic.Int64
	var kill atomic.Pointer[process]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		resp, err := http.Post(openssl.URL, r.Header.Get("Content-Type"), bytes.NewReader(query))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		io.Copy(w, resp.Body) //nolint:errcheck // the server may be gone
		given.Add(1)
		if p := kill.Swap(nil); p != nil {
			http.NewResponseController(w).Flush() //nolint:errcheck // likewise
			p.kill()
		}
	}))
	t.Cleanup(proxy.Close)
	all := []stamping{{openssl, "openssl", proxy.URL}}
	d := deploy(t, nil)
	d.stampedBy(all...)
	for i := range rounds(t, 5) {
		p := d.start()
		kill.Store(p)
		// The first round is due at once, and may kill it before this is answered; the others when somebody says so.
		recorded, err := d.do(t.Context(), "POST", "ingest", wire.PathRecords, "recorder",
			[]byte(`{"session":{"agent":"`+agent+`","privilege":"financial"},"close":{"outcome":"completed"}}`), "Content-Type: "+wire.JSONType)
		go d.do(t.Context(), "POST", "ops", wire.PathAnchors, "operator", nil) //nolint:errcheck // it is killed
		<-p.exited
		p = d.start()
		if i%2 == 0 { // else what was lost waits for the next round
			d.round()
			var answer wire.Answer
			if err == nil && json.Unmarshal(recorded.body, &answer) == nil && len(answer.Receipts) > 0 {
				d.anchored(answer.Receipts[0].Index)
			}
		}
		p.stop(t)
	}
	p := d.start()
	d.session(wire.Integrated)
	d.checkpoint(*d.round().Authorities[0].AnchorIndex)
	found := d.anchors(all)["openssl"]
	if found == 0 || int64(found) > given.Load() {
		t.Errorf("%d anchors of %d tokens", found, given.Load())
	}
	t.Logf("%d tokens were given, %d are in the log", given.Load(), found)
	d.audited()
	p.stop(t)
}
