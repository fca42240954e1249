package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stenolog/steno/storage"
)

// checkpointNote makes a note with signatures by the named.
func checkpointNote(size uint64, root string, signers ...string) []byte {
	note := fmt.Sprintf("log.example/archive\n%d\n%s\n\n", size, root)
	for _, s := range signers {
		note += "— " + s + " c2lnbmF0dXJl\n"
	}
	return []byte(note)
}

// TestArchive is the suite of storage.Archive.
func TestArchive(t *testing.T, s Store[storage.Archive]) {
	t.Run("covering", func(t *testing.T) { archiveCovering(t, s) })
	t.Run("replace", func(t *testing.T) { archiveReplace(t, s) })
	t.Run("many", func(t *testing.T) { archiveMany(t, s) })
	t.Run("refused", func(t *testing.T) { archiveRefused(t, s) })
	t.Run("kill", func(t *testing.T) { archiveKill(t, s) })
}

func putNote(t *testing.T, a storage.Archive, size uint64, note []byte) {
	t.Helper()
	if err := a.Put(t.Context(), size, note); err != nil {
		t.Fatal(err)
	}
}

func checkCovering(t *testing.T, a storage.Archive, index, want uint64, note []byte) {
	t.Helper()
	size, got, err := a.Covering(t.Context(), index)
	if err != nil || size != want || !bytes.Equal(got, note) {
		t.Errorf("covering %d: size %d %q, %v; want size %d %q", index, size, got, err, want, note)
	}
}

func archiveCovering(t *testing.T, s Store[storage.Archive]) {
	in := s.start(t)
	if _, _, err := in.v.Latest(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("latest of an empty archive: %v, want ErrNotFound", err)
	}
	if _, _, err := in.v.Covering(t.Context(), 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("covering in an empty archive: %v, want ErrNotFound", err)
	}
	note := func(size uint64) []byte { return checkpointNote(size, "root", "log.example/archive") }
	for _, size := range []uint64{0, 5, 10, 7, 1 << 40} { // 7 comes late
		putNote(t, in.v, size, note(size))
	}
	for range 2 {
		for _, tt := range []struct{ index, size uint64 }{{0, 5}, {4, 5}, {5, 7}, {6, 7}, {7, 10}, {9, 10}, {10, 1 << 40}, {1<<40 - 1, 1 << 40}} {
			checkCovering(t, in.v, tt.index, tt.size, note(tt.size))
		}
		for _, index := range []uint64{1 << 40, 1<<64 - 1} {
			if size, _, err := in.v.Covering(t.Context(), index); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("covering %d: size %d, %v; want ErrNotFound", index, size, err)
			}
		}
		size, got, err := in.v.Latest(t.Context())
		if err != nil || size != 1<<40 || !bytes.Equal(got, note(1<<40)) {
			t.Errorf("latest: size %d %q, %v", size, got, err)
		}
		in.reopen(t)
	}
}

func archiveReplace(t *testing.T, s Store[storage.Archive]) {
	in := s.start(t)
	one := checkpointNote(9, "root", "log.example/archive")
	two := checkpointNote(9, "root", "log.example/archive", "witness.example/w1")
	three := checkpointNote(9, "root", "witness.example/w2", "log.example/archive", "witness.example/w1")
	less := checkpointNote(9, "root", "log.example/archive", "witness.example/w3")
	putNote(t, in.v, 9, one)
	putNote(t, in.v, 20, checkpointNote(20, "root", "log.example/archive"))
	for _, step := range []struct{ put, want []byte }{{one, one}, {two, two}, {one, two}, {less, two}, {three, three}, {two, three}} {
		putNote(t, in.v, 9, step.put)
		checkCovering(t, in.v, 8, 9, step.want)
	}
	if err := in.v.Put(t.Context(), 9, checkpointNote(9, "fork", "log.example/archive", "a", "b", "c")); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("another text for a size: %v, want ErrConflict", err)
	}
	in.reopen(t)
	checkCovering(t, in.v, 8, 9, three)
	if err := in.v.Put(t.Context(), 9, checkpointNote(9, "fork", "log.example/archive")); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("another text for a size, after reopening: %v, want ErrConflict", err)
	}
}

func archiveMany(t *testing.T, s Store[storage.Archive]) {
	in := s.start(t)
	note := func(size uint64) []byte {
		return checkpointNote(size, strings.Repeat("r", 1000), "log.example/archive")
	}
	const step, n = 3, 300
	for i := range uint64(n) {
		putNote(t, in.v, i*step, note(i*step))
	}
	// Stragglers for old sizes.
	for i := uint64(0); i < n; i += 17 {
		putNote(t, in.v, i*step, append(note(i*step), "— witness.example/late c2ln\n"...))
	}
	in.reopen(t)
	for i := uint64(0); i < n-1; i++ {
		want := note((i + 1) * step)
		if (i+1)%17 == 0 {
			want = append(want, "— witness.example/late c2ln\n"...)
		}
		checkCovering(t, in.v, i*step+uint64(i%step), (i+1)*step, want)
	}
}

func archiveRefused(t *testing.T, s Store[storage.Archive]) {
	in := s.start(t)
	for _, note := range []string{"", "text\n", "text\n\n", "text\n\n— sig", strings.Repeat("x", 64<<10) + "\n\n— sig\n"} {
		if err := in.v.Put(t.Context(), 1, []byte(note)); err == nil {
			t.Errorf("%.20q was taken for a note", note)
		}
	}
	if _, _, err := in.v.Latest(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("something of it was stored: %v", err)
	}
}

func archiveKill(t *testing.T, s Store[storage.Archive]) {
	write := func(a storage.Archive, _ string, ack func(string)) error {
		size, _, err := a.Latest(context.Background())
		if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		for err == nil {
			size++
			if err = a.Put(context.Background(), size, checkpointNote(size, "root", "log.example/archive")); err == nil {
				ack(strconv.FormatUint(size, 10))
			}
		}
		return err
	}
	runKill(t, s, write, func(t *testing.T, a storage.Archive, acks []string) {
		for _, line := range acks {
			size, err := strconv.ParseUint(line, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			checkCovering(t, a, size-1, size, checkpointNote(size, "root", "log.example/archive"))
		}
	})
}
