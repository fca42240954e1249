package witness

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stenolog/steno/checkpoint"
)

// A logRow is what a file holds of a log: in state the latest checkpoint that was promised, in published the latest whose
// cosignatures left.
type logRow struct {
	origin string
	size   uint64
	root   [sha256.Size]byte
	note   []byte // with the log's signatures, in published with the cosignatures too; empty: never cosigned
}

// newLogRow is a log of which nothing was cosigned yet.
func newLogRow(origin string) logRow {
	return logRow{origin: origin, root: checkpoint.EmptyRoot(), note: []byte{}}
}

func (r logRow) cosigned() bool { return len(r.note) > 0 }

// sum is what SQLite does not have: a checksum, so that a flipped bit is an error and not another state.
func (r logRow) sum() []byte {
	h := sha256.New()
	field := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	h.Write([]byte("steno/witness-row/v1\n"))
	field([]byte(r.origin))
	h.Write(binary.BigEndian.AppendUint64(nil, r.size))
	h.Write(r.root[:])
	field(r.note)
	return h.Sum(nil)
}

// errNoLog means that a file has no row of a log.
var errNoLog = errors.New("log is not in the database")

const selectLog = "SELECT origin, size, root, note, sum FROM log"

// scanLog reads a row that selectLog returned.
func scanLog(scan func(...any) error) (logRow, error) {
	var r logRow
	var size int64
	var root, sum []byte
	err := scan(&r.origin, &size, &root, &r.note, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return r, errNoLog
	}
	if err != nil {
		return r, err
	}
	if len(root) != len(r.root) || size < 0 {
		return logRow{}, fmt.Errorf("%w: log %q: root of %d bytes at size %d", ErrCorrupt, r.origin, len(root), size)
	}
	r.size, r.root = uint64(size), [sha256.Size]byte(root)
	if string(sum) != string(r.sum()) {
		return logRow{}, fmt.Errorf("%w: log %q: the row does not have its checksum", ErrCorrupt, r.origin)
	}
	return r, nil
}

// loadLog reads a log's row inside a transaction.
func (w *writer) loadLog(ctx context.Context, origin string) (logRow, error) {
	return scanLog(func(dest ...any) error { return w.row(ctx, dest, selectLog+" WHERE origin = ?", origin) })
}

func (w *writer) insertLog(ctx context.Context, r logRow) error {
	_, err := w.run(ctx, "INSERT INTO log (origin, size, root, note, sum) VALUES (?, ?, ?, ?, ?)",
		r.origin, int64(r.size), r.root[:], r.note, r.sum())
	return err
}

func (w *writer) updateLog(ctx context.Context, r logRow) error {
	n, err := w.run(ctx, "UPDATE log SET size = ?, root = ?, note = ?, sum = ? WHERE origin = ?",
		int64(r.size), r.root[:], r.note, r.sum(), r.origin)
	if err == nil && n != 1 {
		err = fmt.Errorf("log %q: %w", r.origin, errNoLog)
	}
	return err
}

// loadLogs reads all rows, by origin.
func (d *database) loadLogs(ctx context.Context) (map[string]logRow, error) {
	rows, err := d.r.QueryContext(ctx, selectLog)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, classify(err))
	}
	defer rows.Close()
	logs := make(map[string]logRow)
	for rows.Next() {
		r, err := scanLog(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.path, err)
		}
		logs[r.origin] = r
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, classify(err))
	}
	return logs, nil
}
