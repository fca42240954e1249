package posix

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/storage"
)

// Names within a tree's directory. The first two are Tessera's, the others ours.
const (
	stateDir      = ".state"
	treeStatePath = ".state/treeState"
	ownDir        = ".steno"
	lockPath      = ".steno/lock"
	keyPath       = ".steno/internal.key"
	sweptPath     = ".steno/swept"
)

// treeState is Tessera's file of that name.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func emptyRoot() []byte {
	h := sha256.Sum256(nil)
	return h[:]
}

func readTreeState(dir string) (treeState, error) {
	name := filepath.Join(dir, treeStatePath)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return treeState{}, &MissingStateError{Path: name}
	}
	if err != nil {
		return treeState{}, err
	}
	var s treeState
	if err := json.Unmarshal(b, &s); err != nil {
		return treeState{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(s.Root) != sha256.Size {
		return treeState{}, fmt.Errorf("%s: root has %d bytes, want %d", name, len(s.Root), sha256.Size)
	}
	return s, nil
}

func writeTreeState(dir string, s treeState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, treeStatePath), b, 0o644)
}

// rewriteTreeState makes the state that can be read durable. Nobody else may be writing it.
func rewriteTreeState(dir string) error {
	s, err := readTreeState(dir)
	if err != nil {
		return err
	}
	return writeTreeState(dir, s)
}

// ReadHead returns the head of the tree in dir without opening it, for whoever must look before a sequencer is started.
func ReadHead(dir string) (size uint64, root storage.Hash, err error) {
	s, err := readTreeState(dir)
	if err != nil {
		return 0, storage.Hash{}, fmt.Errorf("reading tree head: %w", err)
	}
	return s.Size, storage.Hash(s.Root), nil
}

// lockTree holds the tree for this process and, within it, for one caller.
func lockTree(dir string) (*fileLock, error) {
	if err := durable.MkdirAll(filepath.Join(dir, ownDir), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, lockPath))
	if err != nil {
		return nil, err
	}
	if err := lock.write(fmt.Sprintf("pid %d\n", os.Getpid())); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return lock, nil
}

// createInternalKey makes the key that signs Tessera's own checkpoint, which Tessera insists on. That checkpoint never
// leaves the tree's directory, and the key has no meaning outside: nobody trusts it, and who has it gains nothing. Its
// name is random and ends in .invalid, so that it can't pass for a log's origin. It stays the same across restarts so
// that the checkpoint in the directory always is one that this key signed.
func createInternalKey(dir string) error {
	var id [8]byte
	rand.Read(id[:])
	skey, _, err := note.GenerateKey(rand.Reader, "tessera-internal-"+hex.EncodeToString(id[:])+".invalid")
	if err != nil {
		return err
	}
	err = durable.CreateFile(filepath.Join(dir, keyPath), []byte(skey+"\n"), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // of a create that was interrupted
	}
	return err
}

func loadInternalSigner(dir string) (note.Signer, error) {
	// The key is worth nothing, so its loss is no harm: a new one signs the next internal checkpoint.
	if err := createInternalKey(dir); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, keyPath))
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(string(trimNewline(b)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, keyPath), err)
	}
	return signer, nil
}

func trimNewline(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}

// Head implements storage.Tree. Root is what Tessera noted when it integrated; it is not recomputed here, for the log
// checks it against its own.
func (t *Tree) Head(context.Context) (size uint64, root storage.Hash, err error) {
	return ReadHead(t.dir)
}
