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
	verbs    []scale.Verb

	machines  map[scale.Verb]*prometheus.CounterVec
	reconcile *prometheus.CounterVec

	passDuration   prometheus.Histogram
	requests       *prometheus.HistogramVec
	requestErrors  *prometheus.CounterVec
	sources        *prometheus.HistogramVec
	sourceFailures *prometheus.CounterVec
	reloads        *prometheus.CounterVec
	reloadOK       prometheus.Gauge
	storeOK        prometheus.Gauge
	memories       *prometheus.CounterVec
	entries        *prometheus.CounterVec
}

// newMetrics returns metrics whose gauges of targets tell the last passes.
func newMetrics(version string, last *passes) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	// From a tenth of what a call to a near region takes up to the timeout of one.
	buckets := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	verbs := []scale.Verb{scale.Start, scale.Stop, scale.Create, scale.Destroy, scale.Suspend, scale.Drain, scale.Undrain}
	m := &metrics{
		verbs:    verbs,
		registry: prometheus.NewRegistry(),
		machines: map[scale.Verb]*prometheus.CounterVec{
			scale.Start:   counter("fas_machine_start_count", "Machines started, by status (ok, failed, unknown).", "status"),
			scale.Stop:    counter("fas_machine_stop_count", "Machines stopped, by status (ok, failed, unknown).", "status"),
			scale.Create:  counter("fas_machine_create_count", "Machines created, by status (ok, failed, unknown).", "status"),
			scale.Destroy: counter("fas_machine_destroy_count", "Machines destroyed, by status (ok, failed, unknown).", "status"),
			scale.Suspend: counter("fas_machine_suspend_count", "Machines suspended, by status (ok, failed, unknown).", "status"),
			scale.Drain:   counter("fas_machine_drain_count", "Machines taken out of service to be stopped once idle, by status (ok, failed, unknown).", "status"),
			scale.Undrain: counter("fas_machine_undrain_count", "Machines put back into service, by status (ok, failed, unknown).", "status"),
		},
		reconcile: counter("fas_reconcile_count", "Passes, by what they did: create, destroy, start, stop, suspend, drain, undrain, no_scale (nothing to do), dry_run (would have acted), failed.", "status"),
		passDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fas_pass_duration_seconds", Help: "Duration of passes.", Buckets: append(buckets, 30, 60),
		}),
		requests:       histogram("fas_api_request_duration_seconds", "Duration of requests to the platform's API, by operation and HTTP status (0: no answer).", "operation", "status"),
		requestErrors:  counter("fas_api_error_count", "Requests to the platform's API that failed, by operation and kind of failure.", "operation", "kind"),
		sources:        histogram("fas_source_duration_seconds", "Duration of queries to metric sources, by metric.", "metric"),
		reloads:        counter("fas_config_reload_count", "Times that the settings were read anew, by status (ok, failed).", "status"),
		reloadOK:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "fas_config_reload_ok", Help: "0 while the newest settings could not be taken over, else 1."}),
		storeOK:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "fas_store_ok", Help: "0 while nothing can be kept in store-dir, else 1."}),
		memories:       counter("fas_memory_write_count", "Writes of what is remembered of a target, by status (ok, failed).", "status"),
		entries:        counter("fas_journal_write_count", "Entries of the journal, by status (ok, failed).", "status"),
		sourceFailures: counter("fas_source_error_count", "Queries to metric sources without a usable value, by metric and reason (empty, error).", "metric", "reason"),
	}
	for _, verb := range verbs {
		m.reconcile.WithLabelValues(string(verb))
		m.registry.MustRegister(m.machines[verb])
		m.machines[verb].WithLabelValues("ok")
		m.machines[verb].WithLabelValues("failed")
	}
	for _, status := range []string{"no_scale", "dry_run", "failed"} {
		m.reconcile.WithLabelValues(status)
	}
	m.reloadOK.Set(1)
	for _, status := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(status)
		m.memories.WithLabelValues(status)
		m.entries.WithLabelValues(status)
	}
	m.storeOK.Set(1)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fas_build_info", Help: "1, with the version as a label."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.reconcile, m.passDuration, newGauges(last),
		m.requests, m.requestErrors, m.sources, m.sourceFailures, m.reloads, m.reloadOK, m.storeOK, m.memories, m.entries, build,
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
	for _, verb := range m.verbs {
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
}

// reload takes note of settings that were read anew.
func (m *metrics) reload(err error) {
	if err != nil {
		m.reloads.WithLabelValues("failed").Inc()
		m.reloadOK.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.reloadOK.Set(1)
}

// status is the label of what went well or not.
func status(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}

// store takes note of how the store fares.
func (m *metrics) store(ok bool) {
	m.storeOK.Set(0)
	if ok {
		m.storeOK.Set(1)
	}
}

// saved takes note of a write of what is remembered.
func (m *metrics) saved(ok bool) { m.memories.WithLabelValues(status(ok)).Inc() }

// journalled takes note of an entry of the journal.
func (m *metrics) journalled(ok bool) { m.entries.WithLabelValues(status(ok)).Inc() }

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
