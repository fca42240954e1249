package witness

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the witness's own. Labels are fixed: requests{call,status}, evidence{kind,kept}, commits{file}.
type metrics struct {
	requests *prometheus.CounterVec
	evidence *prometheus.CounterVec
	batch    *prometheus.HistogramVec
	seconds  *prometheus.HistogramVec

	all []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer, w *Witness) (*metrics, error) {
	name := func(s string) string { return "steno_witness_" + s }
	gauge := func(n, help string, f func() bool) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name(n), Help: help}, func() float64 {
			if f() {
				return 1
			}
			return 0
		})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("requests_total"),
			Help: "Requests by call and status."}, []string{"call", "status"}),
		evidence: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("evidence_total"),
			Help: "Signed checkpoints that were not consistent, by kind, and whether they were kept, known before, or dropped because there were too many."},
			[]string{"kind", "kept"}),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name("batch_requests"),
			Help: "Requests that shared a transaction, by file.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, []string{"file"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name("commit_seconds"),
			Help: "Time that a transaction took, by file.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"file"}),
	}
	for _, k := range []Kind{KindFork, KindUnproven} { // so that an alert sees the first one rise from 0
		for _, to := range []kept{keptNew, keptBefore, keptDropped} {
			m.evidence.WithLabelValues(string(k), string(to))
		}
	}
	m.all = []prometheus.Collector{m.requests, m.evidence, m.batch, m.seconds,
		gauge("clock_refused", "1 if the clock can't be believed, so that nothing is cosigned.", func() bool { return w.Health().Clock != nil }),
		gauge("stopped", "1 if nothing is written any more, until a restart.", func() bool { return w.Health().Store != nil }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name("logs"), Help: "Logs that the witness knows."},
			func() float64 { return float64(w.store.count()) }),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.all {
		if err := reg.Register(c); err != nil {
			m.unregister(reg)
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}

func (m *metrics) request(call string, status int) {
	m.requests.WithLabelValues(call, strconv.Itoa(status)).Inc()
}
