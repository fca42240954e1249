package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"io"
	"net/url"
	"slices"
	"strconv"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
)

const (
	maxPageLeaves = streamPage // entries whose blobs are read at a time
	maxPageBytes  = 16 << 20   // of their blobs, but for those of the first
)

// A blobsPage is leaves whose blobs are read together, and how many bytes these have.
type blobsPage struct {
	from   uint64
	leaves int
	bytes  uint64
}

// A blobSet is hashes of blobs. It keeps a word of each, which nobody can choose to be that of another: a seed of its own makes them.
type blobSet struct {
	seed  maphash.Seed
	words []uint64 // in order and each once, when all are there
}

func newBlobSet() blobSet { return blobSet{seed: maphash.MakeSeed()} }

func (s *blobSet) add(h entry.Hash) { s.words = append(s.words, maphash.Comparable(s.seed, h)) }

func (s *blobSet) finish() {
	slices.Sort(s.words)
	s.words = slices.Compact(s.words)
}

// find is a blob's place among them.
func (s *blobSet) find(h entry.Hash) (int, bool) {
	return slices.BinarySearch(s.words, maphash.Comparable(s.seed, h))
}

// plan puts a leaf on a page of those whose blobs are read together.
func (s *SessionSummary) plan(x Recorded) {
	size := uint64(0)
	for _, b := range x.Entry.Blobs {
		size += b.Size
	}
	n := len(s.pages)
	if n == 0 || s.pages[n-1].leaves == maxPageLeaves || s.pages[n-1].bytes+size > maxPageBytes {
		s.pages = append(s.pages, blobsPage{x.Index, 1, size})
		return
	}
	s.pages[n-1].leaves++
	s.pages[n-1].bytes += size
}

// SessionBlobs gives f every blob of a session that the server has, each once, as they come, one after the other: no more than one
// is held. They are read page by page, which leaves one access on the log's record for each page. Blobs that were erased are
// left out. Their sizes are not compared with those that entries name. The bytes are f's to keep.
func (r *Reader) SessionBlobs(ctx context.Context, s *SessionSummary, f func(hash entry.Hash, blob []byte) error) error {
	given := make([]bool, len(s.blobs.words))
	for _, p := range s.pages {
		if p.bytes == 0 {
			continue
		}
		if err := r.blobsOf(ctx, s, p, given, f); err != nil {
			return fmt.Errorf("reading blobs: %w", err)
		}
	}
	return nil
}

// blobsOf reads the blobs of a page, and passes over those that were given already, and what nobody names.
func (r *Reader) blobsOf(ctx context.Context, s *SessionSummary, p blobsPage, given []bool, f func(entry.Hash, []byte) error) error {
	q := url.Values{"from": {strconv.FormatUint(p.from, 10)}, "limit": {strconv.Itoa(p.leaves)}}
	return r.http.stream(ctx, pathFor(wire.PathBlobs, s.Session), q, func(body io.Reader) error {
		return wire.ReadBlobs(body, func(b []byte) error {
			hash := entry.Hash(sha256.Sum256(b))
			i, named := s.blobs.find(hash)
			if !named || given[i] {
				return nil
			}
			given[i] = true
			return f(hash, b)
		})
	})
}
