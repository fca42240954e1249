package client

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stenolog/steno/internal/durable"
)

const (
	evidenceName = "evidence"
	forkPrefix   = "fork-"
	forkSuffix   = ".fork"
	maxForks     = 16 // more add nothing to what the first proves
)

// Distrusted tells whether a directory, of a spool or of a reader, holds what a log was caught at: it is nil or a
// *DistrustedError.
func Distrusted(dir string) error {
	found, err := evidenceIn(dir)
	if err == nil && found != "" {
		err = &DistrustedError{Evidence: found}
	}
	return err
}

// evidence is what an error proves with, by file name, or nil if it proves nothing against the server.
func evidence(err error) (kind string, files map[string][]byte) {
	var behind *BehindError
	var receipt *ReceiptError
	var leaf *LeafError
	var fork *ForkError
	switch {
	case errors.As(err, &fork):
		return "fork", nil // has a form of its own
	case errors.As(err, &leaf):
		return "leaf", map[string][]byte{"leaf": leaf.Leaf, "checkpoint": leaf.Checkpoint.Note}
	case errors.As(err, &receipt):
		return "receipt", map[string][]byte{"submission": receipt.Submission, "answer": receipt.Answer}
	case errors.As(err, &behind):
		return "behind", map[string][]byte{"leaf": behind.Leaf, "answer": behind.Answer}
	}
	return "", nil
}

// keepFork writes the proof of a fork beside the spool, durably, and over no other. It returns the path of one that is there.
func keepFork(dir string, f *ForkError) (string, error) {
	b := f.Fork().Marshal()
	sum := sha256.Sum256(b)
	path := filepath.Join(dir, fmt.Sprintf("%s%x%s", forkPrefix, sum[:4], forkSuffix))
	have, err := forksIn(dir)
	if err == nil && len(have) >= maxForks {
		return have[0], nil
	}
	if err == nil {
		err = durable.CreateFile(path, b, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return path, fmt.Errorf("keeping the proof of a fork: %w", err)
	}
	return path, nil
}

// forksIn are the paths of fork files, by name. What is in them does not matter: somebody who looked moves them away.
func forksIn(dir string) (found []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for fork files: %w", err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), forkPrefix) && strings.HasSuffix(f.Name(), forkSuffix) {
			found = append(found, filepath.Join(dir, f.Name()))
		}
	}
	return found, nil
}

// keepEvidence writes what err proves with, durably: the proof of a fork into a file, the rest into a directory of its own. The claim itself is written last, so that
// a directory with a claim is whole.
func keepEvidence(spool string, now time.Time, err error) (string, error) {
	var fork *ForkError
	if errors.As(err, &fork) {
		return keepFork(spool, fork)
	}
	kind, files := evidence(err)
	dir := filepath.Join(spool, evidenceName, now.UTC().Format("20060102T150405.000000Z")+"-"+kind)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return dir, fmt.Errorf("keeping evidence: %w", err)
	}
	claim, jsonErr := json.MarshalIndent(map[string]string{"kind": kind, "found": now.UTC().Format(time.RFC3339Nano), "claim": err.Error()}, "", "  ")
	if jsonErr != nil {
		return dir, fmt.Errorf("keeping evidence: %w", jsonErr)
	}
	for _, name := range sortedKeys(files) {
		if len(files[name]) == 0 {
			continue
		}
		if err := durable.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			return dir, fmt.Errorf("keeping evidence: %w", err)
		}
	}
	if err := durable.WriteFile(filepath.Join(dir, "claim.json"), append(claim, '\n'), 0o600); err != nil {
		return dir, fmt.Errorf("keeping evidence: %w", err)
	}
	return dir, nil
}

// evidenceIn tells whether an earlier process found something: the file or directory of a find, or "".
func evidenceIn(spool string) (string, error) {
	forks, err := forksIn(spool)
	if err != nil {
		return "", err
	}
	if len(forks) > 0 {
		return forks[0], nil
	}
	dir := filepath.Join(spool, evidenceName)
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(found) == 0 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for evidence: %w", err)
	}
	return filepath.Join(dir, found[0].Name()), nil
}
