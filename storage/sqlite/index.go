package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/stenolog/steno/storage"
)

// indexCreate: sessions and tracks are interned, so that the many rows of entries are small and go to the right edge of
// their table, whose key is the log index. Every combination of the filters of a query has an index of its own in the
// order of the answer: see sessionIndex.
var indexCreate = viewMeta + `
	CREATE TABLE sids (id INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE) STRICT;
	CREATE TABLE tids (id INTEGER PRIMARY KEY, sid INTEGER NOT NULL, track TEXT NOT NULL, UNIQUE (sid, track)) STRICT;
	CREATE TABLE entries (
		idx INTEGER PRIMARY KEY, sid INTEGER NOT NULL, tid INTEGER NOT NULL,
		seq INTEGER NOT NULL, count INTEGER NOT NULL, received INTEGER NOT NULL
	) STRICT;
	CREATE INDEX entries_session ON entries (sid);
	CREATE INDEX entries_track ON entries (tid, seq);
	CREATE TABLE widest (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
	INSERT INTO widest (id, count) VALUES (1, 1);
	CREATE TABLE mentions (sid INTEGER NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (sid, idx)) STRICT, WITHOUT ROWID;
	CREATE TABLE refs (
		id TEXT NOT NULL, opened INTEGER NOT NULL, session TEXT NOT NULL, system TEXT NOT NULL,
		PRIMARY KEY (id, opened, session, system)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE sessions (
		session TEXT PRIMARY KEY, agent TEXT NOT NULL, privilege TEXT NOT NULL, tenant TEXT NOT NULL,
		environment TEXT NOT NULL, principal TEXT NOT NULL, state TEXT NOT NULL, opened INTEGER NOT NULL,
		closed INTEGER NOT NULL, open_index INTEGER NOT NULL, number INTEGER NOT NULL, events INTEGER NOT NULL,
		managed INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;` + sessionIndexes()

var indexTables = []string{"sids", "tids", "entries", "widest", "mentions", "refs", "sessions", "meta"}

// filterColumns are the columns that a query can restrict, in the order in which indexes have them.
var filterColumns = [...]string{"agent", "privilege", "state"}

// sessionIndex names the index for the filters of a bit set.
func sessionIndex(set int) string {
	name := "sessions_by"
	for i, column := range filterColumns {
		if set&(1<<i) != 0 {
			name += "_" + column
		}
	}
	return name
}

func sessionIndexes() string {
	var b strings.Builder
	for set := range 1 << len(filterColumns) {
		columns := ""
		for i, column := range filterColumns {
			if set&(1<<i) != 0 {
				columns += column + ", "
			}
		}
		fmt.Fprintf(&b, "\nCREATE INDEX %s ON sessions (%sopened, session);", sessionIndex(set), columns)
	}
	return b.String()
}

// An Index is a file of its own. It implements storage.Index.
type Index struct {
	view
	ids interned
}

var _ storage.Index = (*Index)(nil)

// OpenIndex opens the file, or makes it. Of an error that is ErrCorrupt the way out is RemoveView.
func OpenIndex(path string) (*Index, error) {
	s := schema{app: 0x73746e49, ver: 1, sync: viewSync, create: indexCreate, extra: viewTuning}
	d, err := s.open(path, true)
	if err != nil {
		return nil, fmt.Errorf("opening index: %w", err)
	}
	return &Index{view: view{d: d, tables: indexTables, create: indexCreate}}, nil
}

// Drop implements storage.View.
func (x *Index) Drop(ctx context.Context) error {
	defer x.ids.clear()
	return x.view.Drop(ctx)
}

// Apply implements storage.Index.
func (x *Index) Apply(ctx context.Context, size uint64, batch storage.IndexBatch) error {
	err := x.d.write(ctx, func(tx *sql.Tx) error {
		if err := setSize(ctx, tx, size); err != nil {
			return err
		}
		if err := putSessions(ctx, tx, batch.Sessions); err != nil {
			return err
		}
		if err := x.putEntries(ctx, tx, batch.Entries); err != nil {
			return err
		}
		if err := x.putMentions(ctx, tx, batch.Mentions); err != nil {
			return err
		}
		return putRefs(ctx, tx, batch.Refs)
	})
	if err != nil {
		x.ids.clear() // it may know ids that were rolled back
		return fmt.Errorf("applying index: %w", classify(err))
	}
	return nil
}

func (x *Index) putEntries(ctx context.Context, tx *sql.Tx, rows []storage.EntryRow) error {
	type ids struct{ sid, tid int64 }
	known := make([]ids, len(rows))
	widest := uint64(0)
	for i, row := range rows {
		if row.Index > math.MaxInt64 || row.Seq > math.MaxInt64-row.Count || row.Count < 1 || row.Count > math.MaxUint16 {
			return fmt.Errorf("entry %d with %d events from %d is out of range", row.Index, row.Count, row.Seq)
		}
		widest = max(widest, row.Count)
		var err error
		if known[i].sid, known[i].tid, err = x.ids.track(ctx, tx, row.Session, row.Track); err != nil {
			return err
		}
	}
	if widest > 1 {
		if _, err := tx.ExecContext(ctx, "UPDATE widest SET count = ?1 WHERE count < ?1", int64(widest)); err != nil {
			return err
		}
	}
	const insert = `INSERT INTO entries (idx, sid, tid, seq, count, received) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (idx) DO NOTHING`
	return insertEach(ctx, tx, insert, len(rows), func(i int) []any {
		row := rows[i]
		return []any{int64(row.Index), known[i].sid, known[i].tid, int64(row.Seq), int64(row.Count), row.Received}
	})
}

func (x *Index) putMentions(ctx context.Context, tx *sql.Tx, rows []storage.MentionRow) error {
	sids := make([]int64, len(rows))
	for i, row := range rows {
		var err error
		if sids[i], err = x.ids.session(ctx, tx, row.Session); err != nil {
			return err
		}
		if _, err := toInt64(row.Index, "index"); err != nil {
			return err
		}
	}
	const insert = "INSERT INTO mentions (sid, idx) VALUES (?, ?) ON CONFLICT DO NOTHING"
	return insertEach(ctx, tx, insert, len(rows), func(i int) []any { return []any{sids[i], int64(rows[i].Index)} })
}

// putRefs notes with each reference when its session was opened, for that is the order of answers.
func putRefs(ctx context.Context, tx *sql.Tx, rows []storage.RefRow) error {
	if len(rows) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, `INSERT INTO refs (id, opened, session, system)
		SELECT ?1, coalesce((SELECT opened FROM sessions WHERE session = ?2), 0), ?2, ?3 WHERE true ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, row := range rows {
		if _, err := stmt.ExecContext(ctx, row.ID, row.Session, row.System); err != nil {
			return err
		}
	}
	return nil
}

const sessionColumns = "session, agent, privilege, tenant, environment, principal, state, opened, closed, open_index, number, events, managed"

func putSessions(ctx context.Context, tx *sql.Tx, rows []storage.SessionRow) error {
	if len(rows) == 0 {
		return nil
	}
	// Most rows come to tell of more events: tried first is the update that leaves all indexes alone.
	quick, err := tx.PrepareContext(ctx, `UPDATE sessions SET
		tenant=?, environment=?, principal=?, closed=?, open_index=?, number=?, events=?, managed=?
		WHERE session=? AND agent=? AND privilege=? AND state=? AND opened=?`)
	if err != nil {
		return err
	}
	defer quick.Close()
	full, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO sessions ("+sessionColumns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)")
	if err != nil {
		return err
	}
	defer full.Close()
	for _, r := range rows {
		if r.OpenIndex > math.MaxInt64 || r.Number > math.MaxInt64 || r.Events > math.MaxInt64 {
			return fmt.Errorf("session %s: a number is out of range", r.Session)
		}
		res, err := quick.ExecContext(ctx, r.Tenant, r.Environment, r.Principal, r.Closed, int64(r.OpenIndex), int64(r.Number),
			int64(r.Events), r.Managed, r.Session, r.Agent, r.Privilege, r.State, r.Opened)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := full.ExecContext(ctx, r.Session, r.Agent, r.Privilege, r.Tenant, r.Environment, r.Principal, r.State,
			r.Opened, r.Closed, int64(r.OpenIndex), int64(r.Number), int64(r.Events), r.Managed); err != nil {
			return err
		}
	}
	return nil
}

// Session implements storage.Index.
func (x *Index) Session(ctx context.Context, session string) (storage.SessionRow, error) {
	row, err := scanSession(x.d.r.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM sessions WHERE session = ?", session))
	if errors.Is(err, sql.ErrNoRows) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.SessionRow{}, fmt.Errorf("looking up session %s: %w", session, classify(err))
	}
	return row, nil
}

func scanSession(row interface{ Scan(...any) error }) (r storage.SessionRow, err error) {
	var openIndex, number, events int64
	err = row.Scan(&r.Session, &r.Agent, &r.Privilege, &r.Tenant, &r.Environment, &r.Principal, &r.State, &r.Opened, &r.Closed,
		&openIndex, &number, &events, &r.Managed)
	r.OpenIndex, r.Number, r.Events = uint64(openIndex), uint64(number), uint64(events)
	return r, err
}
