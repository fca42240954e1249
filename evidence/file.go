package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
)

// Write writes a bundle. It refuses what Read would refuse, but verifies no signature and no proof.
func Write(w io.Writer, b *Bundle) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("writing evidence: %w", err)
	}
	if err := b.write(newArchiver(w)); err != nil {
		return fmt.Errorf("writing evidence: %w", err)
	}
	return nil
}

func (b *Bundle) write(a *archiver) error {
	for f := range b.files() {
		content, err := f.load()
		if err != nil {
			return fmt.Errorf("loading %s: %w", f.name, err)
		}
		if err := a.add(f.name, content); err != nil {
			return err
		}
	}
	return a.finish(b.members(a.sums))
}

// A file is one of those that a bundle is written as.
type file struct {
	name string
	size int64
	load func() ([]byte, error)
}

func (c Content) as(name string) file { return file{name, c.Size(), c.Load} }

// files are all files of a bundle, in their order. They are made as they are asked for: a table of them would be larger than the
// bundle's own.
func (b *Bundle) files() iter.Seq[file] {
	return func(yield func(file) bool) {
		for _, f := range b.fixed() {
			if !yield(f) {
				return
			}
		}
		for _, l := range b.Leaves {
			if !yield(l.as(leafName(l.Index))) {
				return
			}
		}
		for _, a := range b.Anchors {
			if !yield(ContentOf(a.Note).as(anchorName(a.Index))) {
				return
			}
		}
		for _, p := range b.Public {
			if !yield(p.as(publicName(p.SHA256))) {
				return
			}
		}
		for _, s := range b.Blobs {
			if !yield(s.as(blobName(s.SHA256))) {
				return
			}
		}
		for _, d := range b.Disclosed {
			if !yield(d.as(d.name())) {
				return
			}
		}
	}
}

// fixed are the files with names of their own.
func (b *Bundle) fixed() []file {
	readme := b.Readme
	if readme == nil {
		readme = []byte(ReadmeText)
	}
	all := []file{ContentOf(b.manifest()).as(fileManifest), ContentOf(readme).as(fileReadme)}
	if b.Report != nil {
		all = append(all, ContentOf(b.Report).as(fileReport))
	}
	if b.Custody != nil {
		all = append(all, ContentOf(b.Custody).as(fileCustody))
	}
	if b.Trust != nil {
		all = append(all, ContentOf(b.Trust).as(fileTrust))
	}
	tree := func() ([]byte, error) { return marshalHashes(b.Tree), nil }
	return append(all, ContentOf(b.Checkpoint).as(fileCheckpoint), file{fileTree, int64(len(b.Tree)) * hashLine, tree})
}

// members are the files of a bundle as the archive has them, whose checksums are these.
func (b *Bundle) members(sums []uint32) iter.Seq[member] {
	return func(yield func(member) bool) {
		n, at := 0, int64(0)
		for f := range b.files() {
			m := member{name: f.name, crc: sums[n], size: uint32(f.size), offset: at}
			if n, at = n+1, m.end(); !yield(m) {
				return
			}
		}
	}
}

const hashLine = 45 // bytes of a hash in base64 and its line feed

// marshalHashes writes one hash a line.
func marshalHashes(hashes [][sha256.Size]byte) []byte {
	b := make([]byte, 0, len(hashes)*hashLine)
	for _, h := range hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return b
}
