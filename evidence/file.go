package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
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
	readme := b.Readme
	if readme == nil {
		readme = []byte(ReadmeText)
	}
	if err := errors.Join(a.add(fileManifest, b.manifest()), a.add(fileReadme, readme)); err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{fileReport, b.Report}, {fileCustody, b.Custody}, {fileTrust, b.Trust}} {
		if f.content != nil {
			if err := a.add(f.name, f.content); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(a.add(fileCheckpoint, b.Checkpoint), a.add(fileTree, marshalHashes(b.Tree))); err != nil {
		return err
	}
	for _, l := range b.Leaves {
		if err := a.addLoaded(leafName(l.Index), l.Load, entry.MaxLeaf); err != nil {
			return err
		}
	}
	for _, x := range b.Anchors {
		if err := a.add(anchorName(x.Index), x.Note); err != nil {
			return err
		}
	}
	for _, blob := range b.Public {
		if err := a.addLoaded(publicName(blob.SHA256), blob.Load, maxPublic); err != nil {
			return err
		}
	}
	for _, blob := range b.Blobs {
		if err := a.addLoaded(blobName(blob.SHA256), blob.Load, payload.MaxBlob); err != nil {
			return err
		}
	}
	for _, d := range b.Disclosed {
		if err := a.addLoaded(d.name(), d.Load, maxDisclosure); err != nil {
			return err
		}
	}
	return a.finish()
}

func (a *archiver) addLoaded(name string, load func() ([]byte, error), max int) error {
	content, err := load()
	if err != nil {
		return fmt.Errorf("loading %s: %w", name, err)
	}
	if len(content) > max {
		return fmt.Errorf("%s: %d bytes, at most %d", name, len(content), max)
	}
	return a.add(name, content)
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

func marshalDisclosure(d payload.Disclosure) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing a disclosure: %w", err)
	}
	return b, nil
}
