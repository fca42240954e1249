package anchoring

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Health is how the authorities stand, in the order of Config.
type Health struct {
	Authorities []AuthorityHealth
	// RenewBy is by when the newest tokens must be covered by others, lest nothing speaks for them; zero if nothing is known.
	RenewBy time.Time
}

// AuthorityHealth is how one stands.
type AuthorityHealth struct {
	Name   string
	Late   bool      // it has missed its round by a period
	Since  time.Time // failing since; zero if it is not
	Reason string    // of the last failure
	Size   uint64    // of the last checkpoint that it anchored; 0 if there is none
	Last   time.Time // when that was written, by the log's clock

	Counts  bool      // the trust file names it
	RenewBy time.Time // by when its last token must be covered by another's; zero if it is, or nothing is known of it
}

// Health says how the authorities stand.
func (a *Anchoring) Health() (h Health) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.authorities {
		s := AuthorityHealth{Name: x.Pinned.Name, Late: a.late(x, now), Reason: x.reason, Size: x.last.Size,
			Counts: a.pins[x.Pinned.Name].counts, RenewBy: a.renewBy(x)}
		if x.last.Size > 0 {
			s.Last = x.last.Received.Time()
		}
		if x.owes && (x.failures > 0 || s.Late) {
			s.Since = x.since
		}
		h.Authorities = append(h.Authorities, s)
	}
	h.RenewBy = a.renewal(now)
	return h
}

// metrics: the label is a name of the configuration.
type metrics struct {
	rounds           prometheus.Counter
	tokens, failures *prometheus.CounterVec
	offset           *prometheus.GaugeVec
	late, renewBy    prometheus.GaugeFunc
	all              []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer, a *Anchoring) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "steno", Subsystem: "anchoring", Name: name, Help: help}
	}
	label := []string{"authority"}
	m := &metrics{
		rounds:   prometheus.NewCounter(prometheus.CounterOpts(opts("rounds_total", "Checkpoints that authorities were asked to stamp."))),
		tokens:   prometheus.NewCounterVec(prometheus.CounterOpts(opts("tokens_total", "Tokens that were recorded.")), label),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts(opts("failures_total", "Attempts that failed.")), label),
		offset: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("clock_offset_seconds",
			"Time of the last token less the log's clock when it was recorded.")), label),
		late: prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("authorities_late", "Authorities that have missed their round by a period.")),
			func() float64 { return float64(a.Health().late()) }),
	}
	const renewBy = "Time by which the newest tokens must be covered by others, in seconds since 1970; +Inf if there is none."
	m.renewBy = prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("renew_by_timestamp_seconds", renewBy)),
		func() float64 { return stampOf(a.Health().RenewBy) })
	m.all = []prometheus.Collector{m.rounds, m.tokens, m.failures, m.offset, m.late, m.renewBy}
	for i, x := range a.authorities {
		o := prometheus.GaugeOpts(opts("authority_renew_by_timestamp_seconds", "Time by which the authority's last token must be covered by another's, in seconds since 1970; +Inf if it is."))
		o.ConstLabels = prometheus.Labels{label[0]: x.Pinned.Name}
		m.all = append(m.all, prometheus.NewGaugeFunc(o, func() float64 { return stampOf(a.Health().Authorities[i].RenewBy) }))
		m.tokens.WithLabelValues(x.Pinned.Name)
		m.failures.WithLabelValues(x.Pinned.Name)
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

// stampOf is a time as metrics have it. What is not due is due at the end of time, so that a rule over what is left needs no case.
func stampOf(t time.Time) float64 {
	if t.IsZero() {
		return math.Inf(1)
	}
	return float64(t.Unix())
}

func (h Health) late() (n int) {
	for _, x := range h.Authorities {
		if x.Late {
			n++
		}
	}
	return n
}
