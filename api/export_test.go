package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/api/wire"
)

// Kind is a line of the table.
type Kind struct {
	Status int
	Title  string
}

// Kinds is the table.
func Kinds() map[string]Kind {
	out := make(map[string]Kind)
	for c, k := range kinds {
		out[c] = Kind{k.status, k.title}
	}
	return out
}

// Routes lists every route as "listener method path".
func Routes() []string {
	tokens, err := access.NewTokens(nil)
	if err != nil {
		panic(err)
	}
	a, err := New(Config{Tokens: tokens, Registerer: prometheus.NewRegistry()})
	if err != nil {
		panic(err)
	}
	var routes []string
	for name, h := range map[string]http.Handler{ListenerIngest: a.Ingest(), ListenerPublic: a.Public(), ListenerAudit: a.Audit(), ListenerOps: a.Ops()} {
		err := chi.Walk(h.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
			route = strings.Replace(route, "/*", "/{path}", 1)
			routes = append(routes, name+" "+strings.ToLower(method)+" "+route)
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
	slices.Sort(routes)
	return routes
}

// Accepts is accepts.
var Accepts = accepts

// Raise is raise.
func Raise(l Log, witnessed bool, receipts []wire.Receipt, want wire.Level) {
	a := &API{Config: Config{Log: l, Witnessed: witnessed, Limits: Limits{MaxWait: time.Millisecond}}}
	a.raise(context.Background(), receipts, want)
}
