package client_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
)

// spooled returns a segment with an entry that was acknowledged and one that was not, and its name.
func spooled(f testing.TB) (name string, segment []byte) {
	w := newWorld()
	s, dir := newServer(f, w), f.TempDir()
	rec := newRecorder(f, w.config(s.URL, dir))
	main := open(f, rec)
	s.with(func() { s.signed = 0 })
	if _, err := main.Record(within(f, 5*time.Second), remark("durable")); err != nil {
		f.Fatal(err)
	}
	s.Close()
	if _, err := main.Spool(remark("spooled")); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := rec.Close(ctx); !errors.Is(err, client.ErrPending) { // nothing runs in the background of a fuzzer
		f.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(found) != 1 {
		f.Fatal(found, err)
	}
	return filepath.Base(found[0]), must(os.ReadFile(found[0]))
}

// FuzzReadSpool: whatever a disk gives back is read without harm, and what is read as whole is a prefix of what was written
// record by record.
func FuzzReadSpool(f *testing.F) {
	name, segment := spooled(f)
	f.Add(segment)
	for _, n := range []int{0, 10, 15, 20, len(segment) / 2, len(segment) - 1} {
		f.Add(segment[:n])
	}
	id := regexp.MustCompile(`"session":"([0-9a-f-]{36})"`)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, name := t.TempDir(), name
		if m := id.FindSubmatch(b); m != nil { // a file must be called as its session is, or nothing is read
			name = string(m[1]) + ".main.00000001.spool"
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		tracks, err := client.ReadSpool(dir)
		if err != nil {
			return
		}
		if len(tracks) == 0 && entry.CheckSession(name[:36]) != nil {
			return // no name of a segment
		}
		if len(tracks) != 1 || tracks[0].Session+"."+tracks[0].Track+".00000001.spool" != name {
			t.Fatalf("read as %+v", tracks)
		}
		next := uint64(0)
		for _, e := range tracks[0].Entries {
			if e.Seq < next || e.Count == 0 {
				t.Fatalf("entries out of order: %+v", tracks[0].Entries)
			}
			next = e.Seq + e.Count
		}
	})
}

// TestATornTailIsCut cuts a segment at every eleventh byte: what was whole stays, and the rest is gone without an error.
func TestATornTailIsCut(t *testing.T) {
	name, segment := spooled(t)
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	last := -1
	for n := len(segment); n > 0; n -= 11 {
		if err := os.WriteFile(path, segment[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		tracks, err := client.ReadSpool(dir)
		if err != nil {
			if n > 1000 {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
			break // within the first record, which is written whole or not at all
		}
		if last >= 0 && len(tracks[0].Entries) > last {
			t.Fatalf("cut after %d bytes: %d entries, %d when there was more", n, len(tracks[0].Entries), last)
		}
		last = len(tracks[0].Entries)
	}
	if last != 0 {
		t.Fatalf("%d entries at the end", last)
	}
}

// TestAFlippedByteOfASpoolIsSeen: nothing changed is read as an entry.
func TestAFlippedByteOfASpoolIsSeen(t *testing.T) {
	name, segment := spooled(t)
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	whole := readOne(t, path, segment)
	for i := 0; i < len(segment); i += 7 {
		b := bytes.Clone(segment)
		b[i] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		tracks, err := client.ReadSpool(dir)
		if err != nil {
			continue
		}
		if !tracks[0].Torn {
			t.Fatalf("byte %d flipped, and the spool reads as whole", i)
		}
		for j, e := range tracks[0].Entries {
			if e.Hash != whole.Entries[j].Hash {
				t.Fatalf("byte %d flipped: entry %d is another", i, j)
			}
		}
	}
}

func readOne(t *testing.T, path string, b []byte) client.SpooledTrack {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return must(client.ReadSpool(filepath.Dir(path)))[0]
}

func FuzzParseSessionRef(f *testing.F) {
	f.Add("0198c7d2-5f00-7abc-8def-0123456789ab")
	f.Add("0198c7d2-5f00-7abc-8def-0123456789ab@" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := client.ParseSessionRef(s)
		if err == nil && ref.String() != s && !ref.First.IsZero() {
			t.Fatalf("%q read and written as %q", s, ref.String())
		}
	})
}
