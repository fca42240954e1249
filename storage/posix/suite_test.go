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

var _ storage.Tree = (*posix.Tree)(nil)
