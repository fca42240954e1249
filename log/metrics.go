package log

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the log's own. Labels are fixed: refused{reason}, errors{part}, and those of cosigners are configuration.
type metrics struct {
	leaves     prometheus.Counter
	batch      prometheus.Histogram
	seconds    prometheus.Histogram
	checkpoint prometheus.Gauge
	published  prometheus.Counter
	refused    *prometheus.CounterVec
	errors     *prometheus.CounterVec
	stopped    prometheus.Gauge
	up         *prometheus.GaugeVec
	claims     *prometheus.CounterVec

	all []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer, l *Log) (*metrics, error) {
	gauge := func(name, help string, value func(Health) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(l.Health()) })
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		leaves: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "steno_log_leaves_total", Help: "Leaves appended by this process."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "steno_log_batch_leaves", Help: "Leaves handed to the sequencer at once.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 13)}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "steno_log_append_seconds", Help: "Time until a batch was durable and integrated.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}),
		checkpoint: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "steno_log_checkpoint_size", Help: "Size of the latest published checkpoint."}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "steno_log_checkpoints_total", Help: "Checkpoints published by this process."}),
		refused: counter("steno_log_refused_total", "Appends refused before anything was taken.", "reason"),
		errors:  counter("steno_log_errors_total", "Errors by part.", "part"),
		stopped: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "steno_log_stopped", Help: "1 if the log has stopped for good."}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "steno_log_cosigner_up", Help: "0 if the cosigner fails."}, []string{"cosigner"}),
		claims: counter("steno_log_ahead_claims_total", "Claims of a cosigner, without proof, to have seen more of the log than it signed.", "cosigner"),
	}
	m.all = []prometheus.Collector{
		m.leaves, m.batch, m.seconds, m.checkpoint, m.published, m.refused, m.errors, m.stopped, m.up, m.claims,
		gauge("steno_log_size", "Integrated leaves.", func(h Health) float64 { return float64(h.Size) }),
		gauge("steno_log_queue_leaves", "Leaves waiting for the committer.", func(h Health) float64 { return float64(h.Queue) }),
		gauge("steno_log_unpublished_seconds", "How long the oldest leaf has waited for a published checkpoint.",
			func(h Health) float64 { return h.Unpublished.Seconds() }),
		gauge("steno_log_checkpoint_age_seconds", "Time since the latest checkpoint was published by this process.",
			func(h Health) float64 { return age(h.PublishedSince) }),
		gauge("steno_log_quorum_lost_seconds", "How long a signed checkpoint has waited for the quorum, 0 if it is not lost.",
			func(h Health) float64 { return age(h.QuorumLostSince) }),
		gauge("steno_log_waiting", "1 if nothing is signed until enough witnesses have answered.", func(h Health) float64 {
			if h.Waiting {
				return 1
			}
			return 0
		}),
	}
	for _, c := range l.config.Cosigners {
		m.up.WithLabelValues(c.Name()).Set(1)
		m.claims.WithLabelValues(c.Name())
	}
	for _, reason := range []string{"overloaded", "read_only", "stopped", "closed"} {
		m.refused.WithLabelValues(reason)
	}
	for _, part := range []string{"append", "sign", "archive", "cosign", "stamp"} {
		m.errors.WithLabelValues(part)
	}
	return m, m.register(reg)
}

func age(since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return time.Since(since).Seconds()
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for _, c := range m.all {
		if err := reg.Register(c); err != nil {
			m.unregister(reg)
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}

func (m *metrics) refuse(err error) {
	for reason, target := range map[string]error{
		"overloaded": ErrOverloaded, "read_only": ErrReadOnly, "stopped": ErrStopped, "closed": ErrClosed,
	} {
		if errors.Is(err, target) {
			m.refused.WithLabelValues(reason).Inc()
			return
		}
	}
}
