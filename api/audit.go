package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// Pages.
const (
	defaultPage = 100
	maxPage     = 500
)

// states are what ?state= can ask for.
var states = []string{"open", "complete", "interrupted", "abandoned", "late"}

func (a *API) search(w http.ResponseWriter, r *http.Request) {
	sq, err := sessionQuery(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	indexed := a.Recording.CatchUp(r.Context()) // before the rows are read: they reflect this size at least
	rows, next, err := a.Index.Sessions(r.Context(), sq)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	out := wire.Sessions{Sessions: []wire.Session{}, Next: next, Indexed: indexed}
	for _, row := range rows {
		out.Sessions = append(out.Sessions, sessionOf(row))
	}
	a.json(w, r, http.StatusOK, out)
}

func sessionQuery(r *http.Request) (storage.SessionQuery, error) {
	var sq storage.SessionQuery
	q, err := query(r, "agent", "from", "to", "privilege", "state", "ref", "cursor", "limit")
	if err != nil {
		return sq, err
	}
	var limit uint64
	err = errors.Join(
		set(&sq.Agent)(id(q, "agent")),
		set(&sq.Privilege)(id(q, "privilege")),
		set(&sq.From)(moment(q, "from")),
		set(&sq.To)(moment(q, "to")),
		set(&limit)(number(q, "limit", defaultPage, maxPage)),
	)
	if err != nil {
		return sq, err
	}
	sq.State, sq.Cursor, sq.Limit = q.Get("state"), q.Get("cursor"), int(limit)
	if limit == 0 {
		return sq, refuse(codeParameter, "limit is 1 to "+strconv.Itoa(maxPage))
	}
	if q.Has("state") && !slices.Contains(states, sq.State) {
		return sq, refuse(codeParameter, "state is none of "+list(states))
	}
	if len(sq.Cursor) > 512 {
		return sq, refuse(codeParameter, "cursor is none that this server gave")
	}
	if q.Has("ref") {
		var ok bool
		sq.RefSystem, sq.RefID, ok = strings.Cut(q.Get("ref"), ":")
		if !ok || entry.CheckID(sq.RefSystem) != nil || entry.CheckID(sq.RefID) != nil {
			return sq, refuse(codeParameter, "ref is SYSTEM:ID")
		}
	}
	return sq, nil
}

// set makes a value out of what a reader of parameters returns.
func set[T any](dst *T) func(T, error) error {
	return func(v T, err error) error {
		*dst = v
		return err
	}
}

func sessionOf(row storage.SessionRow) wire.Session {
	s := wire.Session{
		Session: row.Session, Agent: row.Agent, Privilege: row.Privilege, Tenant: row.Tenant, Environment: row.Environment,
		Principal: row.Principal, State: row.State, Opened: entry.Time(row.Opened), OpenIndex: row.OpenIndex, Number: row.Number,
		Events: row.Events, Managed: row.Managed,
	}
	if row.Closed != 0 {
		t := entry.Time(row.Closed)
		s.Closed = &t
	}
	return s
}

// row finds the session of the path in the index.
func (a *API) row(r *http.Request) (storage.SessionRow, error) {
	id, err := session(r)
	if err != nil {
		return storage.SessionRow{}, err
	}
	a.Recording.CatchUp(r.Context())
	row, err := a.Index.Session(r.Context(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return row, refuse("unknown-session", "")
	}
	return row, err
}

func (a *API) session(w http.ResponseWriter, r *http.Request) {
	row, err := a.row(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.json(w, r, http.StatusOK, sessionOf(row))
}

// A page is a run of a session's entries, by log index, mentions in system sessions among them.
type page struct {
	session string
	rows    []place
	next    *uint64
	indexed uint64
}

type place struct {
	index   uint64
	mention bool
}

// page finds the entries that ?from and ?limit ask for. It reads the index only: no content.
func (a *API) page(r *http.Request) (page, error) {
	q, err := query(r, "from", "limit")
	if err != nil {
		return page{}, err
	}
	from, err := number(q, "from", 0, 1<<53)
	if err != nil {
		return page{}, err
	}
	limit, err := number(q, "limit", defaultPage, maxPage)
	if err != nil || limit == 0 {
		return page{}, cmp.Or(err, refuse(codeParameter, "limit is 1 to "+strconv.Itoa(maxPage)))
	}
	p := page{indexed: a.Recording.CatchUp(r.Context())}
	row, err := a.row(r)
	if err != nil {
		return page{}, err
	}
	p.session = row.Session
	own, err := a.Index.Entries(r.Context(), p.session, from, int(limit)+1)
	if err != nil {
		return page{}, err
	}
	mentions, err := a.Index.Mentions(r.Context(), p.session)
	if err != nil {
		return page{}, err
	}
	for _, e := range own {
		p.rows = append(p.rows, place{index: e.Index})
	}
	for _, m := range mentions {
		if m.Index >= from {
			p.rows = append(p.rows, place{index: m.Index, mention: true})
		}
	}
	slices.SortFunc(p.rows, func(x, y place) int { return cmp.Compare(x.index, y.index) })
	p.rows = slices.Compact(p.rows)
	if uint64(len(p.rows)) > limit {
		p.next = &p.rows[limit].index
		p.rows = p.rows[:limit]
	}
	return p, nil
}

// watched asks the gate for a page's content, which records the read.
func (a *API) watched(r *http.Request, what string, p page) error {
	s := access.Scope{What: what, Session: p.session}
	if len(p.rows) > 0 {
		s.From, s.To = p.rows[0].index, p.rows[len(p.rows)-1].index+1
	}
	return a.gate.Allow(r.Context(), traceOf(r).principal, access.Content, s)
}

func (a *API) readEntries(w http.ResponseWriter, r *http.Request) {
	p, err := a.page(r)
	if err == nil {
		err = a.watched(r, access.WhatEntries, p)
	}
	out := wire.Entries{Entries: []wire.Leaf{}, Next: p.next, Indexed: p.indexed}
	if err == nil {
		err = a.leaves(r.Context(), p.rows, func(at place, leaf []byte) error {
			out.Entries = append(out.Entries, wire.Leaf{Index: at.index, Leaf: string(leaf), Mention: at.mention})
			return nil
		})
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.json(w, r, http.StatusOK, out)
}

func (a *API) readKeys(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	row, err := a.row(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if err := a.watched(r, access.WhatKeys, page{session: row.Session}); err != nil {
		a.fail(w, r, err)
		return
	}
	wraps, err := a.Keyring.List(r.Context(), row.Session)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	out := wire.Keys{Session: row.Session, Keys: []wire.Key{}}
	for _, k := range wraps {
		out.Keys = append(out.Keys, wire.Key{Track: k.Track, Class: k.Class, Key: entry.Hash(k.Key), File: k.File})
	}
	a.json(w, r, http.StatusOK, out)
}

// readBlobs sends the blobs that a page of entries names, each once, leaving out those that were erased.
func (a *API) readBlobs(w http.ResponseWriter, r *http.Request) {
	p, err := a.page(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	refs, err := a.named(r.Context(), p)
	if err == nil {
		err = a.watched(r, access.WhatBlobs, p)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", wire.BlobsType)
	h.Set("Cache-Control", "no-store")
	io.WriteString(w, wire.BlobsMagic) //nolint:errcheck // as below: a client that is gone
	for _, ref := range refs {
		b, err := a.blob(r.Context(), ref)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			a.logger.ErrorContext(r.Context(), "reading a blob", "request", requestID(r), "error", err)
			// The status has left. Breaking off is the only way to say that the page is not whole.
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(wire.AppendBlob(nil, b)); err != nil {
			return
		}
	}
}

// named lists the blobs that a page of entries names.
func (a *API) named(ctx context.Context, p page) ([]storage.Ref, error) {
	var refs []storage.Ref
	seen := make(map[entry.Hash]bool)
	err := a.leaves(ctx, p.rows, func(at place, leaf []byte) error {
		e, err := admitted(at.index, leaf)
		if err != nil {
			return err
		}
		for _, b := range e.Blobs {
			if !seen[b.SHA256] {
				seen[b.SHA256] = true
				refs = append(refs, storage.Ref{SHA256: b.SHA256, Size: int64(b.Size)})
			}
		}
		return nil
	})
	return refs, err
}

// leaves gives f the leaves of a page. A leaf is proven with all the others of its bundle in the log, so that each bundle is read
// once and not once for each leaf: a page of 500 took a second that way.
func (a *API) leaves(ctx context.Context, rows []place, f func(at place, leaf []byte) error) error {
	reader, err := a.Log.Reader()
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].index/tiles.Width == rows[0].index/tiles.Width {
			n++
		}
		here := rows[:n]
		rows = rows[n:]
		err := reader.Leaves(ctx, here[0].index, here[n-1].index+1, func(index uint64, leaf []byte) error {
			if index != here[0].index {
				return nil
			}
			at := here[0]
			here = here[1:]
			return f(at, leaf)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *API) leaf(ctx context.Context, index uint64) (*entry.Entry, error) {
	b, err := a.Log.Leaf(ctx, index)
	if err != nil {
		return nil, err
	}
	return admitted(index, b)
}

// admitted reads a leaf of the log.
func admitted(index uint64, b []byte) (*entry.Entry, error) {
	e, err := entry.Parse(b)
	if err != nil {
		// It was admitted by this very reader: a fault of ours, not of the request.
		return nil, fmt.Errorf("leaf %d is no entry: %s", index, err.Error())
	}
	return e, nil
}

// send writes bytes whole.
func send(w http.ResponseWriter, contentType, cache string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", cache)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	w.Write(b) //nolint:errcheck // the client is gone
}
