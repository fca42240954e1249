package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stenolog/steno/storage"
	"github.com/stenolog/steno/storage/sqlite"
	"github.com/stenolog/steno/storage/storagetest"
)

func file(dir string) string { return filepath.Join(dir, "store.db") }

func TestGuard(t *testing.T) {
	storagetest.TestGuard(t, storagetest.Store[storage.Guard]{
		Create: func(_ context.Context, dir string) error {
			g, err := sqlite.CreateGuard(file(dir))
			if err != nil {
				return err
			}
			return g.Close()
		},
		Open: func(_ context.Context, dir string) (storage.Guard, error) { return sqlite.OpenGuard(file(dir)) },
	})
}

func TestKeyring(t *testing.T) {
	storagetest.TestKeyring(t, storagetest.Store[storage.Keyring]{
		Create: func(_ context.Context, dir string) error {
			k, err := sqlite.CreateKeyring(file(dir))
			if err != nil {
				return err
			}
			return k.Close()
		},
		Open: func(_ context.Context, dir string) (storage.Keyring, error) { return sqlite.OpenKeyring(file(dir)) },
	})
}

var heads = storagetest.Store[storage.Heads]{
	Open: func(_ context.Context, dir string) (storage.Heads, error) { return sqlite.OpenHeads(file(dir)) },
}

func TestHeads(t *testing.T) { storagetest.TestHeads(t, heads) }

func BenchmarkHeads(b *testing.B) { storagetest.BenchmarkHeads(b, heads) }

var index = storagetest.Store[storage.Index]{
	Open: func(_ context.Context, dir string) (storage.Index, error) { return sqlite.OpenIndex(file(dir)) },
}

func TestIndex(t *testing.T) { storagetest.TestIndex(t, index) }

func BenchmarkIndex(b *testing.B) { storagetest.BenchmarkIndex(b, index) }
