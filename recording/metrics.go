package recording

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count; labels are codes, never what a client wrote.
type metrics struct {
	entries, events, repeats, snapshots prometheus.Counter
	refused, alerts, verdicts           *prometheus.CounterVec
	sessions, indexed                   prometheus.GaugeFunc
	all                                 []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer, r *Recording) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "steno", Subsystem: "recording", Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "steno", Subsystem: "recording", Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string, f func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "steno", Subsystem: "recording", Name: name, Help: help}, f)
	}
	m := &metrics{
		entries:   counter("entries_total", "Entries of recorders that were admitted."),
		events:    counter("events_total", "Events in them."),
		repeats:   counter("repeats_total", "Entries and events that were in the log already."),
		snapshots: counter("snapshots_total", "Times that heads were written."),
		refused:   vec("refused_total", "Requests that were refused, or not wholly taken, by code.", "code"),
		alerts:    vec("alerts_total", "Alerts raised, also those that were not written because there were many.", "alert"),
		verdicts:  vec("verdicts_total", "Verdicts written.", "verdict"),
		sessions:  gauge("sessions", "Sessions in memory.", func() float64 { return float64(r.registry.count()) }),
		indexed:   gauge("index_behind", "Leaves that the index does not reflect yet.", func() float64 { return float64(r.indexBehind()) }),
	}
	m.all = []prometheus.Collector{m.entries, m.events, m.repeats, m.snapshots, m.refused, m.alerts, m.verdicts, m.sessions, m.indexed}
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

func (g *registry) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

func (r *Recording) indexBehind() uint64 {
	size, indexed := r.cfg.Log.Size(), r.Indexed()
	return size - min(size, indexed)
}
