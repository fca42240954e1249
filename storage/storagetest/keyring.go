package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stenolog/steno/storage"
)

func wrap(session, track, key string) storage.Wrap {
	return storage.Wrap{
		Session: session, Track: track, Class: "content", Key: sha256.Sum256([]byte(key)),
		File: fmt.Appendf(nil, "age file of %s, which nobody is to find once it is destroyed", key),
	}
}

// TestKeyring is the suite of storage.Keyring.
func TestKeyring(t *testing.T, s Store[storage.Keyring]) {
	t.Run("put", func(t *testing.T) { keyringPut(t, s) })
	t.Run("destroy", func(t *testing.T) { keyringDestroy(t, s) })
	t.Run("concurrent", func(t *testing.T) { keyringConcurrent(t, s) })
	t.Run("kill", func(t *testing.T) { keyringKill(t, s) })
}

func putWraps(t *testing.T, k storage.Keyring, wraps ...storage.Wrap) {
	t.Helper()
	for _, w := range wraps {
		if err := k.Put(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
}

func checkWraps(t *testing.T, k storage.Keyring, session string, want ...storage.Wrap) {
	t.Helper()
	got, err := k.List(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("wraps of %s are %v, want %v", session, got, want)
	}
}

func keyringPut(t *testing.T, s Store[storage.Keyring]) {
	in := s.start(t)
	a, b, c := wrap("s1", "t1", "a"), wrap("s1", "t2", "b"), wrap("s1", "t2", "c")
	if bytes.Compare(b.Key[:], c.Key[:]) > 0 {
		b, c = c, b
	}
	elsewhere := wrap("s2", "t1", "a") // the same key in another session is another name
	checkWraps(t, in.v, "s1")
	putWraps(t, in.v, c, elsewhere, a, b, b)
	for _, change := range []func(*storage.Wrap){
		func(w *storage.Wrap) { w.File = []byte("other") },
		func(w *storage.Wrap) { w.Track = "t9" },
		func(w *storage.Wrap) { w.Class = "secret" },
	} {
		other := a
		change(&other)
		if err := in.v.Put(t.Context(), other); !errors.Is(err, storage.ErrExists) {
			t.Errorf("other content under a taken name: %v, want ErrExists", err)
		}
	}
	empty := wrap("s1", "t1", "empty")
	empty.File = nil
	if err := in.v.Put(t.Context(), empty); err == nil {
		t.Error("an empty wrap was taken")
	}
	for range 2 {
		checkWraps(t, in.v, "s1", a, b, c)
		checkWraps(t, in.v, "s2", elsewhere)
		in.reopen(t)
	}
}

func keyringDestroy(t *testing.T, s Store[storage.Keyring]) {
	in := s.start(t)
	gone, kept, late := wrap("s1", "t1", "gone"), wrap("s1", "t1", "kept"), wrap("s1", "t1", "late")
	gone.File = bytes.Repeat(append(gone.File, '\n'), 200) // more than a page
	putWraps(t, in.v, gone, kept)
	for range 2 {
		for _, w := range []storage.Wrap{gone, late} {
			if err := in.v.Destroy(t.Context(), "s1", w.Key); err != nil {
				t.Fatal(err)
			}
			if err := in.v.Put(t.Context(), w); !errors.Is(err, storage.ErrDestroyed) {
				t.Errorf("putting what was destroyed: %v, want ErrDestroyed", err)
			}
		}
		checkWraps(t, in.v, "s1", kept)
		mustNotHold(t, in.dir, "age file of gone")
		in.reopen(t)
	}
}

// mustNotHold looks for a text in every file below dir, for backends that have files there.
func mustNotHold(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(text)) {
			t.Errorf("%s still has what was destroyed", filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keyringConcurrent(t *testing.T, s Store[storage.Keyring]) {
	in := s.start(t)
	parallel(8, func(i int) {
		session := fmt.Sprint("s", i%4)
		for n := range 5 {
			w := wrap(session, "t", fmt.Sprint(i/4, n))
			if err := in.v.Put(t.Context(), w); err != nil {
				t.Error(err)
			}
			if n%2 == 1 {
				if err := in.v.Destroy(t.Context(), session, w.Key); err != nil {
					t.Error(err)
				}
			}
			if _, err := in.v.List(t.Context(), session); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 4 {
		got, err := in.v.List(t.Context(), fmt.Sprint("s", i))
		if err != nil || len(got) != 6 {
			t.Errorf("session %d has %d wraps, %v; want 6", i, len(got), err)
		}
	}
}

func keyringKill(t *testing.T, s Store[storage.Keyring]) {
	write := func(k storage.Keyring, round string, ack func(string)) error {
		for n := 0; ; n++ {
			w := wrap("s", "t", fmt.Sprintf("%s-%d", round, n))
			if err := k.Put(context.Background(), w); err != nil {
				return err
			}
			ack("put " + fmt.Sprintf("%s-%d", round, n))
			if n%3 == 0 {
				if err := k.Destroy(context.Background(), "s", w.Key); err != nil {
					return err
				}
				ack("destroyed " + fmt.Sprintf("%s-%d", round, n))
			}
		}
	}
	runKill(t, s, write, func(t *testing.T, k storage.Keyring, acks []string) {
		have := make(map[storage.Hash]bool)
		wraps, err := k.List(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wraps {
			have[w.Key] = true
		}
		destroyed := make(map[string]bool)
		for _, line := range acks {
			if name, ok := strings.CutPrefix(line, "destroyed "); ok {
				destroyed[name] = true
			}
		}
		for _, line := range acks {
			name, ok := strings.CutPrefix(line, "put ")
			if !ok {
				continue
			}
			w := wrap("s", "t", name)
			switch {
			case destroyed[name] && have[w.Key]:
				t.Errorf("key %s is back", name)
			case !destroyed[name] && !have[w.Key]:
				// Destroyed without an answer, or lost: only a tombstone tells.
				if err := k.Put(t.Context(), w); !errors.Is(err, storage.ErrDestroyed) {
					t.Errorf("key %s is lost", name)
				}
			}
		}
	})
}
