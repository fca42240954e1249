package posix_test

import (
	"context"
	"testing"
	"time"

	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/posix"
	"github.com/stenolog/steno/storage/storagetest"
)

func TestSequencer(t *testing.T) {
	storagetest.TestSequencer(t, storagetest.Store[storagetest.Log]{
		Create: posix.CreateTree,
		Open: func(ctx context.Context, dir string) (storagetest.Log, error) {
			return posix.OpenTree(ctx, posix.TreeConfig{Dir: dir, CheckpointInterval: 100 * time.Millisecond})
		},
	})
}

func blobs(segmentSize int64) storagetest.Store[storage.Blobs] {
	return storagetest.Store[storage.Blobs]{Open: func(_ context.Context, dir string) (storage.Blobs, error) {
		return posix.OpenBlobs(posix.BlobsConfig{Dir: dir, SegmentSize: segmentSize})
	}}
}

func TestBlobs(t *testing.T) { storagetest.TestBlobs(t, blobs(0)) }

func TestBlobs_smallSegments(t *testing.T) { storagetest.TestBlobs(t, blobs(4<<10)) }

func BenchmarkBlobs(b *testing.B) { storagetest.BenchmarkBlobs(b, blobs(0)) }

func TestArchive(t *testing.T) {
	storagetest.TestArchive(t, storagetest.Store[storage.Archive]{
		Open: func(_ context.Context, dir string) (storage.Archive, error) { return posix.OpenArchive(dir) },
	})
}

func TestLease(t *testing.T) {
	storagetest.TestLease(t, storagetest.Store[storage.Lease]{
		Open: func(_ context.Context, dir string) (storage.Lease, error) { return posix.NewLease(dir), nil },
	})
}
