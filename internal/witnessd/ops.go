package witnessd

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stenolog/steno/witness"
)

// check is one thing that must be so, in the words of the log server's /healthz.
type check struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// opsHandler serves operators: /healthz is 200 if the witness cosigns, 503 if not.
func opsHandler(health func() witness.Health, g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		h := health()
		answer := struct {
			Status string  `json:"status"`
			Checks []check `json:"checks"`
		}{"ok", []check{checkOf("clock", h.Clock), checkOf("store", h.Store)}}
		status := http.StatusOK
		for _, c := range answer.Checks {
			if !c.OK {
				answer.Status, status = "failing", http.StatusServiceUnavailable
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(answer) //nolint:errcheck // the client is gone
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{DisableCompression: true}))
	return mux
}

func checkOf(name string, err error) check {
	if err != nil {
		return check{name, false, err.Error()}
	}
	return check{name, true, ""}
}
