package evidence

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
)

const (
	steadyBlock = 4 << 10
	steadyPiece = 16 * steadyBlock // that is read at once
)

// A steady file is the same each time that it is read, or an error: it may lie where others can write. A digest of it is then one of
// all that was judged. Of each block that was read it keeps a word, which nobody can choose to be that of another.
type steady struct {
	r     io.ReaderAt
	size  int64
	seed  maphash.Seed
	words []atomic.Uint64 // 0 of what was not read yet
	bufs  sync.Pool
}

var errChanged = errors.New("the file was changed while it was judged")

// newSteady is a file of a size that a bundle can have.
func newSteady(r io.ReaderAt, size int64) *steady {
	return &steady{
		r: r, size: size, seed: maphash.MakeSeed(), words: make([]atomic.Uint64, (size+steadyBlock-1)/steadyBlock),
		bufs: sync.Pool{New: func() any { return new([steadyPiece]byte) }},
	}
}

func (f *steady) ReadAt(b []byte, at int64) (n int, err error) {
	buf := f.bufs.Get().(*[steadyPiece]byte)
	defer f.bufs.Put(buf)
	for n < len(b) {
		here := at + int64(n)
		if here >= f.size {
			return n, io.EOF
		}
		from := here / steadyBlock * steadyBlock
		end := (here + int64(len(b)-n) + steadyBlock - 1) / steadyBlock * steadyBlock
		piece := buf[:min(end-from, steadyPiece, f.size-from)]
		if err := f.blocks(piece, from); err != nil {
			return n, err
		}
		n += copy(b[n:], piece[here-from:])
	}
	return n, nil
}

// blocks reads whole blocks, and what they were before must be what they are.
func (f *steady) blocks(piece []byte, at int64) error {
	if n, err := f.r.ReadAt(piece, at); n < len(piece) {
		if err == io.EOF {
			err = errChanged // it has become shorter
		}
		return err
	}
	for i := 0; i < len(piece); i += steadyBlock {
		word := max(1, maphash.Bytes(f.seed, piece[i:min(i+steadyBlock, len(piece))]))
		known := &f.words[(at+int64(i))/steadyBlock]
		if !known.CompareAndSwap(0, word) && known.Load() != word {
			return errChanged
		}
	}
	return nil
}
