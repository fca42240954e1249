package api

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of HTTP. Labels are closed sets: listeners, routes, statuses and codes, nothing that a client chooses.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	problems *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, a *API) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "steno_http_requests_total",
			Help: "Requests answered."}, []string{"listener", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "steno_http_request_seconds",
			Help:    "Time from a request's header to its answer.",
			Buckets: []float64{.001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1, 4, 16, 64}}, []string{"listener", "route"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "steno_http_problems_total",
			Help: "Requests answered with a problem."}, []string{"code"}),
	}
	if reg == nil {
		return m, nil
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "steno_http_in_flight_bytes",
		Help: "Bytes of request bodies that are held."}, func() float64 { return float64(a.budget.inUse()) })
	conns := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "steno_http_connections",
		Help: "Open connections of all listeners but ops."}, func() float64 { return float64(a.conns.Open()) })
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.problems, inFlight, conns} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) served(listener, route string, status int, code string, took time.Duration) {
	m.requests.WithLabelValues(listener, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(listener, route).Observe(took.Seconds())
	if code != "" {
		m.problems.WithLabelValues(code).Inc()
	}
}
