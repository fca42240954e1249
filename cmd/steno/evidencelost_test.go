package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	et "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
)

// TestEvidence_aLogThatIsBusy: what the log can't send now is not taken for what it has no more.
func TestEvidence_aLogThatIsBusy(t *testing.T) {
	for status, fails := range map[int]bool{http.StatusServiceUnavailable: true, http.StatusTooManyRequests: true, http.StatusForbidden: true, http.StatusNotFound: false} {
		l, b, first, last := newStampedLog(t, 1, 1)
		s := l.at(t)
		notes := map[entry.Hash]bool{}
		for _, a := range l.anchors {
			notes[a.Checkpoint] = true
		}
		s.blob = func(ctx context.Context, index uint64, hash entry.Hash) ([]byte, error) {
			if notes[hash] {
				return l.blob(ctx, index, hash)
			}
			return nil, fmt.Errorf("reading: %w", &client.Problem{Problem: wire.Problem{Status: status}})
		}
		if err := l.stamp(t, s, b, bracket{first, last}); (err != nil) != fails {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestEvidence_whatCanNotBeRead: a payload that can't be read for reasons of this machine is not left out in silence.
func TestEvidence_whatCanNotBeRead(t *testing.T) {
	up := startUp(t, filepath.Join(t.TempDir(), "deployment"))
	session := recordOne(t, up.dir)
	x := &export{evidenceFlags: evidenceFlags{identity: filepath.Join(up.dir, vaultKey), sessions: []string{session}}, r: et.Must(newReader(up.dir))(t)}
	x.held = et.Must(newHolding(filepath.Join(t.TempDir(), "file")))(t)
	if err := x.gather(t.Context()); err != nil || len(x.held.disclosed) == 0 {
		t.Fatalf("%v, %d disclosures", err, len(x.held.disclosed))
	}
	sum := et.Must(x.r.ReadStream(t.Context(), session, x.r.waiting(false), func(client.Recorded) error { return nil }))(t)
	o := et.Must(unlock(t.Context(), x.r, sum, x.identity))(t)
	at := x.held.disclosed[0].Index
	o.Blob = func(context.Context, uint64, entry.Hash) ([]byte, error) { return nil, fs.ErrPermission }
	if err := x.open(t.Context(), o, at); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	o.Blob = func(context.Context, uint64, entry.Hash) ([]byte, error) { return nil, client.ErrErased }
	if err := x.open(t.Context(), o, at); err != nil || len(x.missealed) > 0 {
		t.Errorf("an erased payload: %v, %v", err, x.missealed)
	}
	for _, why := range []error{payload.ErrDecrypt, payload.ErrCommitment} {
		if !isMissealed(fmt.Errorf("opening: %w", why)) {
			t.Error(why)
		}
	}
}

// TestEvidence_aLogThatSendsNoBlobs: that the log has sent less than its entries name is said.
func TestEvidence_aLogThatSendsNoBlobs(t *testing.T) {
	up := startUp(t, filepath.Join(t.TempDir(), "deployment"))
	session := recordOne(t, up.dir)
	c := et.Must(readClientConfig(up.dir))(t)
	pass := httputil.NewSingleHostReverseProxy(et.Must(url.Parse(c.Audit))(t))
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/blobs") {
			fmt.Fprint(w, "steno/blobs/v1\n") // and no blob
			return
		}
		pass.ServeHTTP(w, r)
	}))
	defer between.Close()
	dir := filepath.Join(t.TempDir(), "reader")
	reader := &clientConfig{dir: dir, Ingest: c.Ingest, Audit: between.URL, Trust: filepath.Join(up.dir, trustFile), Recorder: c.Recorder,
		Auditor: auditorConfig{Token: filepath.Join(up.dir, auditorToken)}}
	if err := errors.Join(os.Mkdir(dir, 0o700), reader.write()); err != nil {
		t.Fatal(err)
	}
	x := &export{evidenceFlags: evidenceFlags{out: filepath.Join(t.TempDir(), "file"), identity: filepath.Join(up.dir, vaultKey)}, r: et.Must(newReader(dir))(t)}
	if err := x.read([]string{session}, x.custody.Made); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := x.run(t.Context(), &stdout, &stderr); err != nil || !strings.Contains(stderr.String(), "1 piece of sealed content not in the file") {
		t.Errorf("%v, %s%s", err, &stdout, &stderr)
	}
}
