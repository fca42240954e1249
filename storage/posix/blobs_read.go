package posix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Open implements storage.Blobs.
func (b *Blobs) Open(_ context.Context, ref storage.Ref) (io.ReadCloser, error) {
	b.mu.RLock()
	p, ok := b.index[ref.SHA256]
	var path string
	if ok && b.segments[p.seg] != nil {
		path = b.pathOf(p, ref.SHA256)
	}
	b.mu.RUnlock()
	if path == "" || int64(p.size) != ref.Size {
		return nil, fmt.Errorf("opening blob %x: %w", ref.SHA256, storage.ErrNotFound)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening blob %x: %w", ref.SHA256, err)
	}
	var off int64
	if p.off != ownFile {
		off = int64(p.off) + headerSize
	}
	return &checkedReader{f: f, r: io.NewSectionReader(f, off, ref.Size), hash: sha256.New(), ref: ref, left: ref.Size}, nil
}

// pathOf returns the file of a place. b.mu is held.
func (b *Blobs) pathOf(p place, sum storage.Hash) string {
	if p.off == ownFile {
		return ownPath(b.segments[p.seg].path, sum)
	}
	return b.segments[p.seg].path
}

func ownPath(dir string, sum storage.Hash) string {
	return filepath.Join(dir, hex.EncodeToString(sum[:])+ownExt)
}

// A checkedReader withholds the last bytes if the whole does not hash to the name, so that also io.ReadFull, which drops
// an error that comes with enough bytes, can't miss it.
type checkedReader struct {
	f    *os.File
	r    io.Reader
	hash hash.Hash
	ref  storage.Ref
	left int64
	err  error
}

func (c *checkedReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.left -= int64(n)
	if err != nil && err != io.EOF {
		c.err = fmt.Errorf("reading blob %x: %w", c.ref.SHA256, err)
		return 0, c.err
	}
	if c.left > 0 && err == nil {
		return n, nil
	}
	if c.left > 0 || storage.Hash(c.hash.Sum(nil)) != c.ref.SHA256 {
		c.err = fmt.Errorf("reading blob %x: %w", c.ref.SHA256, ErrCorrupt)
		return 0, c.err
	}
	c.err = io.EOF
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *checkedReader) Close() error { return c.f.Close() }

// putOwn stores a blob in a file of its own.
func (b *Blobs) putOwn(key segmentKey, blob storage.Blob) error {
	if err := b.usable(); err != nil {
		return err
	}
	dir := key.dir(b.dir)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return b.failIfSync(err)
	}
	err := durable.CreateFile(ownPath(dir, blob.SHA256), blob.Bytes, 0o600)
	if errors.Is(err, os.ErrExist) {
		// Another Put of the same blob is ahead; its directory entry may not be durable yet.
		if err = durable.SyncDir(dir); err != nil {
			return b.failIfSync(err)
		}
		b.addOwnOnce(key, blob.SHA256, blob.Size)
		return nil
	}
	if err != nil {
		return b.failIfSync(err)
	}
	b.addOwnOnce(key, blob.SHA256, blob.Size)
	return nil
}

func (b *Blobs) addOwnOnce(key segmentKey, sum storage.Hash, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.index[sum]; ok && p.off == ownFile && b.segments[p.seg].key == key {
		return
	}
	b.addOwnLocked(key, sum, size)
}

func (b *Blobs) addOwn(key segmentKey, sum storage.Hash, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addOwnLocked(key, sum, size)
}

func (b *Blobs) addOwnLocked(key segmentKey, sum storage.Hash, size int64) {
	s := b.ownDirs[key]
	if s == nil {
		s = b.newSegment(key, key.dir(b.dir))
		s.own = true
		b.ownDirs[key] = s
	}
	b.add(s, sum, place{seg: s.id, off: ownFile, size: uint32(size)})
}
