package main

import (
	"bytes"
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
	keep   *spill
	rows   []evidence.Blob // those of the session that is being read are behind the others
	sorted int             // how many are in order, each once
}

func newBlobStore(dir string) (*blobStore, error) {
	keep, err := newSpill(dir)
	if err != nil {
		return nil, err
	}
	return &blobStore{keep: keep}, nil
}

// fetchBlobs reads every blob of a session that the log still has.
func fetchBlobs(ctx context.Context, r *reader, of *client.SessionSummary) (*blobStore, error) {
	s, err := newBlobStore("")
	if err != nil {
		return nil, err
	}
	if err := s.fetch(ctx, r, of); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// fetch takes in every blob of a session that the log still has.
func (s *blobStore) fetch(ctx context.Context, r *reader, of *client.SessionSummary) error {
	if err := r.SessionBlobs(ctx, of, s.add); err != nil {
		return err
	}
	putInOrder(s.rows, s.sorted, compareBlobs)
	s.sorted = len(s.rows)
	return nil
}

func (s *blobStore) add(hash entry.Hash, blob []byte) error {
	if _, known := s.find(hash); known {
		return nil // of another session
	}
	at, err := s.keep.add(blob)
	if err == nil {
		s.rows = append(s.rows, evidence.Blob{SHA256: hash, Content: at})
	}
	return err
}

func (s *blobStore) find(hash entry.Hash) (int, bool) {
	return slices.BinarySearchFunc(s.rows[:s.sorted], evidence.Blob{SHA256: hash}, compareBlobs)
}

// blob answers an opener for the log. Each read of a blob alone would be an access of its own on the log's record.
func (s *blobStore) blob(_ context.Context, _ uint64, hash entry.Hash) ([]byte, error) {
	i, known := s.find(hash)
	if !known {
		return nil, client.ErrErased
	}
	return s.rows[i].Load()
}

func (s *blobStore) close() error { return s.keep.close() }

func compareBlobs(a, b evidence.Blob) int { return bytes.Compare(a.SHA256[:], b.SHA256[:]) }

// slotOf is the slot of the payload that a blob belongs to, without the number of a part.
func slotOf(b entry.BlobAt) string {
	slot, _, _ := strings.Cut(b.Slot, ".")
	return slot
}
