package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stenolog/steno/storage"
)

// Every query that SessionQuery can ask walks an index in the order of the answer: no sorting, no scan.
func TestSessionQuery_walksIndex(t *testing.T) {
	x, err := OpenIndex(filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for set := range 1 << 6 {
		q := storage.SessionQuery{Limit: 10}
		for i, f := range []func(){
			func() { q.Agent = "a" }, func() { q.Privilege = "p" }, func() { q.State = "s" },
			func() { q.From, q.To = 1, 9 }, func() { q.Cursor = "5 s" }, func() { q.RefSystem, q.RefID = "r", "i" },
		} {
			if set&(1<<i) != 0 {
				f()
			}
		}
		query, args, err := sessionsSQL(q)
		if err != nil {
			t.Fatal(err)
		}
		plan := explain(t, x, query, args)
		if strings.Contains(plan, "TEMP B-TREE") || !strings.Contains(plan, "INDEX sessions_by") && !strings.Contains(plan, "SEARCH r ") {
			t.Errorf("query %+v is answered by\n%s", q, plan)
		}
		if set&^7 == 0 && set != 0 && !strings.Contains(plan, "SEARCH s USING INDEX "+sessionIndex(set)) {
			t.Errorf("query %+v is answered by\n%s", q, plan)
		}
	}
}

func explain(t *testing.T, x *Index, query string, args []any) string {
	t.Helper()
	rows, err := x.d.r.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	return strings.Join(plan, "\n")
}

// A file that was damaged, or is another's, is refused and left as it is.
func TestGuard_corruption(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "guard.db")
	g, err := CreateGuard(path)
	if err != nil {
		t.Fatal(err)
	}
	state := storage.GuardState{Origin: "log.example/needle", Size: 7, Note: []byte("the note\n")}
	if err := g.Create(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(sound, []byte("the note"))
	if at < 0 {
		t.Fatal("the note is not in the file")
	}
	flipped := bytes.Clone(sound)
	flipped[at] ^= 1
	for name, content := range map[string][]byte{
		"flipped": flipped, "cut": sound[:len(sound)/2], "garbage": bytes.Repeat([]byte("x"), 8192), "zeros": make([]byte, len(sound)),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := OpenGuard(path)
		if err == nil {
			_, err = g.Load(t.Context())
			if err == nil {
				t.Errorf("%s: loaded", name)
			}
			if swapErr := g.Swap(t.Context(), state, state); swapErr == nil {
				t.Errorf("%s: swapped", name)
			}
			g.Close()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || name != "flipped" && !bytes.Equal(now, content) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
	// Empty is what an interrupted CreateGuard leaves, or what a lost file becomes: never a state.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err = OpenGuard(path)
	if err == nil {
		_, err = g.Load(t.Context())
		g.Close()
	}
	if !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an empty file: %v, want ErrNotFound", err)
	}
}

func TestView_rebuild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%41", "heads.db")
	h, err := OpenHeads(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Apply(t.Context(), 3, []storage.Item{{Key: "k"}}, nil); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if _, err := OpenIndex(path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opening heads as an index: %v, want ErrCorrupt", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHeads(path); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("opening garbage: %v, want ErrCorrupt", err)
	}
	for range 2 {
		if err := RemoveView(path); err != nil {
			t.Fatal(err)
		}
	}
	if h, err = OpenHeads(path); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if size, err := h.Size(t.Context()); size != 0 || err != nil {
		t.Errorf("size is %d, %v", size, err)
	}
}

// The pragmas that durability and erasure rest on are in force on every connection.
func TestPragmas(t *testing.T) {
	k, err := CreateKeyring(filepath.Join(t.TempDir(), "keyring.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "secure_delete": "1", "busy_timeout": "5000"} {
		var got string
		if err := k.d.w.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
}
