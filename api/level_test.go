package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/storage/sqlite"
)

const origin = "log.example/test"

// A published is an API over a real log, whose quorum comes and goes. Of what is recorded nothing but the leaf is real.
type published struct {
	api.Recording
	log    *log.Log
	key    note.Verifier
	quorum atomic.Bool
	tokens map[access.Role]string
	ingest http.Handler
	audit  http.Handler
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newPublished(t *testing.T, witnessed bool) *published {
	t.Helper()
	p := &published{tokens: make(map[access.Role]string)}
	p.openLog(t)
	var grants []access.Grant
	for _, role := range access.Roles() {
		p.tokens[role] = must(access.NewToken(rand.Reader, role))
		grants = append(grants, access.Grant{Name: string(role), Roles: []access.Role{role}, TokenSHA256: [][32]byte{access.TokenDigest(p.tokens[role])}})
	}
	a := must(api.New(api.Config{Recording: p, Log: p.log, Witnessed: witnessed, Tokens: must(access.NewTokens(grants)),
		Limits: api.Limits{MaxWait: 300 * time.Millisecond}}))
	p.ingest, p.audit = a.Ingest(), a.Audit()
	return p
}

func (p *published) openLog(t *testing.T) {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	p.key = must(note.NewVerifier(vkey))
	signers, verifiers := []note.Signer{must(note.NewSigner(skey))}, []note.Verifier{p.key}
	if err := posix.CreateTree(ctx, filepath.Join(dir, "tree")); err != nil {
		t.Fatal(err)
	}
	tree := must(posix.OpenTree(ctx, posix.TreeConfig{Dir: filepath.Join(dir, "tree"), CheckpointInterval: 100 * time.Millisecond}))
	guard := must(sqlite.CreateGuard(filepath.Join(t.TempDir(), "guard.db")))
	archive := must(posix.OpenArchive(filepath.Join(dir, "archive")))
	if err := log.Create(ctx, log.CreateConfig{Origin: origin, Signers: signers, Verifiers: verifiers, Tree: tree, Guard: guard, Archive: archive}); err != nil {
		t.Fatal(err)
	}
	p.log = must(log.Open(ctx, log.Config{Origin: origin, Signers: signers, Verifiers: verifiers, Sequencer: tree, Tree: tree, Guard: guard,
		Archive: archive, Interval: 5 * time.Millisecond, Quorum: func([]byte) bool { return p.quorum.Load() }}))
	t.Cleanup(func() {
		for _, err := range []error{p.log.Close(ctx), archive.Close(), guard.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// Record puts the body into the log.
func (p *published) Record(ctx context.Context, _ recording.Who, req recording.Request) (recording.Result, error) {
	placed, err := p.log.Append(ctx, [][]byte{req.Body})
	if err != nil {
		return recording.Result{}, err
	}
	return recording.Result{Receipts: []recording.Receipt{{Seq: 1, Index: placed[0].Index}}}, nil
}

func (p *published) do(h http.Handler, role access.Role, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+p.tokens[role])
	if body != "" {
		r.Header.Set("Content-Type", wire.JSONType)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// record returns the receipt of a leaf.
func (p *published) record(t *testing.T, wait, leaf string) wire.Receipt {
	t.Helper()
	w := p.do(p.ingest, access.Recorder, http.MethodPost, wire.PathRecords+"?wait="+wait, leaf)
	var a wire.Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != http.StatusOK || err != nil || len(a.Receipts) != 1 {
		t.Fatalf("wait=%s: %d %s", wait, w.Code, w.Body)
	}
	return a.Receipts[0]
}

// covers checks that a note is a checkpoint of the log that covers an index.
func (p *published) covers(t *testing.T, b []byte, index uint64) {
	t.Helper()
	n, err := note.Open(b, note.VerifierList(p.key))
	if err != nil {
		t.Fatal(err)
	}
	if c := must(checkpoint.Parse(n.Text)); c.Size <= index {
		t.Errorf("a checkpoint of size %d for index %d", c.Size, index)
	}
}

// What a receipt claims is so, and a level that does not come in time is no error.
func TestLevels(t *testing.T) {
	for _, c := range []struct {
		witnessed, quorum bool
		wait              wire.Level
		want              wire.Level
	}{
		{true, true, wire.Witnessed, wire.Witnessed},
		{true, false, wire.Witnessed, wire.Integrated},
		{true, false, wire.Integrated, wire.Integrated},
		{false, true, wire.Witnessed, wire.Integrated},
		{false, true, wire.Integrated, wire.Integrated},
		{true, true, wire.Durable, wire.Durable},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			p := newPublished(t, c.witnessed)
			p.quorum.Store(c.quorum)
			for i := range 3 {
				rc := p.record(t, string(c.wait), fmt.Sprint("leaf ", i))
				if rc.Level != c.want {
					t.Fatalf("receipt of level %s, want %s", rc.Level, c.want)
				}
				if rc.Level == wire.Durable {
					if rc.Checkpoint != "" {
						t.Error("a durable receipt with a checkpoint")
					}
					continue
				}
				p.covers(t, []byte(rc.Checkpoint), rc.Index)
			}
		})
	}
}

// A log that has stopped signing answers with what is durable.
func TestLevels_noCheckpointInTime(t *testing.T) {
	p := newPublished(t, true)
	p.record(t, "integrated", "leaf 0")
	p.log.Stop(context.DeadlineExceeded)
	a := []wire.Receipt{{Index: 7, Level: wire.Durable}}
	for _, level := range []wire.Level{wire.Integrated, wire.Witnessed} {
		if api.Raise(p.log, true, a, level); a[0].Level != wire.Durable || a[0].Checkpoint != "" {
			t.Errorf("asked for %s: %+v", level, a[0])
		}
	}
}

// Where policy has no witnesses, nothing that is published is called witnessed.
func TestLevels_withoutWitnesses(t *testing.T) {
	p := newPublished(t, false)
	p.quorum.Store(true)
	rc := p.record(t, "integrated", "leaf 0")
	if _, err := p.log.WaitCovered(t.Context(), rc.Index); err != nil {
		t.Fatal(err)
	}
	for witnessed, want := range map[bool]wire.Level{false: wire.Integrated, true: wire.Witnessed} {
		a := []wire.Receipt{rc}
		if api.Raise(p.log, witnessed, a, wire.Integrated); a[0].Level != want {
			t.Errorf("witnesses %v: level %s", witnessed, a[0].Level)
		}
	}
}

func TestLevels_unknown(t *testing.T) {
	p := newPublished(t, true)
	for _, wait := range []string{"anchored", "Witnessed", "integrated&wait=durable"} {
		if w := p.do(p.ingest, access.Recorder, http.MethodPost, wire.PathRecords+"?wait="+wait, "leaf"); w.Code != http.StatusBadRequest {
			t.Errorf("wait=%s: %d", wait, w.Code)
		}
	}
	if p.log.Size() != 0 {
		t.Error("something was recorded")
	}
}

// What the log alone has signed is shown apart from what is published, and to those who may ask for proofs.
func TestSignedCheckpoint(t *testing.T) {
	p := newPublished(t, true)
	rc := p.record(t, "integrated", "leaf 0")
	for name, h := range map[string]http.Handler{"ingest": p.ingest, "audit": p.audit} {
		if w := p.do(h, access.Recorder, http.MethodGet, "/checkpoint", ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: what has no quorum is published: %d", name, w.Code)
		}
		for role, want := range map[access.Role]int{access.Recorder: 200, access.Auditor: 200, access.Operator: 403, "": 401} {
			w := p.do(h, role, http.MethodGet, wire.PathCheckpoint, "")
			if w.Code != want {
				t.Errorf("%s, role %q: %d, want %d", name, role, w.Code, want)
			}
			if want == 200 {
				p.covers(t, w.Body.Bytes(), rc.Index)
			}
		}
	}
	path := "/v1/entries/0/proof"
	for query, want := range map[string]int{"": 404, "?level=witnessed": 404, "?level=integrated": 200, "?level=durable": 400, "?level=": 400} {
		w := p.do(p.audit, access.Auditor, http.MethodGet, path+query, "")
		if w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
		if want == 200 {
			var tp proof.TLogProof
			if err := tp.Unmarshal(w.Body.Bytes()); err != nil {
				t.Fatal(err)
			}
			p.covers(t, tp.Checkpoint, 0)
		}
	}
	p.quorum.Store(true)
	if rc := p.record(t, "witnessed", "leaf 1"); rc.Level != wire.Witnessed {
		t.Fatalf("with the quorum: %+v", rc)
	}
	if w := p.do(p.audit, access.Auditor, http.MethodGet, path, ""); w.Code != http.StatusOK {
		t.Errorf("a proof with the quorum: %d", w.Code)
	}
}
