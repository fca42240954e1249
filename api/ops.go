package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stenolog/steno/access"
)

// Health is what a server knows of itself. Its words are its own: nothing of what is recorded is in it.
type Health struct {
	Status string  `json:"status"` // ok, or failing
	Checks []Check `json:"checks,omitempty"`
}

// A Check is one thing that must be so.
type Check struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	// Ready is true of checks without which nothing is taken; the others leave the server ready.
	Ready  bool   `json:"needed_to_record"`
	Detail string `json:"detail,omitempty"`
}

// Words of Health.Status.
const (
	StatusOK      = "ok"
	StatusFailing = "failing"
)

// healthz answers 200 if everything is as it should be. A server that only lags is unhealthy, and ready all the same.
func (a *API) healthz(w http.ResponseWriter, r *http.Request) { a.health(w, r, false) }

// readyz answers 200 if the server records.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) { a.health(w, r, true) }

func (a *API) health(w http.ResponseWriter, r *http.Request, onlyNeeded bool) {
	h := a.Health(r.Context())
	h.Status = StatusOK
	status := http.StatusOK
	for _, c := range h.Checks {
		if !c.OK && (c.Ready || !onlyNeeded) {
			h.Status, status = StatusFailing, http.StatusServiceUnavailable
		}
	}
	if !a.maySeeDetail(r) {
		h.Checks = nil
	}
	a.json(w, r, status, h)
}

// maySeeDetail: load balancers have no token, and need only the status.
func (a *API) maySeeDetail(r *http.Request) bool {
	if a.OpsAnonymous {
		return true
	}
	p, err := a.authenticate(r)
	if err != nil {
		return false
	}
	traceOf(r).principal = p
	return a.gate.Allow(r.Context(), p, access.Health, access.Scope{}) == nil
}

func (a *API) serveMetrics(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(a.Gatherer, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(w, r)
}
