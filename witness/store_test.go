package witness_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

// copyFile copies a file of a store that is closed.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, dirs [2]string, want error, words string) {
	t.Helper()
	s, err := witness.OpenStore(dirs[0], dirs[1])
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
		t.Errorf("refused with %q, want %v and %q", err, want, words)
	}
}

func TestCreateAndOpenAreTwoThings(t *testing.T) {
	dirs := newDirs(t)
	if err := witness.Create(dirs[0], dirs[1]); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created again: %v", err)
	}
	fresh := [2]string{t.TempDir(), t.TempDir()}
	refused(t, fresh, fs.ErrNotExist, "retire")
	for _, file := range []string{filepath.Join(dirs[0], "state.db"), filepath.Join(dirs[1], "published.db")} {
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
		refused(t, dirs, fs.ErrNotExist, file)
		if err := witness.Create(dirs[0], dirs[1]); !errors.Is(err, fs.ErrExist) {
			t.Errorf("created half: %v", err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, dirs, witness.ErrCorrupt, file)
		if err := os.Rename(file+".away", file); err != nil {
			t.Fatal(err)
		}
	}
	other := newDirs(t)
	refused(t, [2]string{dirs[0], other[1]}, nil, "two witnesses")
	copyFile(t, filepath.Join(dirs[1], "published.db"), filepath.Join(dirs[0], "published.db"))
	refused(t, [2]string{dirs[0], dirs[0]}, nil, "two directories")
	s, err := witness.OpenStore(dirs[0], dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	refused(t, dirs, witness.ErrLocked, ".lock")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// An old copy of state is refused, and so is one that lost a log or a file.
func TestONEHISTORY_restoredStateIsRefused(t *testing.T) {
	l, second := newTestLog(t, origin, checkpoint.Ed25519), newTestLog(t, "second.example/log", checkpoint.Ed25519)
	w := newWorld(t, nil)
	state, published := filepath.Join(w.dirs[0], "state.db"), filepath.Join(w.dirs[1], "published.db")
	copies := make(map[string][2]string)
	keep := func(name string) {
		w.stop()
		dir := t.TempDir()
		copies[name] = [2]string{filepath.Join(dir, "s"), filepath.Join(dir, "p")}
		copyFile(t, state, copies[name][0])
		copyFile(t, published, copies[name][1])
		w.start()
	}
	add := func(l *testLog) {
		if err := w.store.AddLog(t.Context(), l.vkeys); err != nil {
			t.Fatal(err)
		}
	}
	keep("empty")
	add(l)
	keep("known")
	tr := new(testTree).growTo(t, 0, "leaf")
	w.want(200, l.request(t, tr, 0))
	keep("size 0")
	w.want(200, l.request(t, tr.growTo(t, 5, "leaf"), 0))
	keep("size 5")
	fork := tr.fork().growTo(t, 9, "b")
	w.want(200, l.request(t, tr.growTo(t, 9, "leaf"), 5))
	keep("size 9")
	add(second)
	keep("second known")
	w.want(200, second.request(t, tr, 0))
	w.stop()
	// Another branch of size 9, by the copy of size 5: what a restored witness would do.
	copyFile(t, copies["size 5"][0], state)
	copyFile(t, copies["size 5"][1], published)
	w.start()
	w.want(200, l.request(t, fork, 5))
	keep("other 9")
	w.stop()

	for _, test := range []struct{ state, published, words string }{
		{"empty", "known", "does not know"}, {"known", "size 0", "never cosigned"}, {"size 0", "size 5", "size 5 was published"},
		{"size 5", "size 9", "size 9 was published"}, {"other 9", "size 9", "was published"}, {"size 9", "other 9", "root"},
		{"size 9", "second known", "second.example/log"}, {"known", "second known", "published"},
	} {
		copyFile(t, copies[test.state][0], state)
		copyFile(t, copies[test.published][1], published)
		t.Run(test.state+" under "+test.published, func(t *testing.T) { refused(t, w.dirs, witness.ErrBehind, test.words) })
	}
	oldPublished(t, w, copies, l, tr)
}

// oldPublished checks that published behind state is what a crash leaves, except for a log that it does not know.
func oldPublished(t *testing.T, w *world, copies map[string][2]string, l *testLog, tr *testTree) {
	state, published := filepath.Join(w.dirs[0], "state.db"), filepath.Join(w.dirs[1], "published.db")
	copyFile(t, copies["size 9"][0], state)
	copyFile(t, copies["empty"][1], published)
	refused(t, w.dirs, nil, "old copy")
	copyFile(t, copies["size 0"][1], published)
	w.start()
	w.want(409, l.request(t, tr, 0))
	w.stop()
	copyFile(t, copies["known"][0], state)
	copyFile(t, copies["empty"][1], published) // AddLog was interrupted
	w.start()
	w.want(200, l.request(t, tr, 0))
	w.stop()
	if err := os.WriteFile(published, flip(t, published, tr.root(t, tr.size)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, w.dirs, witness.ErrCorrupt, "checksum")
}

// flip changes one bit of a root in a file.
func flip(t *testing.T, file string, root [32]byte) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := root
	bad[7] ^= 1
	if !bytes.Contains(b, root[:]) {
		t.Fatal("no root in the file")
	}
	return bytes.ReplaceAll(b, root[:], bad[:])
}

// Where locks don't work, two processes on one database still give one size one root.
func TestONEHISTORY_twoStoresOnOneDatabase(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	a := newWorld(t, nil, l)
	s, err := witness.OpenUnlocked(a.dirs[0], a.dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	b := &world{t: t, dirs: a.dirs, signers: a.signers, clock: a.clock, store: s}
	b.run()
	t.Cleanup(b.stop)
	base := new(testTree)
	for round := range 20 {
		trees := []*testTree{base.fork().growTo(t, base.size+1, "a"), base.fork().growTo(t, base.size+1, "b")}
		requests := [][]byte{l.request(t, trees[0], base.size).Marshal(), l.request(t, trees[1], base.size).Marshal()}
		type result struct {
			got reply
			err error
		}
		results := []chan result{make(chan result, 1), make(chan result, 1)}
		for i, w := range []*world{a, b} {
			go func() {
				got, err := send("POST", w.server.URL+witness.PathAddCheckpoint, requests[i])
				results[i] <- result{got, err}
			}()
		}
		var won []int
		for i := range results {
			r := <-results[i]
			if r.err != nil {
				t.Fatal(r.err)
			}
			switch r.got.status {
			case 200:
				won = append(won, i)
			case 409:
			default:
				t.Errorf("round %d: status %d: %s", round, r.got.status, r.got.body)
			}
		}
		if len(won) != 1 {
			t.Fatalf("round %d: %d of 2 branches were cosigned", round, len(won))
		}
		base = trees[won[0]]
	}
}

// A commit that fails lets no signature out, whether the disk has it or not, and nothing is written after it.
func TestONEHISTORY_failedCommit(t *testing.T) {
	for name, at := range map[string]struct{ state, made bool }{
		"state, made": {true, true}, "state, not made": {true, false}, "published, made": {false, true}, "published, not made": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLog(t, origin, checkpoint.Ed25519)
			w := newWorld(t, nil, l)
			tr := new(testTree).growTo(t, 5, "leaf")
			w.want(200, l.request(t, tr, 0))
			before := w.latest(origin)
			w.store.FailCommit(at.state, at.made)
			a, b := tr.fork().growTo(t, 7, "a"), tr.fork().growTo(t, 7, "b")
			got := w.want(503, l.request(t, a, 5))
			if strings.Contains(got.body, "—") || strings.Contains(got.body, "I/O") {
				t.Errorf("answered %q", got.body)
			}
			w.want(503, l.request(t, a, 5))
			w.want(503, l.request(t, tr, 0)) // what is refused depends on what is not known
			if err := w.witness.Health().Store; !errors.Is(err, witness.ErrStopped) || w.store.Err() == nil {
				t.Errorf("health says %v", err)
			}
			if shown := w.latest(origin); shown.status != 200 || !at.made && shown.body != before.body {
				t.Errorf("shows %d %q", shown.status, shown.body)
			}
			w.restart()
			if at.state && !at.made {
				w.want(200, l.request(t, b, 5)) // nothing was promised
				return
			}
			w.want(409, l.request(t, b, 5))
			w.want(422, l.request(t, b, 7))
			w.want(200, l.request(t, a, 7))
		})
	}
}

func TestLogsAreOnlyAdded(t *testing.T) {
	l := newTestLog(t, origin, bothTypes...)
	w := newWorld(t, nil)
	ctx := t.Context()
	tr := new(testTree).growTo(t, 5, "leaf")
	w.want(404, l.request(t, tr, 0))
	old, rotated := &testLog{origin: origin, signers: l.signers[:1]}, &testLog{origin: origin, signers: l.signers[1:]}
	for range 2 { // while it runs, and again without effect
		if err := w.store.AddLog(ctx, l.vkeys[:1]); err != nil {
			t.Fatal(err)
		}
	}
	w.want(200, l.request(t, tr, 0))
	w.want(403, rotated.request(t, tr, 5))
	if err := w.store.AddLog(ctx, l.vkeys); err != nil {
		t.Fatal(err)
	}
	w.want(200, rotated.request(t, tr.growTo(t, 7, "leaf"), 5))
	w.want(200, old.request(t, tr, 7))
	if err := w.store.RetireKey(ctx, l.vkeys[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.store.RetireKey(ctx, newTestLog(t, origin, checkpoint.Ed25519).vkeys[0]); err == nil {
		t.Error("retired a key that is not known")
	}
	for range 2 {
		w.want(403, old.request(t, tr, 7))
		w.want(200, rotated.request(t, tr, 7))
		if err := w.store.AddLog(ctx, l.vkeys); !errors.Is(err, witness.ErrRetired) {
			t.Errorf("a retired key was added: %v", err)
		}
		w.restart()
	}
	logs, err := w.store.Logs(ctx)
	if err != nil || len(logs) != 1 || logs[0].Size != 7 || len(logs[0].Keys) != 2 || !logs[0].Keys[0].Retired || logs[0].Keys[1].Retired {
		t.Errorf("%+v, %v", logs, err)
	}
	cosigner := newSigner(t, checkpoint.CosignatureEd25519, origin).Verifier().String()
	for what, vkeys := range map[string][]string{"no key": nil, "junk": {"junk"}, "a witness's key": {cosigner},
		"keys of two logs": {newTestLog(t, "a.example/x", checkpoint.Ed25519).vkeys[0], newTestLog(t, "b.example/x", checkpoint.Ed25519).vkeys[0]}} {
		if err := w.store.AddLog(ctx, vkeys); err == nil {
			t.Errorf("%s was added", what)
		}
	}
}

// A log that state lost while published knows it is not begun anew.
func TestONEHISTORY_lostLogIsNotAddedAgain(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil)
	a, b := w.store, w
	if err := a.AddLog(t.Context(), l.vkeys); err != nil {
		t.Fatal(err)
	}
	b.want(200, l.request(t, new(testTree).growTo(t, 5, "leaf"), 0))
	if err := a.ForgetLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.AddLog(t.Context(), l.vkeys); !errors.Is(err, witness.ErrBehind) {
		t.Errorf("added: %v", err)
	}
	if got := b.add(l.request(t, new(testTree).growTo(t, 5, "b"), 0)); got.status == 200 {
		t.Error("cosigned")
	}
}

func TestReadLogs(t *testing.T) {
	l, m := newTestLog(t, origin, bothTypes...), newTestLog(t, "m.example/log", checkpoint.Ed25519)
	file := filepath.Join(t.TempDir(), "logs")
	read := func(content string) ([]witness.ListedLog, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return witness.ReadLogs(file)
	}
	logs, err := read("# comment\n\n \t# more\nlog " + l.vkeys[0] + "\n\tlog\t" + m.vkeys[0] + "  https://m.example/ \nlog " + l.vkeys[1] + " https://l.example/\n")
	if err != nil || len(logs) != 2 || logs[0].Origin != origin || !slices.Equal(logs[0].Vkeys, l.vkeys) || logs[0].URL != "https://l.example/" ||
		logs[1].Origin != "m.example/log" || logs[1].URL != "https://m.example/" {
		t.Errorf("%+v, %v", logs, err)
	}
	if logs, err := read(""); err != nil || len(logs) != 0 {
		t.Errorf("empty file: %+v, %v", logs, err)
	}
	for what, content := range map[string]string{
		"cut": "log " + l.vkeys[0], "return": "log " + l.vkeys[0] + "\r\n", "control character": "# \x01\n", "delete": "# \x7f\n",
		"witness line": "witness w " + m.vkeys[0] + "\n", "no key": "log\n", "four items": "log " + l.vkeys[0] + " a b\n",
		"junk": "log junk\n", "twice": strings.Repeat("log "+l.vkeys[0]+"\n", 2),
	} {
		if _, err := read(content); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if _, err := witness.ReadLogs(file + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}
