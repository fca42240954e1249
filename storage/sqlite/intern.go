package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxInterned bounds the memory of an interned; it is emptied when it is full.
const maxInterned = 1 << 16

// interned knows the numbers of sessions and tracks. It is used within write transactions only, hence one at a time, and
// cleared when one fails.
type interned struct {
	mu       sync.Mutex
	sessions map[string]int64
	tracks   map[trackName]int64
}

type trackName struct {
	sid   int64
	track string
}

func (n *interned) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sessions, n.tracks = make(map[string]int64), make(map[trackName]int64)
}

func (n *interned) session(ctx context.Context, tx *sql.Tx, session string) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sessionLocked(ctx, tx, session)
}

func (n *interned) sessionLocked(ctx context.Context, tx *sql.Tx, session string) (int64, error) {
	if id, ok := n.sessions[session]; ok {
		return id, nil
	}
	id, err := intern(ctx, tx, "SELECT id FROM sids WHERE session = ?", "INSERT INTO sids (session) VALUES (?)", session)
	if err != nil {
		return 0, err
	}
	if len(n.sessions) >= maxInterned || n.sessions == nil {
		n.sessions = make(map[string]int64)
	}
	n.sessions[session] = id
	return id, nil
}

func (n *interned) track(ctx context.Context, tx *sql.Tx, session, track string) (sid, tid int64, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if sid, err = n.sessionLocked(ctx, tx, session); err != nil {
		return 0, 0, err
	}
	name := trackName{sid, track}
	if tid, ok := n.tracks[name]; ok {
		return sid, tid, nil
	}
	tid, err = intern(ctx, tx, "SELECT id FROM tids WHERE sid = ? AND track = ?", "INSERT INTO tids (sid, track) VALUES (?, ?)", sid, track)
	if err != nil {
		return 0, 0, err
	}
	if len(n.tracks) >= maxInterned || n.tracks == nil {
		n.tracks = make(map[trackName]int64)
	}
	n.tracks[name] = tid
	return sid, tid, nil
}

func intern(ctx context.Context, tx *sql.Tx, find, insert string, args ...any) (id int64, err error) {
	err = tx.QueryRowContext(ctx, find, args...).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	res, err := tx.ExecContext(ctx, insert, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}
