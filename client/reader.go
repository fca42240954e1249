package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/trust"
)

// ReaderConfig is what a Reader needs. Fields after Trust may be empty.
type ReaderConfig struct {
	URL            string // of the audit listener
	Token          string
	Trust          *trust.Trust
	Dir            string // keeps the latest verified checkpoints, and the proof if two fork; empty to forget them
	Transport      http.RoundTripper
	RequestTimeout time.Duration
	Now            func() time.Time
}

// A Reader reads a log and believes nothing that it was not proven. It is safe for concurrent use.
type Reader struct {
	http   *caller
	trust  *trust.Trust
	keeper *keeper
	dir    string
	now    func() time.Time

	mu    sync.Mutex
	tiles map[string][]byte
}

// NewReader makes a Reader. It does not touch the network.
func NewReader(cfg ReaderConfig) (*Reader, error) {
	if cfg.Trust == nil {
		return nil, errors.New("client: a reader needs a trust file")
	}
	setDefault(&cfg.RequestTimeout, DefaultRequestTimeout)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c, err := newCaller(cfg.URL, cfg.Token, cfg.Transport, cfg.RequestTimeout, DefaultRetryMin, DefaultRetryMax)
	if err != nil {
		return nil, err
	}
	r := &Reader{http: c, trust: cfg.Trust, dir: cfg.Dir, now: cfg.Now, tiles: make(map[string][]byte)}
	if cfg.Dir != "" {
		if err := durable.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the reader's directory: %w", err)
		}
	}
	r.keeper, err = openKeeper(cfg.Trust, r.Fetch, c.tile, cfg.Dir)
	return r, err
}

const maxCachedTiles = 2048 // of at most 8 KiB

// Fetch returns the bytes at a tlog-tiles path as the server sends them: unproven. It is a tiles.Fetch.
func (r *Reader) Fetch(ctx context.Context, path string) ([]byte, error) {
	r.mu.Lock()
	b, ok := r.tiles[path]
	r.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := r.http.tile(ctx, path)
	if err != nil {
		return nil, err
	}
	if len(b) <= tiles.Width*sha256.Size && path != "checkpoint" { // what lies at another path never changes
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.tiles) >= maxCachedTiles {
			clear(r.tiles)
		}
		r.tiles[path] = b
	}
	return b, nil
}

// Checkpoint is the log's published one: signed, with all that the trust file demands (else *QuorumError), and of one
// history with every other that this reader has verified (else *ForkError, whose proof is kept).
func (r *Reader) Checkpoint(ctx context.Context) (trust.Checkpoint, error) {
	note, err := r.http.checkpoint(ctx)
	if err != nil {
		return trust.Checkpoint{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return r.seen(r.keeper.see(ctx, note))
}

// Signed is the latest checkpoint that the log has signed, as Checkpoint is but without the quorum perhaps.
func (r *Reader) Signed(ctx context.Context) (trust.Checkpoint, error) {
	note, err := r.http.signedCheckpoint(ctx)
	if err != nil {
		return trust.Checkpoint{}, fmt.Errorf("reading the signed checkpoint: %w", err)
	}
	return r.seen(r.keeper.seeSigned(ctx, note))
}

// seen keeps the proof if a checkpoint forks from one that was seen before.
func (r *Reader) seen(c trust.Checkpoint, err error) (trust.Checkpoint, error) {
	var fork *ForkError
	if errors.As(err, &fork) && r.dir != "" {
		kept, keepErr := keepEvidence(r.dir, r.now(), err)
		return c, &DistrustedError{Evidence: kept, Cause: errors.Join(err, keepErr)}
	}
	return c, err
}

// A Query selects sessions. Empty fields select all.
type Query struct {
	Agent, Privilege, State string
	Ref                     string // SYSTEM:ID
	From, To                time.Time
	Cursor                  string
	Limit                   int
}

func (q Query) values() url.Values {
	v := make(url.Values)
	for name, s := range map[string]string{"agent": q.Agent, "privilege": q.Privilege, "state": q.State, "ref": q.Ref, "cursor": q.Cursor} {
		if s != "" {
			v.Set(name, s)
		}
	}
	if !q.From.IsZero() {
		v.Set("from", q.From.UTC().Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		v.Set("to", q.To.UTC().Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Sessions is a page of the sessions that a query selects. What it says is the server's word: Read is what proves.
func (r *Reader) Sessions(ctx context.Context, q Query) (wire.Sessions, error) {
	var page wire.Sessions
	_, err := r.http.getJSON(ctx, wire.PathSessions, q.values(), maxPage, &page)
	return page, err
}

// Session is what the server's index says of a session.
func (r *Reader) Session(ctx context.Context, id string) (wire.Session, error) {
	var s wire.Session
	if err := entry.CheckSession(id); err != nil {
		return s, fmt.Errorf("session: %w", err)
	}
	_, err := r.http.getJSON(ctx, pathFor(wire.PathSession, id), nil, maxAnswer, &s)
	if err == nil && s.Session != id {
		err = errors.New("the server answered with another session")
	}
	return s, err
}

// Keys are the wrapped unit keys of a session. They are not believed until they are opened: see Unlock.
func (r *Reader) Keys(ctx context.Context, session string) ([]wire.Key, error) {
	var k wire.Keys
	_, err := r.http.getJSON(ctx, pathFor(wire.PathKeys, session), nil, maxPage, &k)
	return k.Keys, err
}

// Blob reads one blob, which hashes to what was asked for. index is that of a leaf that names it, by which the server knows
// whose record is read.
func (r *Reader) Blob(ctx context.Context, index uint64, hash entry.Hash) ([]byte, error) {
	q := url.Values{"entry": {strconv.FormatUint(index, 10)}}
	b, err := r.http.get(ctx, pathFor(wire.PathBlob, base64.RawURLEncoding.EncodeToString(hash[:])), q, int64(wire.MaxBlob))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != hash {
		return nil, fmt.Errorf("the server sent other bytes than those of blob %s", hash)
	}
	return b, nil
}

// Blobs gives f every blob of a record that the server has, each once: see SessionBlobs.
func (r *Reader) Blobs(ctx context.Context, rec *SessionRecord, f func(hash entry.Hash, blob []byte) error) error {
	return r.SessionBlobs(ctx, rec.Summary, f)
}

// A Proof is a c2sp.org/tlog-proof that was verified.
type Proof struct {
	Index      uint64
	Leaf       tiles.Hash
	Hashes     [][32]byte
	Checkpoint trust.Checkpoint
	Bytes      []byte
}

const maxProof = 128 << 10

// Proof reads the server's proof of a leaf and verifies it: the checkpoint's signature and history, and the inclusion.
func (r *Reader) Proof(ctx context.Context, index uint64, leaf []byte) (*Proof, error) {
	b, err := r.http.get(ctx, pathFor(wire.PathProof, strconv.FormatUint(index, 10)), nil, maxProof)
	if err != nil {
		return nil, err
	}
	p, err := r.verifyProof(ctx, b, leaf)
	if err == nil && p.Index != index {
		err = fmt.Errorf("it is of index %d", p.Index)
	}
	if err != nil {
		return nil, fmt.Errorf("the server's proof of leaf %d: %w", index, err)
	}
	return p, nil
}

func (r *Reader) verifyProof(ctx context.Context, b, leaf []byte) (*Proof, error) {
	var tp proof.TLogProof
	if err := tp.Unmarshal(b); err != nil {
		return nil, err
	}
	if !bytes.Equal(tp.Marshal(), b) || tp.ExtraData != nil {
		return nil, errors.New("it is not in its one form")
	}
	c, err := r.seen(r.keeper.see(ctx, tp.Checkpoint))
	if err != nil {
		return nil, err
	}
	if tp.Index >= c.Size || c.Size > tiles.MaxSize {
		return nil, errors.New("its index is not within its checkpoint")
	}
	hash := tiles.LeafHash(leaf)
	path := make(tlog.RecordProof, len(tp.Hashes))
	for i, h := range tp.Hashes {
		path[i] = h
	}
	if err := tlog.CheckRecord(path, int64(c.Size), c.Root, int64(tp.Index), hash); err != nil {
		return nil, err
	}
	tp.Checkpoint = c.Note
	return &Proof{Index: tp.Index, Leaf: hash, Hashes: tp.Hashes, Checkpoint: c, Bytes: tp.Marshal()}, nil
}

// Prove makes the proof of a leaf under a given checkpoint from hash tiles, so that many leaves can be proven under one.
func (r *Reader) Prove(ctx context.Context, c trust.Checkpoint, index uint64, leaf []byte) (*Proof, error) {
	tr, err := tiles.NewReader(tiles.FromFetch(r.Fetch), c.Size, c.Root)
	if err != nil {
		return nil, err
	}
	hash, path, err := tr.Inclusion(ctx, index)
	if err != nil {
		return nil, err
	}
	if hash != tiles.LeafHash(leaf) {
		return nil, fmt.Errorf("another leaf stands at index %d of the tree of size %d", index, c.Size)
	}
	b := proof.TLogProof{Index: index, Hashes: path, Checkpoint: c.Note}.Marshal()
	return &Proof{Index: index, Leaf: hash, Hashes: path, Checkpoint: c, Bytes: b}, nil
}

// Range gives f every leaf of [from, to) in order, proven to stand there in the tree of a checkpoint that this reader has verified.
// It reads whole entry bundles, which the log records as a crawl: one access a minute for 65,536 leaves. What the leaves say is not
// looked at. Memory does not grow with the range.
func (r *Reader) Range(ctx context.Context, c trust.Checkpoint, from, to uint64, f func(index uint64, leaf []byte) error) error {
	tr, err := tiles.NewReader(tiles.FromFetch(r.Fetch), c.Size, c.Root)
	if err != nil {
		return err
	}
	return tr.Leaves(ctx, from, to, f)
}
