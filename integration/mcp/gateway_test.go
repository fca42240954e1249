package mcp_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
)

const (
	origin  = "log.example/test"
	session = "0198c7d2-5f00-7abc-8def-0123456789ab"
	track   = "gateway-1"
)

// TestMain lets the test binary be the gateway that a client starts, for the server in its arguments.
func TestMain(m *testing.M) {
	dir := os.Getenv("MCP_GATEWAY_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	// A client may start one process to see what the server speaks and another to work with.
	own, err := os.MkdirTemp(dir, "process-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rec, err := newFileRecorder(own)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	env := os.Environ()
	os.Exit(mcp.ExitCode(mcp.Run(context.Background(), mcp.Config{
		Command: os.Args[1:], Env: append(env, "MCP_GATEWAY_DIR="), Recorder: rec,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})))
}

// kept is a line of the file that the recorder writes.
type kept struct {
	Submission []byte
	Blobs      [][]byte
}

// A fileRecorder builds real entries and keeps them, with the keys, in a directory. Its log is down while there is a file
// called down.
type fileRecorder struct {
	mu    sync.Mutex
	dir   string
	file  *os.File
	track *recorder.Track
}

func newFileRecorder(dir string) (*fileRecorder, error) {
	keys, err := payload.NewKeys(rand.Reader)
	if err != nil {
		return nil, err
	}
	plain := map[string][]byte{}
	for class, key := range keys {
		plain[class.String()] = key[:]
	}
	b, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "keys"), b, 0o600); err != nil {
		return nil, err
	}
	skey, _, err := note.GenerateKey(rand.Reader, "acme/bot")
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	r := &fileRecorder{dir: dir}
	// Continued at 1: the session's opening is not the gateway's.
	r.track, err = recorder.New(recorder.Config{
		Origin: origin, Session: session, Track: track, Signer: signer, Keys: keys, Rand: rand.Reader, Next: 1, Head: entry.Hash{1},
	})
	if err != nil {
		return nil, err
	}
	r.file, err = os.OpenFile(filepath.Join(dir, "track"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return r, err
}

func (r *fileRecorder) Spool(events ...recorder.Event) (entry.Ref, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := entry.Ref{Track: track, Seq: r.track.Next()}
	built, err := r.track.Build(events...)
	if err != nil {
		return first, err
	}
	enc := json.NewEncoder(r.file)
	for _, b := range built {
		if err := enc.Encode(kept{b.Submission, b.Blobs}); err != nil {
			return first, err
		}
	}
	return first, r.file.Sync()
}

func (r *fileRecorder) Record(_ context.Context, events ...recorder.Event) (entry.Ref, error) {
	first, err := r.Spool(events...)
	if err != nil {
		return first, err
	}
	if _, err := os.Stat(filepath.Join(r.dir, "..", "down")); err == nil {
		return first, fmt.Errorf("%w: down", mcp.ErrPending)
	}
	return first, nil
}

// A told is an event, decoded, and its payloads, opened, by slot.
type told struct {
	typ   entry.Type
	value any
	said  map[string]string
}

// readAll opens everything that the gateways of a test recorded, process by process.
func readAll(t *testing.T, dir string) (all []told) {
	t.Helper()
	processes, err := filepath.Glob(filepath.Join(dir, "process-*"))
	if err != nil || len(processes) == 0 {
		t.Fatalf("no records in %s: %v", dir, err)
	}
	for _, p := range processes {
		all = append(all, readTrack(t, p)...)
	}
	return all
}

func readTrack(t *testing.T, dir string) (all []told) {
	t.Helper()
	keys := readKeys(t, dir)
	f, err := os.Open(filepath.Join(dir, "track"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for dec := json.NewDecoder(bufio.NewReader(f)); dec.More(); {
		var k kept
		if err := dec.Decode(&k); err != nil {
			t.Fatal(err)
		}
		e, err := entry.ParseSubmission(k.Submission)
		if err != nil {
			t.Fatal(err)
		}
		blobs := map[payload.Hash][]byte{}
		for i, at := range e.Blobs {
			blobs[payload.Hash(at.SHA256)] = k.Blobs[i]
		}
		for i, ev := range e.Events {
			v, err := ev.Value()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, told{ev.Type, v, openAll(t, keys, e.Seq+uint64(i), v, blobs)})
		}
	}
	return all
}

func readKeys(t *testing.T, dir string) payload.Keys {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string][]byte{}
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	keys := payload.Keys{}
	for name, key := range plain {
		class, err := payload.ParseClass(name)
		if err != nil {
			t.Fatal(err)
		}
		keys[class] = payload.UnitKey(key)
	}
	return keys
}

func openAll(t *testing.T, keys payload.Keys, seq uint64, v any, blobs map[payload.Hash][]byte) map[string]string {
	t.Helper()
	slots := map[string]*entry.Payload{}
	switch v := v.(type) {
	case *entry.ActionIntent:
		slots["params"] = v.Params
	case *entry.ActionResult:
		slots["response"] = v.Response
	case *entry.ActionOutput:
		slots["content"] = v.Content
	case *entry.ActionReject:
		slots["params"] = v.Params
	case *entry.Message:
		slots["content"] = v.Content
	case *entry.Catalog:
		slots["content"] = v.Content
	case *entry.Input:
		slots["content"] = v.Content
	}
	said := map[string]string{}
	for slot, p := range slots {
		if p == nil {
			continue
		}
		opened, err := payload.Open(keys, payload.Place{Origin: origin, Session: session, Track: track, Seq: seq, Slot: slot}, payload.RefOf(p), blobs)
		if err != nil {
			t.Fatal(err)
		}
		b, err := opened.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		said[slot] = string(b)
	}
	return said
}
