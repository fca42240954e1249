package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/storage"
)

var day = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func segment(class string) storage.Segment { return storage.Segment{Class: class, Day: day} }

// blob makes a blob of n bytes that seed decides.
func blob(n int, seed string) storage.Blob {
	key := sha256.Sum256([]byte(seed))
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return storage.Blob{Ref: storage.Ref{SHA256: sha256.Sum256(b), Size: int64(n)}, Bytes: b}
}

func refs(blobs []storage.Blob) []storage.Ref {
	out := make([]storage.Ref, len(blobs))
	for i, b := range blobs {
		out[i] = b.Ref
	}
	return out
}

func readBlob(ctx context.Context, s storage.Blobs, ref storage.Ref) ([]byte, error) {
	r, err := s.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// checkBlobs checks that blobs are there (or none of them is), for Has and Open.
func checkBlobs(t *testing.T, s storage.Blobs, there bool, blobs ...storage.Blob) {
	t.Helper()
	has, err := s.Has(t.Context(), refs(blobs))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blobs {
		if has[i] != there {
			t.Errorf("has blob %d of %d bytes: %v, want %v", i, b.Size, has[i], there)
		}
		got, err := readBlob(t.Context(), s, b.Ref)
		if there && (err != nil || !bytes.Equal(got, b.Bytes)) {
			t.Errorf("blob %d of %d bytes: read %d, %v", i, b.Size, len(got), err)
		}
		if !there && !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("blob %d of %d bytes is not there: %v, want ErrNotFound", i, b.Size, err)
		}
	}
}

// TestBlobs is the suite of storage.Blobs.
func TestBlobs(t *testing.T, s Store[storage.Blobs]) {
	t.Run("put", func(t *testing.T) { blobsPut(t, s) })
	t.Run("refused", func(t *testing.T) { blobsRefused(t, s) })
	t.Run("concurrent", func(t *testing.T) { blobsConcurrent(t, s) })
	t.Run("erase", func(t *testing.T) { blobsErase(t, s) })
	t.Run("cancelled", func(t *testing.T) { blobsCancelled(t, s) })
	t.Run("ACKED_kill", func(t *testing.T) { blobsKill(t, s) })
}

func blobsPut(t *testing.T, s Store[storage.Blobs]) {
	in := s.start(t)
	var all []storage.Blob
	for i, n := range []int{0, 1, 63, 1024, 256 << 10, 256<<10 + 1, 3 << 20} {
		b := blob(n, fmt.Sprint("put", i))
		checkBlobs(t, in.v, false, b)
		if err := in.v.Put(t.Context(), segment("mifid-7y"), []storage.Blob{b}); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
		clone := b
		clone.Bytes = slices.Clone(b.Bytes)
		if err := in.v.Put(t.Context(), segment("hipaa"), []storage.Blob{clone, clone}); err != nil {
			t.Errorf("putting again: %v", err)
		}
		clear(clone.Bytes) // the caller's again
	}
	checkBlobs(t, in.v, true, all...)
	wrong := all[3].Ref
	wrong.Size++
	if _, err := in.v.Open(t.Context(), wrong); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("opening with another size: %v, want ErrNotFound", err)
	}
	if has, err := in.v.Has(t.Context(), []storage.Ref{wrong}); err != nil || has[0] {
		t.Errorf("has with another size: %v, %v", has, err)
	}
	in.reopen(t)
	checkBlobs(t, in.v, true, all...)
	if err := in.v.Put(t.Context(), segment("mifid-7y"), nil); err != nil {
		t.Errorf("putting nothing: %v", err)
	}
}

func blobsRefused(t *testing.T, s Store[storage.Blobs]) {
	in := s.start(t)
	good, bad, short := blob(100, "good"), blob(100, "bad"), blob(100, "short")
	bad.Bytes[7] ^= 1
	short.Size = 99
	for _, b := range []storage.Blob{bad, short} {
		if err := in.v.Put(t.Context(), segment("c"), []storage.Blob{good, b}); err == nil {
			t.Error("a blob that is not its name was taken")
		}
		checkBlobs(t, in.v, false, good, b)
	}
	for _, class := range []string{"", "UPPER", "a/b", "..", "a b", "ä", string(make([]byte, 65))} {
		if err := in.v.Put(t.Context(), segment(class), []storage.Blob{good}); err == nil {
			t.Errorf("class %q was taken", class)
		}
	}
	checkBlobs(t, in.v, false, good)
}

func blobsConcurrent(t *testing.T, s Store[storage.Blobs]) {
	in := s.start(t)
	shared := []storage.Blob{blob(2000, "shared"), blob(300<<10, "shared, large")}
	all := slices.Clone(shared)
	for w := range 8 {
		for n := range 10 {
			all = append(all, blob(500+n, fmt.Sprint(w, n)))
		}
	}
	parallel(8, func(w int) {
		for n := range 10 {
			seg := segment([]string{"a", "b", "c"}[(w+n)%3])
			b := all[len(shared)+w*10+n]
			if err := in.v.Put(t.Context(), seg, append([]storage.Blob{b}, shared...)); err != nil {
				t.Error(err)
			}
			if has, err := in.v.Has(t.Context(), refs(append([]storage.Blob{b}, shared...))); err != nil || slices.Contains(has, false) {
				t.Errorf("has %v, %v after Put returned", has, err)
			}
			if got, err := readBlob(t.Context(), in.v, b.Ref); err != nil || !bytes.Equal(got, b.Bytes) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		}
	})
	in.reopen(t)
	checkBlobs(t, in.v, true, all...)
	// However it was raced for, one Erase leaves no copy.
	if err := in.v.Erase(t.Context(), refs(shared)); err != nil {
		t.Fatal(err)
	}
	in.reopen(t)
	checkBlobs(t, in.v, false, shared...)
	checkBlobs(t, in.v, true, all[len(shared):]...)
}

func blobsErase(t *testing.T, s Store[storage.Blobs]) {
	in := s.start(t)
	var all []storage.Blob
	for i, n := range []int{10, 1000, 300 << 10, 20, 0, 400 << 10} {
		all = append(all, blob(n, fmt.Sprint("erase", i)))
	}
	if err := in.v.Put(t.Context(), segment("c"), all); err != nil {
		t.Fatal(err)
	}
	gone, kept := all[:3], all[3:]
	for range 2 { // what is gone is no error
		if err := in.v.Erase(t.Context(), refs(gone)); err != nil {
			t.Fatal(err)
		}
		checkBlobs(t, in.v, false, gone...)
		checkBlobs(t, in.v, true, kept...)
		in.reopen(t)
	}
	if err := in.v.Put(t.Context(), segment("c"), []storage.Blob{blob(50, "later")}); err != nil {
		t.Fatal(err)
	}
	if err := in.v.Erase(t.Context(), refs(append(slices.Clone(all), blob(50, "later"), blob(9, "never put")))); err != nil {
		t.Fatal(err)
	}
	checkBlobs(t, in.v, false, all...)
	in.reopen(t)
	checkBlobs(t, in.v, false, all...)
	if err := in.v.Put(t.Context(), segment("c"), all); err != nil {
		t.Fatalf("putting after all was erased: %v", err)
	}
	in.reopen(t)
	checkBlobs(t, in.v, true, all...)
}

func blobsCancelled(t *testing.T, s Store[storage.Blobs]) {
	in := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := blob(1000, "cancelled")
	if err := in.v.Put(ctx, segment("c"), []storage.Blob{b}); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := in.v.Put(t.Context(), segment("c"), []storage.Blob{b}); err != nil {
		t.Fatal(err)
	}
	checkBlobs(t, in.v, true, b)
}

func blobsKill(t *testing.T, s Store[storage.Blobs]) {
	size := func(i int) int { return []int{0, 100, 3000, 300 << 10}[i%4] }
	write := func(s storage.Blobs, round string, ack func(string)) error {
		parallel(4, func(w int) {
			for n := 0; ; n++ {
				var blobs []storage.Blob
				line := ""
				for i := range 3 {
					b := blob(size(i+w), fmt.Sprint(round, w, n, i))
					blobs = append(blobs, b)
					line += fmt.Sprintf("%x %d ", b.SHA256, b.Size)
				}
				if err := s.Put(context.Background(), segment("c"), blobs); err != nil {
					return
				}
				ack(line)
			}
		})
		return errors.New("put failed")
	}
	runKill(t, s, write, func(t *testing.T, s storage.Blobs, acks []string) {
		for _, line := range acks {
			var sums [3]string
			var sizes [3]int64
			if _, err := fmt.Sscan(line, &sums[0], &sizes[0], &sums[1], &sizes[1], &sums[2], &sizes[2]); err != nil {
				t.Fatal(err)
			}
			for i := range sums {
				raw, err := hex.DecodeString(sums[i])
				if err != nil {
					t.Fatal(err)
				}
				got, err := readBlob(t.Context(), s, storage.Ref{SHA256: storage.Hash(raw), Size: sizes[i]})
				if err != nil || int64(len(got)) != sizes[i] {
					t.Fatalf("acknowledged blob of %d bytes: read %d, %v", sizes[i], len(got), err)
				}
			}
		}
	})
}

// BenchmarkBlobs measures Puts of 32 blobs of 1 KiB, as a request of 32 events brings them, from several callers at once.
func BenchmarkBlobs(b *testing.B, s Store[storage.Blobs]) {
	in := s.start(b)
	b.SetBytes(32 * 1024)
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			batch := make([]storage.Blob, 32)
			for i := range batch {
				bytes := make([]byte, 1024)
				for j := 0; j < len(bytes); j += 8 {
					binary.NativeEndian.PutUint64(bytes[j:], rand.Uint64())
				}
				batch[i] = storage.Blob{Ref: storage.Ref{SHA256: sha256.Sum256(bytes), Size: 1024}, Bytes: bytes}
			}
			if err := in.v.Put(context.Background(), segment("bench"), batch); err != nil {
				b.Error(err)
			}
		}
	})
}
