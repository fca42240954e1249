package client_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/payload"
)

// A stenod is the real server on real disks, which can be stopped and started again on the same addresses.
type stenod struct {
	t      *testing.T
	cfg    daemon.Config
	addrs  daemon.Addrs
	cancel context.CancelFunc
	done   chan error

	recorder, auditor string                                         // tokens
	free              func(string) (bytes, inodes uint64, err error) // nil: what the disk has
}

func newStenod(t *testing.T, w *world, witnesses ...daemon.Witness) *stenod {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := func(role access.Role) (string, []string) {
		s := must(access.NewToken(rand.Reader, role))
		d := access.TokenDigest(s)
		return s, []string{hex.EncodeToString(d[:])}
	}
	d := &stenod{t: t}
	var recorderDigest, auditorDigest []string
	d.recorder, recorderDigest = token(access.Recorder)
	d.auditor, auditorDigest = token(access.Auditor)
	cfg := daemon.Default()
	cfg.Origin, cfg.Dir, cfg.Guard = origin, filepath.Join(dir, "log"), filepath.Join(dir, "guard", "guard.db")
	cfg.Trust = file("trust", w.Trust)
	keys := fmt.Sprintf("{log: %q, received: %q, system: %q}", file("log.key", []byte(w.Log)), file("received.key", []byte(w.Received)), file("system.key", []byte(w.System)))
	if err := yaml.Unmarshal([]byte(keys), &cfg.Keys); err != nil {
		t.Fatal(err)
	}
	cfg.Principals = []daemon.Principal{
		{Name: "bot", Roles: []string{"recorder"}, TokenSHA256: recorderDigest},
		{Name: "auditor", Roles: []string{"auditor"}, TokenSHA256: auditorDigest},
	}
	cfg.Listen.Ingest.Address, cfg.Listen.Audit.Address = freePort(t), freePort(t)
	cfg.Disk.FloorBytes = 1 << 20
	cfg.Witnesses = witnesses
	cfg.Log.CheckpointInterval = daemon.Duration(50 * time.Millisecond)
	if err := os.MkdirAll(filepath.Dir(cfg.Guard), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	d.cfg = cfg
	d.start()
	t.Cleanup(func() { d.stop() })
	return d
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *stenod) start() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan daemon.Addrs, 1)
	d.cancel, d.done = cancel, make(chan error, 1)
	go func() {
		d.done <- daemon.Run(ctx, d.cfg, daemon.Options{Free: d.free, Ready: func(a daemon.Addrs) { ready <- a }})
	}()
	select {
	case d.addrs = <-ready:
	case err := <-d.done:
		d.t.Fatalf("starting the server: %v", err)
	}
}

func (d *stenod) stop() {
	if d.cancel == nil {
		return
	}
	d.cancel()
	d.cancel = nil
	if err := <-d.done; err != nil {
		d.t.Errorf("stopping the server: %v", err)
	}
}

func TestTheRealServer(t *testing.T) {
	w := newWorld()
	d := newStenod(t, w)
	cfg := w.config("http://"+d.addrs.Ingest, t.TempDir())
	cfg.Token = d.recorder
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	ctx := within(t, 60*time.Second)
	main := open(t, rec)
	side, err := rec.Join(ctx, client.SessionRef{Session: main.Session()}, joining("tools"))
	if err != nil {
		t.Log("joining by the session's id alone:", err)
		if side, err = rec.Join(ctx, main.Ref(), joining("tools")); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 10 {
				track := []*client.Track{main, side}[c%2]
				if _, err := track.Record(ctx, remark(fmt.Sprintf("%d-%d", c, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := main.Heartbeat(ctx); err != nil {
		t.Fatal(err)
	}
	d.stop()
	if _, err := main.Record(within(t, 50*time.Millisecond), remark("intent-while-away")); !errors.Is(err, client.ErrPending) {
		t.Fatalf("FAIL-CLOSED: the server is away: %v", err)
	}
	if _, err := main.Spool(remark("result-while-away")); err != nil {
		t.Fatal(err)
	}
	d.start()
	if _, err := main.Record(ctx, remark("back")); err != nil {
		t.Fatal(err)
	}
	if err := side.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if err := main.CloseSession(ctx, client.Closing{Outcome: "completed"}); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := client.ReadSpool(cfg.Dir)
	if err != nil || len(left) != 0 {
		t.Fatalf("the spool keeps %+v: %v", left, err)
	}
	readBack(ctx, t, d, w, main.Session())
}

func readBack(ctx context.Context, t *testing.T, d *stenod, w *world, session string) {
	t.Helper()
	r, err := client.NewReader(client.ReaderConfig{URL: "http://" + d.addrs.Audit, Token: d.auditor, Trust: w.trust(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var found bool
	eventually(t, "the index has the session", func() bool {
		page, err := r.Sessions(ctx, client.Query{Agent: "bot", From: time.Now().Add(-time.Hour)})
		found = err == nil && len(page.Sessions) == 1 && page.Sessions[0].Session == session && page.Sessions[0].Closed != nil
		return found
	})
	rec, err := r.Read(ctx, session)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Tracks) != 2 || len(rec.Incomplete) != 0 || len(rec.Mentions) == 0 || !rec.Tracks[0].Closed {
		t.Fatalf("%d tracks, %d mentions, incomplete %v", len(rec.Tracks), len(rec.Mentions), rec.Incomplete)
	}
	o, err := r.Unlock(ctx, rec, must(age.ParseX25519Identity(w.Vault)))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, x := range rec.Recorded() {
		p, err := r.Proof(ctx, x.Index, x.Leaf)
		if err != nil || p.Index != x.Index {
			t.Fatalf("leaf %d: %v", x.Index, err)
		}
		for _, b := range x.Entry.Blobs {
			opened, err := o.Open(ctx, x.Entry, b.Event, b.Slot)
			if err != nil {
				t.Fatal(err)
			}
			text, err := opened.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if opened.Media == payload.Text && b.Slot == "content" {
				ids = append(ids, string(text[len(clear)+1:]))
			}
		}
	}
	for _, want := range []string{"0-0", "7-9", "intent-while-away", "result-while-away", "back"} {
		if !slices.Contains(ids, want) {
			t.Errorf("%s is not in the record", want)
		}
	}
	if len(ids) != 83 {
		t.Errorf("%d events in the record, 83 were recorded", len(ids))
	}
	blobs := make(map[entry.Hash]bool)
	if err := r.Blobs(ctx, rec, func(h entry.Hash, _ []byte) error { blobs[h] = true; return nil }); err != nil || len(blobs) < 83 {
		t.Errorf("%d blobs: %v", len(blobs), err)
	}
}
