package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

const (
	witnessedLogs   = 100
	witnessWorkers  = 50 // each has two of the logs, and one request under way
	publishedRounds = 40 // checkpoints whose way to the public is timed
)

// witnesses measures one witness, and what three of them cost a log.
func (b *bench) witnesses() error {
	for _, a := range []checkpoint.Algorithm{checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44} {
		r, err := b.witnessRate(a)
		if err != nil {
			return err
		}
		goal := ""
		if a == checkpoint.CosignatureEd25519 {
			goal = "≥ 1,000"
		}
		row(fmt.Sprintf("witness, add-checkpoint of %d logs, %s, each durable, requests/s", witnessedLogs, a), fmt.Sprintf("%.0f", r), "", "", goal)
	}
	return b.publishing()
}

// A history is a log with its whole tree in memory, as a witness meets it.
type history struct {
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	size   int64
}

func newHistory(i int) (*history, error) {
	skey, vkey, err := note.GenerateKey(rand.Reader, fmt.Sprintf("bench.example/log%d", i))
	if err != nil {
		return nil, err
	}
	s, err := note.NewSigner(skey)
	return &history{signer: s, vkey: vkey}, err
}

func (h *history) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		out[i] = h.hashes[x]
	}
	return out, nil
}

// grow adds leaves and returns the request that a log makes after it.
func (h *history) grow(leaves int) ([]byte, error) {
	r := witness.Request{Old: uint64(h.size)}
	for range leaves {
		hashes, err := tlog.StoredHashes(h.size, fmt.Appendf(nil, "leaf %d", h.size), h)
		if err != nil {
			return nil, err
		}
		h.hashes = append(h.hashes, hashes...)
		h.size++
	}
	root, err := tlog.TreeHash(h.size, h)
	if err != nil {
		return nil, err
	}
	if r.Old > 0 {
		proof, err := tlog.ProveTree(h.size, int64(r.Old), h)
		if err != nil {
			return nil, err
		}
		for _, p := range proof {
			r.Proof = append(r.Proof, p)
		}
	}
	c := checkpoint.Checkpoint{Origin: h.signer.Name(), Size: uint64(h.size), Root: root}
	r.Note, err = note.Sign(&note.Note{Text: c.Text()}, h.signer)
	return r.Marshal(), err
}

// witnessRate runs a witness as a process and asks it to cosign what many logs grow.
func (b *bench) witnessRate(a checkpoint.Algorithm) (float64, error) {
	dir := filepath.Join(b.dir, "witness-"+a.String())
	var logs []*history
	var list strings.Builder
	for i := range witnessedLogs {
		h, err := newHistory(i)
		if err != nil {
			return 0, err
		}
		logs = append(logs, h)
		fmt.Fprintf(&list, "log %s\n", h.vkey)
	}
	addr, stop, err := b.runWitness(dir, a, list.String())
	if err != nil {
		return 0, err
	}
	defer stop()
	return rate(b.ctx, witnessWorkers, b.o.seconds, func(i int) (func() (int, error), error) {
		c, err := dial(addr)
		turn := 0
		return func() (int, error) {
			turn++
			body, err := logs[(i+turn*witnessWorkers)%witnessedLogs].grow(3)
			if err != nil {
				return 0, err
			}
			_, err = c.post(witness.PathAddCheckpoint, "text/plain", "none", body)
			return 1, err
		}, err
	})
}

func (b *bench) runWitness(dir string, a checkpoint.Algorithm, list string) (addr string, stop func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	skey, _, err := checkpoint.GenerateKey(a, "bench.example/witness")
	if err != nil {
		return "", nil, err
	}
	kind := "ed25519"
	if a == checkpoint.CosignatureMLDSA44 {
		kind = "ml_dsa_44"
	}
	config := fmt.Sprintf("name: bench.example/witness\ndir: state\npublished: published\nkeys:\n  %s: key\nlogs: logs\nlisten:\n  address: 127.0.0.1:0\n"+
		"limits:\n  rate: 1000000\n  burst: 1000000\n", kind)
	for name, content := range map[string]string{"key": skey + "\n", "logs": list, "witness.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return "", nil, err
		}
	}
	file := filepath.Join(dir, "witness.yaml")
	if out, err := exec.CommandContext(b.ctx, b.steno, "witness", "init", "--config", file).CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("steno witness init: %w: %s", err, out)
	}
	cmd := exec.CommandContext(b.ctx, b.steno, "witness", "serve", "--config", file)
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	p := &process{cmd: cmd}
	if _, err := fmt.Fscanf(out, "witness %s\n", &addr); err != nil {
		p.stop()
		return "", nil, fmt.Errorf("steno witness serve did not say where it listens: %w", err)
	}
	return addr, p.stop, nil
}

// publishing times how much later than the log's own signature the quorum is there: two entries go into the same checkpoint,
// and one of the two requests waits for the signature, the other for its publication.
func (b *bench) publishing() error {
	p, d, err := b.up("publishing")
	if err != nil {
		return err
	}
	defer p.stop()
	var all []time.Duration
	for range publishedRounds {
		// Just after a checkpoint, so that both entries are in the next one.
		if _, _, err := d.waited(wire.Witnessed); err != nil {
			return err
		}
		var at [2]time.Time
		var errs [2]error
		var sizes [2]string
		var wg sync.WaitGroup
		for i, level := range []wire.Level{wire.Integrated, wire.Witnessed} {
			wg.Go(func() { at[i], sizes[i], errs[i] = d.waited(level) })
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		if sizes[0] == sizes[1] {
			all = append(all, max(0, at[1].Sub(at[0])))
		}
	}
	if len(all) < publishedRounds/2 {
		return fmt.Errorf("only %d of %d pairs came into one checkpoint", len(all), publishedRounds)
	}
	slices.Sort(all)
	row("three local witnesses, from the log's signature to the published checkpoint, median", ms(percentile(all, 0.5)), "", "", "≤ 10 ms")
	row("… 99th percentile", ms(percentile(all, 0.99)), "", "", "")
	return nil
}

// waited records a session in one request and returns when the answer was there, and the size of the checkpoint in it.
func (d *deployment) waited(level wire.Level) (at time.Time, size string, err error) {
	const body = `{"session":{"agent":"bench","privilege":"financial","purpose":"measuring"},"events":[],"close":{"outcome":"completed"}}`
	req, err := http.NewRequest("POST", "http://"+d.Ingest+"/v1/records?wait="+string(level), strings.NewReader(body))
	if err != nil {
		return at, "", err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", wire.JSONType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return at, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	at = time.Now()
	if err != nil {
		return at, "", err
	}
	var a wire.Answer
	if err := json.Unmarshal(b, &a); err != nil || len(a.Receipts) == 0 {
		return at, "", fmt.Errorf("recording: status %d: %.300s", resp.StatusCode, b)
	}
	last := a.Receipts[len(a.Receipts)-1]
	if last.Level != level {
		return at, "", fmt.Errorf("asked for level %s, got %s", level, last.Level)
	}
	lines := strings.SplitN(last.Checkpoint, "\n", 3)
	return at, lines[1], nil
}
