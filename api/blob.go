package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/storage"
)

func (a *API) blob(ctx context.Context, ref storage.Ref) (b []byte, err error) {
	if ref.Size > int64(wire.MaxBlob) {
		return nil, fmt.Errorf("blob of %d bytes", ref.Size)
	}
	rc, err := a.Blobs.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	b = make([]byte, ref.Size)
	if _, err := io.ReadFull(rc, b); err != nil {
		return nil, err
	}
	// The store checks the hash at the last read, which is the one that finds the end.
	if n, err := rc.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // readers return it bare
		return nil, fmt.Errorf("blob does not end after %d bytes: %w", ref.Size, err)
	}
	return b, nil
}

// readBlob sends one blob. The entry that names it says which session is read, and how large it is.
func (a *API) readBlob(w http.ResponseWriter, r *http.Request) {
	ref, err := a.blobAsked(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	b, err := a.blob(r.Context(), ref.Ref)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	action, s := access.Content, access.Scope{What: access.WhatBlobs, Session: ref.session, From: ref.index, To: ref.index + 1, Blob: ref.SHA256}
	if ref.public { // it tells of no session: that it is read is not recorded
		action, s = access.Metadata, access.Scope{}
	}
	if err := a.gate.Allow(r.Context(), traceOf(r).principal, action, s); err != nil {
		a.fail(w, r, err)
		return
	}
	send(w, wire.BlobType, "no-store", b)
}

// A namedBlob is a blob, and the entry that names it.
type namedBlob struct {
	storage.Ref
	session string
	index   uint64
	public  bool // named by an anchor event
}

func (a *API) blobAsked(r *http.Request) (namedBlob, error) {
	fail := func(err error) (namedBlob, error) { return namedBlob{}, err }
	q, err := query(r, "entry")
	if err != nil {
		return fail(err)
	}
	if !q.Has("entry") {
		return fail(refuse(codeParameter, "entry is missing: the index of the leaf that names the blob"))
	}
	index, err := number(q, "entry", 0, 1<<53)
	if err != nil {
		return fail(err)
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(chi.URLParam(r, "hash"))
	if err != nil || len(sum) != 32 {
		return fail(refuse(codeNotFound, "the path names no SHA-256 in unpadded base64url"))
	}
	e, err := a.leaf(r.Context(), index)
	if err != nil {
		return fail(err)
	}
	for _, b := range e.Blobs {
		if b.SHA256 == entry.Hash(sum) {
			return namedBlob{storage.Ref{SHA256: b.SHA256, Size: int64(b.Size)}, e.Session, index, false}, nil
		}
	}
	public, err := publicBlobs(e)
	if err != nil {
		return fail(fmt.Errorf("leaf %d: %s", index, err.Error())) // as in leaf
	}
	for _, b := range public {
		if b.SHA256 == entry.Hash(sum) {
			return namedBlob{storage.Ref{SHA256: b.SHA256, Size: int64(b.Size)}, e.Session, index, true}, nil
		}
	}
	return fail(refuse(codeNotFound, "that entry names no such blob"))
}

// publicBlobs are those that the anchor events of an entry name. Only the log's own track has such.
func publicBlobs(e *entry.Entry) (all []entry.PublicBlob, err error) {
	for _, ev := range e.Events {
		if ev.Type != entry.TypeAnchor || e.Track != entry.SystemTrack {
			continue
		}
		var v entry.Anchor
		if err := ev.Decode(&v); err != nil {
			return nil, err
		}
		if v.TokenBlob != nil {
			all = append(all, *v.TokenBlob)
		}
		all = append(all, v.LongTerm...)
	}
	return all, nil
}
