package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A blobStore holds the sealed blobs of sessions in a temporary file: they may be larger than memory.
type blobStore struct {
	keep *spill
	at   map[entry.Hash]extent
}

func newBlobStore(dir string) (*blobStore, error) {
	keep, err := newSpill(dir)
	if err != nil {
		return nil, err
	}
	return &blobStore{keep: keep, at: map[entry.Hash]extent{}}, nil
}

// fetchBlobs reads every blob of a session that the log still has.
func fetchBlobs(ctx context.Context, r *reader, of *client.SessionSummary) (*blobStore, error) {
	s, err := newBlobStore("")
	if err != nil {
		return nil, err
	}
	if err := r.SessionBlobs(ctx, of, s.add); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *blobStore) add(hash entry.Hash, blob []byte) error {
	at, err := s.keep.add(blob)
	if err == nil {
		s.at[hash] = at
	}
	return err
}

func (s *blobStore) load(hash entry.Hash) ([]byte, error) { return s.keep.load(s.at[hash]) }

// blob answers an opener for the log. Each read of a blob alone would be an access of its own on the log's record.
func (s *blobStore) blob(_ context.Context, _ uint64, hash entry.Hash) ([]byte, error) {
	if _, ok := s.at[hash]; !ok {
		return nil, client.ErrErased
	}
	return s.load(hash)
}

func (s *blobStore) close() error { return s.keep.close() }

// forBundle lists the blobs as an evidence bundle has them.
func (s *blobStore) forBundle() []evidence.Blob {
	var all []evidence.Blob
	for hash, at := range s.at {
		all = append(all, evidence.Blob{SHA256: hash, Size: at.size, Load: func() ([]byte, error) { return s.load(hash) }})
	}
	sortBlobs(all)
	return all
}

func sortBlobs(all []evidence.Blob) {
	slices.SortFunc(all, func(a, b evidence.Blob) int { return slices.Compare(a.SHA256[:], b.SHA256[:]) })
}

// slotOf is the slot of the payload that a blob belongs to, without the number of a part.
func slotOf(b entry.BlobAt) string {
	slot, _, _ := strings.Cut(b.Slot, ".")
	return slot
}
