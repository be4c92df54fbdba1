package app

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// metrics is what the autoscaler tells of itself. The first three are named as
// in the autoscaler's earlier versions, and so are their statuses.
type metrics struct {
	registry *prometheus.Registry

	machines  map[scale.Verb]*prometheus.CounterVec
	reconcile *prometheus.CounterVec

	passDuration   prometheus.Histogram
	target         *prometheus.GaugeVec
	current        *prometheus.GaugeVec
	value          *prometheus.GaugeVec
	known          *prometheus.GaugeVec
	requests       *prometheus.HistogramVec
	requestErrors  *prometheus.CounterVec
	sources        *prometheus.HistogramVec
	sourceFailures *prometheus.CounterVec
}

func newMetrics(version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	// From a tenth of what a call to a near region takes up to the timeout of one.
	buckets := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		machines: map[scale.Verb]*prometheus.CounterVec{
			scale.Start:   counter("fas_machine_start_count", "Machines started, by status (ok, failed, unknown).", "status"),
			scale.Stop:    counter("fas_machine_stop_count", "Machines stopped, by status (ok, failed, unknown).", "status"),
			scale.Create:  counter("fas_machine_create_count", "Machines created, by status (ok, failed, unknown).", "status"),
			scale.Destroy: counter("fas_machine_destroy_count", "Machines destroyed, by status (ok, failed, unknown).", "status"),
		},
		reconcile: counter("fas_reconcile_count", "Passes, by what they did: create, destroy, start, stop, no_scale (nothing to do), dry_run (would have acted), failed.", "status"),
		passDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fas_pass_duration_seconds", Help: "Duration of passes.", Buckets: append(buckets, 30, 60),
		}),
		target:         gauge("fas_target_machine_count", "Machines wanted, by kind (created, started).", "app", "process_group", "kind"),
		current:        gauge("fas_current_machine_count", "Machines there, by kind (created, started). Started includes those that boot.", "app", "process_group", "kind"),
		value:          gauge("fas_metric_value", "Value of a metric in the last pass; absent while it is unknown.", "app", "process_group", "metric"),
		known:          gauge("fas_metric_known", "1 if the metric's value was known in the last pass, else 0.", "app", "process_group", "metric"),
		requests:       histogram("fas_api_request_duration_seconds", "Duration of requests to the platform's API, by operation and HTTP status (0: no answer).", "operation", "status"),
		requestErrors:  counter("fas_api_error_count", "Requests to the platform's API that failed, by operation and kind of failure.", "operation", "kind"),
		sources:        histogram("fas_source_duration_seconds", "Duration of queries to metric sources, by metric.", "metric"),
		sourceFailures: counter("fas_source_error_count", "Queries to metric sources without a usable value, by metric and reason (empty, error).", "metric", "reason"),
	}
	for _, verb := range []scale.Verb{scale.Start, scale.Stop, scale.Create, scale.Destroy} {
		m.registry.MustRegister(m.machines[verb])
		m.machines[verb].WithLabelValues("ok")
		m.machines[verb].WithLabelValues("failed")
	}
	for _, status := range []string{"create", "destroy", "start", "stop", "no_scale", "dry_run", "failed"} {
		m.reconcile.WithLabelValues(status)
	}
	build := gauge("fas_build_info", "1, with the version as a label.", "version")
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.reconcile, m.passDuration, m.target, m.current, m.value, m.known,
		m.requests, m.requestErrors, m.sources, m.sourceFailures, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// pass takes note of a pass.
func (m *metrics) pass(r reconcile.Report) {
	m.passDuration.Observe(r.Took.Seconds())
	acted := false
	for _, verb := range []scale.Verb{scale.Create, scale.Destroy, scale.Start, scale.Stop} {
		if r.Plan.Count(verb) > 0 && !r.DryRun {
			acted = true
			m.reconcile.WithLabelValues(string(verb)).Inc()
		}
	}
	switch {
	case acted:
	case !r.Plan.Empty():
		m.reconcile.WithLabelValues("dry_run").Inc()
	case r.Err != nil:
		m.reconcile.WithLabelValues("failed").Inc()
	default:
		m.reconcile.WithLabelValues("no_scale").Inc()
	}
	for _, o := range r.Outcomes {
		switch o.Result {
		case scale.Done:
			m.machines[o.Action.Verb].WithLabelValues("ok").Inc()
		case scale.Refused:
			m.machines[o.Action.Verb].WithLabelValues("failed").Inc()
		case scale.Unknown:
			m.machines[o.Action.Verb].WithLabelValues("unknown").Inc()
		case scale.Skipped:
		}
	}
	if r.Decision == nil {
		return
	}
	app, group := string(r.App), string(r.Group)
	for _, c := range []struct {
		vec   *prometheus.GaugeVec
		count scale.Count
	}{{m.target, r.Decision.Want}, {m.current, r.Decision.Have}} {
		c.vec.WithLabelValues(app, group, "created").Set(float64(c.count.Created))
		c.vec.WithLabelValues(app, group, "started").Set(float64(c.count.Started))
	}
	for _, s := range r.Decision.Samples {
		known := 0.0
		if s.Known() {
			known = 1
			m.value.WithLabelValues(app, group, s.Metric).Set(s.Value)
		} else {
			// An old value on a graph would pass for a new one.
			m.value.DeleteLabelValues(app, group, s.Metric)
		}
		m.known.WithLabelValues(app, group, s.Metric).Set(known)
	}
}

// forget drops the gauges of a target that is no longer governed.
func (m *metrics) forget(app, group string) {
	labels := prometheus.Labels{"app": app, "process_group": group}
	for _, vec := range []*prometheus.GaugeVec{m.target, m.current, m.value, m.known} {
		vec.DeletePartialMatch(labels)
	}
}

// request takes note of a request to the platform.
func (m *metrics) request(r flyapi.Request) {
	m.requests.WithLabelValues(r.Op, strconv.Itoa(r.Status)).Observe(r.Duration.Seconds())
	if r.Err != nil {
		m.requestErrors.WithLabelValues(r.Op, flyapi.KindOf(r.Err).String()).Inc()
	}
}

// query takes note of a query to a metric source.
func (m *metrics) query(metric string, d time.Duration, err error) {
	m.sources.WithLabelValues(metric).Observe(d.Seconds())
	switch {
	case err == nil:
	case errors.Is(err, source.ErrEmpty):
		m.sourceFailures.WithLabelValues(metric, "empty").Inc()
	default:
		m.sourceFailures.WithLabelValues(metric, "error").Inc()
	}
}
