package posix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/storage"
)

// failing is a segment file whose next writes or syncs fail.
type failing struct {
	*os.File
	write, sync, truncate error
	partial               bool // a write that fails leaves half of it
}

func (f *failing) WriteAt(p []byte, off int64) (int, error) {
	if f.write == nil {
		return f.File.WriteAt(p, off)
	}
	if f.partial {
		f.File.WriteAt(p[:len(p)/2], off)
	}
	return 0, f.write
}

func (f *failing) Datasync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

func (f *failing) Truncate(n int64) error {
	if f.truncate != nil {
		return f.truncate
	}
	return f.File.Truncate(n)
}

func blobOf(s string) storage.Blob {
	return storage.Blob{Ref: storage.Ref{SHA256: sha256.Sum256([]byte(s)), Size: int64(len(s))}, Bytes: []byte(s)}
}

var testSegment = storage.Segment{Class: "c", Day: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}

// openFailing opens a store all of whose segment files are the one returned through the pointer.
func openFailing(t *testing.T, dir string, f *failing) *Blobs {
	t.Helper()
	b, err := OpenBlobs(BlobsConfig{Dir: dir, openFile: func(path string) (segmentFile, error) {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		f.File = file
		return f, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func put(b *Blobs, texts ...string) error {
	var blobs []storage.Blob
	for _, s := range texts {
		blobs = append(blobs, blobOf(s))
	}
	return b.Put(context.Background(), testSegment, blobs)
}

func mustHave(t *testing.T, b *Blobs, want bool, texts ...string) {
	t.Helper()
	for _, s := range texts {
		r, err := b.Open(context.Background(), blobOf(s).Ref)
		if !want {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%q: %v, want ErrNotFound", s, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != s {
			t.Errorf("read %q, %v; want %q", got, err, s)
		}
		r.Close()
	}
}

func TestBlobs_diskFullPasses(t *testing.T) {
	dir := t.TempDir()
	f := &failing{}
	b := openFailing(t, dir, f)
	if err := put(b, "one"); err != nil {
		t.Fatal(err)
	}
	f.write, f.partial = syscall.ENOSPC, true
	if err := put(b, "two", "three"); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, storage.ErrReadOnly) {
		t.Fatalf("put on a full disk: %v", err)
	}
	mustHave(t, b, false, "two", "three")
	f.write = nil
	if err := put(b, "three", "four"); err != nil {
		t.Fatalf("put once there is space again: %v", err)
	}
	b.Close()
	b = openFailing(t, dir, f)
	mustHave(t, b, true, "one", "three", "four")
	if b.Damaged() != 0 {
		t.Errorf("%d bytes are damaged", b.Damaged())
	}
}

// A failed fsync is terminal; what was acknowledged before can be read; what was not is in or out after a restart.
func TestBlobs_failedSyncIsTerminal(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    failing
	}{{"sync", failing{sync: syscall.EIO}}, {"write and truncate", failing{write: syscall.EIO, truncate: syscall.EIO}}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f := &failing{}
			b := openFailing(t, dir, f)
			if err := put(b, "one"); err != nil {
				t.Fatal(err)
			}
			f.sync, f.write, f.truncate = tt.f.sync, tt.f.write, tt.f.truncate
			if err := put(b, "two"); !errors.Is(err, storage.ErrReadOnly) {
				t.Fatalf("put: %v, want ErrReadOnly", err)
			}
			mustHave(t, b, true, "one")
			mustHave(t, b, false, "two")
			f.sync, f.write, f.truncate = nil, nil, nil
			if err := put(b, "three"); !errors.Is(err, storage.ErrReadOnly) {
				t.Errorf("put after a failed sync: %v, want ErrReadOnly", err)
			}
			if err := b.Erase(context.Background(), []storage.Ref{blobOf("one").Ref}); !errors.Is(err, storage.ErrReadOnly) {
				t.Errorf("erase after a failed sync: %v, want ErrReadOnly", err)
			}
			b.Close()
			b = openFailing(t, dir, f)
			mustHave(t, b, true, "one")
			if err := put(b, "two", "three"); err != nil {
				t.Errorf("put after a restart: %v", err)
			}
			mustHave(t, b, true, "two", "three")
		})
	}
}

func segmentPath(dir string) string { return filepath.Join(dir, "c", "2026-11-23", "000000.seg") }

// Cut at every byte, a segment keeps every record that is whole, and takes new ones.
func TestBlobs_tornTail(t *testing.T) {
	var whole []byte
	texts := []string{"first", "", "third, longer"}
	ends := []int{}
	for _, s := range texts {
		whole = header{length: int64(len(s)), sum: sha256.Sum256([]byte(s))}.append(whole)
		whole = append(whole, s...)
		ends = append(ends, len(whole))
	}
	for cut := range len(whole) + 1 {
		for _, tail := range []string{"", "\x00\x00\x00", "garbage"}[cut%3:][:1] {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Dir(segmentPath(dir)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(segmentPath(dir), append(bytes.Clone(whole[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := OpenBlobs(BlobsConfig{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range texts {
				mustHave(t, b, ends[i] <= cut, s)
			}
			if cut%16 == 0 { // each is an fsync
				if err := put(b, "new"); err != nil {
					t.Fatal(err)
				}
				mustHave(t, b, true, "new")
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A flipped bit costs the record it is in, never those after it, and is not served.
func TestBlobs_damage(t *testing.T) {
	for _, at := range []int64{3, stateAt, 13, 20, 30, 40, headerSize + 2} {
		for _, clean := range []bool{false, true} { // with and without an index file
			dir := t.TempDir()
			b, err := OpenBlobs(BlobsConfig{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := put(b, "first", "second", "third"); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if !clean {
				if err := os.Remove(indexPath(segmentPath(dir))); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := os.ReadFile(segmentPath(dir))
			if err != nil {
				t.Fatal(err)
			}
			raw[headerSize+5+int(at)] ^= 1 // in the second record
			if err := os.WriteFile(segmentPath(dir), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			if b, err = OpenBlobs(BlobsConfig{Dir: dir}); err != nil {
				t.Fatal(err)
			}
			mustHave(t, b, true, "first", "third")
			if r, err := b.Open(t.Context(), blobOf("second").Ref); err == nil {
				got, err := io.ReadAll(r)
				if at >= headerSize && (!errors.Is(err, ErrCorrupt) || len(got) > 0) {
					t.Errorf("bit %d: damaged blob gave %q, %v", at, got, err)
				}
				r.Close()
			} else if clean || b.Damaged() == 0 {
				t.Errorf("bit %d: %v, %d bytes damaged", at, err, b.Damaged())
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// An erasure that stopped after the mark is finished at the next start.
func TestBlobs_eraseResumes(t *testing.T) {
	dir := t.TempDir()
	f := &failing{}
	b := openFailing(t, dir, f)
	secret := strings.Repeat("secret ", 20)
	if err := put(b, secret, "kept"); err != nil {
		t.Fatal(err)
	}
	b.Close()
	raw, err := os.OpenFile(segmentPath(dir), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.WriteAt([]byte{stateErased}, stateAt); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	if err := os.Remove(indexPath(segmentPath(dir))); err != nil { // gone before the mark is written
		t.Fatal(err)
	}
	b = openFailing(t, dir, f)
	mustHave(t, b, false, secret)
	mustHave(t, b, true, "kept")
	if got, err := os.ReadFile(segmentPath(dir)); err != nil || bytes.Contains(got, []byte("secret")) {
		t.Errorf("the segment still has what was erased (%v)", err)
	}
	if err := b.Erase(t.Context(), []storage.Ref{blobOf("kept").Ref}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(segmentPath(dir)); !os.IsNotExist(err) {
		t.Errorf("a segment of erased records is still there: %v", err)
	}
}

func TestArchive_files(t *testing.T) {
	dir := t.TempDir()
	open := func() *Archive {
		a, err := openArchive(dir, 400, func(p string) (segmentFile, error) { return os.OpenFile(p, os.O_RDWR, 0) })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	note := func(size int, more string) []byte {
		return fmt.Appendf(nil, "log.example\n%d\n\n— a b\n%s", size, more)
	}
	a := open()
	for size := range 200 {
		if err := a.Put(t.Context(), uint64(size), note(size, "")); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.bases) <= archiveCached || len(a.cache) != archiveCached {
		t.Fatalf("%d files, %d at hand", len(a.bases), len(a.cache))
	}
	if err := a.Put(t.Context(), 5, note(5, "— c d\n")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	// A torn tail in the middle of the archive, where the straggler went.
	first := a.path(0)
	raw, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first, append(raw, raw[:70]...), 0o600); err != nil {
		t.Fatal(err)
	}
	a = open()
	for size := 1; size < 200; size++ {
		want := note(size, map[bool]string{true: "— c d\n"}[size == 5])
		if got, n, err := a.Covering(t.Context(), uint64(size-1)); err != nil || got != uint64(size) || !bytes.Equal(n, want) {
			t.Fatalf("covering %d: %d %q, %v", size-1, got, n, err)
		}
	}
	a.Close()
	raw[headerSize] ^= 1
	if err := os.WriteFile(first, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	a = open()
	defer a.Close()
	var damage *DamageError
	if _, _, err := a.Covering(t.Context(), 0); !errors.As(err, &damage) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("covering in a damaged file: %v, want a DamageError", err)
	}
	if _, _, err := a.Latest(t.Context()); err != nil {
		t.Errorf("latest, in another file: %v", err)
	}
}

func TestArchive_failedSyncIsTerminal(t *testing.T) {
	f := &failing{}
	a, err := openArchive(t.TempDir(), 400, func(p string) (segmentFile, error) {
		file, err := os.OpenFile(p, os.O_RDWR, 0)
		f.File = file
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	note := []byte("x\n\n— a b\n")
	f.write, f.partial = syscall.ENOSPC, true
	if err := a.Put(t.Context(), 1, note); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("put on a full disk: %v", err)
	}
	f.write = nil
	if err := a.Put(t.Context(), 1, note); err != nil {
		t.Errorf("put once there is space again: %v", err)
	}
	f.sync = syscall.EIO
	for range 2 {
		if err := a.Put(t.Context(), 2, note); !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("put: %v, want ErrReadOnly", err)
		}
		f.sync = nil
	}
	if size, _, err := a.Latest(t.Context()); size != 1 || err != nil {
		t.Errorf("latest is %d, %v", size, err)
	}
}

func FuzzScan(f *testing.F) {
	rec := func(tag uint64, erased bool, body string) []byte {
		h := header{erased: erased, tag: tag, length: int64(len(body)), sum: sha256.Sum256([]byte(body))}
		return append(h.append(nil), body...)
	}
	f.Add([]byte{})
	f.Add(rec(1, false, "body"))
	f.Add(append(rec(0, false, ""), rec(9, true, "\x00\x00")...))
	f.Add(append([]byte("steno/r1 is not here "), rec(1<<63, false, "steno/r1")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scanFile(bytes.NewReader(b), 0, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		end, covered := int64(0), int64(0)
		for _, r := range s.records {
			if r.off < end || r.end(r.off) > int64(len(b)) {
				t.Fatalf("record at %d to %d after %d of %d", r.off, r.end(r.off), end, len(b))
			}
			end = r.end(r.off)
			covered += headerSize + r.length
			if got := r.header.append(nil); !bytes.Equal(got, b[r.off:r.off+headerSize]) {
				t.Fatalf("header %x is read as one that is written as %x", b[r.off:r.off+headerSize], got)
			}
		}
		if s.end != end || covered+s.damaged != end {
			t.Fatalf("end %d, damaged %d, records cover %d to %d", s.end, s.damaged, covered, end)
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	seed := binary.BigEndian.AppendUint64([]byte(indexMagic), 300)
	seed = append(seed, make([]byte, 2*indexEntry)...)
	sum := sha256.Sum256(seed)
	f.Add(append(seed, sum[:]...), int64(300))
	f.Add([]byte(indexMagic), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < 0 {
			return
		}
		known, to := parseIndex(b, size)
		if to > size {
			t.Fatalf("%d entries up to %d of %d", len(known), to, size)
		}
	})
}
