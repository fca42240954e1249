package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/log/tiles"
)

// Shape of a tile, by c2sp.org/tlog-tiles.
const (
	tileWidth = 256
	hashSize  = 32
)

// How long answers may be kept. A full tile never changes. A partial one does not either, but is asked for only until it is
// overtaken. What changes, and what is content, is not kept: a cached checkpoint is an old one, and a cached bundle would be
// read without the log knowing.
const (
	cacheFull    = "public, max-age=31536000, immutable"
	cachePartial = "public, max-age=60"
	cacheNever   = "no-store"
)

// checkpoint serves the latest published one.
// SPEC: tlog-tiles: checkpoints SHOULD have a Content-Type of text/plain; charset=utf-8, and be cached briefly if at all.
func (a *API) checkpoint(w http.ResponseWriter, r *http.Request) {
	_, b := a.Log.Checkpoint()
	if b == nil {
		a.fail(w, r, refuse(codeNotCovered, "no checkpoint is published yet"))
		return
	}
	send(w, "text/plain; charset=utf-8", cacheNever, b)
}

// signedCheckpoint serves the latest that the log has signed. It may lack the quorum, so it stands on another path than the
// one from which witnesses and verifiers take what is published, and only those get it who may ask for proofs: whoever has
// it can show later that the log signed it.
func (a *API) signedCheckpoint(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	_, b := a.Log.Signed()
	if b == nil {
		a.fail(w, r, refuse(codeNotCovered, "no checkpoint is signed yet"))
		return
	}
	send(w, wire.ProofType, cacheNever, b)
}

// tilePath reads the path of a tile or bundle; other spellings of it are not found.
func tilePath(r *http.Request) (tiles.Place, error) {
	if r.URL.RawPath != "" || r.URL.RawQuery != "" {
		return tiles.Place{}, refuse(codeNotFound, "")
	}
	p, err := tiles.ParsePath(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		return tiles.Place{}, refuse(codeNotFound, "")
	}
	return p, nil
}

// tile serves hash tiles. They are not checked here: whoever reads them checks them against a checkpoint.
// SPEC: tlog-tiles: tiles SHOULD have a Content-Type of application/octet-stream.
func (a *API) tile(w http.ResponseWriter, r *http.Request) {
	p, err := tilePath(r)
	if err == nil && p.Bundle {
		err = refuse(codeNotFound, "entry bundles are on the audit listener")
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	b, err := a.readTile(r.Context(), p)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	cache := cacheFull
	if p.Width != 0 {
		cache = cachePartial
	}
	send(w, wire.BlobType, cache, b)
}

func (a *API) readTile(ctx context.Context, p tiles.Place) ([]byte, error) {
	b, err := a.Tree.Tile(ctx, p.Level, p.Index, p.Width)
	if err != nil {
		return nil, err
	}
	want := int(p.Width) * hashSize
	if p.Width == 0 {
		want = tileWidth * hashSize
	}
	if len(b) != want {
		return nil, fmt.Errorf("tile %s has %d bytes, want %d", p, len(b), want)
	}
	return b, nil
}

// bundle serves the entries of a tile: content, so that the read is recorded first. It is made from leaves that were checked
// against the tree.
func (a *API) bundle(w http.ResponseWriter, r *http.Request) {
	p, err := tilePath(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	from, n := p.Index*tileWidth, uint64(p.Width)
	if n == 0 {
		n = tileWidth
	}
	if p.Index >= 1<<53/tileWidth || from+n > a.Log.Size() {
		a.fail(w, r, refuse(codeNotFound, "the log does not have these entries yet"))
		return
	}
	s := access.Scope{What: access.WhatBundle, From: from, To: from + n}
	if err := a.gate.Allow(r.Context(), traceOf(r).principal, access.Content, s); err != nil {
		a.fail(w, r, err)
		return
	}
	reader, err := a.Log.Reader()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	var b []byte
	err = reader.Leaves(r.Context(), from, from+n, func(_ uint64, leaf []byte) error {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...) // a leaf has at most 65,535 bytes
		return nil
	})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	send(w, wire.BlobType, cacheNever, b)
}

// proof serves a tlog-proof, which the log verified. It has hashes and a checkpoint, no content. The checkpoint is a published
// one, or with level=integrated one that the log has signed.
func (a *API) proof(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "level")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	proof := a.Log.Proof
	switch level := wire.Level(q.Get("level")); {
	case level == wire.Integrated:
		proof = a.Log.ProofSigned
	case q.Has("level") && level != wire.Witnessed:
		a.fail(w, r, refuse(codeParameter, "level is none of integrated, witnessed"))
		return
	}
	index, err := number(map[string][]string{"index": {chi.URLParam(r, "index")}}, "index", 0, 1<<53)
	if err != nil {
		a.fail(w, r, refuse(codeNotFound, "the path names no entry"))
		return
	}
	b, err := proof(r.Context(), index)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	send(w, wire.ProofType, cacheNever, b)
}
