package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stenolog/steno/internal/durable"
)

const evidenceName = "evidence"

// evidence is what an error proves with, by file name, or nil if it proves nothing against the server.
func evidence(err error) (kind string, files map[string][]byte) {
	var behind *BehindError
	var receipt *ReceiptError
	var leaf *LeafError
	var fork *ForkError
	switch {
	case errors.As(err, &fork):
		return "fork", map[string][]byte{"checkpoint-ours": fork.Ours.Note, "checkpoint-theirs": fork.Theirs.Note,
			"consistency-proof": proofLines(fork.Proof)}
	case errors.As(err, &leaf):
		return "leaf", map[string][]byte{"leaf": leaf.Leaf, "checkpoint": leaf.Checkpoint.Note}
	case errors.As(err, &receipt):
		return "receipt", map[string][]byte{"submission": receipt.Submission, "answer": receipt.Answer}
	case errors.As(err, &behind):
		return "behind", map[string][]byte{"leaf": behind.Leaf, "answer": behind.Answer}
	}
	return "", nil
}

func proofLines(proof [][32]byte) []byte {
	var b []byte
	for _, h := range proof {
		b = fmt.Appendf(b, "%x\n", h)
	}
	return b
}

// keepEvidence writes what err proves with into a directory of its own, durably. The claim itself is written last, so that
// a directory with a claim is whole.
func keepEvidence(spool string, now time.Time, err error) (string, error) {
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

// evidenceIn tells whether an earlier process found something: the directory of the oldest find, or "".
func evidenceIn(spool string) (string, error) {
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
