package log

import (
	"context"

	"github.com/stenolog/steno/storage"
)

// SignOver asks the guarded signer of a log for a size and root over another tree.
func SignOver(ctx context.Context, c Config, tree storage.Tree, size uint64, root storage.Hash) ([]byte, error) {
	ok, err := check(ctx, &c)
	if err != nil {
		return nil, err
	}
	ok.guarded.tree = tree
	return ok.guarded.sign(ctx, size, root)
}
