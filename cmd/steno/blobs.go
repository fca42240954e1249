package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A blobStore holds the sealed blobs of a session in a temporary file: they may be larger than memory.
type blobStore struct {
	file *os.File
	size int64
	at   map[entry.Hash]extent
}

type extent struct{ offset, size int64 }

// fetchBlobs reads every blob of a session that the log still has.
func fetchBlobs(ctx context.Context, r *reader, rec *client.SessionRecord) (_ *blobStore, err error) {
	f, err := os.CreateTemp("", "steno-blobs-")
	if err != nil {
		return nil, fmt.Errorf("keeping blobs: %w", err)
	}
	s := &blobStore{file: f, at: map[entry.Hash]extent{}}
	// Without a name nobody finds it, and it is gone when we are.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := r.Blobs(ctx, rec, s.add); err != nil {
		return nil, errors.Join(err, s.close())
	}
	r.cache.store = s
	return s, nil
}

func (s *blobStore) add(hash entry.Hash, blob []byte) error {
	if _, err := s.file.WriteAt(blob, s.size); err != nil {
		return fmt.Errorf("keeping blobs: %w", err)
	}
	s.at[hash] = extent{s.size, int64(len(blob))}
	s.size += int64(len(blob))
	return nil
}

func (s *blobStore) load(hash entry.Hash) ([]byte, error) {
	at := s.at[hash]
	b := make([]byte, at.size)
	_, err := io.ReadFull(io.NewSectionReader(s.file, at.offset, at.size), b)
	return b, err
}

func (s *blobStore) close() error { return s.file.Close() }

// forBundle lists the blobs as an evidence bundle has them.
func (s *blobStore) forBundle() []evidence.Blob {
	var all []evidence.Blob
	for hash, at := range s.at {
		all = append(all, evidence.Blob{SHA256: hash, Size: at.size, Load: func() ([]byte, error) { return s.load(hash) }})
	}
	slices.SortFunc(all, func(a, b evidence.Blob) int { return slices.Compare(a.SHA256[:], b.SHA256[:]) })
	return all
}

// slotOf is the slot of the payload that a blob belongs to, without the number of a part.
func slotOf(b entry.BlobAt) string {
	slot, _, _ := strings.Cut(b.Slot, ".")
	return slot
}
