package witness

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

// Bounds of what is kept, for each log and kind by itself, so that a log can't fill the disk, and junk can't push out proof.
// What comes first stays.
const (
	MaxEvidence      = 1000
	MaxEvidenceBytes = 8 << 20
)

// A Kind is how far a piece of evidence goes.
type Kind string

const (
	// KindFork convicts the log: it signed two histories.
	KindFork Kind = "fork"
	// KindUnproven is a signed checkpoint that was not shown to be consistent with the one known. It may be a fork, or a client
	// that sent a wrong proof.
	KindUnproven Kind = "unproven"
)

// An Evidence is a signed request that was refused.
type Evidence struct {
	ID      int64
	Origin  string
	Kind    Kind
	Time    time.Time // when it came, by a clock that may be wrong
	Known   []byte    // the checkpoint that was promised before, with the log's signatures; nil if there was none
	Request []byte    // a Request, whose note has the log's signatures only
}

// Fork returns the proof that anyone can verify with the log's keys. Only evidence of KindFork has one.
func (e Evidence) Fork() (trust.Fork, error) {
	if e.Kind != KindFork {
		return trust.Fork{}, fmt.Errorf("evidence %d is %s", e.ID, e.Kind)
	}
	r, err := ParseRequest(e.Request)
	if err != nil {
		return trust.Fork{}, fmt.Errorf("evidence %d: %w", e.ID, err)
	}
	small, _, err := parseNote(e.Known)
	if err != nil {
		return trust.Fork{}, fmt.Errorf("evidence %d: known checkpoint: %w", e.ID, err)
	}
	large, _, err := parseNote(r.Note)
	if err != nil {
		return trust.Fork{}, fmt.Errorf("evidence %d: %w", e.ID, err)
	}
	f := trust.Fork{Small: e.Known, Large: r.Note}
	if small.Size == large.Size {
		return f, nil
	}
	prefix, ok := checkpoint.PrefixRoot(small.Size, large.Size, r.Proof, large.Root)
	if !ok {
		return trust.Fork{}, fmt.Errorf("evidence %d: the proof does not lead to the second checkpoint", e.ID)
	}
	f.Prefix, f.Proof = &prefix, r.Proof
	return f, nil
}

// kept says what became of evidence.
type kept string

const (
	keptNew     kept = "kept"
	keptBefore  kept = "known"
	keptDropped kept = "dropped" // there is too much of it
)

// keep stores evidence inside a transaction. The same two checkpoints are kept once, whatever came with them, so that a
// stranger who repeats what a log signed adds nothing.
func (w *writer) keep(ctx context.Context, kind Kind, at int64, known logRow, r Request, c signed) (kept, error) {
	digest := evidenceDigest(kind, known, c)
	var n, bytes int64
	if err := w.row(ctx, []any{&n}, "SELECT count(*) FROM evidence WHERE digest = ?", digest); err != nil {
		return "", err
	}
	if n > 0 {
		return keptBefore, nil
	}
	err := w.row(ctx, []any{&n, &bytes}, "SELECT count(*), coalesce(sum(bytes), 0) FROM evidence WHERE origin = ? AND kind = ?", c.Origin, string(kind))
	if err != nil {
		return "", err
	}
	request := Request{Old: r.Old, Proof: r.Proof, Note: c.note}.Marshal()
	size := int64(len(known.note) + len(request))
	if n >= MaxEvidence || bytes+size > MaxEvidenceBytes {
		return keptDropped, nil
	}
	_, err = w.run(ctx, "INSERT INTO evidence (origin, kind, digest, time, bytes, known, request) VALUES (?, ?, ?, ?, ?, ?, ?)",
		c.Origin, string(kind), digest, at, size, append([]byte{}, known.note...), request)
	return keptNew, err
}

func evidenceDigest(kind Kind, known logRow, c signed) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "steno/witness-evidence/v1\n%s\n%t\n", kind, known.cosigned())
	h.Write([]byte(checkpoint.Checkpoint{Origin: known.origin, Size: known.size, Root: known.root}.Text()))
	h.Write([]byte(checkpoint.Checkpoint{Origin: c.Origin, Size: c.Size, Root: c.Root}.Text()))
	return h.Sum(nil)
}

// A Reader reads the state of a witness that may be running.
type Reader struct{ db *sql.DB }

// OpenReader opens a witness's state for reading. It takes no lock and compares nothing.
func OpenReader(dirState string) (*Reader, error) {
	d, err := stateSchema.openFile(filepath.Join(dirState, stateFile))
	if err != nil {
		return nil, fmt.Errorf("opening a witness's state: %w", err)
	}
	return &Reader{db: d.r}, d.w.close()
}

// Close closes the file.
func (r *Reader) Close() error { return r.db.Close() }

// Noted returns the latest time noted, the zero time if there is none.
func (r *Reader) Noted(ctx context.Context) (time.Time, error) {
	var t int64
	if err := r.db.QueryRowContext(ctx, "SELECT time FROM meta").Scan(&t); err != nil {
		return time.Time{}, fmt.Errorf("reading the time noted: %w", err)
	}
	if t == 0 {
		return time.Time{}, nil
	}
	return time.Unix(t, 0), nil
}

// Evidence returns what is kept, in the order in which it came. An error is the last thing it yields.
func (r *Reader) Evidence(ctx context.Context) iter.Seq2[Evidence, error] {
	return func(yield func(Evidence, error) bool) {
		for last := int64(0); ; {
			// One at a time: a consumer that takes long must not hold up the write-ahead log.
			e, err := r.next(ctx, last)
			if errors.Is(err, sql.ErrNoRows) {
				return
			}
			if err != nil {
				yield(Evidence{}, fmt.Errorf("reading evidence: %w", err))
				return
			}
			if !yield(e, nil) {
				return
			}
			last = e.ID
		}
	}
}

func (r *Reader) next(ctx context.Context, after int64) (e Evidence, err error) {
	var at int64
	err = r.db.QueryRowContext(ctx, "SELECT id, origin, kind, time, known, request FROM evidence WHERE id > ? ORDER BY id LIMIT 1", after).
		Scan(&e.ID, &e.Origin, &e.Kind, &at, &e.Known, &e.Request)
	e.Time = time.Unix(at, 0)
	if len(e.Known) == 0 {
		e.Known = nil
	}
	return e, err
}
