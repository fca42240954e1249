package api

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
)

// Names of the listeners.
const (
	ListenerIngest = "ingest"
	ListenerPublic = "public"
	ListenerAudit  = "audit"
	ListenerOps    = "ops"
)

// router makes the frame that all listeners share.
func (a *API) router(listener string) *chi.Mux {
	r := chi.NewRouter()
	r.Use(a.observe(listener), a.hurry, a.shed, middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, refuse(codeNotFound, "")) })
	r.MethodNotAllowed(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed(r, req.URL.Path), ", "))
		a.fail(w, req, refuse(codeMethod, ""))
	})
	r.Get("/openapi.yaml", a.serveOpenAPI)
	r.Get("/openapi.json", a.serveOpenAPI)
	return r
}

// allowed lists the methods of a path. SPEC: RFC 9110 15.5.6: the origin server MUST generate an Allow header field.
func allowed(r chi.Routes, path string) []string {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		if r.Match(chi.NewRouteContext(), m, path) {
			methods = append(methods, m)
		}
		if m == http.MethodGet && len(methods) == 1 {
			methods = append(methods, http.MethodHead)
		}
	}
	return methods
}

// Ingest is for recorders.
func (a *API) Ingest() http.Handler {
	r := a.router(ListenerIngest)
	a.publicRoutes(r)
	r.Group(func(r chi.Router) {
		r.Use(a.as(access.Append), a.accept(wire.JSONType))
		r.Post(wire.PathHeartbeat, a.heartbeat)
		r = r.With(a.writable)
		r.Post(wire.PathSessions, a.open)
		r.Post(wire.PathTracks, a.join)
		r.Post(wire.PathEntries, a.entries)
		r.Post(wire.PathEvents, a.events)
		r.Post(wire.PathClose, a.close)
		r.Post(wire.PathRecords, a.record)
	})
	r.With(a.as(access.Status), a.accept(wire.JSONType)).Get(wire.PathHead, a.head)
	a.proveRoutes(r)
	return r
}

// Public is for witnesses and verifiers.
func (a *API) Public() http.Handler {
	r := a.router(ListenerPublic)
	a.publicRoutes(r)
	return r
}

func (a *API) publicRoutes(r chi.Router) {
	r.Get("/checkpoint", a.checkpoint)
	r.Get("/tile/*", a.tile)
}

// proveRoutes are for whoever may hold the log to its word. Operators are not among them: that the quorum is missing, and who
// is, health tells them.
func (a *API) proveRoutes(r chi.Router) {
	r = r.With(a.as(access.Prove), a.accept(wire.ProofType))
	r.Get(wire.PathProof, a.proof)
	r.Get(wire.PathCheckpoint, a.signedCheckpoint)
	r.Get(wire.PathTime, a.entryTime)
}

// Audit is for people who may read.
func (a *API) Audit() http.Handler {
	r := a.router(ListenerAudit)
	r.Get("/checkpoint", a.checkpoint)
	r.Get("/tile/*", a.tile)
	r.With(a.as(access.Content)).Get("/tile/entries/*", a.bundle)
	r.Group(func(r chi.Router) {
		r.Use(a.as(access.Metadata), a.accept(wire.JSONType))
		r.Get(wire.PathSessions, a.search)
		r.Get(wire.PathSession, a.session)
	})
	r.Group(func(r chi.Router) {
		r.Use(a.as(access.Content))
		r.With(a.accept(wire.JSONType)).Get(wire.PathEntries, a.readEntries)
		r.With(a.accept(wire.JSONType)).Get(wire.PathKeys, a.readKeys)
		r.With(a.accept(wire.BlobsType)).Get(wire.PathBlobs, a.readBlobs)
		r.With(a.accept(wire.BlobType)).Get(wire.PathBlob, a.readBlob)
	})
	r.With(a.as(access.Disclose), a.accept(wire.JSONType), a.writable).Post(wire.PathDisclosures, a.disclose)
	a.proveRoutes(r)
	return r
}

// Ops is for those who run the server.
func (a *API) Ops() http.Handler {
	r := a.router(ListenerOps)
	r.Get("/healthz", a.healthz)
	r.Get("/readyz", a.readyz)
	// Whoever may see how the server is may have it stamp: operators, and nobody else.
	r.With(a.as(access.Health), a.accept(wire.JSONType)).Post(wire.PathAnchors, a.anchor)
	if a.OpsAnonymous {
		r.Get("/metrics", a.serveMetrics)
	} else {
		r.With(a.as(access.Health)).Get("/metrics", a.serveMetrics)
	}
	return r
}
