package posix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/storage"
)

func newTree(t *testing.T) (dir string, tree *Tree) {
	t.Helper()
	dir = t.TempDir()
	if err := CreateTree(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir, openTree(t, dir)
}

func openTree(t *testing.T, dir string) *Tree {
	t.Helper()
	tree, err := OpenTree(t.Context(), TreeConfig{Dir: dir, CheckpointInterval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTree(t, tree) })
	return tree
}

func closeTree(t *testing.T, tree *Tree) {
	t.Helper()
	if err := tree.Close(context.Background()); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func appendText(t *testing.T, tree *Tree, texts ...string) {
	t.Helper()
	leaves := make([][]byte, len(texts))
	for i, s := range texts {
		leaves[i] = []byte(s)
	}
	if _, err := tree.Append(t.Context(), leaves); err != nil {
		t.Fatal(err)
	}
}

// Tessera takes a log whose state is lost for an empty one, and overwrites it.
func TestTree_ONE_HISTORY_missingState(t *testing.T) {
	dir, tree := newTree(t)
	appendText(t, tree, "a", "b")
	closeTree(t, tree)
	state := filepath.Join(dir, treeStatePath)
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	_, err := OpenTree(t.Context(), TreeConfig{Dir: dir})
	var missing *MissingStateError
	if !errors.As(err, &missing) || !errors.Is(err, storage.ErrNotFound) || filepath.Base(missing.Path) != "treeState" {
		t.Fatalf("opening: %v, want a MissingStateError", err)
	}
	if !strings.Contains(err.Error(), "log init") {
		t.Errorf("%q does not name the way out", err)
	}
	if err := CreateTree(t.Context(), dir); !errors.Is(err, storage.ErrExists) {
		t.Errorf("creating over what is left of a tree: %v, want ErrExists", err)
	}
	for _, content := range []string{"", "{}", `{"size":3}`, `{"size":-1,"root":""}`, "garbage"} {
		if err := os.WriteFile(state, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if tree, err := OpenTree(t.Context(), TreeConfig{Dir: dir}); err == nil {
			closeTree(t, tree)
			t.Errorf("opened with the state %q", content)
		}
	}
}

func TestCreateTree_resumes(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ownDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := createInternalKey(dir); err != nil { // as far as an earlier one came
		t.Fatal(err)
	}
	if err := CreateTree(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	appendText(t, openTree(t, dir), "a")
}

// A directory is one, by whatever path.
func TestOpenTree_oneByAnyPath(t *testing.T) {
	dir, tree := newTree(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, link, dir + "/./", filepath.Join(dir, "..", filepath.Base(dir))} {
		if _, err := OpenTree(t.Context(), TreeConfig{Dir: path}); !errors.Is(err, storage.ErrLocked) {
			t.Errorf("opening %s: %v, want ErrLocked", path, err)
		}
	}
	closeTree(t, tree)
	appendText(t, openTree(t, link), "a")
}

func TestTree_sweep(t *testing.T) {
	dir, tree := newTree(t)
	for i := range 3 {
		appendText(t, tree, fmt.Sprint(i))
	}
	closeTree(t, tree)
	before := listAll(t, dir)
	stray := []string{".state/treeState1", ".state/gcState2147483647", "checkpoint77", "tile/entries/000.p/312345",
		"tile/0/000.p/256", "tile/0/0001234", "tile/entries/000123456789", ".state/.treeState.durable-tmp-1"}
	kept := []string{"checkpoint.bak", "tile/0/000.p/255", ".state/other1", "tile/0/000.txt", "tile/README1"}
	for _, name := range append(stray, kept...) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree = openTree(t, dir)
	if tree.Swept() != len(stray) {
		t.Errorf("swept %d files, want %d", tree.Swept(), len(stray))
	}
	after := listAll(t, dir)
	for _, name := range append(before, kept...) {
		if !strings.Contains(strings.Join(after, "\n")+"\n", name+"\n") {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range stray {
		if strings.Contains(strings.Join(after, "\n")+"\n", name+"\n") {
			t.Errorf("%s is still there", name)
		}
	}
}

func listAll(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// reaches must agree with what a walk over all depths would say.
func TestReaches(t *testing.T) {
	for _, tt := range []struct {
		p, first, last uint64
		want           bool
	}{
		{1, 0, 999, false}, {1, 0, 1000, true}, {1, 1999, 5000, true}, {1, 2000, 5000, false}, {2, 2000, 5000, true},
		{1, 2000, 1_000_000, true}, {1, 1_067_089, 1_067_089, true}, {67, 67_089, 67_100, true}, {68, 67_089, 67_100, false},
		{4, 4_000_000, 4_000_100, true}, {5, 4_000_000, 4_000_100, false}, {18446744, 0, 1<<64 - 1, true}, {9, 1 << 63, 1<<64 - 1, true}, {999, 1 << 63, 1<<64 - 1, false},
	} {
		if got := reaches(tt.p, tt.first, tt.last); got != tt.want {
			t.Errorf("directories of %d reach %d to %d: %v, want %v", tt.p, tt.first, tt.last, got, tt.want)
		}
	}
}

// A driver that fails gives Append an answer, and a failure that is not known to be harmless is the last word.
func TestTree_driverFailure(t *testing.T) {
	dir, tree := newTree(t)
	appendText(t, tree, "a")
	// In the way of the directory that the next bundle goes to.
	full := filepath.Join(dir, "tile", "entries", "001.p")
	if err := os.WriteFile(full, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Append(t.Context(), make([][]byte, 300)); err == nil {
		t.Fatal("leaves were appended to a tree that can't be written")
	}
	if _, err := tree.Append(t.Context(), [][]byte{{}}); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("append after a failure: %v, want ErrReadOnly", err)
	}
	if _, err := tree.Settle(t.Context()); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("settle after a failure: %v, want ErrReadOnly", err)
	}
	// A flush that did not get as far as the obstacle may have gone through.
	left, _, err := tree.Head(t.Context())
	if err != nil || left < 1 || left > 256 {
		t.Errorf("head: %d, %v", left, err)
	}
	closeTree(t, tree)
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	tree = openTree(t, dir)
	appendText(t, tree, make([]string, 300)...)
	if size, _, err := tree.Head(t.Context()); err != nil || size != left+300 {
		t.Errorf("head: %d, %v", size, err)
	}
}

// What a full disk refuses can be tried again; what an fsync refused can't.
func TestTree_passingFailures(t *testing.T) {
	for text, terminal := range map[string]bool{
		"short write: no space left on device":                                          false,
		"open x: too many open files":                                                   false,
		"failed to write new tree state: failed to sync \"d\": no space left on device": true,
		"write x: input/output error":                                                   true,
		"something new":                                                                 true,
	} {
		_, tree := newTree(t)
		tree.fail(errors.New(text))
		if err := tree.usable(); errors.Is(err, storage.ErrReadOnly) != terminal {
			t.Errorf("after %q: %v", text, err)
		}
		if !terminal {
			if _, err := tree.Settle(t.Context()); err != nil {
				t.Errorf("settling after %q: %v", text, err)
			}
			appendText(t, tree, "again")
		}
	}
}

// With a driver that does not answer, nobody who waits hangs for ever, and the log stays held.
func TestTree_closeGivesWayOut(t *testing.T) {
	dir, tree := newTree(t)
	if err := tree.inFlight.enter(t.Context()); err != nil { // a leaf that the driver does not answer for
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v, want context.Canceled", err)
	}
	select {
	case <-tree.abandoned:
	default:
		t.Error("those who wait have no way out")
	}
	if _, err := tree.Append(t.Context(), [][]byte{{}}); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if _, err := OpenTree(t.Context(), TreeConfig{Dir: dir}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("opening: %v, want ErrLocked", err)
	}
	tree.inFlight.leave()
	closeTree(t, tree)
	openTree(t, dir)
}

func TestCutBundle(t *testing.T) {
	full := []byte("\x00\x01a\x00\x00\x00\x02bc")
	for width, want := range map[int]string{0: "", 1: "\x00\x01a", 2: "\x00\x01a\x00\x00", 3: string(full)} {
		if got, err := cutBundle(full, width); err != nil || string(got) != want {
			t.Errorf("width %d: %q, %v", width, got, err)
		}
	}
	for _, bad := range [][]byte{full, full[:8], full[:6], {0}} {
		if got, err := cutBundle(bad, 4); err == nil {
			t.Errorf("cut 4 leaves %q out of %q", got, bad)
		}
	}
	if _, err := cutTile(make([]byte, 95), 3); err == nil {
		t.Error("cut 3 hashes out of 95 bytes")
	}
}

func TestLease_namesHolder(t *testing.T) {
	dir := t.TempDir()
	a := NewLease(dir)
	if _, err := a.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := NewLease(dir).Acquire(t.Context())
	if want := fmt.Sprintf("pid %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not name %s", err, want)
	}
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "1\n", epochMagic + "\n", epochMagic + "\n01\n", epochMagic + "\n1", epochMagic + "\n-1\n"} {
		if err := os.WriteFile(filepath.Join(dir, epochFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if epoch, err := a.Acquire(t.Context()); err == nil {
			t.Errorf("epoch %d from %q", epoch, bad)
		}
	}
}

func TestFree(t *testing.T) {
	bytes, inodes, err := Free(t.TempDir())
	if err != nil || bytes == 0 || inodes == 0 {
		t.Errorf("free: %d bytes, %d inodes, %v", bytes, inodes, err)
	}
	if _, _, err := Free(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("free space of nothing")
	}
}
