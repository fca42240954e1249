package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stenolog/steno/storage"
)

// MaxLimit is the greatest number of rows in one answer.
const MaxLimit = 1000

// ErrQuery means that a query is not one that the index can answer.
var ErrQuery = errors.New("bad query")

// Sessions implements storage.Index.
func (x *Index) Sessions(ctx context.Context, q storage.SessionQuery) ([]storage.SessionRow, string, error) {
	query, args, err := sessionsSQL(q)
	if err != nil {
		return nil, "", fmt.Errorf("searching sessions: %w", err)
	}
	rows, err := x.d.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, "", fmt.Errorf("searching sessions: %w", classify(err))
	}
	defer rows.Close()
	var out []storage.SessionRow
	for rows.Next() {
		row, err := scanSession(rows)
		if err != nil {
			return nil, "", fmt.Errorf("searching sessions: %w", classify(err))
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("searching sessions: %w", classify(err))
	}
	if len(out) <= q.Limit {
		return out, "", nil
	}
	out = out[:q.Limit]
	last := out[q.Limit-1]
	return out, formatCursor(last.Opened, last.Session), nil
}

// sessionsSQL asks for one row more than the limit, to know whether there is a next page. The index is named, because
// SQLite's planner guesses and the caller was promised one.
func sessionsSQL(q storage.SessionQuery) (string, []any, error) {
	if q.Limit < 1 || q.Limit > MaxLimit {
		return "", nil, fmt.Errorf("%w: limit %d is not within 1 and %d", ErrQuery, q.Limit, MaxLimit)
	}
	if q.RefSystem != "" && q.RefID == "" {
		return "", nil, fmt.Errorf("%w: a reference's system without its id", ErrQuery)
	}
	var where []string
	var args []any
	restrict := func(cond string, a ...any) { where, args = append(where, cond), append(args, a...) }
	set := 0
	for i, value := range [...]string{q.Agent, q.Privilege, q.State} {
		if value != "" {
			set |= 1 << i
			restrict("s."+filterColumns[i]+" = ?", value)
		}
	}
	// o is the table whose index has the order.
	o, from := "s", "sessions s INDEXED BY "+sessionIndex(set)
	if q.RefID != "" {
		// Few sessions share a reference: the other filters are looked at row by row.
		o, from = "r", "refs r CROSS JOIN sessions s ON s.session = r.session"
		restrict("r.id = ?", q.RefID)
		if q.RefSystem != "" {
			restrict("r.system = ?", q.RefSystem)
		}
	}
	if q.From != 0 {
		restrict(o+".opened >= ?", q.From)
	}
	if q.To != 0 {
		restrict(o+".opened < ?", q.To)
	}
	if q.Cursor != "" {
		opened, session, err := parseCursor(q.Cursor)
		if err != nil {
			return "", nil, err
		}
		restrict("("+o+".opened, "+o+".session) < (?, ?)", opened, session)
	}
	columns := "s." + strings.ReplaceAll(sessionColumns, ", ", ", s.")
	query := "SELECT " + columns + " FROM " + from
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	if o == "r" {
		query += " GROUP BY r.opened, r.session" // one id can be of two systems
	}
	query += " ORDER BY " + o + ".opened DESC, " + o + ".session DESC LIMIT ?"
	return query, append(args, q.Limit+1), nil
}

// A cursor is the key of the last row that was given out: "<opened> <session>".
func formatCursor(opened int64, session string) string {
	return strconv.FormatInt(opened, 10) + " " + session
}

func parseCursor(s string) (opened int64, session string, err error) {
	digits, session, ok := strings.Cut(s, " ")
	opened, err = strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || formatCursor(opened, session) != s || len(s) > 1024 {
		return 0, "", fmt.Errorf("%w: not a cursor", ErrQuery)
	}
	return opened, session, nil
}

const entryQuery = `SELECT e.idx, s.session, t.track, e.seq, e.count, e.received
	FROM entries e %s CROSS JOIN tids t ON t.id = e.tid CROSS JOIN sids s ON s.id = e.sid WHERE `

// Entries implements storage.Index.
func (x *Index) Entries(ctx context.Context, session string, from uint64, limit int) ([]storage.EntryRow, error) {
	if limit < 1 || limit > MaxLimit {
		return nil, fmt.Errorf("listing entries: %w: limit %d is not within 1 and %d", ErrQuery, limit, MaxLimit)
	}
	if from > math.MaxInt64 {
		return nil, nil
	}
	return x.entries(ctx, "listing entries", fmt.Sprintf(entryQuery, "INDEXED BY entries_session")+
		"e.sid = (SELECT id FROM sids WHERE session = ?) AND e.idx >= ? ORDER BY e.idx LIMIT ?", session, int64(from), limit)
}

// EntryAt implements storage.Index. No entry has more events than the widest one: that bounds how far before seq the
// entry can begin.
func (x *Index) EntryAt(ctx context.Context, session, track string, seq uint64) (storage.EntryRow, error) {
	var rows []storage.EntryRow
	if seq <= math.MaxInt64 {
		var err error
		rows, err = x.entries(ctx, "looking up entry", fmt.Sprintf(entryQuery, "INDEXED BY entries_track")+
			`e.tid = (SELECT id FROM tids WHERE sid = (SELECT id FROM sids WHERE session = ?1) AND track = ?2)
			AND e.seq <= ?3 AND e.seq > ?3 - (SELECT count FROM widest) AND e.seq + e.count > ?3
			ORDER BY e.idx LIMIT 1`, session, track, int64(seq))
		if err != nil {
			return storage.EntryRow{}, err
		}
	}
	if len(rows) == 0 {
		return storage.EntryRow{}, fmt.Errorf("entry of %s/%s with event %d: %w", session, track, seq, storage.ErrNotFound)
	}
	return rows[0], nil
}

// Mentions implements storage.Index.
func (x *Index) Mentions(ctx context.Context, session string) ([]storage.EntryRow, error) {
	return x.entries(ctx, "listing mentions", `SELECT e.idx, s.session, t.track, e.seq, e.count, e.received
		FROM mentions m CROSS JOIN entries e ON e.idx = m.idx CROSS JOIN tids t ON t.id = e.tid CROSS JOIN sids s ON s.id = e.sid
		WHERE m.sid = (SELECT id FROM sids WHERE session = ?) ORDER BY m.idx`, session)
}

func (x *Index) entries(ctx context.Context, doing, query string, args ...any) ([]storage.EntryRow, error) {
	rows, err := x.d.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, classify(err))
	}
	defer rows.Close()
	out, err := scanEntries(rows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, classify(err))
	}
	return out, nil
}

func scanEntries(rows *sql.Rows) ([]storage.EntryRow, error) {
	var out []storage.EntryRow
	for rows.Next() {
		var r storage.EntryRow
		var index, seq, count int64
		if err := rows.Scan(&index, &r.Session, &r.Track, &seq, &count, &r.Received); err != nil {
			return nil, err
		}
		r.Index, r.Seq, r.Count = uint64(index), uint64(seq), uint64(count)
		out = append(out, r)
	}
	return out, rows.Err()
}
